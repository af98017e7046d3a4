//! Options of IPv4 (`man 7 ip`).

use linux_raw_sys::net as uapi;

use crate::Errno;
use crate::network_settings::NetworkSettings;

/// The bits of IP_TOS that a TCP connection's congestion notification has.
const ECN_MASK: u8 = 3;
/// The largest IP_MTU_DISCOVER (IP_PMTUDISC_OMIT).
const MAX_MTU_DISCOVERY: i32 = 5;

/// Options that are on or off.
const SWITCHES: [u32; 12] = [
    uapi::IP_PKTINFO,
    uapi::IP_RECVTTL,
    uapi::IP_RECVTOS,
    uapi::IP_RECVOPTS,
    uapi::IP_RETOPTS,
    uapi::IP_RECVERR,
    uapi::IP_FREEBIND,
    uapi::IP_TRANSPARENT,
    uapi::IP_RECVORIGDSTADDR,
    uapi::IP_MULTICAST_LOOP,
    uapi::IP_MULTICAST_ALL,
    uapi::IP_BIND_ADDRESS_NO_PORT,
];

/// The IPv4 options of a socket.
#[derive(Clone, Debug)]
pub(super) struct IpOptions {
    /// IP_TOS.
    pub(super) tos: u8,
    /// IP_TTL, unless it is the namespace's.
    pub(super) ttl: Option<u8>,
    default_ttl: u8,
    /// IP_MULTICAST_TTL.
    pub(super) multicast_ttl: u8,
    mtu_discovery: i32,
    minimal_ttl: u8,
    switches: u64,
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
    pub(super) fn new(settings: &NetworkSettings) -> Self {
        let mut options = Self {
            tos: 0,
            ttl: None,
            default_ttl: settings.default_ttl(),
            multicast_ttl: 1,
            mtu_discovery: 1,
            minimal_ttl: 0,
            switches: 0,
        };
        for option in [uapi::IP_MULTICAST_LOOP, uapi::IP_MULTICAST_ALL] {
            options.switches |= 1 << option;
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

    /// The value of `option`: one byte, if there is no room for more and it fits.
    pub(super) fn get(&self, option: u32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
        let number = match option {
            uapi::IP_TOS => self.tos.into(),
            uapi::IP_TTL => self.ttl.unwrap_or(self.default_ttl).into(),
            uapi::IP_MULTICAST_TTL => self.multicast_ttl.into(),
            uapi::IP_MTU_DISCOVER => self.mtu_discovery,
            uapi::IP_MINTTL => self.minimal_ttl.into(),
            uapi::IP_OPTIONS => return Ok(Vec::new()),
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
        administers: impl FnOnce() -> bool,
    ) -> Result<(), Errno> {
        let number = number(value);
        match option {
            uapi::IP_TOS => self.set_tos(number),
            uapi::IP_TTL => self.ttl = within(number, 1)?,
            uapi::IP_MULTICAST_TTL => self.multicast_ttl = within(number, 0)?.unwrap_or(1),
            uapi::IP_MTU_DISCOVER if (0..=MAX_MTU_DISCOVERY).contains(&number) => self.mtu_discovery = number,
            uapi::IP_MTU_DISCOVER => return Err(Errno::EINVAL),
            uapi::IP_MINTTL => self.minimal_ttl = u8::try_from(number).map_err(|_| Errno::EINVAL)?,
            uapi::IP_OPTIONS if value.is_empty() => {}
            uapi::IP_TRANSPARENT if number != 0 && !administers() => return Err(Errno::EPERM),
            option if SWITCHES.contains(&option) => {
                self.switches = self.switches & !(1 << option) | u64::from(number != 0) << option;
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    /// The two lower bits are not a socket's to set.
    fn set_tos(&mut self, number: i32) {
        let byte = number.to_le_bytes()[0];
        self.tos = byte & !ECN_MASK | self.tos & ECN_MASK;
    }
}

#[cfg(test)]
mod tests;
