//! What rules look at.

use std::net::IpAddr;

use super::super::NetworkNamespace;
use super::super::wire::Packet;
use super::Rejection;
use crate::cred::{KernelGid, KernelUid};

/// Protocols (`linux/in.h`).
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;
pub(super) const UDP_LITE: u8 = 136;
/// Flags of TCP.
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// Headers: IP's at least, TCP's of what makes a connection, of what follows, and of what refuses it.
const V4_HEADER_BYTES: usize = 20;
const V6_HEADER_BYTES: usize = 40;
const SYN_BYTES: usize = 40;
const SEGMENT_BYTES: usize = 32;
const RESET_BYTES: usize = 20;
/// ICMP's type of what is unreachable, and ICMPv6's.
const UNREACHABLE: u8 = 3;
const UNREACHABLE_V6: u8 = 1;

/// What a packet is to the connection that it belongs to (`man 8 iptables-extensions`, conntrack).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionState {
    /// It begins one, or goes where nothing has come from.
    #[default]
    New,
    /// Something has come from where it goes.
    Established,
    /// It tells of another packet.
    Related,
}

/// What a packet holds, as far as rules look at it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content {
    /// The protocol's number.
    pub protocol: u8,
    /// The ports of its ends, for protocols that have them.
    pub ports: [u16; 2],
    /// The flags of a segment.
    pub tcp_flags: u8,
    /// The type and the code of a message of ICMP.
    pub icmp: [u8; 2],
    /// SO_MARK of its socket.
    pub mark: u32,
    /// Whose socket it leaves from.
    pub owner: Option<(KernelUid, KernelGid)>,
    /// What it is to its connection.
    pub state: ConnectionState,
    /// Its length without the header of IP.
    pub len_bytes: usize,
}

impl Content {
    /// The segment that begins a connection between these ports.
    pub fn syn(ports: [u16; 2]) -> Self {
        Self { protocol: TCP, ports, tcp_flags: SYN, len_bytes: SYN_BYTES, ..Self::default() }
    }

    /// The segment that lets a connection in that `syn` begins, or refuses it.
    pub fn answer(syn: &Self) -> Self {
        Self { tcp_flags: SYN | ACK, owner: None, ..Self::segment(syn.ports) }.reversed()
    }

    /// A segment of a connection that is there.
    pub fn segment(ports: [u16; 2]) -> Self {
        let state = ConnectionState::Established;
        Self { protocol: TCP, ports, tcp_flags: ACK, len_bytes: SEGMENT_BYTES, state, ..Self::default() }
    }

    /// What tells the sender of a packet that it is rejected.
    pub(super) fn rejection(packet: &Packet, rejection: Rejection) -> Self {
        match rejection {
            Rejection::Unreachable { code, .. } => Self::error(packet, code),
            Rejection::Reset => {
                let [source, destination] = packet.content.ports;
                Self { tcp_flags: RST | ACK, len_bytes: RESET_BYTES, ..Self::segment([destination, source]) }
            }
        }
    }

    /// Whether it is answered by nothing that tells of a rejection, since that is what it is itself.
    pub(super) fn is_rejection(&self) -> bool {
        self.state == ConnectionState::Related || self.tcp_flags & RST != 0
    }

    /// What tells that a packet has not arrived.
    fn error(packet: &Packet, code: u8) -> Self {
        let (protocol, kind) =
            if packet.source.is_ipv4() { (ICMP, UNREACHABLE) } else { (ICMPV6, UNREACHABLE_V6) };
        let state = ConnectionState::Related;
        let len_bytes = 8 + packet.len_bytes();
        Self { protocol, icmp: [kind, code], state, len_bytes, ..Self::default() }
    }

    fn reversed(self) -> Self {
        let [source, destination] = self.ports;
        Self { ports: [destination, source], ..self }
    }
}

impl Packet {
    /// Its length with the header of IP.
    pub(super) fn len_bytes(&self) -> usize {
        let header = if self.destination.is_ipv4() { V4_HEADER_BYTES } else { V6_HEADER_BYTES };
        header + self.content.len_bytes
    }

    /// The packet that lets a connection in which this one begins, or refuses it.
    pub fn answer(&self) -> Self {
        let content = Content::answer(&self.content);
        Self { source: self.destination, destination: self.source, content, ..*self }
    }
}

/// The links that a packet passes between, by their indices.
#[derive(Clone, Copy, Debug)]
pub struct Between {
    /// It has come by this one.
    pub coming: Option<u32>,
    /// It leaves by this one.
    pub leaving: Option<u32>,
}

impl Between {
    /// Of a packet that arrives.
    pub fn coming(device: u32) -> Self {
        Self { coming: Some(device), leaving: None }
    }

    /// Of a packet that leaves.
    pub fn leaving(device: u32) -> Self {
        Self { coming: None, leaving: Some(device) }
    }
}

/// A link's name as rules have it: zeroes if there is none.
pub(super) type Name = [u8; 16];

/// A packet at a hook, as rules see it.
pub(super) struct Seen<'a> {
    pub(super) network: &'a NetworkNamespace,
    pub(super) packet: Packet,
    pub(super) coming: Name,
    pub(super) leaving: Name,
}

impl<'a> Seen<'a> {
    pub(super) fn new(network: &'a NetworkNamespace, packet: Packet, between: Between) -> Self {
        let name = |device: Option<u32>| device.map(|device| name_of(network, device)).unwrap_or_default();
        Self { network, packet, coming: name(between.coming), leaving: name(between.leaving) }
    }

    pub(super) fn content(&self) -> &Content {
        &self.packet.content
    }
}

fn name_of(network: &NetworkNamespace, device: u32) -> Name {
    let mut told = Name::default();
    network.configuration().look(|all| {
        if let Ok(link) = all.link(device) {
            told.iter_mut().zip(link.name.as_bytes()).for_each(|(told, byte)| *told = *byte);
        }
    });
    told
}

/// An address in as many bytes as the longest has; one of IPv4 comes first in them.
pub(super) fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => widened(address.octets()),
        IpAddr::V6(address) => address.octets(),
    }
}

/// Four bytes before zeroes.
pub(super) fn widened([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}
