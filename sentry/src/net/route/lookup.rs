//! The question that sockets ask: which way to an address, and from which of the own ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::address::{AddressFlags, AddressScope};
use netlink_packet_route::route::{RouteScope, RouteType};
use netlink_packet_route::rule::RuleAction;

use super::super::device::{Devices, InterfaceAddress, LOOPBACK_INDEX, Link};
use super::{LOCAL_TABLE, Route, Routes, Rule, Rules};
use crate::Errno;

/// A question for the way to an address.
#[derive(Clone, Copy, Debug)]
pub struct RouteQuery {
    /// Where to. The unspecified address is the own host.
    pub destination: IpAddr,
    /// The own address that is bound already.
    pub source: Option<IpAddr>,
    /// The link that it has to be (SO_BINDTODEVICE, IP_UNICAST_IF, a scope id).
    pub device: Option<u32>,
    /// The type of service.
    pub tos: u8,
    /// SO_MARK.
    pub mark: u32,
}

impl RouteQuery {
    /// The way to `destination`, whatever else.
    pub fn to(destination: IpAddr) -> Self {
        Self { destination, source: None, device: None, tos: 0, mark: 0 }
    }
}

/// The way to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteResult {
    /// What the address is: local, unicast, broadcast or multicast.
    pub kind: RouteType,
    /// The index of the link to it.
    pub device: u32,
    /// Whether that is up: what goes to a link that is down is ENETDOWN, or lost.
    pub is_up: bool,
    /// Whether it is a loopback, so that what is sent comes back.
    pub is_loopback: bool,
    /// The address, the unspecified one replaced.
    pub destination: IpAddr,
    /// The own address for it; the unspecified one if there is none.
    pub source: IpAddr,
    /// The next router.
    pub gateway: Option<IpAddr>,
    /// The largest packet on the way, in bytes.
    pub mtu: u32,
    /// The route that was found, if one was needed.
    pub route: Option<Route>,
}

/// What the answer depends on.
#[derive(Clone, Copy)]
pub(in crate::net) struct Lookup<'a> {
    pub(in crate::net) devices: &'a Devices,
    pub(in crate::net) routes: &'a Routes,
    pub(in crate::net) rules: &'a Rules,
}

impl<'a> Lookup<'a> {
    /// The way that `query` asks for.
    ///
    /// # Errors
    /// ENETUNREACH: there is none. EHOSTUNREACH, EACCES, EINVAL: a route or rule says so. EINVAL: the source is not an own
    /// address. ENODEV.
    pub(in crate::net) fn route(self, query: &RouteQuery) -> Result<RouteResult, Errno> {
        match query.destination {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => self.route_to_oneself(query),
            IpAddr::V4(destination) => self.route_v4(query, destination),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
                let destination = IpAddr::V6(Ipv6Addr::LOCALHOST);
                self.route_v6(&RouteQuery { destination, ..*query }, Ipv6Addr::LOCALHOST)
            }
            IpAddr::V6(destination) => self.route_v6(query, destination),
        }
    }

    /// What an address is to this host: local, broadcast, multicast, or unicast for everything else.
    pub(in crate::net) fn address_kind(self, address: IpAddr) -> RouteType {
        if address.is_multicast() {
            return RouteType::Multicast;
        }
        if address.is_unspecified() && address.is_ipv4() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return RouteType::Broadcast;
        }
        self.routes.find(LOCAL_TABLE, address, 0, |_| true).map_or(RouteType::Unicast, |route| route.kind)
    }

    /// The way to the unspecified address of IPv4, which no table is asked for.
    fn route_to_oneself(self, query: &RouteQuery) -> Result<RouteResult, Errno> {
        self.check_source(query)?;
        let own = query.source.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Ok(result(self.devices.get(LOOPBACK_INDEX)?, None, RouteType::Local, own, own))
    }

    fn route_v4(self, query: &RouteQuery, destination: Ipv4Addr) -> Result<RouteResult, Errno> {
        self.check_source(query)?;
        if destination.octets()[0] == 0 {
            return Err(Errno::EINVAL);
        }
        let is_to_all = destination.is_broadcast() || destination.is_multicast();
        let (link, route) = match (query.device, query.source) {
            (Some(index), _) => (self.link_that_is_up(index)?, self.route_on(query, index, is_to_all)?),
            (None, Some(source)) if is_to_all => (self.holder_of(source)?, None),
            (None, _) => {
                let route = self.table_route(query)?.ok_or(Errno::ENETUNREACH)?;
                (self.devices.get(route.device.ok_or(Errno::ENETUNREACH)?)?, Some(route))
            }
        };
        let source = query.source.unwrap_or_else(|| self.source_v4(route, link, destination));
        if source.is_loopback() && !link.is_loopback() {
            return Err(Errno::EINVAL);
        }
        let kind = match route.map_or(RouteType::Unicast, |route| route.kind) {
            _ if destination.is_broadcast() => RouteType::Broadcast,
            _ if destination.is_multicast() => RouteType::Multicast,
            kind => kind,
        };
        let link = self.link_of_kind(kind, query, link)?;
        Ok(result(link, route, kind, query.destination, source))
    }

    /// The link that a packet goes through: what is for the own host goes through the loopback, whosever the address is.
    fn link_of_kind(self, kind: RouteType, query: &RouteQuery, link: &'a Link) -> Result<&'a Link, Errno> {
        let is_own = kind == RouteType::Local && query.device.is_none();
        if is_own { self.devices.get(LOOPBACK_INDEX) } else { Ok(link) }
    }

    fn check_source(self, query: &RouteQuery) -> Result<(), Errno> {
        let is_own = |source| self.address_kind(source) == RouteType::Local;
        if query.source.is_none_or(is_own) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn link_that_is_up(self, index: u32) -> Result<&'a Link, Errno> {
        let link = self.devices.get(index)?;
        if link.is_up() { Ok(link) } else { Err(Errno::ENETUNREACH) }
    }

    /// The route through one link. Without any the destination is on the link itself.
    fn route_on(self, query: &RouteQuery, index: u32, is_to_all: bool) -> Result<Option<&'a Route>, Errno> {
        let route = if is_to_all { None } else { self.table_route(query)? };
        Ok(route.filter(|route| route.device == Some(index) || route.kind == RouteType::Local))
    }

    fn route_v6(self, query: &RouteQuery, destination: Ipv6Addr) -> Result<RouteResult, Errno> {
        let route = self.table_route(query)?.ok_or(Errno::ENETUNREACH)?;
        let link = self.devices.get(route.device.ok_or(Errno::ENETUNREACH)?)?;
        let source = match (query.source, route.preferred_source) {
            (Some(source), _) | (None, Some(source)) => source,
            (None, None) => IpAddr::V6(self.select_v6(link, destination)),
        };
        let kind = if destination.is_multicast() { RouteType::Multicast } else { route.kind };
        let link = self.link_of_kind(kind, query, link)?;
        Ok(result(link, Some(route), kind, query.destination, source))
    }

    /// Asks the rules, and the tables that they name.
    fn table_route(self, query: &RouteQuery) -> Result<Option<&'a Route>, Errno> {
        let is_strict = query.destination.is_ipv6();
        let is_usable = |route: &Route| {
            route.is_refusal() || !is_strict || query.device.is_none_or(|device| route.device == Some(device))
        };
        let is_for = |rule: &&Rule| rule.is_for(query.source, query.destination, query.mark);
        for rule in self.rules.iter().filter(is_for) {
            match rule.action {
                RuleAction::ToTable => {}
                RuleAction::Blackhole => return Err(Errno::EINVAL),
                RuleAction::Unreachable => return Err(Errno::ENETUNREACH),
                RuleAction::Prohibit => return Err(Errno::EACCES),
                _ => continue,
            }
            let Some(route) = self.routes.find(rule.table, query.destination, query.tos, is_usable) else {
                continue;
            };
            match route.kind {
                RouteType::BlackHole => return Err(Errno::EINVAL),
                RouteType::Unreachable => return Err(Errno::EHOSTUNREACH),
                RouteType::Prohibit => return Err(Errno::EACCES),
                RouteType::Throw => {}
                _ => return Ok(Some(route)),
            }
        }
        Ok(None)
    }

    /// The link that has an own address.
    fn holder_of(self, address: IpAddr) -> Result<&'a Link, Errno> {
        let holds = |link: &&Link| link.addresses.iter().any(|own| own.ip() == address);
        match self.devices.links().find(holds) {
            Some(link) => Ok(link),
            None => self.devices.get(LOOPBACK_INDEX),
        }
    }

    fn source_v4(self, route: Option<&Route>, link: &'a Link, destination: Ipv4Addr) -> IpAddr {
        let Some(route) = route else { return IpAddr::V4(self.select_v4(link, None, RouteScope::Link)) };
        match (route.preferred_source, route.kind, route.gateway) {
            (Some(source), ..) => source,
            (None, RouteType::Local, _) => IpAddr::V4(destination),
            (None, _, Some(IpAddr::V4(gateway))) => {
                IpAddr::V4(self.select_v4(link, Some(gateway), route.scope))
            }
            (None, ..) => IpAddr::V4(self.select_v4(link, None, route.scope)),
        }
    }

    /// The own address for what goes through a link: its first one that reaches as far as `scope`, one in the network of
    /// `towards` if there is any; of another link if it has none.
    fn select_v4(self, link: &'a Link, towards: Option<Ipv4Addr>, scope: RouteScope) -> Ipv4Addr {
        let is_candidate = |address: &&InterfaceAddress| {
            address.ip().is_ipv4() && !address.is_secondary() && u8::from(address.scope) <= u8::from(scope)
        };
        let is_near = |address: &&InterfaceAddress| {
            towards.is_some_and(|towards| address.subnet().contains(&IpAddr::V4(towards)))
        };
        let own = || link.addresses.iter().filter(is_candidate);
        let all = self.devices.links().flat_map(|link| link.addresses.iter()).filter(is_candidate);
        let mut far = all.filter(|address| address.scope != AddressScope::Link);
        let found = own().find(is_near).or_else(|| own().next()).or_else(|| far.next());
        match found.map(InterfaceAddress::ip) {
            Some(IpAddr::V4(address)) => address,
            _ => Ipv4Addr::UNSPECIFIED,
        }
    }

    /// The own address for a destination (RFC 6724, section 5, as far as addresses here differ).
    fn select_v6(self, link: &Link, destination: Ipv6Addr) -> Ipv6Addr {
        let needs_link = destination.is_unicast_link_local() || destination.is_multicast();
        let candidates = self.devices.links().filter(|other| !needs_link || other.index == link.index);
        let addresses =
            candidates.flat_map(|other| other.addresses.iter().map(move |address| (other.index, address)));
        let best = addresses
            .filter_map(|(index, address)| match address.ip() {
                IpAddr::V6(own) if !address.flags.contains(AddressFlags::Tentative) => {
                    Some((preference(own, destination, index == link.index), own))
                }
                _ => None,
            })
            .max_by_key(|(preference, _)| *preference);
        best.map_or(Ipv6Addr::UNSPECIFIED, |(_, own)| own)
    }
}

/// How well an own address suits a destination: the same one before all, then one of a scope that reaches, then one of the link
/// that leads there, then the one with the longest common prefix.
fn preference(own: Ipv6Addr, destination: Ipv6Addr, is_on_link: bool) -> (bool, bool, bool, u32) {
    let common = (own.to_bits() ^ destination.to_bits()).leading_zeros();
    (own == destination, scope_of(own) >= scope_of(destination), is_on_link, common)
}

/// The scope of RFC 4007: 2 for the link, 14 for everywhere.
fn scope_of(address: Ipv6Addr) -> u8 {
    match address {
        address if address.is_multicast() => address.octets()[1] & 0xf,
        address if address.is_loopback() || address.is_unicast_link_local() => 2,
        _ => 14,
    }
}

fn result(
    link: &Link,
    route: Option<&Route>,
    kind: RouteType,
    destination: IpAddr,
    source: IpAddr,
) -> RouteResult {
    RouteResult {
        kind,
        device: link.index,
        is_up: link.is_up(),
        is_loopback: link.is_loopback(),
        destination,
        source,
        gateway: route.and_then(|route| route.gateway),
        mtu: route.and_then(|route| route.mtu).unwrap_or(link.mtu),
        route: route.cloned(),
    }
}
