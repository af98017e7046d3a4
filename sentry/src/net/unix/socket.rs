//! A unix socket, as system calls know it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use linux_raw_sys::ioctl::{FIONREAD, SIOCATMARK, TIOCOUTQ};
use linux_raw_sys::net as uapi;

use super::endpoint::WRITABLE;
use super::send::PIECE_BYTES_MIN;
use super::{Role, UnixAddress, UnixSocket};
use crate::Errno;
use crate::fs::{Caller, Collector};
use crate::net::{
    Destination, NetworkNamespace, Outgoing, PeerCredentials, Received, Receiving, Shutdown, Socket,
    SocketAddress, SocketCaller, SocketCommon, SocketKind, SocketOptions,
};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// The unix socket that a destination was found to be.
fn target(destination: &Destination) -> Result<Arc<UnixSocket>, Errno> {
    let socket = destination.socket.as_ref().ok_or(Errno::ECONNREFUSED)?;
    socket.downcast::<UnixSocket>().ok_or(Errno::EPROTOTYPE)?.shared()
}

impl Socket for UnixSocket {
    fn common(&self) -> &SocketCommon {
        &self.common
    }

    fn bind(&self, address: &SocketAddress, caller: &dyn SocketCaller) -> Result<(), Errno> {
        let socket = self.shared()?;
        match UnixAddress::from_bytes(address.bytes())? {
            UnixAddress::Unnamed => socket.bind_abstract(None),
            UnixAddress::Abstract(name) => socket.bind_abstract(Some(name)),
            UnixAddress::Path(path) => socket.bind_at(&path, caller),
        }
    }

    fn listen(&self, backlog: i32, caller: &dyn SocketCaller) -> Result<(), Errno> {
        self.listen_as(backlog, PeerCredentials::of_peer(caller))
    }

    fn find(&self, address: &SocketAddress, caller: &dyn SocketCaller) -> Result<Destination, Errno> {
        let named = UnixAddress::named_from_bytes(address.bytes())?;
        self.shared()?.bind_if_named()?;
        let socket = self.find_socket(&named, caller)? as Arc<dyn Socket>;
        Ok(Destination { address: *address, socket: Some(socket) })
    }

    fn connect(
        &self,
        destination: &Destination,
        _waits: bool,
        caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        self.connect_to(&target(destination)?, PeerCredentials::of_peer(caller))
    }

    fn disconnect(&self) -> Result<(), Errno> {
        self.part()
    }

    fn accept(&self, waits: bool) -> Result<(Arc<dyn Socket>, SocketAddress), Errno> {
        let accepted = self.take_connection(waits)?;
        let peer = accepted.peer_address().unwrap_or_default();
        Ok((accepted, (&peer).into()))
    }

    fn name(&self) -> Result<SocketAddress, Errno> {
        Ok((&self.address()).into())
    }

    fn peer_name(&self) -> Result<SocketAddress, Errno> {
        Ok((&self.peer_address()?).into())
    }

    fn shut_down(&self, halves: Shutdown) -> Result<(), Errno> {
        self.shut_down_halves(halves);
        Ok(())
    }

    fn check_destination(
        &self,
        address: Option<SocketAddress>,
        is_urgent: bool,
    ) -> Result<Option<SocketAddress>, Errno> {
        match (self.common.kind(), address) {
            (SocketKind::Stream, None) => Ok(None),
            (SocketKind::Stream, Some(_)) if self.peer_address().is_ok() => Err(Errno::EISCONN),
            (SocketKind::Stream, Some(_)) => Err(Errno::EOPNOTSUPP),
            (SocketKind::SequencedPacket, _) if is_urgent => {
                self.check_connection().and(Err(Errno::EOPNOTSUPP))
            }
            // Linux ignores the address of a sequenced packet.
            (SocketKind::SequencedPacket, _) => Ok(None),
            _ if is_urgent => Err(Errno::EOPNOTSUPP),
            (_, address) => {
                address.map(|address| UnixAddress::named_from_bytes(address.bytes())).transpose()?;
                self.shared()?.bind_if_named()?;
                Ok(address)
            }
        }
    }

    fn check_send(&self, len_bytes: usize, has_destination: bool) -> Result<(), Errno> {
        self.check_message(len_bytes, has_destination)
    }

    fn send(
        &self,
        outgoing: Outgoing<'_>,
        destination: Option<&Destination>,
        _caller: &dyn SocketCaller,
    ) -> Result<usize, Errno> {
        let target = destination.map(target).transpose()?;
        self.send_to(outgoing, target.as_ref())
    }

    fn receive(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        self.receive_pieces(max_bytes, how, take)
    }

    fn options_changed(&self, options: &SocketOptions) {
        self.own.set_send_buffer_bytes(options.send_buffer_bytes);
        let passes_credentials = [uapi::SO_PASSCRED, uapi::SO_PASSPIDFD]
            .into_iter()
            .any(|option| options.switch(option) == Ok(true));
        self.own.passes_credentials.store(passes_credentials, Ordering::Relaxed);
        // A larger buffer may have made room.
        self.own.queue.notify(WRITABLE);
    }

    fn take_error(&self) -> Option<Errno> {
        self.own.inbox().error.take()
    }

    fn is_listening(&self) -> bool {
        matches!(self.state.lock().role, Role::Listening(_))
    }

    fn peer_credentials(&self) -> Option<PeerCredentials> {
        self.state.lock().peer_credentials.clone()
    }

    fn peek_offset(&self) -> Option<usize> {
        self.own.inbox().peek_offset
    }

    fn has_option(&self, option: u32) -> bool {
        option == linux_raw_sys::net::SO_PEEK_OFF
    }

    fn set_peek_offset(&self, offset: Option<usize>) -> Result<(), Errno> {
        self.own.inbox().peek_offset = offset;
        Ok(())
    }

    fn readiness(&self) -> Events {
        let state = self.state.lock();
        let mut events = Events::empty();
        if self.is_writable(&state) {
            events |= WRITABLE;
        }
        let inbox = self.own.inbox();
        let has_arrivals = match &state.role {
            Role::Listening(listening) => !listening.backlog.is_empty(),
            _ => !inbox.messages.is_empty(),
        };
        if has_arrivals || inbox.is_receive_shut {
            events |= Events::IN | Events::RDNORM;
        }
        events.set(Events::RDHUP, inbox.is_receive_shut);
        events.set(Events::ERR, inbox.error.is_some());
        events.set(Events::PRI, self.common.kind() == SocketKind::Stream && inbox.has_urgent());
        let is_unconnected = self.common.kind().is_connection_based() && matches!(state.role, Role::Idle);
        events.set(Events::HUP, is_unconnected || inbox.is_receive_shut && inbox.is_send_shut);
        events
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.own.queue
    }

    fn room(&self) -> Option<&WaitQueue> {
        Some(&self.own.room)
    }

    /// Only streams raise SIGPIPE, and not at one who has waited for room.
    fn takes_whole(&self, len_bytes: u64) -> bool {
        self.common.kind() != SocketKind::Stream || len_bytes <= PIECE_BYTES_MIN
    }

    fn raises_broken_pipe(&self, has_waited: bool) -> bool {
        self.common.kind() == SocketKind::Stream && !has_waited
    }

    fn collector(&self) -> Option<Arc<dyn Collector>> {
        self.is_in_flight().then(|| self.home.in_flight().clone() as Arc<dyn Collector>)
    }

    fn network_namespace(&self) -> Option<Arc<NetworkNamespace>> {
        self.home.namespace()
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let len_bytes = match request {
            FIONREAD if self.is_listening() => return Err(Errno::EINVAL),
            FIONREAD => self.unread_bytes(),
            TIOCOUTQ => self.own.in_flight_bytes(),
            SIOCATMARK => self.is_at_mark()?,
            _ => return Err(Errno::ENOTTY),
        };
        let len_bytes = i32::try_from(len_bytes).unwrap_or(i32::MAX);
        caller.memory().write_object(VirtualAddress(argument), &len_bytes)?;
        Ok(0)
    }
}
