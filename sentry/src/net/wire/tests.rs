use std::net::IpAddr;
use std::sync::Arc;

use netlink_packet_route::address::AddressScope;
use netlink_packet_route::link::LinkFlags;

use super::*;
use crate::cred::{Identity, KernelUid, Namespace as _, NamespaceKind, UserNamespace};
use crate::net::configuration::{LinkChanges, NewLink};
use crate::net::device::{InterfaceAddress, LinkKind};
use crate::net::route::RouteQuery;
use crate::net::xtables::Content;
use crate::net::{KernelSockets, NetworkNamespace};

fn first() -> Arc<NetworkNamespace> {
    let user = UserNamespace::initial();
    NetworkNamespace::new(Identity::initial(NamespaceKind::Network, &user), KernelSockets::default())
}

fn beside(network: &NetworkNamespace) -> Arc<NetworkNamespace> {
    let owner = network.identity().owner().unwrap();
    network.new_beside(Identity::new(NamespaceKind::Network, owner, KernelUid::ROOT).unwrap())
}

fn named(kind: LinkKind, name: &str) -> NewLink {
    let flags = Some((LinkFlags::Up, LinkFlags::Up));
    let changes = LinkChanges { flags, ..LinkChanges::default() };
    NewLink { name: Some(name.into()), changes, ..NewLink::of_kind(kind) }
}

fn index(network: &NetworkNamespace, name: &str) -> u32 {
    network.configuration().look(|all| all.find_link(name.as_bytes()).unwrap().index)
}

fn give(network: &NetworkNamespace, name: &str, address: &str) {
    let address = InterfaceAddress::new(address.parse().unwrap(), AddressScope::Universe);
    network.configuration().add_address(index(network, name), address, false).unwrap();
}

fn lay(near: &Arc<NetworkNamespace>, far: &Arc<NetworkNamespace>, names: [&str; 2]) {
    let peer = named(LinkKind::Veth, names[1]);
    near.make_cable(&named(LinkKind::Veth, names[0]), (far, &peer)).unwrap();
}

fn outcome(network: &Arc<NetworkNamespace>, destination: &str, ttl: u8) -> Outcome {
    let destination: IpAddr = destination.parse().unwrap();
    let route = network.configuration().route(&RouteQuery::to(destination)).unwrap();
    send(
        network,
        &route,
        &Packet { source: route.source, destination, ttl, tos: 0, content: Content::default() },
    )
}

fn arrives_in(outcome: &Outcome, network: &Arc<NetworkNamespace>) -> bool {
    matches!(outcome, Outcome::Arrives(landings) if landings.iter().any(|landing| Arc::ptr_eq(&landing.network, network)))
}

#[test]
fn a_cable_joins_two_namespaces_until_one_end_is_down() {
    let near = first();
    let far = beside(&near);
    lay(&near, &far, ["a", "b"]);
    give(&near, "a", "10.0.0.1/24");
    give(&far, "b", "10.0.0.2/24");
    let before = near.shared().topology.generation();
    assert!(arrives_in(&outcome(&near, "10.0.0.2", 1), &far));
    assert!(
        matches!(outcome(&near, "10.0.0.3", 1), Outcome::Refused(by, Refusal::HostUnreachable) if by.to_string() == "10.0.0.1")
    );
    let down = LinkChanges { flags: Some((LinkFlags::empty(), LinkFlags::Up)), ..LinkChanges::default() };
    far.change_link(index(&far, "b"), down).unwrap();
    assert!(matches!(outcome(&near, "10.0.0.2", 1), Outcome::Lost));
    assert!(near.configuration().look(|all| !all.find_link(b"a").unwrap().has_carrier));
    assert_ne!(near.shared().topology.generation(), before);
}

#[test]
fn a_cable_ends_with_either_namespace() {
    let near = first();
    let far = beside(&near);
    lay(&near, &far, ["a", "b"]);
    drop(far);
    assert!(near.configuration().look(|all| all.find_link(b"a").is_err()));
}

#[test]
fn a_router_passes_on_what_has_hops_left_if_it_is_to() {
    let near = first();
    let (router, far) = (beside(&near), beside(&near));
    lay(&near, &router, ["a", "left"]);
    lay(&far, &router, ["b", "right"]);
    router.configuration().raise_loopback();
    for (network, name, address) in [
        (&near, "a", "10.0.1.2/24"),
        (&router, "left", "10.0.1.1/24"),
        (&router, "right", "10.0.2.1/24"),
        (&far, "b", "10.0.2.2/24"),
    ] {
        give(network, name, address);
    }
    let via = |network: &Arc<NetworkNamespace>, gateway: &str| {
        let query = RouteQuery::to(gateway.parse().unwrap());
        let mut route = network.configuration().route(&query).unwrap();
        route.gateway = Some(gateway.parse().unwrap());
        route
    };
    let packet = |ttl| Packet {
        source: "10.0.1.2".parse().unwrap(),
        destination: "10.0.2.2".parse().unwrap(),
        ttl,
        tos: 0,
        content: Content::default(),
    };
    let through = via(&near, "10.0.1.1");
    assert!(matches!(send(&near, &through, &packet(9)), Outcome::Lost));
    forward(&router);
    assert!(arrives_in(&send(&near, &through, &packet(9)), &far));
    let expired = send(&near, &through, &packet(1));
    assert!(matches!(expired, Outcome::Refused(by, Refusal::Expired) if by.to_string() == "10.0.1.1"));
}

fn forward(network: &NetworkNamespace) {
    use crate::network_settings::SettingDirectory::Ipv4;
    let setting = Ipv4.find(b"ip_forward").unwrap();
    network.settings().write(Ipv4, "", setting, b"1", &UserNamespace::initial()).unwrap();
}

#[test]
fn bridges_in_a_ring_carry_a_frame_to_everybody_once() {
    let network = first();
    let far = beside(&network);
    for bridge in ["x", "y"] {
        network.make_link(&named(LinkKind::Bridge, bridge)).unwrap();
    }
    for [one, other] in [["p", "q"], ["r", "s"]] {
        lay(&network, &network, [one, other]);
        for (port, bridge) in [(one, "x"), (other, "y")] {
            let bridge = Some(index(&network, bridge));
            network.configuration().set_controller(index(&network, port), bridge).unwrap();
        }
    }
    lay(&network, &far, ["port", "end"]);
    let bridge = Some(index(&network, "y"));
    network.configuration().set_controller(index(&network, "port"), bridge).unwrap();
    give(&network, "x", "10.0.0.1/24");
    give(&far, "end", "10.0.0.2/24");
    let outcome = outcome(&network, "10.0.0.255", 1);
    let Outcome::Arrives(landings) = outcome else { panic!("a broadcast arrives") };
    assert_eq!(landings.iter().filter(|landing| Arc::ptr_eq(&landing.network, &far)).count(), 1);
    assert_eq!(landings.len(), 2);
}

#[test]
fn names_and_indices_are_given_as_they_are_free() {
    let network = first();
    network
        .make_cable(&NewLink::of_kind(LinkKind::Veth), (&network, &NewLink::of_kind(LinkKind::Veth)))
        .unwrap();
    assert_eq!((index(&network, "veth0"), index(&network, "veth1")), (2, 3));
    let taken = network.make_link(&named(LinkKind::Bridge, "veth0")).unwrap_err();
    assert_eq!(taken.errno, crate::Errno::EEXIST);
    network.remove_link(2).unwrap();
    assert!(network.configuration().look(|all| all.link(3).is_err()));
    network.make_link(&named(LinkKind::Dummy, "d%d")).unwrap();
    assert_eq!(index(&network, "d0"), 4);
}
