//! /proc/net/route, ipv6_route, rt6_stats and arp.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linux_raw_sys::if_arp::{ATF_COM, ATF_PERM};
use netlink_packet_route::neighbour::NeighbourState;
use netlink_packet_route::route::RouteType;

use super::super::configuration::Snapshot;
use super::super::route::{LOCAL_TABLE, MAIN_TABLE, Neighbour, Route};

/// RTF_*, as route(8) and the tables have them.
const RTF_UP: u32 = 0x1;
const RTF_GATEWAY: u32 = 0x2;
const RTF_HOST: u32 = 0x4;
const RTF_REJECT: u32 = 0x200;
const RTF_NONEXTHOP: u32 = 0x0020_0000;
const RTF_LOCAL: u32 = 0x8000_0000;
/// How wide a line of /proc/net/route is, without its end.
const ROUTE_WIDTH: usize = 127;

/// Bytes as Linux prints those of an IPv4 address: as a number of this machine's.
fn word(address: Ipv4Addr) -> u32 {
    u32::from_le_bytes(address.octets())
}

fn name_of(all: &Snapshot<'_>, index: Option<u32>) -> String {
    let link = index.and_then(|index| all.link(index).ok());
    link.map_or("*".into(), |link| link.name.to_string())
}

pub(super) fn ipv4(all: &Snapshot<'_>) -> String {
    let header = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";
    let mut text = format!("{header:<ROUTE_WIDTH$}\n");
    let is_shown = |route: &&Route| {
        route.table == MAIN_TABLE && !matches!(route.kind, RouteType::Broadcast | RouteType::Multicast)
    };
    for route in all.routes().filter(is_shown) {
        let Some(line) = ipv4_line(all, route) else { continue };
        // Writing to a String does not fail.
        let _ = writeln!(text, "{line:<ROUTE_WIDTH$}");
    }
    text
}

fn ipv4_line(all: &Snapshot<'_>, route: &Route) -> Option<String> {
    let (IpAddr::V4(destination), IpAddr::V4(mask)) =
        (route.destination.network(), route.destination.netmask())
    else {
        return None;
    };
    let gateway = match route.gateway {
        Some(IpAddr::V4(gateway)) => gateway,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    let refuses = matches!(route.kind, RouteType::Unreachable | RouteType::Prohibit);
    let flags = RTF_UP
        | if refuses { RTF_REJECT } else { 0 }
        | if route.gateway.is_some() { RTF_GATEWAY } else { 0 }
        | if mask.is_broadcast() { RTF_HOST } else { 0 };
    let (name, metric) = (name_of(all, route.device), route.metric);
    let (destination, gateway, mask) = (word(destination), word(gateway), word(mask));
    Some(format!(
        "{name}\t{destination:08X}\t{gateway:08X}\t{flags:04X}\t0\t0\t{metric}\t{mask:08X}\t{}\t0\t0",
        route.mtu.unwrap_or(0)
    ))
}

pub(super) fn ipv6(all: &Snapshot<'_>) -> String {
    let mut text = String::new();
    for table in [MAIN_TABLE, LOCAL_TABLE] {
        for route in all.routes().filter(|route| route.is_ipv6() && route.table == table) {
            push_ipv6(&mut text, all, route);
        }
        // What every table ends with: there is no other way.
        let zero = "0".repeat(32);
        let flags = RTF_REJECT | RTF_NONEXTHOP;
        let _ =
            writeln!(text, "{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 {flags:08x} {:>8}", "lo");
    }
    text
}

fn push_ipv6(text: &mut String, all: &Snapshot<'_>, route: &Route) {
    let IpAddr::V6(destination) = route.destination.network() else { return };
    let gateway = match route.gateway {
        Some(IpAddr::V6(gateway)) => gateway,
        _ => Ipv6Addr::UNSPECIFIED,
    };
    let link = route.device.and_then(|index| all.link(index).ok());
    // Whatever leads through the loopback and is not local leads nowhere.
    let is_nowhere = link.is_none_or(|link| link.is_loopback());
    let flags = match route.kind {
        RouteType::Local => RTF_LOCAL | RTF_NONEXTHOP | RTF_UP,
        _ if is_nowhere => RTF_REJECT | RTF_NONEXTHOP,
        _ => RTF_UP | if route.gateway.is_some() { RTF_GATEWAY } else { 0 },
    };
    let name = link.map_or("lo".into(), |link| link.name.to_string());
    let (len, source) = (route.destination.prefix_len(), 0);
    let (destination, gateway, metric) = (destination.to_bits(), gateway.to_bits(), route.metric);
    let _ = writeln!(
        text,
        "{destination:032x} {len:02x} {source:032x} 00 {gateway:032x} {metric:08x} 00000001 00000000 {flags:08x} {name:>8}"
    );
}

/// Nodes and routes of IPv6's tables; nothing is cached.
pub(super) fn ipv6_statistics(all: &Snapshot<'_>) -> String {
    let routes = all.routes().filter(|route| route.is_ipv6()).count();
    format!("{:04x} {:04x} 0000 {routes:04x} 0000 0000 0000\n", routes + 1, routes + 1)
}

pub(super) fn arp(all: &Snapshot<'_>) -> String {
    let mut text =
        "IP address       HW type     Flags       HW address            Mask     Device\n".to_string();
    for neighbour in all.neighbours().filter(|neighbour| neighbour.state != NeighbourState::Noarp) {
        push_arp(&mut text, all, neighbour);
    }
    text
}

fn push_arp(text: &mut String, all: &Snapshot<'_>, neighbour: &Neighbour) {
    let (IpAddr::V4(ip), Ok(link)) = (neighbour.address, all.link(neighbour.device)) else { return };
    let flags = match neighbour.state {
        NeighbourState::Permanent => ATF_COM | ATF_PERM,
        _ if neighbour.hardware_address.is_some() => ATF_COM,
        _ => 0,
    };
    let hardware = hardware_address(neighbour.hardware_address.unwrap_or_default());
    let kind = u16::from(link.kind.layer());
    let (kind, flags) = (format!("{kind:x}"), format!("{flags:x}"));
    let _ = writeln!(text, "{ip:<16} 0x{kind:<10}0x{flags:<10}{hardware:<17}     *        {}", link.name);
}

/// A hardware address as it is written everywhere.
pub(in crate::net) fn hardware_address(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}
