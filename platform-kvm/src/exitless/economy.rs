//! When polling pays.
//!
//! A call that is served by a worker saves an exit, and the worker burns a processor meanwhile. That pays while what is
//! saved is a fair part of what is burnt, and while the host has the processor to spare: a worker that does not get the
//! one that it polls with keeps others from it.
//!
//! What calls were served, and what polling for them took, is counted, and logged when the sandbox has ended.
//!
//! What an exit costs differs by a hundred between hosts. It is measured: the shortest run that ended in a system call.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sentry::platform::CallCounts;

/// How long a worker polls without finding anything; and if it is not asked what that saves.
const IDLE_MAX: Duration = Duration::from_micros(150);
const GENEROUS_IDLE_MAX: Duration = Duration::from_millis(2);
/// How often it looks whether that pays.
const PERIOD: Duration = Duration::from_millis(2);
/// The least share, in percent, of that time that it must have had a processor.
const SHARE_MIN_PERCENT: u32 = 80;
/// Nanoseconds that may be burnt to save one.
const PRICE: u64 = 4;
/// An exit's cost before one has been measured, and at most, nanoseconds.
const EXIT_COST_MAX: u64 = 50_000;

/// What is known of the costs.
#[derive(Debug)]
pub(crate) struct Economy {
    /// Nanoseconds of an exit.
    exit_cost: AtomicU64,
    /// It is not asked what is saved.
    is_generous: bool,
    counts: Counts,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Calls that were looked at.
    pub(crate) found: AtomicU64,
    /// Those of them that were handed back.
    pub(crate) declined: AtomicU64,
    /// Those that left their gates.
    pub(crate) left: AtomicU64,
    /// Those of them that nobody had looked at.
    pub(crate) ignored: AtomicU64,
    /// Sites that were rewritten.
    pub(crate) sites: AtomicU64,
    /// Times of polling, and their nanoseconds.
    pub(crate) phases: AtomicU64,
    pub(crate) polled_ns: AtomicU64,
}

impl Counts {
    pub(crate) fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counts {
    /// What is told of them outside.
    pub(crate) fn told(&self) -> CallCounts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CallCounts {
            served: get(&self.found).saturating_sub(get(&self.declined)),
            handed_back: get(&self.declined),
            unseen: get(&self.ignored),
            sites: get(&self.sites),
            polling_ns: get(&self.polled_ns),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Self { found, declined, left, ignored, sites, phases, polled_ns } = self;
        let (found, declined, polled) = (get(found), get(declined), Duration::from_nanos(get(polled_ns)));
        write!(
            f,
            "{} calls served without an exit, {declined} handed back, {} left their gates, {} of them unseen; \
             {} sites; polled {} times, {polled:?} in all",
            found.saturating_sub(declined),
            get(left),
            get(ignored),
            get(sites),
            get(phases)
        )
    }
}

impl Economy {
    /// Nothing is known. If `is_generous`, it is not asked what is saved.
    pub(crate) fn new(is_generous: bool) -> Self {
        Self { exit_cost: AtomicU64::new(EXIT_COST_MAX), is_generous, counts: Counts::default() }
    }

    /// A run took so long, and ended in a system call.
    pub(crate) fn note_exit(&self, run: Duration) {
        let run = u64::try_from(run.as_nanos()).unwrap_or(u64::MAX);
        if run < self.exit_cost.load(Ordering::Relaxed) {
            self.exit_cost.fetch_min(run, Ordering::Relaxed);
        }
    }

    /// Whether it is not asked what polling saves.
    pub(crate) fn is_generous(&self) -> bool {
        self.is_generous
    }

    /// Whether calls at this distance would rather be polled for.
    pub(crate) fn is_frequent(&self, distance: Duration) -> bool {
        self.is_generous || distance.as_nanos() < u128::from(self.exit_cost() * PRICE * 2)
    }

    /// What happened so far.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    fn idle_max(&self) -> Duration {
        if self.is_generous { GENEROUS_IDLE_MAX } else { IDLE_MAX }
    }

    fn exit_cost(&self) -> u64 {
        self.exit_cost.load(Ordering::Relaxed)
    }

    /// Whether `served` calls were worth `elapsed`.
    fn was_worth(&self, served: u64, elapsed: Duration) -> bool {
        self.is_generous || u128::from(served.saturating_mul(self.exit_cost() * PRICE)) >= elapsed.as_nanos()
    }
}

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoOn,
    /// There is nothing to do.
    Over,
    /// There is too little to do, or no processor to do it with.
    DoesNotPay,
}

/// One worker's time of polling.
pub(crate) struct Phase<'a> {
    economy: &'a Economy,
    begun: Instant,
    last_request: Instant,
    served: u64,
    period: Period,
}

/// A part of it.
struct Period {
    begun: Instant,
    used: Duration,
    served: u64,
}

impl<'a> Phase<'a> {
    pub(crate) fn begin(economy: &'a Economy) -> Self {
        let period = Period { begun: Instant::now(), used: own_time(), served: 0 };
        Self { economy, begun: period.begun, last_request: period.begun, served: 0, period }
    }

    /// So many calls were served since the last time.
    pub(crate) fn judge(&mut self, served: u64, now: Instant) -> Verdict {
        self.served += served;
        self.period.served += served;
        if served > 0 {
            self.last_request = now;
        }
        let elapsed = now - self.period.begun;
        if elapsed >= PERIOD {
            let period = Period { begun: now, used: own_time(), served: 0 };
            let last = std::mem::replace(&mut self.period, period);
            let had = self.period.used.saturating_sub(last.used);
            if had * 100 < elapsed * SHARE_MIN_PERCENT || !self.economy.was_worth(last.served, elapsed) {
                return Verdict::DoesNotPay;
            }
        }
        if now - self.last_request >= self.economy.idle_max() { Verdict::Over } else { Verdict::GoOn }
    }

    /// Whether it was worth the time until the last request.
    pub(crate) fn has_paid(&self) -> bool {
        self.economy.was_worth(self.served, self.last_request - self.begun + self.economy.idle_max())
    }
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        let elapsed = u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Counts::add(&self.economy.counts.phases);
        self.economy.counts.polled_ns.fetch_add(elapsed, Ordering::Relaxed);
    }
}

/// Processor time of the calling thread.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests;
