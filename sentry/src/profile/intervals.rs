//! Figures of the whole sandbox at intervals, which become longer as there are more.

use super::data;

/// The first interval, nanoseconds.
const FIRST_INTERVAL_NS: u64 = 20_000_000;
/// Points that are kept: then every other one goes, and the interval doubles.
const MAX_POINTS: usize = 512;

/// What the sandbox uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Processor time in user code, nanoseconds.
    pub user_ns: u64,
    /// Processor time in the sentry, nanoseconds.
    pub system_ns: u64,
    /// Guest memory in use.
    pub memory_bytes: u64,
    /// Tasks.
    pub tasks: u64,
}

#[derive(Debug)]
pub(super) struct Intervals {
    pub(super) interval_ns: u64,
    pub(super) points: Vec<data::Point>,
    /// What there was at the beginning of the profile: processor time counts from there.
    base: Option<Point>,
}

impl Default for Intervals {
    fn default() -> Self {
        Self { interval_ns: FIRST_INTERVAL_NS, points: Vec::new(), base: None }
    }
}

impl Intervals {
    pub(super) fn add(&mut self, at_ns: u64, point: Point) {
        let base = *self.base.get_or_insert(point);
        if self.points.len() >= MAX_POINTS {
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.interval_ns = self.interval_ns.saturating_mul(2);
        }
        self.points.push(data::Point {
            at_ns,
            user_ns: point.user_ns.saturating_sub(base.user_ns),
            system_ns: point.system_ns.saturating_sub(base.system_ns),
            memory_bytes: point.memory_bytes,
            tasks: point.tasks,
        });
    }

    pub(super) fn next_ns(&self) -> u64 {
        self.points.last().map_or(0, |point| point.at_ns.saturating_add(self.interval_ns))
    }
}
