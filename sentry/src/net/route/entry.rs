//! A route.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::route::{RouteProtocol, RouteScope, RouteType};

use super::{LOCAL_TABLE, MAIN_TABLE};

/// A route of a table (`man 7 rtnetlink`, RTM_NEWROUTE).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads: a network, its host bits zero.
    pub destination: IpNet,
    /// For which type of service; 0 for any.
    pub tos: u8,
    /// RTA_TABLE: `main` is 254, `local` 255.
    pub table: u32,
    /// Who made it.
    pub protocol: RouteProtocol,
    /// How far its destination is.
    pub scope: RouteScope,
    /// What it does with packets.
    pub kind: RouteType,
    /// The index of the link that it leads through; none for those that lead nowhere.
    pub device: Option<u32>,
    /// The next router.
    pub gateway: Option<IpAddr>,
    /// The source address for whoever has none.
    pub preferred_source: Option<IpAddr>,
    /// Of two to the same destination the one with the lower metric counts.
    pub metric: u32,
    /// The MTU on the way, where it is not the link's.
    pub mtu: Option<u32>,
}

impl Route {
    /// A route of the kernel's own, through `device`: a local or broadcast one is in the local table, another in the main one.
    pub(in crate::net) fn of_kernel(
        destination: IpNet,
        kind: RouteType,
        scope: RouteScope,
        device: u32,
    ) -> Self {
        Self {
            destination,
            tos: 0,
            table: if kind == RouteType::Unicast { MAIN_TABLE } else { LOCAL_TABLE },
            protocol: RouteProtocol::Kernel,
            scope,
            kind,
            device: Some(device),
            gateway: None,
            preferred_source: None,
            metric: 0,
            mtu: None,
        }
    }

    /// Whether its destination is of IPv6.
    pub fn is_ipv6(&self) -> bool {
        self.destination.addr().is_ipv6()
    }

    /// Whether it refuses packets: no link, no router.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.kind,
            RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw
        )
    }

    /// Whether `other` has its place: of such two a table holds one.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        let place = |route: &Self| (route.table, route.destination, route.tos, route.metric);
        place(self) == place(other)
    }
}
