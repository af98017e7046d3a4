//! Sending.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use linux_raw_sys::net as uapi;
use netlink_packet_route::route::RouteType;

use super::arrive::{Packet, arrive, count_sent, tell_of_router, way_of};
use super::packet::{ECHO_HEADER_BYTES, ECHO_REQUEST, ECHO_REQUEST_V6, complete_header, seal, seal_at};
use super::{ICMP, ICMPV6, IcmpSocket};
use crate::Errno;
use crate::net::filter::FilteredPacket;
use crate::net::inet::Version;
use crate::net::inet::control::SendControl;
use crate::net::inet::datagram::{Arrival, ErrorOrigin, ErrorWay, Payload, QueuedError};
use crate::net::route::RouteResult;
use crate::net::wire::{self, Outcome, Refusal};
use crate::net::xtables::{Between, Hook, Verdict};

/// The largest packet beside its header.
pub(super) const MAX_BYTES: usize = 65_515;
/// Where an IPv4 header has its protocol, and where its destination.
const PROTOCOL_OFFSET: usize = 9;
const SOURCE_OFFSET: usize = 12;
/// The same of IPv6, and how long its header is.
const V6_PROTOCOL_OFFSET: usize = 6;
const V6_SOURCE_OFFSET: usize = 8;
const IPV6_HEADER_BYTES: usize = 40;

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
        match self.arrived.check_sendable() {
            // What shutdown(2) has ended matters only to one who writes the header.
            Err(Errno::EPIPE) if self.is_raw() && !writes_header => {}
            checked => checked?,
        }
        let is_icmp = matches!(self.inet.common.protocol(), ICMP | ICMPV6);
        // The type and the code are looked at in any case.
        if self.is_raw() && is_icmp && !writes_header && bytes.len() < 2 {
            return Err(Errno::EFAULT);
        }
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
        // The outside answers no echoes.
        let is_outward = self.inet.network().outside().is_some_and(|outside| outside.is_through(&route));
        if is_outward && route.kind == RouteType::Unicast {
            return Err(Errno::ENETUNREACH);
        }
        let (ttl, tos) = self.inet.ttl_and_tos(route.destination, route.device, control);
        let arrival = Arrival {
            source: SocketAddr::new(route.source, 0),
            destination: SocketAddr::new(route.destination, 0),
            device: route.device,
            ttl,
            tos,
            time: self.inet.network().shared().now(),
        };
        match (writes_header, route.destination) {
            (true, IpAddr::V4(_)) => self.send_whole(bytes, arrival, &route)?,
            (true, IpAddr::V6(_)) => self.send_whole_v6(bytes, arrival, &route)?,
            _ => self.send_message(bytes, identifier, arrival, &route)?,
        }
        Ok(bytes.len())
    }

    /// Sends a packet whose header the sender has written: what it left out is filled in (`man 7 raw`).
    fn send_whole(&self, bytes: &[u8], arrival: Arrival, route: &RouteResult) -> Result<(), Errno> {
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
        self.pass(&Packet { protocol, message, header: Some(header), arrival }, route)
    }

    /// The same for IPv6, where nothing is filled in.
    fn send_whole_v6(&self, bytes: &[u8], arrival: Arrival, route: &RouteResult) -> Result<(), Errno> {
        let (header, message) = bytes.split_at_checked(IPV6_HEADER_BYTES).ok_or(Errno::EINVAL)?;
        let address_at = |offset: usize| {
            let octets = header.get(offset..).and_then(|rest| rest.first_chunk::<16>()).copied();
            SocketAddr::new(Ipv6Addr::from(octets.unwrap_or_default()).into(), 0)
        };
        let byte_at = |offset: usize| header.get(offset).copied().unwrap_or(0);
        let arrival = Arrival {
            source: address_at(V6_SOURCE_OFFSET),
            destination: address_at(V6_SOURCE_OFFSET + 16),
            ttl: byte_at(V6_PROTOCOL_OFFSET + 1),
            ..arrival
        };
        let protocol = byte_at(V6_PROTOCOL_OFFSET).into();
        self.pass(&Packet { protocol, message, header: None, arrival }, route)
    }

    /// Sends what comes behind a header.
    fn send_message(
        &self,
        bytes: &[u8],
        identifier: Option<u16>,
        arrival: Arrival,
        route: &RouteResult,
    ) -> Result<(), Errno> {
        let mut message = bytes.to_vec();
        if let Some(identifier) = identifier {
            self.check_echo(&message)?;
            if let Some(place) = message.get_mut(4..6) {
                place.copy_from_slice(&identifier.to_be_bytes());
            }
        }
        let protocol = self.inet.common.protocol();
        let ends = (arrival.source.ip(), arrival.destination.ip());
        // Of a raw socket's messages only those of ICMPv6 are sealed unless it asks for that.
        match self.inet.checksum_offset() {
            Some(offset) => seal_at(&mut message, offset, protocol, ends)?,
            None if identifier.is_some() => seal(&mut message, ends.0, ends.1),
            None => {}
        }
        self.pass(&Packet { protocol, message: &message, header: None, arrival }, route)
    }

    /// Hands a message to all whom it is for, wherever they are; a router that sends it back is told of.
    ///
    /// # Errors
    /// EPERM: the rules of its namespace do not let it out.
    fn pass(&self, packet: &Packet<'_>, route: &RouteResult) -> Result<(), Errno> {
        let network = self.inet.network();
        let judged = packet.judged();
        let judged = wire::Packet { content: self.inet.marked(judged.content), ..judged };
        match network.judge(Hook::Output, &judged, Between::leaving(route.device)) {
            Verdict::Accept => {}
            Verdict::Drop => return Err(Errno::EPERM),
            Verdict::Reject(rejection) => {
                let refused = (packet.arrival.destination.ip(), Refusal::Rejected(rejection));
                tell_of_router(network, packet, refused);
                self.learn_of_router(packet, refused);
                return Err(Errno::EPERM);
            }
        }
        count_sent(network, packet);
        match way_of(network, route, packet) {
            Outcome::Arrives(landings) => landings.iter().for_each(|landing| arrive(landing, packet)),
            Outcome::Refused(by, refusal) => {
                tell_of_router(network, packet, (by, refusal));
                self.learn_of_router(packet, (by, refusal));
            }
            Outcome::Unresolved | Outcome::Lost => {}
        }
        Ok(())
    }

    /// One who wants to know is told that a router has sent a message back.
    fn learn_of_router(&self, packet: &Packet<'_>, (by, refusal): (IpAddr, Refusal)) {
        let destination = packet.arrival.destination;
        if !self.inet.wants_errors(destination.ip()) {
            return;
        }
        let payload = Payload::new(packet.message.into());
        let from = ErrorWay { own: packet.arrival.source.ip(), device: packet.arrival.device };
        let origin = if destination.is_ipv4() { ErrorOrigin::Icmp } else { ErrorOrigin::Icmp6 };
        let queued = QueuedError {
            error: refusal.errno(),
            origin,
            kind: refusal.icmp(destination.is_ipv4()),
            info: 0,
            destination,
            arrival: Some(from.arrival(&self.inet, by, &payload)),
            payload,
        };
        self.arrived.fail(&self.inet, Some(refusal.errno()), Some(queued));
    }

    /// An echo socket sends echoes alone.
    fn check_echo(&self, message: &[u8]) -> Result<(), Errno> {
        let request = if self.version() == Version::V4 { ECHO_REQUEST } else { ECHO_REQUEST_V6 };
        let is_echo = message.len() >= ECHO_HEADER_BYTES && message.starts_with(&[request, 0]);
        if is_echo { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Puts a packet where it is found, as much of it as the filter lets through. One for which there is no room is lost.
    pub(super) fn put(&self, payload: Payload, arrival: Arrival) {
        let payload = match self.inet.common.filter() {
            None => payload,
            Some(filter) => {
                let protocol = if arrival.destination.is_ipv4() { 0x0800 } else { 0x86dd };
                let packet = FilteredPacket {
                    header: &[],
                    payload: payload.bytes(),
                    protocol,
                    device: arrival.device,
                    kind: 0,
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
