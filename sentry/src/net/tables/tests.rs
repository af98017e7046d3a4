//! What is expected was read in a fresh network namespace of Linux whose loopback had been taken up.

use std::sync::Arc;

use super::super::{Counter, KernelSockets, NetworkNamespace};
use crate::cred::{Identity, NamespaceKind, UserNamespace};
use crate::fs::NetworkTable;

fn namespace() -> Arc<NetworkNamespace> {
    NetworkNamespace::new(
        Identity::initial(NamespaceKind::Network, &UserNamespace::initial()),
        KernelSockets::default(),
    )
}

fn table(namespace: &NetworkNamespace, table: NetworkTable) -> String {
    String::from_utf8(super::table(namespace, table, &UserNamespace::initial()).unwrap()).unwrap()
}

#[test]
fn the_loopback_has_a_line() {
    let text = table(&namespace(), NetworkTable::Devices);
    let line = "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0";
    assert_eq!(text.lines().nth(2), Some(line));
    let of_new = namespace().new_beside(Identity::initial(NamespaceKind::Network, &UserNamespace::initial()));
    assert_eq!(table(&of_new, NetworkTable::Devices), text);
}

#[test]
fn addresses_and_groups_of_ipv6_are_told() {
    let namespace = namespace();
    assert_eq!(
        table(&namespace, NetworkTable::Ipv6Addresses),
        "00000000000000000000000000000001 01 80 10 80       lo\n"
    );
    assert_eq!(
        table(&namespace, NetworkTable::Igmp6),
        "1    lo              ff020000000000000000000000000001     1 0000000C 0\n\
         1    lo              ff010000000000000000000000000001     1 00000008 0\n"
    );
    let of_new = namespace.new_beside(Identity::initial(NamespaceKind::Network, &UserNamespace::initial()));
    assert_eq!(table(&of_new, NetworkTable::Ipv6Addresses), "");
}

#[test]
fn tables_of_routes_end_with_what_leads_nowhere() {
    let namespace = namespace();
    let routes = table(&namespace, NetworkTable::Routes);
    assert_eq!((routes.lines().count(), routes.len()), (1, 128));
    let zero = "0".repeat(32);
    let nowhere = format!("{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n");
    let one = format!("{:032x} 80 {zero} 00 {zero} 00000000 00000001 00000000 80200001       lo\n", 1);
    assert_eq!(table(&namespace, NetworkTable::Ipv6Routes), format!("{nowhere}{one}{nowhere}"));
}

#[test]
fn what_is_counted_stands_below_its_name() {
    let namespace = namespace();
    namespace.counters().add(Counter::TcpActiveOpens, 3);
    namespace.counters().add(Counter::TcpEstablishedReset, 1);
    let text = table(&namespace, NetworkTable::Snmp);
    assert!(text.contains("\nTcp: 1 200 120000 -1 3 0 0 1 0 0 0 0 0 0 0\n"), "{text}");
    assert!(text.contains("\nIp: 2 64 0 "), "{text}");
    let text = table(&namespace, NetworkTable::Snmp6);
    assert_eq!(text.lines().next(), Some("Ip6InReceives                   \t0"));
}

#[test]
fn headers_are_as_wide_as_linux_s() {
    let namespace = namespace();
    let widths = [
        (NetworkTable::Tcp, 150),
        (NetworkTable::Udp, 128),
        (NetworkTable::Icmp, 128),
        (NetworkTable::Raw, 115),
        (NetworkTable::Tcp6, 145),
        (NetworkTable::Udp6, 163),
    ];
    for (file, width) in widths {
        assert_eq!(table(&namespace, file).len(), width, "{file:?}");
    }
}
