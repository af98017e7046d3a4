//! The outside of a sandbox: what its first network namespace reaches on the host's network, if the caller has opened a [`Door`].
//!
//! The sentry makes no socket of the host's, connects none and binds none. It asks the door for each, which hands over a descriptor
//! that leads to one peer alone, or refuses. On what it was handed ([`HostSocket`]) the sentry sends, receives, shuts down, polls,
//! and sets options that are numbers. [`Watcher`] hears of readiness and tells the guest's sockets.
//!
//! Inside, the outside is behind a link like any other ([`LinkKind::Outside`](super::device::LinkKind::Outside)), with addresses
//! that are the same in every sandbox: the host translates them, as a home's router does.
//!
//! Lock order: none of the locks here is held while the door or a socket of the guest is asked.

mod addresses;
mod host_socket;
#[cfg(test)]
mod tests;
mod watcher;

use std::any::Any;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub use self::addresses::{GUEST_V4, GUEST_V6, HOST_V4, HOST_V6, RESOLVER_V4, RESOLVER_V6, guest_networks};
pub(super) use self::host_socket::{HostSocket, Sending};
pub(super) use self::watcher::Watched;

use self::watcher::Watcher;
use super::device::{LinkStatistics, OUTSIDE_INDEX};
use super::route::RouteResult;
use super::{NetworkNamespace, SocketMemory, SocketMemoryCharge, configuration::Refusal};
use crate::Errno;

/// What a socket of the host's costs of the memory of sockets: what is kept of it here, about.
const SOCKET_COST_BYTES: usize = 1024;

/// Who makes sockets on the host, after checking each against what the caller allows.
pub trait Door: Send + Sync {
    /// A TCP socket that does not block and is on its way to `remote`, or there.
    ///
    /// # Errors
    /// ECONNREFUSED if that is not allowed; the host's.
    fn connect(&self, remote: SocketAddr) -> Result<OwnedFd, Errno>;

    /// A UDP socket that sends to `remote` and hears of nobody else.
    ///
    /// # Errors
    /// As [`Self::connect`].
    fn open_flow(&self, remote: SocketAddr) -> Result<OwnedFd, Errno>;
}

/// Dropping it tells whoever handed a connection over that there is room for another.
pub type Ticket = Box<dyn Any + Send + Sync>;

/// A connection that somebody on the host has made to a published port.
pub struct ArrivedConnection {
    /// The guest's port.
    pub port: u16,
    /// Who it comes from, as the guest is told.
    pub peer: SocketAddr,
    /// The host's end.
    pub socket: OwnedFd,
    /// For the place that it takes on its way.
    pub ticket: Ticket,
}

/// The first datagram of somebody on the host to a published port.
pub struct ArrivedFlow<'a> {
    /// The guest's port.
    pub port: u16,
    /// Who it comes from, as the guest is told.
    pub peer: SocketAddr,
    /// A socket that sends to the peer and hears of nobody else.
    pub socket: OwnedFd,
    /// The datagram.
    pub bytes: &'a [u8],
}

/// The door of a network namespace, and what came through it.
pub struct Outside {
    door: Arc<dyn Door>,
    watcher: Watcher,
    /// Sockets of the host's that are open, and how many may be.
    open_sockets: AtomicUsize,
    max_sockets: usize,
    /// What each of them costs is taken from there.
    memory: Arc<SocketMemory>,
    statistics: Arc<LinkStatistics>,
}

impl Outside {
    /// Whether a route leads here.
    pub(super) fn is_through(&self, route: &RouteResult) -> bool {
        route.device == OUTSIDE_INDEX && route.is_up
    }

    /// A connection on its way to `remote`, whose readiness `watched` hears of.
    ///
    /// # Errors
    /// As [`Door::connect`], ENOBUFS.
    pub(super) fn connect(
        self: &Arc<Self>,
        remote: SocketAddr,
        watched: Arc<dyn Watched>,
    ) -> Result<HostSocket, Errno> {
        let place = self.take_place()?;
        let socket = self.door.connect(remote)?;
        HostSocket::stream(socket, place, watched)
    }

    /// A flow to `remote`.
    ///
    /// # Errors
    /// As [`Door::open_flow`], ENOBUFS.
    pub(super) fn open_flow(
        self: &Arc<Self>,
        remote: SocketAddr,
        watched: Arc<dyn Watched>,
    ) -> Result<HostSocket, Errno> {
        let place = self.take_place()?;
        let socket = self.door.open_flow(remote)?;
        HostSocket::flow(socket, place, watched)
    }

    /// A socket that the door has handed over unasked.
    ///
    /// # Errors
    /// ENOBUFS.
    pub(super) fn adopt_stream(
        self: &Arc<Self>,
        socket: OwnedFd,
        watched: Arc<dyn Watched>,
    ) -> Result<HostSocket, Errno> {
        HostSocket::stream(socket, self.take_place()?, watched)
    }

    /// As [`Self::adopt_stream`], of datagrams.
    ///
    /// # Errors
    /// ENOBUFS.
    pub(super) fn adopt_flow(
        self: &Arc<Self>,
        socket: OwnedFd,
        watched: Arc<dyn Watched>,
    ) -> Result<HostSocket, Errno> {
        HostSocket::flow(socket, self.take_place()?, watched)
    }

    fn take_place(self: &Arc<Self>) -> Result<Place, Errno> {
        let has_room = |open: usize| (open < self.max_sockets).then_some(open + 1);
        let charge = self.memory.charge(SOCKET_COST_BYTES)?;
        self.open_sockets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room)
            .map_err(|_| Errno::ENOBUFS)?;
        Ok(Place { outside: self.clone(), _charge: charge })
    }
}

/// The place of an open socket among those that may be.
struct Place {
    outside: Arc<Outside>,
    _charge: SocketMemoryCharge,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.outside.open_sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

impl NetworkNamespace {
    /// Opens `door` to the outside: a link, addresses and routes come, and at most `max_sockets` of the host's are open at a time.
    ///
    /// # Errors
    /// EEXIST if there is one.
    pub fn open_door(&self, door: Arc<dyn Door>, max_sockets: usize) -> Result<(), Errno> {
        if self.outside().is_some() {
            return Err(Errno::EEXIST);
        }
        let routers = [HOST_V4.into(), HOST_V6.into()];
        let statistics = self
            .configuration()
            .open_outside(guest_networks(), routers)
            .map_err(|refusal: Refusal| refusal.errno)?;
        let (watcher, open_sockets) = (Watcher::default(), AtomicUsize::new(0));
        let memory = self.shared().memory.clone();
        let outside = Outside { door, watcher, open_sockets, max_sockets, memory, statistics };
        self.set_outside(Arc::new(outside)).map_err(|_| Errno::EEXIST)
    }

    /// Hands a connection from the outside to who listens at its port; without anybody it is broken off.
    pub fn take_connection(&self, arrived: ArrivedConnection) {
        let Some(outside) = self.outside() else { return };
        let tcp = self.inet_sockets().tcp();
        let refused = tcp.take_in(arrived, outside).or_else(|arrived| {
            let peer = other_version(arrived.peer);
            tcp.take_in(ArrivedConnection { peer, ..arrived }, outside)
        });
        if let Err(ArrivedConnection { socket, .. }) = refused {
            // Without it the end is one in order, which is no refusal.
            let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        }
    }

    /// Hands a flow that somebody on the outside has begun to who has its port; without anybody it ends.
    pub fn take_flow(&self, arrived: ArrivedFlow<'_>) {
        let Some(outside) = self.outside() else { return };
        let udp = self.inet_sockets().udp();
        let result = udp.take_in(arrived, outside).or_else(|arrived| {
            let peer = other_version(arrived.peer);
            udp.take_in(ArrivedFlow { peer, ..arrived }, outside)
        });
        if result.is_err() {
            log::debug!("nobody takes the datagrams of a published port");
        }
    }
}

/// The peer as one sees it who is at an address of the other version alone: it comes from the host.
fn other_version(peer: SocketAddr) -> SocketAddr {
    let host = if peer.is_ipv4() { HOST_V6.into() } else { HOST_V4.into() };
    SocketAddr::new(host, peer.port())
}
