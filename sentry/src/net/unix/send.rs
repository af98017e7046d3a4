//! Sending.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::endpoint::{Endpoint, Message};
use super::rights::Rights;
use super::{Role, UnixSocket};
use crate::Errno;
use crate::net::{Outgoing, PeerCredentials, SocketKind};
use crate::wait::Events;

/// Bytes in one message of a stream.
const STREAM_MESSAGE_BYTES: usize = 32 * 1024;
/// The least that one message of a stream may hold: half of the smallest send buffer, less its margin.
pub(super) const PIECE_BYTES_MIN: u64 = 2240;
/// How much smaller than the send buffer a datagram has to be.
const DATAGRAM_MARGIN_BYTES: usize = 32;

impl UnixSocket {
    /// Sends to the peer, or a datagram to `target`. A stream may take a part.
    ///
    /// # Errors
    /// EAGAIN (a datagram's sender waits on [`Socket::room`](crate::net::Socket::room) of the target too), EPIPE, ENOTCONN, EISCONN, EOPNOTSUPP, EMSGSIZE,
    /// EPERM, ECONNREFUSED, ECONNRESET, ETOOMANYREFS.
    pub(crate) fn send_to(&self, outgoing: Outgoing<'_>, target: Option<&Arc<Self>>) -> Result<usize, Errno> {
        match self.common.kind() {
            SocketKind::Stream => self.send_stream(outgoing, target.is_some()),
            _ => {
                self.check_message(outgoing.bytes.len(), target.is_some())?;
                self.send_message(outgoing, target)
            }
        }
    }

    /// Fails unless a message, or for a stream a part of one, could be sent now: what Linux finds out before it looks at the
    /// bytes, or at where a datagram goes.
    ///
    /// # Errors
    /// As [`UnixSocket::send_to`].
    pub(super) fn check_message(&self, len_bytes: usize, has_target: bool) -> Result<(), Errno> {
        if !has_target || self.common.kind() != SocketKind::Datagram {
            self.check_connection()?;
        }
        if self.common.kind() != SocketKind::Stream
            && len_bytes + DATAGRAM_MARGIN_BYTES > self.own.send_buffer_bytes()
        {
            return Err(Errno::EMSGSIZE);
        }
        if self.common.kind() == SocketKind::Stream && self.own.inbox().is_send_shut {
            return Err(Errno::EPIPE);
        }
        self.check_room()
    }

    /// Fails unless there is a peer to send to.
    ///
    /// # Errors
    /// ENOTCONN; before it, for sequenced packets, the pending error.
    pub(super) fn check_connection(&self) -> Result<(), Errno> {
        if self.common.kind() == SocketKind::SequencedPacket {
            self.own.inbox().check_error()?;
        }
        self.connected_peer().map(drop)
    }

    fn connected_peer(&self) -> Result<Arc<Endpoint>, Errno> {
        match &self.state.lock().role {
            Role::Connected(link) => Ok(link.peer.clone()),
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn check_room(&self) -> Result<(), Errno> {
        {
            let mut inbox = self.own.inbox();
            inbox.check_error()?;
            if inbox.is_send_shut {
                return Err(Errno::EPIPE);
            }
        }
        if self.own.has_room() { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    /// What the receiver is told of the sender: nothing unless one of them wants it.
    fn shown_credentials(&self, outgoing: &Outgoing<'_>, peer: &Endpoint) -> Option<PeerCredentials> {
        let is_wanted = outgoing.shows_credentials
            || self.own.passes_credentials.load(Ordering::Relaxed)
            || peer.passes_credentials.load(Ordering::Relaxed);
        is_wanted.then(|| outgoing.credentials.clone())
    }

    fn send_stream(&self, mut outgoing: Outgoing<'_>, has_target: bool) -> Result<usize, Errno> {
        let peer = match self.connected_peer() {
            Ok(_) if has_target => return Err(Errno::EISCONN),
            Err(_) if has_target => return Err(Errno::EOPNOTSUPP),
            peer => peer?,
        };
        if self.own.inbox().is_send_shut && !outgoing.has_waited {
            return Err(Errno::EPIPE);
        }
        let piece_bytes =
            STREAM_MESSAGE_BYTES.min((self.own.send_buffer_bytes() / 2).saturating_sub(64)).max(1);
        let mut rights = Rights::new(std::mem::take(&mut outgoing.files), &peer, self.home.in_flight())?;
        let credentials = self.shown_credentials(&outgoing, &peer);
        let sender = self.address();
        let (plain, urgent) =
            outgoing.bytes.split_at(outgoing.bytes.len().saturating_sub(usize::from(outgoing.is_urgent)));
        let pieces = plain
            .chunks(piece_bytes)
            .map(|piece| (piece, false))
            .chain(Some((urgent, true)).filter(|(urgent, _)| !urgent.is_empty()));
        let mut sent = 0;
        let mut refusal = None;
        for (piece, is_urgent) in pieces {
            let make = || {
                self.check_room()?;
                Message::new(piece, &self.own, sender.clone())
            };
            let message = make().map(|mut message| {
                message.credentials = credentials.clone();
                message.rights = rights.take();
                message.is_urgent = is_urgent;
                message
            });
            match message.and_then(|message| put_piece(&peer, message)) {
                Ok(()) => sent += piece.len(),
                Err(error) => {
                    refusal = Some(error);
                    break;
                }
            }
        }
        if sent > 0 {
            peer.announce_arrival();
        }
        match refusal {
            Some(error) if sent == 0 => Err(error),
            _ => Ok(sent),
        }
    }

    /// Sends one message that keeps its bounds, once [`UnixSocket::check_message`] has allowed it.
    ///
    /// # Errors
    /// As [`UnixSocket::send_to`].
    pub(super) fn send_message(
        &self,
        mut outgoing: Outgoing<'_>,
        target: Option<&Arc<Self>>,
    ) -> Result<usize, Errno> {
        let (own_address, peer) = {
            let state = self.state.lock();
            let peer = match (&state.role, target) {
                (_, Some(target)) => target.own.clone(),
                (Role::Connected(link), None) => link.peer.clone(),
                (_, None) => return Err(Errno::ENOTCONN),
            };
            (state.address.clone(), peer)
        };
        if target.is_some_and(|target| target.common.kind() != self.common.kind()) {
            return Err(Errno::EPROTOTYPE);
        }
        let rights = Rights::new(std::mem::take(&mut outgoing.files), &peer, self.home.in_flight())?;
        let mut message = Message::new(outgoing.bytes, &self.own, own_address)?;
        message.rights = rights;
        message.credentials = self.shown_credentials(&outgoing, &peer);
        let result = self.put(&peer, message);
        if result == Err(Errno::ECONNREFUSED) && target.is_none() {
            // The peer is gone for good, and this socket is free again.
            self.part()?;
        }
        result?;
        peer.announce_arrival();
        Ok(outgoing.bytes.len())
    }

    fn put(&self, peer: &Arc<Endpoint>, message: Message) -> Result<(), Errno> {
        let is_datagram = self.common.kind() == SocketKind::Datagram;
        let is_self = Arc::ptr_eq(&self.own, peer);
        // The inbox is unlocked before a message that is refused is dropped, for it may hold files.
        let mut inbox = peer.inbox();
        let refusal = match () {
            () if is_datagram && !inbox.accepts_from(&self.own) && !is_self => Some(Errno::EPERM),
            () if inbox.is_gone && is_datagram => Some(Errno::ECONNREFUSED),
            () if inbox.is_receive_shut => Some(Errno::EPIPE),
            () if is_datagram && !is_self && inbox.is_full_for(&self.own) => Some(Errno::EAGAIN),
            () => None,
        };
        if let Some(error) = refusal {
            drop(inbox);
            return Err(error);
        }
        inbox.messages.push_back(message);
        Ok(())
    }
}

/// Puts a part of a stream into the inbox of `peer`, which sees the mark of the latest urgent byte alone.
fn put_piece(peer: &Endpoint, message: Message) -> Result<(), Errno> {
    let is_urgent = message.is_urgent;
    let mut inbox = peer.inbox();
    if inbox.is_receive_shut {
        drop(inbox);
        return Err(Errno::EPIPE);
    }
    if is_urgent {
        inbox.messages.iter_mut().for_each(|earlier| earlier.is_urgent = false);
    }
    inbox.messages.push_back(message);
    drop(inbox);
    if is_urgent {
        peer.queue.notify(Events::PRI);
    }
    Ok(())
}
