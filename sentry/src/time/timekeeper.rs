//! The time of the clocks that all tasks share.
//!
//! They are the host's clocks. Where the processor's time-stamp counter (TSC) is fit for it, the time is
//! reckoned from the counter instead, by a line that is fitted to the host's clocks now and then; the vDSO's
//! page holds the same line, so that what user code reads there and what a system call says never contradict
//! each other. A line is valid for a span of counts. Past it the vDSO makes a system call, and that call fits
//! the next line: nobody asks, nothing is done.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId as HostClock, clock_gettime};

use super::adjustment::Adjustment;
use super::clock::SystemClock;
use super::monotonic::MonotonicTime;
use super::offset::ClockOffsets;
use super::vdso::{ClockLine, VvarPage, VvarSnapshot};
use crate::Errno;

/// The slope of a line is known well enough after this time.
const SHORTEST_BASELINE: Duration = Duration::from_millis(5);
/// A line is valid for as long as this many baselines, so that its error stays under some microseconds.
const VALIDITY_BASELINES: u64 = 8;
const LONGEST_VALIDITY_NS: u64 = 1_000_000_000;
/// Older measurements than this say nothing of how the host steers its clocks today.
const LONGEST_BASELINE_NS: u64 = 16_000_000_000;
/// Where a line is ahead of the host's clock, the next one is flatter by at most this part.
const LARGEST_SLOWDOWN: u64 = 8;

/// Tells the time.
#[derive(Default)]
pub struct Timekeeper {
    vvar: OnceLock<VvarPage>,
    /// How many CPUs RDTSCP may name.
    cpu_count: AtomicU32,
    lines: Mutex<Option<Lines>>,
    /// How far the time of day is ahead of the host's, in nanoseconds.
    ahead_ns: AtomicI64,
    adjustment: Mutex<Adjustment>,
    /// Minutes west of Greenwich, and the kind of summer time (`man 2 gettimeofday`).
    zone: Mutex<[i32; 2]>,
    /// The pages of time namespaces. Locked inside the lines.
    shifted: Mutex<Vec<Weak<ShiftedVvar>>>,
}

/// A page whose clocks are ahead or behind; it follows the timekeeper for as long as it lives.
pub struct ShiftedVvar {
    page: VvarPage,
    offsets: ClockOffsets,
}

struct Lines {
    /// Where the current baseline starts, and where the next one will.
    anchor: Sample,
    next_anchor: Sample,
    current: Option<VvarSnapshot>,
}

/// The counter and the host's clocks at one moment.
#[derive(Clone, Copy)]
struct Sample {
    tsc: u64,
    monotonic_ns: u64,
    raw_ns: u64,
    realtime_ns: u64,
    boottime_ns: u64,
}

impl Timekeeper {
    /// Lets the vDSO's `page` follow this clock from now on, if the TSC is fit for it. Only the first call counts.
    /// `cpu_count`: how many CPUs RDTSCP may name to getcpu; 0 if the guest numbers them otherwise than the host.
    pub fn publish(&self, page: VvarPage, cpu_count: usize) {
        let cpu_count = if has_rdtscp() { u32::try_from(cpu_count).unwrap_or(0) } else { 0 };
        self.cpu_count.store(cpu_count, Ordering::Relaxed);
        page.clear(cpu_count);
        if is_tsc_fit() {
            let sample = Sample::take();
            *self.lines.lock() = Some(Lines { anchor: sample, next_anchor: sample, current: None });
        }
        let _ = self.vvar.set(page);
    }

    /// Lets `page` follow this clock, shifted by `offsets`, until what is returned is dropped.
    pub fn publish_shifted(&self, page: VvarPage, offsets: ClockOffsets) -> Arc<ShiftedVvar> {
        page.clear(self.cpu_count.load(Ordering::Relaxed));
        let shifted = Arc::new(ShiftedVvar { page, offsets });
        let lines = self.lines.lock();
        if let Some(snapshot) = lines.as_ref().and_then(|lines| lines.current.as_ref()) {
            shifted.show(&snapshot.ahead(self.ahead_ns.load(Ordering::Relaxed)));
        }
        self.shifted.lock().push(Arc::downgrade(&shifted));
        drop(lines);
        shifted
    }

    /// The time of `clock`: since 1970 or since the start of the host.
    pub fn now(&self, clock: SystemClock) -> Duration {
        let time = self.line_time(clock).unwrap_or_else(|| host_time(clock.host()));
        if clock.is_time_of_day() { shifted(time, self.ahead_ns.load(Ordering::Relaxed)) } else { time }
    }

    /// Has the time of day be `time` from now on.
    ///
    /// # Errors
    /// EINVAL: it would be before the machine started.
    pub(crate) fn set_time_of_day(&self, time: Duration) -> Result<(), Errno> {
        if time < self.now(SystemClock::Monotonic) {
            return Err(Errno::EINVAL);
        }
        let before = self.now(SystemClock::Realtime);
        let change = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
            - i128::try_from(before.as_nanos()).unwrap_or(i128::MAX);
        let change = i64::try_from(change).map_err(|_| Errno::EINVAL)?;
        self.ahead_ns.fetch_add(change, Ordering::Relaxed);
        self.adjustment.lock().clear();
        let lines = self.lines.lock();
        if let Some(snapshot) = lines.as_ref().and_then(|lines| lines.current.as_ref()) {
            self.show(snapshot);
        }
        Ok(())
    }

    /// What steers the clock.
    pub(crate) fn adjustment(&self) -> &Mutex<Adjustment> {
        &self.adjustment
    }

    /// The time zone that settimeofday(2) has set, which nothing here depends on.
    pub(crate) fn zone(&self) -> &Mutex<[i32; 2]> {
        &self.zone
    }

    /// When `clock` will show `time`, on the host's clock; `None` if that is too far to reckon.
    pub fn deadline(&self, clock: SystemClock, time: Duration) -> Option<Instant> {
        Instant::now().checked_add(time.saturating_sub(self.now(clock)))
    }

    /// Now, for what is remembered longer than a system call lasts.
    pub fn monotonic(&self) -> MonotonicTime {
        MonotonicTime(self.now(SystemClock::Monotonic))
    }

    /// The kernel's own name for a moment of the host's clock that is not past.
    pub fn moment(&self, instant: Instant) -> MonotonicTime {
        self.monotonic() + instant.saturating_duration_since(Instant::now())
    }

    /// `moment` on the host's clock: a past one is now. `None` if that is too far to reckon.
    pub fn instant(&self, moment: MonotonicTime) -> Option<Instant> {
        self.deadline(SystemClock::Monotonic, moment.0)
    }

    fn line_time(&self, clock: SystemClock) -> Option<Duration> {
        let mut lines = self.lines.lock();
        let lines = lines.as_mut()?;
        let time = |lines: &Lines| lines.current.as_ref()?.time_ns(clock, read_tsc());
        let time_ns = time(lines).or_else(|| {
            lines.refresh();
            if let Some(snapshot) = &lines.current {
                self.show(snapshot);
            }
            time(lines)
        })?;
        Some(Duration::from_nanos(time_ns))
    }

    /// Brings every page up to date. The lines are locked.
    fn show(&self, snapshot: &VvarSnapshot) {
        let snapshot = &snapshot.ahead(self.ahead_ns.load(Ordering::Relaxed));
        if let Some(page) = self.vvar.get() {
            page.write(snapshot);
        }
        self.shifted.lock().retain(|page| page.upgrade().is_some_and(|page| page.show(snapshot)));
    }
}

impl ShiftedVvar {
    /// Shows `snapshot`, shifted; returns true.
    fn show(&self, snapshot: &VvarSnapshot) -> bool {
        self.page.write(&snapshot.shifted(&self.offsets));
        true
    }
}

impl Lines {
    /// Fits the next line, once the baseline is long enough for the first.
    fn refresh(&mut self) {
        let sample = Sample::take();
        let age_ns = |anchor: &Sample| sample.monotonic_ns.saturating_sub(anchor.monotonic_ns);
        if age_ns(&self.next_anchor) > LONGEST_BASELINE_NS / 2 {
            self.anchor = std::mem::replace(&mut self.next_anchor, sample);
        }
        let baseline_ns = age_ns(&self.anchor);
        let baseline_ticks = sample.tsc.saturating_sub(self.anchor.tsc);
        if baseline_ns < SHORTEST_BASELINE.as_nanos() as u64 || baseline_ticks == 0 {
            return;
        }
        let raw_baseline_ns = sample.raw_ns.saturating_sub(self.anchor.raw_ns);
        let validity_ns = baseline_ns.saturating_mul(VALIDITY_BASELINES).min(LONGEST_VALIDITY_NS);
        let Some(valid_ticks) = scale(validity_ns, baseline_ticks, baseline_ns) else { return };
        let fit = |clock, base_ns, elapsed_ns| {
            let slope = ClockLine::slope(elapsed_ns, baseline_ticks)?;
            Some(self.continued(clock, ClockLine { base_ns, slope }, sample.tsc, validity_ns))
        };
        let Some(monotonic) = fit(SystemClock::Monotonic, sample.monotonic_ns, baseline_ns) else { return };
        let Some(raw) = fit(SystemClock::MonotonicRaw, sample.raw_ns, raw_baseline_ns) else { return };
        // What monotonic time has been held back or pushed forward, the clocks that share its pace are too.
        let shifted = |time_ns: u64| ClockLine {
            base_ns: time_ns.wrapping_add(monotonic.base_ns).wrapping_sub(sample.monotonic_ns),
            slope: monotonic.slope,
        };
        self.current = Some(VvarSnapshot {
            base_tsc: sample.tsc,
            valid_ticks,
            monotonic,
            raw,
            realtime: shifted(sample.realtime_ns),
            boottime: shifted(sample.boottime_ns),
        });
    }

    /// `line` from `tsc` on, changed so that `clock` does not step back from the line before: where that one
    /// is ahead, this one starts there and is flatter, to meet the host's clock at the end of its validity.
    fn continued(&self, clock: SystemClock, line: ClockLine, tsc: u64, validity_ns: u64) -> ClockLine {
        let before_ns = self.current.as_ref().and_then(|current| current.extrapolated_ns(clock, tsc));
        let ahead_ns = before_ns.unwrap_or(0).saturating_sub(line.base_ns);
        if ahead_ns == 0 {
            return line;
        }
        let lost_ns = ahead_ns.min(validity_ns / LARGEST_SLOWDOWN);
        let slope = scale(line.slope, validity_ns - lost_ns, validity_ns).unwrap_or(line.slope);
        ClockLine { base_ns: line.base_ns.saturating_add(ahead_ns), slope }
    }
}

impl Sample {
    fn take() -> Self {
        // A sample that was interrupted took longer: the shortest of some is the truest.
        let attempts = (0..5).map(|_| {
            let before = read_tsc();
            let monotonic_ns = host_time_ns(HostClock::Monotonic);
            let after = read_tsc();
            (after.wrapping_sub(before), before, monotonic_ns)
        });
        let (width, before, monotonic_ns) = attempts.min_by_key(|(width, ..)| *width).unwrap_or_default();
        let offset = |clock| {
            let early_ns = host_time_ns(HostClock::Monotonic);
            let time_ns = host_time_ns(clock);
            let late_ns = host_time_ns(HostClock::Monotonic);
            monotonic_ns.wrapping_add(time_ns).wrapping_sub(early_ns.midpoint(late_ns))
        };
        Self {
            tsc: before.wrapping_add(width / 2),
            monotonic_ns,
            raw_ns: offset(HostClock::MonotonicRaw),
            realtime_ns: offset(HostClock::Realtime),
            boottime_ns: offset(HostClock::Boottime),
        }
    }
}

/// `time`, so many nanoseconds later or earlier.
fn shifted(time: Duration, ahead_ns: i64) -> Duration {
    let distance = Duration::from_nanos(ahead_ns.unsigned_abs());
    if ahead_ns < 0 { time.saturating_sub(distance) } else { time.saturating_add(distance) }
}

/// `value * numerator / denominator`.
fn scale(value: u64, numerator: u64, denominator: u64) -> Option<u64> {
    let product = u128::from(value) * u128::from(numerator);
    u64::try_from(product.checked_div(u128::from(denominator))?).ok()
}

fn host_time(clock: HostClock) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn host_time_ns(clock: HostClock) -> u64 {
    u64::try_from(host_time(clock).as_nanos()).unwrap_or(u64::MAX)
}

/// The time-stamp counter, read after all that comes before (SDM 2B, RDTSC).
fn read_tsc() -> u64 {
    // SAFETY: every x86-64 processor has both instructions, and they touch no memory.
    unsafe {
        std::arch::x86_64::_mm_lfence();
        std::arch::x86_64::_rdtsc()
    }
}

/// Whether the counter advances at one rate in all states (SDM 3B 17.17.1), and the host thinks so of all
/// processors.
fn is_tsc_fit() -> bool {
    const ADVANCED_POWER_MANAGEMENT: u32 = 0x8000_0007;
    const INVARIANT_TSC: u32 = 1 << 8;
    let highest = std::arch::x86_64::__cpuid(0x8000_0000).eax;
    let is_invariant = highest >= ADVANCED_POWER_MANAGEMENT
        && std::arch::x86_64::__cpuid(ADVANCED_POWER_MANAGEMENT).edx & INVARIANT_TSC != 0;
    let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    // Without the file the answer is the processor's alone.
    let is_trusted = source.map_or(true, |source| {
        matches!(source.trim(), "tsc" | "tsc-early" | "kvm-clock" | "hyperv_clocksource_tsc_page" | "xen")
    });
    is_invariant && is_trusted
}

/// SDM 2A, CPUID 80000001H.
fn has_rdtscp() -> bool {
    const RDTSCP: u32 = 1 << 27;
    std::arch::x86_64::__cpuid(0x8000_0001).edx & RDTSCP != 0
}

#[cfg(test)]
mod tests;
