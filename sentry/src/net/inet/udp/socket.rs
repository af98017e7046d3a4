//! A UDP socket, as system calls know it.

use std::net::SocketAddr;
use std::sync::Arc;

use linux_raw_sys::net as uapi;

use super::UdpSocket;
use super::send::Sending;
use crate::Errno;
use crate::fs::Caller;
use crate::net::inet::control::SendControl;
use crate::net::{
    ControlMessage, Destination, NetworkNamespace, Outgoing, Received, Receiving, Shutdown, Socket,
    SocketAddress, SocketCaller, SocketCommon, SocketOptions,
};
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
        let address = self.inet.check_bind(address, caller)?;
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
        self.bind_to_any(&mut self.state.lock())?;
        let remote = self.inet.decode_datagram_destination(&destination.address)?;
        self.inet.check_scope(remote)?;
        self.connect_to(remote)
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
        self.arrived.shut_down(halves);
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
        address.map_or(Ok(None), |address| self.inet.check_named(&address))
    }

    fn check_send(&self, len_bytes: usize, _has_destination: bool) -> Result<(), Errno> {
        if len_bytes > MAX_SEND_BYTES { Err(Errno::EMSGSIZE) } else { Ok(()) }
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
        self.send_datagram(&Sending {
            bytes: outgoing.bytes,
            target: destination.map(decode).transpose()?,
            control: SendControl::decode(&self.inet, outgoing.control, caller)?,
            has_more: outgoing.has_more,
        })
    }

    fn receive(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        let received = self.arrived.receive(&self.inet, max_bytes, how, take)?;
        if !how.is_peek && !how.is_error_queue {
            let sender = received.sender.as_ref();
            let sender = sender.and_then(|sender| self.inet.decode_datagram_destination(sender).ok());
            sender.iter().for_each(|sender| self.count_received(sender.ip()));
        }
        Ok(received)
    }

    fn check_option(&self, level: u32, option: u32, is_set: bool) -> Result<(), Errno> {
        self.inet.check_option(level, option, (is_set, self.is_own_level(level)))
    }

    fn option(&self, level: u32, option: u32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
        if self.is_own_level(level) {
            return self.udp_option(option);
        }
        let (remote, port) = {
            let state = self.state.lock();
            (state.remote, state.bound.as_ref().map_or(0, |bound| bound.address.port()))
        };
        let of_peer = self.inet.peer_option((level, option), remote, room_bytes);
        of_peer.unwrap_or_else(|| self.inet.option(level, option, port, room_bytes))
    }

    fn options_changed(&self, options: &SocketOptions) {
        let port = self.state.lock().bound.as_ref().map(|bound| bound.port.clone());
        if let Some(port) = port {
            port.set_reuse(options.switch(uapi::SO_REUSEADDR).unwrap_or_default(), options.reuses_port);
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
        if self.is_own_level(level) {
            return self.set_udp_option(option, value);
        }
        let is_bound = self.state.lock().bound.is_some();
        self.inet.set_option(level, option, value, (is_bound, caller))
    }

    fn has_option(&self, option: u32) -> bool {
        let is_of_udp_alone = option == uapi::SO_ZEROCOPY && !self.is_lite();
        is_of_udp_alone || matches!(option, uapi::SO_REUSEPORT | uapi::SO_PEEK_OFF)
    }

    fn note_zero_copy(&self) {
        self.inet.zero_copies.complete();
        self.arrived.queue.notify(Events::ERR);
    }

    fn take_error(&self) -> Option<Errno> {
        self.arrived.take_error()
    }

    fn peek_offset(&self) -> Option<usize> {
        self.arrived.peek_offset()
    }

    fn set_peek_offset(&self, offset: Option<usize>) -> Result<(), Errno> {
        self.arrived.set_peek_offset(offset);
        Ok(())
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
