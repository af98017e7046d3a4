//! Unix sockets (`man 7 unix`).
//!
//! A [`UnixSocket`] owns an [`Endpoint`], where messages arrive, and knows its peer's, where it puts its own. Endpoints do
//! not know sockets, so that a connection keeps neither of its ends open. Nothing here blocks: EAGAIN is
//! returned before anything has changed.
//!
//! Lock order: a socket's `state` (of two, the one at the lower address first), then an endpoint's inbox (one at a time). Wait
//! queues are notified with none of them held.

mod address;
mod connection;
mod endpoint;
mod in_flight;
mod reach;
mod receive;
mod rights;
mod send;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use linux_raw_sys::ioctl::{FIONREAD, SIOCATMARK, TIOCOUTQ};
use linux_raw_sys::net as uapi;
use parking_lot::Mutex;

use self::endpoint::{Endpoint, WRITABLE};
use super::SocketOptions;
use crate::Errno;
use crate::fs::anonymous::AnonymousInode;
use crate::fs::{Caller, Collector, File, FileKind, Metadata};
use crate::platform::VirtualAddress;
use crate::wait::{Events, Observer, Registration, WaitQueue};

pub use address::{UnixAddress, UnixSockets};
pub use endpoint::{PeerCredentials, Received};
pub use in_flight::FilesInFlight;
pub use receive::Receiving;
pub use rights::{MAX_FILES, SentFiles};
pub use send::Outgoing;

/// The type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// SOCK_STREAM.
    Stream,
    /// SOCK_DGRAM.
    Datagram,
    /// SOCK_SEQPACKET.
    SequencedPacket,
}

impl SocketKind {
    /// The kind with the `SOCK_*` number; SOCK_RAW is a datagram socket, as Linux has it.
    ///
    /// # Errors
    /// ESOCKTNOSUPPORT.
    pub fn from_raw(raw: u32) -> Result<Self, Errno> {
        match raw {
            uapi::SOCK_STREAM => Ok(Self::Stream),
            uapi::SOCK_DGRAM | uapi::SOCK_RAW => Ok(Self::Datagram),
            uapi::SOCK_SEQPACKET => Ok(Self::SequencedPacket),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    /// The `SOCK_*` number.
    pub fn raw(self) -> u32 {
        match self {
            Self::Stream => uapi::SOCK_STREAM,
            Self::Datagram => uapi::SOCK_DGRAM,
            Self::SequencedPacket => uapi::SOCK_SEQPACKET,
        }
    }

    /// Whether it must be connected before anything is sent.
    pub fn is_connection_based(self) -> bool {
        self != Self::Datagram
    }
}

/// A unix socket.
pub struct UnixSocket {
    kind: SocketKind,
    own: Arc<Endpoint>,
    state: Mutex<State>,
    options: Mutex<SocketOptions>,
    /// Made by a connect(2) and not accepted yet.
    is_embryo: AtomicBool,
    /// How often a message on its way holds it.
    times_in_flight: AtomicUsize,
    inode: AnonymousInode,
    /// The sockets of the network namespace that it was made in, where it stays.
    home: Arc<UnixSockets>,
    me: Weak<Self>,
}

#[derive(Default)]
struct State {
    address: UnixAddress,
    role: Role,
    /// Who made the peer of a connection, or this listener's.
    peer_credentials: Option<PeerCredentials>,
}

#[derive(Default)]
enum Role {
    #[default]
    Idle,
    Listening(Listening),
    Connected(Link),
}

struct Listening {
    backlog: VecDeque<Arc<UnixSocket>>,
    max_backlog: usize,
}

/// The way to a peer.
struct Link {
    peer: Arc<Endpoint>,
    peer_address: UnixAddress,
    /// Passes the peer's announcements of room on to this socket.
    _room: Registration,
}

/// Passes announcements on.
struct Relay(WaitQueue);

impl Observer for Relay {
    fn notify(&self, events: Events) {
        self.0.notify(events);
    }
}

impl Link {
    fn new(own: &Endpoint, peer: &Arc<Endpoint>, peer_address: UnixAddress) -> Self {
        let relay = Arc::new(Relay(own.queue.clone()));
        Self { peer: peer.clone(), peer_address, _room: peer.room.register(Events::OUT, relay) }
    }
}

/// What the inode of a bound path refers to: the socket, without keeping it open.
pub struct BoundName(Weak<UnixSocket>);

impl BoundName {
    /// The socket bound there.
    ///
    /// # Errors
    /// ECONNREFUSED if it is gone.
    pub fn socket(&self) -> Result<Arc<UnixSocket>, Errno> {
        self.0.upgrade().ok_or(Errno::ECONNREFUSED)
    }
}

/// Which halves of a connection shutdown(2) ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Receiving.
    pub receiving: bool,
    /// Sending.
    pub sending: bool,
}

impl UnixSocket {
    /// A socket among those of `home`, neither bound nor connected.
    pub fn new(kind: SocketKind, uid: u32, gid: u32, home: &Arc<UnixSockets>) -> Arc<Self> {
        let socket = Arc::new_cyclic(|me| Self {
            kind,
            own: Endpoint::new(SocketOptions::default().send_buffer_bytes),
            state: Mutex::default(),
            options: Mutex::default(),
            is_embryo: AtomicBool::new(false),
            times_in_flight: AtomicUsize::new(0),
            inode: AnonymousInode::of_kind(home.open_files(), FileKind::Socket, 0o777).owned_by(uid, gid),
            home: home.clone(),
            me: me.clone(),
        });
        home.register(socket.inode.number(), socket.me.clone());
        socket
    }

    /// The sockets that it can reach by their abstract addresses.
    pub fn home(&self) -> &Arc<UnixSockets> {
        &self.home
    }

    /// Whether a message on its way holds it.
    fn is_in_flight(&self) -> bool {
        self.times_in_flight.load(Ordering::Relaxed) > 0
    }

    /// Its line in /proc/net/unix (`man 5 proc`); kernel addresses are nobody's business.
    pub fn to_line(&self) -> Vec<u8> {
        const ACCEPTS: u32 = 1 << 16;
        let (address, is_listening, is_connected) = {
            let state = self.state.lock();
            let is_connected = matches!(state.role, Role::Connected(_));
            (state.address.clone(), matches!(state.role, Role::Listening(_)), is_connected)
        };
        let flags = if is_listening { ACCEPTS } else { 0 };
        // SS_UNCONNECTED or SS_CONNECTED.
        let connection = if is_connected { 3 } else { 1 };
        let (kind, inode) = (self.kind.raw(), self.inode.number());
        let references = if is_connected { 3 } else { 2 };
        let text = format!(
            "{:016x}: {references:08X} 00000000 {flags:08X} {kind:04X} {connection:02X} {inode:>5}",
            0
        );
        let mut line = text.into_bytes();
        match &address {
            UnixAddress::Unnamed => {}
            UnixAddress::Path(path) => line.extend([b" ", &**path].concat()),
            UnixAddress::Abstract(name) => {
                line.extend(b" @");
                line.extend(name.iter().map(|byte| if *byte == 0 { b'@' } else { *byte }));
            }
        }
        line.push(b'\n');
        line
    }

    /// The socket as a value that can be kept; `None` only while it is being dropped.
    pub fn shared(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    /// Its type.
    pub fn kind(&self) -> SocketKind {
        self.kind
    }

    /// Its options.
    pub fn options(&self) -> SocketOptions {
        *self.options.lock()
    }

    /// Changes its options.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn change_options(
        &self,
        change: impl FnOnce(&mut SocketOptions) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        {
            let mut options = self.options.lock();
            change(&mut options)?;
            self.own.set_send_buffer_bytes(options.send_buffer_bytes);
            self.own.passes_credentials.store(options.switch(uapi::SO_PASSCRED)?, Ordering::Relaxed);
        }
        // A larger buffer may have made room.
        self.own.queue.notify(WRITABLE);
        Ok(())
    }

    /// Where it is bound (getsockname).
    pub fn address(&self) -> UnixAddress {
        self.state.lock().address.clone()
    }

    /// Where the peer is bound (getpeername).
    ///
    /// # Errors
    /// ENOTCONN.
    pub fn peer_address(&self) -> Result<UnixAddress, Errno> {
        match &self.state.lock().role {
            Role::Connected(link) => Ok(link.peer_address.clone()),
            _ => Err(Errno::ENOTCONN),
        }
    }

    /// SO_PEERCRED.
    pub fn peer_credentials(&self) -> Option<PeerCredentials> {
        self.state.lock().peer_credentials.clone()
    }

    /// SO_ACCEPTCONN.
    pub fn is_listening(&self) -> bool {
        matches!(self.state.lock().role, Role::Listening(_))
    }

    /// SO_ERROR: the pending error, which is then no more.
    pub fn take_error(&self) -> Option<Errno> {
        self.own.inbox().error.take()
    }

    /// SO_COOKIE: a number that no other socket has.
    pub fn cookie(&self) -> u64 {
        self.inode.number()
    }

    /// SO_PEEK_OFF: where the next peek begins; `None` at what was not read yet.
    pub fn peek_offset(&self) -> Option<usize> {
        self.own.inbox().peek_offset
    }

    /// Sets SO_PEEK_OFF.
    pub fn set_peek_offset(&self, offset: Option<usize>) {
        self.own.inbox().peek_offset = offset;
    }

    /// shutdown(2): a connection's peer is shut down the other way round.
    pub fn shut_down(&self, halves: Shutdown) {
        let peer = match &self.state.lock().role {
            Role::Connected(link) if self.kind.is_connection_based() => Some(link.peer.clone()),
            _ => None,
        };
        {
            let mut inbox = self.own.inbox();
            inbox.is_receive_shut |= halves.receiving;
            inbox.is_send_shut |= halves.sending;
        }
        if let Some(peer) = &peer {
            let mut inbox = peer.inbox();
            inbox.is_receive_shut |= halves.sending;
            inbox.is_send_shut |= halves.receiving;
        }
        self.own.announce_room();
        let events = Events::IN | Events::RDNORM | Events::RDHUP | Events::HUP | WRITABLE;
        self.own.queue.notify(events);
        if let Some(peer) = peer {
            peer.queue.notify(events);
        }
    }

    /// Bytes that a receive could get now.
    pub fn unread_bytes(&self) -> usize {
        self.own.inbox().unread_bytes(self.kind != SocketKind::Datagram)
    }

    /// Whether a datagram to the peer would not have to wait until that one reads.
    fn has_room_at_peer(&self, state: &State) -> bool {
        match &state.role {
            Role::Connected(link) if self.kind == SocketKind::Datagram => {
                !link.peer.inbox().is_full_for(&self.own)
            }
            _ => true,
        }
    }

    fn is_writable(&self, state: &State) -> bool {
        let is_listening = matches!(state.role, Role::Listening(_));
        !is_listening && self.own.has_ample_room() && self.has_room_at_peer(state)
    }

    /// Sends `bytes` as `caller`, which has waited for room before or has not.
    ///
    /// # Errors
    /// As [`UnixSocket::send`].
    pub fn write_after(&self, bytes: &[u8], caller: &dyn Caller, has_waited: bool) -> Result<usize, Errno> {
        let (process, own) = (caller.process_identity(), caller.credentials());
        let (uid, gid) = (own.real_uid, own.real_gid);
        let credentials = PeerCredentials { process, uid, gid, groups: Arc::default() };
        self.send(Outgoing { bytes, credentials, has_waited, ..Outgoing::default() }, None)
    }

    fn is_at_mark(&self) -> Result<usize, Errno> {
        if self.kind != SocketKind::Stream {
            return Err(Errno::EOPNOTSUPP);
        }
        let is_at_mark = match &self.state.lock().role {
            // A connection in the backlog looks as a mark does.
            Role::Listening(listening) => !listening.backlog.is_empty(),
            _ => self.own.inbox().is_at_mark(),
        };
        Ok(is_at_mark.into())
    }
}

impl File for UnixSocket {
    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        self.receive(buffer, Receiving::default()).map(|received| received.len_bytes)
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        self.send(Outgoing { bytes: buffer, ..Outgoing::default() }, None)
    }

    fn write_by(&self, buffer: &[u8], _offset: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        self.write_after(buffer, caller, false)
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
        events.set(Events::PRI, self.kind == SocketKind::Stream && inbox.has_urgent());
        let is_unconnected = self.kind.is_connection_based() && matches!(state.role, Role::Idle);
        events.set(Events::HUP, is_unconnected || inbox.is_receive_shut && inbox.is_send_shut);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.own.queue)
    }

    /// Only streams raise SIGPIPE, and not at one who has waited for room.
    fn raises_broken_pipe(&self, has_waited: bool) -> bool {
        self.kind == SocketKind::Stream && !has_waited
    }

    fn timeout(&self, events: Events) -> Option<Duration> {
        let timeouts = self.options().timeouts;
        if events.contains(Events::OUT) { timeouts.send } else { timeouts.receive }
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

    fn collector(&self) -> Option<Arc<dyn Collector>> {
        self.is_in_flight().then(|| self.home.in_flight().clone() as Arc<dyn Collector>)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        format!("socket:[{}]", self.inode.number())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let state = std::mem::take(self.state.get_mut());
        self.home.forget(self.inode.number());
        if let UnixAddress::Abstract(name) = &state.address {
            self.home.remove(self.kind, name, &self.me);
        }
        let has_unread = self.own.close();
        match state.role {
            Role::Connected(link) if self.kind.is_connection_based() => {
                {
                    let mut inbox = link.peer.inbox();
                    (inbox.is_receive_shut, inbox.is_send_shut) = (true, true);
                    // What was never read was never received (`man 7 unix` is silent; Linux does this).
                    if has_unread || self.is_embryo.load(Ordering::Relaxed) {
                        inbox.error = Some(Errno::ECONNRESET);
                    }
                }
                link.peer.queue.notify(Events::IN | Events::HUP | Events::RDHUP | Events::ERR | WRITABLE);
            }
            Role::Listening(listening) => {
                // Those who wait for a place in the backlog learn that there is none.
                drop(listening);
                self.own.announce_room();
            }
            _ => {}
        }
        // Last, for it wakes those who wait for room: they are to see all of the above.
        self.own.purge();
    }
}
