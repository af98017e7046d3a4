//! Call-backs at deadlines: one host thread, started when it is first needed.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{MonotonicTime, Timekeeper};
use crate::Errno;

/// The thread calls back and does nothing else.
const STACK_BYTES: usize = 128 << 10;

/// What happens at a deadline.
pub trait Expire: Send + Sync {
    /// The deadline has come. Called on the queue's thread with none of its locks held: must not block for
    /// long.
    fn expire(&self);
}

/// Deadlines, on the kernel's monotonic clock, and what happens at them.
#[derive(Default)]
pub struct TimerQueue {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    timekeeper: Arc<Timekeeper>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next_id: u64,
    entries: BTreeMap<(MonotonicTime, u64), Weak<dyn Expire>>,
    is_running: bool,
    is_closed: bool,
}

/// A deadline in a queue; dropping it takes it out. What happens at it may then be under way.
#[must_use = "dropping a handle cancels its deadline"]
pub struct TimerHandle {
    shared: Arc<Shared>,
    key: (MonotonicTime, u64),
}

impl TimerQueue {
    /// A queue without deadlines, by the clock of `timekeeper`.
    pub fn new(timekeeper: &Arc<Timekeeper>) -> Arc<Self> {
        let shared = Shared { timekeeper: timekeeper.clone(), ..Shared::default() };
        Arc::new(Self { shared: Arc::new(shared) })
    }

    /// Now, by the queue's clock.
    pub fn now(&self) -> MonotonicTime {
        self.shared.timekeeper.monotonic()
    }

    /// Calls `target` back, if it still lives, once `wait` has passed: never, for a time that is too long to reckon.
    ///
    /// # Errors
    /// EAGAIN: the host would not start the thread.
    pub fn schedule_after(
        &self,
        wait: Duration,
        target: Weak<dyn Expire>,
    ) -> Result<Option<TimerHandle>, Errno> {
        self.now().checked_add(wait).map(|deadline| self.schedule(deadline, target)).transpose()
    }

    /// Calls `target` back, if it still lives, at `deadline`.
    ///
    /// # Errors
    /// EAGAIN: the host would not start the thread.
    pub fn schedule(&self, deadline: MonotonicTime, target: Weak<dyn Expire>) -> Result<TimerHandle, Errno> {
        let mut state = self.shared.state.lock();
        if !state.is_running {
            let shared = self.shared.clone();
            let builder = thread::Builder::new().name("timers".into()).stack_size(STACK_BYTES);
            builder.spawn(move || shared.run()).map_err(|error| {
                log::debug!("EAGAIN: no thread for timers: {error}");
                Errno::EAGAIN
            })?;
            state.is_running = true;
        }
        let key = (deadline, state.next_id);
        state.next_id += 1;
        state.entries.insert(key, target);
        if state.entries.first_key_value().is_some_and(|(first, _)| *first == key) {
            self.shared.changed.notify_one();
        }
        drop(state);
        Ok(TimerHandle { shared: self.shared.clone(), key })
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.state.lock();
        while !state.is_closed {
            let first = state.entries.first_key_value().map(|(key, _)| *key);
            let Some(key) = first else {
                self.changed.wait(&mut state);
                continue;
            };
            match key.0.saturating_duration_since(self.timekeeper.monotonic()) {
                wait if !wait.is_zero() => {
                    self.changed.wait_for(&mut state, wait);
                }
                _ => {
                    let target = state.entries.remove(&key).and_then(|target| target.upgrade());
                    // Its last reference may be this one: it is dropped unlocked, too.
                    parking_lot::MutexGuard::unlocked(&mut state, || {
                        if let Some(target) = target {
                            target.expire();
                        }
                    });
                }
            }
        }
    }
}

impl Drop for TimerQueue {
    fn drop(&mut self) {
        self.shared.state.lock().is_closed = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for TimerHandle {
    fn drop(&mut self) {
        let removed = self.shared.state.lock().entries.remove(&self.key);
        drop(removed);
    }
}

#[cfg(test)]
mod tests;
