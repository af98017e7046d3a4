//! Changes of links, and what goes up and down with them.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use netlink_packet_route::address::{AddressProtocol, AddressScope};
use netlink_packet_route::link::LinkFlags;
use netlink_packet_route::route::RouteScope;

use super::addresses::insert_address;
use super::{NetworkConfiguration, Refusal, State, Thing};
use crate::Errno;
use crate::net::device::{InterfaceAddress, Link, LinkName, LinkTuning};

/// Flags that whoever may change a link sets.
const SETTABLE_FLAGS: LinkFlags = LinkFlags::Up
    .union(LinkFlags::Debug)
    .union(LinkFlags::Notrailers)
    .union(LinkFlags::Noarp)
    .union(LinkFlags::Promisc)
    .union(LinkFlags::Allmulti)
    .union(LinkFlags::Multicast)
    .union(LinkFlags::Portsel)
    .union(LinkFlags::Automedia)
    .union(LinkFlags::Dynamic);
/// The longest alias, in bytes.
const MAX_ALIAS_BYTES: usize = 255;
/// Below this MTU there is no IPv4 (RFC 791).
const MIN_IPV4_MTU: u32 = 68;
/// Below this MTU there is no IPv6 (RFC 8200).
pub(super) const MIN_IPV6_MTU: u32 = 1280;

/// What is to become of a link; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct LinkChanges {
    /// Flags, and which of them count.
    pub flags: Option<(LinkFlags, LinkFlags)>,
    /// IFLA_IFNAME: what it is to be called.
    pub name: Option<LinkName>,
    /// IFLA_MTU, in bytes.
    pub mtu: Option<u32>,
    /// The length of the queue.
    pub tx_queue_len: Option<u32>,
    /// One number of what is kept of receiving.
    pub tuning: Option<(LinkTuning, u64)>,
    /// IFLA_ADDRESS.
    pub hardware_address: Option<[u8; 6]>,
    /// The hardware address of everybody.
    pub hardware_broadcast: Option<[u8; 6]>,
    /// IFLA_IFALIAS; an empty one takes it away.
    pub alias: Option<String>,
    /// IFLA_GROUP.
    pub group: Option<u32>,
}

impl NetworkConfiguration {
    /// Changes a link.
    ///
    /// # Errors
    /// ENODEV; EEXIST for a name that is taken, EINVAL for an MTU or an alias that cannot be.
    pub fn change_link(&self, index: u32, changes: LinkChanges) -> Result<(), Refusal> {
        self.change(|state| {
            state.check_changes(index, &changes)?;
            let flags = changes.flags;
            state.set_properties(index, changes);
            let (was_up, is_up) = state.set_flags(index, flags);
            state.note(Thing::Link(state.devices.get(index)?.clone()));
            match (was_up, is_up) {
                (false, true) => state.raise_addresses(index),
                (true, false) => state.lower_addresses(index),
                _ => {}
            }
            if was_up != is_up {
                state.port_has_changed(index);
            }
            Ok(())
        })
    }

    /// Takes IPv6 from a link, or gives it back: then a loopback that is up has its address again.
    pub fn disable_ipv6(&self, index: u32, is_disabled: bool) {
        self.change(|state| {
            let Ok(link) = state.devices.get_mut(index) else { return };
            if std::mem::replace(&mut link.is_ipv6_disabled, is_disabled) == is_disabled {
                return;
            }
            match (is_disabled, link.is_up()) {
                (true, _) => state.lower_ipv6(index),
                (false, true) => state.raise_addresses(index),
                (false, false) => {}
            }
        });
    }

    /// Fails for a link that cannot be removed.
    ///
    /// # Errors
    /// ENODEV; EOPNOTSUPP for a loopback or the link to the outside, which stay as long as their namespace.
    pub fn check_removable(&self, index: u32) -> Result<(), Refusal> {
        match self.state.lock().devices.get(index)?.kind.name() {
            Some(_) => Ok(()),
            None => Err(Errno::EOPNOTSUPP.into()),
        }
    }
}

impl State {
    pub(super) fn check_changes(&self, index: u32, changes: &LinkChanges) -> Result<(), Refusal> {
        let link = self.devices.get(index)?;
        if let Some(name) = &changes.name
            && self.devices.find(name.as_bytes()).is_ok_and(|other| other.index != index)
        {
            return Err(Errno::EEXIST.into());
        }
        let (min, max) = link.kind.mtu_range();
        if changes.mtu.is_some_and(|mtu| mtu < min) {
            return Err(Refusal::new(Errno::EINVAL, "mtu less than device minimum"));
        }
        if changes.mtu.is_some_and(|mtu| mtu > max) {
            return Err(Refusal::new(Errno::EINVAL, "mtu greater than device maximum"));
        }
        if changes.alias.as_ref().is_some_and(|alias| alias.len() > MAX_ALIAS_BYTES) {
            return Err(Errno::EINVAL.into());
        }
        Ok(())
    }

    pub(super) fn set_properties(&mut self, index: u32, changes: LinkChanges) {
        let Ok(link) = self.devices.get_mut(index) else { return };
        link.name = changes.name.unwrap_or(link.name.clone());
        link.mtu = changes.mtu.unwrap_or(link.mtu);
        link.tx_queue_len = changes.tx_queue_len.unwrap_or(link.tx_queue_len);
        if let Some((tuning, number)) = changes.tuning {
            link.tuning[tuning as usize] = number;
        }
        link.is_address_given |= changes.hardware_address.is_some();
        link.hardware_address = changes.hardware_address.unwrap_or(link.hardware_address);
        link.hardware_broadcast = changes.hardware_broadcast.unwrap_or(link.hardware_broadcast);
        link.alias = changes.alias.unwrap_or_else(|| std::mem::take(&mut link.alias));
        link.group = changes.group.unwrap_or(link.group);
    }

    /// Sets those of the flags that count and can be set; returns whether the link was up, and whether it is now.
    pub(super) fn set_flags(&mut self, index: u32, flags: Option<(LinkFlags, LinkFlags)>) -> (bool, bool) {
        let Ok(link) = self.devices.get_mut(index) else { return (false, false) };
        let was_up = link.is_up();
        if let Some((flags, mask)) = flags {
            let mask = mask & SETTABLE_FLAGS;
            link.flags = link.flags.difference(mask) | flags & mask;
        }
        link.has_been_up |= link.is_up();
        (was_up, link.is_up())
    }

    /// Takes a link up.
    pub(super) fn raise(&mut self, index: u32) {
        self.set_flags(index, Some((LinkFlags::Up, LinkFlags::Up)));
        self.raise_addresses(index);
    }

    /// What a link that is up has: a loopback its own addresses, and each the routes to its addresses.
    fn raise_addresses(&mut self, index: u32) {
        let Ok(link) = self.devices.get_mut(index) else { return };
        let old: Vec<_> = link.addresses.iter().map(InterfaceAddress::ip).collect();
        if link.is_loopback() {
            add_loopback_addresses(link);
        }
        let is_new = |address: &&InterfaceAddress| !old.contains(&address.ip());
        let new: Vec<_> = link.addresses.iter().filter(is_new).cloned().collect();
        for address in new {
            let ip = address.ip();
            self.note(Thing::Address(index, address));
            self.add_routes_of(index, |address| address.ip() == ip);
        }
        self.add_address_routes(index);
        self.add_link_local(index);
    }

    /// What a link that is down does not have: neighbours, IPv6 addresses, and routes but for those to IPv4 addresses of the
    /// host's own. As on Linux, nobody is told of the routes of IPv4.
    pub(super) fn lower_addresses(&mut self, index: u32) {
        for neighbour in self.neighbours.flush(index) {
            self.note_gone(Thing::Neighbour(neighbour));
        }
        self.lower_ipv6(index);
        self.routes.extract(|route| route.device == Some(index) && route.scope != RouteScope::Host);
    }

    /// Takes the IPv6 addresses and routes of a link.
    fn lower_ipv6(&mut self, index: u32) {
        let routes = self.routes.extract(|route| route.is_ipv6() && route.device == Some(index));
        for route in routes {
            self.note_gone(Thing::Route(route));
        }
        let Ok(link) = self.devices.get_mut(index) else { return };
        let (kept, gone) =
            std::mem::take(&mut link.addresses).into_iter().partition(|address| address.ip().is_ipv4());
        link.addresses = kept;
        let gone: Vec<InterfaceAddress> = gone;
        for address in gone {
            self.note_gone(Thing::Address(index, address));
        }
    }
}

fn add_loopback_addresses(link: &mut Link) {
    if link.mtu >= MIN_IPV4_MTU && !link.addresses.iter().any(|address| address.ip().is_ipv4()) {
        insert_address(link, loopback_v4(&link.name));
    }
    if !link.is_ipv6_disabled && link.mtu >= MIN_IPV6_MTU {
        insert_address(link, loopback_v6());
    }
}

/// 127.0.0.1/8.
fn loopback_v4(name: &LinkName) -> InterfaceAddress {
    let network = Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8);
    let address = InterfaceAddress::new(network.into(), AddressScope::Host);
    InterfaceAddress { label: Some(name.to_string()), ..address }
}

/// ::1/128.
fn loopback_v6() -> InterfaceAddress {
    let address = InterfaceAddress::new(Ipv6Net::from(Ipv6Addr::LOCALHOST).into(), AddressScope::Host);
    InterfaceAddress { protocol: AddressProtocol::Loopback.into(), ..address }
}
