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

pub(super) fn igmp(all: &Snapshot<'_>) -> String {
    let mut text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n".to_string();
    for link in all.links().filter(|link| link.is_up()) {
        // 224.0.0.1, all hosts.
        let _ = writeln!(text, "{}\t{:<10}: {:5} {:>7}", link.index, link.name, 1, "V3");
        let _ = writeln!(text, "\t\t\t\t{:08X} {:5} {}:{:08X}\t\t{}", 0x0100_00e0, 1, 0, 0, 0);
    }
    text
}

pub(super) fn igmp6(all: &Snapshot<'_>) -> String {
    const ALL_NODES: [(&str, u32); 2] =
        [("ff020000000000000000000000000001", 0xc), ("ff010000000000000000000000000001", 8)];
    let mut text = String::new();
    for link in all.links().filter(|link| link.is_up() && !link.is_ipv6_disabled) {
        for (group, flags) in ALL_NODES {
            let _ = writeln!(text, "{:<4} {:<15} {group} {:5} {flags:08X} {}", link.index, link.name, 1, 0);
        }
    }
    text
}
