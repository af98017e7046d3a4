//! How far the clocks of a time namespace are ahead of the machine's (`man 7 time_namespaces`).

use std::time::Duration;

use super::SystemClock;
use crate::Errno;

const NANOSECONDS: i64 = 1_000_000_000;

/// How far one clock is ahead of the machine's; it may be behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset {
    nanoseconds: i64,
}

impl ClockOffset {
    /// Seconds, and `nanoseconds` more.
    ///
    /// # Errors
    /// EINVAL: a second has fewer nanoseconds. ERANGE: no clock goes as far.
    pub fn new(seconds: i64, nanoseconds: u64) -> Result<Self, Errno> {
        let nanoseconds = i64::try_from(nanoseconds).ok().filter(|rest| *rest < NANOSECONDS);
        let nanoseconds = nanoseconds.ok_or(Errno::EINVAL)?;
        let whole = seconds.checked_mul(NANOSECONDS).and_then(|whole| whole.checked_add(nanoseconds));
        whole.map(|nanoseconds| Self { nanoseconds }).ok_or(Errno::ERANGE)
    }

    /// Whole seconds, rounded down, and the nanoseconds above them.
    pub fn parts(self) -> (i64, i64) {
        (self.nanoseconds.div_euclid(NANOSECONDS), self.nanoseconds.rem_euclid(NANOSECONDS))
    }

    /// In nanoseconds.
    pub(super) fn nanoseconds(self) -> i64 {
        self.nanoseconds
    }

    /// What the clock shows when the machine's shows `time`.
    pub fn shown(self, time: Duration) -> Duration {
        shift(time, self.nanoseconds >= 0, self.nanoseconds.unsigned_abs())
    }

    /// What the machine's clock shows when this one shows `time`.
    pub fn machine(self, time: Duration) -> Duration {
        shift(time, self.nanoseconds < 0, self.nanoseconds.unsigned_abs())
    }

    /// Fails with ERANGE unless a clock that is `now` on the machine can be shown: not before its start, and far from where it
    /// would overflow (146 years, as on Linux).
    fn check(self, now: Duration) -> Result<(), Errno> {
        const LAST_SECOND: i128 = (i64::MAX / NANOSECONDS / 2) as i128;
        let shown_ns = i128::from(self.nanoseconds) + i128::try_from(now.as_nanos()).unwrap_or(i128::MAX / 2);
        let is_possible = shown_ns >= 0 && shown_ns / i128::from(NANOSECONDS) <= LAST_SECOND;
        if is_possible { Ok(()) } else { Err(Errno::ERANGE) }
    }
}

fn shift(time: Duration, is_later: bool, by_ns: u64) -> Duration {
    let by = Duration::from_nanos(by_ns);
    if is_later { time.saturating_add(by) } else { time.saturating_sub(by) }
}

/// The offsets of all clocks that have one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffsets {
    /// Of CLOCK_MONOTONIC, and of its raw and coarse variants.
    pub monotonic: ClockOffset,
    /// Of CLOCK_BOOTTIME and its alarms; of uptimes.
    pub boottime: ClockOffset,
}

impl ClockOffsets {
    /// How far `clock` is shifted in this time namespace.
    pub fn of(&self, clock: SystemClock) -> ClockOffset {
        match clock {
            SystemClock::Monotonic | SystemClock::MonotonicRaw | SystemClock::MonotonicCoarse => {
                self.monotonic
            }
            SystemClock::Boottime | SystemClock::BoottimeAlarm => self.boottime,
            SystemClock::Realtime
            | SystemClock::RealtimeCoarse
            | SystemClock::RealtimeAlarm
            | SystemClock::Tai => ClockOffset::default(),
        }
    }

    /// Fails unless the clocks can be shown: `now` tells the machine's.
    ///
    /// # Errors
    /// ERANGE.
    pub fn check(&self, now: impl Fn(SystemClock) -> Duration) -> Result<(), Errno> {
        for clock in [SystemClock::Monotonic, SystemClock::Boottime] {
            self.of(clock).check(now(clock))?;
        }
        Ok(())
    }

    /// The lines of /proc/PID/timens_offsets.
    pub fn to_text(self) -> String {
        let line = |name: &str, offset: ClockOffset| {
            let (seconds, nanoseconds) = offset.parts();
            format!("{name:<10} {seconds:>10} {nanoseconds:>9}\n")
        };
        line("monotonic", self.monotonic) + &line("boottime", self.boottime)
    }

    /// These, changed as what was written to /proc/PID/timens_offsets says: a line a clock, with its name or number, seconds
    /// and nanoseconds. Two clocks can be set; what follows is not looked at, as Linux does not.
    ///
    /// # Errors
    /// EINVAL, ERANGE.
    pub fn parse_changes(mut self, text: &str) -> Result<Self, Errno> {
        const CLOCKS: usize = 2;
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n').take(CLOCKS) {
            let mut words = line.split_ascii_whitespace();
            let mut word = || words.next().ok_or(Errno::EINVAL);
            let clock = match word()? {
                "monotonic" | "1" => &mut self.monotonic,
                "boottime" | "7" => &mut self.boottime,
                _ => return Err(Errno::EINVAL),
            };
            let seconds = word()?.parse().map_err(|_| Errno::EINVAL)?;
            let nanoseconds = word()?.parse().map_err(|_| Errno::EINVAL)?;
            *clock = ClockOffset::new(seconds, nanoseconds)?;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
