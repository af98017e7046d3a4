//! How many tasks ran, on average, of the last minutes (`man 5 proc`, /proc/loadavg).
//!
//! Linux looks every five seconds. Here whoever begins or ceases to run looks whether it is time: until then nothing has changed since
//! the time came.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use super::TaskSet;

/// Seconds from one look to the next.
const PERIOD_SECONDS: u64 = 5;
/// One, in the numbers with which it is reckoned (`FIXED_1`).
const ONE: u64 = 1 << 11;
/// What is left after a period of the averages of one, five and fifteen minutes (`EXP_1`, `EXP_5`, `EXP_15`).
const KEPT: [u64; 3] = [1884, 2014, 2037];
/// After so many periods with the same number of tasks the averages are that number.
const MOST_PERIODS: u64 = 4096;

/// The averages.
#[derive(Default)]
pub(super) struct LoadAverages {
    /// When it is time to look, in seconds of the host's clock; 0 before the first time.
    due_seconds: AtomicU64,
    /// In units of 1/2048.
    averages: Mutex<[u64; 3]>,
}

impl LoadAverages {
    /// Looks, if it is time, for `running` tasks have run since.
    fn look(&self, running: usize) {
        let now = clock_gettime(ClockId::MonotonicCoarse).tv_sec.cast_unsigned();
        if now >= self.due_seconds.load(Ordering::Relaxed) {
            self.look_at(now, running);
        }
    }

    fn look_at(&self, now_seconds: u64, running: usize) {
        let mut averages = self.averages.lock();
        let due = self.due_seconds.load(Ordering::Relaxed);
        if now_seconds < due {
            return;
        }
        let passed = if due == 0 { 0 } else { (now_seconds - due) / PERIOD_SECONDS + 1 };
        let active = running as u64 * ONE;
        for _ in 0..passed.min(MOST_PERIODS) {
            for (average, kept) in averages.iter_mut().zip(KEPT) {
                *average = after_a_period(*average, kept, active);
            }
        }
        let next = if due == 0 { now_seconds } else { due + (passed - 1) * PERIOD_SECONDS };
        self.due_seconds.store(next + PERIOD_SECONDS, Ordering::Relaxed);
    }
}

fn after_a_period(average: u64, kept: u64, active: u64) -> u64 {
    let sum = average * kept + active * (ONE - kept);
    // Upwards while it rises, so that it gets to where it is going.
    (if active >= average { sum + ONE - 1 } else { sum }) / ONE
}

impl TaskSet {
    /// As many tasks as run now have run until now.
    pub(super) fn note_load(&self) {
        self.load.look(self.threads.running());
    }

    /// The averages of one, five and fifteen minutes, in units of 1/2048.
    pub fn load_averages(&self) -> [u64; 3] {
        self.note_load();
        *self.load.averages.lock()
    }
}

#[cfg(test)]
mod tests;
