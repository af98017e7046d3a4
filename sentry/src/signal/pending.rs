//! Signals that were sent and not yet taken. A task has one such queue, and its thread group another.
//!
//! A standard signal is pending once, however often it is sent; real-time ones queue in order. Each entry
//! counts against RLIMIT_SIGPENDING; past the limit a signal stays pending without its information.

use std::collections::VecDeque;

use super::{Signal, SignalDetail, SignalInfo, SignalSet, TimerExpiration};
use crate::Errno;
use crate::cred::Uid;
use crate::heap::{HeapCharge, shrink_queue};

/// What became of a signal that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// It is pending now.
    New,
    /// It was pending already, and merged with that.
    Merged,
}

/// What an entry takes, in a queue that grows by doubling.
const ENTRY_BYTES: usize = 2 * size_of::<Queued>();

#[derive(Debug)]
struct Queued {
    info: SignalInfo,
    _heap_charge: HeapCharge,
}

/// The signals that wait for one task, or for any task of a thread group.
#[derive(Debug, Default)]
pub struct PendingSignals {
    set: SignalSet,
    queue: VecDeque<Queued>,
}

impl PendingSignals {
    /// Adds a signal, with at most `limit` entries in the queue (RLIMIT_SIGPENDING).
    ///
    /// # Errors
    /// EAGAIN: the queue is full, or the sender's part of the heap, and the sender wants to know (`man 3 sigqueue`).
    pub fn enqueue(&mut self, info: SignalInfo, limit: u64) -> Result<Enqueued, Errno> {
        let signal = info.signal;
        let is_pending = self.set.contains(signal);
        if is_pending
            && let SignalDetail::Timer(expiration) = info.detail
            && self.add_overrun(signal, expiration)
        {
            return Ok(Enqueued::Merged);
        }
        if is_pending && !signal.is_real_time() {
            return Ok(Enqueued::Merged);
        }
        // There are few standard signals and each is queued once, so those of the kernel need no limit.
        let is_exempt = !signal.is_real_time() && info.is_from_kernel_or_kill();
        let heap_charge = match is_exempt {
            true => Some(HeapCharge::forced(ENTRY_BYTES)),
            false if (self.queue.len() as u64) < limit => HeapCharge::new(ENTRY_BYTES).ok(),
            false => None,
        };
        if let Some(_heap_charge) = heap_charge {
            self.queue.push_back(Queued { info, _heap_charge });
        } else if signal.is_real_time() && !info.is_from_kernel_or_kill() {
            return Err(Errno::EAGAIN);
        }
        self.set.insert(signal);
        Ok(if is_pending { Enqueued::Merged } else { Enqueued::New })
    }

    /// A timer is queued once: further expirations count as overruns (`man 2 timer_getoverrun`), unless it has been set anew.
    fn add_overrun(&mut self, signal: Signal, further: TimerExpiration) -> bool {
        for queued in self.queue.iter_mut().filter(|queued| queued.info.signal == signal) {
            if let SignalDetail::Timer(first) = &mut queued.info.detail
                && first.id == further.id
            {
                if first.sequence == further.sequence {
                    first.overrun = first.overrun.saturating_add(further.overrun).saturating_add(1);
                } else {
                    *first = further;
                }
                return true;
            }
        }
        false
    }

    /// Which signals are pending.
    pub fn set(&self) -> SignalSet {
        self.set
    }

    /// The queue, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = SignalInfo> {
        self.queue.iter().map(|queued| queued.info)
    }

    /// Entries in the queue.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no signal is pending.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// The signal that [`PendingSignals::dequeue`] would take: those of the processor's exceptions first, then
    /// the lowest number.
    pub fn next(&self, accepted: SignalSet) -> Option<Signal> {
        let ready = self.set & accepted;
        (ready & SignalSet::SYNCHRONOUS).first().or_else(|| ready.first())
    }

    /// Takes the next signal of `accepted`.
    pub fn dequeue(&mut self, accepted: SignalSet) -> Option<SignalInfo> {
        let signal = self.next(accepted)?;
        let position = self.queue.iter().position(|queued| queued.info.signal == signal);
        let info = position.and_then(|position| self.queue.remove(position)).map(|queued| queued.info);
        shrink_queue(&mut self.queue);
        if !self.queue.iter().any(|queued| queued.info.signal == signal) {
            self.set.remove(signal);
        }
        // Without an entry the queue was full when it was sent: Linux then tells of kill(2) by nobody.
        Some(info.unwrap_or(SignalInfo::from_kill(signal, 0, Uid::ROOT)))
    }

    /// Forgets all instances of `signals`.
    pub fn discard(&mut self, signals: SignalSet) {
        if self.set.intersects(signals) {
            self.set = self.set - signals;
            self.queue.retain(|queued| !signals.contains(queued.info.signal));
            self.queue.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests;
