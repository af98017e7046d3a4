//! Sending.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use linux_raw_sys::net as uapi;
use netlink_packet_route::route::RouteType;

use super::UdpSocket;
use crate::Errno;
use crate::net::filter::{ETH_P_IP, ETH_P_IPV6, FilteredPacket};
use crate::net::inet::control::SendControl;
use crate::net::inet::datagram::{Arrival, ErrorOrigin, ErrorWay, Payload, QueuedError};
use crate::net::inet::icmp::{self, Packet};
use crate::net::inet::spreading::choose;
use crate::net::inet::tap;
use crate::net::route::RouteResult;
use crate::net::wire::{self, Landing};
use crate::net::xtables::{Between, Content, Hook, Rejection, Verdict};
use crate::net::{Counter, SocketMemoryCharge};

/// The largest datagrams: what a packet of 65,535 bytes has left beside the headers.
const MAX_V4_BYTES: usize = 65_507;
const MAX_V6_BYTES: usize = 65_527;
/// The headers of IPv4 and of IPv6 with UDP's.
const V4_HEADER_BYTES: usize = 28;
const V6_HEADER_BYTES: usize = 48;
/// The most datagrams that one send makes (`UDP_MAX_SEGMENTS`).
const MAX_SEGMENTS: usize = 128;
/// UDP's own header.
pub(super) const UDP_HEADER_BYTES: usize = 8;
/// How much of a datagram ICMP gives back: what a packet of 576 bytes, or 1,280 of IPv6, has left beside its headers.
const QUOTED_V4_BYTES: usize = 520;
const QUOTED_V6_BYTES: usize = 1184;
/// ICMP's type and code of a port where nobody is.
const PORT_UNREACHABLE: [u8; 2] = [3, 3];
const PORT_UNREACHABLE_V6: [u8; 2] = [1, 4];

/// What is held back until it is whole.
pub(super) struct Cork {
    way: Way,
    bytes: Vec<u8>,
    segment_bytes: u16,
    charge: SocketMemoryCharge,
}

/// Where a datagram goes from and to, and how.
#[derive(Clone)]
struct Way {
    source: SocketAddr,
    remote: SocketAddr,
    route: RouteResult,
    control: SendControl,
}

/// What is sent.
pub(super) struct Sending<'a> {
    pub(super) bytes: &'a [u8],
    /// Where to, if not to the peer.
    pub(super) target: Option<SocketAddr>,
    pub(super) control: SendControl,
    /// More belongs to it (MSG_MORE).
    pub(super) has_more: bool,
}

/// The headers of a datagram to `remote`.
fn header_bytes(remote: SocketAddr) -> usize {
    if remote.is_ipv4() { V4_HEADER_BYTES } else { V6_HEADER_BYTES }
}

/// A sender's address as it is told where a packet comes in by a link: one that is of that link alone names it.
fn scoped(source: SocketAddr, device: u32) -> SocketAddr {
    match source {
        SocketAddr::V6(mut v6) if v6.ip().is_unicast_link_local() => {
            v6.set_scope_id(device);
            v6.into()
        }
        source => source,
    }
}

fn max_bytes(remote: SocketAddr) -> usize {
    if remote.is_ipv4() { MAX_V4_BYTES } else { MAX_V6_BYTES }
}

impl UdpSocket {
    /// Fails unless broadcasts were asked for, if that is what it would be.
    pub(super) fn check_broadcast(&self, kind: RouteType) -> Result<(), Errno> {
        let is_allowed =
            kind != RouteType::Broadcast || self.inet.common.options().switch(uapi::SO_BROADCAST)?;
        if is_allowed { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Sends bytes to `target` or to the peer, or puts them with those that wait.
    pub(super) fn send_datagram(&self, sending: &Sending<'_>) -> Result<usize, Errno> {
        let is_corked = sending.has_more || self.options.lock().is_corked;
        if self.cork.lock().is_some() {
            return self.append(sending.bytes, is_corked);
        }
        let way = self.settle(sending)?;
        let segment_bytes = sending.control.segment_bytes.unwrap_or(self.options.lock().segment_bytes);
        if is_corked {
            self.check_len(&way, sending.bytes)?;
            self.arrived.check_sendable()?;
            let charge = self.inet.network().shared().memory.charge(max_bytes(way.remote))?;
            let bytes = sending.bytes.to_vec();
            *self.cork.lock() = Some(Cork { way, bytes, segment_bytes, charge });
            return Ok(sending.bytes.len());
        }
        self.transmit(&way, sending.bytes, segment_bytes)?;
        Ok(sending.bytes.len())
    }

    /// Puts bytes with those that wait, and sends all if that is to be.
    fn append(&self, bytes: &[u8], is_corked: bool) -> Result<usize, Errno> {
        {
            let mut cork = self.cork.lock();
            let Some(waiting) = cork.as_mut() else { return Err(Errno::EINVAL) };
            if waiting.bytes.len() + bytes.len() > max_bytes(waiting.way.remote) {
                *cork = None;
                return Err(Errno::EMSGSIZE);
            }
            waiting.bytes.extend_from_slice(bytes);
        }
        if !is_corked {
            self.uncork()?;
        }
        Ok(bytes.len())
    }

    /// Sends what waits.
    pub(super) fn uncork(&self) -> Result<(), Errno> {
        let waiting = self.cork.lock().take();
        let Some(Cork { way, bytes, segment_bytes, charge }) = waiting else { return Ok(()) };
        drop(charge);
        self.transmit(&way, &bytes, segment_bytes)
    }

    /// Both addresses of a datagram, and its way.
    fn settle(&self, sending: &Sending<'_>) -> Result<Way, Errno> {
        let mut state = self.state.lock();
        let mut remote = sending.target.or(state.remote).ok_or(Errno::EDESTADDRREQ)?;
        if sending.target.is_some() && remote.port() == 0 {
            return Err(Errno::EINVAL);
        }
        self.bind_to_any(&mut state)?;
        let own = state.bound.as_ref().ok_or(Errno::EINVAL)?.address;
        // The address of a connection is no hindrance for a datagram to somewhere else.
        let is_given = state.bound.as_ref().is_some_and(|bound| bound.is_address_given);
        let is_connected = sending.target.is_none();
        let own_ip = (is_given || is_connected).then_some(own.ip());
        let found = self.inet.route_as_asked(remote, own_ip, &sending.control);
        let route = found.inspect_err(|error| self.count_refusal(*error, remote))?;
        self.check_broadcast(route.kind)?;
        remote.set_ip(route.destination);
        let source = SocketAddr::new(route.source, own.port());
        Ok(Way { source, remote, route, control: sending.control })
    }

    fn count_refusal(&self, error: Errno, remote: SocketAddr) {
        if error == Errno::ENETUNREACH {
            let counter = if remote.is_ipv4() { Counter::IpWithoutRoute } else { Counter::Ip6WithoutRoute };
            self.inet.network().counters().add(counter, 1);
        }
    }

    /// Fails for what is too long; an error that the queue of errors tells of as well.
    fn check_len(&self, way: &Way, bytes: &[u8]) -> Result<(), Errno> {
        let room = (way.route.mtu as usize).saturating_sub(header_bytes(way.remote));
        let is_whole = self.inet.forbids_fragments(way.remote.ip());
        if bytes.len() <= max_bytes(way.remote) && (bytes.len() <= room || !is_whole) {
            return Ok(());
        }
        if self.inet.wants_errors(way.remote.ip()) {
            let queued = QueuedError {
                error: Errno::EMSGSIZE,
                origin: ErrorOrigin::Local,
                kind: [0; 2],
                info: largest_packet_bytes(way),
                destination: way.remote,
                arrival: None,
                payload: Payload::new(Arc::from([])),
            };
            self.arrived.fail(&self.inet, None, Some(queued));
        }
        Err(Errno::EMSGSIZE)
    }

    /// Sends a datagram, or as many as it takes.
    fn transmit(&self, way: &Way, bytes: &[u8], segment_bytes: u16) -> Result<(), Errno> {
        let len_bytes = usize::from(segment_bytes);
        let is_one = len_bytes == 0 || bytes.len() <= len_bytes;
        if is_one || self.is_lite() {
            self.check_len(way, bytes)?;
        } else {
            self.check_len(way, bytes.get(..len_bytes).unwrap_or(bytes))?;
            self.check_len(way, &[])?;
            if bytes.len() > len_bytes * MAX_SEGMENTS
                || self.inet.common.options().switch(uapi::SO_NO_CHECK)?
            {
                return Err(Errno::EINVAL);
            }
            if bytes.len() > max_bytes(way.remote) {
                return Err(Errno::EMSGSIZE);
            }
        }
        if self.is_lite() && !is_one {
            return Err(Errno::EIO);
        }
        self.arrived.check_sendable()?;
        self.check_leaving(way, bytes)?;
        let count = if is_one { 1 } else { bytes.len().div_ceil(len_bytes) };
        self.count_sent(way.remote.ip(), count, bytes.len());
        if let Some(outside) = self.way_out(&way.route) {
            let part_bytes = if is_one { bytes.len().max(1) } else { len_bytes };
            let mut parts = bytes.chunks(part_bytes);
            let first = parts.next().unwrap_or_default();
            return std::iter::once(first)
                .chain(parts)
                .try_for_each(|part| self.send_out(part, way.remote, &outside).map(drop));
        }
        let payload = Payload::new(bytes.into());
        self.show_leaving(way, &payload);
        for landing in self.landings(way, &payload) {
            wire::count(&landing.passed, count, bytes.len() + count * header_bytes(way.remote));
            self.arrive_at(&landing, way, &payload, segment_bytes);
        }
        Ok(())
    }

    /// A datagram of so many bytes, for rules to look at.
    fn packet(&self, way: &Way, len_bytes: usize) -> wire::Packet {
        let (ttl, tos) = self.inet.ttl_and_tos(way.remote.ip(), way.route.device, &way.control);
        let content = self.inet.marked(Content {
            protocol: self.inet.common.protocol().to_le_bytes()[0],
            ports: [way.source.port(), way.remote.port()],
            len_bytes: len_bytes + UDP_HEADER_BYTES,
            ..Content::default()
        });
        wire::Packet { source: way.source.ip(), destination: way.remote.ip(), ttl, tos, content }
    }

    /// Fails for a datagram that the rules of its namespace do not let out.
    fn check_leaving(&self, way: &Way, bytes: &[u8]) -> Result<(), Errno> {
        let between = Between::leaving(way.route.device);
        match self.inet.network().judge(Hook::Output, &self.packet(way, bytes.len()), between) {
            Verdict::Accept => return Ok(()),
            Verdict::Drop => {}
            Verdict::Reject(rejection) => {
                self.learn_of_rejection(way, &Payload::new(bytes.into()), (way.remote.ip(), rejection));
            }
        }
        Err(Errno::EPERM)
    }

    /// The own namespace, if its rules let a datagram in.
    fn own_landing(&self, own: Landing, way: &Way, payload: &Payload) -> Option<Landing> {
        match own.judge(&self.packet(way, payload.bytes().len())) {
            Verdict::Accept => return Some(own),
            Verdict::Drop => {}
            Verdict::Reject(rejection) => {
                self.learn_of_rejection(way, payload, (way.remote.ip(), rejection));
            }
        }
        None
    }

    /// Packet sockets see a datagram leave.
    fn show_leaving(&self, way: &Way, payload: &Payload) {
        let network = self.inet.network();
        if !network.packet_sockets().are_frames_seen() {
            return;
        }
        let (ttl, _) = self.inet.ttl_and_tos(way.remote.ip(), way.route.device, &way.control);
        let own = Landing { network: network.clone(), device: way.route.device, ttl, passed: Vec::new() };
        let arrival = self.arrival(way, &own);
        let protocol = self.inet.common.protocol();
        let message = datagram(protocol, &arrival, payload.bytes());
        tap::show_leaving(network, &Packet { protocol, message: &message, header: None, arrival });
    }

    /// Where a datagram arrives: in this namespace, in others, or nowhere.
    fn landings(&self, way: &Way, payload: &Payload) -> Vec<Landing> {
        let network = self.inet.network();
        let (ttl, _) = self.inet.ttl_and_tos(way.remote.ip(), way.route.device, &way.control);
        let passed = network.loopback_passages().filter(|_| way.route.is_loopback).unwrap_or_default();
        let own = Landing { network: network.clone(), device: way.route.device, ttl, passed };
        let is_looped = match (way.route.kind, way.remote.ip()) {
            (RouteType::Multicast, IpAddr::V4(_)) => self.inet.has_ip_option(uapi::IP_MULTICAST_LOOP),
            (RouteType::Multicast, IpAddr::V6(_)) => self.inet.has_ipv6_option(uapi::IPV6_MULTICAST_LOOP),
            (RouteType::Unicast, _) => false,
            _ => true,
        };
        if way.route.kind == RouteType::Local || way.route.is_loopback {
            return self.own_landing(own, way, payload).into_iter().collect();
        }
        let packet = self.packet(way, payload.bytes().len());
        let mut landings = match wire::send(network, &way.route, &packet) {
            wire::Outcome::Arrives(landings) => landings,
            wire::Outcome::Refused(by, wire::Refusal::Rejected(rejection)) => {
                self.learn_of_rejection(way, payload, (by, rejection));
                Vec::new()
            }
            wire::Outcome::Refused(by, refusal) => {
                self.learn_of_router(way, payload, (by, refusal));
                Vec::new()
            }
            wire::Outcome::Unresolved | wire::Outcome::Lost => Vec::new(),
        };
        landings.extend(is_looped.then_some(own).and_then(|own| self.own_landing(own, way, payload)));
        landings
    }

    /// Hands a datagram to those whom it is for where it arrives.
    fn arrive_at(&self, landing: &Landing, way: &Way, payload: &Payload, segment_bytes: u16) {
        let len_bytes = usize::from(segment_bytes);
        let is_one = len_bytes == 0 || payload.bytes().len() <= len_bytes;
        let count = if is_one { 1 } else { payload.bytes().len().div_ceil(len_bytes) };
        let kind = landing.network.configuration().address_kind(way.remote.ip());
        let receivers = self.receivers(way, landing, payload.bytes());
        let arrival = self.arrival(way, landing);
        if !receivers.is_empty() || kind == RouteType::Local {
            Self::count_arrived(&landing.network, way.remote.ip(), count, payload.bytes().len());
        }
        if receivers.is_empty() && kind == RouteType::Local {
            let counter = (Counter::UdpWithoutPort, Counter::Udp6WithoutPort);
            let counter = if way.remote.is_ipv4() { counter.0 } else { counter.1 };
            landing.network.counters().add(counter, u64::from(!self.is_lite()));
            icmp::refuse_port(
                self.inet.network(),
                landing,
                (arrival, &datagram(self.inet.common.protocol(), &arrival, payload.bytes())),
            );
            let from = ErrorWay { own: way.source.ip(), device: landing.device };
            self.learn_of_refusal(way.remote, payload, from);
        }
        icmp::copy_to_raw(
            landing,
            self.inet.common.protocol(),
            (arrival, || datagram(self.inet.common.protocol(), &arrival, payload.bytes())),
        );
        for receiver in receivers {
            if is_one {
                receiver.put(payload.clone(), arrival);
            } else if receiver.options.lock().takes_segments {
                receiver.put(payload.of_segments(segment_bytes), arrival);
            } else {
                for index in 0..count {
                    receiver.put(payload.part(index * len_bytes, len_bytes), arrival);
                }
            }
        }
    }

    fn arrival(&self, way: &Way, landing: &Landing) -> Arrival {
        let (_, tos) = self.inet.ttl_and_tos(way.remote.ip(), way.route.device, &way.control);
        Arrival {
            source: scoped(way.source, landing.device),
            destination: way.remote,
            device: landing.device,
            ttl: landing.ttl,
            tos,
            time: self.inet.network().shared().now(),
        }
    }

    /// Who gets a datagram: of those whom it may be for, the one that it fits best; all of them, if it is for all.
    fn receivers(&self, way: &Way, landing: &Landing, bytes: &[u8]) -> Vec<Arc<Self>> {
        let (source, group, device) = (way.source, way.remote.ip(), landing.device);
        let is_own = Arc::ptr_eq(&landing.network, self.inet.network());
        let kind = match is_own {
            true => way.route.kind,
            false => landing.network.configuration().address_kind(group),
        };
        let sockets = landing.network.inet_sockets();
        let is_for_all = match kind {
            RouteType::Local => false,
            RouteType::Broadcast => true,
            RouteType::Multicast if sockets.groups().has(device, group) => true,
            _ => return Vec::new(),
        };
        let ports = if self.is_lite() { &sockets.udp_lite().ports } else { &sockets.udp().ports };
        let found = ports.find_all(way.remote, device);
        let fitting = found.into_iter().filter_map(|(score, socket)| {
            let is_connected = socket.accepts_from(source)?;
            Some(((is_connected, score), socket))
        });
        if is_for_all {
            let hears =
                |socket: &Arc<Self>| !group.is_multicast() || socket.inet.hears(group, source.ip(), device);
            return fitting.map(|(_, socket)| socket).filter(hears).collect();
        }
        let fitting: Vec<_> = fitting.collect();
        let best = fitting.iter().map(|(score, _)| *score).max();
        let mut best: Vec<_> =
            fitting.into_iter().filter(|(score, _)| Some(*score) == best).map(|(_, socket)| socket).collect();
        if best.is_empty() {
            return best;
        }
        // Those that share a port by SO_REUSEPORT get their parts; of others that do, the one that was bound last.
        let protocol = if group.is_ipv4() { ETH_P_IP } else { ETH_P_IPV6 };
        let packet = FilteredPacket { header: &[], payload: bytes, protocol, device, kind: 0 };
        let chosen = match best.iter().all(|socket| socket.inet.common.options().reuses_port) {
            true => choose(&best, |socket| &socket.inet.common, &packet, source.port().into()),
            false => best.len() - 1,
        };
        vec![best.swap_remove(chosen)]
    }

    /// Puts a datagram where it is found, as much of it as the filter lets through. One for which there is no room is lost.
    pub(super) fn put(&self, payload: Payload, arrival: Arrival) {
        let Some(payload) = self.filtered(payload, &arrival) else {
            return self.count(arrival.destination.ip(), Counter::UdpErrors, Counter::Udp6Errors);
        };
        if !self.arrived.put(&self.inet, payload, arrival) {
            let ip = arrival.destination.ip();
            self.count(ip, Counter::UdpErrors, Counter::Udp6Errors);
            self.count(ip, Counter::UdpReceiveBufferErrors, Counter::Udp6ReceiveBufferErrors);
        }
    }

    /// A datagram arrives that somebody has written with its header: the one that it fits best gets it.
    pub(in crate::net::inet) fn take_raw(landing: &Landing, arrival: Arrival, datagram: &[u8]) {
        let Some((&[a, b, c, d, high, low, _, _], rest)) = datagram.split_first_chunk::<8>() else { return };
        let len_bytes = usize::from(u16::from_be_bytes([high, low])).saturating_sub(8);
        let Some(bytes) = rest.get(..len_bytes) else { return };
        let mut arrival = arrival;
        arrival.source.set_port(u16::from_be_bytes([a, b]));
        arrival.destination.set_port(u16::from_be_bytes([c, d]));
        let ports = &landing.network.inet_sockets().udp().ports;
        let fitting = ports.find_all(arrival.destination, arrival.device);
        let fitting = fitting
            .into_iter()
            .filter_map(|(score, socket)| Some(((socket.accepts_from(arrival.source)?, score), socket)));
        match fitting.max_by_key(|(score, _)| *score) {
            Some((_, socket)) => socket.put(Payload::new(bytes.into()), arrival),
            None => icmp::refuse_port(&landing.network, landing, (arrival, datagram)),
        }
    }

    fn filtered(&self, payload: Payload, arrival: &Arrival) -> Option<Payload> {
        let Some(filter) = self.inet.common.filter() else { return Some(payload) };
        let header = header(arrival, payload.bytes().len());
        let protocol = if arrival.destination.is_ipv4() { ETH_P_IP } else { ETH_P_IPV6 };
        let packet = FilteredPacket {
            header: &header,
            payload: payload.bytes(),
            protocol,
            device: arrival.device,
            kind: 0,
        };
        match filter.passed_bytes(&packet) {
            0 => None,
            // The header stays in any case.
            passed => Some(payload.part(0, passed.saturating_sub(header.len()))),
        }
    }

    /// A router has sent a datagram back: one who wants to know is told.
    fn learn_of_router(&self, way: &Way, payload: &Payload, (by, refusal): (IpAddr, wire::Refusal)) {
        let remote = way.remote;
        if !self.inet.wants_errors(remote.ip()) {
            return;
        }
        let from = ErrorWay { own: way.source.ip(), device: way.route.device };
        let (origin, quoted_bytes) = match remote.ip() {
            IpAddr::V4(_) => (ErrorOrigin::Icmp, QUOTED_V4_BYTES),
            IpAddr::V6(_) => (ErrorOrigin::Icmp6, QUOTED_V6_BYTES),
        };
        let queued = QueuedError {
            error: refusal.errno(),
            origin,
            kind: refusal.icmp(remote.is_ipv4()),
            info: 0,
            destination: remote,
            arrival: Some(from.arrival(&self.inet, by, payload)),
            payload: payload.part(0, quoted_bytes),
        };
        self.arrived.fail(&self.inet, Some(refusal.errno()), Some(queued));
    }

    /// A rule has sent a datagram back.
    fn learn_of_rejection(&self, way: &Way, payload: &Payload, (by, rejection): (IpAddr, Rejection)) {
        if !rejection.is_lasting() {
            return self.learn_of_router(way, payload, (by, wire::Refusal::Rejected(rejection)));
        }
        let from = ErrorWay { own: way.source.ip(), device: way.route.device };
        self.learn_of_error((rejection.errno(), rejection.icmp()), way.remote, payload, (by, from));
    }

    /// Nobody was there: one who is connected, or wants to know, is told by the next call.
    pub(super) fn learn_of_refusal(&self, remote: SocketAddr, payload: &Payload, from: ErrorWay) {
        let kind = if remote.is_ipv4() { PORT_UNREACHABLE } else { PORT_UNREACHABLE_V6 };
        self.learn_of_error((Errno::ECONNREFUSED, kind), remote, payload, (remote.ip(), from));
    }

    /// A datagram has not arrived, as `by` says: one who is connected, or wants to know, is told by the next call.
    fn learn_of_error(
        &self,
        (error, kind): (Errno, [u8; 2]),
        remote: SocketAddr,
        payload: &Payload,
        (by, from): (IpAddr, ErrorWay),
    ) {
        let peer = self.state.lock().remote.map(|peer| (peer.ip(), peer.port()));
        let wants_errors = self.inet.wants_errors(remote.ip());
        // What one who is connected has sent elsewhere is nobody's when it comes back.
        let is_for_this = peer.map_or(wants_errors, |peer| peer == (remote.ip(), remote.port()));
        if !is_for_this {
            return;
        }
        let (origin, quoted_bytes) = match remote.ip() {
            IpAddr::V4(_) => (ErrorOrigin::Icmp, QUOTED_V4_BYTES),
            IpAddr::V6(_) => (ErrorOrigin::Icmp6, QUOTED_V6_BYTES),
        };
        let queued = wants_errors.then(|| QueuedError {
            error,
            origin,
            kind,
            info: 0,
            destination: remote,
            arrival: Some(from.arrival(&self.inet, by, payload)),
            payload: payload.part(0, quoted_bytes),
        });
        self.arrived.fail(&self.inet, Some(error), queued);
    }
}

/// The largest packet that a way takes: of IPv4, at most what the header can tell.
fn largest_packet_bytes(way: &Way) -> u32 {
    if way.remote.is_ipv4() { way.route.mtu.min(u16::MAX.into()) } else { way.route.mtu }
}

/// The header of a datagram of so many bytes, without its checksum.
fn header(arrival: &Arrival, len_bytes: usize) -> Vec<u8> {
    const HEADER_BYTES: usize = 8;
    let len = u16::try_from(len_bytes + HEADER_BYTES).unwrap_or(u16::MAX);
    let fields = [arrival.source.port(), arrival.destination.port(), len, 0];
    fields.iter().flat_map(|field| field.to_be_bytes()).collect()
}

/// A datagram of `protocol` with its header, as it is shown to those who look at packets.
fn datagram(protocol: u32, arrival: &Arrival, bytes: &[u8]) -> Vec<u8> {
    const CHECKSUM_OFFSET: usize = 6;
    let mut whole = [&header(arrival, bytes.len()), bytes].concat();
    let ends = (arrival.source.ip(), arrival.destination.ip());
    // A header has room for it.
    let _sealed = icmp::seal_at(&mut whole, CHECKSUM_OFFSET, protocol, ends);
    // None is zero: that is the sum of one who has not summed (RFC 768).
    if let Some(sum) = whole.get_mut(CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2).filter(|sum| **sum == [0; 2]) {
        sum.fill(0xff);
    }
    whole
}
