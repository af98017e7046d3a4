//! What one end has sent and holds back: for more to come (TCP_CORK, MSG_MORE), or because nothing gets through to the peer.

use std::sync::Arc;

use super::bytes::{ByteQueue, Taking};
use super::endpoint::{Endpoint, READABLE, WRITABLE};
use super::info::loopback_segment_bytes;
use super::wire::Wire;
use crate::Errno;
use crate::net::SocketMemory;

/// The bytes that an end holds back, in order.
pub(super) struct Outbox {
    bytes: ByteQueue,
    /// Behind them, the end sends nothing any more (FIN).
    has_ended: bool,
}

/// Both ends of a connection as one of them sees it, and the way to the other.
#[derive(Clone)]
pub(super) struct Ends {
    pub(super) own: Arc<Endpoint>,
    pub(super) peer: Arc<Endpoint>,
    /// `None` within a namespace.
    pub(super) wire: Option<Arc<Wire>>,
}

/// How much of what is held back goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// Whole segments.
    Segments,
    /// Everything.
    All,
}

impl Outbox {
    pub(super) fn new(memory: &Arc<SocketMemory>) -> Self {
        Self { bytes: ByteQueue::new(memory), has_ended: false }
    }

    /// How many bytes are held back.
    pub(super) fn len_bytes(&self) -> usize {
        self.bytes.unread_bytes()
    }

    /// Whether nothing waits to go out.
    pub(super) fn is_empty(&self) -> bool {
        self.len_bytes() == 0 && !self.has_ended
    }
}

impl Ends {
    /// Whether what is sent gets through.
    pub(super) fn is_open(&self) -> bool {
        self.wire.as_ref().map_or_else(|| self.own.home.is_open(), |wire| wire.is_open())
    }

    /// The largest segment, in bytes: Linux sends no more at once than half of the largest window that it knows of.
    pub(super) fn segment_bytes(&self) -> usize {
        let most = match &self.wire {
            Some(wire) => wire.segment_bytes as usize,
            None => loopback_segment_bytes(self.own.home.is_ipv4()) as usize,
        };
        most.min(self.peer.inbox().window_bytes() / 2).max(1)
    }

    /// Whether the peer is to be told only later.
    pub(super) fn is_holding(&self) -> bool {
        !self.own.outbox().is_empty()
    }

    /// What has been sent and, to Linux, waits at this end: for more to come, or for room at the peer.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.own.outbox().len_bytes() + self.peer.inbox().unsent_bytes()
    }

    /// Holds bytes back, as many as the send buffer has room for.
    ///
    /// # Errors
    /// EAGAIN, ENOBUFS.
    pub(super) fn hold(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let capacity = (self.peer.inbox().peer_send_buffer_bytes / 2) as usize;
        let mut outbox = self.own.outbox();
        let room = capacity.saturating_sub(outbox.len_bytes());
        if room == 0 && !bytes.is_empty() {
            return Err(Errno::EAGAIN);
        }
        outbox.bytes.push(bytes.get(..room).unwrap_or(bytes))
    }

    /// Whether more can be held back.
    pub(super) fn has_room_to_hold(&self) -> bool {
        let capacity = (self.peer.inbox().peer_send_buffer_bytes / 2) as usize;
        self.own.outbox().len_bytes() < capacity
    }

    /// Sends what is held back, as far as it gets through and the peer has room.
    pub(super) fn flush(&self, how: Flush) {
        if !self.is_holding() || !self.is_open() {
            return;
        }
        let (sent, is_over) = self.pass_on(how);
        if sent > 0 {
            self.count(sent);
            self.peer.announce(READABLE);
            self.own.queue.notify(WRITABLE);
        }
        if is_over {
            self.count_end();
            self.peer.end();
        }
    }

    /// Returns how many bytes went over, and whether the end came with them.
    fn pass_on(&self, how: Flush) -> (usize, bool) {
        let segment_bytes = self.segment_bytes();
        let mut outbox = self.own.outbox();
        let held = outbox.len_bytes();
        let due = if how == Flush::All { held } else { held - held % segment_bytes };
        let mut inbox = self.peer.inbox();
        let is_gone = inbox.refuses_bytes();
        let max_bytes = if is_gone { due } else { due.min(inbox.room(&self.peer.memory)) };
        inbox.peer_waits |= max_bytes < due;
        let target = &mut inbox.bytes;
        let mut take = |piece: &[u8]| is_gone || target.push(piece).is_ok_and(|pushed| pushed == piece.len());
        let taking = Taking { max_bytes, peek_offset: None, is_urgent_inline: true, take: &mut take };
        let sent = if max_bytes == 0 { 0 } else { outbox.bytes.read(taking).unwrap_or(0) };
        drop(inbox);
        let is_over = outbox.len_bytes() == 0 && std::mem::take(&mut outbox.has_ended);
        drop(outbox);
        if is_gone && sent > 0 {
            self.count_lost(sent);
            // The answer is a reset.
            self.own.reset();
            self.peer.reset();
            return (0, false);
        }
        (sent, is_over)
    }

    /// The end sends nothing any more: the peer is told behind all that is held back.
    pub(super) fn end(&self) {
        self.own.outbox().has_ended = true;
        self.flush(Flush::All);
    }

    /// Drops what is held back.
    pub(super) fn clear(&self) {
        let memory = self.own.memory.clone();
        *self.own.outbox() = Outbox::new(&memory);
    }
}
