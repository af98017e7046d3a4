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
mod path;
mod reach;
mod receive;
mod rights;
mod send;
mod socket;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use linux_raw_sys::net as uapi;
use parking_lot::Mutex;

use self::endpoint::{Endpoint, WRITABLE};
use super::{Family, PeerCredentials, Shutdown, Socket, SocketCommon, SocketKind, SocketRequest};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::Path;
use crate::wait::{Events, Observer, Registration, WaitQueue};

pub use address::{UnixAddress, UnixSockets};
pub use in_flight::FilesInFlight;
pub use rights::{MAX_FILES, SentFiles};

/// The family's row.
pub const FAMILY: Family = Family {
    number: uapi::AF_UNIX,
    create: |network, request, caller| {
        let owner = caller.credentials();
        let kind = checked_kind(request)?;
        let socket = UnixSocket::new(kind, owner.fs_uid, owner.fs_gid, network.unix_sockets());
        Ok(socket as Arc<dyn Socket>)
    },
    create_pair: Some(|network, request, caller| {
        let kind = checked_kind(request)?;
        let (first, second) =
            UnixSocket::pair(kind, PeerCredentials::of_peer(caller), network.unix_sockets());
        Ok([first as Arc<dyn Socket>, second])
    }),
};

/// The kind of a new socket; SOCK_RAW is a datagram socket, as Linux has it.
fn checked_kind(request: SocketRequest) -> Result<SocketKind, Errno> {
    if request.protocol != 0 && request.protocol != uapi::AF_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match request.kind.ok_or(Errno::ESOCKTNOSUPPORT)? {
        SocketKind::Raw => Ok(SocketKind::Datagram),
        kind => Ok(kind),
    }
}

/// A socket of AF_UNIX, of any of its three types (`man 7 unix`).
pub struct UnixSocket {
    common: SocketCommon,
    own: Arc<Endpoint>,
    state: Mutex<State>,
    /// Made by a connect(2) and not accepted yet.
    is_embryo: AtomicBool,
    /// How often a message on its way holds it.
    times_in_flight: AtomicUsize,
    /// The sockets of the network namespace that it was made in, where it stays.
    home: Arc<UnixSockets>,
    me: Weak<Self>,
}

#[derive(Default)]
struct State {
    address: UnixAddress,
    /// Where the inode of its path is, which some file systems keep only for as long as somebody uses it.
    place: Option<Path>,
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

impl UnixSocket {
    /// A socket among those of `home`, neither bound nor connected.
    pub fn new(kind: SocketKind, uid: KernelUid, gid: KernelGid, home: &Arc<UnixSockets>) -> Arc<Self> {
        let send_buffer_bytes = home.shared().buffers.default_send_bytes();
        let common = SocketCommon::new(home.shared(), uapi::AF_UNIX, kind, 0, (uid, gid));
        let id = common.inode().ino();
        let socket = Arc::new_cyclic(|me| Self {
            common,
            own: Endpoint::new(id, send_buffer_bytes, home.max_datagrams(), &home.shared().memory),
            state: Mutex::default(),
            is_embryo: AtomicBool::new(false),
            times_in_flight: AtomicUsize::new(0),
            home: home.clone(),
            me: me.clone(),
        });
        home.register(id, socket.me.clone());
        socket
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
        // SS_UNCONNECTED, SS_CONNECTED, or SS_CONNECTING of one that nobody has accepted, which has no inode yet.
        let (connection, inode) = match self.is_accepted() {
            false => (2, 0),
            true if is_connected => (3, self.common.inode().ino()),
            true => (1, self.common.inode().ino()),
        };
        let kind = self.common.kind().raw();
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

    /// Whether its reader is told who sends: by numbers or by a descriptor (SO_PASSCRED, SO_PASSPIDFD).
    fn passes_sender(&self) -> Result<bool, Errno> {
        let options = self.common.options();
        Ok(options.switch(uapi::SO_PASSCRED)? || options.switch(uapi::SO_PASSPIDFD)?)
    }

    /// Whether it listens, and whether it is connected.
    pub(super) fn connection_state(&self) -> (bool, bool) {
        let state = self.state.lock();
        (matches!(state.role, Role::Listening(_)), matches!(state.role, Role::Connected(_)))
    }

    /// Whether it is not in a listener's backlog.
    pub(super) fn is_accepted(&self) -> bool {
        !self.is_embryo.load(Ordering::Relaxed)
    }

    /// What is queued at it and what it has sent, in bytes; of a listener, the connections that wait and how many may.
    pub(super) fn queues(&self) -> (usize, usize) {
        if let Role::Listening(listening) = &self.state.lock().role {
            return (listening.backlog.len(), listening.max_backlog);
        }
        (self.unread_bytes(), self.own.in_flight_bytes())
    }

    /// Which halves shutdown(2) has ended: 1 for receiving, 2 for sending.
    pub(super) fn shut_halves(&self) -> u8 {
        let inbox = self.own.inbox();
        u8::from(inbox.is_receive_shut) | u8::from(inbox.is_send_shut) << 1
    }

    /// The inode number of the socket that it is connected to.
    pub(super) fn peer_inode(&self) -> Option<u64> {
        match &self.state.lock().role {
            Role::Connected(link) => Some(link.peer.id()),
            _ => None,
        }
    }

    /// The socket as a value that can be kept.
    ///
    /// # Errors
    /// ENOTSOCK while it is being dropped.
    fn shared(&self) -> Result<Arc<Self>, Errno> {
        self.me.upgrade().ok_or(Errno::ENOTSOCK)
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

    /// Whether what it sends goes to `other` without its being named.
    fn is_connected_to(&self, other: &Self) -> bool {
        matches!(&self.state.lock().role, Role::Connected(link) if Arc::ptr_eq(&link.peer, &other.own))
    }

    /// shutdown(2): a connection's peer is shut down the other way round.
    fn shut_down_halves(&self, halves: Shutdown) {
        let peer = match &self.state.lock().role {
            Role::Connected(link) if self.common.kind().is_connection_based() => Some(link.peer.clone()),
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
        self.own.inbox().unread_bytes(self.common.kind() != SocketKind::Datagram)
    }

    /// Whether a datagram to the peer would not have to wait until that one reads.
    fn has_room_at_peer(&self, state: &State) -> bool {
        match &state.role {
            Role::Connected(link) if self.common.kind() == SocketKind::Datagram => {
                !link.peer.inbox().is_full_for(&self.own)
            }
            _ => true,
        }
    }

    fn is_writable(&self, state: &State) -> bool {
        let is_listening = matches!(state.role, Role::Listening(_));
        !is_listening && self.own.has_ample_room() && self.has_room_at_peer(state)
    }

    fn is_at_mark(&self) -> Result<usize, Errno> {
        if self.common.kind() != SocketKind::Stream {
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

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let state = std::mem::take(self.state.get_mut());
        self.home.forget(self.common.inode().ino());
        if let UnixAddress::Abstract(name) = &state.address {
            self.home.remove(self.common.kind(), name, &self.me);
        }
        let has_unread = self.own.close();
        match state.role {
            Role::Connected(link) if self.common.kind().is_connection_based() => {
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
