//! Who is asked for names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::network::Network;
use crate::network::host_resolver::HostResolver;
use crate::network::policy::DNS_PORT;

/// The most that are asked (`MAXNS` of `man 5 resolv.conf`).
const MAX_SERVERS: usize = 3;

/// The caller's servers, or the host's; without either, the one that the C library would ask.
pub(super) fn of(network: &Network) -> Vec<SocketAddr> {
    let own = network.nameservers.clone();
    let mut servers = if own.is_empty() { HostResolver::read().nameservers } else { own };
    if servers.is_empty() {
        servers.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    servers.truncate(MAX_SERVERS);
    servers.into_iter().map(|server| SocketAddr::new(server, DNS_PORT)).collect()
}
