//! What has arrived at a netlink socket.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Errno;
use crate::heap::shrink_queue;
use crate::net::{PeerCredentials, SocketMemory, SocketMemoryCharge};

/// What a datagram costs beside its bytes.
const OVERHEAD_BYTES: usize = 256;
/// The bytes of a part of a dump, unless the reader showed that it has room for more: Linux's `NLMSG_GOODSIZE`.
const USUAL_PART_BYTES: usize = 3776;
/// The most bytes of a part of a dump.
const MAX_PART_BYTES: usize = 32448;

pub(super) struct Datagram {
    pub(super) bytes: Arc<[u8]>,
    /// Who sent it; 0 is the kernel.
    pub(super) port: u32,
    /// The group that it was sent to; 0 for none.
    pub(super) group: u32,
    pub(super) credentials: PeerCredentials,
    charge: SocketMemoryCharge,
}

/// The datagrams of a socket, and what is left of a dump.
#[derive(Default)]
pub(super) struct Inbox {
    queue: VecDeque<Datagram>,
    queued_bytes: usize,
    error: Option<Errno>,
    dump: VecDeque<Datagram>,
    largest_room_bytes: usize,
}

impl Inbox {
    /// Puts in a datagram, if no more than `max_bytes` wait then.
    ///
    /// # Errors
    /// ENOBUFS.
    pub(super) fn push(
        &mut self,
        (bytes, port, group): (Arc<[u8]>, u32, u32),
        credentials: PeerCredentials,
        max_bytes: usize,
        memory: &Arc<SocketMemory>,
    ) -> Result<(), Errno> {
        let cost = bytes.len() + OVERHEAD_BYTES;
        if self.queued_bytes > 0 && self.queued_bytes + cost > max_bytes {
            return Err(Errno::ENOBUFS);
        }
        let charge = memory.charge(cost)?;
        self.queued_bytes += cost;
        self.queue.push_back(Datagram { bytes, port, group, credentials, charge });
        Ok(())
    }

    /// Notes that something was lost (`man 7 netlink`, ENOBUFS).
    pub(super) fn overrun(&mut self) {
        self.error = Some(Errno::ENOBUFS);
    }

    pub(super) fn take_error(&mut self) -> Option<Errno> {
        self.error.take()
    }

    pub(super) fn has_error(&self) -> bool {
        self.error.is_some()
    }

    /// Whether a dump is still being told.
    pub(super) fn is_dumping(&self) -> bool {
        !self.dump.is_empty()
    }

    /// How many bytes a part of a dump has at most.
    pub(super) fn part_bytes(&self) -> usize {
        self.largest_room_bytes.clamp(USUAL_PART_BYTES, MAX_PART_BYTES)
    }

    /// Starts to tell a dump: its parts come one after the other, each when the reader has taken what is there.
    ///
    /// # Errors
    /// ENOBUFS.
    pub(super) fn start_dump(
        &mut self,
        parts: Vec<Vec<u8>>,
        memory: &Arc<SocketMemory>,
    ) -> Result<(), Errno> {
        let datagram = |bytes: Vec<u8>| {
            let charge = memory.charge(bytes.len() + OVERHEAD_BYTES)?;
            let credentials = PeerCredentials::default();
            Ok(Datagram { bytes: bytes.into(), port: 0, group: 0, credentials, charge })
        };
        self.dump = parts.into_iter().map(datagram).collect::<Result<_, Errno>>()?;
        self.continue_dump();
        Ok(())
    }

    fn continue_dump(&mut self) {
        if let Some(part) = self.dump.pop_front() {
            self.queued_bytes += part.charge.len_bytes();
            self.queue.push_back(part);
        }
    }

    pub(super) fn first(&self) -> Option<&Datagram> {
        self.queue.front()
    }

    /// Takes the first datagram out, for a reader with room for so many bytes.
    pub(super) fn pop(&mut self, room_bytes: usize) -> Option<Datagram> {
        self.largest_room_bytes = self.largest_room_bytes.max(room_bytes);
        let datagram = self.queue.pop_front()?;
        shrink_queue(&mut self.queue);
        self.queued_bytes -= datagram.charge.len_bytes();
        if self.queue.is_empty() {
            self.continue_dump();
        }
        Some(datagram)
    }

    /// What waits, in bytes, as /proc/net/netlink tells it.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }
}
