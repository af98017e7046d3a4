//! The data page: a line from the time-stamp counter to each clock, under a sequence lock.
//!
//! Layout, all little-endian: the sequence number (4 bytes, odd while it is being written), the number of
//! CPUs that RDTSCP may name (4), the counter at which the lines start (8), for how many counts they are
//! valid (8), 8 unused, and then for each of the clocks 0 to 11 the time at the start in nanoseconds (8) and
//! the slope (8). A slope of zero says: make a system call.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use vm_memory::{Bytes, VolatileMemory, VolatileSlice};

use crate::memory::Frame;
use crate::time::{ClockOffset, ClockOffsets, SystemClock};

/// The clocks of the table, by number; the coarse ones are as fine as the others.
const CLOCKS: [(usize, SystemClock); 6] = [
    (0, SystemClock::Realtime),
    (1, SystemClock::Monotonic),
    (4, SystemClock::MonotonicRaw),
    (5, SystemClock::Realtime),
    (6, SystemClock::Monotonic),
    (7, SystemClock::Boottime),
];

/// Byte offsets; the assembly has the same numbers.
const SEQUENCE: usize = 0;
const CPU_COUNT: usize = 4;
const BASE_TSC: usize = 8;
const VALID_TICKS: usize = 16;
const TABLE: usize = 32;
const ENTRY_BYTES: usize = 16;

/// A clock as a line over the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockLine {
    /// The time where the line starts, nanoseconds.
    pub base_ns: u64,
    /// Nanoseconds a count, in units of 2^-32.
    pub slope: u64,
}

impl ClockLine {
    /// The slope of `elapsed_ns` over `ticks`, if it can be said and is none of zero.
    pub(in crate::time) fn slope(elapsed_ns: u64, ticks: u64) -> Option<u64> {
        let slope = (u128::from(elapsed_ns) << 32).checked_div(u128::from(ticks))?;
        u64::try_from(slope).ok().filter(|slope| *slope != 0)
    }

    fn at(self, ticks: u64) -> u64 {
        let elapsed_ns = (u128::from(ticks) * u128::from(self.slope)) >> 32;
        self.base_ns.wrapping_add(elapsed_ns as u64)
    }
}

/// The lines of all clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VvarSnapshot {
    /// The counter where the lines start.
    pub base_tsc: u64,
    /// For how many counts they are valid.
    pub valid_ticks: u64,
    /// CLOCK_MONOTONIC.
    pub monotonic: ClockLine,
    /// CLOCK_MONOTONIC_RAW.
    pub raw: ClockLine,
    /// CLOCK_REALTIME.
    pub realtime: ClockLine,
    /// CLOCK_BOOTTIME.
    pub boottime: ClockLine,
}

impl VvarSnapshot {
    /// What `clock` shows when the counter is `tsc`; `None` if the lines are not valid then.
    pub(in crate::time) fn time_ns(&self, clock: SystemClock, tsc: u64) -> Option<u64> {
        let ticks = tsc.wrapping_sub(self.base_tsc);
        if ticks > self.valid_ticks {
            return None;
        }
        Some(self.line(clock).at(ticks))
    }

    /// The most that anybody has read from `clock` before the counter was `tsc`.
    pub(in crate::time) fn extrapolated_ns(&self, clock: SystemClock, tsc: u64) -> Option<u64> {
        let ticks = tsc.checked_sub(self.base_tsc)?;
        Some(self.line(clock).at(ticks.min(self.valid_ticks)))
    }

    /// The lines as a time namespace with `offsets` shows them.
    pub(in crate::time) fn shifted(&self, offsets: &ClockOffsets) -> Self {
        // What a namespace shows is neither negative nor too large: that was checked as the offsets were set.
        let shift = |line: ClockLine, offset: ClockOffset| ClockLine {
            base_ns: line.base_ns.wrapping_add_signed(offset.nanoseconds()),
            ..line
        };
        Self {
            monotonic: shift(self.monotonic, offsets.monotonic),
            raw: shift(self.raw, offsets.monotonic),
            boottime: shift(self.boottime, offsets.boottime),
            ..*self
        }
    }

    /// The same with the time of day `ahead_ns` nanoseconds later.
    pub(in crate::time) fn ahead(&self, ahead_ns: i64) -> Self {
        let base_ns = self.realtime.base_ns.wrapping_add_signed(ahead_ns);
        Self { realtime: ClockLine { base_ns, ..self.realtime }, ..*self }
    }

    fn line(&self, clock: SystemClock) -> ClockLine {
        match clock {
            SystemClock::Realtime
            | SystemClock::RealtimeCoarse
            | SystemClock::RealtimeAlarm
            | SystemClock::Tai => self.realtime,
            SystemClock::Monotonic | SystemClock::MonotonicCoarse => self.monotonic,
            SystemClock::MonotonicRaw => self.raw,
            SystemClock::Boottime | SystemClock::BoottimeAlarm => self.boottime,
        }
    }
}

/// The page, in guest memory. Nobody else writes it.
pub struct VvarPage {
    frame: Frame,
}

impl VvarPage {
    /// The page in `frame`.
    pub fn new(frame: Frame) -> Self {
        Self { frame }
    }

    /// Has user code make system calls, until the first snapshot is written. RDTSCP may name `cpu_count` CPUs.
    pub(in crate::time) fn clear(&self, cpu_count: u32) {
        self.update(|page| {
            for (number, _) in CLOCKS {
                put(page, TABLE + number * ENTRY_BYTES + 8, 0);
            }
            let _ = page.write_obj(cpu_count, CPU_COUNT);
        });
    }

    /// Shows `snapshot` to user code. One thread at a time.
    pub(in crate::time) fn write(&self, snapshot: &VvarSnapshot) {
        self.update(|page| {
            put(page, BASE_TSC, snapshot.base_tsc);
            put(page, VALID_TICKS, snapshot.valid_ticks);
            for (number, clock) in CLOCKS {
                let line = snapshot.line(clock);
                put(page, TABLE + number * ENTRY_BYTES, line.base_ns);
                put(page, TABLE + number * ENTRY_BYTES + 8, line.slope);
            }
        });
    }

    /// Changes the page while the sequence number is odd.
    fn update(&self, change: impl FnOnce(&VolatileSlice<'_>)) {
        let page = self.frame.slice();
        // A frame is longer than this, and aligned: it cannot fail.
        let Ok(sequence) = page.get_atomic_ref::<AtomicU32>(SEQUENCE) else { return };
        let even = sequence.load(Ordering::Relaxed) & !1;
        sequence.store(even.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        change(&page);
        sequence.store(even.wrapping_add(2), Ordering::Release);
    }
}

/// Writes one word. The page is as long as its table: this cannot fail.
fn put(page: &VolatileSlice<'_>, offset: usize, value: u64) {
    let _ = page.write_obj(value, offset);
}
