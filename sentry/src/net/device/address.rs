//! Addresses of links.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use netlink_packet_route::address::{AddressFlags, AddressScope};

/// An address of a link (`man 7 rtnetlink`, RTM_NEWADDR).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address, and how long the prefix is that it shares with its network.
    pub network: IpNet,
    /// The other end of a link between two points (IFA_ADDRESS where it is not the address itself).
    pub peer: Option<IpAddr>,
    /// The broadcast address of its network.
    pub broadcast: Option<Ipv4Addr>,
    /// How far it is valid.
    pub scope: AddressScope,
    /// IFA_F_PERMANENT and its kin.
    pub flags: AddressFlags,
    /// The label of an IPv4 address; most often the link's name.
    pub label: Option<String>,
    /// Where it comes from (IFA_PROTO), 0 if nobody said.
    pub protocol: u8,
    /// The metric of the route to its network (IFA_RT_PRIORITY); 0 for the usual one.
    pub route_metric: u32,
}

/// How far an IPv6 address reaches.
pub fn scope_of(address: IpAddr) -> AddressScope {
    match address {
        IpAddr::V6(address) if address.is_loopback() => AddressScope::Host,
        IpAddr::V6(address) if address.is_unicast_link_local() => AddressScope::Link,
        _ => AddressScope::Universe,
    }
}

impl InterfaceAddress {
    /// A permanent address of this scope.
    pub fn new(network: IpNet, scope: AddressScope) -> Self {
        Self {
            network,
            peer: None,
            broadcast: None,
            scope,
            flags: AddressFlags::Permanent,
            label: None,
            protocol: 0,
            route_metric: 0,
        }
    }

    /// The address without its prefix length.
    pub fn ip(&self) -> IpAddr {
        self.network.addr()
    }

    /// Whether it is one of IPv4's further addresses in a network, which live as long as the first.
    pub fn is_secondary(&self) -> bool {
        self.flags.contains(AddressFlags::Secondary)
    }

    /// The network that the address lies in: the peer's where there is one.
    pub fn subnet(&self) -> IpNet {
        let inside = self.peer.unwrap_or(self.ip());
        IpNet::new(inside, self.network.prefix_len()).unwrap_or(self.network).trunc()
    }
}
