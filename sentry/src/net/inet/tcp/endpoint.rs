//! One end of a connection: what arrives there, and what is said about it.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::bytes::ByteQueue;
use super::outbox::Outbox;
use super::segments::{Arrivals, Home};
use crate::Errno;
use crate::net::{Counter, SocketMemory, SocketOptions};
use crate::wait::{Events, WaitQueue};

/// What tells a writer that there is room.
pub(super) const WRITABLE: Events = Events::OUT.union(Events::WRNORM);
/// What tells a reader that there is something.
pub(super) const READABLE: Events = Events::IN.union(Events::RDNORM);
/// Everything that the end of a connection may mean.
pub(super) const ENDED: Events =
    READABLE.union(WRITABLE).union(Events::RDHUP).union(Events::HUP).union(Events::ERR);

/// How much may wait at each end when sockets have taken much of their memory, in bytes.
const CAPACITY_UNDER_PRESSURE: usize = 32 * 1024;

/// What has arrived at one end, and how far the connection has got.
pub(super) struct Inbox {
    pub(super) bytes: ByteQueue,
    /// The peer sends nothing any more (FIN).
    pub(super) has_ended: bool,
    /// The connection was broken off (RST), or both ends have closed it.
    pub(super) is_reset: bool,
    /// shutdown(2) here: nothing more is read.
    pub(super) is_receive_shut: bool,
    /// This end sends nothing any more.
    pub(super) is_send_shut: bool,
    /// It was this end that ended the connection first.
    pub(super) closes_first: bool,
    /// The socket is gone: what arrives is answered with a reset.
    pub(super) is_gone: bool,
    /// For SO_ERROR.
    pub(super) error: Option<Errno>,
    /// SO_PEEK_OFF.
    pub(super) peek_offset: Option<usize>,
    /// SO_RCVBUF here and SO_SNDBUF at the peer, in bytes.
    pub(super) receive_buffer_bytes: u32,
    pub(super) peer_send_buffer_bytes: u32,
    /// The peer has found no room.
    pub(super) peer_waits: bool,
    /// Who listens, and is told of the connection with its first bytes (TCP_DEFER_ACCEPT).
    pub(super) listener: Option<WaitQueue>,
}

impl Inbox {
    /// How many bytes may wait here. Half of the receive buffer is for what a packet costs beside its bytes; what waits to be sent
    /// is in large pieces, which cost next to nothing.
    fn capacity(&self, memory: &SocketMemory) -> usize {
        let buffers = u64::from(self.receive_buffer_bytes / 2) + u64::from(self.peer_send_buffer_bytes);
        let capacity = usize::try_from(buffers).unwrap_or(usize::MAX);
        if memory.is_under_pressure() { capacity.min(CAPACITY_UNDER_PRESSURE) } else { capacity }
    }

    /// How many bytes of what has come fit into the receive buffer; what is behind them is, to Linux, with the peer still.
    pub(super) fn window_bytes(&self) -> usize {
        let buffer = (self.receive_buffer_bytes / 2) as usize;
        // A window grows with what comes.
        if self.bytes.written_bytes() > buffer as u64 { buffer.saturating_mul(2) } else { buffer }
    }

    /// How many bytes have come that nobody has read, to Linux.
    pub(super) fn arrived_bytes(&self) -> usize {
        self.bytes.unread_bytes().min(self.window_bytes())
    }

    /// What waits at the peer, to Linux, for want of room here.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.bytes.unread_bytes().saturating_sub(self.window_bytes())
    }

    /// How many more bytes the peer may send.
    pub(super) fn room(&self, memory: &SocketMemory) -> usize {
        self.capacity(memory).saturating_sub(self.bytes.unread_bytes())
    }

    /// Whether a third is free: a writer is woken when much fits, not when a byte does.
    pub(super) fn has_ample_room(&self, memory: &SocketMemory) -> bool {
        self.bytes.unread_bytes().saturating_mul(3) <= self.capacity(memory).saturating_mul(2)
    }

    /// Whether nothing is left of the connection: all has arrived once both have ended it.
    pub(super) fn is_closed(&self) -> bool {
        self.is_reset || self.has_ended && self.is_send_shut
    }

    /// Whether bytes that come are answered with a reset: nobody reads them any more, nor has anything to say.
    pub(super) fn refuses_bytes(&self) -> bool {
        self.is_gone || self.is_receive_shut && self.is_send_shut
    }

    pub(super) fn is_reading_over(&self) -> bool {
        self.has_ended || self.is_reset || self.is_receive_shut
    }

    pub(super) fn is_sending_over(&self) -> bool {
        self.is_send_shut || self.is_reset
    }
}

/// One end of a connection.
pub(super) struct Endpoint {
    inbox: Mutex<Inbox>,
    outbox: Mutex<Outbox>,
    pub(super) memory: Arc<SocketMemory>,
    /// Where it counts, and what has come.
    pub(super) home: Home,
    pub(super) arrivals: Arrivals,
    /// Announces to those who use the socket.
    pub(super) queue: WaitQueue,
}

impl Endpoint {
    /// An end whose socket has `options`; the peer's send buffer is that of `peer_options`.
    pub(super) fn new(
        options: &SocketOptions,
        peer_options: &SocketOptions,
        memory: &Arc<SocketMemory>,
        (home, queue): (Home, &WaitQueue),
    ) -> Arc<Self> {
        let inbox = Inbox {
            bytes: ByteQueue::new(memory),
            has_ended: false,
            is_reset: false,
            is_receive_shut: false,
            is_send_shut: false,
            closes_first: false,
            is_gone: false,
            error: None,
            peek_offset: None,
            receive_buffer_bytes: options.receive_buffer_bytes,
            peer_send_buffer_bytes: peer_options.send_buffer_bytes,
            peer_waits: false,
            listener: None,
        };
        let outbox = Mutex::new(Outbox::new(memory));
        let (inbox, arrivals) = (Mutex::new(inbox), Arrivals::new(home.timekeeper()));
        Arc::new(Self { inbox, outbox, memory: memory.clone(), home, arrivals, queue: queue.clone() })
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock()
    }

    /// What it holds back. Its lock comes before that of an inbox.
    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock()
    }

    /// Something has arrived: who uses the socket is told, and who waits to accept it.
    pub(super) fn announce(&self, events: Events) {
        self.queue.notify(events);
        let listener = self.inbox().listener.take();
        if let Some(listener) = listener {
            listener.notify(READABLE);
        }
    }

    /// Breaks the connection off as this end sees it (RST).
    pub(super) fn reset(&self) {
        {
            let mut inbox = self.inbox();
            if inbox.is_reset || inbox.is_gone {
                return;
            }
            // To one who knew that the peer had ended, it is a broken pipe.
            inbox.error = Some(if inbox.has_ended { Errno::EPIPE } else { Errno::ECONNRESET });
            inbox.is_reset = true;
            if !inbox.is_send_shut {
                self.home.count(Counter::TcpEstablishedReset);
            }
        }
        self.announce(ENDED);
    }

    /// The peer sends nothing any more (FIN).
    pub(super) fn end(&self) {
        self.inbox().has_ended = true;
        self.announce(READABLE | Events::RDHUP | Events::HUP);
    }

    /// This end sends nothing any more. Returns whether that is new.
    pub(super) fn shut_sending(&self) -> bool {
        let mut inbox = self.inbox();
        inbox.closes_first |= !inbox.has_ended && !inbox.is_send_shut;
        !std::mem::replace(&mut inbox.is_send_shut, true)
    }
}
