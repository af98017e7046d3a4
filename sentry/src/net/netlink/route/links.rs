//! RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK and RTM_SETLINK.

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkMode, Map, Stats, Stats64,
};

use super::Message;
use crate::Errno;
use crate::net::configuration::{LinkChanges, NetworkConfiguration, Refusal, Snapshot};
use crate::net::device::{Link, LinkName};

/// What Linux says of segmentation offload: nothing here makes segments.
const GSO_MAX_SIZE: u32 = 65536;
const GSO_MAX_SEGS: u32 = 65535;
const TSO_MAX_SIZE: u32 = 524_280;

pub(super) fn list(all: &Snapshot<'_>, _request: &Message, _is_strict: bool) -> Vec<Message> {
    all.links().map(|link| Message::NewLink(message_of(link))).collect()
}

pub(super) fn get(all: &Snapshot<'_>, request: &LinkMessage) -> Result<Message, Refusal> {
    let link = match (request.header.index, name_of(request)) {
        (0, None) => return Err(Errno::EINVAL.into()),
        (0, Some(name)) => all.find_link(name.as_bytes())?,
        (index, _) => all.link(index)?,
    };
    Ok(Message::NewLink(message_of(link)))
}

/// What is told of a link, in the order in which Linux tells it.
pub(super) fn message_of(link: &Link) -> LinkMessage {
    let (min_mtu, max_mtu) = link.kind.shown_mtu_range();
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Unspec;
    message.header.index = link.index;
    message.header.link_layer_type = link.kind.layer();
    message.header.flags = link.shown_flags();
    message.attributes = vec![
        LinkAttribute::IfName(link.name.to_string()),
        LinkAttribute::TxQueueLen(link.tx_queue_len),
        LinkAttribute::OperState(link.operational_state()),
        LinkAttribute::Mode(LinkMode::Default),
        LinkAttribute::Mtu(link.mtu),
        LinkAttribute::MinMtu(min_mtu),
        LinkAttribute::MaxMtu(max_mtu),
        LinkAttribute::Group(link.group),
        LinkAttribute::Promiscuity(link.flags.contains(LinkFlags::Promisc).into()),
        LinkAttribute::AllMulticast(link.flags.contains(LinkFlags::Allmulti).into()),
        LinkAttribute::NumTxQueues(1),
        LinkAttribute::GsoMaxSegs(GSO_MAX_SEGS),
        LinkAttribute::GsoMaxSize(GSO_MAX_SIZE),
        LinkAttribute::GroMaxSize(GSO_MAX_SIZE),
        LinkAttribute::GsoIpv4MaxSize(GSO_MAX_SIZE),
        LinkAttribute::GroIpv4MaxSize(GSO_MAX_SIZE),
        LinkAttribute::TsoMaxSize(TSO_MAX_SIZE),
        LinkAttribute::TsoMaxSegs(GSO_MAX_SEGS),
        LinkAttribute::NumRxQueues(1),
        LinkAttribute::Carrier(1),
        LinkAttribute::Qdisc(link.queueing_discipline().into()),
    ];
    if !link.alias.is_empty() {
        message.attributes.push(LinkAttribute::IfAlias(link.alias.clone()));
    }
    message.attributes.extend([
        LinkAttribute::CarrierChanges(0),
        LinkAttribute::CarrierUpCount(0),
        LinkAttribute::CarrierDownCount(0),
        LinkAttribute::ProtoDown(0),
        LinkAttribute::Map(Map::default()),
        LinkAttribute::Address(link.hardware_address.to_vec()),
        LinkAttribute::Broadcast(link.hardware_broadcast.to_vec()),
        LinkAttribute::Stats64(statistics_64(link)),
        LinkAttribute::Stats(statistics(link)),
    ]);
    message
}

fn statistics_64(link: &Link) -> Stats64 {
    let (received, sent) = (link.statistics.received(), link.statistics.sent());
    let mut told = Stats64::default();
    (told.rx_packets, told.rx_bytes) = (received.packets, received.bytes);
    (told.tx_packets, told.tx_bytes) = (sent.packets, sent.bytes);
    told
}

/// The same as far as 32 bits hold it.
fn statistics(link: &Link) -> Stats {
    let (received, sent) = (link.statistics.received(), link.statistics.sent());
    let mut told = Stats::default();
    (told.rx_packets, told.rx_bytes) = (received.packets as u32, received.bytes as u32);
    (told.tx_packets, told.tx_bytes) = (sent.packets as u32, sent.bytes as u32);
    told
}

fn name_of(request: &LinkMessage) -> Option<&str> {
    request.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) if !name.is_empty() => Some(name.as_str()),
        LinkAttribute::PropList(properties) => properties.iter().find_map(|property| match property {
            netlink_packet_route::link::Prop::AltIfName(name) => Some(name.as_str()),
            _ => None,
        }),
        _ => None,
    })
}

/// The index of the link that is meant.
fn find(configuration: &NetworkConfiguration, request: &LinkMessage) -> Result<u32, Errno> {
    configuration.look(|all| match (request.header.index, name_of(request)) {
        (0, None) => Err(Errno::EINVAL),
        (0, Some(name)) => all.find_link(name.as_bytes()).map(|link| link.index),
        (index, _) => all.link(index).map(|link| link.index),
    })
}

/// RTM_NEWLINK: changes a link that is there. None can be made.
pub(super) fn new(
    configuration: &NetworkConfiguration,
    request: &LinkMessage,
    creates: bool,
    is_exclusive: bool,
) -> Result<(), Refusal> {
    match find(configuration, request) {
        Ok(_) if is_exclusive => Err(Errno::EEXIST.into()),
        Ok(index) => change(configuration, index, request),
        Err(Errno::ENODEV | Errno::EINVAL) if creates => Err(refuse_kind(request)),
        Err(_) => Err(Errno::ENODEV.into()),
    }
}

fn refuse_kind(request: &LinkMessage) -> Refusal {
    let has_kind = request.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::LinkInfo(infos) if infos.iter().any(|info| matches!(info, LinkInfo::Kind(_))))
    });
    if has_kind { Refusal::new(Errno::EOPNOTSUPP, "Unknown device type") } else { Errno::EOPNOTSUPP.into() }
}

/// RTM_SETLINK.
pub(super) fn set(configuration: &NetworkConfiguration, request: &LinkMessage) -> Result<(), Refusal> {
    change(configuration, find(configuration, request)?, request)
}

/// RTM_DELLINK.
pub(super) fn delete(configuration: &NetworkConfiguration, request: &LinkMessage) -> Result<(), Refusal> {
    configuration.delete_link(find(configuration, request)?)
}

fn change(configuration: &NetworkConfiguration, index: u32, request: &LinkMessage) -> Result<(), Refusal> {
    let mut changes = LinkChanges::default();
    let (flags, mask) = (request.header.flags, request.header.change_mask);
    if !flags.is_empty() || !mask.is_empty() {
        changes.flags = Some((flags, if mask.is_empty() { LinkFlags::all() } else { mask }));
    }
    for attribute in &request.attributes {
        match attribute {
            LinkAttribute::IfName(name) if request.header.index != 0 && !name.is_empty() => {
                changes.name = Some(LinkName::new(name.as_bytes())?);
            }
            LinkAttribute::Mtu(mtu) => changes.mtu = Some(*mtu),
            LinkAttribute::TxQueueLen(len) => changes.tx_queue_len = Some(*len),
            LinkAttribute::Address(address) => changes.hardware_address = Some(hardware(address)?),
            LinkAttribute::Broadcast(address) => changes.hardware_broadcast = Some(hardware(address)?),
            LinkAttribute::IfAlias(alias) => changes.alias = Some(alias.clone()),
            LinkAttribute::Group(group) => changes.group = Some(*group),
            LinkAttribute::NetNsPid(_) | LinkAttribute::NetNsFd(_) => {
                return Err(Refusal::new(Errno::EINVAL, "The interface netns is immutable"));
            }
            LinkAttribute::Controller(_) => return Err(Errno::EOPNOTSUPP.into()),
            _ => {}
        }
    }
    configuration.change_link(index, changes)
}

fn hardware(address: &[u8]) -> Result<[u8; 6], Errno> {
    address.try_into().map_err(|_| Errno::EINVAL)
}
