//! The record of one system call, or of one other kind of exit.

use hdrhistogram::Histogram;

use super::data::{Distribution, Named, Times};
use crate::host::{HOST_CALL_KINDS, HostCall, HostCallCounts};

/// The longest time that is told apart from longer ones, nanoseconds: an hour.
const MAX_NS: u64 = 3_600_000_000_000;
/// Decimal digits of times that are kept.
const DIGITS: u8 = 2;

/// Who served a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The task's own thread, after an exit.
    Exit = 0,
    /// Another thread, while the task stayed in user code.
    Dispatcher = 1,
}

/// A time in user code, and what came of its end, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lap {
    /// In user code.
    pub user_ns: u64,
    /// On the way out and back.
    pub crossing_ns: u64,
    /// In the sentry.
    pub handler_ns: u64,
    /// Asleep.
    pub asleep_ns: u64,
    /// Whether it was a call that failed.
    pub is_error: bool,
}

/// What is kept of one kind.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) count: u64,
    pub(super) errors: u64,
    user: Series,
    crossing: Series,
    handler: Series,
    asleep: Series,
    host_calls: [u64; HOST_CALL_KINDS],
}

/// Times of one part.
#[derive(Debug)]
struct Series {
    total_ns: u64,
    histogram: Histogram<u32>,
}

impl Default for Series {
    fn default() -> Self {
        let mut histogram = Histogram::new(DIGITS).unwrap_or_else(|_| unreachable!("two digits are allowed"));
        histogram.auto(true);
        Self { total_ns: 0, histogram }
    }
}

impl Series {
    fn add(&mut self, time_ns: u64) {
        self.total_ns = self.total_ns.saturating_add(time_ns);
        // It grows as far as it must.
        let _ = self.histogram.record(time_ns.min(MAX_NS));
    }

    fn merge(&mut self, other: &Self) {
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        // Both hold no more than the longest time, and grow.
        let _ = self.histogram.add(&other.histogram);
    }

    fn distribution(&self) -> Distribution {
        let histogram = &self.histogram;
        Distribution {
            count: histogram.len(),
            total_ns: self.total_ns,
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            max_ns: histogram.max(),
            buckets: histogram
                .iter_recorded()
                .map(|value| (value.value_iterated_to(), value.count_since_last_iteration()))
                .collect(),
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self {
            count: 0,
            errors: 0,
            user: Series::default(),
            crossing: Series::default(),
            handler: Series::default(),
            asleep: Series::default(),
            host_calls: [0; HOST_CALL_KINDS],
        }
    }
}

impl Record {
    /// Adds one, during which the host was called so often.
    pub(super) fn add(&mut self, lap: &Lap, host_calls: &HostCallCounts) {
        self.count += 1;
        self.errors += u64::from(lap.is_error);
        self.user.add(lap.user_ns);
        self.crossing.add(lap.crossing_ns);
        self.handler.add(lap.handler_ns);
        if lap.asleep_ns > 0 {
            self.asleep.add(lap.asleep_ns);
        }
        for (sum, count) in self.host_calls.iter_mut().zip(host_calls) {
            *sum += u64::from(*count);
        }
    }

    /// Adds all of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.user.merge(&other.user);
        self.crossing.merge(&other.crossing);
        self.handler.merge(&other.handler);
        self.asleep.merge(&other.asleep);
        for (sum, count) in self.host_calls.iter_mut().zip(&other.host_calls) {
            *sum += count;
        }
    }

    /// All but the time in user code: by it the dear ones come first.
    pub(super) fn cost_ns(&self) -> u64 {
        let parts = [&self.crossing, &self.handler, &self.asleep];
        parts.iter().fold(0, |sum, part| sum.saturating_add(part.total_ns))
    }

    pub(super) fn times(&self) -> Times {
        Times {
            user: self.user.distribution(),
            crossing: self.crossing.distribution(),
            handler: self.handler.distribution(),
            asleep: self.asleep.distribution(),
        }
    }

    pub(super) fn host_calls(&self) -> Vec<Named> {
        let counted = self.host_calls.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(index, count)| Named { name: HostCall::name(index).into(), count: *count }).collect()
    }
}
