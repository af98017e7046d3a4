//! /proc/net/snmp, netstat and snmp6: what the protocols counted.

use std::fmt::Write;

use super::super::NetworkNamespace;
use super::super::inet::{InetProtocol, InetStatus, TcpState};
use super::mib;

/// Groups whose every number has a name above it.
fn two_lines(namespace: &NetworkNamespace, groups: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (group, names) in groups {
        let values = names.split(' ').map(|name| value(namespace, group, name).to_string());
        let values: Vec<String> = values.collect();
        // Writing to a String does not fail.
        let _ = writeln!(text, "{group}: {names}\n{group}: {}", values.join(" "));
    }
    text
}

/// What is counted, or set.
fn value(namespace: &NetworkNamespace, group: &str, name: &str) -> i64 {
    let settings = namespace.settings();
    match (group, name) {
        // RFC 4293: 1 for who passes packets on, 2 for who does not.
        ("Ip", "Forwarding") => {
            if settings.forwards_ipv4() {
                1
            } else {
                2
            }
        }
        ("Ip", "DefaultTTL") => settings.default_ttl().into(),
        // RFC 4022: another algorithm; milliseconds; no limit.
        ("Tcp", "RtoAlgorithm") => 1,
        ("Tcp", "RtoMin") => 200,
        ("Tcp", "RtoMax") => 120_000,
        ("Tcp", "MaxConn") => -1,
        ("Tcp", "CurrEstab") => established(namespace),
        _ => namespace.counters().named(group, name).cast_signed(),
    }
}

/// How many connections go on, at least from one end (RFC 4022).
fn established(namespace: &NetworkNamespace) -> i64 {
    let all = namespace.inet_sockets().statuses();
    let goes_on = |one: &&InetStatus| {
        one.protocol == InetProtocol::Tcp
            && [TcpState::Established, TcpState::CloseWait].iter().any(|state| one.state == *state as u8)
    };
    i64::try_from(all.iter().filter(goes_on).count()).unwrap_or(i64::MAX)
}

pub(super) fn snmp(namespace: &NetworkNamespace) -> String {
    two_lines(namespace, mib::SNMP)
}

pub(super) fn netstat(namespace: &NetworkNamespace) -> String {
    two_lines(namespace, mib::NETSTAT)
}

pub(super) fn snmp6(namespace: &NetworkNamespace) -> String {
    let mut text = String::new();
    for (group, names) in mib::SNMP6 {
        for name in names.split(' ') {
            let _ = writeln!(text, "{:<32}\t{}", format!("{group}{name}"), value(namespace, group, name));
        }
    }
    text
}
