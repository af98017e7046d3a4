//! RTM_NEWADDR, RTM_DELADDR and RTM_GETADDR.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, CacheInfo,
};

use super::{Message, family_of, includes, is_ipv6};
use crate::Errno;
use crate::net::configuration::{AddressPattern, NetworkConfiguration, Refusal, Snapshot};
use crate::net::device::{InterfaceAddress, scope_of};

/// A lifetime without end (`INFINITY_LIFE_TIME`).
const FOREVER: u32 = u32::MAX;
/// Flags that only the kernel gives.
const STATE_FLAGS: AddressFlags = AddressFlags::Secondary
    .union(AddressFlags::Tentative)
    .union(AddressFlags::Dadfailed)
    .union(AddressFlags::Deprecated)
    .union(AddressFlags::Permanent);

pub(super) fn list(all: &Snapshot<'_>, request: &Message, is_strict: bool) -> Vec<Message> {
    let Message::GetAddress(request) = request else { return Vec::new() };
    let wanted = if is_strict { request.header.index } else { 0 };
    let of_family = |is_ipv6: bool| {
        let links = all.links().filter(move |link| wanted == 0 || wanted == link.index);
        let pairs = links.flat_map(|link| link.addresses.iter().map(move |address| (link.index, address)));
        pairs.filter(move |(_, address)| address.ip().is_ipv6() == is_ipv6)
    };
    let families = [false, true].into_iter().filter(|is_ipv6| includes(request.header.family, *is_ipv6));
    families
        .flat_map(of_family)
        .map(|(index, address)| Message::NewAddress(message_of(index, address)))
        .collect()
}

/// What is told of an address of the link with this index.
pub(super) fn message_of(index: u32, address: &InterfaceAddress) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family_of(address.ip().is_ipv6());
    message.header.prefix_len = address.network.prefix_len();
    message.header.flags = AddressHeaderFlags::from_bits_retain(address.flags.bits() as u8);
    message.header.scope = address.scope;
    message.header.index = index;
    let mut lifetimes = CacheInfo::default();
    (lifetimes.ifa_preferred, lifetimes.ifa_valid) = (FOREVER, FOREVER);
    let flags = AddressAttribute::Flags(address.flags);
    let protocol = (address.protocol != 0).then(|| AddressAttribute::Protocol(address.protocol.into()));
    let metric = (address.route_metric != 0).then_some(AddressAttribute::RoutePriority(address.route_metric));
    let ends = AddressAttribute::Address(address.peer.unwrap_or(address.ip()));
    let mut attributes = vec![ends];
    if address.ip().is_ipv4() || address.peer.is_some() {
        attributes.push(AddressAttribute::Local(address.ip()));
    }
    attributes.extend(address.broadcast.map(AddressAttribute::Broadcast));
    attributes.extend(address.label.clone().map(AddressAttribute::Label));
    attributes.extend(protocol);
    attributes.extend([flags]);
    attributes.extend(metric);
    attributes.push(AddressAttribute::CacheInfo(lifetimes));
    message.attributes = attributes;
    message
}

/// What the attributes of a request say.
#[derive(Default)]
struct Told {
    address: Option<IpAddr>,
    local: Option<IpAddr>,
    label: Option<String>,
}

fn read(request: &AddressMessage) -> Result<Told, Errno> {
    let is_ipv6 = is_ipv6(request.header.family)?;
    let mut told = Told::default();
    for attribute in &request.attributes {
        match attribute {
            AddressAttribute::Address(ip) | AddressAttribute::Local(ip) if ip.is_ipv6() != is_ipv6 => {
                return Err(Errno::EINVAL);
            }
            AddressAttribute::Address(ip) => told.address = Some(*ip),
            AddressAttribute::Local(ip) => told.local = Some(*ip),
            AddressAttribute::Label(label) => told.label = Some(label.clone()),
            _ => {}
        }
    }
    Ok(told)
}

/// RTM_NEWADDR.
pub(super) fn add(
    configuration: &NetworkConfiguration,
    request: &AddressMessage,
    may_replace: bool,
) -> Result<(), Refusal> {
    let told = read(request)?;
    // IPv4 says its own address in IFA_LOCAL; IPv6 may say it in IFA_ADDRESS alone.
    let is_ipv4 = request.header.family == AddressFamily::Inet;
    let local = told.local.or(told.address.filter(|_| !is_ipv4)).ok_or(Errno::EINVAL)?;
    let network = IpNet::new(local, request.header.prefix_len).map_err(|_| Errno::EINVAL)?;
    let name = configuration.look(|all| all.link(request.header.index).map(|link| link.name.to_string()))?;
    let mut address = InterfaceAddress::new(network, request.header.scope);
    address.peer = told.address.filter(|peer| *peer != local);
    if is_ipv4 {
        address.label = Some(told.label.unwrap_or(name));
    } else {
        address.scope = scope_of(local);
    }
    let mut flags = AddressFlags::from_bits_retain(request.header.flags.bits().into());
    for attribute in &request.attributes {
        match attribute {
            AddressAttribute::Broadcast(broadcast) => address.broadcast = Some(*broadcast),
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::RoutePriority(metric) => address.route_metric = *metric,
            AddressAttribute::Protocol(protocol) => address.protocol = (*protocol).into(),
            AddressAttribute::CacheInfo(lifetimes) => check_lifetimes(lifetimes)?,
            _ => {}
        }
    }
    address.flags = flags.difference(STATE_FLAGS) | AddressFlags::Permanent;
    configuration.add_address(request.header.index, address, may_replace)
}

/// Addresses here have no end.
fn check_lifetimes(lifetimes: &CacheInfo) -> Result<(), Refusal> {
    match (lifetimes.ifa_preferred, lifetimes.ifa_valid) {
        (FOREVER, FOREVER) => Ok(()),
        (preferred, valid) if valid == 0 || preferred > valid => {
            Err(Refusal::new(Errno::EINVAL, "address lifetime invalid"))
        }
        _ => Err(Refusal::new(Errno::EOPNOTSUPP, "addresses do not expire")),
    }
}

/// RTM_DELADDR.
pub(super) fn delete(configuration: &NetworkConfiguration, request: &AddressMessage) -> Result<(), Refusal> {
    let told = read(request)?;
    let is_ipv6 = is_ipv6(request.header.family)?;
    let len = request.header.prefix_len;
    let network =
        told.address.map(|address| IpNet::new(address, len)).transpose().map_err(|_| Errno::EINVAL)?;
    let pattern = match is_ipv6 {
        true => {
            let local = Some(told.local.or(told.address).ok_or(Errno::EINVAL)?);
            AddressPattern { local, ..AddressPattern::default() }
        }
        false => AddressPattern { local: told.local, network, label: told.label },
    };
    configuration.delete_address(request.header.index, is_ipv6, &pattern)
}
