//! bind, listen, connect, accept and socketpair.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use linux_raw_sys::net::{SO_PASSCRED, SO_PASSPIDFD, SO_PASSSEC};
use parking_lot::MutexGuard;

use super::endpoint::{Endpoint, WRITABLE};
use super::{BoundName, Link, Listening, Role, State, UnixAddress, UnixSocket, UnixSockets};
use crate::Errno;
use crate::fs::Path;
use crate::heap;
use crate::net::SocketCommon;
use crate::net::{PeerCredentials, Socket, SocketKind};
use crate::wait::Events;

/// The longest backlog (net.core.somaxconn).
const MAX_BACKLOG: i32 = 4096;

impl UnixSocket {
    /// Two sockets connected to each other (`man 2 socketpair`).
    pub fn pair(
        kind: SocketKind,
        credentials: PeerCredentials,
        home: &Arc<UnixSockets>,
    ) -> (Arc<Self>, Arc<Self>) {
        let make = || Self::new(kind, credentials.uid, credentials.gid, home);
        let (first, second) = (make(), make());
        for (socket, other) in [(&first, &second), (&second, &first)] {
            let mut state = socket.state.lock();
            state.role = Role::Connected(Link::new(&socket.own, &other.own, UnixAddress::Unnamed));
            state.peer_credentials = Some(credentials.clone());
            socket.own.inbox().peer = Some(Arc::downgrade(&other.own));
        }
        (first, second)
    }

    /// Binds to an abstract name, or to one that is made up if `name` is `None`. An already bound socket keeps its
    /// address if none is given.
    ///
    /// # Errors
    /// EINVAL if it is bound already, EADDRINUSE.
    pub fn bind_abstract(self: &Arc<Self>, name: Option<Arc<[u8]>>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.address != UnixAddress::Unnamed {
            return if name.is_none() { Ok(()) } else { Err(Errno::EINVAL) };
        }
        let name = match name {
            Some(name) => self.home.insert(&name, self).map(|()| name)?,
            None => self.home.insert_automatic(self)?,
        };
        state.address = UnixAddress::Abstract(name);
        Ok(())
    }

    /// Gives a socket that tells who it is an address, as Linux does before such a one connects or sends (SO_PASSCRED).
    ///
    /// # Errors
    /// ENOSPC if there is none left.
    pub fn bind_if_named(self: &Arc<Self>) -> Result<(), Errno> {
        if self.passes_sender()? { self.bind_abstract(None) } else { Ok(()) }
    }

    /// Binds to `path`: `make_name` makes the inode there and attaches the [`BoundName`] to it. The socket keeps it.
    ///
    /// # Errors
    /// EINVAL if it is bound already, and the errors of `make_name`.
    pub fn bind_path(
        self: &Arc<Self>,
        path: &[u8],
        make_name: impl FnOnce(Arc<BoundName>) -> Result<Path, Errno>,
    ) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.address != UnixAddress::Unnamed {
            return Err(Errno::EINVAL);
        }
        state.place = Some(make_name(Arc::new(BoundName(Arc::downgrade(self))))?);
        state.address = UnixAddress::Path(path.into());
        Ok(())
    }

    /// listen(2). Again, it changes the backlog.
    ///
    /// # Errors
    /// EOPNOTSUPP for datagrams, EINVAL if it is not bound, or connected.
    pub(super) fn listen_as(&self, backlog: i32, credentials: PeerCredentials) -> Result<(), Errno> {
        if !self.common.kind().is_connection_based() {
            return Err(Errno::EOPNOTSUPP);
        }
        // A negative backlog is a very long one, as it is to Linux.
        let backlog = if backlog < 0 { MAX_BACKLOG } else { backlog.min(MAX_BACKLOG) };
        let max_backlog = usize::try_from(backlog).unwrap_or(0);
        let mut state = self.state.lock();
        if state.address == UnixAddress::Unnamed {
            return Err(Errno::EINVAL);
        }
        match &mut state.role {
            Role::Connected(_) => return Err(Errno::EINVAL),
            Role::Listening(listening) => listening.max_backlog = max_backlog,
            Role::Idle => {
                state.role = Role::Listening(Listening { backlog: VecDeque::new(), max_backlog });
            }
        }
        state.peer_credentials = Some(credentials);
        drop(state);
        self.own.announce_room();
        Ok(())
    }

    /// Connects to `target`.
    ///
    /// # Errors
    /// EAGAIN if a listener's backlog is full (wait on [`Socket::room`] of it), ECONNREFUSED, EPROTOTYPE, EISCONN,
    /// EINVAL for a listener.
    pub(super) fn connect_to(&self, target: &Arc<Self>, credentials: PeerCredentials) -> Result<(), Errno> {
        if target.common.kind() != self.common.kind() {
            return Err(Errno::EPROTOTYPE);
        }
        match self.common.kind() {
            SocketKind::Datagram => self.connect_datagram(target),
            _ => self.connect_stream(target, credentials),
        }
    }

    fn connect_datagram(&self, target: &Arc<Self>) -> Result<(), Errno> {
        let is_self = std::ptr::eq(self, &**target);
        if !is_self && !target.own.inbox().accepts_from(&self.own) {
            return Err(Errno::EPERM);
        }
        let link = Link::new(&self.own, &target.own, target.address());
        let old = self.replace_peer(Role::Connected(link), Some(&target.own));
        self.part_from(old, Some(&target.own));
        self.own.queue.notify(WRITABLE);
        Ok(())
    }

    fn replace_peer(&self, role: Role, peer: Option<&Arc<Endpoint>>) -> Role {
        let mut state = self.state.lock();
        self.own.inbox().peer = peer.map(Arc::downgrade);
        std::mem::replace(&mut state.role, role)
    }

    /// What the former peer of a datagram socket has sent is lost, and one that is connected to this socket learns of it.
    fn part_from(&self, old: Role, new: Option<&Arc<Endpoint>>) {
        let Role::Connected(link) = &old else { return };
        if new.is_some_and(|new| Arc::ptr_eq(new, &link.peer)) || self.own.inbox().messages.is_empty() {
            return;
        }
        self.own.purge();
        let is_mutual = {
            let mut inbox = link.peer.inbox();
            let is_mutual = !inbox.is_gone && inbox.peer.is_some() && inbox.accepts_from(&self.own);
            if is_mutual {
                inbox.error = Some(Errno::ECONNRESET);
            }
            is_mutual
        };
        if is_mutual {
            link.peer.queue.notify(Events::ERR);
        }
    }

    /// Whether a connection could be put into the backlog.
    fn check_backlog(&self, state: &State) -> Result<(), Errno> {
        match &state.role {
            Role::Listening(_) if self.own.inbox().is_receive_shut => Err(Errno::ECONNREFUSED),
            Role::Listening(listening) if listening.backlog.len() > listening.max_backlog => {
                Err(Errno::EAGAIN)
            }
            Role::Listening(_) => heap::check_room(SocketCommon::HEAP_BYTES),
            _ => Err(Errno::ECONNREFUSED),
        }
    }

    fn connect_stream(&self, target: &Arc<Self>, credentials: PeerCredentials) -> Result<(), Errno> {
        if std::ptr::eq(self, &**target) {
            self.check_backlog(&self.state.lock())?;
            return Err(Errno::EINVAL);
        }
        let (mut state, mut listener) = self.lock_both(target);
        target.check_backlog(&listener)?;
        match state.role {
            Role::Idle => {}
            Role::Listening(_) => return Err(Errno::EINVAL),
            Role::Connected(_) => return Err(Errno::EISCONN),
        }
        let (address, listener_credentials) = (listener.address.clone(), listener.peer_credentials.clone());
        let Role::Listening(listening) = &mut listener.role else { return Err(Errno::ECONNREFUSED) };
        let accepted = Self::new(self.common.kind(), credentials.uid, credentials.gid, &self.home);
        accepted.is_embryo.store(true, Ordering::Relaxed);
        accepted.own.set_listener(Some(&target.own));
        let inherited = target.common.options();
        let options = accepted.common.change_options(|options| {
            for option in [SO_PASSCRED, SO_PASSPIDFD, SO_PASSSEC] {
                options.set_switch(option, inherited.switch(option)?)?;
            }
            Ok(())
        })?;
        accepted.options_changed(&options);
        {
            let mut other = accepted.state.lock();
            other.address = address.clone();
            other.role = Role::Connected(Link::new(&accepted.own, &self.own, state.address.clone()));
            other.peer_credentials = Some(credentials);
        }
        state.role = Role::Connected(Link::new(&self.own, &accepted.own, address));
        state.peer_credentials = listener_credentials;
        listening.backlog.push_back(accepted);
        drop(listener);
        drop(state);
        target.own.announce_arrival();
        self.own.queue.notify(WRITABLE);
        Ok(())
    }

    /// The states of two different sockets, locked in an order on which all agree.
    fn lock_both<'a>(&'a self, other: &'a Self) -> (MutexGuard<'a, State>, MutexGuard<'a, State>) {
        if self.own.id() < other.own.id() {
            let own = self.state.lock();
            (own, other.state.lock())
        } else {
            let others = other.state.lock();
            (self.state.lock(), others)
        }
    }

    /// Undoes the connection of a datagram socket (AF_UNSPEC).
    ///
    /// # Errors
    /// EINVAL for the other kinds.
    pub(super) fn part(&self) -> Result<(), Errno> {
        if self.common.kind().is_connection_based() {
            return Err(Errno::EINVAL);
        }
        let old = self.replace_peer(Role::Idle, None);
        self.part_from(old, None);
        self.own.queue.notify(WRITABLE);
        Ok(())
    }

    /// accept(2).
    ///
    /// # Errors
    /// EAGAIN, EINVAL if it does not listen or, for one who `waits`, is shut down, EOPNOTSUPP for datagrams.
    pub(super) fn take_connection(&self, waits: bool) -> Result<Arc<Self>, Errno> {
        if !self.common.kind().is_connection_based() {
            return Err(Errno::EOPNOTSUPP);
        }
        let accepted = {
            let mut state = self.state.lock();
            let Role::Listening(listening) = &mut state.role else { return Err(Errno::EINVAL) };
            let is_over = waits && self.own.inbox().is_receive_shut;
            listening.backlog.pop_front().ok_or(if is_over { Errno::EINVAL } else { Errno::EAGAIN })?
        };
        accepted.is_embryo.store(false, Ordering::Relaxed);
        accepted.own.set_listener(None);
        self.own.announce_room();
        Ok(accepted)
    }
}
