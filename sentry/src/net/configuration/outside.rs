//! The link to the outside, its addresses and the routes through it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use netlink_packet_route::address::AddressScope;
use netlink_packet_route::route::{RouteProtocol, RouteScope, RouteType};

use super::{NetworkConfiguration, Refusal, RouteCreation};
use crate::net::device::{InterfaceAddress, LinkName, LinkStatistics, OUTSIDE_INDEX};
use crate::net::route::{IPV6_METRIC, Route};

impl NetworkConfiguration {
    /// Adds the link to the outside, up, with these addresses, and a route to everywhere by each of the routers.
    ///
    /// # Errors
    /// As [`Self::add_address`] and [`Self::add_route`]: none for addresses whose networks hold the routers.
    pub(in crate::net) fn open_outside(
        &self,
        addresses: [IpNet; 2],
        routers: [IpAddr; 2],
    ) -> Result<Arc<LinkStatistics>, Refusal> {
        let statistics = self.change(|state| {
            state.devices.add_outside();
            state.raise(OUTSIDE_INDEX);
            state.devices.get(OUTSIDE_INDEX).map(|link| link.statistics.clone())
        })?;
        for address in addresses {
            self.add_address(OUTSIDE_INDEX, own_address(address), false)?;
        }
        for router in routers {
            self.add_route(
                default_route(router),
                RouteCreation { creates: true, ..RouteCreation::default() },
            )?;
        }
        Ok(statistics)
    }
}

fn own_address(network: IpNet) -> InterfaceAddress {
    let address = InterfaceAddress::new(network, AddressScope::Universe);
    match network {
        IpNet::V4(v4) => InterfaceAddress {
            broadcast: Some(v4.broadcast()),
            label: Some(LinkName::outside().to_string()),
            ..address
        },
        IpNet::V6(_) => address,
    }
}

fn default_route(router: IpAddr) -> Route {
    let everywhere = match router {
        IpAddr::V4(_) => IpNet::V4(ipnet::Ipv4Net::default()),
        IpAddr::V6(_) => IpNet::V6(ipnet::Ipv6Net::default()),
    };
    let route = Route::of_kernel(everywhere, RouteType::Unicast, RouteScope::Universe, OUTSIDE_INDEX);
    Route {
        protocol: RouteProtocol::Boot,
        gateway: Some(router),
        metric: if router.is_ipv6() { IPV6_METRIC } else { 0 },
        ..route
    }
}
