//! CPU time of tasks: that of the host thread that each one is.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The scheduler's clock of one thread (`man 3 pthread_getcpuclockid`; the numbers are Linux's: bit 2 says
/// thread).
const THREAD_SCHEDULER_CLOCK: i32 = 6;

/// The CPU time of the host thread `host_thread_id` of this process, in user code, in the sentry and in the host's kernel;
/// `None` once it has ended.
pub fn thread_cpu_time(host_thread_id: i32) -> Option<Duration> {
    let clock = !host_thread_id << 3 | THREAD_SCHEDULER_CLOCK;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes. rustix has no name for the clocks of other threads.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let nanoseconds = u32::try_from(time.tv_nsec).ok()?;
    (result == 0).then(|| Duration::new(seconds, nanoseconds))
}

/// The CPU time of the calling host thread.
pub fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests;
