//! Counters of what tasks do (`man 2 perf_event_open`): those of software alone, as on a machine without a PMU.
//!
//! Nothing counts while nobody asks. An [`Event`] watches tasks that count anyway ([`Counted`]): it notes what they have when it is
//! switched on, and the difference is the count when it is read or switched off. Events of a group share one lock, and those that
//! follow a leader count only while that does. An event is inherited by watching the new task as well.
//!
//! Locks: a group's members; below that only what a task counts by.

mod event;
mod file;
#[cfg(test)]
mod tests;

use std::ops::{Add, AddAssign, Sub};

pub(crate) use event::{Event, Place, Switches};
pub(crate) use file::PerfFile;

/// What somebody has done until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Time on a processor, nanoseconds.
    pub(crate) cpu_ns: u64,
    /// How often it has left a processor.
    pub(crate) switches: u64,
    /// Page faults.
    pub(crate) faults: u64,
}

/// Who does what is counted.
pub(crate) trait Counted: Send + Sync {
    /// What it has done; it only grows.
    fn counts(&self) -> Counts;
}

/// What is counted (`PERF_COUNT_SW_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Time on a processor.
    Clock,
    Faults,
    Switches,
    /// What never happens here, and what counts nothing.
    Nothing,
}

impl Kind {
    /// The counter of software numbered so.
    pub(crate) fn of_software(number: u64) -> Option<Self> {
        Some(match number {
            0 | 1 => Self::Clock,
            // All are minor: there is no swap.
            2 | 5 => Self::Faults,
            3 => Self::Switches,
            // Migrations, major, alignment and emulation faults, dummy, output of BPF, switches between control groups.
            4 | 6..=11 => Self::Nothing,
            _ => return None,
        })
    }

    fn of(self, counts: Counts) -> u64 {
        match self {
            Self::Clock => counts.cpu_ns,
            Self::Faults => counts.faults,
            Self::Switches => counts.switches,
            Self::Nothing => 0,
        }
    }
}

/// What has been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) count: u64,
    /// For how long the event was on, nanoseconds of the time of whom it watches.
    pub(crate) enabled_ns: u64,
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            count: self.count.wrapping_add(other.count),
            enabled_ns: self.enabled_ns.wrapping_add(other.enabled_ns),
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            switches: self.switches.saturating_sub(earlier.switches),
            faults: self.faults.saturating_sub(earlier.faults),
        }
    }
}
