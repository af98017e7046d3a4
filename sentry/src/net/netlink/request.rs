//! Requests: a datagram is taken apart, and each message in it is served and acknowledged.

use std::sync::Arc;

use linux_raw_sys::netlink::NLMSG_MIN_TYPE;
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::reply::{acknowledgement, aligned};
use super::socket::NetlinkSocket;
use super::{Protocol, diag, generic, route};
use crate::Errno;
use crate::cred::Credentials;
use crate::fs::Caller;
use crate::net::configuration::Refusal;
use crate::net::{NetworkNamespace, SocketCaller};

/// `struct nlmsghdr`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    len_bytes: u32,
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) port: u32,
}

impl Header {
    pub(super) const BYTES: usize = size_of::<Self>();

    /// That of an answer with so many bytes behind it.
    pub(super) fn answer(payload_bytes: usize, kind: u16, flags: u16, (sequence, port): (u32, u32)) -> Self {
        let len_bytes = u32::try_from(Self::BYTES + payload_bytes).unwrap_or(u32::MAX);
        Self { len_bytes, kind, flags, sequence, port }
    }
}

/// A message, and who sent it.
pub(super) struct Request<'a> {
    pub(super) header: Header,
    /// What follows the header.
    pub(super) payload: &'a [u8],
    /// The port of the sender.
    pub(super) port: u32,
    pub(super) credentials: &'a Credentials,
    /// Who calls; `None` for nobody whose processes and descriptors could be named.
    pub(super) caller: Option<&'a dyn SocketCaller>,
}

impl Request<'_> {
    pub(super) fn has(&self, flag: u16) -> bool {
        self.header.flags & flag == flag
    }

    /// The network namespace of a process, by the caller's number for it; ESRCH without one.
    pub(super) fn network_of_process(&self, process_id: i32) -> Result<Arc<NetworkNamespace>, Errno> {
        self.caller.ok_or(Errno::ESRCH)?.network_of_process(process_id)
    }

    /// The network namespace that a descriptor of the caller's stands for; EBADF without one.
    pub(super) fn network_of_descriptor(&self, descriptor: i32) -> Result<Arc<NetworkNamespace>, Errno> {
        self.caller.ok_or(Errno::EBADF)?.network_of_descriptor(descriptor)
    }

    /// Whom the answer goes to: the sender's number for the request, and its port.
    pub(super) fn to(&self) -> (u32, u32) {
        (self.header.sequence, self.port)
    }
}

/// How a request ended.
pub(super) enum Served {
    /// It was done, or refused; acknowledged if it asks for that.
    Done(Result<(), Refusal>),
    /// A dump begins, whose end is its acknowledgement.
    Dump,
}

/// Serves the messages of a datagram, one after the other, as far as they have the lengths that they claim.
pub(super) fn serve(socket: &NetlinkSocket, datagram: &[u8], port: u32, caller: &dyn SocketCaller) {
    serve_all(socket, datagram, port, &Caller::credentials(caller), Some(caller));
}

/// As [`serve`], for whoever has `credentials`, until `caller` is interrupted.
pub(super) fn serve_all(
    socket: &NetlinkSocket,
    datagram: &[u8],
    port: u32,
    credentials: &Credentials,
    caller: Option<&dyn SocketCaller>,
) {
    let mut rest = datagram;
    while let Some((message, header, next)) = split(rest) {
        rest = next;
        let payload = message.get(Header::BYTES..).unwrap_or_default();
        let request = Request { header, payload, port, credentials, caller };
        if let Served::Done(result) = serve_one(socket, &request)
            && (result.is_err() || request.has(NLM_F_ACK))
        {
            socket.answer(acknowledgement(header, message, result, socket.switches(), port));
        }
        if caller.is_some_and(|caller| caller.keep_going().is_err() || caller.is_interrupted()) {
            return;
        }
    }
}

/// The first message, its header, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], Header, &[u8])> {
    let (header, _) = Header::read_from_prefix(bytes).ok()?;
    let len_bytes = usize::try_from(header.len_bytes).ok().filter(|len| *len >= Header::BYTES)?;
    let message = bytes.get(..len_bytes)?;
    Some((message, header, bytes.get(aligned(len_bytes)..).unwrap_or_default()))
}

fn serve_one(socket: &NetlinkSocket, request: &Request<'_>) -> Served {
    let is_for_kernel = request.has(NLM_F_REQUEST) && u32::from(request.header.kind) >= NLMSG_MIN_TYPE;
    match socket.protocol() {
        _ if !is_for_kernel => Served::Done(Ok(())),
        Protocol::SockDiag => diag::serve(socket, request),
        Protocol::Generic => generic::serve(socket, request),
        _ => route::serve(socket, request),
    }
}
