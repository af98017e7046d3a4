//! A UDP socket, as system calls know it.

use std::net::SocketAddr;
use std::sync::Arc;

use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};
use linux_raw_sys::net as uapi;

use super::{READABLE, UdpSocket, WRITABLE};
use crate::Errno;
use crate::fs::Caller;
use crate::net::{
    Destination, NetworkNamespace, Outgoing, Received, Receiving, Shutdown, Socket, SocketAddress,
    SocketCaller, SocketCommon,
};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// What is longer than this is not even looked at.
const MAX_SEND_BYTES: usize = 65_535;

impl Socket for UdpSocket {
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
        self.bind_to_any(&mut self.state.lock())?;
        self.connect_to(self.inet.decode_datagram_destination(&destination.address)?)
    }

    fn disconnect(&self) -> Result<(), Errno> {
        self.part();
        Ok(())
    }

    fn name(&self) -> Result<SocketAddress, Errno> {
        let bound = self.state.lock().bound.as_ref().map(|bound| bound.address);
        Ok(self.inet.encode(bound.unwrap_or_else(|| self.inet.unbound())))
    }

    fn peer_name(&self) -> Result<SocketAddress, Errno> {
        let remote: SocketAddr = self.state.lock().remote.ok_or(Errno::ENOTCONN)?;
        Ok(self.inet.encode(remote))
    }

    fn shut_down(&self, halves: Shutdown) -> Result<(), Errno> {
        {
            let mut inbox = self.inbox.lock();
            inbox.is_receive_shut |= halves.receiving;
            inbox.is_send_shut |= halves.sending;
        }
        self.queue.notify(READABLE | WRITABLE | Events::RDHUP | Events::HUP);
        // It is done, and yet an error, if there is no peer.
        self.peer_name().map(drop)
    }

    fn check_destination(
        &self,
        address: Option<SocketAddress>,
        is_urgent: bool,
    ) -> Result<Option<SocketAddress>, Errno> {
        // Only IPv4 minds.
        if is_urgent && self.common().family() == uapi::AF_INET {
            return Err(Errno::EOPNOTSUPP);
        }
        self.bind_to_any(&mut self.state.lock())?;
        address.map(|address| self.inet.decode_datagram_destination(&address)).transpose()?;
        Ok(address)
    }

    fn check_send(&self, len_bytes: usize, _has_destination: bool) -> Result<(), Errno> {
        if len_bytes > MAX_SEND_BYTES { Err(Errno::EMSGSIZE) } else { Ok(()) }
    }

    fn send(
        &self,
        outgoing: Outgoing<'_>,
        destination: Option<&Destination>,
        _caller: &dyn SocketCaller,
    ) -> Result<usize, Errno> {
        let decode = |destination: &Destination| self.inet.decode_datagram_destination(&destination.address);
        self.send_datagram(outgoing.bytes, destination.map(decode).transpose()?)
    }

    fn receive(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        self.receive_datagram(max_bytes, how, take)
    }

    fn option(&self, level: u32, option: u32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
        self.inet.option(level, option, room_bytes)
    }

    fn set_option(
        &self,
        level: u32,
        option: u32,
        value: &[u8],
        caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        let is_bound = self.state.lock().bound.is_some();
        self.inet.set_option(level, option, value, (is_bound, caller))
    }

    fn has_option(&self, option: u32) -> bool {
        matches!(option, uapi::SO_REUSEPORT | uapi::SO_ZEROCOPY)
    }

    fn take_error(&self) -> Option<Errno> {
        self.inbox.lock().error.take()
    }

    fn peek_offset(&self) -> Option<usize> {
        self.inbox.lock().peek_offset
    }

    fn set_peek_offset(&self, offset: Option<usize>) -> Result<(), Errno> {
        self.inbox.lock().peek_offset = offset;
        Ok(())
    }

    fn readiness(&self) -> Events {
        let inbox = self.inbox.lock();
        let mut events = WRITABLE;
        if !inbox.datagrams.is_empty() || inbox.is_receive_shut {
            events |= READABLE;
        }
        events.set(Events::RDHUP, inbox.is_receive_shut);
        events.set(Events::HUP, inbox.is_receive_shut && inbox.is_send_shut);
        events.set(Events::ERR, inbox.error.is_some());
        events
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let number = match request {
            FIONREAD => self.inbox.lock().datagrams.front().map_or(0, |first| first.bytes.len()),
            // What is sent has arrived, or is lost.
            TIOCOUTQ => 0,
            _ => return Err(Errno::ENOTTY),
        };
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        caller.memory().write_object(VirtualAddress(argument), &number)?;
        Ok(0)
    }
}
