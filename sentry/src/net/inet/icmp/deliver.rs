//! Sending, and what comes of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use linux_raw_sys::net as uapi;
use netlink_packet_route::route::RouteType;

use super::packet::{
    ECHO_HEADER_BYTES, ECHO_REQUEST, ECHO_REQUEST_V6, answer, answered_identifier, complete_header,
    ipv4_header, seal,
};
use super::{ICMP, ICMPV6, IcmpSocket};
use crate::Errno;
use crate::net::Counter;
use crate::net::filter::FilteredPacket;
use crate::net::inet::Version;
use crate::net::inet::control::SendControl;
use crate::net::inet::datagram::{Arrival, Payload};

/// The largest packet beside its header.
const MAX_BYTES: usize = 65_515;
/// Where an IPv4 header has its protocol, and where its destination.
const PROTOCOL_OFFSET: usize = 9;
const SOURCE_OFFSET: usize = 12;

/// A message on its way: of which protocol, and with which header if the sender has written that.
struct Packet<'a> {
    protocol: u32,
    message: &'a [u8],
    header: Option<&'a [u8]>,
    arrival: Arrival,
}

impl IcmpSocket {
    /// Sends `bytes` to `target`, or to the peer.
    pub(super) fn send_packet(
        &self,
        bytes: &[u8],
        target: Option<SocketAddr>,
        control: &SendControl,
    ) -> Result<usize, Errno> {
        let writes_header = self.is_raw() && self.inet.writes_header();
        if bytes.len() > MAX_BYTES {
            return Err(Errno::EMSGSIZE);
        }
        self.arrived.check_sendable()?;
        let (destination, own, identifier) = {
            let mut state = self.state.lock();
            let destination = target.or(state.remote).ok_or(Errno::EDESTADDRREQ)?;
            self.identify(&mut state, 0)?;
            (destination, state.own, state.identifier.as_ref().map(|identifier| identifier.number()))
        };
        let route = self.inet.route_as_asked(destination, own, control)?;
        let is_allowed =
            route.kind != RouteType::Broadcast || self.inet.common.options().switch(uapi::SO_BROADCAST)?;
        if !is_allowed {
            return Err(Errno::EACCES);
        }
        if route.kind == RouteType::Unicast && !route.is_loopback {
            return Err(Errno::ENETUNREACH);
        }
        let (ttl, tos) = self.inet.ttl_and_tos(route.destination, control);
        let arrival = Arrival {
            source: SocketAddr::new(route.source, 0),
            destination: SocketAddr::new(route.destination, 0),
            device: route.device,
            ttl,
            tos,
            time: self.inet.network().shared().now(),
        };
        let is_own = route.kind != RouteType::Unicast;
        match (writes_header, route.destination) {
            (true, IpAddr::V4(_)) => self.send_whole(bytes, arrival, is_own)?,
            _ => self.send_message(bytes, identifier, arrival, is_own)?,
        }
        Ok(bytes.len())
    }

    /// Sends a packet whose header the sender has written: what it left out is filled in (`man 7 raw`).
    fn send_whole(&self, bytes: &[u8], arrival: Arrival, is_own: bool) -> Result<(), Errno> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (arrival.source.ip(), arrival.destination.ip())
        else {
            return Err(Errno::EINVAL);
        };
        let whole = complete_header(bytes, source)?;
        let address_at = |offset: usize| {
            whole.get(offset..).and_then(|rest| rest.first_chunk::<4>()).map(|bytes| Ipv4Addr::from(*bytes))
        };
        let header_bytes = whole.first().map_or(0, |first| usize::from(first & 0xf) * 4);
        let (header, message) = whole.split_at(header_bytes.min(whole.len()));
        let protocol = whole.get(PROTOCOL_OFFSET).copied().unwrap_or(0).into();
        let source = address_at(SOURCE_OFFSET).unwrap_or(source);
        let destination = address_at(SOURCE_OFFSET + 4).unwrap_or(destination);
        let arrival = Arrival {
            source: SocketAddr::new(source.into(), 0),
            destination: SocketAddr::new(destination.into(), 0),
            tos: whole.get(1).copied().unwrap_or(0),
            ttl: whole.get(8).copied().unwrap_or(0),
            ..arrival
        };
        if is_own {
            self.pass(&Packet { protocol, message, header: Some(header), arrival });
        }
        Ok(())
    }

    /// Sends what comes behind a header.
    fn send_message(
        &self,
        bytes: &[u8],
        identifier: Option<u16>,
        arrival: Arrival,
        is_own: bool,
    ) -> Result<(), Errno> {
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
            seal(&mut message, arrival.source.ip(), arrival.destination.ip());
        }
        if is_own {
            self.pass(&Packet { protocol, message: &message, header: None, arrival });
        }
        Ok(())
    }

    /// Hands a message to all whom it is for, and what answers it, if anything does.
    fn pass(&self, packet: &Packet<'_>) {
        self.count(packet, true);
        self.deliver(packet);
        let is_icmp = matches!(packet.protocol, ICMP | ICMPV6) && !self.inet.settings().ignores_echo();
        if let Some(mut reply) = answer(packet.message, packet.protocol == ICMP).filter(|_| is_icmp) {
            let arrival = self.answering(&packet.arrival);
            seal(&mut reply, arrival.source.ip(), arrival.destination.ip());
            let reply = Packet { message: &reply, header: None, arrival, ..*packet };
            self.count(&reply, false);
            self.deliver(&reply);
        }
    }

    /// The way of an answer: back, from the own address if it went to many.
    fn answering(&self, arrival: &Arrival) -> Arrival {
        let is_for_many = match arrival.destination.ip() {
            IpAddr::V4(destination) => destination.is_multicast() || self.inet.is_broadcast(destination),
            IpAddr::V6(destination) => destination.is_multicast(),
        };
        let source = if is_for_many { arrival.source } else { arrival.destination };
        Arrival { source, destination: arrival.source, ttl: 64, ..*arrival }
    }

    fn count(&self, packet: &Packet<'_>, is_request: bool) {
        let counters = self.inet.network().counters();
        let counted: &[Counter] = match (packet.protocol, is_request) {
            (ICMP, true) => {
                &[Counter::IcmpSent, Counter::IcmpReceived, Counter::IcmpEchoSent, Counter::IcmpEchoReceived]
            }
            (ICMP, false) => &[
                Counter::IcmpSent,
                Counter::IcmpReceived,
                Counter::IcmpEchoReplySent,
                Counter::IcmpEchoReplyReceived,
            ],
            (ICMPV6, _) => &[Counter::Icmp6Sent, Counter::Icmp6Received],
            _ => &[],
        };
        let ip: &[Counter] = match packet.arrival.destination {
            SocketAddr::V4(_) => &[Counter::IpSent, Counter::IpReceived, Counter::IpDelivered],
            SocketAddr::V6(_) => &[Counter::Ip6Sent, Counter::Ip6Received, Counter::Ip6Delivered],
        };
        counted.iter().chain(ip).for_each(|counter| counters.add(*counter, 1));
    }

    /// An echo socket sends echoes alone.
    fn check_echo(&self, message: &[u8]) -> Result<(), Errno> {
        let request = if self.version() == Version::V4 { ECHO_REQUEST } else { ECHO_REQUEST_V6 };
        let is_echo = message.len() >= ECHO_HEADER_BYTES && message.starts_with(&[request, 0]);
        if is_echo { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Hands a message to all sockets that it is for.
    fn deliver(&self, packet: &Packet<'_>) {
        let Packet { protocol, message, arrival, .. } = packet;
        let sockets = self.inet.sockets().icmp();
        let raw: Vec<_> = sockets.raw.lock().iter().filter_map(std::sync::Weak::upgrade).collect();
        let accepts = |socket: &Arc<Self>| {
            let is_of_version = socket.inet.is_ipv6() == arrival.destination.is_ipv6();
            let is_of_protocol = socket.inet.common.protocol() == *protocol;
            is_of_version
                && is_of_protocol
                && socket.accepts(arrival.source.ip(), arrival.destination.ip(), arrival.device)
        };
        let mut framed = None;
        for socket in raw.iter().filter(|socket| accepts(socket)) {
            if socket.state.lock().filter.passes(*protocol, message) {
                let bytes = framed.get_or_insert_with(|| Payload::new(frame(packet)));
                socket.put(bytes.clone(), *arrival);
            }
        }
        let Some(identifier) = answered_identifier(message, *protocol == ICMP) else { return };
        let destination = SocketAddr::new(arrival.destination.ip(), identifier);
        for (_, socket) in sockets.identifiers.find_all(destination, arrival.device) {
            if accepts(&socket) {
                socket.put(Payload::new((*message).into()), *arrival);
            }
        }
    }

    /// Puts a packet where it is found, as much of it as the filter lets through. One for which there is no room is lost.
    fn put(&self, payload: Payload, arrival: Arrival) {
        let payload = match self.inet.common.filter() {
            None => payload,
            Some(filter) => {
                let protocol = if arrival.destination.is_ipv4() { 0x0800 } else { 0x86dd };
                let packet = FilteredPacket {
                    header: &[],
                    payload: payload.bytes(),
                    protocol,
                    device: arrival.device,
                };
                match filter.passed_bytes(&packet) {
                    0 => return,
                    passed => payload.part(0, passed),
                }
            }
        };
        self.arrived.put(&self.inet, payload, arrival);
    }
}

/// A message as a raw socket gets it: one of IPv4 with its header.
fn frame(packet: &Packet<'_>) -> Arc<[u8]> {
    let Arrival { source, destination, ttl, tos, .. } = packet.arrival;
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (source.ip(), destination.ip()) else {
        return packet.message.into();
    };
    if let Some(header) = packet.header {
        return [header, packet.message].concat().into();
    }
    let protocol = packet.protocol.to_le_bytes()[0];
    let header = ipv4_header([source, destination], protocol, packet.message.len(), (ttl, tos));
    [&header, packet.message].concat().into()
}
