//! Sending, and what comes of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use netlink_packet_route::route::RouteType;

use super::packet::{
    ECHO_HEADER_BYTES, ECHO_REQUEST, ECHO_REQUEST_V6, answer, answered_identifier, ipv4_header, seal,
};
use super::{ICMP, ICMPV6, IcmpSocket, Packet};
use crate::Errno;
use crate::net::inet::Version;
use crate::net::inet::udp::READABLE;

/// The largest packet beside its header.
const MAX_BYTES: usize = 65_515;
/// What a packet costs beside its bytes.
const OVERHEAD_BYTES: usize = 576;

impl IcmpSocket {
    /// Sends `bytes` to `target`, or to the peer.
    pub(super) fn send_packet(&self, bytes: &[u8], target: Option<SocketAddr>) -> Result<usize, Errno> {
        if bytes.len() > MAX_BYTES {
            return Err(Errno::EMSGSIZE);
        }
        if self.inbox.lock().is_send_shut {
            return Err(Errno::EPIPE);
        }
        let (destination, own, identifier) = {
            let mut state = self.state.lock();
            let destination = target.or(state.remote).ok_or(Errno::EDESTADDRREQ)?;
            self.identify(&mut state, 0)?;
            (destination, state.own, state.identifier.as_ref().map(|identifier| identifier.number()))
        };
        let route = self.inet.route(destination, own)?;
        if route.kind != RouteType::Local {
            return Err(Errno::ENETUNREACH);
        }
        let mut message = bytes.to_vec();
        if let Some(identifier) = identifier {
            self.check_echo(&message)?;
            if let Some(place) = message.get_mut(4..6) {
                place.copy_from_slice(&identifier.to_be_bytes());
            }
        }
        let protocol = self.inet.common.protocol();
        // Of a raw socket's messages only those of ICMPv6 are sealed for it.
        if identifier.is_some() || protocol == ICMPV6 {
            seal(&mut message, route.source, route.destination);
        }
        self.deliver(&message, route.source, route.destination);
        let is_icmp = matches!(protocol, ICMP | ICMPV6) && !self.inet.settings().ignores_echo();
        if let Some(mut reply) = answer(&message, protocol == ICMP).filter(|_| is_icmp) {
            seal(&mut reply, route.destination, route.source);
            self.deliver(&reply, route.destination, route.source);
        }
        Ok(bytes.len())
    }

    /// An echo socket sends echoes alone.
    fn check_echo(&self, message: &[u8]) -> Result<(), Errno> {
        let request = if self.version() == Version::V4 { ECHO_REQUEST } else { ECHO_REQUEST_V6 };
        let is_echo = message.len() >= ECHO_HEADER_BYTES && message.starts_with(&[request, 0]);
        if is_echo { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Hands a message of this socket's protocol to all whom it is for.
    fn deliver(&self, message: &[u8], source: IpAddr, destination: IpAddr) {
        let (protocol, sockets) = (self.inet.common.protocol(), self.inet.sockets().icmp());
        let raw: Vec<_> = sockets.raw.lock().iter().filter_map(std::sync::Weak::upgrade).collect();
        let is_for = |socket: &Arc<Self>| {
            socket.inet.common.protocol() == protocol && socket.accepts(source, destination)
        };
        for socket in raw.iter().filter(|socket| is_for(socket)) {
            if socket.state.lock().filter.passes(protocol, message) {
                socket.put(&socket.framed(message, source, destination), source, destination);
            }
        }
        let Some(identifier) = answered_identifier(message, protocol == ICMP) else { return };
        for (_, socket) in sockets.identifiers.find_all(SocketAddr::new(destination, identifier), 0) {
            if is_for(&socket) {
                socket.put(&message.into(), source, destination);
            }
        }
    }

    /// A message as a raw socket gets it: one of IPv4 with its header.
    fn framed(&self, message: &[u8], source: IpAddr, destination: IpAddr) -> Arc<[u8]> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else {
            return message.into();
        };
        let protocol = self.inet.common.protocol().to_le_bytes()[0];
        let header = ipv4_header([source, destination], protocol, message.len(), self.inet.ttl_and_tos());
        [&header, message].concat().into()
    }

    /// Puts a packet where it is found. One for which there is no room is lost.
    fn put(&self, bytes: &Arc<[u8]>, source: IpAddr, destination: IpAddr) {
        let Ok(charge) = self.inet.network().shared().memory.charge(bytes.len() + OVERHEAD_BYTES) else {
            return;
        };
        {
            let receive_buffer_bytes = self.inet.common.options().receive_buffer_bytes as usize;
            let mut inbox = self.inbox.lock();
            let cost_bytes = inbox.cost_bytes + charge.len_bytes();
            if inbox.is_receive_shut || cost_bytes > receive_buffer_bytes {
                return;
            }
            inbox.cost_bytes = cost_bytes;
            inbox.packets.push_back(Packet { bytes: bytes.clone(), source, destination, charge });
        }
        self.queue.notify(READABLE);
    }
}
