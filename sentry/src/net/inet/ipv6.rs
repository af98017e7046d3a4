//! Options of IPv6 (`man 7 ipv6`).

use linux_raw_sys::net as uapi;

use crate::Errno;
use crate::net::level::int;
use crate::network_settings::NetworkSettings;

/// Options that are on or off.
const SWITCHES: [u32; 23] = [
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
];
/// Those that are 0 or 1, and nothing else.
const STRICT: [u32; 3] = [uapi::IPV6_MULTICAST_LOOP, uapi::IPV6_MULTICAST_ALL, uapi::IPV6_RECVERR_RFC4884];
/// Which of the own addresses is preferred (IPV6_ADDR_PREFERENCES): three choices, of which each is made once.
const PREFERENCES: [[i32; 3]; 3] = [[0x1, 0x2, 0x100], [0x4, 0x400, 0], [0x8, 0x800, 0]];
/// The least IPV6_MTU.
const MIN_MTU: i32 = 1280;

/// The IPv6 options of a socket.
#[derive(Clone, Debug)]
pub(super) struct Ipv6Options {
    /// IPV6_V6ONLY.
    pub(super) is_v6_only: bool,
    /// IPV6_UNICAST_HOPS, unless it is the usual one.
    pub(super) hop_limit: Option<u8>,
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
    pub(super) fn new(settings: &NetworkSettings) -> Self {
        Self {
            is_v6_only: settings.binds_ipv6_only(),
            hop_limit: None,
            multicast_hop_limit: None,
            traffic_class: None,
            multicast_device: None,
            unicast_device: None,
            mtu_discovery: 1,
            minimal_hop_count: 0,
            preferences: 0,
            fragment_bytes: 0,
            automatic_flow_label: true,
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
        const USUAL_HOP_LIMIT: u8 = 64;
        let number = match option {
            uapi::IPV6_V6ONLY => self.is_v6_only.into(),
            uapi::IPV6_UNICAST_HOPS => self.hop_limit.unwrap_or(USUAL_HOP_LIMIT).into(),
            uapi::IPV6_MULTICAST_HOPS => self.multicast_hop_limit.unwrap_or(1).into(),
            uapi::IPV6_TCLASS => self.traffic_class.unwrap_or(0).into(),
            uapi::IPV6_MTU_DISCOVER => self.mtu_discovery,
            uapi::IPV6_AUTOFLOWLABEL => self.automatic_flow_label.into(),
            uapi::IPV6_MULTICAST_IF => self.multicast_device.unwrap_or(0).cast_signed(),
            uapi::IPV6_UNICAST_IF => self.unicast_device.unwrap_or(0).to_be().cast_signed(),
            uapi::IPV6_MINHOPCOUNT => self.minimal_hop_count.into(),
            uapi::IPV6_ADDR_PREFERENCES => self.told_preferences(),
            uapi::IPV6_MTU => return Err(Errno::ENOTCONN),
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
        (is_bound, is_stream): (bool, bool),
        administers: impl Fn() -> bool,
    ) -> Result<(), Errno> {
        const MAX_MTU_DISCOVERY: i32 = 5;
        let number = int(value)?;
        match option {
            uapi::IPV6_V6ONLY if is_bound => return Err(Errno::EINVAL),
            uapi::IPV6_V6ONLY => self.is_v6_only = number != 0,
            uapi::IPV6_UNICAST_HOPS => self.hop_limit = byte_or_usual(number)?,
            uapi::IPV6_MULTICAST_HOPS if is_stream => return Err(Errno::ENOPROTOOPT),
            uapi::IPV6_MULTICAST_HOPS => self.multicast_hop_limit = byte_or_usual(number)?,
            uapi::IPV6_TCLASS => self.traffic_class = byte_or_usual(number)?,
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
