//! What rules ask beyond a packet's header (`man 8 iptables-extensions`).

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use netlink_packet_route::route::RouteType;
use parking_lot::Mutex;
use zerocopy::FromBytes;

use super::content::{ConnectionState, ICMP, ICMPV6, Seen, TCP, UDP, UDP_LITE, octets};
use super::rule::{Head, NOT_PROTOCOL};
use super::{Family, Hook};
use crate::Errno;
use crate::abi::{
    IptIcmp, IptTtl, XtAddrtype, XtConntrack, XtIprange, XtLength, XtMark, XtMultiport, XtOwner, XtRateinfo,
    XtTcp, XtUdp,
};
use crate::cred::Namespace;
use crate::time::SystemClock;

/// Where the ports of `struct xt_tcp` and `struct xt_udp` are not those that are asked for (`XT_TCP_INV_*`, `XT_UDP_INV_*`).
const NOT_SOURCE_PORT: u8 = 0x01;
const NOT_DESTINATION_PORT: u8 = 0x02;
const NOT_FLAGS: u8 = 0x04;
const NOT_OPTION: u8 = 0x08;
const ALL_TCP_CONTRARIES: u8 = 0x0f;
const ALL_UDP_CONTRARIES: u8 = 0x03;
/// The options of segments: those of each, and those of one that makes a connection as well.
const SEGMENT_OPTIONS: [u8; 1] = [8];
const SYN_OPTIONS: [u8; 4] = [2, 3, 4, 8];
const SYN: u8 = 0x02;
/// ICMP's type that stands for all.
const ANY_TYPE: u8 = 0xff;
/// `XT_OWNER_*`.
const OWNER_UID: u8 = 0x01;
const OWNER_GID: u8 = 0x02;
const OWNER_SOCKET: u8 = 0x04;
const ALL_OWNER_FLAGS: u8 = 0x07;
/// `XT_MULTIPORT_*`.
const MULTIPORT_SOURCE: u8 = 0;
const MULTIPORT_DESTINATION: u8 = 1;
const MULTIPORT_EITHER: u8 = 2;
/// `XT_CONNTRACK_STATE`, and what says that the rule was asked for by the older name.
const CONNTRACK_STATE: u16 = 1;
const CONNTRACK_ALIAS: u16 = 1 << 13;
/// `XT_ADDRTYPE_*`.
const NOT_SOURCE_KIND: u32 = 1;
const NOT_DESTINATION_KIND: u32 = 2;

/// `IPRANGE_*`.
const RANGE_SOURCE: u8 = 0x01;
const RANGE_DESTINATION: u8 = 0x02;
const NOT_RANGE_SOURCE: u8 = 0x10;
const NOT_RANGE_DESTINATION: u8 = 0x20;
/// `IPT_TTL_*` and `IP6T_HL_*`.
const TTL_EQUAL: u8 = 0;
const TTL_OTHER: u8 = 1;
const TTL_LESS: u8 = 2;
const TTL_MORE: u8 = 3;

/// One question that a rule asks.
#[derive(Clone, Debug)]
pub(super) enum Match {
    Tcp(XtTcp),
    Udp(XtUdp),
    Icmp(IptIcmp),
    Ports(Box<Ports>),
    Mark(XtMark),
    Owner(XtOwner),
    /// A comment, which all packets fit.
    Comment,
    State {
        wanted: u16,
        is_contrary: bool,
    },
    AddressKinds(XtAddrtype),
    Limit(Arc<Limit>),
    Range(Box<XtIprange>),
    Length(XtLength),
    Ttl(IptTtl),
}

/// A list of ports.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    flags: u8,
    ranges: Vec<RangeInclusive<u16>>,
    is_contrary: bool,
}

/// So many packets in a time (`man 8 iptables-extensions`, limit).
#[derive(Debug)]
pub(super) struct Limit {
    /// What one packet costs, and the most that there is to spend.
    cost: Duration,
    most: Duration,
    /// What there is to spend, and when that was known.
    left: Mutex<(Duration, Duration)>,
}

/// A kind of question that can be asked.
pub(super) struct MatchKind {
    pub(super) name: &'static str,
    pub(super) revision: u8,
    /// Whose tables it is for, if not everybody's.
    pub(super) family: Option<Family>,
    data_bytes: usize,
    /// The protocols of which it can be asked, if not of all.
    protocols: &'static [u8],
    hooks: u32,
    decode: fn(&[u8], bool) -> Result<Match, Errno>,
}

const ANYWHERE: u32 = Hook::Input.bit() | Hook::Forward.bit() | Hook::Output.bit();

const ANY_MATCH: MatchKind = MatchKind {
    name: "",
    revision: 0,
    family: None,
    data_bytes: 0,
    protocols: &[],
    hooks: ANYWHERE,
    decode: |_, _| Ok(Match::Comment),
};

const TTL_MATCH: MatchKind = MatchKind {
    data_bytes: size_of::<IptTtl>(),
    decode: |data, _| {
        let asked: IptTtl = decode(data)?;
        valid(asked.mode <= TTL_MORE, Match::Ttl(asked))
    },
    ..ANY_MATCH
};

/// The kinds, in the order in which `/proc/net/ip_tables_matches` tells of them.
pub(super) const MATCHES: &[MatchKind] = &[
    MatchKind {
        name: "state",
        data_bytes: size_of::<u32>(),
        decode: |data, _| {
            let wanted = u32::read_from_prefix(data).map_err(|_| Errno::EINVAL)?.0;
            let wanted = u16::try_from(wanted).map_err(|_| Errno::EINVAL)?;
            Ok(Match::State { wanted, is_contrary: false })
        },
        ..ANY_MATCH
    },
    MatchKind {
        name: "conntrack",
        revision: 3,
        data_bytes: size_of::<XtConntrack>(),
        decode: decode_state,
        ..ANY_MATCH
    },
    MatchKind {
        name: "limit",
        data_bytes: size_of::<XtRateinfo>(),
        decode: |data, _| Limit::read(&decode(data)?).map(|limit| Match::Limit(Arc::new(limit))),
        ..ANY_MATCH
    },
    MatchKind {
        name: "iprange",
        revision: 1,
        data_bytes: size_of::<XtIprange>(),
        decode: |data, _| decode(data).map(|asked| Match::Range(Box::new(asked))),
        ..ANY_MATCH
    },
    MatchKind {
        name: "length",
        data_bytes: size_of::<XtLength>(),
        decode: |data, _| decode(data).map(Match::Length),
        ..ANY_MATCH
    },
    MatchKind { name: "ttl", family: Some(Family::V4), ..TTL_MATCH },
    MatchKind { name: "hl", family: Some(Family::V6), ..TTL_MATCH },
    MatchKind { name: "comment", data_bytes: 256, ..ANY_MATCH },
    MatchKind {
        name: "mark",
        revision: 1,
        data_bytes: size_of::<XtMark>(),
        decode: |data, _| decode(data).map(Match::Mark),
        ..ANY_MATCH
    },
    MatchKind {
        name: "owner",
        revision: 1,
        data_bytes: size_of::<XtOwner>(),
        hooks: Hook::Output.bit(),
        decode: decode_owner,
        ..ANY_MATCH
    },
    MatchKind {
        name: "multiport",
        revision: 1,
        data_bytes: size_of::<XtMultiport>(),
        protocols: &[TCP, UDP, UDP_LITE],
        decode: decode_ports,
        ..ANY_MATCH
    },
    MatchKind {
        name: "addrtype",
        revision: 1,
        data_bytes: size_of::<XtAddrtype>(),
        decode: |data, _| {
            let asked: XtAddrtype = decode(data)?;
            let is_known = asked.flags & !(NOT_SOURCE_KIND | NOT_DESTINATION_KIND) == 0;
            if is_known { Ok(Match::AddressKinds(asked)) } else { Err(Errno::EINVAL) }
        },
        ..ANY_MATCH
    },
    MatchKind {
        name: "icmp",
        family: Some(Family::V4),
        data_bytes: size_of::<IptIcmp>(),
        protocols: &[ICMP],
        decode: decode_icmp,
        ..ANY_MATCH
    },
    MatchKind {
        name: "icmp6",
        family: Some(Family::V6),
        data_bytes: size_of::<IptIcmp>(),
        protocols: &[ICMPV6],
        decode: decode_icmp,
        ..ANY_MATCH
    },
    MatchKind {
        name: "udplite",
        data_bytes: size_of::<XtUdp>(),
        protocols: &[UDP_LITE],
        decode: decode_udp,
        ..ANY_MATCH
    },
    MatchKind {
        name: "udp",
        data_bytes: size_of::<XtUdp>(),
        protocols: &[UDP],
        decode: decode_udp,
        ..ANY_MATCH
    },
    MatchKind {
        name: "tcp",
        data_bytes: size_of::<XtTcp>(),
        protocols: &[TCP],
        decode: |data, _| {
            let asked: XtTcp = decode(data)?;
            valid(asked.invflags & !ALL_TCP_CONTRARIES == 0, Match::Tcp(asked))
        },
        ..ANY_MATCH
    },
];

fn decode<T: FromBytes>(data: &[u8]) -> Result<T, Errno> {
    T::read_from_prefix(data).map(|(value, _)| value).map_err(|_| Errno::EINVAL)
}

fn valid<T>(is_valid: bool, value: T) -> Result<T, Errno> {
    if is_valid { Ok(value) } else { Err(Errno::EINVAL) }
}

fn decode_udp(data: &[u8], _owns: bool) -> Result<Match, Errno> {
    let asked: XtUdp = decode(data)?;
    valid(asked.invflags & !ALL_UDP_CONTRARIES == 0, Match::Udp(asked))
}

fn decode_icmp(data: &[u8], _owns: bool) -> Result<Match, Errno> {
    let asked: IptIcmp = decode(data)?;
    valid(asked.invflags & !1 == 0, Match::Icmp(asked))
}

/// Of what conntrack can be asked, only the state is known.
fn decode_state(data: &[u8], _owns: bool) -> Result<Match, Errno> {
    let asked: XtConntrack = decode(data)?;
    let is_contrary = asked.invert_flags & CONNTRACK_STATE != 0;
    let state = Match::State { wanted: asked.state_mask, is_contrary };
    valid(asked.match_flags & !CONNTRACK_ALIAS == CONNTRACK_STATE, state)
}

/// Numbers of users mean something only to one whose user namespace is the network's (`owns`).
fn decode_owner(data: &[u8], owns: bool) -> Result<Match, Errno> {
    let asked: XtOwner = decode(data)?;
    let has_numbers = asked.matched & (OWNER_UID | OWNER_GID) != 0;
    let is_valid = asked.matched & !ALL_OWNER_FLAGS == 0 && (owns || !has_numbers);
    valid(is_valid, Match::Owner(asked))
}

fn decode_ports(data: &[u8], _owns: bool) -> Result<Match, Errno> {
    let asked: XtMultiport = decode(data)?;
    let ports = asked.ports.get(..asked.count.into()).ok_or(Errno::EINVAL)?;
    if asked.flags > MULTIPORT_EITHER {
        return Err(Errno::EINVAL);
    }
    let mut ranges = Vec::with_capacity(ports.len());
    let mut places = ports.iter().zip(asked.pflags);
    while let Some((first, begins_range)) = places.next() {
        let last = if begins_range == 0 { first } else { places.next().ok_or(Errno::EINVAL)?.0 };
        ranges.push(*first..=*last);
    }
    Ok(Match::Ports(Box::new(Ports { flags: asked.flags, ranges, is_contrary: asked.invert != 0 })))
}

impl MatchKind {
    /// Reads what a rule asks, whose head is this and which these hooks lead to.
    ///
    /// # Errors
    /// EINVAL for data of another length, for a head or a hook that it cannot be asked with, and for values that there are not.
    pub(super) fn read(&self, data: &[u8], head: &Head, hooks: u32, owns: bool) -> Result<Match, Errno> {
        let has_protocol = head.protocol.is_some_and(|own| self.protocols.contains(&own));
        let is_of_protocol = self.protocols.is_empty() || has_protocol && head.contraries & NOT_PROTOCOL == 0;
        let is_valid = data.len() == self.data_bytes.next_multiple_of(size_of::<u64>())
            && hooks & !self.hooks == 0
            && is_of_protocol;
        if is_valid { (self.decode)(data, owns) } else { Err(Errno::EINVAL) }
    }
}

impl Match {
    /// Whether the answer depends on what has been sent before.
    pub(super) fn asks_for_state(&self) -> bool {
        matches!(self, Self::State { .. })
    }

    /// Whether a packet is one that is asked for.
    pub(super) fn fits(&self, seen: &Seen<'_>) -> bool {
        let content = seen.content();
        match self {
            Self::Tcp(asked) => fits_tcp(asked, seen),
            Self::Udp(asked) => fit_ports((&asked.spts, &asked.dpts), asked.invflags, content.ports),
            Self::Icmp(asked) => {
                let [kind, code] = content.icmp;
                let is_any = asked.kind == ANY_TYPE && content.protocol == ICMP;
                let is_asked = asked.kind == kind && (asked.code[0]..=asked.code[1]).contains(&code);
                (is_any || is_asked) != (asked.invflags != 0)
            }
            Self::Ports(asked) => asked.fit(content.ports),
            Self::Mark(asked) => (content.mark & asked.mask == asked.mark) != (asked.invert != 0),
            Self::Owner(asked) => fits_owner(asked, seen),
            Self::Comment => true,
            Self::State { wanted, is_contrary } => (wanted & bit_of(content.state) != 0) != *is_contrary,
            Self::AddressKinds(asked) => fit_kinds(asked, seen),
            Self::Limit(limit) => limit.spend(seen.network.shared().timekeeper.now(SystemClock::Monotonic)),
            Self::Range(asked) => fits_range(asked, seen),
            Self::Length(asked) => {
                let [least, most] = asked.bounds.map(usize::from);
                (least..=most).contains(&seen.packet.len_bytes()) != (asked.invert != 0)
            }
            Self::Ttl(asked) => match asked.mode {
                TTL_EQUAL => seen.packet.ttl == asked.ttl,
                TTL_OTHER => seen.packet.ttl != asked.ttl,
                TTL_LESS => seen.packet.ttl < asked.ttl,
                _ => seen.packet.ttl > asked.ttl,
            },
        }
    }
}

impl Ports {
    fn fit(&self, [source, destination]: [u16; 2]) -> bool {
        let has = |port| self.ranges.iter().any(|range| range.contains(&port));
        let is_among = match self.flags {
            MULTIPORT_SOURCE => has(source),
            MULTIPORT_DESTINATION => has(destination),
            _ => has(source) || has(destination),
        };
        is_among != self.is_contrary
    }
}

impl Limit {
    /// The average is the time between two packets, in parts of a second (`XT_LIMIT_SCALE`).
    fn read(asked: &XtRateinfo) -> Result<Self, Errno> {
        const PARTS: u32 = 10_000;
        let is_valid = asked.burst != 0 && asked.avg.checked_mul(asked.burst).is_some();
        if !is_valid {
            return Err(Errno::ERANGE);
        }
        let cost = Duration::from_secs(asked.avg.into()) / PARTS;
        let most = cost.saturating_mul(asked.burst);
        Ok(Self { cost, most, left: Mutex::new((most, Duration::ZERO)) })
    }

    /// Whether there is enough for a packet now; then it is spent.
    fn spend(&self, now: Duration) -> bool {
        let mut left = self.left.lock();
        let (had, since) = *left;
        let has = (had + now.saturating_sub(since)).min(self.most);
        let rest = has.checked_sub(self.cost);
        *left = (rest.unwrap_or(has), now);
        rest.is_some()
    }
}

fn fits_range(asked: &XtIprange, seen: &Seen<'_>) -> bool {
    let fits = |is_asked: u8, contrary: u8, [first, last]: &[[u8; 16]; 2], address: IpAddr| {
        let is_within = (first..=last).contains(&&octets(address));
        asked.flags & is_asked == 0 || is_within != (asked.flags & contrary != 0)
    };
    fits(RANGE_SOURCE, NOT_RANGE_SOURCE, &asked.src, seen.packet.source)
        && fits(RANGE_DESTINATION, NOT_RANGE_DESTINATION, &asked.dst, seen.packet.destination)
}

/// A state's bit among those that are asked for (`XT_CONNTRACK_STATE_BIT`).
fn bit_of(state: ConnectionState) -> u16 {
    match state {
        ConnectionState::Established => 1 << 1,
        ConnectionState::Related => 1 << 2,
        ConnectionState::New => 1 << 3,
    }
}

fn fit_ports((sources, destinations): (&[u16; 2], &[u16; 2]), contraries: u8, ports: [u16; 2]) -> bool {
    let within = |[first, last]: &[u16; 2], port: u16| (*first..=*last).contains(&port);
    within(sources, ports[0]) != (contraries & NOT_SOURCE_PORT != 0)
        && within(destinations, ports[1]) != (contraries & NOT_DESTINATION_PORT != 0)
}

fn fits_tcp(asked: &XtTcp, seen: &Seen<'_>) -> bool {
    let content = seen.content();
    let has_flags = content.tcp_flags & asked.flg_mask == asked.flg_cmp;
    let options = if content.tcp_flags & SYN != 0 { &SYN_OPTIONS[..] } else { &SEGMENT_OPTIONS };
    let has_option = options.contains(&asked.option) != (asked.invflags & NOT_OPTION != 0);
    fit_ports((&asked.spts, &asked.dpts), asked.invflags, content.ports)
        && has_flags != (asked.invflags & NOT_FLAGS != 0)
        && (asked.option == 0 || has_option)
}

fn fits_owner(asked: &XtOwner, seen: &Seen<'_>) -> bool {
    let Some((uid, gid)) = seen.content().owner else {
        return asked.matched == asked.invert;
    };
    let is_contrary = |flag: u8| asked.invert & flag != 0;
    if asked.matched & OWNER_SOCKET != 0 && is_contrary(OWNER_SOCKET) {
        return false;
    }
    let Some(users) = seen.network.identity().owner() else { return false };
    let within = |[first, last]: [u32; 2], number: u32| (first..=last).contains(&number);
    let is_user = || within(asked.uid, users.from_kernel_uid(uid).0);
    let is_group = || within(asked.gid, users.from_kernel_gid(gid).0);
    (asked.matched & OWNER_UID == 0 || is_user() != is_contrary(OWNER_UID))
        && (asked.matched & OWNER_GID == 0 || is_group() != is_contrary(OWNER_GID))
}

fn fit_kinds(asked: &XtAddrtype, seen: &Seen<'_>) -> bool {
    let configuration = seen.network.configuration();
    let is_among = |wanted: u16, address| {
        let kind: RouteType = configuration.address_kind(address);
        wanted == 0 || 1_u16.checked_shl(u8::from(kind).into()).is_some_and(|bit| wanted & bit != 0)
    };
    let fits = |wanted: u16, address, contrary: u32| {
        wanted == 0 || is_among(wanted, address) != (asked.flags & contrary != 0)
    };
    fits(asked.source, seen.packet.source, NOT_SOURCE_KIND)
        && fits(asked.dest, seen.packet.destination, NOT_DESTINATION_KIND)
}
