//! A TCP socket, as system calls know it.

use std::sync::Arc;

use linux_raw_sys::ioctl::{FIONREAD, SIOCATMARK, TIOCOUTQ};
use linux_raw_sys::net as uapi;

use super::endpoint::{Inbox, READABLE, WRITABLE};
use super::{Connection, Ends, Role, State, TcpSocket, TcpState, outside};
use crate::Errno;
use crate::fs::Caller;
use crate::net::options::RECEIVE_BUFFER_LOCK;
use crate::net::{
    Destination, NetworkNamespace, Outgoing, Received, Receiving, Shutdown, Socket, SocketAddress,
    SocketCaller, SocketCommon, SocketOptions,
};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// Asks for the bytes that have not been sent (`linux/sockios.h`).
const SIOCOUTQNSD: u32 = 0x894b;

impl Socket for TcpSocket {
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

    fn listen(&self, backlog: i32, _caller: &dyn SocketCaller) -> Result<(), Errno> {
        self.listen_with(backlog)
    }

    fn connect(
        &self,
        destination: &Destination,
        waits: bool,
        _caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        self.connect_to(&destination.address, waits)
    }

    fn unfinished_connect(&self) -> Errno {
        Errno::EINPROGRESS
    }

    fn disconnect(&self) -> Result<(), Errno> {
        self.part();
        Ok(())
    }

    fn accept(&self, _waits: bool) -> Result<(Arc<dyn Socket>, SocketAddress), Errno> {
        let (accepted, peer) = self.take_connection()?;
        Ok((accepted, peer))
    }

    fn name(&self) -> Result<SocketAddress, Errno> {
        let bound = self.state.lock().bound.as_ref().map(|bound| bound.address);
        Ok(self.inet.encode(bound.unwrap_or_else(|| self.inet.unbound())))
    }

    fn peer_name(&self) -> Result<SocketAddress, Errno> {
        if self.host().ok().flatten().is_some() {
            let is_over = self.tcp_state() == TcpState::Close;
            let remote = self.remote().filter(|_| !is_over).ok_or(Errno::ENOTCONN)?;
            return Ok(self.inet.encode(remote));
        }
        let (own, _) = self.ends().ok_or(Errno::ENOTCONN)?;
        if own.inbox().is_closed() {
            return Err(Errno::ENOTCONN);
        }
        Ok(self.inet.encode(self.remote().ok_or(Errno::ENOTCONN)?))
    }

    fn last_peer_name(&self) -> Result<SocketAddress, Errno> {
        Ok(self.inet.encode(self.remote().ok_or(Errno::ENOTCONN)?))
    }

    fn shut_down(&self, halves: Shutdown) -> Result<(), Errno> {
        if let Ok(Some(host)) = self.host() {
            return outside::shut_down(self, &host, halves);
        }
        match self.ends() {
            Some(_) => self.shut_connection(halves),
            None => self.shut_unconnected(halves),
        }
    }

    /// A connection has one destination; an address is ignored.
    fn check_destination(
        &self,
        _address: Option<SocketAddress>,
        _is_urgent: bool,
    ) -> Result<Option<SocketAddress>, Errno> {
        Ok(None)
    }

    fn check_send(&self, _len_bytes: usize, _has_destination: bool) -> Result<(), Errno> {
        self.check_room()
    }

    fn send(
        &self,
        outgoing: Outgoing<'_>,
        _destination: Option<&Destination>,
        _caller: &dyn SocketCaller,
    ) -> Result<usize, Errno> {
        self.send_bytes(&outgoing)
    }

    fn receive(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        self.receive_bytes(max_bytes, how, take)
    }

    fn check_option(&self, level: u32, option: u32, is_set: bool) -> Result<(), Errno> {
        self.inet.check_option(level, option, (is_set, level == uapi::SOL_TCP))
    }

    fn option(&self, level: u32, option: u32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
        match level {
            uapi::SOL_TCP => self.tcp_option(option),
            level => {
                let of_peer = self.inet.peer_option((level, option), self.remote(), room_bytes);
                of_peer.unwrap_or_else(|| self.inet.option(level, option, self.own_port(), room_bytes))
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
        match level {
            uapi::SOL_TCP => self.set_tcp_option(option, value),
            level => {
                let is_bound = self.state.lock().bound.is_some();
                self.inet.set_option(level, option, value, (is_bound, caller))
            }
        }
    }

    fn has_option(&self, option: u32) -> bool {
        matches!(option, uapi::SO_REUSEPORT | uapi::SO_ZEROCOPY | uapi::SO_TXREHASH | uapi::SO_PEEK_OFF)
    }

    fn options_changed(&self, options: &SocketOptions) {
        self.tell_host_of(options);
        self.keep_alive();
        let port = {
            let state = self.state.lock();
            // One that was accepted has its port from the listener.
            let is_own = !matches!(state.role, Role::Connected(_) | Role::Outside(_));
            state.bound.as_ref().filter(|_| is_own).map(|bound| bound.port.clone())
        };
        if let Some(port) = port {
            port.set_reuse(options.switch(uapi::SO_REUSEADDR).unwrap_or_default(), options.reuses_port);
        }
        if let Some((own, peer)) = self.ends() {
            own.inbox().receive_buffer_bytes = options.receive_buffer_bytes;
            peer.inbox().peer_send_buffer_bytes = options.send_buffer_bytes;
            peer.queue.notify(WRITABLE);
            self.queue.notify(WRITABLE);
        }
    }

    fn take_error(&self) -> Option<Errno> {
        match (self.host(), self.ends()) {
            (Ok(Some(host)), _) => host.take_error(),
            (_, Some((own, _))) => own.inbox().error.take(),
            (_, None) => self.state.lock().error.take(),
        }
    }

    fn note_zero_copy(&self) {
        self.inet.zero_copies.complete();
        self.queue.notify(Events::ERR);
    }

    fn is_listening(&self) -> bool {
        matches!(self.state.lock().role, Role::Listening(_))
    }

    fn check_stamp_ids(&self) -> Result<(), Errno> {
        match self.state.lock().role {
            Role::Closed | Role::Failed | Role::Listening(_) => Err(Errno::EINVAL),
            _ => Ok(()),
        }
    }

    /// Half of what the buffer is, or can grow to.
    fn max_low_water(&self, options: &SocketOptions) -> u32 {
        let is_locked = options.locked_buffers & RECEIVE_BUFFER_LOCK != 0;
        let grown = || self.inet.settings().tcp_receive_buffer()[2];
        if is_locked { options.receive_buffer_bytes / 2 } else { grown() / 2 }
    }

    fn peek_offset(&self) -> Option<usize> {
        match self.ends() {
            Some((own, _)) => own.inbox().peek_offset,
            None => self.state.lock().peek_offset,
        }
    }

    fn set_peek_offset(&self, offset: Option<usize>) -> Result<(), Errno> {
        match self.ends() {
            Some((own, _)) => own.inbox().peek_offset = offset,
            None => self.state.lock().peek_offset = offset,
        }
        Ok(())
    }

    fn readiness(&self) -> Events {
        let untold = if self.inet.zero_copies.is_any_untold() { Events::ERR } else { Events::empty() };
        let mut state = self.state.lock();
        state.settle();
        untold
            | match &state.role {
                Role::Outside(connection) => connection.readiness(),
                Role::Listening(listener) if listener.first_ready().is_none() => Events::empty(),
                Role::Listening(_) => READABLE,
                Role::Connecting { .. } => Events::empty(),
                Role::Connected(connection) => self.connection_readiness(connection),
                Role::Closed | Role::Failed => unconnected_readiness(&state),
            }
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let is_inline = || self.inet.common.options().switch(uapi::SO_OOBINLINE);
        let ends = self.ends();
        let host = self.host().ok().flatten();
        let number = match (request, &host) {
            (FIONREAD, Some(host)) => host.unread_bytes(),
            (TIOCOUTQ | SIOCOUTQNSD, Some(host)) => host.unsent_bytes(),
            (SIOCATMARK, Some(host)) => host.is_at_mark().into(),
            (FIONREAD | TIOCOUTQ | SIOCOUTQNSD, _) if self.is_listening() => return Err(Errno::EINVAL),
            (FIONREAD, _) => match &ends {
                Some((own, _)) => own.inbox().bytes.readable_bytes(is_inline()?),
                None => 0,
            },
            (TIOCOUTQ | SIOCOUTQNSD, _) => self.both_ends().map_or(0, |ends| ends.unsent_bytes()),
            (SIOCATMARK, _) => ends.is_some_and(|(own, _)| own.inbox().bytes.is_at_mark()).into(),
            _ => return Err(Errno::ENOTTY),
        };
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        caller.memory().write_object(VirtualAddress(argument), &number)?;
        Ok(0)
    }
}

/// A socket that has no connection is as good as one whose both halves are shut.
fn unconnected_readiness(state: &State) -> Events {
    let mut events = Events::HUP | WRITABLE;
    if state.is_shut {
        events |= READABLE | Events::RDHUP;
    }
    events.set(Events::ERR, state.error.is_some());
    events
}

impl TcpSocket {
    /// The port that it is bound to; 0 for none.
    fn own_port(&self) -> u16 {
        self.state.lock().bound.as_ref().map_or(0, |bound| bound.address.port())
    }

    fn connection_readiness(&self, connection: &Connection) -> Events {
        let options = self.inet.common.options();
        let is_inline = options.switch(uapi::SO_OOBINLINE).unwrap_or_default();
        let (mut events, is_sending_over) = {
            let inbox = connection.own.inbox();
            let least = options.receive_low_water as usize;
            (arrivals(&inbox, is_inline, least), inbox.is_sending_over())
        };
        let ends = connection.ends();
        let has_room = || {
            let has_ample_room = {
                let inbox = connection.peer.inbox();
                inbox.is_gone || inbox.has_ample_room(&connection.peer.memory)
            };
            has_ample_room && ends.has_room_to_hold()
        };
        if is_sending_over || has_room() {
            events |= WRITABLE;
        } else {
            connection.peer.inbox().peer_waits = true;
        }
        events
    }

    fn shut_connection(&self, halves: Shutdown) -> Result<(), Errno> {
        let (own, peer) = self.ends().ok_or(Errno::ENOTCONN)?;
        if own.inbox().is_closed() {
            return Err(Errno::ENOTCONN);
        }
        if halves.receiving {
            own.inbox().is_receive_shut = true;
        }
        if halves.sending && own.shut_sending() {
            let ends = Ends { own: own.clone(), peer, wire: self.wire() };
            ends.end();
            if ends.is_holding() {
                self.expect_more(&ends);
            }
        }
        self.queue.notify(READABLE | WRITABLE | Events::RDHUP | Events::HUP);
        Ok(())
    }

    /// Stops listening or connecting. Without either, it is remembered though it fails.
    fn shut_unconnected(&self, halves: Shutdown) -> Result<(), Errno> {
        {
            let mut state = self.state.lock();
            match state.role {
                Role::Listening(_) if !halves.receiving => return Ok(()),
                Role::Listening(_) => {}
                Role::Connecting { .. } | Role::Outside(_) => state.role = Role::Closed,
                _ => {
                    state.is_shut |= halves.receiving;
                    return Err(Errno::ENOTCONN);
                }
            }
        }
        self.stop_listening();
        self.queue.notify(READABLE | WRITABLE | Events::HUP);
        Ok(())
    }
}

/// What has arrived at an end.
fn arrivals(inbox: &Inbox, is_urgent_inline: bool, least_bytes: usize) -> Events {
    let mut events = Events::empty();
    let readable = inbox.bytes.readable_bytes(is_urgent_inline);
    if inbox.is_reading_over() {
        events |= READABLE | Events::RDHUP;
    } else if readable > 0 && readable >= least_bytes {
        events |= READABLE;
    }
    events.set(Events::PRI, inbox.bytes.has_urgent());
    events.set(Events::HUP, inbox.is_reading_over() && inbox.is_sending_over());
    events.set(Events::ERR, inbox.error.is_some());
    events
}
