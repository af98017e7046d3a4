//! Messages of the kernel's, encoded.

use std::num::NonZeroI32;

use linux_raw_sys::netlink::nlmsgerr_attrs::NLMSGERR_ATTR_MSG;
use netlink_packet_core::{
    DefaultNla, DoneMessage, Emitable, ErrorMessage, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_MULTIPART,
    NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use zerocopy::IntoBytes;

use super::options::Switches;
use super::request::Header;
use crate::Errno;
use crate::heap::HeapCharge;
use crate::net::configuration::Refusal;

/// How long a message is, aligned (`NLMSG_ALIGN`).
pub(super) fn aligned(len_bytes: usize) -> usize {
    len_bytes.next_multiple_of(4)
}

/// Encodes a message to the port, as an answer to the request with this number.
pub(super) fn encode(
    payload: NetlinkPayload<RouteNetlinkMessage>,
    flags: u16,
    (sequence, port): (u32, u32),
) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    header.sequence_number = sequence;
    header.port_number = port;
    let mut message = NetlinkMessage::new(header, payload);
    message.finalize();
    let len_bytes = message.buffer_len();
    let mut bytes = vec![0; aligned(len_bytes)];
    message.serialize(&mut bytes[..len_bytes]);
    bytes
}

/// The parts of a dump, each of up to `part_bytes` unless one message is longer; the last ends with NLMSG_DONE. Whoever asks pays
/// for all that is made of it meanwhile.
///
/// # Errors
/// ENOMEM.
pub(super) fn dump(
    messages: Vec<RouteNetlinkMessage>,
    flags: u16,
    to: (u32, u32),
    part_bytes: usize,
) -> Result<Vec<Vec<u8>>, Errno> {
    /// A message with its attributes, encoded too.
    const MESSAGE_BYTES: usize = 2048;
    let _copies = HeapCharge::transient(messages.len() * MESSAGE_BYTES)?;
    let flags = flags | NLM_F_MULTIPART;
    let told = messages.into_iter().map(|message| encode(NetlinkPayload::InnerMessage(message), flags, to));
    Ok(parts(told.collect(), flags, to, part_bytes))
}

/// The parts of a dump of messages of one type, whose payloads are encoded. Whoever asks pays for the copies.
///
/// # Errors
/// ENOMEM.
pub(super) fn dump_encoded(
    kind: u16,
    payloads: Vec<Vec<u8>>,
    to: (u32, u32),
    part_bytes: usize,
) -> Result<Vec<Vec<u8>>, Errno> {
    let len: usize = payloads.iter().map(|payload| payload.len() + 4 * size_of::<Vec<u8>>()).sum();
    let _copies = HeapCharge::transient(2 * len)?;
    let told = payloads.iter().map(|payload| encoded(kind, NLM_F_MULTIPART, to, payload));
    Ok(parts(told.collect(), NLM_F_MULTIPART, to, part_bytes))
}

/// A message of a type whose payload is encoded.
pub(super) fn encoded(kind: u16, flags: u16, to: (u32, u32), payload: &[u8]) -> Vec<u8> {
    let mut bytes = [Header::answer(payload.len(), kind, flags, to).as_bytes(), payload].concat();
    bytes.resize(aligned(bytes.len()), 0);
    bytes
}

/// An attribute, padded.
pub(in crate::net) fn attribute(kind: u16, value: Vec<u8>) -> Vec<u8> {
    let attribute = DefaultNla::new(kind, value);
    let mut bytes = vec![0; aligned(attribute.buffer_len())];
    attribute.emit(&mut bytes);
    bytes
}

fn parts(told: Vec<Vec<u8>>, flags: u16, to: (u32, u32), part_bytes: usize) -> Vec<Vec<u8>> {
    let done = encode(NetlinkPayload::Done(DoneMessage::default()), flags, to);
    let mut parts: Vec<Vec<u8>> = vec![Vec::new()];
    for message in told.into_iter().chain([done]) {
        match parts.last_mut() {
            Some(part) if part.is_empty() || part.len() + message.len() <= part_bytes => part.extend(message),
            _ => parts.push(message),
        }
    }
    parts
}

/// NLMSG_ERROR for a request: zero, or what was wrong.
pub(super) fn acknowledgement(
    header: Header,
    request: &[u8],
    result: Result<(), Refusal>,
    switches: Switches,
    port: u32,
) -> Vec<u8> {
    let mut error = ErrorMessage::default();
    let code = result.map_or_else(|refusal| -i32::from(refusal.errno.raw()), |()| 0);
    error.code = NonZeroI32::new(code);
    let is_capped = code == 0 || switches.contains(Switches::CAP_ACK);
    let repeated = if is_capped { Header::BYTES } else { request.len() };
    error.header = request.get(..repeated).unwrap_or(request).to_vec();
    let mut flags = if is_capped { NLM_F_CAPPED } else { 0 };
    let words = result.err().and_then(|refusal| refusal.message);
    if let Some(words) = words.filter(|_| switches.contains(Switches::EXT_ACK)) {
        flags |= NLM_F_ACK_TLVS;
        error.header.resize(aligned(error.header.len()), 0);
        error.header.extend(message_attribute(words));
    }
    encode(NetlinkPayload::Error(error), flags, (header.sequence, port))
}

/// NLMSGERR_ATTR_MSG: what was wrong, in words.
fn message_attribute(words: &str) -> Vec<u8> {
    let value = [words.as_bytes(), &[0]].concat();
    let attribute = DefaultNla::new(NLMSGERR_ATTR_MSG as u16, value);
    let mut bytes = vec![0; attribute.buffer_len()];
    attribute.emit(&mut bytes);
    bytes
}

/// What a request that cannot be read is told.
pub(super) const MALFORMED: Errno = Errno::EINVAL;
