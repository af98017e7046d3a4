//! A raw socket or an echo socket, as system calls know it.

use std::net::SocketAddr;
use std::sync::Arc;

use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};
use linux_raw_sys::net as uapi;
use zerocopy::IntoBytes;

use super::packet::Filter;
use super::{ICMP, ICMPV6, IcmpSocket};
use crate::Errno;
use crate::fs::Caller;
use crate::net::inet::udp::{Arrival, READABLE, WRITABLE};
use crate::net::level::int;
use crate::net::{
    Destination, NetworkNamespace, Outgoing, Received, Receiving, Shutdown, Socket, SocketAddress,
    SocketCaller, SocketCommon,
};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// The level of raw sockets' options.
const SOL_RAW: u32 = 255;
/// ICMP_FILTER and ICMPV6_FILTER.
const FILTER: u32 = 1;
/// IPV6_CHECKSUM, at the levels of raw sockets: ICMPv6 has no choice, and the kernel writes it.
const CHECKSUM: u32 = 7;
/// The loopback's index, through which all arrives.
const DEVICE: u32 = crate::net::device::LOOPBACK_INDEX;

impl Socket for IcmpSocket {
    fn common(&self) -> &SocketCommon {
        &self.inet.common
    }

    fn network(&self) -> Option<&Arc<NetworkNamespace>> {
        Some(self.inet.network())
    }

    fn bind(&self, address: &SocketAddress, caller: &dyn SocketCaller) -> Result<(), Errno> {
        self.bind_to(self.inet.check_bind(address, caller)?)
    }

    fn connect(
        &self,
        destination: &Destination,
        _waits: bool,
        _caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        let mut remote = self.inet.decode_datagram_destination(&destination.address)?;
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

    fn name(&self) -> Result<SocketAddress, Errno> {
        let state = self.state.lock();
        let own = state.own.unwrap_or_else(|| self.inet.unbound().ip());
        let number = state.identifier.as_ref().map(|identifier| identifier.number());
        let protocol = u16::try_from(self.inet.common.protocol()).unwrap_or(0);
        Ok(self.inet.encode(SocketAddr::new(own, number.unwrap_or(if self.is_raw() { protocol } else { 0 }))))
    }

    fn peer_name(&self) -> Result<SocketAddress, Errno> {
        Ok(self.inet.encode(self.state.lock().remote.ok_or(Errno::ENOTCONN)?))
    }

    fn shut_down(&self, halves: Shutdown) -> Result<(), Errno> {
        {
            let mut inbox = self.inbox.lock();
            inbox.is_receive_shut |= halves.receiving;
            inbox.is_send_shut |= halves.sending;
        }
        self.queue.notify(READABLE | WRITABLE | Events::RDHUP | Events::HUP);
        self.peer_name().map(drop)
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

    fn send(
        &self,
        outgoing: Outgoing<'_>,
        destination: Option<&Destination>,
        _caller: &dyn SocketCaller,
    ) -> Result<usize, Errno> {
        let decode = |destination: &Destination| self.inet.decode_datagram_destination(&destination.address);
        self.send_packet(outgoing.bytes, destination.map(decode).transpose()?)
    }

    fn receive(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        if how.is_urgent {
            return Err(Errno::EOPNOTSUPP);
        }
        if how.is_error_queue {
            return Err(Errno::EAGAIN);
        }
        let (ttl, tos) = self.inet.ttl_and_tos();
        let mut inbox = self.inbox.lock();
        let Some(first) = inbox.packets.front() else {
            let is_over = inbox.is_receive_shut && how.waits;
            return if is_over { Ok(Received::default()) } else { Err(Errno::EAGAIN) };
        };
        let piece = first.bytes.get(..max_bytes).unwrap_or(&first.bytes);
        let is_taken = take(piece);
        let arrival = Arrival { destination: first.destination, device: DEVICE, ttl, tos };
        let received = Received {
            len_bytes: piece.len(),
            message_bytes: first.bytes.len(),
            control: self.inet.tell(&arrival),
            sender: Some(self.inet.encode(SocketAddr::new(first.source, 0))),
            ..Received::default()
        };
        if !how.is_peek
            && let Some(packet) = inbox.packets.pop_front()
        {
            inbox.cost_bytes -= packet.charge.len_bytes();
        }
        if is_taken { Ok(received) } else { Err(Errno::EFAULT) }
    }

    fn option(&self, level: u32, option: u32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
        match (level, option, self.filter_bytes()) {
            (SOL_RAW | uapi::SOL_ICMPV6, FILTER, Some(len_bytes)) => {
                let filter = self.state.lock().filter;
                Ok(filter.0.as_bytes().get(..len_bytes).unwrap_or_default().to_vec())
            }
            _ => self.inet.option(level, option, room_bytes),
        }
    }

    fn set_option(
        &self,
        level: u32,
        option: u32,
        value: &[u8],
        caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        match (level, option, self.filter_bytes()) {
            (SOL_RAW | uapi::SOL_ICMPV6, FILTER, Some(len_bytes)) => self.set_filter(value, len_bytes),
            (uapi::SOL_IPV6, CHECKSUM, _) if self.inet.common.protocol() == ICMPV6 => Err(Errno::EINVAL),
            (SOL_RAW, CHECKSUM, _) if self.inet.common.protocol() == ICMPV6 => match int(value)? {
                odd if odd > 0 && odd % 2 != 0 => Err(Errno::EINVAL),
                _ => Ok(()),
            },
            _ => self.inet.set_option(level, option, value, (false, caller)),
        }
    }

    fn readiness(&self) -> Events {
        let inbox = self.inbox.lock();
        let mut events = WRITABLE;
        if !inbox.packets.is_empty() || inbox.is_receive_shut {
            events |= READABLE;
        }
        events.set(Events::RDHUP, inbox.is_receive_shut);
        events.set(Events::HUP, inbox.is_receive_shut && inbox.is_send_shut);
        events
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let number = match request {
            FIONREAD => self.inbox.lock().packets.front().map_or(0, |first| first.bytes.len()),
            // What is sent has arrived, or is lost.
            TIOCOUTQ => 0,
            _ => return Err(Errno::ENOTTY),
        };
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        caller.memory().write_object(VirtualAddress(argument), &number)?;
        Ok(0)
    }
}

impl IcmpSocket {
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
