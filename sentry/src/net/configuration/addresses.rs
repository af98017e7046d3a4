//! Addresses that come and go, and the routes that the kernel keeps for them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use netlink_packet_route::address::AddressFlags;
use netlink_packet_route::route::{RouteScope, RouteType};

use super::{NetworkConfiguration, Refusal, State, Thing};
use crate::Errno;
use crate::net::device::{InterfaceAddress, Link};
use crate::net::route::{IPV6_KERNEL_METRIC, Route};

/// Most addresses of a link.
const MAX_ADDRESSES: usize = 256;

/// Which address is meant: what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct AddressPattern {
    /// The address itself.
    pub local: Option<IpAddr>,
    /// A network that it lies in, with the length of its prefix.
    pub network: Option<IpNet>,
    /// IFA_LABEL: the link's name with an alias behind it.
    pub label: Option<String>,
}

impl AddressPattern {
    fn is_of(&self, address: &InterfaceAddress, is_ipv6: bool) -> bool {
        let has_network = |network: &IpNet| {
            network.prefix_len() == address.network.prefix_len() && network.trunc() == address.subnet()
        };
        address.ip().is_ipv6() == is_ipv6
            && self.local.is_none_or(|local| local == address.ip())
            && self.network.as_ref().is_none_or(has_network)
            && self.label.as_ref().is_none_or(|label| Some(label) == address.label.as_ref())
    }
}

impl NetworkConfiguration {
    /// Gives a link an address. One that it has already is changed if it `may_replace` it.
    ///
    /// # Errors
    /// ENODEV, EEXIST, ENOBUFS; EINVAL for a scope that is not that of the network's first address; EACCES where IPv6 is disabled;
    /// EADDRNOTAVAIL for an address that is nobody's.
    pub fn add_address(
        &self,
        index: u32,
        address: InterfaceAddress,
        may_replace: bool,
    ) -> Result<(), Refusal> {
        self.change(|state| state.add_address(index, address, may_replace))
    }

    /// Takes the first address that `pattern` tells from a link; with an IPv4 network's first address go the others.
    ///
    /// # Errors
    /// ENODEV, EADDRNOTAVAIL.
    pub fn delete_address(&self, index: u32, is_ipv6: bool, pattern: &AddressPattern) -> Result<(), Refusal> {
        self.change(|state| state.delete_address(index, is_ipv6, pattern))
    }
}

fn check_new_address(link: &Link, address: &InterfaceAddress) -> Result<(), Refusal> {
    let ip = address.ip();
    match ip {
        IpAddr::V6(_) if link.is_ipv6_disabled => {
            Err(Refusal::new(Errno::EACCES, "IPv6 is disabled on this device"))
        }
        IpAddr::V6(_) if ip.is_unspecified() || ip.is_multicast() => {
            Err(Refusal::new(Errno::EADDRNOTAVAIL, "Cannot assign requested address"))
        }
        IpAddr::V4(_) => {
            let mut own = link.addresses.iter().filter(|own| !own.is_secondary());
            let first = own.find(|own| is_same_network(own, address));
            if first.is_some_and(|first| first.ip() != ip && first.scope != address.scope) {
                return Err(Refusal::new(Errno::EINVAL, "ipv4: Invalid scope value"));
            }
            Ok(())
        }
        IpAddr::V6(_) => Ok(()),
    }
}

fn already_assigned(address: &InterfaceAddress) -> &'static str {
    if address.ip().is_ipv4() { "ipv4: Address already assigned" } else { "ipv6: address already assigned" }
}

fn is_same_network(one: &InterfaceAddress, other: &InterfaceAddress) -> bool {
    one.ip().is_ipv4() == other.ip().is_ipv4() && one.subnet() == other.subnet()
        || one.ip().is_ipv6() && one.ip() == other.ip()
}

/// Puts an address where Linux lists it: IPv4's first addresses of networks by falling scope, then its others; then IPv6's, the
/// farthest-reaching and latest first.
pub(super) fn insert_address(link: &mut Link, mut address: InterfaceAddress) {
    let own = &link.addresses;
    let scope = u8::from(address.scope);
    let end_of_v4 = own.iter().take_while(|own| own.ip().is_ipv4()).count();
    let place = if address.ip().is_ipv4() {
        let is_first = |own: &&InterfaceAddress| own.ip().is_ipv4() && !own.is_secondary();
        if own.iter().filter(is_first).any(|own| is_same_network(own, &address)) {
            address.flags |= AddressFlags::Secondary;
            end_of_v4
        } else {
            let is_before = |own: &InterfaceAddress| is_first(&own) && u8::from(own.scope) >= scope;
            own.iter().rposition(is_before).map_or(0, |last| last + 1)
        }
    } else {
        let is_behind = |own: &InterfaceAddress| u8::from(own.scope) >= scope;
        end_of_v4 + own[end_of_v4..].iter().position(is_behind).unwrap_or(own.len() - end_of_v4)
    };
    link.addresses.insert(place, address);
}

impl State {
    fn add_address(
        &mut self,
        index: u32,
        address: InterfaceAddress,
        may_replace: bool,
    ) -> Result<(), Refusal> {
        let heap_room = self.check_room();
        let link = self.devices.get_mut(index)?;
        check_new_address(link, &address)?;
        let is_same = |own: &InterfaceAddress| own.ip() == address.ip() && is_same_network(own, &address);
        let ip = address.ip();
        if let Some(own) = link.addresses.iter_mut().find(|own| is_same(own)) {
            if !may_replace {
                return Err(Refusal::new(Errno::EEXIST, already_assigned(&address)));
            }
            let flags = own.flags & AddressFlags::Secondary | address.flags;
            *own = InterfaceAddress { flags, ..address };
            let changed = own.clone();
            self.note(Thing::Address(index, changed));
            return Ok(());
        }
        if link.addresses.len() >= MAX_ADDRESSES {
            return Err(Errno::ENOBUFS.into());
        }
        heap_room?;
        insert_address(link, address);
        let inserted = link.addresses.iter().find(|own| own.ip() == ip).cloned();
        if let Some(inserted) = inserted {
            self.note(Thing::Address(index, inserted));
        }
        self.add_routes_of(index, |address| address.ip() == ip);
        Ok(())
    }

    fn delete_address(&mut self, index: u32, is_ipv6: bool, pattern: &AddressPattern) -> Result<(), Refusal> {
        let link = self.devices.get_mut(index)?;
        let found = link.addresses.iter().position(|address| pattern.is_of(address, is_ipv6));
        let place = found.ok_or(Refusal::new(
            Errno::EADDRNOTAVAIL,
            if is_ipv6 { "address not found" } else { "ipv4: Address not found" },
        ))?;
        let first = link.addresses.remove(place);
        let mut gone = vec![first.clone()];
        if !first.is_secondary() {
            let follows =
                |address: &InterfaceAddress| address.is_secondary() && is_same_network(address, &first);
            gone.extend(link.addresses.iter().filter(|address| follows(address)).cloned());
            link.addresses.retain(|address| !follows(address));
        }
        // The others first, as Linux tells of them.
        for address in gone.iter().rev() {
            self.note_gone(Thing::Address(index, address.clone()));
        }
        self.delete_address_routes(index, &gone);
        Ok(())
    }

    /// Puts in the routes of all addresses of a link that are not there.
    pub(super) fn add_address_routes(&mut self, index: u32) {
        self.add_routes_of(index, |_| true);
    }

    /// Puts in those of the addresses that `is_wanted` tells.
    pub(super) fn add_routes_of(&mut self, index: u32, is_wanted: impl Fn(&InterfaceAddress) -> bool) {
        let Ok(link) = self.devices.get(index) else { return };
        let addresses = link.addresses.iter().filter(|address| is_wanted(address));
        let routes: Vec<Route> = addresses.flat_map(|address| address_routes(link, address)).collect();
        for route in routes {
            let is_same_way = |other: &Route| other.device == route.device;
            if !self.routes.at_place_of(&route).any(is_same_way) {
                self.routes.insert(route.clone());
                self.note(Thing::Route(route));
            }
        }
    }

    /// Takes out the routes of addresses that a link had, but for those that others of its addresses need.
    fn delete_address_routes(&mut self, index: u32, gone: &[InterfaceAddress]) {
        let Ok(link) = self.devices.get(index) else { return };
        let of = |addresses: &[InterfaceAddress]| -> Vec<Route> {
            addresses.iter().flat_map(|address| address_routes(link, address)).collect()
        };
        let (needed, unneeded) = (of(&link.addresses), of(gone));
        let is_same = |one: &Route, other: &Route| {
            (one.table, one.destination, one.kind, one.device)
                == (other.table, other.destination, other.kind, other.device)
        };
        let lost = self.routes.extract(|route| {
            unneeded.iter().any(|other| is_same(route, other))
                && !needed.iter().any(|other| is_same(route, other))
        });
        let lost_source = |route: &Route| {
            route.device == Some(index)
                && gone.iter().any(|address| route.preferred_source == Some(address.ip()))
        };
        let lost_too = self.routes.extract(lost_source);
        for route in lost.into_iter().chain(lost_too) {
            self.note_gone(Thing::Route(route));
        }
        self.add_address_routes(index);
    }
}

/// The routes that the kernel keeps for an address of a link.
fn address_routes(link: &Link, address: &InterfaceAddress) -> Vec<Route> {
    match address.network {
        IpNet::V4(network) => routes_of_v4(link, address, network),
        IpNet::V6(_) if !link.is_up() => Vec::new(),
        IpNet::V6(_) => routes_of_v6(link, address),
    }
}

fn routes_of_v4(link: &Link, address: &InterfaceAddress, network: Ipv4Net) -> Vec<Route> {
    let mut primaries = link.addresses.iter().filter(|own| !own.is_secondary() && own.ip().is_ipv4());
    let primary = primaries.find(|own| is_same_network(own, address)).unwrap_or(address);
    let route = |destination: IpNet, kind: RouteType| {
        let scope = if kind == RouteType::Local { RouteScope::Host } else { RouteScope::Link };
        let route = Route::of_kernel(destination, kind, scope, link.index);
        Route { preferred_source: Some(primary.ip()), ..route }
    };
    let mut routes = vec![route(IpNet::from(address.ip()), RouteType::Local)];
    if !link.is_up() {
        return routes;
    }
    let to_all = |address: Ipv4Addr| route(IpNet::from(IpAddr::V4(address)), RouteType::Broadcast);
    routes.extend(address.broadcast.filter(|broadcast| !broadcast.is_broadcast()).map(to_all));
    let subnet = address.subnet();
    let has_network = !subnet.network().is_unspecified()
        && !address.is_secondary()
        && (subnet.network() != address.ip() || network.prefix_len() < 32);
    if !has_network {
        return routes;
    }
    if !address.flags.contains(AddressFlags::Noprefixroute) {
        let kind = if link.is_loopback() { RouteType::Local } else { RouteType::Unicast };
        routes.push(Route { metric: address.route_metric, ..route(subnet, kind) });
    }
    if let (IpNet::V4(subnet), 0..=30) = (subnet, network.prefix_len()) {
        routes.push(to_all(subnet.broadcast()));
    }
    routes
}

fn routes_of_v6(link: &Link, address: &InterfaceAddress) -> Vec<Route> {
    let route = |destination: IpNet, kind: RouteType, metric: u32| {
        let route = Route::of_kernel(destination, kind, RouteScope::Universe, link.index);
        Route { metric, ..route }
    };
    let mut routes = vec![route(IpNet::from(address.ip()), RouteType::Local, 0)];
    let has_network =
        address.network.prefix_len() < 128 && !address.flags.contains(AddressFlags::Noprefixroute);
    if has_network {
        let metric = if address.route_metric == 0 { IPV6_KERNEL_METRIC } else { address.route_metric };
        routes.push(route(address.subnet(), RouteType::Unicast, metric));
    }
    routes
}
