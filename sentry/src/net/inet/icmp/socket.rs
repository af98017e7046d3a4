//! A raw socket or an echo socket, as system calls know it.

use linux_raw_sys::net::SOL_RAW;
use std::net::SocketAddr;
use std::sync::Arc;

use linux_raw_sys::net as uapi;
use zerocopy::IntoBytes;

use super::deliver::MAX_BYTES;
use super::packet::Filter;
use super::{ICMP, ICMPV6, IcmpSocket, State};
use crate::Errno;
use crate::fs::Caller;
use crate::net::inet::control::SendControl;
use crate::net::level::int;
use crate::net::{
    ControlMessage, Destination, NetworkNamespace, Outgoing, Received, Receiving, Shutdown, Socket,
    SocketAddress, SocketCaller, SocketCommon,
};
use crate::wait::{Events, WaitQueue};

/// ICMP_FILTER and ICMPV6_FILTER.
const FILTER: u32 = 1;
/// IPV6_CHECKSUM, at the levels of raw sockets: ICMPv6 has no choice, and the kernel writes it.
const CHECKSUM: u32 = 7;

impl Socket for IcmpSocket {
    fn common(&self) -> &SocketCommon {
        &self.inet.common
    }

    fn network(&self) -> Option<&Arc<NetworkNamespace>> {
        Some(self.inet.network())
    }

    fn bind(&self, address: &SocketAddress, caller: &dyn SocketCaller) -> Result<(), Errno> {
        if self.is_raw() && self.state.lock().remote.is_some() {
            return Err(Errno::EINVAL);
        }
        let address = match self.is_raw() && !self.inet.is_ipv6() {
            true => self.inet.check_raw_bind(address)?,
            false => self.inet.check_bind(address, caller)?,
        };
        self.bind_to(address)?;
        self.inet.note_bound(address);
        Ok(())
    }

    fn connect(
        &self,
        destination: &Destination,
        _waits: bool,
        _caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        let mut remote = self.inet.decode_datagram_destination(&destination.address)?;
        self.inet.check_scope(remote)?;
        let mut state = self.state.lock();
        let route = self.inet.route(remote, state.own)?;
        self.identify(&mut state, 0)?;
        remote.set_ip(route.destination);
        (state.own, state.remote) = (Some(route.source), Some(remote));
        Ok(())
    }

    fn disconnect(&self) -> Result<(), Errno> {
        let mut state = self.state.lock();
        (state.own, state.remote) = (None, None);
        Ok(())
    }

    fn check_send(&self, len_bytes: usize, _has_destination: bool) -> Result<(), Errno> {
        if len_bytes > MAX_BYTES { Err(Errno::EMSGSIZE) } else { Ok(()) }
    }

    fn name(&self) -> Result<SocketAddress, Errno> {
        let state = self.state.lock();
        let own = state.own.unwrap_or_else(|| self.inet.unbound().ip());
        Ok(self.inet.encode(SocketAddr::new(own, self.number(&state))))
    }

    fn peer_name(&self) -> Result<SocketAddress, Errno> {
        // Without a port it is as good as none.
        let remote = self.state.lock().remote.filter(|remote| remote.port() != 0);
        Ok(self.inet.encode(remote.ok_or(Errno::ENOTCONN)?))
    }

    fn shut_down(&self, halves: Shutdown) -> Result<(), Errno> {
        self.arrived.shut_down(halves);
        self.state.lock().remote.map(drop).ok_or(Errno::ENOTCONN)
    }

    fn check_destination(
        &self,
        address: Option<SocketAddress>,
        is_urgent: bool,
    ) -> Result<Option<SocketAddress>, Errno> {
        if is_urgent {
            return Err(Errno::EOPNOTSUPP);
        }
        address.map(|address| self.inet.decode_datagram_destination(&address)).transpose()?;
        Ok(address)
    }

    /// Looked at when it is sent.
    fn check_control(&self, _message: &ControlMessage) -> Result<(), Errno> {
        Ok(())
    }

    fn send(
        &self,
        outgoing: Outgoing<'_>,
        destination: Option<&Destination>,
        caller: &dyn SocketCaller,
    ) -> Result<usize, Errno> {
        let decode = |destination: &Destination| self.inet.decode_datagram_destination(&destination.address);
        let control = SendControl::decode(&self.inet, outgoing.control, caller)?;
        self.send_packet(outgoing.bytes, destination.map(decode).transpose()?, &control)
    }

    fn receive(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        // Of the protocol 255 nothing ever arrives.
        if how.is_urgent {
            return Err(Errno::EOPNOTSUPP);
        }
        self.arrived.receive(&self.inet, max_bytes, how, take)
    }

    fn check_option(&self, level: u32, option: u32, is_set: bool) -> Result<(), Errno> {
        match (level, self.inet.is_ipv6()) {
            (SOL_RAW, true) if self.is_raw() => Ok(()),
            (SOL_RAW, false) | (uapi::SOL_ICMPV6, true) if self.is_raw() => match self.filter_bytes() {
                Some(_) if option == FILTER => Ok(()),
                None if option == FILTER || self.inet.is_ipv6() => Err(Errno::EOPNOTSUPP),
                _ => Err(Errno::ENOPROTOOPT),
            },
            _ => self.inet.check_option(level, option, (is_set, false)),
        }
    }

    fn option(&self, level: u32, option: u32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
        match (level, option, self.filter_bytes()) {
            (SOL_RAW, CHECKSUM | uapi::IPV6_HDRINCL, _) if self.inet.is_ipv6() => {
                self.inet.option(uapi::SOL_IPV6, option, 0, room_bytes)
            }
            (SOL_RAW, FILTER, _) if self.inet.is_ipv6() => Err(Errno::ENOPROTOOPT),
            (SOL_RAW | uapi::SOL_ICMPV6, FILTER, Some(len_bytes)) => {
                let filter = self.state.lock().filter;
                Ok(filter.0.as_bytes().get(..len_bytes).unwrap_or_default().to_vec())
            }
            _ => {
                let (remote, number) = {
                    let state = self.state.lock();
                    (state.remote, self.number(&state))
                };
                let of_peer = self.inet.peer_option((level, option), remote, room_bytes);
                of_peer.unwrap_or_else(|| self.inet.option(level, option, number, room_bytes))
            }
        }
    }

    fn group_filter(&self, level: u32, option: u32, asked: &[u8]) -> Result<Vec<u8>, Errno> {
        self.inet.group_filter(level, option, asked)
    }

    fn set_option(
        &self,
        level: u32,
        option: u32,
        value: &[u8],
        caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        match (level, option, self.filter_bytes()) {
            (SOL_RAW, FILTER, _) if self.inet.is_ipv6() => int(value).and(Err(Errno::ENOPROTOOPT)),
            (SOL_RAW | uapi::SOL_ICMPV6, FILTER, Some(len_bytes)) => self.set_filter(value, len_bytes),
            (uapi::SOL_IPV6, CHECKSUM, _) if self.inet.common.protocol() == ICMPV6 => Err(Errno::EINVAL),
            (SOL_RAW, _, _) if self.inet.is_ipv6() => match (int(value)?, option) {
                (number, CHECKSUM | uapi::IPV6_HDRINCL) => self.inet.set_raw_option(option, number),
                _ => Err(Errno::ENOPROTOOPT),
            },
            (uapi::SOL_IPV6, CHECKSUM | uapi::IPV6_HDRINCL, _) if self.is_raw() && self.inet.is_ipv6() => {
                self.inet.set_raw_option(option, int(value)?)
            }
            // A raw socket has its number from the beginning.
            _ => self.inet.set_option(level, option, value, (self.is_raw(), caller)),
        }
    }

    fn has_option(&self, option: u32) -> bool {
        option == uapi::SO_REUSEPORT
    }

    fn take_error(&self) -> Option<Errno> {
        self.arrived.take_error()
    }

    fn received_memory(&self) -> (usize, u32) {
        self.arrived.received_memory()
    }

    fn readiness(&self) -> Events {
        self.arrived.readiness(&self.inet)
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.arrived.queue
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        self.arrived.ioctl(request, argument, caller)
    }
}

impl IcmpSocket {
    /// What it has where others have a port: a raw socket its protocol, an echo socket its identifier.
    fn number(&self, state: &State) -> u16 {
        let identifier = state.identifier.as_ref().map_or(0, |identifier| identifier.number());
        let protocol = u16::try_from(self.inet.common.protocol()).unwrap_or(0);
        if self.is_raw() { protocol } else { identifier }
    }

    /// Bytes of the filter that it has, if it has one.
    fn filter_bytes(&self) -> Option<usize> {
        match self.inet.common.protocol() {
            ICMP if self.is_raw() => Some(size_of::<u32>()),
            ICMPV6 if self.is_raw() => Some(size_of::<[u32; 8]>()),
            _ => None,
        }
    }

    /// Sets the filter to as much of `value` as that has room for.
    fn set_filter(&self, value: &[u8], len_bytes: usize) -> Result<(), Errno> {
        let mut words = self.state.lock().filter.0;
        let len_bytes = value.len().min(len_bytes);
        if let (Some(place), Some(value)) =
            (words.as_mut_bytes().get_mut(..len_bytes), value.get(..len_bytes))
        {
            place.copy_from_slice(value);
        }
        self.state.lock().filter = Filter(words);
        Ok(())
    }
}
