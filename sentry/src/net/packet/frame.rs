//! Frames of Ethernet (`linux/if_ether.h`).

use std::sync::Arc;
use std::time::Duration;

use netlink_packet_route::link::LinkLayerType;

use super::ETH_P_ALL;
use crate::net::NetworkNamespace;
use crate::net::device::LinkKind;
use crate::net::filter::{ETH_P_IP, ETH_P_IPV6};
use crate::net::tun::TunDevice;

/// The header: both addresses and a protocol.
pub(in crate::net) const ETHERNET_HEADER_BYTES: usize = 14;
const PROTOCOL_OFFSET: usize = 12;
/// The first number that is a protocol and no length.
const LEAST_PROTOCOL: u16 = 0x600;
const ETH_P_802_2: u16 = 4;

/// Which way a frame goes, and whom it is for (`PACKET_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum FrameKind {
    /// For the one who sees it come in.
    Host = 0,
    /// For everybody.
    Broadcast = 1,
    /// For a group.
    Multicast = 2,
    /// For somebody else.
    OtherHost = 3,
    /// It goes out.
    Outgoing = 4,
}

/// What a frame has to know of a link.
#[derive(Clone, Debug)]
pub(in crate::net) struct Link {
    pub(in crate::net) device: u32,
    pub(in crate::net) address: [u8; 6],
    pub(in crate::net) broadcast: [u8; 6],
    /// `ARPHRD_*`.
    pub(in crate::net) hardware_type: u16,
    pub(in crate::net) is_loopback: bool,
    pub(in crate::net) is_up: bool,
    pub(in crate::net) mtu: u32,
    pub(in crate::net) tx_queue_len: u32,
    /// The end that a program has.
    pub(in crate::net) tun: Option<Arc<TunDevice>>,
}

impl Link {
    /// The link of a namespace with an index.
    pub(in crate::net) fn find(network: &NetworkNamespace, device: u32) -> Option<Self> {
        network.configuration().look(|all| {
            let link = all.link(device).ok()?;
            Some(Self {
                device,
                address: link.hardware_address,
                broadcast: link.hardware_broadcast,
                hardware_type: u16::from(link.kind.layer()),
                is_loopback: link.kind == LinkKind::Loopback,
                is_up: link.is_up(),
                mtu: link.mtu,
                tx_queue_len: link.tx_queue_len,
                tun: link.tun.clone(),
            })
        })
    }

    /// Bytes before the packet in a frame.
    pub(in crate::net) fn header_bytes(&self) -> usize {
        header_bytes(self.hardware_type)
    }

    /// A frame's bytes: with a header, if there are any here.
    pub(in crate::net) fn framed(
        &self,
        destination: [u8; 6],
        source: [u8; 6],
        protocol: u16,
        payload: &[u8],
    ) -> Arc<[u8]> {
        match self.header_bytes() {
            0 => payload.into(),
            _ => [&destination, &source, &protocol.to_be_bytes()[..], payload].concat().into(),
        }
    }

    /// Whom a frame is for that comes in here.
    pub(in crate::net) fn kind_of(&self, destination: [u8; 6]) -> FrameKind {
        let is_for_many = destination[0] & 1 != 0;
        match destination {
            everybody if is_for_many && everybody == self.broadcast => FrameKind::Broadcast,
            _ if is_for_many => FrameKind::Multicast,
            own if own == self.address => FrameKind::Host,
            _ => FrameKind::OtherHost,
        }
    }
}

/// A frame that passes a link.
#[derive(Clone, Debug)]
pub(in crate::net) struct Frame {
    pub(in crate::net) device: u32,
    /// `ARPHRD_*`.
    pub(in crate::net) hardware_type: u16,
    pub(in crate::net) kind: FrameKind,
    /// `ETH_P_*`.
    pub(in crate::net) protocol: u16,
    /// With its header.
    pub(in crate::net) bytes: Arc<[u8]>,
    /// The time of day.
    pub(in crate::net) time: Duration,
}

impl Frame {
    /// The frame of these bytes, with its header, at a link.
    pub(in crate::net) fn new(link: &Link, kind: FrameKind, bytes: Arc<[u8]>, time: Duration) -> Self {
        let number = bytes.get(PROTOCOL_OFFSET..).and_then(|rest| rest.first_chunk()).copied();
        let protocol = match number.map(u16::from_be_bytes) {
            _ if link.header_bytes() == 0 => protocol_of_packet(&bytes),
            Some(protocol) if protocol >= LEAST_PROTOCOL => protocol,
            _ => ETH_P_802_2,
        };
        let (device, hardware_type) = (link.device, link.hardware_type);
        Self { device, hardware_type, kind, protocol, bytes, time }
    }

    /// Whether it is for one who is bound to a link, or to none, and receives a protocol.
    pub(super) fn is_for(&self, (device, protocol): (Option<u32>, u16), ignores_outgoing: bool) -> bool {
        let is_leaving = self.kind == FrameKind::Outgoing;
        let is_of_protocol = match protocol {
            ETH_P_ALL => !is_leaving || !ignores_outgoing,
            protocol => !is_leaving && protocol == self.protocol,
        };
        is_of_protocol && device.is_none_or(|device| device == self.device)
    }

    /// The same as it comes in at another link.
    pub(in crate::net) fn at(&self, link: &Link) -> Self {
        let (device, hardware_type) = (link.device, link.hardware_type);
        Self { device, hardware_type, kind: link.kind_of(self.destination()), ..self.clone() }
    }

    /// The same as one of `protocol`, if that is not in its bytes.
    pub(in crate::net) fn of_protocol(self, protocol: Option<u16>) -> Self {
        Self { protocol: protocol.unwrap_or(self.protocol), ..self }
    }

    /// The same for another hardware address.
    pub(in crate::net) fn sent_to(self, destination: [u8; 6]) -> Self {
        let mut bytes = self.bytes.to_vec();
        if let Some(place) = bytes.first_chunk_mut().filter(|_| self.header_bytes() > 0) {
            *place = destination;
        }
        Self { bytes: bytes.into(), ..self }
    }

    /// Bytes before the packet.
    pub(in crate::net) fn header_bytes(&self) -> usize {
        header_bytes(self.hardware_type)
    }

    fn address_at(&self, offset: usize) -> [u8; 6] {
        if self.header_bytes() == 0 {
            return [0; 6];
        }
        self.bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
    }

    /// Whom it is for.
    pub(in crate::net) fn destination(&self) -> [u8; 6] {
        self.address_at(0)
    }

    /// Who has sent it.
    pub(in crate::net) fn source(&self) -> [u8; 6] {
        self.address_at(6)
    }

    /// Its header, and what that is of.
    pub(in crate::net) fn split(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.header_bytes().min(self.bytes.len()))
    }
}

/// Bytes before the packet in a frame of a link of this `ARPHRD_*`.
fn header_bytes(hardware_type: u16) -> usize {
    if hardware_type == u16::from(LinkLayerType::None) { 0 } else { ETHERNET_HEADER_BYTES }
}

/// The `ETH_P_*` of a packet of IP; 0 for what is none.
fn protocol_of_packet(bytes: &[u8]) -> u16 {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => ETH_P_IP,
        Some(6) => ETH_P_IPV6,
        _ => 0,
    }
}
