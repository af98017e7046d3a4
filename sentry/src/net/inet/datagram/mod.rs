//! What sockets of datagrams have in common, UDP's as well as raw ones and those of echoes: what has arrived, what went wrong, and how
//! both are received.

mod errors;
mod told;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};
use linux_raw_sys::net as uapi;
use parking_lot::Mutex;

pub(super) use self::errors::{ErrorOrigin, ErrorWay, QueuedError};

use super::bound::InetSocket;
use crate::Errno;
use crate::fs::Caller;
use crate::heap::shrink_queue;
use crate::net::{Received, Receiving, Shutdown, SocketMemoryCharge};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// What tells a reader that there is something.
const READABLE: Events = Events::IN.union(Events::RDNORM);
/// What a writer is always told.
const WRITABLE: Events = Events::OUT.union(Events::WRNORM).union(Events::WRBAND);
/// What a datagram costs beside its bytes, and the granularity of that: about Linux's.
const OVERHEAD_BYTES: usize = 576;
const COST_STEP_BYTES: usize = 256;

/// How a datagram has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// The index of the link.
    pub(super) device: u32,
    pub(super) ttl: u8,
    pub(super) tos: u8,
    /// The time of day.
    pub(super) time: Duration,
}

/// The bytes of a datagram, which all that get it share, or a part of them.
#[derive(Clone)]
pub(super) struct Payload {
    bytes: Arc<[u8]>,
    range: Range<usize>,
    /// It is several datagrams of so many bytes each (UDP_GRO).
    segment_bytes: Option<u16>,
}

impl Payload {
    pub(super) fn new(bytes: Arc<[u8]>) -> Self {
        let range = 0..bytes.len();
        Self { bytes, range, segment_bytes: None }
    }

    /// The part that begins at `start` and has `len_bytes`, or what there is of that.
    pub(super) fn part(&self, start: usize, len_bytes: usize) -> Self {
        let start = self.range.start.saturating_add(start).min(self.range.end);
        let end = start.saturating_add(len_bytes).min(self.range.end);
        Self { bytes: self.bytes.clone(), range: start..end, segment_bytes: None }
    }

    /// The same, told to be several datagrams.
    pub(super) fn of_segments(&self, segment_bytes: u16) -> Self {
        Self { segment_bytes: Some(segment_bytes), ..self.clone() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.range.clone()).unwrap_or_default()
    }
}

struct Datagram {
    payload: Payload,
    arrival: Arrival,
    charge: SocketMemoryCharge,
}

/// What has arrived at a socket.
#[derive(Default)]
pub(super) struct DatagramQueue {
    inbox: Mutex<Inbox>,
    pub(super) queue: WaitQueue,
}

#[derive(Default)]
struct Inbox {
    datagrams: VecDeque<Datagram>,
    /// What it holds costs of SO_RCVBUF, in bytes.
    cost_bytes: usize,
    /// What did not fit.
    lost: u32,
    /// For SO_ERROR.
    error: Option<Errno>,
    /// For who wants to know it all (MSG_ERRQUEUE).
    errors: VecDeque<(QueuedError, SocketMemoryCharge)>,
    /// SO_PEEK_OFF.
    peek_offset: Option<usize>,
    is_receive_shut: bool,
    is_send_shut: bool,
}

impl DatagramQueue {
    /// Puts a datagram in, of the socket with this queue. Returns whether there was room for it.
    pub(super) fn put(&self, inet: &InetSocket, payload: Payload, arrival: Arrival) -> bool {
        let cost = (payload.bytes().len() + OVERHEAD_BYTES).next_multiple_of(COST_STEP_BYTES);
        let charge = inet.network().shared().memory.charge(cost);
        let receive_buffer_bytes = inet.common.options().receive_buffer_bytes as usize;
        let mut inbox = self.inbox.lock();
        if inbox.is_receive_shut {
            return true;
        }
        let has_room = inbox.datagrams.is_empty() || inbox.cost_bytes + cost <= receive_buffer_bytes;
        let Some(charge) = charge.ok().filter(|_| has_room) else {
            inbox.lost = inbox.lost.wrapping_add(1);
            return false;
        };
        inbox.cost_bytes += cost;
        inbox.datagrams.push_back(Datagram { payload, arrival, charge });
        drop(inbox);
        self.queue.notify(READABLE);
        true
    }

    /// Receives one datagram, or one error.
    pub(super) fn receive(
        &self,
        inet: &InetSocket,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        if how.is_error_queue {
            return self.receive_error(inet, max_bytes, take);
        }
        let mut inbox = self.inbox.lock();
        inbox.error.take().map_or(Ok(()), Err)?;
        let Some((place, skipped)) = inbox.place(how.is_peek) else { return inbox.nothing(how) };
        let lost = inbox.lost;
        let Some(datagram) = inbox.datagrams.get(place) else { return inbox.nothing(how) };
        let bytes = datagram.payload.bytes().get(skipped..).unwrap_or_default();
        let piece = bytes.get(..max_bytes).unwrap_or(bytes);
        let (is_taken, len_bytes, message_bytes) = (take(piece), piece.len(), bytes.len());
        let received = Received {
            len_bytes,
            message_bytes,
            control: told::control(inet, &datagram.arrival, lost, datagram.payload.segment_bytes),
            sender: Some(inet.encode(datagram.arrival.source)),
            ..Received::default()
        };
        inbox.pass(how.is_peek, len_bytes, message_bytes);
        if is_taken { Ok(received) } else { Err(Errno::EFAULT) }
    }

    /// Fails if something went wrong, or if nothing may be sent any more.
    pub(super) fn check_sendable(&self) -> Result<(), Errno> {
        let mut inbox = self.inbox.lock();
        match inbox.error.take() {
            Some(error) => Err(error),
            None if inbox.is_send_shut => Err(Errno::EPIPE),
            None => Ok(()),
        }
    }

    pub(super) fn shut_down(&self, halves: Shutdown) {
        {
            let mut inbox = self.inbox.lock();
            inbox.is_receive_shut |= halves.receiving;
            inbox.is_send_shut |= halves.sending;
        }
        self.queue.notify(READABLE | WRITABLE | Events::RDHUP | Events::HUP);
    }

    /// SO_ERROR.
    pub(super) fn take_error(&self) -> Option<Errno> {
        self.inbox.lock().error.take()
    }

    pub(super) fn peek_offset(&self) -> Option<usize> {
        self.inbox.lock().peek_offset
    }

    pub(super) fn set_peek_offset(&self, offset: Option<usize>) {
        self.inbox.lock().peek_offset = offset;
    }

    /// Which halves shutdown(2) has ended: 1 for receiving, 2 for sending.
    pub(super) fn shut_halves(&self) -> u8 {
        let inbox = self.inbox.lock();
        u8::from(inbox.is_receive_shut) | u8::from(inbox.is_send_shut) << 1
    }

    /// What waits, as SO_RCVBUF counts it, and how much was lost.
    pub(super) fn received_memory(&self) -> (usize, u32) {
        let inbox = self.inbox.lock();
        (inbox.cost_bytes, inbox.lost)
    }

    pub(super) fn readiness(&self, inet: &InetSocket) -> Events {
        let inbox = self.inbox.lock();
        let mut events = WRITABLE;
        if !inbox.datagrams.is_empty() || inbox.is_receive_shut {
            events |= READABLE;
        }
        events.set(Events::RDHUP, inbox.is_receive_shut);
        events.set(Events::HUP, inbox.is_receive_shut && inbox.is_send_shut);
        let has_error = inbox.error.is_some() || !inbox.errors.is_empty() || inet.zero_copies.is_any_untold();
        let is_priority = inet.common.options().switch(uapi::SO_SELECT_ERR_QUEUE).unwrap_or_default();
        events.set(Events::ERR, has_error);
        events.set(Events::PRI, has_error && is_priority);
        events
    }

    /// FIONREAD and TIOCOUTQ.
    pub(super) fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let number = match request {
            FIONREAD => self.inbox.lock().datagrams.front().map_or(0, |first| first.payload.bytes().len()),
            // What is sent has arrived, or is lost.
            TIOCOUTQ => 0,
            _ => return Err(Errno::ENOTTY),
        };
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        caller.memory().write_object(VirtualAddress(argument), &number)?;
        Ok(0)
    }
}

impl Inbox {
    /// Which datagram a receive begins in, and how far in it: a peek may begin behind the first ones.
    fn place(&self, is_peek: bool) -> Option<(usize, usize)> {
        let mut skipped = self.peek_offset.filter(|_| is_peek).unwrap_or(0);
        for (place, datagram) in self.datagrams.iter().enumerate() {
            let len_bytes = datagram.payload.bytes().len();
            if skipped == 0 || skipped < len_bytes {
                return Some((place, skipped));
            }
            skipped -= len_bytes;
        }
        None
    }

    fn nothing(&self, how: Receiving) -> Result<Received, Errno> {
        if self.is_receive_shut && how.waits { Ok(Received::default()) } else { Err(Errno::EAGAIN) }
    }

    /// The first datagram has been looked at, or taken.
    fn pass(&mut self, is_peek: bool, len_bytes: usize, message_bytes: usize) {
        if is_peek {
            self.peek_offset = self.peek_offset.map(|offset| offset.saturating_add(len_bytes));
            return;
        }
        self.peek_offset = self.peek_offset.map(|offset| offset.saturating_sub(message_bytes));
        if let Some(datagram) = self.datagrams.pop_front() {
            shrink_queue(&mut self.datagrams);
            self.cost_bytes -= datagram.charge.len_bytes();
        }
    }
}
