//! Dumps of what programs look at and nobody changes: queueing disciplines, settings of links (`RTM_GETNETCONF`), labels of addresses,
//! and lists that are always empty.

use std::net::Ipv6Addr;

use linux_raw_sys::net::{AF_INET, AF_INET6};
use zerocopy::IntoBytes;

use super::super::reply::attribute;
use crate::Errno;
use crate::net::NetworkNamespace;
use crate::net::configuration::Refusal;
use crate::network_settings::{ALL_LINKS, LINKS_TO_COME, SettingDirectory};

/// What is asked for (`linux/rtnetlink.h`); what is told of it is two less.
const GET_QDISC: u16 = 38;
const GET_CLASS: u16 = 42;
const GET_FILTER: u16 = 46;
const GET_ADDRESS_LABEL: u16 = 74;
const GET_NETCONF: u16 = 82;
const GET_MULTICAST_DATABASE: u16 = 86;
const GET_CHAIN: u16 = 102;
const GET_NEXT_HOP: u16 = 106;
/// What would change a queueing discipline.
const NEW_QDISC: u16 = 36;
const DELETE_QDISC: u16 = 37;

/// `TC_H_ROOT`, and the references that a discipline in use has.
const ROOT: u32 = u32::MAX;
const REFERENCES: u32 = 2;
const QDISC_KIND: u16 = 1;
/// Attributes of RTM_NEWNETCONF (`linux/netconf.h`).
const NETCONF_INDEX: u16 = 1;
const NETCONF_FORWARDING: u16 = 2;
const NETCONF_RP_FILTER: u16 = 3;
const NETCONF_MC_FORWARDING: u16 = 4;
const NETCONF_PROXY_NEIGHBOUR: u16 = 5;
const NETCONF_IGNORE_LINK_DOWN: u16 = 6;
/// `NETCONFA_IFINDEX_ALL` and `_DEFAULT`.
const ALL_INDEX: i32 = -1;
const DEFAULT_INDEX: i32 = -2;
/// Attributes of RTM_NEWADDRLABEL (`linux/if_addrlabel.h`).
const LABEL_ADDRESS: u16 = 1;
const LABEL: u16 = 2;

/// The type and the payloads of what a request for a dump of this type is answered with; `None` for other types.
pub(super) fn list(namespace: &NetworkNamespace, kind: u16, payload: &[u8]) -> Option<(u16, Vec<Vec<u8>>)> {
    let family = payload.first().copied().map_or(0, u32::from);
    let told = match kind {
        GET_QDISC => disciplines(namespace),
        GET_NETCONF => settings(namespace, family),
        GET_ADDRESS_LABEL => labels(),
        GET_CLASS | GET_FILTER | GET_CHAIN | GET_MULTICAST_DATABASE | GET_NEXT_HOP => Vec::new(),
        _ => return None,
    };
    Some((kind - 2, told))
}

/// Why a queueing discipline cannot be changed; `None` for requests of other types.
pub(super) fn refusal(kind: u16) -> Option<Refusal> {
    match kind {
        NEW_QDISC => Some(Refusal::new(Errno::ENOENT, "Specified qdisc kind is unknown")),
        DELETE_QDISC => Some(Refusal::new(Errno::ENOENT, "Cannot delete qdisc with handle of zero")),
        _ => None,
    }
}

/// `struct tcmsg` and the kind, of each link that has a queueing discipline: nothing waits.
fn disciplines(namespace: &NetworkNamespace) -> Vec<Vec<u8>> {
    let told = |(index, name): (u32, &str)| {
        let header = [0, index, 0, ROOT, REFERENCES];
        let name = [name.as_bytes(), &[0]].concat();
        [header.as_bytes(), &attribute(QDISC_KIND, name)].concat()
    };
    namespace.configuration().look(|all| {
        let links = all.links().filter(|link| link.is_up());
        links.map(|link| told((link.index, link.queueing_discipline()))).collect()
    })
}

/// The settings of each link, of all and of those to come.
fn settings(namespace: &NetworkNamespace, family: u32) -> Vec<Vec<u8>> {
    let links = namespace.configuration().look(|all| {
        let named = all.links().map(|link| (link.index.cast_signed(), link.name.to_string()));
        named.collect::<Vec<_>>()
    });
    let others = [(ALL_INDEX, ALL_LINKS.to_string()), (DEFAULT_INDEX, LINKS_TO_COME.to_string())];
    let places: Vec<(i32, String)> = links.into_iter().chain(others).collect();
    let families = [AF_INET, AF_INET6].into_iter().filter(|one| family == 0 || family == *one);
    families
        .flat_map(|family| places.iter().map(move |(index, link)| (family, *index, link.as_str())))
        .map(|(family, index, link)| settings_of(namespace, family, (index, link)))
        .collect()
}

fn settings_of(namespace: &NetworkNamespace, family: u32, (index, link): (i32, &str)) -> Vec<u8> {
    let directory = if family == AF_INET { SettingDirectory::Ipv4Link } else { SettingDirectory::Ipv6Link };
    let number = |name| i32::try_from(namespace.settings().of_link(directory, link, name)).unwrap_or(0);
    let told = |kind, number: i32| attribute(kind, number.as_bytes().to_vec());
    let mut payload = family.to_le_bytes().to_vec();
    payload.extend(told(NETCONF_INDEX, index));
    payload.extend(told(NETCONF_FORWARDING, number("forwarding")));
    if family == AF_INET {
        payload.extend(told(NETCONF_RP_FILTER, number("rp_filter")));
    }
    payload.extend(told(NETCONF_MC_FORWARDING, number("mc_forwarding")));
    let proxy = if family == AF_INET { "proxy_arp" } else { "proxy_ndp" };
    payload.extend(told(NETCONF_PROXY_NEIGHBOUR, number(proxy)));
    payload.extend(told(NETCONF_IGNORE_LINK_DOWN, number("ignore_routes_with_linkdown")));
    payload
}

/// The labels by which addresses of IPv6 are chosen (RFC 6724, section 2.1, and Linux's own).
fn labels() -> Vec<Vec<u8>> {
    const LABELS: [([u16; 8], u8, u32); 10] = [
        ([0, 0, 0, 0, 0, 0, 0, 1], 128, 0),
        ([0; 8], 96, 3),
        ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, 4),
        ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, 6),
        ([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, 7),
        ([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16, 12),
        ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, 2),
        ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, 11),
        ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, 5),
        ([0; 8], 0, 1),
    ];
    let told = |(address, prefix_len, label): &([u16; 8], u8, u32)| {
        let family = u8::try_from(AF_INET6).unwrap_or(0);
        let header = [family, 0, *prefix_len, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let address = Ipv6Addr::from(*address).octets().to_vec();
        [header.to_vec(), attribute(LABEL_ADDRESS, address), attribute(LABEL, label.as_bytes().to_vec())]
            .concat()
    };
    LABELS.iter().map(told).collect()
}
