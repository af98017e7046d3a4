//! Options of IPv6 (`man 7 ipv6`).

use linux_raw_sys::net as uapi;

use crate::Errno;
use crate::net::level::int;
use crate::network_settings::NetworkSettings;

/// Options that are on or off.
const SWITCHES: [u32; 12] = [
    uapi::IPV6_RECVPKTINFO,
    uapi::IPV6_RECVHOPLIMIT,
    uapi::IPV6_RECVTCLASS,
    uapi::IPV6_RECVRTHDR,
    uapi::IPV6_RECVHOPOPTS,
    uapi::IPV6_RECVDSTOPTS,
    uapi::IPV6_RECVERR,
    uapi::IPV6_MULTICAST_LOOP,
    uapi::IPV6_MULTICAST_ALL,
    uapi::IPV6_FREEBIND,
    uapi::IPV6_DONTFRAG,
    uapi::IPV6_RECVPATHMTU,
];

/// The IPv6 options of a socket.
#[derive(Clone, Debug)]
pub(super) struct Ipv6Options {
    /// IPV6_V6ONLY.
    pub(super) is_v6_only: bool,
    hop_limit: Option<u8>,
    multicast_hop_limit: Option<u8>,
    traffic_class: Option<u8>,
    mtu_discovery: i32,
    automatic_flow_label: bool,
    switches: u128,
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
            mtu_discovery: 1,
            automatic_flow_label: true,
            switches: 1 << uapi::IPV6_MULTICAST_LOOP | 1 << uapi::IPV6_MULTICAST_ALL,
        }
    }

    /// Whether an on/off option is on.
    pub(super) fn is_on(&self, option: u32) -> bool {
        SWITCHES.contains(&option) && self.switches >> option & 1 == 1
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
            uapi::IPV6_MTU => return Err(Errno::ENOTCONN),
            option if SWITCHES.contains(&option) => self.is_on(option).into(),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    /// Sets `option` of a socket that has a port or has none.
    pub(super) fn set(&mut self, option: u32, value: &[u8], is_bound: bool) -> Result<(), Errno> {
        const MAX_MTU_DISCOVERY: i32 = 5;
        let number = int(value)?;
        match option {
            uapi::IPV6_V6ONLY if is_bound => return Err(Errno::EINVAL),
            uapi::IPV6_V6ONLY => self.is_v6_only = number != 0,
            uapi::IPV6_UNICAST_HOPS => self.hop_limit = byte_or_usual(number)?,
            uapi::IPV6_MULTICAST_HOPS => self.multicast_hop_limit = byte_or_usual(number)?,
            uapi::IPV6_TCLASS => self.traffic_class = byte_or_usual(number)?,
            uapi::IPV6_MTU_DISCOVER if (0..=MAX_MTU_DISCOVERY).contains(&number) => {
                self.mtu_discovery = number;
            }
            uapi::IPV6_MTU_DISCOVER => return Err(Errno::EINVAL),
            uapi::IPV6_AUTOFLOWLABEL => self.automatic_flow_label = number != 0,
            option if SWITCHES.contains(&option) => {
                self.switches = self.switches & !(1 << option) | u128::from(number != 0) << option;
            }
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }
}
