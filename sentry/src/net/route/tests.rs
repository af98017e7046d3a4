//! What is expected was seen in a fresh network namespace of Linux.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::address::AddressScope;
use netlink_packet_route::route::{RouteProtocol, RouteScope, RouteType};
use netlink_packet_route::rule::RuleAction;

use super::*;
use crate::Errno;
use crate::net::configuration::{NetworkConfiguration, RouteCreation};
use crate::net::device::{InterfaceAddress, LOOPBACK_INDEX};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn raised() -> NetworkConfiguration {
    let configuration = NetworkConfiguration::default();
    configuration.raise_loopback();
    configuration
}

fn add_route(configuration: &NetworkConfiguration, destination: &str, kind: RouteType, scope: RouteScope) {
    let route = Route {
        table: MAIN_TABLE,
        protocol: RouteProtocol::Boot,
        device: (kind == RouteType::Unicast).then_some(LOOPBACK_INDEX),
        ..Route::of_kernel(net(destination), kind, scope, LOOPBACK_INDEX)
    };
    let creation = RouteCreation { creates: true, ..RouteCreation::default() };
    configuration.add_route(route, creation).unwrap();
}

fn ask(configuration: &NetworkConfiguration, destination: &str) -> Result<(RouteType, String), Errno> {
    let found = configuration.route(&RouteQuery::to(ip(destination)))?;
    Ok((found.kind, found.source.to_string()))
}

fn found(kind: RouteType, source: &str) -> Result<(RouteType, String), Errno> {
    Ok((kind, source.into()))
}

#[test]
fn a_new_namespace_leads_nowhere() {
    let configuration = NetworkConfiguration::default();
    for destination in ["127.0.0.1", "8.8.8.8", "224.0.0.1", "255.255.255.255", "::1", "::", "2001::1"] {
        assert_eq!(ask(&configuration, destination), Err(Errno::ENETUNREACH), "{destination}");
    }
    assert_eq!(configuration.address_kind(ip("127.0.0.1")), RouteType::Unicast);
}

#[test]
fn a_loopback_that_is_up_leads_to_itself() {
    let configuration = raised();
    let cases = [
        ("127.0.0.1", found(RouteType::Local, "127.0.0.1")),
        ("127.3.3.3", found(RouteType::Local, "127.0.0.1")),
        ("127.255.255.255", found(RouteType::Broadcast, "127.0.0.1")),
        ("0.0.0.0", found(RouteType::Local, "127.0.0.1")),
        ("::1", found(RouteType::Local, "::1")),
        ("::", found(RouteType::Local, "::1")),
        ("0.1.2.3", Err(Errno::EINVAL)),
        ("8.8.8.8", Err(Errno::ENETUNREACH)),
        ("255.255.255.255", Err(Errno::ENETUNREACH)),
        ("224.0.0.1", Err(Errno::ENETUNREACH)),
        ("2001::1", Err(Errno::ENETUNREACH)),
    ];
    for (destination, expected) in cases {
        assert_eq!(ask(&configuration, destination), expected, "{destination}");
    }
}

#[test]
fn an_address_is_local_broadcast_multicast_or_somewhere() {
    let configuration = raised();
    let cases = [
        ("127.0.0.1", RouteType::Local),
        ("127.9.9.9", RouteType::Local),
        ("127.255.255.255", RouteType::Broadcast),
        ("0.0.0.0", RouteType::Broadcast),
        ("239.1.2.3", RouteType::Multicast),
        ("10.0.0.1", RouteType::Unicast),
        ("::1", RouteType::Local),
        ("ff02::1", RouteType::Multicast),
        ("fe80::1", RouteType::Unicast),
    ];
    for (address, kind) in cases {
        assert_eq!(configuration.address_kind(ip(address)), kind, "{address}");
    }
}

#[test]
fn the_source_reaches_as_far_as_the_route() {
    let configuration = raised();
    let address = InterfaceAddress::new(net("10.0.0.1/24"), AddressScope::Universe);
    configuration.add_address(LOOPBACK_INDEX, address, false).unwrap();
    add_route(&configuration, "1.2.3.0/24", RouteType::Unicast, RouteScope::Link);
    assert_eq!(ask(&configuration, "1.2.3.4"), found(RouteType::Unicast, "10.0.0.1"));
    assert_eq!(ask(&configuration, "10.0.0.77"), found(RouteType::Local, "10.0.0.1"));
    assert_eq!(ask(&configuration, "127.0.0.5"), found(RouteType::Local, "127.0.0.1"));
    let address = InterfaceAddress::new(net("fd00::1/64"), AddressScope::Universe);
    configuration.add_address(LOOPBACK_INDEX, address, false).unwrap();
    assert_eq!(ask(&configuration, "fd00::5"), found(RouteType::Unicast, "fd00::1"));
    assert_eq!(ask(&configuration, "fd00::1"), found(RouteType::Local, "fd00::1"));
    assert_eq!(ask(&configuration, "::1"), found(RouteType::Local, "::1"));
}

#[test]
fn the_narrowest_route_counts_and_may_refuse() {
    let configuration = raised();
    let universe = RouteScope::Universe;
    add_route(&configuration, "9.0.0.0/8", RouteType::Unreachable, universe);
    add_route(&configuration, "9.1.0.0/16", RouteType::BlackHole, universe);
    add_route(&configuration, "9.2.0.0/16", RouteType::Prohibit, universe);
    add_route(&configuration, "9.2.2.0/24", RouteType::Throw, universe);
    let cases = [("9.9.9.9", Errno::EHOSTUNREACH), ("9.1.1.1", Errno::EINVAL), ("9.2.1.1", Errno::EACCES)];
    for (destination, errno) in cases {
        assert_eq!(ask(&configuration, destination), Err(errno), "{destination}");
    }
    assert_eq!(ask(&configuration, "9.2.2.2"), Err(Errno::ENETUNREACH));
}

#[test]
fn a_source_has_to_be_ones_own() {
    let configuration = raised();
    let query = |source| RouteQuery { source: Some(ip(source)), ..RouteQuery::to(ip("127.0.0.1")) };
    assert_eq!(configuration.route(&query("10.0.0.1")), Err(Errno::EINVAL));
    assert_eq!(configuration.route(&query("127.0.0.9")).unwrap().source, ip("127.0.0.9"));
}

#[test]
fn what_is_bound_to_a_link_needs_no_route() {
    let configuration = raised();
    let query = |destination| RouteQuery { device: Some(LOOPBACK_INDEX), ..RouteQuery::to(ip(destination)) };
    assert_eq!(configuration.route(&query("224.0.0.1")).unwrap().kind, RouteType::Multicast);
    assert_eq!(configuration.route(&query("8.8.8.8")).unwrap().kind, RouteType::Unicast);
    let nowhere = RouteQuery { device: Some(7), ..query("8.8.8.8") };
    assert_eq!(configuration.route(&nowhere), Err(Errno::ENODEV));
}

#[test]
fn a_rule_is_asked_before_those_of_higher_priority() {
    let configuration = raised();
    let rule = Rule {
        priority: 0,
        is_ipv6: false,
        source: None,
        destination: Some(net("127.7.0.0/16")),
        mark: 0,
        mark_mask: 0,
        action: RuleAction::Prohibit,
        table: 0,
        protocol: RouteProtocol::Boot,
    };
    configuration.add_rule(rule.clone(), None, true).unwrap();
    let priorities = || configuration.look(|all| all.rules().map(|rule| rule.priority).collect::<Vec<_>>());
    assert_eq!(priorities(), [0, 32765, 32766, 32767, 0, 32766]);
    // The local table comes first.
    assert!(ask(&configuration, "127.7.0.1").is_ok());
    configuration.delete_rule(|rule| rule.table == 255 && !rule.is_ipv6).unwrap();
    assert_eq!(ask(&configuration, "127.7.0.1"), Err(Errno::EACCES));
    configuration.delete_rule(|other| other.destination == rule.destination).unwrap();
    assert_eq!(configuration.delete_rule(|other| other.table == 9), Err(Errno::ENOENT.into()));
}
