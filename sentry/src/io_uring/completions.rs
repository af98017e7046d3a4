//! Completions: what is posted, what found no room, and who is told.

use std::collections::VecDeque;
use std::sync::Arc;

use linux_raw_sys::io_uring as uapi;

use super::{Ring, SetupFlags, word};
use crate::abi::IoUringCqe;
use crate::fs::FileDescription;
use crate::heap::HeapCharge;
use crate::wait::Events;

/// What a completion takes that finds no room.
const OVERFLOW_BYTES: usize = 64;

/// A completion, with what a large one holds more.
#[derive(Clone, Copy)]
struct Completion {
    cqe: IoUringCqe,
    extra: [u64; 2],
}

#[derive(Default)]
pub(super) struct Completions {
    /// How many have been posted to the ring.
    tail: u32,
    /// How many there were that count for timeouts.
    counted: u32,
    /// How many timeouts have ended.
    timeouts: u32,
    overflow: VecDeque<Completion>,
    overflow_charge: HeapCharge,
    /// Who counts them (IORING_REGISTER_EVENTFD).
    event: Option<EventCounter>,
}

/// A registered event counter.
#[derive(Clone)]
pub(crate) struct EventCounter {
    /// The counter.
    pub(crate) file: Arc<FileDescription>,
    /// Whether only what was not done at once counts (IORING_REGISTER_EVENTFD_ASYNC).
    pub(crate) is_for_late: bool,
}

impl Ring {
    /// Posts a completion that is not a request's last, unless there is no room for it.
    pub(super) fn try_post(&self, cqe: IoUringCqe, extra: [u64; 2], is_late: bool) -> bool {
        let mut completions = self.completions.lock();
        let has_room =
            completions.overflow.is_empty() && self.write(&mut completions, Completion { cqe, extra });
        if !has_room {
            return false;
        }
        completions.counted = completions.counted.wrapping_add(1);
        let event = completions.event.clone();
        drop(completions);
        self.tell(event, is_late);
        true
    }

    /// Tells those who wait, and who counts.
    fn tell(&self, event: Option<EventCounter>, is_late: bool) {
        self.queue.notify(Events::IN | Events::RDNORM);
        if let Some(event) = event.filter(|event| !event.is_for_late || is_late) {
            self.count_event(&event);
        }
    }

    /// Somebody counts that there will be completions, once the task asks for them.
    pub(super) fn tell_of_work(&self) {
        let event = self.completions.lock().event.clone();
        self.tell(event, true);
    }

    /// Posts a completion, which counts for timeouts or not, and of what was not over at once or was. Returns whether there was
    /// room for it.
    pub(crate) fn post(&self, cqe: IoUringCqe, extra: [u64; 2], (is_counted, is_late): (bool, bool)) -> bool {
        let mut completions = self.completions.lock();
        let counter = if is_counted { &mut completions.counted } else { &mut completions.timeouts };
        *counter = counter.wrapping_add(1);
        let completion = Completion { cqe, extra };
        let is_posted = completions.overflow.is_empty() && self.write(&mut completions, completion);
        if !is_posted {
            let bytes = (completions.overflow.len() + 1) * OVERFLOW_BYTES;
            match completions.overflow_charge.resize(bytes) {
                Ok(()) => completions.overflow.push_back(completion),
                Err(_) => self.memory.increment(word::CQ_OVERFLOW),
            }
            self.memory.set_bits(word::SQ_FLAGS, uapi::IORING_SQ_CQ_OVERFLOW, true);
        }
        let event = completions.event.clone();
        drop(completions);
        self.tell(event, is_late);
        is_posted
    }

    fn count_event(&self, event: &EventCounter) {
        if self.memory.load(word::CQ_FLAGS) & uapi::IORING_CQ_EVENTFD_DISABLED == 0 {
            // A counter that is full has told whoever listens.
            let _ = event.file.file().write_at(&1u64.to_ne_bytes(), 0);
        }
    }

    fn write(&self, completions: &mut Completions, completion: Completion) -> bool {
        let used = completions.tail.wrapping_sub(self.memory.load(word::CQ_HEAD));
        if used >= self.layout().cq_entries {
            return false;
        }
        self.memory.write_completion(completions.tail, &completion.cqe, completion.extra);
        completions.tail = completions.tail.wrapping_add(1);
        self.memory.store(word::CQ_TAIL, completions.tail);
        true
    }

    /// Posts what had found no room, as far as there is some now.
    pub(crate) fn flush_overflow(&self) {
        let mut completions = self.completions.lock();
        if completions.overflow.is_empty() {
            return;
        }
        while let Some(completion) = completions.overflow.front().copied() {
            if !self.write(&mut completions, completion) {
                return;
            }
            completions.overflow.pop_front();
        }
        completions.overflow = VecDeque::new();
        completions.overflow_charge = HeapCharge::default();
        self.memory.set_bits(word::SQ_FLAGS, uapi::IORING_SQ_CQ_OVERFLOW, false);
    }

    /// Completions that user code has not taken yet.
    pub(crate) fn unseen(&self) -> u32 {
        self.completions.lock().tail.wrapping_sub(self.memory.load(word::CQ_HEAD))
    }

    /// How far user code has taken completions.
    pub(crate) fn seen(&self) -> u32 {
        self.memory.load(word::CQ_HEAD)
    }

    /// Whether as many have been posted as `target` says, counted from the beginning.
    pub(crate) fn has_reached(&self, target: u32) -> bool {
        self.completions.lock().tail.wrapping_sub(target).cast_signed() >= 0
    }

    /// How many timeouts have ended: whoever waits returns when one does.
    pub(crate) fn timeouts(&self) -> u32 {
        self.completions.lock().timeouts
    }

    /// How many there were that count for timeouts.
    pub(super) fn counted(&self) -> u32 {
        self.completions.lock().counted
    }

    /// What the ring is ready for.
    pub(super) fn readiness(&self) -> Events {
        let mut events = Events::empty();
        let has_overflow = !self.completions.lock().overflow.is_empty();
        let has_work = self.flags.contains(SetupFlags::DEFER_TASKRUN) && self.has_work();
        if has_overflow || has_work || self.unseen() > 0 {
            events |= Events::IN | Events::RDNORM;
        }
        if self.waiting_submissions() < self.layout().sq_entries {
            events |= Events::OUT | Events::WRNORM;
        }
        events
    }

    /// Has `event` count completions, or nobody. Returns who did before.
    pub(crate) fn set_event(&self, event: Option<EventCounter>) -> Option<EventCounter> {
        std::mem::replace(&mut self.completions.lock().event, event)
    }

    /// Whether somebody counts completions.
    pub(crate) fn has_event(&self) -> bool {
        self.completions.lock().event.is_some()
    }
}
