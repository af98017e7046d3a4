//! A link.

use std::sync::Arc;

use netlink_packet_route::link::{LinkFlags, LinkLayerType, State};

use super::{CableEnd, InterfaceAddress, LOOPBACK_INDEX, LinkName, LinkStatistics, OUTSIDE_INDEX};
use crate::net::tun::TunDevice;

/// The MTU of a loopback, and its largest.
const LOOPBACK_MTU: u32 = 65536;
/// The MTU of an Ethernet, and the least and the largest.
const ETHERNET_MTU: u32 = 1500;
const ETHERNET_MTU_RANGE: (u32, u32) = (68, 65535);
/// The same of a TAP, whose frames hold their headers.
const TAP_MTU_RANGE: (u32, u32) = (68, 65521);
/// How many packets wait for a TUN at most (`TUN_READQ_SIZE`).
const TUN_TX_QUEUE_LEN: u32 = 500;
/// The hardware address of the link to the outside, which nobody else sees: locally administered.
const OUTSIDE_HARDWARE_ADDRESS: [u8; 6] = [2, 0x50, 0x41, 0x4c, 0, 0xf];
/// How many packets wait for a link at most, unless told otherwise.
const DEFAULT_TX_QUEUE_LEN: u32 = 1000;
/// Flags that only tell of a link's state.
const STATE_FLAGS: LinkFlags = LinkFlags::Running.union(LinkFlags::LowerUp).union(LinkFlags::Dormant);

/// How what comes in by a link is to be spread and held back: all of it is kept, and nothing waits here that it would be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTuning {
    /// `gro_flush_timeout`, in nanoseconds.
    GroFlushTimeout,
    /// `napi_defer_hard_irqs`.
    NapiDeferHardIrqs,
    /// `queues/rx-0/rps_cpus`, a set of processors.
    RpsCpus,
    /// `queues/rx-0/rps_flow_cnt`.
    RpsFlowCount,
}

impl LinkTuning {
    /// How many there are.
    const COUNT: usize = 4;
}

/// What a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Whatever is sent comes back.
    Loopback,
    /// The way to the [outside](crate::net::outside), which looks like an Ethernet.
    Outside,
    /// An end of a cable (`man 4 veth`).
    Veth,
    /// What joins links as a switch does (`man 8 bridge`).
    Bridge,
    /// Whatever is sent is lost.
    Dummy,
    /// Packets of IP, which a program reads and writes ([`tun`](crate::net::tun)).
    Tun,
    /// The same with frames of Ethernet.
    Tap,
}

impl LinkKind {
    /// The ARPHRD_* number.
    pub fn layer(self) -> LinkLayerType {
        match self {
            Self::Loopback => LinkLayerType::Loopback,
            Self::Tun => LinkLayerType::None,
            Self::Outside | Self::Veth | Self::Bridge | Self::Dummy | Self::Tap => LinkLayerType::Ether,
        }
    }

    /// What rtnetlink calls it (IFLA_INFO_KIND); `None` for one that nobody makes.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Loopback | Self::Outside => None,
            Self::Veth => Some("veth"),
            Self::Bridge => Some("bridge"),
            Self::Dummy => Some("dummy"),
            Self::Tun => Some("tun"),
            Self::Tap => Some("tap"),
        }
    }

    /// Whether it stays in the namespace that it was made in.
    pub fn is_immovable(self) -> bool {
        matches!(self, Self::Loopback | Self::Outside | Self::Bridge)
    }

    /// The least and the largest MTU.
    pub fn mtu_range(self) -> (u32, u32) {
        match self {
            Self::Loopback | Self::Dummy => (0, i32::MAX as u32),
            Self::Outside | Self::Veth | Self::Bridge | Self::Tun => ETHERNET_MTU_RANGE,
            Self::Tap => TAP_MTU_RANGE,
        }
    }

    /// The same as Linux tells it: a loopback, which takes any positive int, shows 0 for both.
    pub fn shown_mtu_range(self) -> (u32, u32) {
        match self {
            Self::Loopback | Self::Dummy => (0, 0),
            kind => kind.mtu_range(),
        }
    }

    /// Whether a program is at its other end.
    pub fn leads_to_program(self) -> bool {
        matches!(self, Self::Tun | Self::Tap)
    }
}

/// A link of a network namespace.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its number, which never changes.
    pub index: u32,
    /// Its name, which no other link of the namespace has.
    pub name: LinkName,
    /// What it is.
    pub kind: LinkKind,
    /// Its flags, those that only tell of its state apart.
    pub flags: LinkFlags,
    /// The largest packet, in bytes.
    pub mtu: u32,
    /// How many packets wait for it at most.
    pub tx_queue_len: u32,
    /// What its [`LinkTuning`] is, in its order.
    pub tuning: [u64; LinkTuning::COUNT],
    /// Of Ethernet; all zero for the loopback.
    pub hardware_address: [u8; 6],
    /// The hardware address of everybody on it.
    pub hardware_broadcast: [u8; 6],
    /// What somebody calls it beside its name (IFLA_IFALIAS).
    pub alias: String,
    /// The group that it is in (IFLA_GROUP).
    pub group: u32,
    /// Whether it was ever up: until then it has no queueing discipline.
    pub has_been_up: bool,
    /// Whether it takes no IPv6 (the setting `disable_ipv6`).
    pub is_ipv6_disabled: bool,
    /// Its addresses, IPv4 before IPv6, in the order that they are listed in.
    pub addresses: Vec<InterfaceAddress>,
    /// Whether something is at its other end.
    pub has_carrier: bool,
    /// How often that came, and went.
    pub carrier_changes: (u32, u32),
    /// The bridge that it is a port of (IFLA_MASTER).
    pub controller: Option<u32>,
    /// A veth's end of its cable.
    pub cable: Option<CableEnd>,
    /// The number of the other end's namespace, if that is another (IFLA_LINK_NETNSID).
    pub peer_namespace: Option<i32>,
    /// The end that a program has.
    pub(in crate::net) tun: Option<Arc<TunDevice>>,
    /// Somebody gave it its hardware address.
    pub is_address_given: bool,
    /// What went through it.
    pub statistics: Arc<LinkStatistics>,
}

impl Link {
    /// The loopback of a new namespace: down, without addresses.
    pub(super) fn loopback() -> Self {
        Self {
            index: LOOPBACK_INDEX,
            name: LinkName::loopback(),
            kind: LinkKind::Loopback,
            flags: LinkFlags::Loopback,
            mtu: LOOPBACK_MTU,
            tx_queue_len: DEFAULT_TX_QUEUE_LEN,
            tuning: [0; LinkTuning::COUNT],
            hardware_address: [0; 6],
            hardware_broadcast: [0; 6],
            alias: String::new(),
            group: 0,
            has_been_up: false,
            is_ipv6_disabled: false,
            addresses: Vec::new(),
            has_carrier: true,
            carrier_changes: (0, 0),
            controller: None,
            cable: None,
            peer_namespace: None,
            tun: None,
            is_address_given: false,
            statistics: Arc::default(),
        }
    }

    /// The link to the outside: down, without addresses.
    pub(super) fn outside() -> Self {
        Self {
            index: OUTSIDE_INDEX,
            name: LinkName::outside(),
            kind: LinkKind::Outside,
            flags: LinkFlags::Broadcast | LinkFlags::Multicast,
            mtu: ETHERNET_MTU,
            hardware_address: OUTSIDE_HARDWARE_ADDRESS,
            hardware_broadcast: [0xff; 6],
            ..Self::loopback()
        }
    }

    /// A link that somebody makes: down, with a hardware address of its own.
    pub(in crate::net) fn made(kind: LinkKind, index: u32, name: LinkName) -> Self {
        let noarp = if kind == LinkKind::Dummy { LinkFlags::Noarp } else { LinkFlags::Multicast };
        if kind == LinkKind::Tun {
            let flags = LinkFlags::Pointopoint | LinkFlags::Multicast | LinkFlags::Noarp;
            let (mtu, tx_queue_len, has_carrier) = (ETHERNET_MTU, TUN_TX_QUEUE_LEN, false);
            return Self { index, name, kind, flags, mtu, tx_queue_len, has_carrier, ..Self::loopback() };
        }
        Self {
            index,
            name,
            kind,
            flags: LinkFlags::Broadcast | noarp,
            mtu: ETHERNET_MTU,
            hardware_address: random_hardware_address(),
            hardware_broadcast: [0xff; 6],
            has_carrier: kind != LinkKind::Veth && !kind.leads_to_program(),
            ..Self::loopback()
        }
    }

    /// Whether it is up and something is at its other end.
    pub fn is_running(&self) -> bool {
        self.is_up() && self.has_carrier
    }

    /// The index of the link below it, or at the other end of its cable (IFLA_LINK); its own for others.
    pub fn lower_index(&self) -> u32 {
        self.cable.as_ref().map_or(self.index, |cable| cable.other().index)
    }

    /// Whether it is up (IFF_UP).
    pub fn is_up(&self) -> bool {
        self.flags.contains(LinkFlags::Up)
    }

    /// Whether it is a loopback.
    pub fn is_loopback(&self) -> bool {
        self.flags.contains(LinkFlags::Loopback)
    }

    /// Its flags as they are shown: with those that tell of its state.
    pub fn shown_flags(&self) -> LinkFlags {
        let runs = LinkFlags::Running | LinkFlags::LowerUp;
        let state = if self.is_running() { runs } else { LinkFlags::empty() };
        self.flags.difference(STATE_FLAGS) | state
    }

    /// The state of RFC 2863; a loopback that is up does not tell.
    pub fn operational_state(&self) -> State {
        match (self.is_up(), self.kind) {
            (false, _) => State::Down,
            (true, LinkKind::Veth) if !self.has_carrier && self.peer_namespace.is_none() => {
                State::LowerLayerDown
            }
            (true, _) if !self.has_carrier => State::Down,
            (true, LinkKind::Loopback | LinkKind::Dummy | LinkKind::Tun | LinkKind::Tap) => State::Unknown,
            // Nothing has happened to it yet.
            (true, LinkKind::Bridge) if self.carrier_changes == (0, 0) => State::Unknown,
            (true, _) => State::Up,
        }
    }

    /// The name of its queueing discipline.
    pub fn queueing_discipline(&self) -> &'static str {
        match self.has_been_up {
            false => "noop",
            true if self.kind.leads_to_program() => "pfifo_fast",
            true => "noqueue",
        }
    }
}

/// An address of one, that nobody else administers (`eth_random_addr`).
fn random_hardware_address() -> [u8; 6] {
    let mut address = [0; 6];
    crate::host::fill_random(&mut address);
    address[0] = address[0] & !1 | 2;
    address
}
