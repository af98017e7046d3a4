//! Options of IPv6 (`man 7 ipv6`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use linux_raw_sys::net as uapi;

use super::{ICMPV6, RAW, TCP};
use crate::Errno;
use crate::heap::HeapCharge;
use crate::net::level::int;
use crate::network_settings::NetworkSettings;

/// Options that are on or off.
const SWITCHES: [u32; 25] = [
    uapi::IPV6_RECVPKTINFO,
    uapi::IPV6_2292PKTINFO,
    uapi::IPV6_RECVHOPLIMIT,
    uapi::IPV6_2292HOPLIMIT,
    uapi::IPV6_RECVTCLASS,
    uapi::IPV6_RECVRTHDR,
    uapi::IPV6_2292RTHDR,
    uapi::IPV6_RECVHOPOPTS,
    uapi::IPV6_2292HOPOPTS,
    uapi::IPV6_RECVDSTOPTS,
    uapi::IPV6_2292DSTOPTS,
    uapi::IPV6_FLOWINFO,
    uapi::IPV6_FLOWINFO_SEND,
    uapi::IPV6_RECVERR,
    uapi::IPV6_RECVERR_RFC4884,
    uapi::IPV6_MULTICAST_LOOP,
    uapi::IPV6_MULTICAST_ALL,
    uapi::IPV6_FREEBIND,
    uapi::IPV6_TRANSPARENT,
    uapi::IPV6_DONTFRAG,
    uapi::IPV6_RECVPATHMTU,
    uapi::IPV6_RECVORIGDSTADDR,
    uapi::IPV6_RECVFRAGSIZE,
    uapi::IPV6_ROUTER_ALERT,
    uapi::IPV6_ROUTER_ALERT_ISOLATE,
];
/// Those that are 0 or 1, and nothing else.
const STRICT: [u32; 2] = [uapi::IPV6_MULTICAST_LOOP, uapi::IPV6_RECVERR_RFC4884];
/// Those that take a value that is too short for 0.
const LENIENT: [u32; 3] = [uapi::IPV6_AUTOFLOWLABEL, uapi::IPV6_DONTFRAG, uapi::IPV6_RECVFRAGSIZE];
/// Headers that what is sent can have.
const HEADERS: [u32; 4] = [uapi::IPV6_HOPOPTS, uapi::IPV6_RTHDRDSTOPTS, uapi::IPV6_RTHDR, uapi::IPV6_DSTOPTS];
/// Headers are as long as a multiple of this, and tell of it beyond the first one.
const HEADER_UNIT_BYTES: usize = 8;
/// The bits of IPV6_TCLASS that a TCP connection's congestion notification has.
const ECN_MASK: u8 = 3;
/// Which of the own addresses is preferred (IPV6_ADDR_PREFERENCES): three choices, of which each is made once.
const PREFERENCES: [[i32; 3]; 3] = [[0x1, 0x2, 0x100], [0x4, 0x400, 0], [0x8, 0x800, 0]];
/// The least IPV6_MTU.
const MIN_MTU: i32 = 1280;

/// A header of what is sent.
#[derive(Debug)]
struct Header {
    bytes: Vec<u8>,
    _charge: HeapCharge,
}

/// The IPv6 options of a socket.
#[derive(Clone, Debug)]
pub(super) struct Ipv6Options {
    /// IPV6_V6ONLY.
    pub(super) is_v6_only: bool,
    /// IPV6_UNICAST_HOPS, unless it is the usual one.
    pub(super) hop_limit: Option<u8>,
    default_hop_limit: u8,
    /// IPV6_MULTICAST_HOPS.
    pub(super) multicast_hop_limit: Option<u8>,
    /// IPV6_TCLASS.
    pub(super) traffic_class: Option<u8>,
    /// IPV6_MULTICAST_IF.
    pub(super) multicast_device: Option<u32>,
    /// IPV6_UNICAST_IF.
    pub(super) unicast_device: Option<u32>,
    mtu_discovery: i32,
    minimal_hop_count: u8,
    preferences: i32,
    fragment_bytes: i32,
    automatic_flow_label: bool,
    /// IPV6_PKTINFO: the link and the own address of what is sent.
    pub(super) sticky_info: (Option<u32>, Option<IpAddr>),
    /// Headers of what is sent: IPV6_HOPOPTS and its kin, by option.
    headers: BTreeMap<u32, Arc<Header>>,
    /// IPV6_CHECKSUM of a raw socket.
    pub(super) checksum_offset: Option<usize>,
    /// IPV6_HDRINCL of a raw socket.
    pub(super) writes_header: bool,
    protocol: u32,
    switches: u128,
}

/// Whether an option can be set or asked for, of a raw socket or another; MCAST_* included.
pub(super) fn is_option(option: u32, is_raw: bool) -> bool {
    let is_of_raw = is_raw && matches!(option, uapi::IPV6_CHECKSUM | uapi::IPV6_HDRINCL);
    is_of_raw
        || matches!(option, 1..=6 | 8 | 11 | 16..=21 | 22..=35 | 42..=51 | 53..=62 | 64..=68 | 70 | 72..=80)
}

/// A number of 0 to 255, where -1 stands for the usual one.
fn byte_or_usual(number: i32) -> Result<Option<u8>, Errno> {
    match u8::try_from(number) {
        Ok(byte) => Ok(Some(byte)),
        Err(_) if number == -1 => Ok(None),
        Err(_) => Err(Errno::EINVAL),
    }
}

impl Ipv6Options {
    pub(super) fn new(settings: &NetworkSettings, protocol: u32) -> Self {
        /// Where ICMPv6 has its checksum.
        const ICMPV6_CHECKSUM_OFFSET: usize = 2;
        Self {
            is_v6_only: settings.binds_ipv6_only(),
            hop_limit: None,
            default_hop_limit: settings.hop_limit(),
            multicast_hop_limit: None,
            traffic_class: None,
            multicast_device: None,
            unicast_device: None,
            mtu_discovery: 1,
            minimal_hop_count: 0,
            preferences: 0,
            fragment_bytes: 0,
            automatic_flow_label: true,
            sticky_info: (None, None),
            headers: BTreeMap::new(),
            checksum_offset: (protocol == ICMPV6).then_some(ICMPV6_CHECKSUM_OFFSET),
            writes_header: protocol == RAW,
            protocol,
            switches: 1 << uapi::IPV6_MULTICAST_LOOP | 1 << uapi::IPV6_MULTICAST_ALL,
        }
    }

    /// Whether an on/off option is on.
    pub(super) fn is_on(&self, option: u32) -> bool {
        SWITCHES.contains(&option) && self.switches >> option & 1 == 1
    }

    /// Whether a packet that is longer than the MTU is an error, and not cut into fragments.
    pub(super) fn forbids_fragments(&self) -> bool {
        (2..=4).contains(&self.mtu_discovery) || self.is_on(uapi::IPV6_DONTFRAG)
    }

    /// The value of `option`.
    pub(super) fn get(&self, option: u32) -> Result<Vec<u8>, Errno> {
        let number = match option {
            uapi::IPV6_V6ONLY => self.is_v6_only.into(),
            uapi::IPV6_UNICAST_HOPS => self.hop_limit.unwrap_or(self.default_hop_limit).into(),
            uapi::IPV6_MULTICAST_HOPS => self.multicast_hop_limit.unwrap_or(1).into(),
            uapi::IPV6_TCLASS => self.traffic_class.unwrap_or(0).into(),
            uapi::IPV6_MTU_DISCOVER => self.mtu_discovery,
            uapi::IPV6_AUTOFLOWLABEL => self.automatic_flow_label.into(),
            uapi::IPV6_MULTICAST_IF => self.multicast_device.unwrap_or(0).cast_signed(),
            uapi::IPV6_UNICAST_IF => self.unicast_device.unwrap_or(0).to_be().cast_signed(),
            uapi::IPV6_MINHOPCOUNT => self.minimal_hop_count.into(),
            uapi::IPV6_ADDR_PREFERENCES => self.told_preferences(),
            uapi::IPV6_MTU => return Err(Errno::ENOTCONN),
            uapi::IPV6_CHECKSUM => {
                self.checksum_offset.and_then(|offset| i32::try_from(offset).ok()).unwrap_or(-1)
            }
            uapi::IPV6_HDRINCL => self.writes_header.into(),
            option if HEADERS.contains(&option) => {
                return Ok(self.headers.get(&option).map(|header| header.bytes.clone()).unwrap_or_default());
            }
            option if SWITCHES.contains(&option) => self.is_on(option).into(),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    /// Sets `option` of a socket that has a port or has none; `administers` tells whether the caller may do what not everybody may.
    pub(super) fn set(
        &mut self,
        option: u32,
        value: &[u8],
        is_bound: bool,
        administers: impl Fn() -> bool,
    ) -> Result<(), Errno> {
        const MAX_MTU_DISCOVERY: i32 = 5;
        if HEADERS.contains(&option) {
            return self.set_header(option, value);
        }
        let is_missing = self.protocol == TCP && option == uapi::IPV6_MULTICAST_HOPS;
        if is_missing || self.get(option) == Err(Errno::ENOPROTOOPT) {
            return Err(Errno::ENOPROTOOPT);
        }
        let number = if LENIENT.contains(&option) { int(value).unwrap_or(0) } else { int(value)? };
        match option {
            uapi::IPV6_V6ONLY if is_bound => return Err(Errno::EINVAL),
            uapi::IPV6_V6ONLY => self.is_v6_only = number != 0,
            uapi::IPV6_UNICAST_HOPS => self.hop_limit = byte_or_usual(number)?,
            uapi::IPV6_MULTICAST_HOPS => self.multicast_hop_limit = byte_or_usual(number)?,
            uapi::IPV6_TCLASS => self.set_traffic_class(byte_or_usual(number)?),
            // Only one that receives nothing else hears of what routers look at.
            uapi::IPV6_ROUTER_ALERT if self.protocol != RAW => return Err(Errno::ENOPROTOOPT),
            uapi::IPV6_ROUTER_ALERT if self.is_on(option) == (number >= 0) => {
                return Err(if number < 0 { Errno::ENOBUFS } else { Errno::EADDRINUSE });
            }
            uapi::IPV6_ROUTER_ALERT => {
                self.switches = self.switches & !(1 << option) | u128::from(number >= 0) << option;
            }
            uapi::IPV6_MTU_DISCOVER if (0..=MAX_MTU_DISCOVERY).contains(&number) => {
                self.mtu_discovery = number;
            }
            uapi::IPV6_MTU_DISCOVER => return Err(Errno::EINVAL),
            uapi::IPV6_MTU if number == 0 || number >= MIN_MTU => self.fragment_bytes = number,
            uapi::IPV6_MTU => return Err(Errno::EINVAL),
            uapi::IPV6_MINHOPCOUNT => {
                self.minimal_hop_count = u8::try_from(number).map_err(|_| Errno::EINVAL)?;
            }
            uapi::IPV6_ADDR_PREFERENCES => self.prefer(number)?,
            uapi::IPV6_AUTOFLOWLABEL => self.automatic_flow_label = number != 0,
            uapi::IPV6_TRANSPARENT if number != 0 && !administers() => return Err(Errno::EPERM),
            option if STRICT.contains(&option) && !(0..=1).contains(&number) => return Err(Errno::EINVAL),
            option if SWITCHES.contains(&option) => {
                self.switches = self.switches & !(1 << option) | u128::from(number != 0) << option;
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// The two lower bits are not a connection's to set.
    fn set_traffic_class(&mut self, class: Option<u8>) {
        let kept = if self.protocol == TCP { ECN_MASK } else { 0 };
        let own = self.traffic_class.unwrap_or(0) & kept;
        self.traffic_class = class.map(|class| class & !kept | own);
    }

    /// A header of what is sent, or none.
    fn set_header(&mut self, option: u32, value: &[u8]) -> Result<(), Errno> {
        const MAX_HEADER_BYTES: usize = 255 * HEADER_UNIT_BYTES;
        /// The type of a routing header that names one more address (RFC 6275), and how long that is.
        const ROUTING_TYPE_2: [u8; 3] = [2, 2, 1];
        if value.is_empty() {
            self.headers.remove(&option);
            return Ok(());
        }
        let units = value.get(1).ok_or(Errno::EINVAL)?;
        let len_bytes = (usize::from(*units) + 1) * HEADER_UNIT_BYTES;
        let is_whole = value.len().is_multiple_of(HEADER_UNIT_BYTES) && value.len() <= MAX_HEADER_BYTES;
        let header = value.get(..len_bytes).filter(|_| is_whole).ok_or(Errno::EINVAL)?;
        if option == uapi::IPV6_RTHDR && header.get(1..4) != Some(&ROUTING_TYPE_2) {
            return Err(Errno::EINVAL);
        }
        let charge = HeapCharge::new(header.len())?;
        self.headers.insert(option, Arc::new(Header { bytes: header.to_vec(), _charge: charge }));
        Ok(())
    }

    /// IPV6_ADDR_PREFERENCES: of each choice at most one.
    fn prefer(&mut self, number: i32) -> Result<(), Errno> {
        let mut preferences = self.preferences;
        for choice in PREFERENCES {
            let mask = choice.iter().fold(0, |mask, bit| mask | bit);
            match number & mask {
                0 => {}
                chosen if chosen.count_ones() == 1 => preferences = preferences & !mask | chosen,
                _ => return Err(Errno::EINVAL),
            }
        }
        self.preferences = preferences;
        Ok(())
    }

    /// What is preferred: of the first two choices, the last where nothing was said.
    fn told_preferences(&self) -> i32 {
        let told = |[first, second, third]: [i32; 3]| match self.preferences & (first | second | third) {
            0 if third != 0 => third,
            0 => second,
            chosen => chosen,
        };
        let [temporary, home, _] = PREFERENCES;
        told(temporary) | told(home)
    }
}
