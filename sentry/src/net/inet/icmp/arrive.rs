//! Messages that arrive in a namespace, and what answers them.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use netlink_packet_route::route::RouteType;

use super::packet::{answer, answered_identifier, error_message, ipv4_header, ipv6_header, is_summed, seal};
use super::{ICMP, ICMPV6, IcmpSocket};
use crate::net::inet::datagram::{Arrival, Payload};
use crate::net::inet::{UdpSocket, tap};
use crate::net::route::{RouteQuery, RouteResult};
use crate::net::wire::{self, Landing, Outcome, Refusal};
use crate::net::xtables::{Between, ConnectionState, Content, Hook, Verdict};
use crate::net::{Counter, NetworkNamespace};

/// Types of ICMP and of ICMPv6, and where an echo has what tells it from others.
const ECHO_REPLY: u8 = 0;
const ECHO_REPLY_V6: u8 = 129;
const IDENTIFIER_OFFSET: usize = 4;
/// The headers of IPv4 and of IPv6.
const V4_HEADER_BYTES: usize = 20;
const V6_HEADER_BYTES: usize = 40;

const UDP: u32 = 17;
/// The type and the code of a port that nobody has, of ICMP and of ICMPv6.
const PORT_UNREACHABLE: [u8; 2] = [3, 3];
const PORT_UNREACHABLE_V6: [u8; 2] = [1, 4];

/// A message on its way: of which protocol, and with which header if the sender has written that.
pub(in crate::net::inet) struct Packet<'a> {
    pub(in crate::net::inet) protocol: u32,
    pub(in crate::net::inet) message: &'a [u8],
    pub(in crate::net::inet) header: Option<&'a [u8]>,
    pub(in crate::net::inet) arrival: Arrival,
}

impl Packet<'_> {
    fn is_v4(&self) -> bool {
        self.arrival.destination.is_ipv4()
    }

    /// The packet as rules look at it.
    pub(in crate::net::inet) fn judged(&self) -> wire::Packet {
        let Arrival { source, destination, ttl, tos, .. } = self.arrival;
        let byte_at = |offset: usize| self.message.get(offset).copied().unwrap_or(0);
        let port_at = |offset: usize| u16::from_be_bytes([byte_at(offset), byte_at(offset + 1)]);
        let is_icmp = matches!(self.protocol, ICMP | ICMPV6);
        // Errors tell of what has been sent before.
        let is_error = match self.protocol {
            ICMP => matches!(byte_at(0), 3 | 4 | 5 | 11 | 12),
            _ => is_icmp && byte_at(0) < 128,
        };
        let content = Content {
            protocol: self.protocol.to_le_bytes()[0],
            ports: match (is_icmp, byte_at(0)) {
                (false, _) => [port_at(0), port_at(2)],
                // An answer goes back where the question came from.
                (true, ECHO_REPLY | ECHO_REPLY_V6) => [0, port_at(IDENTIFIER_OFFSET)],
                (true, _) => [port_at(IDENTIFIER_OFFSET), 0],
            },
            icmp: [byte_at(0), byte_at(1)],
            state: if is_error { ConnectionState::Related } else { ConnectionState::New },
            len_bytes: self.message.len(),
            ..Content::default()
        };
        wire::Packet { source: source.ip(), destination: destination.ip(), ttl, tos, content }
    }

    fn len_bytes(&self) -> usize {
        self.message.len() + if self.is_v4() { V4_HEADER_BYTES } else { V6_HEADER_BYTES }
    }
}

/// Where a message arrives that leaves a namespace by a route: there, in others, or nowhere.
pub(super) fn way_of(network: &Arc<NetworkNamespace>, route: &RouteResult, packet: &Packet<'_>) -> Outcome {
    let Arrival { destination, ttl, .. } = packet.arrival;
    let passed = network.loopback_passages().filter(|_| route.is_loopback).unwrap_or_default();
    let own = Landing { network: network.clone(), device: route.device, ttl, passed };
    let sent = packet.judged();
    if route.is_loopback || route.kind == RouteType::Local {
        return match own.judge(&sent) {
            _ if route.kind == RouteType::Unicast => Outcome::Arrives(Vec::new()),
            Verdict::Accept => Outcome::Arrives(vec![own]),
            Verdict::Drop => Outcome::Lost,
            Verdict::Reject(rejection) => Outcome::Refused(destination.ip(), Refusal::Rejected(rejection)),
        };
    }
    match (wire::send(network, route, &sent), route.kind) {
        (outcome, RouteType::Unicast) => outcome,
        (Outcome::Arrives(mut landings), _) => {
            landings.push(own);
            Outcome::Arrives(landings)
        }
        (outcome, _) => outcome,
    }
}

/// A message arrives: all sockets that it is for get it, and it is answered if it is an echo.
pub(super) fn arrive(landing: &Landing, packet: &Packet<'_>) {
    wire::count(&landing.passed, 1, packet.len_bytes());
    tap::show_coming(landing, packet);
    take(landing, packet);
}

/// The same for one that packet sockets have seen.
pub(in crate::net::inet) fn take(landing: &Landing, packet: &Packet<'_>) {
    let network = &landing.network;
    let arrival = Arrival { device: landing.device, ttl: landing.ttl, ..packet.arrival };
    let packet = Packet { arrival, ..*packet };
    count_received(network, &packet);
    deliver(network, &packet);
    if packet.protocol == UDP {
        UdpSocket::take_raw(landing, packet.arrival, packet.message);
    }
    let is_icmp = matches!(packet.protocol, ICMP | ICMPV6) && !network.settings().ignores_echo();
    if packet.protocol == ICMP && !is_summed(packet.message) {
        return;
    }
    let Some(reply) = answer(packet.message, packet.protocol == ICMP).filter(|_| is_icmp) else { return };
    send_answer(network, &packet, reply);
}

/// Sends the answer to a message back: from the own address, if it went to many.
fn send_answer(network: &Arc<NetworkNamespace>, packet: &Packet<'_>, mut reply: Vec<u8>) {
    let Arrival { source, destination, device, .. } = packet.arrival;
    let kind = network.configuration().address_kind(destination.ip());
    let is_link_local = matches!(source.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local());
    let query = RouteQuery {
        source: (kind == RouteType::Local).then_some(destination.ip()),
        device: is_link_local.then_some(device),
        ..RouteQuery::to(source.ip())
    };
    let Ok(route) = network.configuration().route(&query) else { return };
    let own = SocketAddr::new(route.source, 0);
    let ttl = network.usual_ttl(source.ip(), route.device);
    let arrival = Arrival { source: own, destination: source, ttl, device: route.device, ..packet.arrival };
    seal(&mut reply, own.ip(), source.ip());
    let reply = Packet { message: &reply, header: None, arrival, ..*packet };
    if network.judge(Hook::Output, &reply.judged(), Between::leaving(route.device)) != Verdict::Accept {
        return;
    }
    count_sent(network, &reply);
    if let Outcome::Arrives(landings) = way_of(network, &route, &reply) {
        for landing in &landings {
            wire::count(&landing.passed, 1, reply.len_bytes());
            tap::show_coming(landing, &reply);
            let arrival = Arrival { device: landing.device, ttl: landing.ttl, ..arrival };
            let reply = Packet { arrival, ..reply };
            count_received(&landing.network, &reply);
            deliver(&landing.network, &reply);
        }
    }
}

/// Raw sockets of the sender's namespace get what ICMP says of a message that a router has sent back.
pub(super) fn tell_of_router(
    network: &Arc<NetworkNamespace>,
    packet: &Packet<'_>,
    (by, refusal): (IpAddr, Refusal),
) {
    tell_of_error(network, packet, (by, refusal.icmp(packet.is_v4())), None);
}

/// Nobody has the port that a datagram is for: the sender's namespace is told.
pub(in crate::net::inet) fn refuse_port(
    network: &Arc<NetworkNamespace>,
    landing: &Landing,
    (arrival, datagram): (Arrival, &[u8]),
) {
    let packet = Packet { protocol: UDP, message: datagram, header: None, arrival };
    let code = if packet.is_v4() { PORT_UNREACHABLE } else { PORT_UNREACHABLE_V6 };
    let by_address = arrival.destination.ip();
    let is_same = Arc::ptr_eq(network, &landing.network);
    let sender = (!is_same).then_some(landing);
    let len_bytes = tell_of_error(network, &packet, (by_address, code), sender);
    let counters = landing.network.counters();
    counters.count_sent(packet.is_v4(), 1, len_bytes);
    let sent = match packet.is_v4() {
        true => [Counter::IcmpSent, Counter::IcmpUnreachableSent],
        false => [Counter::Icmp6Sent, Counter::Icmp6UnreachableSent],
    };
    sent.iter().for_each(|counter| counters.add(*counter, 1));
    if is_same {
        wire::count(&landing.passed, 1, len_bytes);
    }
}

/// An error comes back to a namespace, from where a packet has landed if that is another. Returns how long it is, with its header.
fn tell_of_error(
    network: &Arc<NetworkNamespace>,
    packet: &Packet<'_>,
    (by, code): (IpAddr, [u8; 2]),
    sender: Option<&Landing>,
) -> usize {
    let is_v4 = packet.is_v4();
    let mut message = error_message(code, &whole(packet));
    seal(&mut message, by, packet.arrival.source.ip());
    let Arrival { source, device, time, .. } = packet.arrival;
    let ttl = network.usual_ttl(source.ip(), device);
    let arrival = Arrival { source: SocketAddr::new(by, 0), destination: source, device, ttl, tos: 0, time };
    let protocol = if is_v4 { ICMP } else { ICMPV6 };
    let told = Packet { protocol, message: &message, header: None, arrival };
    show_error(network, &told, sender);
    count_received(network, &told);
    deliver(network, &told);
    told.len_bytes()
}

/// Packet sockets see an error leave, and come in.
fn show_error(network: &Arc<NetworkNamespace>, told: &Packet<'_>, sender: Option<&Landing>) {
    let leaves_by = sender.map_or(told.arrival.device, |landing| landing.device);
    let leaving = Packet { arrival: Arrival { device: leaves_by, ..told.arrival }, ..*told };
    tap::show_leaving(sender.map_or(network, |landing| &landing.network), &leaving);
    let Arrival { device, ttl, .. } = told.arrival;
    tap::show_coming(&Landing { network: network.clone(), device, ttl, passed: Vec::new() }, told);
}

/// Hands a message to all sockets that it is for.
fn deliver(network: &Arc<NetworkNamespace>, packet: &Packet<'_>) {
    let Packet { protocol, message, arrival, .. } = packet;
    let sockets = network.inet_sockets().icmp();
    let raw: Vec<_> = sockets.raw.lock().iter().filter_map(Weak::upgrade).collect();
    let accepts = |socket: &Arc<IcmpSocket>| {
        let is_of_version = socket.inet.is_ipv6() == arrival.destination.is_ipv6();
        let is_of_protocol = socket.inet.common.protocol() == *protocol;
        is_of_version
            && is_of_protocol
            && socket.accepts(arrival.source.ip(), arrival.destination.ip(), arrival.device)
    };
    let mut framed = None;
    for socket in raw.iter().filter(|socket| accepts(socket)) {
        if socket.state.lock().filter.passes(*protocol, message) {
            let bytes = framed.get_or_insert_with(|| Payload::new(framed_for_raw(packet)));
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

/// A message as a raw socket gets it: one of IPv4 with its header.
fn framed_for_raw(packet: &Packet<'_>) -> Arc<[u8]> {
    if packet.is_v4() { frame(packet).into() } else { packet.message.into() }
}

/// A message of IPv4 with its header; one of IPv6 is without.
fn frame(packet: &Packet<'_>) -> Vec<u8> {
    let Arrival { source, destination, ttl, tos, .. } = packet.arrival;
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (source.ip(), destination.ip()) else {
        return packet.message.to_vec();
    };
    if let Some(header) = packet.header {
        return [header, packet.message].concat();
    }
    let protocol = packet.protocol.to_le_bytes()[0];
    let header = ipv4_header([source, destination], protocol, packet.message.len(), (ttl, tos));
    [&header, packet.message].concat()
}

/// A message with its header.
pub(in crate::net::inet) fn whole(packet: &Packet<'_>) -> Vec<u8> {
    let Arrival { source, destination, ttl, .. } = packet.arrival;
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (source.ip(), destination.ip()) else {
        return frame(packet);
    };
    let protocol = packet.protocol.to_le_bytes()[0];
    let header = ipv6_header([source, destination], protocol, packet.message.len(), ttl);
    [&header, packet.message].concat()
}

/// Counts a message that leaves, and shows it to packet sockets.
pub(super) fn count_sent(network: &Arc<NetworkNamespace>, packet: &Packet<'_>) {
    tap::show_leaving(network, packet);
    let counted: &[Counter] = match (packet.protocol, packet.message.first()) {
        (ICMP, Some(0)) => &[Counter::IcmpSent, Counter::IcmpEchoReplySent],
        (ICMP, Some(3)) => &[Counter::IcmpSent, Counter::IcmpUnreachableSent],
        (ICMP, Some(8)) => &[Counter::IcmpSent, Counter::IcmpEchoSent],
        (ICMP, _) => &[Counter::IcmpSent],
        (ICMPV6, Some(1)) => &[Counter::Icmp6Sent, Counter::Icmp6UnreachableSent],
        (ICMPV6, Some(128)) => &[Counter::Icmp6Sent, Counter::Icmp6EchoSent],
        (ICMPV6, Some(129)) => &[Counter::Icmp6Sent, Counter::Icmp6EchoReplySent],
        (ICMPV6, _) => &[Counter::Icmp6Sent],
        _ => &[],
    };
    counted.iter().for_each(|counter| network.counters().add(*counter, 1));
    network.counters().count_sent(packet.is_v4(), 1, packet.len_bytes());
}

/// Counts a message that has arrived.
fn count_received(network: &NetworkNamespace, packet: &Packet<'_>) {
    let counted: &[Counter] = match (packet.protocol, packet.message.first()) {
        (ICMP, _) if !is_summed(packet.message) => {
            &[Counter::IcmpReceived, Counter::IcmpReceivedBad, Counter::IcmpReceivedUnsummed]
        }
        (ICMP, Some(0)) => &[Counter::IcmpReceived, Counter::IcmpEchoReplyReceived],
        (ICMP, Some(3)) => &[Counter::IcmpReceived, Counter::IcmpUnreachableReceived],
        (ICMP, Some(8)) => &[Counter::IcmpReceived, Counter::IcmpEchoReceived],
        (ICMP, _) => &[Counter::IcmpReceived],
        (ICMPV6, Some(1)) => &[Counter::Icmp6Received, Counter::Icmp6UnreachableReceived],
        (ICMPV6, Some(128)) => &[Counter::Icmp6Received, Counter::Icmp6EchoReceived],
        (ICMPV6, Some(129)) => &[Counter::Icmp6Received, Counter::Icmp6EchoReplyReceived],
        (ICMPV6, _) => &[Counter::Icmp6Received],
        _ => &[],
    };
    counted.iter().for_each(|counter| network.counters().add(*counter, 1));
    network.counters().count_received(packet.is_v4(), 1, packet.len_bytes());
}

/// Hands a copy of a packet of another protocol to the raw sockets of that protocol, where it arrives, and to packet sockets.
pub(in crate::net::inet) fn copy_to_raw(
    landing: &Landing,
    protocol: u32,
    (arrival, message): (Arrival, impl FnOnce() -> Vec<u8>),
) {
    let has_packet_sockets = !landing.network.packet_sockets().is_empty();
    let has_raw = !landing.network.inet_sockets().icmp().raw.lock().is_empty();
    if has_raw || has_packet_sockets {
        let portless = |address: SocketAddr| SocketAddr::new(address.ip(), 0);
        let (source, destination) = (portless(arrival.source), portless(arrival.destination));
        let (device, ttl) = (landing.device, landing.ttl);
        let arrival = Arrival { source, destination, device, ttl, ..arrival };
        let message = message();
        let packet = Packet { protocol, message: &message, header: None, arrival };
        tap::show_coming(landing, &packet);
        deliver(&landing.network, &packet);
    }
}
