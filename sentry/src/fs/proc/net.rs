//! /proc/PID/net: the network namespace of a process.

use super::About;
use crate::Errno;
use crate::fs::pseudo::{Directory, Entry, Node, Piece, Read, Reader, read_whole};
use crate::fs::{NetworkTable, Viewer};

/// A file of the namespace's that nobody opens for writing.
macro_rules! table {
    ($name:literal, $table:ident) => {
        table!($name, $table, None)
    };
    ($name:literal, $table:ident, $refusal:expr) => {
        Entry {
            name: $name,
            permissions: 0o444,
            node: Node::Table(|about, _| open(about, NetworkTable::$table), $refusal),
        }
    };
}

/// One of tables of rules, which is not for everybody.
macro_rules! rules {
    ($name:literal, $table:ident) => {
        Entry {
            name: $name,
            permissions: 0o440,
            node: Node::Table(|about, _| open(about, NetworkTable::$table), None),
        }
    };
}

/// One that is told as a whole: it is opened, and each write fails.
macro_rules! figures {
    ($name:literal, $table:ident) => {
        table!($name, $table, Some(Errno::EACCES))
    };
}

/// One that nothing fills, below its heading.
macro_rules! heading {
    ($name:literal, $text:literal) => {
        Entry {
            name: $name,
            permissions: 0o444,
            node: Node::Table(|about, _| open_heading(about, |_, _| Ok($text.into())), None),
        }
    };
}

/// The names in /proc/PID/net.
pub(super) static NET: Directory<About> = Directory {
    entries: &[
        heading!("anycast6", ""),
        table!("arp", Arp),
        table!("dev", Devices),
        table!("dev_mcast", DeviceMulticast),
        table!("fib_trie", FibTrie),
        figures!("fib_triestat", FibTrieStatistics),
        table!("icmp", Icmp),
        table!("icmp6", Icmp6),
        table!("if_inet6", Ipv6Addresses),
        table!("igmp", Igmp),
        table!("igmp6", Igmp6),
        heading!(
            "ip6_flowlabel",
            "Label S Owner  Users  Linger Expires  Dst                              Opt\n"
        ),
        heading!(
            "ip6_mr_cache",
            "Group                            Origin                           Iif      Pkts  Bytes     Wrong  Oifs\n"
        ),
        heading!("ip6_mr_vif", "Interface      BytesIn  PktsIn  BytesOut PktsOut Flags\n"),
        rules!("ip6_tables_matches", RuleMatches6),
        rules!("ip6_tables_names", RuleTables6),
        rules!("ip6_tables_targets", RuleTargets),
        heading!("ip_mr_cache", "Group    Origin   Iif     Pkts    Bytes    Wrong Oifs\n"),
        heading!("ip_mr_vif", "Interface      BytesIn  PktsIn  BytesOut PktsOut Flags Local    Remote\n"),
        rules!("ip_tables_matches", RuleMatches),
        rules!("ip_tables_names", RuleTables),
        rules!("ip_tables_targets", RuleTargets),
        table!("ipv6_route", Ipv6Routes),
        table!("mcfilter", MulticastFilters),
        table!("mcfilter6", MulticastFilters6),
        table!("netlink", Netlink),
        figures!("netstat", Netstat),
        table!("packet", Packet),
        table!("protocols", Protocols),
        table!("psched", PacketScheduler, Some(Errno::EIO)),
        table!("ptype", PacketTypes),
        table!("raw", Raw),
        table!("raw6", Raw6),
        table!("route", Routes),
        figures!("rt6_stats", Ipv6RouteStatistics),
        // Nothing has been kept of single routes since Linux 3.6.
        heading!(
            "rt_cache",
            "Iface\tDestination\tGateway \tFlags\t\tRefCnt\tUse\tMetric\tSource\t\tMTU\tWindow\tIRTT\tTOS\tHHRef\tHHUptod\tSpecDst                          \n"
        ),
        figures!("snmp", Snmp),
        figures!("snmp6", Snmp6),
        Entry {
            name: "softnet_stat",
            permissions: 0o444,
            node: Node::Table(|_, _| Ok(read_whole(packets_by_processor)), Some(Errno::EIO)),
        },
        figures!("sockstat", SocketStatistics),
        figures!("sockstat6", SocketStatistics6),
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

/// What each processor did with packets: what is delivered inside waits in no queue of a processor's, so that only its number is told.
fn packets_by_processor(about: &About, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let zeros = |count: usize| "00000000 ".repeat(count);
    let line = |cpu: usize| format!("{}{cpu:08x} 00000000 00000000\n", zeros(12));
    Ok((0..about.source().system().cpus).map(line).collect::<String>().into_bytes())
}

/// A table with no rows, of a namespace that is there.
fn open_heading(about: &About, heading: Read<About>) -> Result<Reader<About>, Errno> {
    about.process()?.network().ok_or(Errno::EINVAL)?;
    Ok(read_whole(heading))
}

/// Whether it is /proc/PID/net.
pub(super) fn is_own(directory: &'static Directory<About>) -> bool {
    std::ptr::eq(directory, &raw const NET)
}

/// The namespace of a process that has ended is gone; a file that is open by then keeps it.
fn open(about: &About, table: NetworkTable) -> Result<Reader<About>, Errno> {
    let network = about.process()?.network().ok_or(Errno::EINVAL)?;
    Ok(Box::new(move |_, viewer, _| network.table(table, &viewer.credentials).map(Piece::whole)))
}
