//! RTM_GETLINK, and what is told of links.

use netlink_packet_core::DefaultNla;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    BridgePortState, BridgeStpState, InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData,
    InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkMode, LinkProtoInfoBridge, Map, Stats,
    Stats64,
};

use super::Message;
use crate::Errno;
use crate::net::configuration::{Refusal, Snapshot};
use crate::net::device::{Link, LinkKind};
use crate::net::tun;

/// What Linux says of segmentation offload: nothing here makes segments.
const GSO_MAX_SIZE: u32 = 65536;
const GSO_MAX_SEGS: u32 = 65535;
const TSO_MAX_SIZE: u32 = 524_280;

/// A port's state, priority and cost among what is told of it to bridge(8) (`IFLA_BRPORT_*`).
const PORT_STATE: u16 = 1;
const PORT_PRIORITY: u16 = 2;
const PORT_COST: u16 = 3;
/// What they are: of a cable of ten gigabits a second.
const USUAL_PORT_PRIORITY: u16 = 32;
const USUAL_PORT_COST: u32 = 2;

pub(super) fn list(all: &Snapshot<'_>, request: &Message, _is_strict: bool) -> Vec<Message> {
    let Message::GetLink(request) = request else { return Vec::new() };
    if request.header.interface_family == AddressFamily::Bridge {
        let ports = all.links().filter_map(|link| port_message_of(link, link.controller?).into());
        return ports.map(Message::NewLink).collect();
    }
    let controller = request.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) => Some(*index),
        _ => None,
    });
    let kind = kind_of(request);
    let is_wanted = |link: &&Link| {
        controller.is_none_or(|index| index == 0 || link.controller == Some(index))
            && kind.as_ref().is_none_or(|kind| link.kind.name() == Some(kind.as_str()))
    };
    all.links().filter(is_wanted).map(|link| Message::NewLink(message_of(link))).collect()
}

/// The kind that a request names (IFLA_INFO_KIND).
pub(super) fn kind_of(request: &LinkMessage) -> Option<String> {
    let infos = request.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    infos?.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    })
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
    let (came, went) = link.carrier_changes;
    let promiscuous =
        u32::from(link.flags.contains(LinkFlags::Promisc)) + u32::from(link.controller.is_some());
    let all_multicast =
        u32::from(link.flags.contains(LinkFlags::Allmulti)) + u32::from(link.controller.is_some());
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
        LinkAttribute::Promiscuity(promiscuous),
        LinkAttribute::AllMulticast(all_multicast),
        LinkAttribute::NumTxQueues(1),
        LinkAttribute::GsoMaxSegs(GSO_MAX_SEGS),
        LinkAttribute::GsoMaxSize(GSO_MAX_SIZE),
        LinkAttribute::GroMaxSize(GSO_MAX_SIZE),
        LinkAttribute::GsoIpv4MaxSize(GSO_MAX_SIZE),
        LinkAttribute::GroIpv4MaxSize(GSO_MAX_SIZE),
        LinkAttribute::TsoMaxSize(TSO_MAX_SIZE),
        LinkAttribute::TsoMaxSegs(GSO_MAX_SEGS),
        LinkAttribute::NumRxQueues(1),
    ];
    let lower = link.lower_index();
    let is_below = lower != link.index || link.peer_namespace.is_some();
    message.attributes.extend(is_below.then_some(LinkAttribute::Link(lower)));
    message.attributes.extend(link.controller.map(LinkAttribute::Controller));
    message.attributes.extend([
        LinkAttribute::Carrier(link.has_carrier.into()),
        LinkAttribute::Qdisc(link.queueing_discipline().into()),
    ]);
    if !link.alias.is_empty() {
        message.attributes.push(LinkAttribute::IfAlias(link.alias.clone()));
    }
    message.attributes.extend([
        LinkAttribute::CarrierChanges(came + went),
        LinkAttribute::CarrierUpCount(came),
        LinkAttribute::CarrierDownCount(went),
        LinkAttribute::ProtoDown(0),
        LinkAttribute::Map(Map::default()),
        LinkAttribute::Address(link.hardware_address.to_vec()),
        LinkAttribute::Broadcast(link.hardware_broadcast.to_vec()),
        LinkAttribute::Stats64(statistics_64(link)),
        LinkAttribute::Stats(statistics(link)),
    ]);
    let infos = infos_of(link);
    message.attributes.extend((!infos.is_empty()).then_some(LinkAttribute::LinkInfo(infos)));
    message.attributes.extend(link.peer_namespace.map(LinkAttribute::LinkNetNsId));
    message
}

/// IFLA_LINKINFO: what kind a link is of, and what it is as a port.
fn infos_of(link: &Link) -> Vec<LinkInfo> {
    let mut infos = Vec::new();
    match link.kind {
        LinkKind::Loopback | LinkKind::Outside => {}
        LinkKind::Veth => infos.push(LinkInfo::Kind(InfoKind::Veth)),
        LinkKind::Dummy => infos.push(LinkInfo::Kind(InfoKind::Dummy)),
        LinkKind::Tun | LinkKind::Tap => {
            infos.push(LinkInfo::Kind(InfoKind::Tun));
            infos.extend(link.tun.as_deref().map(|tun| LinkInfo::Data(InfoData::Other(tun::told_of(tun)))));
        }
        LinkKind::Bridge => infos.extend([
            LinkInfo::Kind(InfoKind::Bridge),
            // Hundredths of a second; no spanning tree, no VLANs.
            LinkInfo::Data(InfoData::Bridge(vec![
                InfoBridge::ForwardDelay(1500),
                InfoBridge::HelloTime(200),
                InfoBridge::MaxAge(2000),
                InfoBridge::AgeingTime(30_000),
                InfoBridge::StpState(BridgeStpState::Disabled),
                InfoBridge::Priority(0x8000),
                InfoBridge::VlanFiltering(false),
            ])),
        ]),
    }
    if link.controller.is_some() {
        infos.extend([
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![
                InfoBridgePort::State(port_state(link)),
                InfoBridgePort::Priority(USUAL_PORT_PRIORITY),
                InfoBridgePort::Cost(USUAL_PORT_COST),
            ])),
        ]);
    }
    infos
}

fn port_state(link: &Link) -> BridgePortState {
    if link.is_running() { BridgePortState::Forwarding } else { BridgePortState::Disabled }
}

/// What bridge(8) is told of a port.
fn port_message_of(link: &Link, bridge: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = link.index;
    message.header.link_layer_type = link.kind.layer();
    message.header.flags = link.shown_flags();
    let told = |kind, value: &[u8]| LinkProtoInfoBridge::Other(DefaultNla::new(kind, value.to_vec()));
    message.attributes = vec![
        LinkAttribute::IfName(link.name.to_string()),
        LinkAttribute::Controller(bridge),
        LinkAttribute::Mtu(link.mtu),
        LinkAttribute::OperState(link.operational_state()),
        LinkAttribute::Address(link.hardware_address.to_vec()),
        LinkAttribute::Link(link.lower_index()),
        LinkAttribute::ProtoInfoBridge(vec![
            told(PORT_STATE, &[port_state(link).into()]),
            told(PORT_PRIORITY, &USUAL_PORT_PRIORITY.to_ne_bytes()),
            told(PORT_COST, &USUAL_PORT_COST.to_ne_bytes()),
        ]),
    ];
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

/// The name that a request gives; it ends with the first NUL.
pub(super) fn name_of(request: &LinkMessage) -> Option<&str> {
    let name = request.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) if !name.is_empty() => Some(name.as_str()),
        LinkAttribute::PropList(properties) => properties.iter().find_map(|property| match property {
            netlink_packet_route::link::Prop::AltIfName(name) => Some(name.as_str()),
            _ => None,
        }),
        _ => None,
    });
    name.and_then(|name| name.split('\0').next())
}
