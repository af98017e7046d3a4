//! What is at the other end of a link, and what goes with that: the ports of bridges, and IPv6's own addresses.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use netlink_packet_route::address::{AddressProtocol, AddressScope};
use netlink_packet_route::route::{RouteScope, RouteType};

use super::addresses::insert_address;
use super::links::MIN_IPV6_MTU;
use super::{NetworkConfiguration, Refusal, State, Thing};
use crate::Errno;
use crate::net::device::{InterfaceAddress, Link, LinkKind};
use crate::net::route::{IPV6_KERNEL_METRIC, LOCAL_TABLE, Route};

impl NetworkConfiguration {
    /// Something came to the other end of a link, or went from it.
    pub(in crate::net) fn set_carrier(&self, index: u32, has_carrier: bool) {
        self.change(|state| state.set_carrier(index, has_carrier));
    }

    /// Makes a link a port of a bridge, or of none.
    ///
    /// # Errors
    /// ENODEV; EOPNOTSUPP for what is no bridge; EINVAL for a loopback; ELOOP for a bridge.
    pub(in crate::net) fn set_controller(&self, index: u32, controller: Option<u32>) -> Result<(), Refusal> {
        self.change(|state| {
            if let Some(bridge) = controller {
                state.check_port(index, bridge)?;
            }
            Ok(state.set_controller(index, controller)?)
        })
    }
}

impl State {
    fn check_port(&self, index: u32, bridge: u32) -> Result<(), Refusal> {
        let (port, bridge) = (self.devices.get(index)?, self.devices.get(bridge).map_err(|_| Errno::EINVAL)?);
        match (port.kind, bridge.kind) {
            (_, kind) if kind != LinkKind::Bridge => Err(Errno::EOPNOTSUPP.into()),
            (LinkKind::Loopback | LinkKind::Tun, _) => Err(Errno::EINVAL.into()),
            (LinkKind::Bridge, _) => Err(Refusal::new(Errno::ELOOP, "Can not enslave a bridge to a bridge")),
            _ => Ok(()),
        }
    }

    pub(super) fn set_controller(&mut self, index: u32, controller: Option<u32>) -> Result<(), Errno> {
        let link = self.devices.get_mut(index)?;
        let before = std::mem::replace(&mut link.controller, controller);
        if before == controller {
            return Ok(());
        }
        let (is_running, link) = (link.is_running(), link.clone());
        self.note(Thing::Link(link));
        for bridge in before.into_iter().chain(controller) {
            self.choose_address(bridge);
            if is_running {
                self.count_ports(bridge);
            }
        }
        Ok(())
    }

    /// A link that may be a port runs now, or does not any more.
    pub(super) fn port_has_changed(&mut self, index: u32) {
        if let Some(bridge) = self.devices.get(index).ok().and_then(|link| link.controller) {
            self.count_ports(bridge);
        }
    }

    /// A bridge has a carrier if any of its ports has.
    fn count_ports(&mut self, bridge: u32) {
        let is_live = |link: &Link| link.controller == Some(bridge) && link.is_running();
        let has_carrier = self.devices.links().any(is_live);
        let is_first = self.devices.get(bridge).is_ok_and(|link| link.carrier_changes == (0, 0));
        if is_first && has_carrier {
            // It had one as long as there was nothing to tell.
            if let Ok(link) = self.devices.get_mut(bridge) {
                link.has_carrier = false;
            }
        }
        self.set_carrier(bridge, has_carrier);
    }

    /// A bridge has the least of its ports' addresses, unless somebody gave it one.
    fn choose_address(&mut self, bridge: u32) {
        let ports = self.devices.links().filter(|link| link.controller == Some(bridge));
        let Some(least) = ports.map(|link| link.hardware_address).min() else { return };
        if let Ok(link) = self.devices.get_mut(bridge)
            && !link.is_address_given
        {
            link.hardware_address = least;
        }
    }

    pub(super) fn set_carrier(&mut self, index: u32, has_carrier: bool) {
        let Ok(link) = self.devices.get_mut(index) else { return };
        if std::mem::replace(&mut link.has_carrier, has_carrier) == has_carrier {
            return;
        }
        let (up, down) = &mut link.carrier_changes;
        *(if has_carrier { up } else { down }) += 1;
        let link = link.clone();
        let is_up = link.is_up();
        self.note(Thing::Link(link));
        if is_up {
            self.add_link_local(index);
            self.port_has_changed(index);
        }
    }

    /// Gives a link that runs IPv6's address of its own, and the route to groups.
    pub(super) fn add_link_local(&mut self, index: u32) {
        let Ok(link) = self.devices.get_mut(index) else { return };
        let is_made =
            matches!(link.kind, LinkKind::Veth | LinkKind::Bridge | LinkKind::Dummy | LinkKind::Tap);
        let has_one = link.addresses.iter().any(|address| is_link_local(address.ip()));
        if !is_made || has_one || link.is_ipv6_disabled || link.mtu < MIN_IPV6_MTU || !link.is_running() {
            return;
        }
        let network = Ipv6Net::new_assert(link_local(link.hardware_address), 64);
        let address = InterfaceAddress {
            protocol: AddressProtocol::LinkLocal.into(),
            ..InterfaceAddress::new(network.into(), AddressScope::Link)
        };
        insert_address(link, address.clone());
        self.note(Thing::Address(index, address.clone()));
        self.add_routes_of(index, |own| own.ip() == address.ip());
        self.add_group_route(index);
    }

    fn add_group_route(&mut self, index: u32) {
        let groups = IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8));
        let route = Route::of_kernel(groups, RouteType::Multicast, RouteScope::Universe, index);
        let route = Route { table: LOCAL_TABLE, metric: IPV6_KERNEL_METRIC, ..route };
        if !self.routes.at_place_of(&route).any(|other| other.device == route.device) {
            self.routes.insert(route.clone());
            self.note(Thing::Route(route));
        }
    }
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// fe80::/64 with what a hardware address makes (RFC 4291, appendix A).
fn link_local([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    let identifier = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(identifier))
}
