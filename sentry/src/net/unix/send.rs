//! Sending.

use std::sync::Arc;

use super::endpoint::{Endpoint, MAX_QUEUED_MESSAGES, Message};
use super::{PeerCredentials, Rights, Role, SocketKind, UnixAddress, UnixSocket};
use crate::Errno;
use crate::fs::FileDescription;

/// Bytes in one message of a stream.
const STREAM_MESSAGE_BYTES: usize = 32 * 1024;
/// How much smaller than the send buffer a datagram has to be.
const DATAGRAM_MARGIN_BYTES: usize = 32;

/// What is to be sent.
#[derive(Clone, Default)]
pub struct Outgoing<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Who sends.
    pub credentials: PeerCredentials,
    /// Files to go with it.
    pub files: Vec<Arc<FileDescription>>,
}

impl UnixSocket {
    /// Sends to the peer, or a datagram to `target`. A stream may take a part.
    ///
    /// # Errors
    /// EAGAIN (a datagram's sender waits on [`UnixSocket::room`] of the target), EPIPE, ENOTCONN, EISCONN, EOPNOTSUPP, EMSGSIZE, EPERM,
    /// ECONNREFUSED, ETOOMANYREFS.
    pub fn send(&self, outgoing: Outgoing<'_>, target: Option<&Arc<Self>>) -> Result<usize, Errno> {
        match self.kind {
            SocketKind::Stream => self.send_stream(outgoing, target.is_some()),
            SocketKind::Datagram => self.send_datagram(outgoing, target),
            SocketKind::SequencedPacket => {
                let peer = self.connected_peer(false)?;
                self.check_error()?;
                self.put(&peer, outgoing, true)
            }
        }
    }

    fn connected_peer(&self, has_target: bool) -> Result<Arc<Endpoint>, Errno> {
        let state = self.state.lock();
        match (&state.role, has_target) {
            (Role::Connected(_), true) => Err(Errno::EISCONN),
            (_, true) => Err(Errno::EOPNOTSUPP),
            (Role::Connected(_), false) if state.is_send_shut => Err(Errno::EPIPE),
            (Role::Connected(link), false) => Ok(link.peer.clone()),
            (_, false) => Err(Errno::ENOTCONN),
        }
    }

    fn check_error(&self) -> Result<(), Errno> {
        match self.take_error() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn send_buffer_bytes(&self) -> usize {
        self.options.lock().send_buffer_bytes as usize
    }

    fn send_stream(&self, outgoing: Outgoing<'_>, has_target: bool) -> Result<usize, Errno> {
        let peer = self.connected_peer(has_target)?;
        let send_buffer = self.send_buffer_bytes();
        let piece_bytes = STREAM_MESSAGE_BYTES.min(send_buffer / 2 - 64);
        let mut rights = make_rights(outgoing.files)?;
        let mut sent = 0;
        let mut refusal = Errno::EAGAIN;
        let result = {
            let mut inbox = peer.inbox();
            if inbox.is_shut {
                return Err(Errno::EPIPE);
            }
            for piece in outgoing.bytes.chunks(piece_bytes) {
                if inbox.cost_bytes >= send_buffer {
                    break;
                }
                let Ok(mut message) = Message::new(piece, outgoing.credentials.clone(), UnixAddress::Unnamed)
                else {
                    refusal = Errno::ENOBUFS;
                    break;
                };
                message.rights = rights.take();
                inbox.push(message);
                sent += piece.len();
            }
            if sent == 0 && !outgoing.bytes.is_empty() { Err(refusal) } else { Ok(sent) }
        };
        // Unlocked: files that are not sent are let go.
        drop(rights);
        if sent > 0 {
            peer.announce_arrival();
        }
        result
    }

    fn send_datagram(&self, outgoing: Outgoing<'_>, target: Option<&Arc<Self>>) -> Result<usize, Errno> {
        self.check_error()?;
        let Some(target) = target else {
            let peer = match &self.state.lock().role {
                Role::Connected(link) => link.peer.clone(),
                _ => return Err(Errno::ENOTCONN),
            };
            let result = self.put(&peer, outgoing, true);
            if result == Err(Errno::ECONNREFUSED) {
                // The peer is gone for good, and this socket is free again.
                self.disconnect()?;
            }
            return result;
        };
        if target.kind != self.kind {
            return Err(Errno::EPROTOTYPE);
        }
        if !std::ptr::eq(self, &**target) && !target.accepts_from(self) {
            return Err(Errno::EPERM);
        }
        self.put(&target.own, outgoing, false)
    }

    /// Puts one message that keeps its bounds into `peer`'s inbox.
    fn put(&self, peer: &Endpoint, outgoing: Outgoing<'_>, is_connected: bool) -> Result<usize, Errno> {
        let (len_bytes, send_buffer) = (outgoing.bytes.len(), self.send_buffer_bytes());
        if len_bytes > send_buffer - DATAGRAM_MARGIN_BYTES {
            return Err(Errno::EMSGSIZE);
        }
        let (sender, is_send_shut) = {
            let state = self.state.lock();
            (state.address.clone(), state.is_send_shut)
        };
        if is_send_shut {
            return Err(Errno::EPIPE);
        }
        let rights = make_rights(outgoing.files)?;
        let mut message = Message::new(outgoing.bytes, outgoing.credentials, sender)?;
        message.rights = rights;
        let refused = {
            let mut inbox = peer.inbox();
            // As on Linux, the last message may overrun: who is told of room (a quarter is used) can send any.
            let is_full = inbox.cost_bytes >= send_buffer
                || !is_connected && inbox.messages.len() >= MAX_QUEUED_MESSAGES;
            match () {
                () if inbox.is_gone && !self.kind.is_connection_based() => {
                    Err((Errno::ECONNREFUSED, message))
                }
                () if inbox.is_shut => Err((Errno::EPIPE, message)),
                () if is_full => Err((Errno::EAGAIN, message)),
                () => {
                    inbox.push(message);
                    Ok(())
                }
            }
        };
        // Unlocked: the message that was refused may hold files.
        refused.map_err(|(error, message)| {
            drop(message);
            error
        })?;
        peer.announce_arrival();
        Ok(len_bytes)
    }
}

fn make_rights(files: Vec<Arc<FileDescription>>) -> Result<Option<Rights>, Errno> {
    if files.is_empty() { Ok(None) } else { Rights::new(files).map(Some) }
}
