//! Where a packet ends up: from namespace to namespace, as far as routers pass it on.

use std::net::IpAddr;
use std::sync::Arc;

use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourState};
use netlink_packet_route::route::RouteType;

use super::segment::{Passage, Station, stations};
use crate::Errno;
use crate::net::NetworkNamespace;
use crate::net::device::{LinkKind, Traffic};
use crate::net::route::{Neighbour, RouteQuery, RouteResult};
use crate::net::tun;
use crate::net::xtables::{Between, Content, Hook, Rejection, Verdict};

/// What is sent, as far as its way depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Where from.
    pub source: IpAddr,
    /// Where to.
    pub destination: IpAddr,
    /// How many routers may pass it on, and one more.
    pub ttl: u8,
    /// The type of service.
    pub tos: u8,
    /// What it holds, for rules to look at.
    pub content: Content,
}

/// Where a packet arrives.
#[derive(Clone)]
pub struct Landing {
    /// The namespace.
    pub network: Arc<NetworkNamespace>,
    /// The index of the link that it comes in by.
    pub device: u32,
    /// What is left of its time to live.
    pub ttl: u8,
    /// The links that it has passed.
    pub passed: Vec<Passage>,
}

/// Why a router sends a packet back, as ICMP says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no way on.
    NetUnreachable,
    /// The next one on the way does not answer.
    HostUnreachable,
    /// A route or rule forbids it.
    Prohibited,
    /// It has been passed on too often.
    Expired,
    /// The rules of who has it say so.
    Rejected(Rejection),
}

impl Landing {
    /// What the rules say of a packet where it arrives.
    pub fn judge(&self, packet: &Packet) -> Verdict {
        let packet = Packet { ttl: self.ttl, ..*packet };
        self.network.judge(Hook::Input, &packet, Between::coming(self.device))
    }
}

/// What becomes of a packet.
pub enum Outcome {
    /// It arrives there: what is sent to many, at many places.
    Arrives(Vec<Landing>),
    /// The one at this address sends it back.
    Refused(IpAddr, Refusal),
    /// It waits for somebody to tell where the next one on its way is.
    Unresolved,
    /// Nobody hears of it, or a program at the other end of a link.
    Lost,
}

impl Refusal {
    /// The errno that a socket is told.
    pub fn errno(self) -> Errno {
        match self {
            Self::NetUnreachable => Errno::ENETUNREACH,
            Self::HostUnreachable | Self::Prohibited | Self::Expired => Errno::EHOSTUNREACH,
            Self::Rejected(rejection) => rejection.errno(),
        }
    }

    /// ICMP's type and code, or ICMPv6's.
    pub fn icmp(self, is_v4: bool) -> [u8; 2] {
        match (self, is_v4) {
            (Self::NetUnreachable, true) => [3, 0],
            (Self::HostUnreachable, true) => [3, 1],
            (Self::Prohibited, true) => [3, 13],
            (Self::Expired, true) => [11, 0],
            (Self::NetUnreachable, false) => [1, 0],
            (Self::HostUnreachable, false) => [1, 3],
            (Self::Prohibited, false) => [1, 1],
            (Self::Expired, false) => [3, 0],
            (Self::Rejected(rejection), _) => rejection.icmp(),
        }
    }
}

/// Finds out what becomes of a packet that leaves `network` by a route that leads to a link.
pub fn send(network: &Arc<NetworkNamespace>, route: &RouteResult, packet: &Packet) -> Outcome {
    let mut hop = Hop {
        network: network.clone(),
        device: route.device,
        next: route.gateway.unwrap_or(route.destination),
        ttl: packet.ttl,
        passed: Vec::new(),
    };
    if matches!(route.kind, RouteType::Broadcast | RouteType::Multicast) {
        return Outcome::Arrives(hop.land_everywhere(packet));
    }
    loop {
        if hop.leads_to_program() {
            let waits = tun::ask(&hop.network, hop.device, hop.next);
            return if waits { Outcome::Unresolved } else { Outcome::Lost };
        }
        let (station, was_known) = hop.find_next();
        let Some(station) = station else {
            // Who has answered before is not asked again at once.
            return if was_known { Outcome::Lost } else { hop.refuse(Refusal::HostUnreachable, packet) };
        };
        match station.network.configuration().address_kind(packet.destination) {
            RouteType::Local if !packet.destination.is_loopback() => {
                return hop.arrive(station, packet);
            }
            RouteType::Unicast => {}
            _ => return Outcome::Lost,
        }
        if let Err(outcome) = hop.pass_on(station, packet) {
            return outcome;
        }
    }
}

/// Counts so many packets of so many bytes in all at the links that they pass.
pub fn count(passed: &[Passage], packets: usize, len_bytes: usize) {
    for Passage { statistics, is_outward, header_bytes } in passed {
        let bytes = (len_bytes + packets * header_bytes) as u64;
        let traffic = Traffic { packets: packets as u64, bytes };
        if *is_outward { statistics.count_sent(traffic) } else { statistics.count_received(traffic) }
    }
}

/// A packet that is about to leave a namespace.
struct Hop {
    network: Arc<NetworkNamespace>,
    device: u32,
    /// Who is to have it next.
    next: IpAddr,
    ttl: u8,
    passed: Vec<Passage>,
}

impl Hop {
    /// Whether a program has the other end of the link.
    fn leads_to_program(&self) -> bool {
        let kind = self.network.configuration().look(|all| all.link(self.device).map(|link| link.kind));
        kind.is_ok_and(LinkKind::leads_to_program)
    }

    /// Everybody on the segment, for what is sent to many.
    fn land_everywhere(&self, packet: &Packet) -> Vec<Landing> {
        let landings = stations(&self.network, self.device).into_iter().map(|station| self.land(station));
        landings.filter(|landing| landing.judge(packet) == Verdict::Accept).collect()
    }

    /// The one that the packet is for, if its rules let it in.
    fn arrive(&self, station: Station, packet: &Packet) -> Outcome {
        let landing = self.land(station);
        match landing.judge(packet) {
            Verdict::Accept => Outcome::Arrives(vec![landing]),
            Verdict::Drop => Outcome::Lost,
            Verdict::Reject(rejection) => Outcome::Refused(packet.destination, Refusal::Rejected(rejection)),
        }
    }

    fn land(&self, station: Station) -> Landing {
        let passed = [&self.passed[..], &station.passed].concat();
        Landing { network: station.network, device: station.device, ttl: self.ttl, passed }
    }

    /// The one on the segment that answers for the next address, and whether it was known before.
    fn find_next(&self) -> (Option<Station>, bool) {
        let found = stations(&self.network, self.device).into_iter().find(|station| self.is_next(station));
        let hardware_address = found.as_ref().map(|found| found.hardware_address);
        let state = if found.is_some() { NeighbourState::Reachable } else { NeighbourState::Failed };
        let flags = NeighbourFlags::empty();
        let neighbour = Neighbour { device: self.device, address: self.next, hardware_address, state, flags };
        let was_known = self.network.configuration().learn_neighbour(neighbour);
        (found, was_known)
    }

    /// Whether a station answers for the next address: for any of IPv4 that is its own, for one of IPv6 if its link has it.
    fn is_next(&self, station: &Station) -> bool {
        let configuration = station.network.configuration();
        match self.next {
            IpAddr::V4(_) => configuration.address_kind(self.next) == RouteType::Local,
            IpAddr::V6(_) => configuration.look(|all| {
                let link = all.link(station.device).ok();
                link.is_some_and(|link| link.addresses.iter().any(|own| own.ip() == self.next))
            }),
        }
    }

    /// Goes on from a router that the packet is not for.
    fn pass_on(&mut self, router: Station, packet: &Packet) -> Result<(), Outcome> {
        if !router.network.forwards(router.device, packet.destination.is_ipv6()) {
            return Err(Outcome::Lost);
        }
        let came_by = router.device;
        self.passed.extend(router.passed);
        self.network = router.network;
        self.ttl = self.ttl.saturating_sub(1);
        self.device = came_by;
        if self.ttl == 0 {
            return Err(self.refuse(Refusal::Expired, packet));
        }
        let query = RouteQuery { tos: packet.tos, ..RouteQuery::to(packet.destination) };
        let route = match self.network.configuration().route(&query) {
            Ok(route) => route,
            Err(error) => return Err(self.refuse_for(error, packet)),
        };
        // What leads out of the sandbox is for those alone who are in its first namespace.
        let is_outward = self.network.outside().is_some_and(|outside| outside.is_through(&route));
        if route.kind != RouteType::Unicast || route.is_loopback || is_outward {
            return Err(Outcome::Lost);
        }
        let between = Between { coming: Some(came_by), leaving: Some(route.device) };
        match self.network.judge(Hook::Forward, &Packet { ttl: self.ttl, ..*packet }, between) {
            Verdict::Accept => {}
            Verdict::Drop => return Err(Outcome::Lost),
            Verdict::Reject(rejection) => return Err(self.refuse(Refusal::Rejected(rejection), packet)),
        }
        self.device = route.device;
        self.next = route.gateway.unwrap_or(packet.destination);
        Ok(())
    }

    fn refuse_for(&self, error: Errno, packet: &Packet) -> Outcome {
        match error {
            Errno::ENETUNREACH => self.refuse(Refusal::NetUnreachable, packet),
            Errno::EHOSTUNREACH => self.refuse(Refusal::HostUnreachable, packet),
            Errno::EACCES => self.refuse(Refusal::Prohibited, packet),
            _ => Outcome::Lost,
        }
    }

    /// The answer of the one that has the packet: it comes from the address that the way back to the sender has.
    fn refuse(&self, refusal: Refusal, packet: &Packet) -> Outcome {
        match self.network.configuration().route(&RouteQuery::to(packet.source)) {
            Ok(back) => Outcome::Refused(back.source, refusal),
            Err(_) => Outcome::Lost,
        }
    }
}
