//! What a send asks for beside its bytes (`man 3 cmsg`; `man 7 ip`, `man 7 ipv6`, `man 7 udp`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use linux_raw_sys::net as uapi;
use netlink_packet_route::route::RouteType;
use zerocopy::FromBytes;

use super::bound::InetSocket;
use crate::Errno;
use crate::abi::{In6Pktinfo, InPktinfo};
use crate::cred::Capabilities;
use crate::fs::Caller;
use crate::net::ControlMessage;

/// UDP_SEGMENT: as many datagrams as it takes, of so many bytes each.
const UDP_SEGMENT: u32 = 103;

/// What a send asks for; what it does not is the socket's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SendControl {
    pub(super) source: Option<IpAddr>,
    pub(super) device: Option<u32>,
    pub(super) ttl: Option<u8>,
    pub(super) tos: Option<u8>,
    pub(super) mark: Option<u32>,
    pub(super) segment_bytes: Option<u16>,
}

fn number(data: &[u8]) -> Result<i32, Errno> {
    <[u8; 4]>::try_from(data).map(i32::from_ne_bytes).map_err(|_| Errno::EINVAL)
}

/// A number of 0 to 255, or -1 for the usual one.
fn byte_or_usual(data: &[u8]) -> Result<Option<u8>, Errno> {
    match number(data)? {
        -1 => Ok(None),
        number => u8::try_from(number).map(Some).map_err(|_| Errno::EINVAL),
    }
}

impl SendControl {
    /// What control messages ask for.
    ///
    /// # Errors
    /// EINVAL, EPERM.
    pub(super) fn decode(
        inet: &InetSocket,
        messages: &[ControlMessage],
        caller: &dyn Caller,
    ) -> Result<Self, Errno> {
        let mut asked = Self::default();
        for ControlMessage { level, kind, data } in messages {
            match *level {
                uapi::SOL_SOCKET => asked.add_socket_level(inet, *kind, data, caller)?,
                uapi::SOL_IP => asked.add_v4(inet, *kind, data)?,
                uapi::SOL_IPV6 if inet.is_ipv6() => asked.add_v6(inet, *kind, data, caller)?,
                uapi::SOL_UDP if *kind == UDP_SEGMENT => {
                    let bytes = <[u8; 2]>::try_from(&data[..]).map_err(|_| Errno::EINVAL)?;
                    asked.segment_bytes = Some(u16::from_ne_bytes(bytes));
                }
                uapi::SOL_UDP => return Err(Errno::EINVAL),
                // Of other levels they are for nobody.
                _ => {}
            }
        }
        Ok(asked)
    }

    fn add_socket_level(
        &mut self,
        inet: &InetSocket,
        kind: u32,
        data: &[u8],
        caller: &dyn Caller,
    ) -> Result<(), Errno> {
        match kind {
            uapi::SO_MARK => {
                let credentials = caller.credentials();
                let may_mark = [Capabilities::NET_ADMIN, Capabilities::NET_RAW]
                    .into_iter()
                    .any(|any| credentials.has_over_namespace(&**inet.network(), any));
                if !may_mark {
                    return Err(Errno::EPERM);
                }
                self.mark = Some(number(data)?.cast_unsigned());
            }
            uapi::SO_TIMESTAMPING_OLD | uapi::SO_TIMESTAMPING_NEW => drop(number(data)?),
            // When it is to leave: what goes to oneself leaves at once.
            uapi::SO_TXTIME
                if data.len() == size_of::<u64>() && inet.common.options().send_time != (0, 0) => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn add_v4(&mut self, inet: &InetSocket, kind: u32, data: &[u8]) -> Result<(), Errno> {
        match kind {
            uapi::IP_PKTINFO => {
                let info = InPktinfo::read_from_bytes(data).map_err(|_| Errno::EINVAL)?;
                let source = Ipv4Addr::from(info.ipi_spec_dst);
                self.device =
                    u32::try_from(info.ipi_ifindex).ok().filter(|index| *index != 0).or(self.device);
                self.source = Some(source.into()).filter(|source: &IpAddr| !source.is_unspecified());
            }
            uapi::IP_TTL => {
                let ttl = u8::try_from(number(data)?).map_err(|_| Errno::EINVAL)?;
                self.ttl = Some(Some(ttl).filter(|ttl| *ttl > 0).ok_or(Errno::EINVAL)?);
            }
            uapi::IP_TOS => {
                let tos = if let [byte] = data { i32::from(*byte) } else { number(data)? };
                self.tos = Some(u8::try_from(tos).map_err(|_| Errno::EINVAL)?);
            }
            // Options of the header are for routers.
            uapi::IP_RETOPTS if data.len() <= super::ip::MAX_OPTION_BYTES => {}
            uapi::IP_PROTOCOL if (1..=255).contains(&number(data)?) && inet.is_raw() => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn add_v6(
        &mut self,
        inet: &InetSocket,
        kind: u32,
        data: &[u8],
        caller: &dyn Caller,
    ) -> Result<(), Errno> {
        match kind {
            uapi::IPV6_PKTINFO | uapi::IPV6_2292PKTINFO => {
                let (info, _) = In6Pktinfo::read_from_prefix(data).map_err(|_| Errno::EINVAL)?;
                self.add_info_v6(inet, &info)?;
            }
            uapi::IPV6_HOPLIMIT | uapi::IPV6_2292HOPLIMIT => self.ttl = byte_or_usual(data)?.or(self.ttl),
            uapi::IPV6_TCLASS => self.tos = byte_or_usual(data)?.or(self.tos),
            uapi::IPV6_DONTFRAG if (0..=1).contains(&number(data)?) => {}
            uapi::IPV6_FLOWINFO if data.len() >= 4 => {}
            // Headers for routers; those that every router looks at are for who may do anything.
            uapi::IPV6_RTHDR | uapi::IPV6_2292RTHDR if data.len() >= 8 => {}
            uapi::IPV6_HOPOPTS
            | uapi::IPV6_2292HOPOPTS
            | uapi::IPV6_DSTOPTS
            | uapi::IPV6_2292DSTOPTS
            | uapi::IPV6_RTHDRDSTOPTS
                if data.len() >= 2 =>
            {
                let len_bytes = data.get(1).map_or(0, |units| (usize::from(*units) + 1) * 8);
                if data.len() < len_bytes {
                    return Err(Errno::EINVAL);
                }
                if !caller.credentials().has_over_namespace(&**inet.network(), Capabilities::NET_RAW) {
                    return Err(Errno::EPERM);
                }
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    fn add_info_v6(&mut self, inet: &InetSocket, info: &In6Pktinfo) -> Result<(), Errno> {
        let address = Ipv6Addr::from(info.ipi6_addr);
        let source = address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4);
        if info.ipi6_ifindex != 0 {
            let bound = inet.common.options().bound_device;
            if bound.is_some_and(|bound| bound != info.ipi6_ifindex) {
                return Err(Errno::EINVAL);
            }
            inet.network().configuration().look(|all| all.link(info.ipi6_ifindex).map(drop))?;
            self.device = Some(info.ipi6_ifindex);
        }
        if !source.is_unspecified() {
            if inet.network().configuration().address_kind(source) != RouteType::Local {
                return Err(Errno::EINVAL);
            }
            self.source = Some(source);
        }
        Ok(())
    }
}
