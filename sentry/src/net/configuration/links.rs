//! Changes of links, and what goes up and down with them.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use netlink_packet_route::address::{AddressProtocol, AddressScope};
use netlink_packet_route::link::LinkFlags;
use netlink_packet_route::route::RouteScope;

use super::addresses::insert_address;
use super::{NetworkConfiguration, Refusal, State};
use crate::Errno;
use crate::net::device::{InterfaceAddress, Link, LinkKind, LinkName};

/// Flags that whoever may change a link sets, beside IFF_UP.
const SETTABLE_FLAGS: LinkFlags = LinkFlags::Debug
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
const MIN_IPV6_MTU: u32 = 1280;

/// What is to become of a link; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct LinkChanges {
    /// Flags, and which of them count.
    pub flags: Option<(LinkFlags, LinkFlags)>,
    /// The name.
    pub name: Option<LinkName>,
    /// The MTU.
    pub mtu: Option<u32>,
    /// The length of the queue.
    pub tx_queue_len: Option<u32>,
    /// The hardware address.
    pub hardware_address: Option<[u8; 6]>,
    /// The hardware address of everybody.
    pub hardware_broadcast: Option<[u8; 6]>,
    /// The alias.
    pub alias: Option<String>,
    /// The group.
    pub group: Option<u32>,
}

impl NetworkConfiguration {
    /// Changes a link.
    ///
    /// # Errors
    /// ENODEV; EEXIST for a name that is taken, EINVAL for an MTU or an alias that cannot be.
    pub fn change_link(&self, index: u32, changes: LinkChanges) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        state.check_changes(index, &changes)?;
        let link = state.devices.get_mut(index)?;
        let LinkChanges {
            flags,
            name,
            mtu,
            tx_queue_len,
            hardware_address,
            hardware_broadcast,
            alias,
            group,
        } = changes;
        link.name = name.unwrap_or(link.name.clone());
        link.mtu = mtu.unwrap_or(link.mtu);
        link.tx_queue_len = tx_queue_len.unwrap_or(link.tx_queue_len);
        link.hardware_address = hardware_address.unwrap_or(link.hardware_address);
        link.hardware_broadcast = hardware_broadcast.unwrap_or(link.hardware_broadcast);
        link.alias = alias.unwrap_or_else(|| std::mem::take(&mut link.alias));
        link.group = group.unwrap_or(link.group);
        if let Some((flags, mask)) = flags {
            state.change_flags(index, flags, mask);
        }
        Ok(())
    }

    /// Takes IPv6 from a link, or gives it back: then a loopback that is up has its address again.
    pub fn disable_ipv6(&self, index: u32, is_disabled: bool) {
        let mut state = self.state.lock();
        let Ok(link) = state.devices.get_mut(index) else { return };
        if link.is_ipv6_disabled == is_disabled {
            return;
        }
        link.is_ipv6_disabled = is_disabled;
        if is_disabled {
            link.addresses.retain(|address| address.ip().is_ipv4());
            state.routes.extract(|route| route.is_ipv6() && route.device == Some(index));
        } else if link.is_up() {
            state.raise(index);
        }
    }

    /// Removes a link.
    ///
    /// # Errors
    /// ENODEV; EOPNOTSUPP for a loopback, which stays as long as its namespace.
    pub fn delete_link(&self, index: u32) -> Result<(), Refusal> {
        match self.state.lock().devices.get(index)?.kind {
            LinkKind::Loopback => Err(Errno::EOPNOTSUPP.into()),
        }
    }
}

impl State {
    fn check_changes(&self, index: u32, changes: &LinkChanges) -> Result<(), Refusal> {
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

    fn change_flags(&mut self, index: u32, flags: LinkFlags, mask: LinkFlags) {
        let Ok(link) = self.devices.get_mut(index) else { return };
        let was_up = link.is_up();
        let is_up_wanted = if mask.contains(LinkFlags::Up) { flags.contains(LinkFlags::Up) } else { was_up };
        let mask = mask & SETTABLE_FLAGS;
        link.flags = link.flags.difference(mask) | flags & mask;
        match (was_up, is_up_wanted) {
            (false, true) => self.raise(index),
            (true, false) => self.lower(index),
            _ => {}
        }
    }

    /// Takes a link up: a loopback without addresses gets its own, and the routes to addresses come.
    pub(super) fn raise(&mut self, index: u32) {
        let Ok(link) = self.devices.get_mut(index) else { return };
        link.flags |= LinkFlags::Up;
        link.has_been_up = true;
        if link.is_loopback() {
            add_loopback_addresses(link);
        }
        self.add_address_routes(index);
    }

    /// Takes a link down: its IPv6 addresses go, and its routes, but for those to IPv4 addresses of the host's own.
    fn lower(&mut self, index: u32) {
        let Ok(link) = self.devices.get_mut(index) else { return };
        link.flags.remove(LinkFlags::Up);
        link.addresses.retain(|address| address.ip().is_ipv4());
        self.neighbours.flush(index);
        self.routes.extract(|route| {
            let stays = route.scope == RouteScope::Host && !route.is_ipv6();
            route.device == Some(index) && !stays
        });
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
