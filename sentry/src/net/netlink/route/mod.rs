//! NETLINK_ROUTE (`man 7 rtnetlink`): requests to links, addresses, routes, rules and neighbours.

mod addresses;
mod link_changes;
mod links;
mod neighbours;
mod notify;
mod numbers;
mod others;
mod routes;
mod rules;

use std::borrow::Cow;
use std::sync::Arc;

use netlink_packet_core::{
    NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_FILTERED, NLM_F_EXCL, NLM_F_REPLACE, NetlinkPayload,
    ParseableParametrized,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

pub(super) use notify::{group_of, notification};

use super::options::Switches;
use super::reply;
use super::request::{Request, Served};
use super::socket::NetlinkSocket;
use crate::Errno;
use crate::net::NetworkNamespace;
use crate::net::configuration::{Refusal, Snapshot};

/// The last type that Linux has (`RTM_MAX`).
const LAST_TYPE: u16 = 123;
/// The first type; they come in fours: new, delete, get, set.
const FIRST_TYPE: u16 = 16;
/// Those of RTM_GETNSID and its kin.
const NAMESPACE_NUMBERS: u16 = 18;
/// A get among the four.
const GET: u16 = 2;
/// The family at least, which every request begins with.
const MIN_PAYLOAD_BYTES: usize = 1;

type Message = RouteNetlinkMessage;

pub(super) fn serve(socket: &NetlinkSocket, request: &Request<'_>) -> Served {
    if request.header.kind > LAST_TYPE {
        return Served::Done(Err(Errno::EOPNOTSUPP.into()));
    }
    if request.payload.len() < MIN_PAYLOAD_BYTES {
        return Served::Done(Ok(()));
    }
    let is_get = (request.header.kind - FIRST_TYPE) & 3 == GET;
    if !is_get && !socket.namespace().administers(request.credentials) {
        return Served::Done(Err(Errno::EPERM.into()));
    }
    let is_dump = is_get && request.header.flags & NLM_F_DUMP != 0;
    if is_dump
        && let Some((kind, told)) = others::list(socket.namespace(), request.header.kind, request.payload)
    {
        let dumped = socket.dump(|part_bytes| reply::dump_encoded(kind, told, request.to(), part_bytes));
        return dumped.map_or_else(|error| Served::Done(Err(error.into())), |()| Served::Dump);
    }
    if let Some(refusal) = others::refusal(request.header.kind) {
        return Served::Done(Err(refusal));
    }
    let payload = if is_get { padded(request) } else { request.payload.into() };
    let message = match Message::parse_with_param(&payload, request.header.kind) {
        Ok(message) => message,
        Err(_) if !is_known(request.header.kind) => return Served::Done(Err(Errno::EOPNOTSUPP.into())),
        Err(_) => return Served::Done(Err(reply::MALFORMED.into())),
    };
    match is_get {
        true if is_dump => dump(socket, request, &message),
        true => Served::Done(get(socket.namespace(), &message, request).map(|answer| {
            socket.answer(reply::encode(NetlinkPayload::InnerMessage(answer), 0, request.to()));
        })),
        false => Served::Done(change(socket.namespace(), message, request)),
    }
}

/// What a get asks for: old programs send the family alone, in the place of the type's whole header.
fn padded<'a>(request: &Request<'a>) -> Cow<'a, [u8]> {
    let header_bytes = match (request.header.kind - FIRST_TYPE) >> 2 {
        0 => 16,
        1 => 8,
        NAMESPACE_NUMBERS => 4,
        _ => 12,
    };
    if request.payload.len() >= header_bytes {
        return request.payload.into();
    }
    let mut payload = request.payload.to_vec();
    payload.resize(header_bytes, 0);
    payload.into()
}

/// Whether the type is one of those that are served: links, addresses, routes, neighbours and rules.
fn is_known(kind: u16) -> bool {
    matches!((kind - FIRST_TYPE) >> 2, 0..=4 | NAMESPACE_NUMBERS)
}

fn dump(socket: &NetlinkSocket, request: &Request<'_>, message: &Message) -> Served {
    let is_strict = socket.switches().contains(Switches::GET_STRICT_CHK);
    if matches!(message, Message::GetNsId(_)) {
        let told = numbers::list(socket.namespace());
        let dumped = socket.dump(|part_bytes| reply::dump(told, 0, request.to(), part_bytes));
        return dumped.map_or_else(|error| Served::Done(Err(error.into())), |()| Served::Dump);
    }
    let Some(list) = lister(message) else { return Served::Done(Err(Errno::EOPNOTSUPP.into())) };
    let result = socket.dump(|part_bytes| {
        let messages = socket.namespace().configuration().look(|all| list(&all, message, is_strict));
        let flags = if is_strict && is_filtered(message) { NLM_F_DUMP_FILTERED } else { 0 };
        reply::dump(messages, flags, request.to(), part_bytes)
    });
    match result {
        Ok(()) => Served::Dump,
        Err(error) => Served::Done(Err(error.into())),
    }
}

type List = fn(&Snapshot<'_>, &Message, bool) -> Vec<Message>;

/// What lists all that a request for a dump asks for.
fn lister(message: &Message) -> Option<List> {
    Some(match message {
        Message::GetLink(_) => links::list,
        Message::GetAddress(_) => addresses::list,
        Message::GetRoute(_) => routes::list,
        Message::GetRule(_) => rules::list,
        Message::GetNeighbour(_) => neighbours::list,
        _ => return None,
    })
}

/// Whether a request for a dump asks for a part of all there is.
fn is_filtered(message: &Message) -> bool {
    match message {
        Message::GetAddress(message) => message.header.index != 0,
        Message::GetRoute(message) => message.header.table != 0 || !message.attributes.is_empty(),
        Message::GetNeighbour(message) => message.header.ifindex != 0,
        _ => false,
    }
}

fn get(namespace: &NetworkNamespace, message: &Message, request: &Request<'_>) -> Result<Message, Refusal> {
    let configuration = namespace.configuration();
    match message {
        Message::GetLink(message) => configuration.look(|all| links::get(&all, message)),
        Message::GetRoute(message) => routes::get(configuration, message),
        Message::GetNsId(message) => numbers::get(namespace, message, request),
        _ => Err(Errno::EOPNOTSUPP.into()),
    }
}

fn change(namespace: &Arc<NetworkNamespace>, message: Message, request: &Request<'_>) -> Result<(), Refusal> {
    let configuration = namespace.configuration();
    let (creates, is_exclusive) = (request.has(NLM_F_CREATE), request.has(NLM_F_EXCL));
    match message {
        Message::NewLink(message) => link_changes::new(namespace, &message, request, (creates, is_exclusive)),
        Message::SetLink(message) => link_changes::set(namespace, &message, request),
        Message::DelLink(message) => link_changes::delete(namespace, &message),
        Message::NewAddress(message) => {
            addresses::add(configuration, &message, request.has(NLM_F_REPLACE) && !is_exclusive)
        }
        Message::DelAddress(message) => addresses::delete(configuration, &message),
        Message::NewRoute(message) => routes::add(configuration, &message, request),
        Message::DelRoute(message) => routes::delete(configuration, &message),
        Message::NewNsId(message) => numbers::add(namespace, &message, request),
        Message::NewRule(message) => rules::add(configuration, &message, is_exclusive),
        Message::DelRule(message) => rules::delete(configuration, &message),
        Message::NewNeighbour(message) => neighbours::add(configuration, &message, creates, is_exclusive),
        Message::DelNeighbour(message) => neighbours::delete(configuration, &message),
        _ => Err(Errno::EOPNOTSUPP.into()),
    }
}

/// The number of a family.
fn family_of(is_ipv6: bool) -> AddressFamily {
    if is_ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

/// Whether a request with this family is about IPv6.
///
/// # Errors
/// EOPNOTSUPP for a family that is neither.
fn is_ipv6(family: AddressFamily) -> Result<bool, Errno> {
    match family {
        AddressFamily::Inet => Ok(false),
        AddressFamily::Inet6 => Ok(true),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// Whether a request for a dump with this family is about IPv6 too, or about IPv4.
fn includes(family: AddressFamily, is_of_ipv6: bool) -> bool {
    match family {
        AddressFamily::Inet => !is_of_ipv6,
        AddressFamily::Inet6 => is_of_ipv6,
        _ => true,
    }
}
