//! Packets of IP as frames: made for packet sockets that are there, and taken from frames that somebody has written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use netlink_packet_route::route::RouteType;

use super::datagram::Arrival;
use super::icmp::{self, Packet};
use crate::net::NetworkNamespace;
use crate::net::device::LOOPBACK_INDEX;
use crate::net::filter::{ETH_P_IP, ETH_P_IPV6};
use crate::net::packet::{Frame, FrameKind, Link};
use crate::net::tun;
use crate::net::wire::Landing;
use crate::net::xtables::Verdict;

const EVERYBODY: [u8; 6] = [0xff; 6];
const V4_HEADER_BYTES: usize = 20;
const V6_HEADER_BYTES: usize = 40;

/// The hardware address of a group (RFC 1112, RFC 2464).
fn group_address(group: IpAddr) -> [u8; 6] {
    match group {
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            [0x01, 0x00, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V6(group) => {
            let [.., a, b, c, d] = group.octets();
            [0x33, 0x33, a, b, c, d]
        }
    }
}

/// The hardware address that what goes to `destination` through a link has.
fn hardware_of(network: &NetworkNamespace, link: &Link, destination: IpAddr) -> [u8; 6] {
    if link.is_loopback {
        return link.address;
    }
    if destination.is_multicast() {
        return group_address(destination);
    }
    if network.configuration().address_kind(destination) == RouteType::Broadcast {
        return link.broadcast;
    }
    let known = network.configuration().look(|all| {
        let is_it = |known: &crate::net::route::Neighbour| {
            known.device == link.device && known.address == destination
        };
        all.neighbours().find(|known| is_it(known)).and_then(|known| known.hardware_address)
    });
    known.unwrap_or(EVERYBODY)
}

/// A packet leaves a namespace by a link: packet sockets there see it.
pub(super) fn show_leaving(network: &Arc<NetworkNamespace>, packet: &Packet<'_>) {
    if !network.packet_sockets().are_frames_seen() {
        return;
    }
    let destination = packet.arrival.destination.ip();
    let is_own = network.configuration().address_kind(destination) == RouteType::Local;
    let device = if is_own { LOOPBACK_INDEX } else { packet.arrival.device };
    let Some(link) = Link::find(network, device) else { return };
    let hardware = hardware_of(network, &link, destination);
    let frame = frame_of(&link, FrameKind::Outgoing, packet, (hardware, link.address));
    network.packet_sockets().show(&frame, None);
    let is_for_many = destination.is_multicast()
        || network.configuration().address_kind(destination) == RouteType::Broadcast;
    tun::leave(network, &link, (destination, is_for_many), frame);
}

/// A packet comes in by a link: packet sockets there see it.
pub(super) fn show_coming(landing: &Landing, packet: &Packet<'_>) {
    let network = &landing.network;
    if network.packet_sockets().is_empty() {
        return;
    }
    let Arrival { source, destination, .. } = packet.arrival;
    let is_from_here = network.configuration().address_kind(source.ip()) == RouteType::Local;
    let device = if is_from_here { LOOPBACK_INDEX } else { landing.device };
    let Some(link) = Link::find(network, device) else { return };
    let sender = if link.is_loopback { link.address } else { hardware_of(network, &link, source.ip()) };
    let is_broadcast = network.configuration().address_kind(destination.ip()) == RouteType::Broadcast;
    let hardware = match destination.ip() {
        _ if link.is_loopback => link.address,
        group if group.is_multicast() => group_address(group),
        _ if is_broadcast => link.broadcast,
        _ => link.address,
    };
    let frame = frame_of(&link, link.kind_of(hardware), packet, (hardware, sender));
    network.packet_sockets().show(&frame, None);
}

fn frame_of(
    link: &Link,
    kind: FrameKind,
    packet: &Packet<'_>,
    (destination, source): ([u8; 6], [u8; 6]),
) -> Frame {
    let protocol = if packet.arrival.destination.is_ipv4() { ETH_P_IP } else { ETH_P_IPV6 };
    let bytes = link.framed(destination, source, protocol, &icmp::whole(packet));
    Frame::new(link, kind, bytes, packet.arrival.time)
}

/// A packet comes in that somebody has written, with all its headers.
pub(in crate::net) fn take_packet(network: &Arc<NetworkNamespace>, device: u32, bytes: &[u8]) {
    let taken = match bytes.first().map(|first| first >> 4) {
        Some(4) => split_v4(bytes),
        Some(6) => split_v6(bytes),
        _ => None,
    };
    let Some(taken) = taken else { return };
    let kind = network.configuration().address_kind(taken.destination);
    let is_for_this = matches!(kind, RouteType::Local | RouteType::Broadcast | RouteType::Multicast);
    // What has an address of the loopback never comes from a link.
    if !is_for_this || taken.destination.is_loopback() || taken.source.is_loopback() {
        return;
    }
    let arrival = Arrival {
        source: SocketAddr::new(taken.source, 0),
        destination: SocketAddr::new(taken.destination, 0),
        device,
        ttl: taken.ttl,
        tos: taken.tos,
        time: network.shared().now(),
    };
    let packet = Packet { protocol: taken.protocol, message: taken.message, header: taken.header, arrival };
    let landing = Landing { network: network.clone(), device, ttl: taken.ttl, passed: Vec::new() };
    if landing.judge(&packet.judged()) == Verdict::Accept {
        icmp::take(&landing, &packet);
    }
}

/// A packet and what its header says.
struct Taken<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u32,
    ttl: u8,
    tos: u8,
    header: Option<&'a [u8]>,
    message: &'a [u8],
}

/// One of IPv4; `None` for what is none, or only a fragment of one.
fn split_v4(bytes: &[u8]) -> Option<Taken<'_>> {
    let header: &[u8; V4_HEADER_BYTES] = bytes.first_chunk()?;
    let &[first, tos, high, low, _, _, fragment_high, fragment_low, ttl, protocol, _, _, ..] = header;
    let header_bytes = usize::from(first & 0xf) * 4;
    let len_bytes = usize::from(u16::from_be_bytes([high, low]));
    let is_fragment = u16::from_be_bytes([fragment_high, fragment_low]) & 0x3fff != 0;
    let whole = bytes.get(..len_bytes).filter(|_| header_bytes >= V4_HEADER_BYTES && !is_fragment)?;
    let (header, message) = whole.split_at_checked(header_bytes)?;
    let address = |offset: usize| {
        let octets: [u8; 4] = *bytes.get(offset..)?.first_chunk()?;
        Some(IpAddr::V4(Ipv4Addr::from(octets)))
    };
    let (source, destination) = (address(12)?, address(16)?);
    Some(Taken { source, destination, protocol: protocol.into(), ttl, tos, header: Some(header), message })
}

/// One of IPv6.
fn split_v6(bytes: &[u8]) -> Option<Taken<'_>> {
    let header: &[u8; V6_HEADER_BYTES] = bytes.first_chunk()?;
    let &[first, second, _, _, high, low, protocol, ttl, ..] = header;
    let len_bytes = usize::from(u16::from_be_bytes([high, low]));
    let message = bytes.get(V6_HEADER_BYTES..)?.get(..len_bytes)?;
    let address = |offset: usize| {
        let octets: [u8; 16] = *bytes.get(offset..)?.first_chunk()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)))
    };
    let (source, destination) = (address(8)?, address(24)?);
    let tos = first << 4 | second >> 4;
    Some(Taken { source, destination, protocol: protocol.into(), ttl, tos, header: None, message })
}
