//! Who has an address: asked on the links of TAPs (RFC 826), and learnt from what comes in.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourState};

use super::TunLayer;
use crate::net::NetworkNamespace;
use crate::net::filter::ETH_P_ARP;
use crate::net::packet::{Frame, FrameKind, Link};
use crate::net::route::{Neighbour, RouteQuery};

const EVERYBODY: [u8; 6] = [0xff; 6];
/// Of Ethernet, of IPv4, addresses of so many bytes, and a question.
const ASKED: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];

/// Whether what goes to `next` by a link with a program at its end waits for an answer; if so, asks.
pub(in crate::net) fn ask(network: &Arc<NetworkNamespace>, device: u32, next: IpAddr) -> bool {
    let Some(link) = Link::find(network, device) else { return false };
    let (Some(tun), IpAddr::V4(wanted)) = (&link.tun, next) else { return false };
    if tun.layer == TunLayer::Tun || !link.is_up || hardware_of(network, device, next).is_some() {
        return false;
    }
    let own = network.configuration().look(|all| {
        let addresses = all.link(device).map(|link| link.addresses.clone()).unwrap_or_default();
        addresses.iter().find_map(|address| match address.ip() {
            IpAddr::V4(own) => Some(own),
            IpAddr::V6(_) => None,
        })
    });
    let own = own.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let question = [&ASKED[..], &link.address, &own.octets(), &[0; 6], &wanted.octets()].concat();
    let bytes = link.framed(EVERYBODY, link.address, ETH_P_ARP, &question);
    let frame = Frame::new(&link, FrameKind::Outgoing, bytes, network.shared().now());
    network.packet_sockets().show(&frame, None);
    tun.push(frame, link.tx_queue_len);
    true
}

/// A packet in a frame leaves for `destination` by a link with a program at its end: now, or once its neighbour has told its address.
pub(in crate::net) fn leave(
    network: &Arc<NetworkNamespace>,
    link: &Link,
    (destination, is_for_many): (IpAddr, bool),
    frame: Frame,
) {
    let Some(tun) = link.tun.as_ref().filter(|_| link.is_up) else { return };
    let query = RouteQuery { device: Some(link.device), ..RouteQuery::to(destination) };
    let gateway = network.configuration().route(&query).ok().and_then(|route| route.gateway);
    let next = gateway.unwrap_or(destination);
    let needs_address = tun.layer == TunLayer::Tap && next.is_ipv4() && !is_for_many;
    match hardware_of(network, link.device, next) {
        Some(hardware) if needs_address => tun.push(frame.sent_to(hardware), link.tx_queue_len),
        None if needs_address => tun.push_unresolved(next, frame),
        _ => tun.push(frame, link.tx_queue_len),
    }
}

/// The neighbour `address` at a link has told its hardware address: what waited for that goes out.
pub(in crate::net) fn learn(
    network: &Arc<NetworkNamespace>,
    link: &Link,
    address: IpAddr,
    hardware: [u8; 6],
) {
    let Some(tun) = &link.tun else { return };
    network.configuration().learn_neighbour(Neighbour {
        device: link.device,
        address,
        hardware_address: Some(hardware),
        state: NeighbourState::Reachable,
        flags: NeighbourFlags::empty(),
    });
    for frame in tun.take_unresolved(address) {
        tun.push(frame.sent_to(hardware), link.tx_queue_len);
    }
}

/// What is known of a neighbour's hardware address.
fn hardware_of(network: &NetworkNamespace, device: u32, address: IpAddr) -> Option<[u8; 6]> {
    network.configuration().look(|all| {
        let mut known = all.neighbours();
        known.find(|known| known.device == device && known.address == address)?.hardware_address
    })
}
