//! Joining and leaving, by the options of a socket.

use std::net::IpAddr;

use linux_raw_sys::net as uapi;

use super::decode::{decode_question, decode_v4, decode_v6, encode_filter};
use super::{FilterMode, Interface, Request};
use crate::Errno;
use crate::net::SocketKind;
use crate::net::inet::address::Version;
use crate::net::inet::bound::InetSocket;
use crate::net::route::RouteQuery;

impl InetSocket {
    /// Does what an option about groups asks for; `None` if it is none.
    ///
    /// # Errors
    /// EPROTO for the oldest options of a socket of connections, and those of the option.
    pub(in crate::net::inet) fn set_multicast(
        &self,
        level: u32,
        option: u32,
        value: &[u8],
    ) -> Option<Result<(), Errno>> {
        const OLDEST_V4: [u32; 2] = [uapi::IP_ADD_MEMBERSHIP, uapi::IP_DROP_MEMBERSHIP];
        const OLDEST_V6: [u32; 2] = [uapi::IPV6_ADD_MEMBERSHIP, uapi::IPV6_DROP_MEMBERSHIP];
        let (decoded, oldest) = match level {
            uapi::SOL_IP => (decode_v4(option, value), OLDEST_V4),
            _ => (decode_v6(option, value), OLDEST_V6),
        };
        let is_refused = self.common.kind() == SocketKind::Stream && oldest.contains(&option);
        match decoded {
            Ok(None) => None,
            // Before the value is looked at, if that is of IPv4.
            Err(_) if is_refused && level == uapi::SOL_IP => Some(Err(Errno::EPROTO)),
            Ok(_) if is_refused => Some(Err(Errno::EPROTO)),
            Ok(Some(request)) => Some(self.serve_multicast(request)),
            Err(error) => Some(Err(error)),
        }
    }

    /// The filter of a group, told in the structure that asks for it.
    ///
    /// # Errors
    /// As [`Socket::group_filter`](crate::net::Socket::group_filter).
    pub(in crate::net::inet) fn group_filter(
        &self,
        level: u32,
        option: u32,
        asked: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        let version = if level == uapi::SOL_IP { Version::V4 } else { Version::V6 };
        let (group, interface) = decode_question(version, option, asked)?;
        let device = self.group_device(group, interface)?;
        if !is_named_as_joined(group, interface) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let (mode, sources) = self.memberships.lock().filter(group, device)?;
        encode_filter(version, option, asked, (mode, &sources))
    }

    fn serve_multicast(&self, request: Request) -> Result<(), Errno> {
        match request {
            Request::Join(group, interface) => self.join(group, interface, FilterMode::Exclude),
            Request::Leave(group, interface) => self.leave(group, interface),
            Request::Source { group, interface, source, mode, adds } => {
                if mode == FilterMode::Include && adds {
                    match self.join(group, interface, mode) {
                        Ok(()) | Err(Errno::EADDRINUSE) => {}
                        Err(error) => return Err(error),
                    }
                }
                let device = self.group_device(group, interface)?;
                let leaves = self.memberships.lock().change_source((group, device), source, mode, adds)?;
                if leaves { self.leave(group, Interface::Index(device)) } else { Ok(()) }
            }
            Request::Filter { group, interface, mode: FilterMode::Include, sources }
                if sources.is_empty() =>
            {
                let device = self.group_device(group, interface)?;
                self.leave(group, Interface::Index(device))
            }
            Request::Filter { group, interface, mode, sources } => {
                let device = self.group_device(group, interface)?;
                if !is_named_as_joined(group, interface) {
                    return Err(Errno::EINVAL);
                }
                self.memberships.lock().set_filter((group, device), mode, sources)
            }
        }
    }

    /// Which link a group is on.
    ///
    /// # Errors
    /// EINVAL for what is no group, ENODEV.
    pub(in crate::net::inet) fn group_device(
        &self,
        group: IpAddr,
        interface: Interface,
    ) -> Result<u32, Errno> {
        if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        self.device_of(interface, group)
    }

    fn device_of(&self, interface: Interface, group: IpAddr) -> Result<u32, Errno> {
        let configuration = self.network().configuration();
        match interface {
            Interface::Index(index) => configuration.look(|all| all.link(index).map(|link| link.index)),
            Interface::Address(address) => self.device_with(address.into()).ok_or(Errno::ENODEV),
            Interface::Any => {
                let route = configuration.route(&RouteQuery::to(group));
                route.map(|route| route.device).map_err(|_| Errno::ENODEV)
            }
        }
    }

    /// The link with an own address.
    pub(in crate::net::inet) fn device_with(&self, address: IpAddr) -> Option<u32> {
        let configuration = self.network().configuration();
        let exact = configuration.look(|all| {
            let holds =
                |link: &&crate::net::device::Link| link.addresses.iter().any(|own| own.ip() == address);
            all.links().find(holds).map(|link| link.index)
        });
        let is_local =
            || configuration.address_kind(address) == netlink_packet_route::route::RouteType::Local;
        exact.or_else(|| is_local().then_some(crate::net::device::LOOPBACK_INDEX))
    }

    fn join(&self, group: IpAddr, interface: Interface, mode: FilterMode) -> Result<(), Errno> {
        let device = self.group_device(group, interface)?;
        self.memberships.lock().join(group, device, mode)?;
        self.sockets().groups().join(device, group);
        Ok(())
    }

    fn leave(&self, group: IpAddr, interface: Interface) -> Result<(), Errno> {
        if group.is_ipv6() && !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        let device = match interface {
            // Where it was joined, if no route leads there.
            Interface::Any if group.is_ipv4() => {
                self.device_of(interface, group)?;
                None
            }
            Interface::Any => None,
            Interface::Index(index) => Some(index),
            Interface::Address(address) => {
                Some(self.device_with(address.into()).ok_or(Errno::EADDRNOTAVAIL)?)
            }
        };
        let device = self.memberships.lock().leave(group, device)?;
        self.sockets().groups().leave(device, group);
        Ok(())
    }
}

/// Whether the link of a group of IPv6 is named as filters want it: no other name will do than the index.
fn is_named_as_joined(group: IpAddr, interface: Interface) -> bool {
    group.is_ipv4() || interface != Interface::Any
}

impl Drop for InetSocket {
    fn drop(&mut self) {
        let own = std::mem::take(self.memberships.get_mut());
        own.all().for_each(|(device, group)| self.sockets().groups().leave(device, group));
    }
}
