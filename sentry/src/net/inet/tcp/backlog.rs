//! Listening: the backlog, those who want in, and accept(2).

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use super::endpoint::READABLE;
use super::{Bound, Role, TcpSocket};
use crate::Errno;
use crate::net::SocketAddress;
use crate::net::outside::Ticket;

/// What a listener has.
#[derive(Default)]
pub(super) struct Listener {
    pub(super) backlog: VecDeque<Arc<TcpSocket>>,
    pub(super) max_backlog: usize,
    /// Those who have found the backlog full, in the order in which they came.
    pub(super) waiting: VecDeque<Weak<TcpSocket>>,
    /// Connections from the outside that have found it full; the door bounds them.
    pub(super) overflowing: VecDeque<Overflowing>,
}

/// A connection from the outside that waits for its place in a backlog.
pub(super) struct Overflowing {
    pub(super) accepted: Arc<TcpSocket>,
    pub(super) _ticket: Ticket,
}

impl Listener {
    /// The first connection that can be accepted: not one that waits for its first bytes.
    pub(super) fn first_ready(&self) -> Option<usize> {
        self.backlog.iter().position(|accepted| match &accepted.state.lock().role {
            Role::Connected(connection) => connection.own.inbox().listener.is_none(),
            _ => true,
        })
    }

    /// Whether one more connection fits: as on Linux, one more than was asked for.
    pub(super) fn has_room(&self) -> bool {
        self.backlog.len() <= self.max_backlog
    }
}

impl TcpSocket {
    /// listen(2). Again, it changes the backlog.
    pub(super) fn listen_with(&self, backlog: i32) -> Result<(), Errno> {
        let longest = self.inet.settings().max_backlog();
        // A negative backlog is a very long one, as it is to Linux.
        let max_backlog = usize::try_from(backlog.cast_unsigned().min(longest)).unwrap_or(0);
        let mut state = self.state.lock();
        match &mut state.role {
            Role::Listening(listener) => {
                listener.max_backlog = max_backlog;
                return Ok(());
            }
            Role::Closed => {}
            _ => return Err(Errno::EINVAL),
        }
        match &state.bound {
            Some(bound) => bound.port.change(|claim| *claim = self.inet.claim(claim.address, true))?,
            None => {
                let address = self.inet.unbound();
                let claim = self.inet.claim(address.ip(), true);
                state.bound = Some(self.claim_port(address, claim)?);
            }
        }
        state.is_shut = false;
        state.role = Role::Listening(Listener { max_backlog, ..Listener::default() });
        Ok(())
    }

    /// accept(2).
    pub(super) fn take_connection(&self) -> Result<(Arc<Self>, SocketAddress), Errno> {
        let (accepted, waiting, _ticket) = {
            let mut state = self.state.lock();
            let Role::Listening(listener) = &mut state.role else { return Err(Errno::EINVAL) };
            let ready = listener.first_ready().ok_or(Errno::EAGAIN)?;
            let accepted = listener.backlog.remove(ready).ok_or(Errno::EAGAIN)?;
            // Its ticket is given back unlocked.
            let ticket = listener.overflowing.pop_front().map(|Overflowing { accepted, _ticket }| {
                listener.backlog.push_back(accepted);
                _ticket
            });
            (accepted, listener.waiting.pop_front(), ticket)
        };
        // Unlocked, for the one let in locks both.
        if let Some((client, listener)) = waiting.as_ref().and_then(Weak::upgrade).zip(self.me.upgrade()) {
            client.try_again(&listener);
        }
        let remote = {
            let mut state = accepted.state.lock();
            match &mut state.role {
                Role::Connected(connection) => {
                    connection.is_embryo = false;
                    connection.remote
                }
                Role::Outside(connection) => connection.remote,
                _ => return Err(Errno::ECONNABORTED),
            }
        };
        accepted.keep_alive();
        let peer = accepted.inet.encode(remote);
        Ok((accepted, peer))
    }

    /// Stops listening: who waits is refused, and who is in the backlog is broken off.
    pub(super) fn stop_listening(&self) -> bool {
        let role = {
            let mut state = self.state.lock();
            if !matches!(state.role, Role::Listening(_)) {
                return false;
            }
            if let Some(bound) = &state.bound {
                // It can only conflict less.
                let _changed = bound.port.change(|claim| claim.is_listening = false);
            }
            state.bound = state.bound.take().filter(|bound: &Bound| bound.is_port_given);
            std::mem::take(&mut state.role)
        };
        if let Role::Listening(listener) = role {
            listener.refuse_all();
        }
        self.queue.notify(READABLE);
        true
    }
}

impl Listener {
    /// Refuses who waits; the backlog is dropped with the listener.
    pub(super) fn refuse_all(self) {
        for client in self.waiting.iter().filter_map(Weak::upgrade) {
            client.fail_connect(Errno::ECONNREFUSED);
        }
    }
}
