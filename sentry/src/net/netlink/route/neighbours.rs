//! RTM_NEWNEIGH, RTM_DELNEIGH and RTM_GETNEIGH.

use std::net::IpAddr;

use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::RouteType;

use super::{Message, family_of, includes, is_ipv6};
use crate::Errno;
use crate::net::configuration::{NetworkConfiguration, Refusal, Snapshot};
use crate::net::route::Neighbour;

pub(super) fn list(all: &Snapshot<'_>, request: &Message, is_strict: bool) -> Vec<Message> {
    let Message::GetNeighbour(request) = request else { return Vec::new() };
    let device = if is_strict { request.header.ifindex } else { 0 };
    let is_wanted = |neighbour: &&Neighbour| {
        includes(request.header.family, neighbour.address.is_ipv6())
            && (device == 0 || neighbour.device == device)
    };
    all.neighbours().filter(is_wanted).map(|neighbour| Message::NewNeighbour(message_of(neighbour))).collect()
}

/// What is told of a neighbour.
pub(super) fn message_of(neighbour: &Neighbour) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family_of(neighbour.address.is_ipv6());
    message.header.ifindex = neighbour.device;
    message.header.state = neighbour.state;
    message.header.flags = neighbour.flags;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(NeighbourAttribute::Destination(neighbour.address.into()));
    let hardware =
        neighbour.hardware_address.map(|address| NeighbourAttribute::LinkLayerAddress(address.to_vec()));
    message.attributes.extend(hardware);
    message
}

/// The neighbour that a request tells of.
fn read(request: &NeighbourMessage) -> Result<Neighbour, Refusal> {
    let is_ipv6 = is_ipv6(request.header.family)?;
    let mut address = None;
    let mut hardware_address = None;
    for attribute in &request.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) if !is_ipv6 => {
                address = Some(IpAddr::V4(*ip));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) if is_ipv6 => {
                address = Some(IpAddr::V6(*ip));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                hardware_address = Some(bytes.as_slice().try_into().map_err(|_| Errno::EINVAL)?);
            }
            _ => {}
        }
    }
    let address = address.ok_or(Refusal::new(Errno::EINVAL, "Network address not specified"))?;
    let (device, state, flags) = (request.header.ifindex, request.header.state, request.header.flags);
    Ok(Neighbour { device, address, hardware_address, state, flags })
}

/// RTM_NEWNEIGH.
pub(super) fn add(
    configuration: &NetworkConfiguration,
    request: &NeighbourMessage,
    creates: bool,
    is_exclusive: bool,
) -> Result<(), Refusal> {
    configuration.add_neighbour(read(request)?, creates, is_exclusive)
}

/// RTM_DELNEIGH.
pub(super) fn delete(
    configuration: &NetworkConfiguration,
    request: &NeighbourMessage,
) -> Result<(), Refusal> {
    let neighbour = read(request)?;
    configuration.delete_neighbour(neighbour.device, neighbour.address)
}
