//! RTM_NEWLINK, RTM_DELLINK and RTM_SETLINK.

use std::sync::Arc;

use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};

use super::super::request::Request;
use super::links::{kind_of, name_of};
use crate::Errno;
use crate::net::NetworkNamespace;
use crate::net::configuration::{LinkChanges, NewLink, Refusal};
use crate::net::device::{LinkKind, LinkName};

/// Kinds of links that can be made.
const KINDS: [LinkKind; 3] = [LinkKind::Veth, LinkKind::Bridge, LinkKind::Dummy];

type Network = Arc<NetworkNamespace>;

/// The index of the link that is meant.
fn find(network: &NetworkNamespace, request: &LinkMessage) -> Result<u32, Errno> {
    network.configuration().look(|all| match (request.header.index, name_of(request)) {
        (0, None) => Err(Errno::EINVAL),
        (0, Some(name)) => all.find_link(name.as_bytes()).map(|link| link.index),
        (index, _) => all.link(index).map(|link| link.index),
    })
}

/// The namespace that a request names (IFLA_NET_NS_FD and its kin), in which the sender has to be privileged.
///
/// # Errors
/// ESRCH, EBADF, EINVAL; EPERM.
fn other_network(
    network: &Network,
    message: &LinkMessage,
    request: &Request<'_>,
) -> Result<Option<Network>, Refusal> {
    let named = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::NetNsPid(number) => Some(request.network_of_process(number.cast_signed())),
        LinkAttribute::NetNsFd(descriptor) => Some(request.network_of_descriptor(*descriptor)),
        LinkAttribute::IfNetnsId(number) => Some(network.numbers().get(*number).ok_or(Errno::EINVAL)),
        _ => None,
    });
    let Some(named) = named.transpose()? else { return Ok(None) };
    if named.administers(request.credentials) { Ok(Some(named)) } else { Err(Errno::EPERM.into()) }
}

/// RTM_NEWLINK: changes a link that is there, or makes one.
pub(super) fn new(
    network: &Network,
    message: &LinkMessage,
    request: &Request<'_>,
    (creates, is_exclusive): (bool, bool),
) -> Result<(), Refusal> {
    match find(network, message) {
        Ok(_) if is_exclusive => Err(Errno::EEXIST.into()),
        Ok(index) => change(network, index, message, request),
        Err(Errno::ENODEV | Errno::EINVAL) if creates => make(network, message, request),
        Err(_) => Err(Errno::ENODEV.into()),
    }
}

fn make(network: &Network, message: &LinkMessage, request: &Request<'_>) -> Result<(), Refusal> {
    let unknown = || Refusal::new(Errno::EOPNOTSUPP, "Unknown device type");
    let name = kind_of(message).ok_or_else(unknown)?;
    let kind = KINDS.into_iter().find(|kind| kind.name() == Some(name.as_str())).ok_or_else(unknown)?;
    let target = other_network(network, message, request)?.unwrap_or_else(|| network.clone());
    let new = new_link(kind, message)?;
    if kind != LinkKind::Veth {
        return target.make_link(&new);
    }
    let (peer, far) = match peer_of(message) {
        Some(peer) => (new_link(kind, peer)?, other_network(network, peer, request)?),
        None => (NewLink::of_kind(kind), None),
    };
    // Without names of their own they are numbered one after the other.
    target.make_cable(&new, (&far.unwrap_or_else(|| target.clone()), &peer))
}

/// What a request says of a veth's peer (VETH_INFO_PEER).
fn peer_of(message: &LinkMessage) -> Option<&LinkMessage> {
    let infos = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    })?;
    infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))) => Some(peer),
        _ => None,
    })
}

fn new_link(kind: LinkKind, message: &LinkMessage) -> Result<NewLink, Refusal> {
    Ok(NewLink {
        kind,
        index: Some(message.header.index).filter(|index| *index != 0),
        name: name_of(message).map(str::to_string),
        changes: changes_of(message)?,
    })
}

/// RTM_SETLINK.
pub(super) fn set(network: &Network, message: &LinkMessage, request: &Request<'_>) -> Result<(), Refusal> {
    change(network, find(network, message)?, message, request)
}

/// RTM_DELLINK.
pub(super) fn delete(network: &Network, message: &LinkMessage) -> Result<(), Refusal> {
    network.remove_link(find(network, message)?)
}

fn change(
    network: &Network,
    index: u32,
    message: &LinkMessage,
    request: &Request<'_>,
) -> Result<(), Refusal> {
    let mut changes = changes_of(message)?;
    let target = other_network(network, message, request)?;
    if message.header.index != 0 {
        changes.name = name_of(message).map(|name| LinkName::new(name.as_bytes())).transpose()?;
    }
    if let Some(target) = target {
        let name = changes.name.take();
        let index = network.move_link(index, &target, name)?;
        return finish(&target, index, message, changes);
    }
    finish(network, index, message, changes)
}

/// Changes a link that is where it is to be.
fn finish(network: &Network, index: u32, message: &LinkMessage, changes: LinkChanges) -> Result<(), Refusal> {
    let controller = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(controller) => Some(*controller),
        _ => None,
    });
    if let Some(controller) = controller {
        let bridge = Some(controller).filter(|controller| *controller != 0);
        network.configuration().set_controller(index, bridge)?;
    }
    network.change_link(index, changes)
}

/// What a request says of a link, its name apart.
fn changes_of(message: &LinkMessage) -> Result<LinkChanges, Refusal> {
    let mut changes = LinkChanges::default();
    let (flags, mask) = (message.header.flags, message.header.change_mask);
    if !flags.is_empty() || !mask.is_empty() {
        changes.flags = Some((flags, if mask.is_empty() { LinkFlags::all() } else { mask }));
    }
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => changes.mtu = Some(*mtu),
            LinkAttribute::TxQueueLen(len) => changes.tx_queue_len = Some(*len),
            LinkAttribute::Address(address) => changes.hardware_address = Some(hardware(address)?),
            LinkAttribute::Broadcast(address) => changes.hardware_broadcast = Some(hardware(address)?),
            LinkAttribute::IfAlias(alias) => changes.alias = Some(alias.clone()),
            LinkAttribute::Group(group) => changes.group = Some(*group),
            _ => {}
        }
    }
    Ok(changes)
}

fn hardware(address: &[u8]) -> Result<[u8; 6], Errno> {
    address.try_into().map_err(|_| Errno::EINVAL)
}
