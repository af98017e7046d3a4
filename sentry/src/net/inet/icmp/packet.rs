//! The bytes of IPv4 headers and ICMP messages (RFC 791, RFC 792, RFC 4443).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{ICMP, ICMPV6};
use crate::Errno;

/// Bytes of an IPv4 header without options, and of the header of an ICMP echo.
pub(super) const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;
pub(super) const ECHO_HEADER_BYTES: usize = 8;

/// ICMP's types of an echo and its answer.
pub(super) const ECHO_REQUEST: u8 = 8;
const ECHO_REPLY: u8 = 0;
/// ICMPv6's.
pub(super) const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

/// The sum of RFC 1071 over what `parts` hold one after the other, each of an even length but the last.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2)).map(|pair| match pair {
        [first, second] => u32::from(u16::from_be_bytes([*first, *second])),
        [last] => u32::from(*last) << 8,
        _ => 0,
    });
    let sum = words.fold(0_u64, |sum, word| sum + u64::from(word));
    let folded = (0..3).fold(sum, |sum, _| (sum & 0xffff) + (sum >> 16));
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

/// Whether an ICMP message of IPv4 has the checksum that it should have.
pub(super) fn is_summed(message: &[u8]) -> bool {
    checksum(&[message]) == 0
}

/// Writes the checksum of an ICMP message into it; that of IPv6 covers the addresses too.
pub(super) fn seal(message: &mut [u8], source: IpAddr, destination: IpAddr) {
    const CHECKSUM_OFFSET: usize = 2;
    // One that is too short has none.
    let _sealed = seal_at(message, CHECKSUM_OFFSET, ICMPV6, (source, destination));
}

/// Writes the checksum of a message of `protocol` to `offset`; all but those of ICMP cover the addresses and the protocol too.
///
/// # Errors
/// EINVAL if it has no room there.
pub(in crate::net::inet) fn seal_at(
    message: &mut [u8],
    offset: usize,
    protocol: u32,
    (source, destination): (IpAddr, IpAddr),
) -> Result<(), Errno> {
    let len_bytes = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    let place = offset..offset.saturating_add(size_of::<u16>());
    message.get_mut(place.clone()).ok_or(Errno::EINVAL)?.fill(0);
    let sum = match (source, destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let next_header = protocol.to_be_bytes();
            checksum(&[&source.octets(), &destination.octets(), &len_bytes, &next_header, message])
        }
        (IpAddr::V4(source), IpAddr::V4(destination)) if protocol != ICMP && protocol != ICMPV6 => {
            let [.., high, low] = len_bytes;
            let rest = [0, protocol.to_le_bytes()[0], high, low];
            checksum(&[&source.octets(), &destination.octets(), &rest, message])
        }
        _ => checksum(&[message]),
    };
    message.get_mut(place).ok_or(Errno::EINVAL)?.copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// The answer to an ICMP message, if it is an echo that somebody answers. Its checksum is not yet written.
pub(super) fn answer(message: &[u8], is_v4: bool) -> Option<Vec<u8>> {
    let reply = match (message.first()?, is_v4) {
        (&ECHO_REQUEST, true) => ECHO_REPLY,
        (&ECHO_REQUEST_V6, false) => ECHO_REPLY_V6,
        _ => return None,
    };
    if message.len() < ECHO_HEADER_BYTES {
        return None;
    }
    let mut answer = message.to_vec();
    *answer.first_mut()? = reply;
    Some(answer)
}

/// What ICMP says of a packet that it quotes, by type and code. Its checksum is not yet written.
pub(super) fn error_message([kind, code]: [u8; 2], quoted: &[u8]) -> Vec<u8> {
    /// As much as fits into a packet of 576 bytes (RFC 1812), or for IPv6 into one of 1,280 (RFC 4443).
    const MAX_QUOTED_V4_BYTES: usize = 548;
    const MAX_QUOTED_V6_BYTES: usize = 1232;
    let is_v6 = quoted.first().is_some_and(|first| first >> 4 == 6);
    let most = if is_v6 { MAX_QUOTED_V6_BYTES } else { MAX_QUOTED_V4_BYTES };
    let quoted = quoted.get(..most).unwrap_or(quoted);
    [&[kind, code, 0, 0, 0, 0, 0, 0], quoted].concat()
}

/// The identifier of an answer to an echo.
pub(super) fn answered_identifier(message: &[u8], is_v4: bool) -> Option<u16> {
    let reply = if is_v4 { ECHO_REPLY } else { ECHO_REPLY_V6 };
    let (&kind, &[high, low]) = (message.first()?, message.get(4..)?.first_chunk()?);
    (kind == reply).then(|| u16::from_be_bytes([high, low]))
}

/// The header that an IPv6 packet of `len_bytes` beside it has.
pub(super) fn ipv6_header(
    [source, destination]: [Ipv6Addr; 2],
    protocol: u8,
    len_bytes: usize,
    hop_limit: u8,
) -> [u8; IPV6_HEADER_BYTES] {
    const VERSION: u8 = 0x60;
    let mut header = [0; IPV6_HEADER_BYTES];
    let len = u16::try_from(len_bytes).unwrap_or(u16::MAX);
    (header[0], header[6], header[7]) = (VERSION, protocol, hop_limit);
    header[4..6].copy_from_slice(&len.to_be_bytes());
    header[8..24].copy_from_slice(&source.octets());
    header[24..].copy_from_slice(&destination.octets());
    header
}

/// The header that an IPv4 packet of `len_bytes` beside it has.
pub(super) fn ipv4_header(
    [source, destination]: [Ipv4Addr; 2],
    protocol: u8,
    len_bytes: usize,
    (ttl, tos): (u8, u8),
) -> [u8; IPV4_HEADER_BYTES] {
    const VERSION_AND_WORDS: u8 = 0x45;
    let mut header = [0; IPV4_HEADER_BYTES];
    let whole = u16::try_from(len_bytes + IPV4_HEADER_BYTES).unwrap_or(u16::MAX);
    (header[0], header[1], header[8], header[9]) = (VERSION_AND_WORDS, tos, ttl, protocol);
    header[2..4].copy_from_slice(&whole.to_be_bytes());
    header[12..16].copy_from_slice(&source.octets());
    header[16..20].copy_from_slice(&destination.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

/// A packet whose header the sender has written, with what the kernel writes in any case: the length and the checksum; and the source
/// and an identification, where they are zero.
///
/// # Errors
/// EINVAL for what is no header.
pub(super) fn complete_header(bytes: &[u8], source: Ipv4Addr) -> Result<Vec<u8>, Errno> {
    let header_bytes = bytes.first().map_or(0, |first| usize::from(first & 0xf) * 4);
    if bytes.len() < IPV4_HEADER_BYTES || header_bytes > bytes.len() || header_bytes < IPV4_HEADER_BYTES {
        return Err(Errno::EINVAL);
    }
    let mut whole = bytes.to_vec();
    let len = u16::try_from(bytes.len()).map_err(|_| Errno::EINVAL)?.to_be_bytes();
    let (header, _) = whole.split_at_mut(header_bytes);
    header[2..4].copy_from_slice(&len);
    if header[12..16] == [0; 4] {
        header[12..16].copy_from_slice(&source.octets());
    }
    header[10..12].fill(0);
    let sum = checksum(&[header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    Ok(whole)
}

/// Types of ICMP that a raw socket does not want: a bit each (ICMP_FILTER has 32, ICMPV6_FILTER 256).
#[derive(Clone, Copy, Default)]
pub(super) struct Filter(pub(super) [u32; 8]);

impl Filter {
    /// Whether a message of `protocol` gets through.
    pub(super) fn passes(&self, protocol: u32, message: &[u8]) -> bool {
        // What is too short to be a message is none.
        let least = match protocol {
            ICMP => ECHO_HEADER_BYTES,
            ICMPV6 => size_of::<u32>(),
            _ => 0,
        };
        if message.len() < least {
            return false;
        }
        let Some(kind) = message.first().map(|kind| usize::from(*kind)) else { return true };
        let is_filtered = protocol == ICMPV6 || protocol == ICMP && kind < 32;
        let word = self.0.get(kind / 32).copied().unwrap_or(0);
        !is_filtered || word >> (kind % 32) & 1 == 0
    }
}

#[cfg(test)]
mod tests;
