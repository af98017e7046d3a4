//! bind, listen, connect, accept and socketpair.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use super::{
    BoundName, Link, Listening, PeerCredentials, Role, SocketKind, State, UnixAddress, UnixSocket,
    UnixSockets,
};
use crate::Errno;
use crate::wait::{Events, WaitQueue};

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

    /// Binds to `path`: `make_name` makes the inode and attaches the [`BoundName`] to it.
    ///
    /// # Errors
    /// EINVAL if it is bound already, and the errors of `make_name`.
    pub fn bind_path(
        self: &Arc<Self>,
        path: &[u8],
        make_name: impl FnOnce(Arc<BoundName>) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.address != UnixAddress::Unnamed {
            return Err(Errno::EINVAL);
        }
        make_name(Arc::new(BoundName(Arc::downgrade(self))))?;
        state.address = UnixAddress::Path(path.into());
        Ok(())
    }

    /// listen(2). Again, it changes the backlog.
    ///
    /// # Errors
    /// EOPNOTSUPP for datagrams, EINVAL if it is not bound, or connected.
    pub fn listen(&self, backlog: i32, credentials: PeerCredentials) -> Result<(), Errno> {
        if !self.kind.is_connection_based() {
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
            Role::Listening(listening) => {
                (listening.max_backlog, listening.credentials) = (max_backlog, credentials);
            }
            Role::Idle => {
                let listening = Listening { backlog: VecDeque::new(), max_backlog, credentials };
                state.role = Role::Listening(listening);
            }
        }
        drop(state);
        self.own.announce_room();
        Ok(())
    }

    /// Connects to `target`.
    ///
    /// # Errors
    /// EAGAIN if a listener's backlog is full (wait on [`UnixSocket::room`] of it), ECONNREFUSED, EPROTOTYPE, EISCONN,
    /// EINVAL for a listener.
    pub fn connect(&self, target: &Arc<Self>, credentials: PeerCredentials) -> Result<(), Errno> {
        if target.kind != self.kind {
            return Err(Errno::EPROTOTYPE);
        }
        match self.kind {
            SocketKind::Datagram => self.connect_datagram(target, credentials),
            _ => self.connect_stream(target, credentials),
        }
    }

    fn connect_datagram(&self, target: &Arc<Self>, credentials: PeerCredentials) -> Result<(), Errno> {
        let is_self = std::ptr::eq(self, &**target);
        if !is_self && !target.accepts_from(self) {
            return Err(Errno::EPERM);
        }
        let peer_address = target.address();
        let mut state = self.state.lock();
        let old = std::mem::replace(
            &mut state.role,
            Role::Connected(Link::new(&self.own, &target.own, peer_address)),
        );
        state.peer_credentials = Some(credentials);
        drop(state);
        drop(old);
        self.own.queue.notify(Events::OUT);
        Ok(())
    }

    fn connect_stream(&self, target: &Arc<Self>, credentials: PeerCredentials) -> Result<(), Errno> {
        if std::ptr::eq(self, &**target) {
            return Err(Errno::ECONNREFUSED);
        }
        let (mut state, mut listener) = self.lock_both(target);
        match state.role {
            Role::Idle => {}
            Role::Listening(_) => return Err(Errno::EINVAL),
            Role::Connected(_) => return Err(Errno::EISCONN),
        }
        let address = listener.address.clone();
        let Role::Listening(listening) = &mut listener.role else { return Err(Errno::ECONNREFUSED) };
        if target.own.inbox().is_shut {
            return Err(Errno::ECONNREFUSED);
        }
        if listening.backlog.len() > listening.max_backlog {
            return Err(Errno::EAGAIN);
        }
        let accepted = Self::new(self.kind, credentials.uid, credentials.gid, &self.home);
        accepted.is_embryo.store(true, Ordering::Relaxed);
        *accepted.options.lock() = target.options();
        {
            let mut other = accepted.state.lock();
            other.address = address.clone();
            other.role = Role::Connected(Link::new(&accepted.own, &self.own, state.address.clone()));
            other.peer_credentials = Some(credentials);
        }
        state.role = Role::Connected(Link::new(&self.own, &accepted.own, address));
        state.peer_credentials = Some(listening.credentials.clone());
        listening.backlog.push_back(accepted);
        drop(listener);
        drop(state);
        target.own.announce_arrival();
        self.own.queue.notify(Events::OUT);
        Ok(())
    }

    /// The states of two different sockets, locked in an order on which all agree.
    fn lock_both<'a>(&'a self, other: &'a Self) -> (MutexGuard<'a, State>, MutexGuard<'a, State>) {
        if std::ptr::from_ref(self).addr() < std::ptr::from_ref(other).addr() {
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
    pub fn disconnect(&self) -> Result<(), Errno> {
        if self.kind.is_connection_based() {
            return Err(Errno::EINVAL);
        }
        let old = std::mem::take(&mut self.state.lock().role);
        drop(old);
        Ok(())
    }

    /// accept(2).
    ///
    /// # Errors
    /// EAGAIN, EINVAL if it does not listen, EOPNOTSUPP for datagrams.
    pub fn accept(&self) -> Result<Arc<Self>, Errno> {
        if !self.kind.is_connection_based() {
            return Err(Errno::EOPNOTSUPP);
        }
        let accepted = {
            let mut state = self.state.lock();
            let Role::Listening(listening) = &mut state.role else { return Err(Errno::EINVAL) };
            listening.backlog.pop_front().ok_or(Errno::EAGAIN)?
        };
        accepted.is_embryo.store(false, Ordering::Relaxed);
        self.own.announce_room();
        Ok(accepted)
    }

    /// Where room is announced to those who connect or send here: in the backlog, or for messages.
    pub fn room(&self) -> &WaitQueue {
        &self.own.room
    }

    /// Whether datagrams of `sender` are taken: a connected socket takes only its peer's.
    pub(super) fn accepts_from(&self, sender: &Self) -> bool {
        match &self.state.lock().role {
            Role::Connected(link) => Arc::ptr_eq(&link.peer, &sender.own),
            _ => true,
        }
    }
}
