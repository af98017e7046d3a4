//! What waits at a packet socket.

use std::collections::VecDeque;

use super::Frame;
use crate::Errno;
use crate::heap::shrink_queue;
use crate::net::SocketMemoryCharge;

/// What a frame costs beside its bytes, and the granularity of that: about Linux's.
const OVERHEAD_BYTES: usize = 576;
const COST_STEP_BYTES: usize = 256;

/// A frame that waits.
pub(super) struct Waiting {
    pub(super) frame: Frame,
    /// As much as the filter has let through.
    pub(super) passed_bytes: usize,
    pub(super) charge: SocketMemoryCharge,
}

impl Waiting {
    /// What a frame takes of SO_RCVBUF, in bytes.
    pub(super) fn cost_bytes(frame: &Frame) -> usize {
        (frame.bytes.len() + OVERHEAD_BYTES).next_multiple_of(COST_STEP_BYTES)
    }
}

#[derive(Default)]
pub(super) struct Inbox {
    frames: VecDeque<Waiting>,
    cost_bytes: usize,
    /// For SO_ERROR.
    pub(super) error: Option<Errno>,
    /// PACKET_STATISTICS: what came since that was asked last, and how much of it was lost.
    came: u32,
    lost: u32,
    lost_in_all: u32,
}

impl Inbox {
    /// Puts a frame in, if there is room for it.
    pub(super) fn push(&mut self, waiting: Waiting, room_bytes: usize) -> bool {
        let cost_bytes = waiting.charge.len_bytes();
        if !self.frames.is_empty() && self.cost_bytes + cost_bytes > room_bytes {
            return false;
        }
        self.cost_bytes += cost_bytes;
        self.frames.push_back(waiting);
        true
    }

    /// Counts a frame that has come, and was kept or was not.
    pub(super) fn count(&mut self, is_kept: bool) {
        self.came = self.came.wrapping_add(1);
        self.lost = self.lost.wrapping_add(u32::from(!is_kept));
        self.lost_in_all = self.lost_in_all.wrapping_add(u32::from(!is_kept));
    }

    /// The counts so far, which begin anew.
    pub(super) fn take_counts(&mut self) -> [u32; 2] {
        [std::mem::take(&mut self.came), std::mem::take(&mut self.lost)]
    }

    /// How many were lost since there is the socket.
    pub(super) fn lost_in_all(&self) -> u32 {
        self.lost_in_all
    }

    pub(super) fn first(&self) -> Option<&Waiting> {
        self.frames.front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn cost_bytes(&self) -> usize {
        self.cost_bytes
    }

    /// Takes the first frame out.
    pub(super) fn pop(&mut self) {
        if let Some(waiting) = self.frames.pop_front() {
            self.cost_bytes -= waiting.charge.len_bytes();
            shrink_queue(&mut self.frames);
        }
    }
}
