//! RTM_NEWROUTE, RTM_DELROUTE and RTM_GETROUTE.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RoutePreference, RouteProtocol,
    RouteScope, RouteType,
};

use super::super::request::Request;
use super::{Message, family_of, includes, is_ipv6};
use crate::Errno;
use crate::net::configuration::{NetworkConfiguration, Refusal, RouteCreation, RoutePattern, Snapshot};
use crate::net::route::{IPV6_METRIC, MAIN_TABLE, Route, RouteQuery, RouteResult};

/// What the header says of a table whose number it has no room for (`RT_TABLE_COMPAT`).
const FURTHER_TABLE: u8 = 252;
/// The route of an answer is made for it (`RTM_F_CLONED`).
const CLONED: u32 = 0x200;
/// Its link has no carrier (`RTNH_F_LINKDOWN`).
const LINK_DOWN: u32 = 16;
/// It comes back to this host (`RTCF_LOCAL`).
const COMES_BACK: u32 = 0x8000_0000;

pub(super) fn list(all: &Snapshot<'_>, request: &Message, is_strict: bool) -> Vec<Message> {
    let Message::GetRoute(request) = request else { return Vec::new() };
    if request.header.flags.bits() & CLONED != 0 {
        return Vec::new();
    }
    let wanted = Wanted::of(request, is_strict);
    let routes = all.routes().filter(|route| includes(request.header.address_family, route.is_ipv6()));
    routes.filter(|route| wanted.is(route)).map(|route| Message::NewRoute(listed(all, route))).collect()
}

/// What a strict request for a dump asks for; nothing is everything.
#[derive(Default)]
struct Wanted {
    table: Option<u32>,
    protocol: Option<RouteProtocol>,
    kind: Option<RouteType>,
    device: Option<u32>,
}

impl Wanted {
    fn of(request: &RouteMessage, is_strict: bool) -> Self {
        if !is_strict {
            return Self::default();
        }
        let table = request.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
        let device = request.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Oif(device) => Some(*device),
            _ => None,
        });
        let header = &request.header;
        Self {
            table: table.or(Some(header.table.into())).filter(|table| *table != 0),
            protocol: Some(header.protocol).filter(|protocol| *protocol != RouteProtocol::Unspec),
            kind: Some(header.kind).filter(|kind| *kind != RouteType::Unspec),
            device,
        }
    }

    fn is(&self, route: &Route) -> bool {
        self.table.is_none_or(|table| table == route.table)
            && self.protocol.is_none_or(|protocol| protocol == route.protocol)
            && self.kind.is_none_or(|kind| kind == route.kind)
            && self.device.is_none_or(|device| Some(device) == route.device)
    }
}

/// What a list tells of a route: whether its link is without a carrier as well.
fn listed(all: &Snapshot<'_>, route: &Route) -> RouteMessage {
    let mut message = message_of(route);
    let link = route.device.and_then(|device| all.link(device).ok());
    let is_down = route.kind != RouteType::Local && link.is_some_and(|link| !link.has_carrier);
    message.header.flags.set(RouteFlags::from_bits_retain(LINK_DOWN), is_down);
    message
}

/// What is told of a route.
pub(super) fn message_of(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = family_of(route.is_ipv6());
    header.destination_prefix_length = route.destination.prefix_len();
    header.tos = route.tos;
    header.table = u8::try_from(route.table).unwrap_or(FURTHER_TABLE);
    (header.protocol, header.scope, header.kind) = (route.protocol, route.scope, route.kind);
    let destination = RouteAttribute::Destination(route.destination.network().into());
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(route.table));
    attributes.extend((route.destination.prefix_len() > 0).then_some(destination));
    if route.metric != 0 || route.is_ipv6() {
        attributes.push(RouteAttribute::Priority(route.metric));
    }
    attributes.extend(route.mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)])));
    attributes.extend(route.preferred_source.map(|source| RouteAttribute::PrefSource(source.into())));
    attributes.extend(route.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    attributes.extend(route.device.map(RouteAttribute::Oif));
    if route.is_ipv6() {
        attributes.push(RouteAttribute::Preference(RoutePreference::Medium));
    }
    message
}

/// RTM_GETROUTE for one address: the way to it.
pub(super) fn get(configuration: &NetworkConfiguration, request: &RouteMessage) -> Result<Message, Refusal> {
    let is_ipv6 = is_ipv6(request.header.address_family)?;
    let unspecified = if is_ipv6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::from([0; 4]) };
    let mut query = RouteQuery::to(unspecified);
    query.tos = request.header.tos;
    for attribute in &request.attributes {
        match attribute {
            RouteAttribute::Destination(address) => query.destination = ip(address, is_ipv6)?,
            RouteAttribute::Source(address) => query.source = Some(ip(address, is_ipv6)?),
            RouteAttribute::Oif(device) if *device != 0 => query.device = Some(*device),
            RouteAttribute::Mark(mark) => query.mark = *mark,
            _ => {}
        }
    }
    let found = configuration.route(&query)?;
    let answer = if is_ipv6 { answer_v6(&found, &query) } else { answer_v4(&found, &query) };
    Ok(Message::NewRoute(answer))
}

fn answer_v4(found: &RouteResult, query: &RouteQuery) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = AddressFamily::Inet;
    header.destination_prefix_length = 32;
    header.table = MAIN_TABLE as u8;
    header.kind = found.kind;
    let comes_back = if found.is_loopback { COMES_BACK } else { 0 };
    header.flags = RouteFlags::from_bits_retain(CLONED | comes_back);
    header.source_prefix_length = if query.source.is_some() { 32 } else { 0 };
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(MAIN_TABLE));
    attributes.push(RouteAttribute::Destination(query.destination.into()));
    attributes.extend(query.source.map(|source| RouteAttribute::Source(source.into())));
    attributes.push(RouteAttribute::Oif(found.device));
    if query.source.is_none() {
        attributes.push(RouteAttribute::PrefSource(found.source.into()));
    }
    attributes.extend(found.gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    attributes.push(RouteAttribute::Uid(0));
    message
}

fn answer_v6(found: &RouteResult, query: &RouteQuery) -> RouteMessage {
    let mut message = found.route.as_ref().map(message_of).unwrap_or_default();
    message.header.address_family = AddressFamily::Inet6;
    message.header.destination_prefix_length = 128;
    message.header.source_prefix_length = 128;
    let source = query.source.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let is_replaced = |attribute: &RouteAttribute| {
        matches!(attribute, RouteAttribute::Destination(_) | RouteAttribute::PrefSource(_))
    };
    message.attributes.retain(|attribute| !is_replaced(attribute));
    message.attributes.extend([
        RouteAttribute::Destination(found.destination.into()),
        RouteAttribute::Source(source.into()),
        RouteAttribute::PrefSource(found.source.into()),
    ]);
    message
}

/// # Errors
/// EINVAL for an address of another family.
fn ip(address: &RouteAddress, is_ipv6: bool) -> Result<IpAddr, Errno> {
    match address {
        RouteAddress::Inet(address) if !is_ipv6 => Ok(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) if is_ipv6 => Ok(IpAddr::V6(*address)),
        _ => Err(Errno::EINVAL),
    }
}

/// The route that a request tells of.
fn read(request: &RouteMessage) -> Result<Route, Refusal> {
    let header = &request.header;
    let is_ipv6 = is_ipv6(header.address_family)?;
    let any = if is_ipv6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::from([0; 4]) };
    let network = |address| IpNet::new(address, header.destination_prefix_length).map_err(|_| Errno::EINVAL);
    let mut route = Route {
        destination: network(any)?,
        tos: header.tos,
        table: if header.table == 0 { MAIN_TABLE } else { header.table.into() },
        protocol: header.protocol,
        scope: header.scope,
        kind: header.kind,
        device: None,
        gateway: None,
        preferred_source: None,
        metric: 0,
        mtu: None,
    };
    for attribute in &request.attributes {
        match attribute {
            RouteAttribute::Destination(address) => route.destination = network(ip(address, is_ipv6)?)?,
            RouteAttribute::Gateway(address) => {
                route.gateway = Some(ip(address, is_ipv6)?).filter(|gateway| !gateway.is_unspecified());
            }
            RouteAttribute::PrefSource(address) => route.preferred_source = Some(ip(address, is_ipv6)?),
            RouteAttribute::Oif(device) => route.device = Some(*device).filter(|device| *device != 0),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Table(table) if *table != 0 => route.table = *table,
            RouteAttribute::Metrics(metrics) => route.mtu = mtu_of(metrics),
            RouteAttribute::MultiPath(_)
            | RouteAttribute::Via(_)
            | RouteAttribute::Encap(_)
            | RouteAttribute::EncapType(_)
            | RouteAttribute::NhId(_)
            | RouteAttribute::Source(_) => return Err(Errno::EOPNOTSUPP.into()),
            _ => {}
        }
    }
    if route.destination.network() != route.destination.addr() {
        return Err(Refusal::new(Errno::EINVAL, "Invalid prefix for given prefix length"));
    }
    Ok(route)
}

fn mtu_of(metrics: &[RouteMetric]) -> Option<u32> {
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    })
}

/// RTM_NEWROUTE.
pub(super) fn add(
    configuration: &NetworkConfiguration,
    request: &RouteMessage,
    from: &Request<'_>,
) -> Result<(), Refusal> {
    let mut route = read(request)?;
    if route.is_ipv6() {
        route.scope = RouteScope::Universe;
        route.metric = if route.metric == 0 { IPV6_METRIC } else { route.metric };
    }
    let creation = RouteCreation {
        creates: from.has(NLM_F_CREATE),
        is_exclusive: from.has(NLM_F_EXCL),
        replaces: from.has(NLM_F_REPLACE),
        appends: from.has(NLM_F_APPEND),
    };
    configuration.add_route(route, creation)
}

/// RTM_DELROUTE.
pub(super) fn delete(configuration: &NetworkConfiguration, request: &RouteMessage) -> Result<(), Refusal> {
    let route = read(request)?;
    // iproute2 says unicast where it means anything.
    let kind = request.header.kind;
    let pattern = RoutePattern { route, kind };
    configuration.delete_route(&pattern)
}
