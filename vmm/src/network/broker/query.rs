//! Messages of the DNS (RFC 1035): what the guest asks, and what is learned of an answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

/// A header, with which every message begins.
const HEADER_BYTES: usize = 12;
/// How long an answer by UDP may be, whatever who asks would take (RFC 9715).
const EDNS_BYTES: u16 = 1232;
/// The longest name.
const MAX_NAME_BYTES: usize = 253;
/// How long a chain of aliases may be.
const MAX_ALIASES: usize = 16;

/// What is asked.
pub(in crate::network) struct Query<'a> {
    packet: Packet<'a>,
    /// The name in lower case, without a dot at its end.
    pub(super) name: String,
    /// Whether an address is turned into a name.
    pub(super) is_reverse: bool,
}

/// Why a question goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::network) enum Refusal {
    /// It is no question.
    Malformed,
    /// It is of another kind than for a record of a name.
    NotImplemented,
}

impl<'a> Query<'a> {
    /// What is asked in `bytes`; `None` of what is no question and cannot be answered.
    pub(in crate::network) fn parse(bytes: &'a [u8]) -> Option<Result<Self, Refusal>> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let is_answer = header[2] & 0x80 != 0;
        if is_answer {
            return None;
        }
        // One question, no answers, and at most one thing more: nothing else makes the parser reserve memory.
        let [questions, answers, authorities, additional] =
            [4, 6, 8, 10].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
        if (questions, answers, authorities) != (1, 0, 0) || additional > 1 {
            return Some(Err(Refusal::Malformed));
        }
        let Ok(packet) = Packet::parse(bytes) else { return Some(Err(Refusal::Malformed)) };
        Some(Self::of(packet))
    }

    fn of(packet: Packet<'a>) -> Result<Self, Refusal> {
        let question = packet.questions.first().ok_or(Refusal::Malformed)?;
        let is_internet = question.qclass == QCLASS::CLASS(CLASS::IN);
        if packet.opcode() != OPCODE::StandardQuery || !is_internet {
            return Err(Refusal::NotImplemented);
        }
        let name = text_of(&question.qname).ok_or(Refusal::Malformed)?;
        let is_reverse = question.qtype == QTYPE::TYPE(TYPE::PTR);
        Ok(Self { name, is_reverse, packet })
    }

    /// The question as it is asked of a server, by the number `id`: the question alone, so that nothing else of the guest's goes out.
    pub(in crate::network) fn forwarded(&self, id: u16) -> Option<Vec<u8>> {
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        packet.questions.extend(self.packet.questions.first().cloned());
        if self.packet.opt().is_some() {
            *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: EDNS_BYTES, version: 0 });
        }
        packet.build_bytes_vec().ok()
    }

    /// The answer of a server with the guest's own number; `None` if it answers something else.
    pub(in crate::network) fn answer(&self, id: u16, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let packet = Packet::parse(&bytes).ok()?;
        let is_answer = packet.id() == id && packet.has_flags(PacketFlag::RESPONSE);
        let is_same = |own: &Question<'_>, other: &Question<'_>| {
            (own.qtype, own.qclass) == (other.qtype, other.qclass)
                && text_of(&other.qname).as_ref() == Some(&self.name)
        };
        let asked = self.packet.questions.first().zip(packet.questions.first());
        // Some servers leave the question out where they refuse.
        let is_of_this = asked.map_or(packet.answers.is_empty(), |(own, other)| is_same(own, other));
        if !is_answer || !is_of_this {
            return None;
        }
        bytes.get_mut(..2)?.copy_from_slice(&self.packet.id().to_be_bytes());
        Some(bytes)
    }

    /// An answer without records.
    pub(super) fn refuse(&self, code: RCODE) -> Option<Vec<u8>> {
        let mut packet = Packet::new_reply(self.packet.id());
        packet.set_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_AVAILABLE);
        if self.packet.has_flags(PacketFlag::RECURSION_DESIRED) {
            packet.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        *packet.rcode_mut() = code;
        packet.questions.extend(self.packet.questions.first().cloned());
        packet.build_bytes_vec().ok()
    }
}

/// An answer to what is no question that can be answered.
pub(super) fn refuse(bytes: &[u8], refusal: Refusal) -> Option<Vec<u8>> {
    let mut packet = Packet::new_reply(u16::from_be_bytes(*bytes.first_chunk()?));
    *packet.rcode_mut() = match refusal {
        Refusal::Malformed => RCODE::FormatError,
        Refusal::NotImplemented => RCODE::NotImplemented,
    };
    packet.build_bytes_vec().ok()
}

/// Whether a server has failed, so that another may know.
pub(super) fn has_failed(bytes: &[u8]) -> bool {
    let code = bytes.get(3).map_or(0, |byte| byte & 0xf);
    [RCODE::ServerFailure, RCODE::NotImplemented, RCODE::Refused].iter().any(|failure| *failure as u8 == code)
}

/// The addresses that an answer says `name` has, by itself or by aliases, and for how long.
pub(super) fn addresses(answer: &[u8], name: &str) -> Vec<(IpAddr, Duration)> {
    let Ok(packet) = Packet::parse(answer) else { return Vec::new() };
    let mut owners = vec![(name.to_owned(), u32::MAX)];
    for _ in 0..MAX_ALIASES {
        let aliases = packet.answers.iter().filter_map(|record| {
            let RData::CNAME(alias) = &record.rdata else { return None };
            let (_, time_to_live) = find(&owners, &record.name)?;
            Some((text_of(&alias.0)?, record.ttl.min(time_to_live)))
        });
        let new: Vec<_> =
            aliases.filter(|(alias, _)| owners.iter().all(|(owner, _)| owner != alias)).collect();
        if new.is_empty() {
            break;
        }
        owners.extend(new);
    }
    let addresses = packet.answers.iter().filter_map(|record| {
        let address = match &record.rdata {
            RData::A(record) => IpAddr::V4(Ipv4Addr::from_bits(record.address)),
            RData::AAAA(record) => IpAddr::V6(Ipv6Addr::from_bits(record.address)),
            _ => return None,
        };
        let (_, time_to_live) = find(&owners, &record.name)?;
        Some((address, Duration::from_secs(record.ttl.min(time_to_live).into())))
    });
    addresses.collect()
}

fn find(owners: &[(String, u32)], name: &Name<'_>) -> Option<(String, u32)> {
    let name = text_of(name)?;
    owners.iter().find(|(owner, _)| *owner == name).cloned()
}

/// A name in lower case; `None` of one that is too long, or whose labels no host has.
fn text_of(name: &Name<'_>) -> Option<String> {
    let mut labels = Vec::new();
    for label in name.get_labels() {
        let bytes: &[u8] = label.as_ref();
        let is_plain = bytes.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'.' | b'\\'));
        let text = std::str::from_utf8(bytes).ok().filter(|_| is_plain)?;
        labels.push(text.to_ascii_lowercase());
    }
    let text = labels.join(".");
    (text.len() <= MAX_NAME_BYTES).then_some(text)
}

#[cfg(test)]
mod tests;
