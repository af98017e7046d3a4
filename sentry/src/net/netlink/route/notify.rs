//! What members of the multicast groups hear of changes.

use linux_raw_sys::netlink::rtnetlink_groups;
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;

use super::super::reply;
use super::{addresses, links, neighbours, routes, rules};
use crate::net::configuration::{Change, Thing};

/// The group that hears of a change.
pub(in super::super) fn group_of(change: &Change) -> u32 {
    let group = match &change.thing {
        Thing::Link(_) => rtnetlink_groups::RTNLGRP_LINK,
        Thing::Address(_, address) if address.ip().is_ipv4() => rtnetlink_groups::RTNLGRP_IPV4_IFADDR,
        Thing::Address(..) => rtnetlink_groups::RTNLGRP_IPV6_IFADDR,
        Thing::Route(route) if route.is_ipv6() => rtnetlink_groups::RTNLGRP_IPV6_ROUTE,
        Thing::Route(_) => rtnetlink_groups::RTNLGRP_IPV4_ROUTE,
        Thing::Rule(rule) if rule.is_ipv6 => rtnetlink_groups::RTNLGRP_IPV6_RULE,
        Thing::Rule(_) => rtnetlink_groups::RTNLGRP_IPV4_RULE,
        Thing::Neighbour(_) => rtnetlink_groups::RTNLGRP_NEIGH,
    };
    group as u32
}

/// The message that tells of a change, encoded.
pub(in super::super) fn notification(change: &Change) -> Vec<u8> {
    type Message = RouteNetlinkMessage;
    let message = match (&change.thing, change.is_gone) {
        (Thing::Link(link), false) => Message::NewLink(links::message_of(link)),
        (Thing::Link(link), true) => Message::DelLink(links::message_of(link)),
        (Thing::Address(index, address), false) => {
            Message::NewAddress(addresses::message_of(*index, address))
        }
        (Thing::Address(index, address), true) => Message::DelAddress(addresses::message_of(*index, address)),
        (Thing::Route(route), false) => Message::NewRoute(routes::message_of(route)),
        (Thing::Route(route), true) => Message::DelRoute(routes::message_of(route)),
        (Thing::Rule(rule), false) => Message::NewRule(rules::message_of(rule)),
        (Thing::Rule(rule), true) => Message::DelRule(rules::message_of(rule)),
        (Thing::Neighbour(neighbour), false) => Message::NewNeighbour(neighbours::message_of(neighbour)),
        (Thing::Neighbour(neighbour), true) => Message::DelNeighbour(neighbours::message_of(neighbour)),
    };
    reply::encode(NetlinkPayload::InnerMessage(message), 0, (0, 0))
}
