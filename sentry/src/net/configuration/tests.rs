//! What is expected was seen in a fresh network namespace of Linux.

use ipnet::IpNet;
use netlink_packet_route::address::AddressScope;
use netlink_packet_route::link::LinkFlags;
use netlink_packet_route::route::{RouteProtocol, RouteScope, RouteType};

use super::*;
use crate::net::device::{InterfaceAddress, LinkName};
use crate::net::route::{LOCAL_TABLE, MAIN_TABLE};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// A namespace whose loopback is up.
fn raised() -> NetworkConfiguration {
    let configuration = NetworkConfiguration::default();
    configuration.raise_loopback();
    configuration
}

fn set_up(configuration: &NetworkConfiguration, is_up: bool) {
    let flags = if is_up { LinkFlags::Up } else { LinkFlags::empty() };
    let changes = LinkChanges { flags: Some((flags, LinkFlags::Up)), ..LinkChanges::default() };
    configuration.change_link(LOOPBACK_INDEX, changes).unwrap();
}

fn add(configuration: &NetworkConfiguration, text: &str) -> Result<(), Errno> {
    let address = InterfaceAddress::new(net(text), AddressScope::Universe);
    Ok(configuration.add_address(LOOPBACK_INDEX, address, false)?)
}

fn addresses(configuration: &NetworkConfiguration) -> Vec<String> {
    let tell = |address: &InterfaceAddress| {
        format!("{}{}", address.network, if address.is_secondary() { " secondary" } else { "" })
    };
    configuration.look(|all| all.link(LOOPBACK_INDEX).unwrap().addresses.iter().map(tell).collect())
}

fn routes(configuration: &NetworkConfiguration) -> Vec<String> {
    let tell = |route: &Route| {
        let table = if route.table == LOCAL_TABLE { " table local" } else { "" };
        let source = route.preferred_source.map_or(String::new(), |source| format!(" src {source}"));
        format!("{:?} {}{table}{source}", route.kind, route.destination).to_lowercase()
    };
    configuration.look(|all| all.routes().map(tell).collect())
}

fn made(destination: &str, kind: RouteType) -> Route {
    Route {
        protocol: RouteProtocol::Boot,
        table: MAIN_TABLE,
        ..Route::of_kernel(net(destination), kind, RouteScope::Link, LOOPBACK_INDEX)
    }
}

const CREATES: RouteCreation =
    RouteCreation { creates: true, is_exclusive: true, replaces: false, appends: false };

#[test]
fn a_loopback_that_goes_up_has_addresses_and_routes() {
    let configuration = NetworkConfiguration::default();
    assert!(addresses(&configuration).is_empty() && routes(&configuration).is_empty());
    configuration.raise_loopback();
    assert_eq!(addresses(&configuration), ["127.0.0.1/8", "::1/128"]);
    assert_eq!(
        routes(&configuration),
        [
            "local 127.0.0.0/8 table local src 127.0.0.1",
            "local 127.0.0.1/32 table local src 127.0.0.1",
            "broadcast 127.255.255.255/32 table local src 127.0.0.1",
            "local ::1/128 table local",
        ]
    );
}

#[test]
fn a_loopback_that_goes_down_keeps_what_is_local_of_ipv4() {
    let configuration = raised();
    set_up(&configuration, false);
    assert_eq!(addresses(&configuration), ["127.0.0.1/8"]);
    assert_eq!(
        routes(&configuration),
        ["local 127.0.0.0/8 table local src 127.0.0.1", "local 127.0.0.1/32 table local src 127.0.0.1"]
    );
    set_up(&configuration, true);
    assert_eq!((addresses(&configuration).len(), routes(&configuration).len()), (2, 4));
}

#[test]
fn further_addresses_of_a_network_come_and_go_with_the_first() {
    let configuration = raised();
    assert_eq!(add(&configuration, "10.0.0.1/24"), Ok(()));
    assert_eq!(add(&configuration, "10.0.0.2/24"), Ok(()));
    assert_eq!(add(&configuration, "10.0.0.2/24"), Err(Errno::EEXIST));
    assert_eq!(addresses(&configuration), ["127.0.0.1/8", "10.0.0.1/24", "10.0.0.2/24 secondary", "::1/128"]);
    assert_eq!(
        routes(&configuration)[..4],
        [
            "local 10.0.0.0/24 table local src 10.0.0.1",
            "local 10.0.0.1/32 table local src 10.0.0.1",
            "local 10.0.0.2/32 table local src 10.0.0.1",
            "broadcast 10.0.0.255/32 table local src 10.0.0.1",
        ]
    );
    let pattern = AddressPattern { local: Some("10.0.0.1".parse().unwrap()), ..AddressPattern::default() };
    assert_eq!(configuration.delete_address(LOOPBACK_INDEX, false, &pattern), Ok(()));
    assert_eq!(addresses(&configuration), ["127.0.0.1/8", "::1/128"]);
    assert_eq!(routes(&configuration).len(), 4);
    let refusal = configuration.delete_address(LOOPBACK_INDEX, false, &pattern).unwrap_err();
    assert_eq!(refusal.errno, Errno::EADDRNOTAVAIL);
}

#[test]
fn an_ipv6_address_brings_its_network() {
    let configuration = raised();
    assert_eq!(add(&configuration, "fd00::1/64"), Ok(()));
    assert_eq!(add(&configuration, "fd00::1/64"), Err(Errno::EEXIST));
    assert_eq!(addresses(&configuration), ["127.0.0.1/8", "fd00::1/64", "::1/128"]);
    assert_eq!(
        routes(&configuration)[3..],
        ["unicast fd00::/64", "local ::1/128 table local", "local fd00::1/128 table local"]
    );
    for nobody in ["::/128", "ff02::1/128"] {
        assert_eq!(add(&configuration, nobody), Err(Errno::EADDRNOTAVAIL), "{nobody}");
    }
}

#[test]
fn a_route_has_a_place_of_its_own() {
    let configuration = raised();
    let route = made("1.2.3.0/24", RouteType::Unicast);
    assert_eq!(configuration.add_route(route.clone(), CREATES), Ok(()));
    assert_eq!(configuration.add_route(route.clone(), CREATES), Err(Errno::EEXIST.into()));
    let cheaper = Route { metric: 7, ..route.clone() };
    assert_eq!(configuration.add_route(cheaper, CREATES), Ok(()));
    let changed = Route { kind: RouteType::Unreachable, ..route.clone() };
    let change = RouteCreation { replaces: true, ..RouteCreation::default() };
    let changed = Route { device: None, ..changed };
    assert_eq!(configuration.add_route(changed, change), Ok(()));
    let pattern = RoutePattern { kind: RouteType::Unspec, route: Route { device: None, ..route } };
    for expected in [Ok(()), Ok(()), Err(Errno::ESRCH.into())] {
        assert_eq!(configuration.delete_route(&pattern), expected);
    }
}

#[test]
fn a_route_through_a_link_that_is_down_is_refused() {
    let configuration = NetworkConfiguration::default();
    let refusal = configuration.add_route(made("1.2.3.0/24", RouteType::Unicast), CREATES).unwrap_err();
    assert_eq!(refusal.errno, Errno::ENETDOWN);
}

#[test]
fn a_router_has_to_be_near() {
    let configuration = raised();
    let via = |gateway: &str| Route {
        gateway: Some(gateway.parse().unwrap()),
        device: None,
        scope: RouteScope::Universe,
        ..made("0.0.0.0/0", RouteType::Unicast)
    };
    assert_eq!(configuration.add_route(via("1.2.3.4"), CREATES).unwrap_err().errno, Errno::ENETUNREACH);
    configuration.add_route(made("1.2.3.0/24", RouteType::Unicast), CREATES).unwrap();
    assert_eq!(configuration.add_route(via("1.2.3.4"), CREATES), Ok(()));
    // Through the route that was just made, and so through another router.
    let farther = Route { metric: 5, ..via("9.9.9.9") };
    assert_eq!(configuration.add_route(farther, CREATES).unwrap_err().errno, Errno::ENETUNREACH);
    assert_eq!(configuration.add_route(via("127.0.0.1"), CREATES).unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn names_are_unique_and_an_mtu_has_bounds() {
    let configuration = raised();
    let change = |changes| configuration.change_link(LOOPBACK_INDEX, changes).map_err(Errno::from);
    let name = LinkName::new(b"xx").unwrap();
    assert_eq!(change(LinkChanges { name: Some(name), ..LinkChanges::default() }), Ok(()));
    assert_eq!(change(LinkChanges { mtu: Some(u32::MAX), ..LinkChanges::default() }), Err(Errno::EINVAL));
    assert_eq!(change(LinkChanges { mtu: Some(99_999_999), ..LinkChanges::default() }), Ok(()));
    assert!(configuration.look(|all| all.find_link(b"lo").is_err() && all.find_link(b"xx").is_ok()));
    assert_eq!(configuration.check_removable(LOOPBACK_INDEX), Err(Errno::EOPNOTSUPP.into()));
    assert_eq!(configuration.check_removable(2), Err(Errno::ENODEV.into()));
}

#[test]
fn addresses_and_routes_are_bounded() {
    let configuration = raised();
    let added =
        (0..300u32).map(|number| add(&configuration, &format!("10.{}.{}.1/24", number >> 8, number & 255)));
    let results: Vec<_> = added.collect();
    assert_eq!(results.last(), Some(&Err(Errno::ENOBUFS)));
}
