//! Options of IPv4 (`man 7 ip`).

use std::net::Ipv4Addr;

use linux_raw_sys::net as uapi;

use super::RAW;
use super::address::Version;
use crate::Errno;
use crate::net::SocketKind;
use crate::network_settings::NetworkSettings;

/// The bits of IP_TOS that a TCP connection's congestion notification has.
const ECN_MASK: u8 = 3;
/// The largest IP_MTU_DISCOVER (IP_PMTUDISC_OMIT).
const MAX_MTU_DISCOVERY: i32 = 5;
/// The most bytes that the options of a header have (`MAX_IPOPTLEN`).
pub(super) const MAX_OPTION_BYTES: usize = 40;

/// Options that are on or off.
const SWITCHES: [u32; 17] = [
    uapi::IP_PKTINFO,
    uapi::IP_RECVTTL,
    uapi::IP_RECVTOS,
    uapi::IP_RECVOPTS,
    uapi::IP_RETOPTS,
    uapi::IP_RECVERR,
    uapi::IP_RECVERR_RFC4884,
    uapi::IP_FREEBIND,
    uapi::IP_TRANSPARENT,
    uapi::IP_RECVORIGDSTADDR,
    uapi::IP_MULTICAST_LOOP,
    uapi::IP_MULTICAST_ALL,
    uapi::IP_BIND_ADDRESS_NO_PORT,
    uapi::IP_PASSSEC,
    uapi::IP_CHECKSUM,
    uapi::IP_RECVFRAGSIZE,
    uapi::IP_NODEFRAG,
];

/// The IPv4 options of a socket.
#[derive(Clone, Debug)]
pub(super) struct IpOptions {
    kind: SocketKind,
    /// IP_TOS.
    pub(super) tos: u8,
    /// IP_TTL, unless it is the namespace's.
    pub(super) ttl: Option<u8>,
    default_ttl: u8,
    /// IP_MULTICAST_TTL.
    pub(super) multicast_ttl: u8,
    /// IP_MULTICAST_IF: a link, and the own address that it was named by.
    pub(super) multicast_device: Option<u32>,
    pub(super) multicast_source: Option<Ipv4Addr>,
    /// IP_UNICAST_IF.
    pub(super) unicast_device: Option<u32>,
    mtu_discovery: i32,
    minimal_ttl: u8,
    /// IP_LOCAL_PORT_RANGE: the upper bound in the upper half.
    local_ports: u32,
    /// IP_OPTIONS.
    header_options: Vec<u8>,
    /// IP_HDRINCL: who sends writes the header as well.
    pub(super) writes_header: bool,
    switches: u64,
}

/// Whether an option has a meaning to anybody, MCAST_* included.
pub(super) fn is_option(option: u32) -> bool {
    matches!(option, 1..=8 | 10..=13 | 15..=26 | 32..=51 | 64..=65)
}

/// The number that an option of one byte or of an `int` is.
fn number(value: &[u8]) -> i32 {
    match value {
        [] => 0,
        &[a, b, c, d, ..] => i32::from_ne_bytes([a, b, c, d]),
        [byte, ..] => i32::from(*byte),
    }
}

/// A number that has to lie in a range, where -1 stands for the usual one.
fn within(number: i32, least: u8) -> Result<Option<u8>, Errno> {
    match u8::try_from(number) {
        Ok(number) if number >= least => Ok(Some(number)),
        _ if number == -1 => Ok(None),
        _ => Err(Errno::EINVAL),
    }
}

impl IpOptions {
    pub(super) fn new(
        settings: &NetworkSettings,
        kind: SocketKind,
        (version, protocol): (Version, u32),
    ) -> Self {
        let mut options = Self {
            kind,
            tos: 0,
            ttl: None,
            default_ttl: settings.default_ttl(),
            multicast_ttl: 1,
            multicast_device: None,
            multicast_source: None,
            unicast_device: None,
            mtu_discovery: 1,
            minimal_ttl: 0,
            local_ports: 0,
            header_options: Vec::new(),
            writes_header: protocol == RAW,
            switches: 0,
        };
        options.switches |= 1 << uapi::IP_MULTICAST_LOOP;
        // One of IPv6 hears only those groups of IPv4 that it has joined.
        if version == Version::V4 {
            options.switches |= 1 << uapi::IP_MULTICAST_ALL;
        }
        options
    }

    /// Whether an on/off option is on.
    pub(super) fn is_on(&self, option: u32) -> bool {
        SWITCHES.contains(&option) && self.switches >> option & 1 == 1
    }

    /// Whether it may bind to addresses that are not the own ones.
    pub(super) fn may_be_foreign(&self) -> bool {
        self.is_on(uapi::IP_FREEBIND) || self.is_on(uapi::IP_TRANSPARENT)
    }

    /// Whether a packet that is longer than the MTU is an error, and not cut into fragments.
    pub(super) fn forbids_fragments(&self) -> bool {
        /// IP_PMTUDISC_DO, IP_PMTUDISC_PROBE and IP_PMTUDISC_INTERFACE.
        const FORBIDDING: std::ops::RangeInclusive<i32> = 2..=4;
        FORBIDDING.contains(&self.mtu_discovery)
    }

    /// IP_LOCAL_PORT_RANGE: the bounds, of which 0 is that of the namespace.
    pub(super) fn local_ports(&self) -> [u16; 2] {
        let [a, b, c, d] = self.local_ports.to_ne_bytes();
        [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])]
    }

    /// Whether it hears of packets that routers are to look at (IP_ROUTER_ALERT).
    fn is_router_alerted(&self) -> bool {
        self.switches >> uapi::IP_ROUTER_ALERT & 1 == 1
    }

    /// The value of `option` of a socket with this port: one byte, if there is no room for more and it fits.
    pub(super) fn get(&self, option: u32, port: u16, room_bytes: usize) -> Result<Vec<u8>, Errno> {
        let number = match option {
            uapi::IP_TOS => self.tos.into(),
            uapi::IP_TTL => self.ttl.unwrap_or(self.default_ttl).into(),
            uapi::IP_MULTICAST_TTL => self.multicast_ttl.into(),
            uapi::IP_MULTICAST_IF => {
                return Ok(self.multicast_source.unwrap_or(Ipv4Addr::UNSPECIFIED).octets().to_vec());
            }
            uapi::IP_UNICAST_IF => self.unicast_device.unwrap_or(0).to_be().cast_signed(),
            uapi::IP_MTU_DISCOVER => self.mtu_discovery,
            uapi::IP_MINTTL => self.minimal_ttl.into(),
            uapi::IP_LOCAL_PORT_RANGE => self.local_ports.cast_signed(),
            // Only for a raw socket is that its protocol.
            uapi::IP_PROTOCOL => port.into(),
            uapi::IP_OPTIONS => return Ok(self.header_options.clone()),
            uapi::IP_HDRINCL if self.kind == SocketKind::Raw => self.writes_header.into(),
            uapi::IP_NODEFRAG | uapi::IP_HDRINCL if self.kind != SocketKind::Raw => 0,
            uapi::IP_ROUTER_ALERT => self.is_router_alerted().into(),
            uapi::IP_PKTOPTIONS if self.kind == SocketKind::Stream => return Ok(Vec::new()),
            uapi::IP_MTU => return Err(Errno::ENOTCONN),
            option if SWITCHES.contains(&option) => self.is_on(option).into(),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        match u8::try_from(number) {
            Ok(byte) if (1..size_of::<i32>()).contains(&room_bytes) => Ok(vec![byte]),
            _ => Ok(number.to_ne_bytes().to_vec()),
        }
    }

    /// Sets `option`; `administers` tells whether the caller may do what not everybody may.
    pub(super) fn set(
        &mut self,
        option: u32,
        value: &[u8],
        administers: impl Fn() -> bool,
    ) -> Result<(), Errno> {
        let number = number(value);
        self.check(option, value, number)?;
        match option {
            uapi::IP_TOS => self.set_tos(number),
            uapi::IP_TTL => self.ttl = within(number, 1)?,
            uapi::IP_MULTICAST_TTL => self.multicast_ttl = within(number, 0)?.unwrap_or(1),
            uapi::IP_MTU_DISCOVER if (0..=MAX_MTU_DISCOVERY).contains(&number) => self.mtu_discovery = number,
            uapi::IP_MTU_DISCOVER => return Err(Errno::EINVAL),
            uapi::IP_MINTTL => self.minimal_ttl = u8::try_from(number).map_err(|_| Errno::EINVAL)?,
            uapi::IP_OPTIONS => self.header_options = checked_options(value)?,
            uapi::IP_HDRINCL => self.writes_header = number != 0,
            uapi::IP_LOCAL_PORT_RANGE => self.set_local_ports(value, number)?,
            uapi::IP_TRANSPARENT if number != 0 && !administers() => return Err(Errno::EPERM),
            uapi::IP_ROUTER_ALERT if self.kind != SocketKind::Raw => return Err(Errno::EINVAL),
            // Who hears of what routers look at is entered once, and taken out once.
            uapi::IP_ROUTER_ALERT if self.is_router_alerted() == (number != 0) => {
                return Err(if number == 0 { Errno::ENOBUFS } else { Errno::EADDRINUSE });
            }
            uapi::IP_ROUTER_ALERT => {
                let others = self.switches & !(1 << uapi::IP_ROUTER_ALERT);
                self.switches = others | u64::from(number != 0) << uapi::IP_ROUTER_ALERT;
            }
            // No security policies.
            uapi::IP_IPSEC_POLICY | uapi::IP_XFRM_POLICY if !administers() => return Err(Errno::EPERM),
            option if SWITCHES.contains(&option) => {
                self.switches = self.switches & !(1 << option) | u64::from(number != 0) << option;
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// Fails for what is no value of `option`, or for an option that a socket of this kind has not.
    fn check(&self, option: u32, value: &[u8], number: i32) -> Result<(), Errno> {
        let is_stream = self.kind == SocketKind::Stream;
        match option {
            uapi::IP_HDRINCL | uapi::IP_NODEFRAG if self.kind != SocketKind::Raw => Err(Errno::ENOPROTOOPT),
            uapi::IP_MULTICAST_TTL | uapi::IP_RECVFRAGSIZE if is_stream => Err(Errno::EINVAL),
            uapi::IP_TTL
            | uapi::IP_MULTICAST_TTL
            | uapi::IP_MULTICAST_LOOP
            | uapi::IP_MULTICAST_ALL
            | uapi::IP_FREEBIND
            | uapi::IP_TRANSPARENT
            | uapi::IP_MINTTL
                if value.is_empty() =>
            {
                Err(Errno::EINVAL)
            }
            uapi::IP_MULTICAST_ALL | uapi::IP_RECVERR_RFC4884 if !(0..=1).contains(&number) => {
                Err(Errno::EINVAL)
            }
            _ => Ok(()),
        }
    }

    /// The two lower bits are not a connection's to set.
    fn set_tos(&mut self, number: i32) {
        let byte = number.to_le_bytes()[0];
        let kept = if self.kind == SocketKind::Stream { ECN_MASK } else { 0 };
        self.tos = byte & !kept | self.tos & kept;
    }

    fn set_local_ports(&mut self, value: &[u8], number: i32) -> Result<(), Errno> {
        if value.len() != size_of::<u32>() {
            return Err(Errno::EINVAL);
        }
        let asked = Self { local_ports: number.cast_unsigned(), ..self.clone() };
        let [least, most] = asked.local_ports();
        if least != 0 && most != 0 && least > most {
            return Err(Errno::EINVAL);
        }
        self.local_ports = asked.local_ports;
        Ok(())
    }
}

/// The priority that goes with a type of service (`man 7 ip`, IP_TOS): bulk, interactive, both or neither.
pub(super) fn priority_of(tos: u8) -> u32 {
    match tos >> 3 & 3 {
        0 => 0,
        1 => 2,
        2 => 6,
        _ => 4,
    }
}

/// Options of a header, padded to words.
///
/// # Errors
/// EINVAL for what is none.
fn checked_options(value: &[u8]) -> Result<Vec<u8>, Errno> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    if value.len() > MAX_OPTION_BYTES {
        return Err(Errno::EINVAL);
    }
    let mut options = value.to_vec();
    options.resize(value.len().next_multiple_of(4), END);
    let mut place = 0;
    while let Some(kind) = options.get(place).copied() {
        place += match (kind, options.get(place + 1)) {
            (END, _) => {
                options.iter_mut().skip(place).for_each(|byte| *byte = END);
                break;
            }
            (NOTHING, _) => 1,
            (_, Some(len)) if *len >= 2 && place + usize::from(*len) <= options.len() => usize::from(*len),
            _ => return Err(Errno::EINVAL),
        };
    }
    Ok(options)
}

#[cfg(test)]
mod tests;
