//! The addresses on the link to the outside, the same in every sandbox: a network of two ends, and a resolver.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The sandbox's own address.
pub const GUEST_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The sandbox's own address of IPv6, in a network of local addresses (RFC 4193).
pub const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0xfd50, 0x616c, 0x6973, 0, 0, 0, 0, 0x15);
/// The host: the router, and what the host's own loopback is seen as.
pub const HOST_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The host's address of IPv6.
pub const HOST_V6: Ipv6Addr = Ipv6Addr::new(0xfd50, 0x616c, 0x6973, 0, 0, 0, 0, 2);
/// Where names are looked up.
pub const RESOLVER_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// Where names are looked up by IPv6.
pub const RESOLVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd50, 0x616c, 0x6973, 0, 0, 0, 0, 3);

/// The own addresses with their networks.
pub fn guest_networks() -> [IpNet; 2] {
    [Ipv4Net::new_assert(GUEST_V4, 24).into(), Ipv6Net::new_assert(GUEST_V6, 64).into()]
}
