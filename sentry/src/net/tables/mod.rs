//! The files of /proc/net (`man 5 proc_pid_net`), to the byte as Linux has them.

mod addresses;
mod devices;
mod fib_trie;
mod internet;
mod mib;
mod protocols;
mod routes;
mod snmp;
mod sockets;
#[cfg(test)]
mod tests;

pub(super) use routes::hardware_address;
pub(super) use sockets::unix;

use super::NetworkNamespace;
use super::xtables::{self, Family};
use crate::Errno;
use crate::cred::UserNamespace;
use crate::fs::NetworkTable;

/// Nanoseconds in a tick of the packet scheduler's clock, and ticks in a second, as tc(8) has them.
const PACKET_SCHEDULER: &str = "000003e8 00000040 000f4240 3b9aca00\n";

/// The contents of a file; users have the numbers that `users` gives them.
///
/// # Errors
/// ENOMEM; EINTR: the reader is ending.
pub(super) fn table(
    namespace: &NetworkNamespace,
    table: NetworkTable,
    users: &UserNamespace,
) -> Result<Vec<u8>, Errno> {
    match of_configuration(namespace, table) {
        Some(text) => Ok(text.into_bytes()),
        None => sockets::table(namespace, table, users),
    }
}

/// What does not tell of sockets one by one.
fn of_configuration(namespace: &NetworkNamespace, table: NetworkTable) -> Option<String> {
    let configuration = namespace.configuration();
    let joined = || namespace.inet_sockets().joined_groups();
    Some(match table {
        NetworkTable::Arp => configuration.look(|all| routes::arp(&all)),
        NetworkTable::Devices => configuration.look(|all| devices::devices(&all)),
        NetworkTable::DeviceMulticast => String::new(),
        NetworkTable::FibTrie => configuration.look(|all| fib_trie::trie(&all)),
        NetworkTable::FibTrieStatistics => configuration.look(|all| fib_trie::statistics(&all)),
        NetworkTable::PacketScheduler => PACKET_SCHEDULER.into(),
        NetworkTable::Protocols => protocols::table(namespace),
        NetworkTable::Ipv6Addresses => configuration.look(|all| addresses::ipv6(&all)),
        NetworkTable::Igmp => configuration.look(|all| addresses::igmp(&all, &joined())),
        NetworkTable::Igmp6 => configuration.look(|all| addresses::igmp6(&all, &joined())),
        NetworkTable::Ipv6Routes => configuration.look(|all| routes::ipv6(&all)),
        NetworkTable::MulticastFilters => "Idx Device        MCA        SRC    INC    EXC\n".into(),
        NetworkTable::MulticastFilters6 => {
            "Idx Device                Multicast Address                   Source Address    INC    EXC\n"
                .into()
        }
        NetworkTable::Netstat => snmp::netstat(namespace),
        NetworkTable::PacketTypes => {
            "Type Device      Function\n0800          ip_rcv\n86dd          ipv6_rcv\n".into()
        }
        NetworkTable::RuleTables => namespace.xtables().names(Family::V4).into(),
        NetworkTable::RuleTables6 => namespace.xtables().names(Family::V6).into(),
        NetworkTable::RuleMatches => xtables::listed_matches(Family::V4),
        NetworkTable::RuleMatches6 => xtables::listed_matches(Family::V6),
        NetworkTable::RuleTargets => xtables::listed_targets(),
        NetworkTable::Routes => configuration.look(|all| routes::ipv4(&all)),
        NetworkTable::Ipv6RouteStatistics => configuration.look(|all| routes::ipv6_statistics(&all)),
        NetworkTable::Snmp => snmp::snmp(namespace),
        NetworkTable::Snmp6 => snmp::snmp6(namespace),
        _ => return None,
    })
}
