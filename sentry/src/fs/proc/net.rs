//! /proc/PID/net: the network namespace of a process.

use super::About;
use crate::Errno;
use crate::fs::pseudo::{Directory, text};
use crate::fs::{NetworkTable, Viewer};

/// A file of the namespace's.
macro_rules! table {
    ($name:literal, $table:ident) => {
        text($name, |about, viewer| read(about, viewer, NetworkTable::$table))
    };
}

/// The names in /proc/PID/net.
pub(super) static NET: Directory<About> = Directory {
    entries: &[
        table!("arp", Arp),
        table!("dev", Devices),
        table!("dev_mcast", DeviceMulticast),
        table!("fib_trie", FibTrie),
        table!("fib_triestat", FibTrieStatistics),
        table!("icmp", Icmp),
        table!("icmp6", Icmp6),
        table!("if_inet6", Ipv6Addresses),
        table!("igmp", Igmp),
        table!("igmp6", Igmp6),
        table!("ipv6_route", Ipv6Routes),
        table!("mcfilter", MulticastFilters),
        table!("mcfilter6", MulticastFilters6),
        table!("netlink", Netlink),
        table!("netstat", Netstat),
        table!("packet", Packet),
        table!("protocols", Protocols),
        table!("psched", PacketScheduler),
        table!("ptype", PacketTypes),
        table!("raw", Raw),
        table!("raw6", Raw6),
        table!("route", Routes),
        table!("rt6_stats", Ipv6RouteStatistics),
        table!("snmp", Snmp),
        table!("snmp6", Snmp6),
        table!("sockstat", SocketStatistics),
        table!("sockstat6", SocketStatistics6),
        table!("tcp", Tcp),
        table!("tcp6", Tcp6),
        table!("udp", Udp),
        table!("udp6", Udp6),
        table!("udplite", UdpLite),
        table!("udplite6", UdpLite6),
        table!("unix", Unix),
    ],
    children: None,
};

/// The namespace of a process that has ended is gone.
fn read(about: &About, viewer: &Viewer, table: NetworkTable) -> Result<Vec<u8>, Errno> {
    about.process()?.network().ok_or(Errno::EINVAL)?.table(table, &viewer.credentials)
}
