//! Frames that somebody has written go out, and come in where they are heard.

use std::net::Ipv4Addr;
use std::sync::Arc;

use netlink_packet_route::route::RouteType;

use super::address::LinkAddress;
use super::{Frame, FrameKind, Link, PacketSocket};
use crate::Errno;
use crate::net::filter::{ETH_P_ARP, ETH_P_IP, ETH_P_IPV6};
use crate::net::{NetworkNamespace, inet, tun, wire};

/// What a frame may have beside its packet and its header (`VLAN_HLEN`).
const TAG_BYTES: usize = 4;

impl PacketSocket {
    /// Sends bytes to an address, or where it is bound to: a whole frame, or what one carries.
    pub(super) fn send_frame(&self, bytes: &[u8], target: Option<&LinkAddress>) -> Result<usize, Errno> {
        let (bound, own_protocol) = {
            let state = self.state.lock();
            (state.device, state.protocol)
        };
        let device = match target {
            Some(target) => u32::try_from(target.device).ok(),
            None => bound,
        };
        let link = device.and_then(|device| Link::find(&self.network, device)).ok_or(Errno::ENXIO)?;
        if !link.is_up {
            return Err(Errno::ENETDOWN);
        }
        let header_bytes = if self.is_cooked() { 0 } else { link.header_bytes() };
        if bytes.len() > link.mtu as usize + header_bytes + TAG_BYTES {
            return Err(Errno::EMSGSIZE);
        }
        let whole = match self.is_cooked() {
            true => {
                let hardware = target.map(|target| &target.hardware[..]).unwrap_or_default();
                let destination = hardware.first_chunk().copied().unwrap_or_default();
                let protocol = target.map_or(own_protocol, |target| target.protocol);
                link.framed(destination, link.address, protocol, bytes)
            }
            false if bytes.len() < header_bytes => return Err(Errno::EINVAL),
            false => bytes.into(),
        };
        let frame = Frame::new(&link, FrameKind::Outgoing, whole, self.network.shared().now());
        transmit(&self.network, &link, &frame, Some(self));
        Ok(bytes.len())
    }
}

/// A frame goes out of a link.
fn transmit(network: &Arc<NetworkNamespace>, link: &Link, frame: &Frame, sender: Option<&PacketSocket>) {
    network.packet_sockets().show(frame, sender);
    if link.is_loopback {
        let passed = network.loopback_passages().unwrap_or_default();
        wire::count(&passed, 1, frame.bytes.len());
        return come_in(network, &frame.at(link));
    }
    if let Some(tun) = &link.tun {
        return tun.push(frame.clone(), link.tx_queue_len);
    }
    for heard in wire::hearers(network, link.device, frame.destination()) {
        wire::count(&heard.passed, 1, frame.bytes.len().saturating_sub(frame.header_bytes()));
        if let Some(link) = Link::find(&heard.network, heard.device) {
            come_in(&heard.network, &frame.at(&link));
        }
    }
}

/// A frame comes in by a link.
pub(in crate::net) fn come_in(network: &Arc<NetworkNamespace>, frame: &Frame) {
    network.packet_sockets().show(frame, None);
    if frame.kind == FrameKind::OtherHost {
        return;
    }
    let (_, payload) = frame.split();
    match frame.protocol {
        ETH_P_IP | ETH_P_IPV6 => inet::take_packet(network, frame.device, payload),
        ETH_P_ARP => answer(network, frame, payload),
        _ => {}
    }
}

/// Answers one who asks who has an address of IPv4 (RFC 826), if it is an own one, and learns who that is.
fn answer(network: &Arc<NetworkNamespace>, frame: &Frame, question: &[u8]) {
    /// Of Ethernet, of IPv4, addresses of so many bytes, and a question.
    const ASKED: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
    const REPLIED: u8 = 2;
    let Some((kind, rest)) = question.split_first_chunk::<8>() else { return };
    let Some(&[a, b, c, d, e, f, w, x, y, z, _, _, _, _, _, _, i, j, k, l]) = rest.first_chunk::<20>() else {
        return;
    };
    let (asker, asker_ip, wanted) = ([a, b, c, d, e, f], [w, x, y, z], Ipv4Addr::new(i, j, k, l));
    let Some(link) = Link::find(network, frame.device).filter(|link| !link.is_loopback) else { return };
    let is_own = network.configuration().address_kind(wanted.into()) == RouteType::Local;
    if !is_own || wanted.is_loopback() {
        return;
    }
    tun::learn(network, &link, Ipv4Addr::from(asker_ip).into(), asker);
    if *kind != ASKED {
        return;
    }
    let mut reply = ASKED.to_vec();
    reply[7] = REPLIED;
    reply.extend_from_slice(&link.address);
    reply.extend_from_slice(&wanted.octets());
    reply.extend_from_slice(&asker);
    reply.extend_from_slice(&asker_ip);
    let bytes = link.framed(asker, link.address, ETH_P_ARP, &reply);
    let reply = Frame::new(&link, FrameKind::Outgoing, bytes, network.shared().now());
    transmit(network, &link, &reply, None);
}
