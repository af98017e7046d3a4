//! Clock numbers (`man 2 clock_gettime`).

use std::time::Duration;

use linux_raw_sys::general as uapi;
use rustix::time::ClockId as HostClock;

use crate::Errno;

/// A clock as a system call's argument names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockId {
    /// One that all tasks share.
    System(SystemClock),
    /// The time that a process or a thread has used.
    Cpu(CpuClock),
}

/// A clock that all tasks share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SystemClock {
    /// Wall-clock time since 1970.
    Realtime,
    /// Time since the host started, without suspensions.
    Monotonic,
    /// The same, not steered by NTP.
    MonotonicRaw,
    /// `Realtime`, where precision does not matter.
    RealtimeCoarse,
    /// `Monotonic`, where precision does not matter.
    MonotonicCoarse,
    /// Time since the host started.
    Boottime,
    /// `Realtime`; its timers would wake a suspended machine.
    RealtimeAlarm,
    /// `Boottime`; its timers would wake a suspended machine.
    BoottimeAlarm,
    /// International atomic time.
    Tai,
}

/// The clock of a process or a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CpuClock {
    /// The process or thread; 0 for the caller's.
    pub id: i32,
    /// Whether it is a thread.
    pub is_thread: bool,
    /// What is counted.
    pub kind: CpuClockKind,
}

/// What a CPU clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CpuClockKind {
    /// User and system time.
    Total,
    /// User time.
    User,
}

impl ClockId {
    /// The clock with that number. Those of processes are negative: the complement of the ID, shifted by 3;
    /// bit 2 says thread, bits 0 and 1 what is counted.
    ///
    /// # Errors
    /// EINVAL: there is none.
    pub fn from_raw(raw: i32) -> Result<Self, Errno> {
        if raw < 0 {
            let kind = match raw & 3 {
                0 | 2 => CpuClockKind::Total,
                1 => CpuClockKind::User,
                _ => return Err(Errno::EINVAL),
            };
            return Ok(Self::Cpu(CpuClock { id: !(raw >> 3), is_thread: raw & 4 != 0, kind }));
        }
        let own = |is_thread| CpuClock { id: 0, is_thread, kind: CpuClockKind::Total };
        Ok(match raw as u32 {
            uapi::CLOCK_REALTIME => Self::System(SystemClock::Realtime),
            uapi::CLOCK_MONOTONIC => Self::System(SystemClock::Monotonic),
            uapi::CLOCK_PROCESS_CPUTIME_ID => Self::Cpu(own(false)),
            uapi::CLOCK_THREAD_CPUTIME_ID => Self::Cpu(own(true)),
            uapi::CLOCK_MONOTONIC_RAW => Self::System(SystemClock::MonotonicRaw),
            uapi::CLOCK_REALTIME_COARSE => Self::System(SystemClock::RealtimeCoarse),
            uapi::CLOCK_MONOTONIC_COARSE => Self::System(SystemClock::MonotonicCoarse),
            uapi::CLOCK_BOOTTIME => Self::System(SystemClock::Boottime),
            uapi::CLOCK_REALTIME_ALARM => Self::System(SystemClock::RealtimeAlarm),
            uapi::CLOCK_BOOTTIME_ALARM => Self::System(SystemClock::BoottimeAlarm),
            uapi::CLOCK_TAI => Self::System(SystemClock::Tai),
            _ => return Err(Errno::EINVAL),
        })
    }
}

impl SystemClock {
    /// The host's clock that it follows.
    pub(super) fn host(self) -> HostClock {
        match self {
            // The sandbox counts no leap seconds, as a machine whose NTP client has not said how many there
            // were.
            Self::Realtime | Self::RealtimeCoarse | Self::RealtimeAlarm | Self::Tai => HostClock::Realtime,
            Self::Monotonic | Self::MonotonicCoarse => HostClock::Monotonic,
            Self::MonotonicRaw => HostClock::MonotonicRaw,
            Self::Boottime | Self::BoottimeAlarm => HostClock::Boottime,
        }
    }

    /// Whether it shows the time of day, which can be set.
    pub(super) fn is_time_of_day(self) -> bool {
        matches!(self, Self::Realtime | Self::RealtimeCoarse | Self::RealtimeAlarm | Self::Tai)
    }

    /// What clock_getres(2) says. The coarse clocks are no coarser than the others here; it is what Linux
    /// says at 250 Hz.
    pub fn resolution(self) -> Duration {
        match self {
            Self::RealtimeCoarse | Self::MonotonicCoarse => Duration::from_millis(4),
            _ => Duration::from_nanos(1),
        }
    }

    /// Whether sleeps and timers can be set on it.
    pub fn has_timers(self) -> bool {
        !matches!(self, Self::MonotonicRaw | Self::RealtimeCoarse | Self::MonotonicCoarse)
    }

    /// Whether it is one of those that wake a machine: they take CAP_WAKE_ALARM.
    pub fn is_alarm(self) -> bool {
        matches!(self, Self::RealtimeAlarm | Self::BoottimeAlarm)
    }
}

#[cfg(test)]
mod tests;
