//! /proc/net/if_inet6, igmp and igmp6: addresses, and the groups that every link that is up belongs to.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};

use super::super::configuration::Snapshot;

pub(super) fn ipv6(all: &Snapshot<'_>) -> String {
    let mut text = String::new();
    for link in all.links() {
        for address in &link.addresses {
            let IpAddr::V6(ip) = address.ip() else { continue };
            let (bits, len, flags) =
                (ip.to_bits(), address.network.prefix_len(), address.flags.bits() & 0xff);
            let (index, scope) = (link.index, scope_of(ip));
            // Writing to a String does not fail.
            let _ =
                writeln!(text, "{bits:032x} {index:02x} {len:02x} {scope:02x} {flags:02x} {:>8}", link.name);
        }
    }
    text
}

/// `IPV6_ADDR_LOOPBACK`, `IPV6_ADDR_LINKLOCAL`, or 0 for everywhere.
fn scope_of(address: Ipv6Addr) -> u8 {
    match address {
        address if address.is_loopback() => 0x10,
        address if address.is_unicast_link_local() => 0x20,
        _ => 0,
    }
}

/// A group that sockets have joined: the link, the group, and how many have.
type Joined = (u32, IpAddr, usize);

/// The groups of a link, the newest first, of IPv4 or of IPv6.
fn of_link(joined: &[Joined], index: u32, is_ipv4: bool) -> impl Iterator<Item = &Joined> {
    joined.iter().rev().filter(move |(device, group, _)| *device == index && group.is_ipv4() == is_ipv4)
}

pub(super) fn igmp(all: &Snapshot<'_>, joined: &[Joined]) -> String {
    /// 224.0.0.1, all hosts, as a word of this machine's.
    const ALL_HOSTS: u32 = 0x0100_00e0;
    let mut text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n".to_string();
    for link in all.links().filter(|link| link.is_up()) {
        let own = of_link(joined, link.index, true).filter_map(|(_, group, users)| match group {
            IpAddr::V4(group) => Some((u32::from_ne_bytes(group.octets()), *users)),
            IpAddr::V6(_) => None,
        });
        let groups: Vec<_> = own.chain([(ALL_HOSTS, 1)]).collect();
        let _ = writeln!(text, "{}\t{:<10}: {:5} {:>7}", link.index, link.name, groups.len(), "V3");
        for (group, users) in groups {
            let _ = writeln!(text, "\t\t\t\t{group:08X} {users:5} {}:{:08X}\t\t{}", 0, 0, 0);
        }
    }
    text
}

pub(super) fn igmp6(all: &Snapshot<'_>, joined: &[Joined]) -> String {
    const ALL_NODES: [(u128, u32); 2] = [(0xff02 << 112 | 1, 0xc), (0xff01 << 112 | 1, 8)];
    /// The loopback reports no group (MAF_LOADED alone).
    const JOINED: u32 = 4;
    let mut text = String::new();
    for link in all.links().filter(|link| link.is_up() && !link.is_ipv6_disabled) {
        let own = of_link(joined, link.index, false).filter_map(|(_, group, users)| match group {
            IpAddr::V6(group) => Some((group.to_bits(), *users, JOINED)),
            IpAddr::V4(_) => None,
        });
        for (group, users, flags) in own.chain(ALL_NODES.map(|(group, flags)| (group, 1, flags))) {
            let (index, name) = (link.index, &link.name);
            let _ = writeln!(text, "{index:<4} {name:<15} {group:032x} {users:5} {flags:08X} {}", 0);
        }
    }
    text
}
