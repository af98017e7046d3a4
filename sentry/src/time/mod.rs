//! Time: clocks, timers and the vDSO.
//!
//! A [`Timekeeper`] tells the time of the clocks that all share; the [`vdso`] shows the same to user code
//! without a system call. Time namespaces see some of them shifted, by [`ClockOffsets`]: what a task names or is told
//! is shifted at the system call, and all inside is the machine's time. A [`TimerQueue`] is one host thread that calls back at deadlines; a [`Timer`] on it
//! is what interval timers, POSIX timers and timer descriptors are made of.

mod adjustment;
mod clock;
mod cpu;
mod duration;
mod monotonic;
mod namespace;
mod offset;
mod posix_timer;
mod process_timers;
mod queue;
mod timekeeper;
mod timer;
pub mod vdso;

pub(crate) use adjustment::{Adjustment, AdjustmentRequest};
pub use clock::{ClockId, CpuClock, CpuClockKind, SystemClock};
pub use cpu::{own_cpu_time, thread_cpu_time};
pub use duration::{duration_from_timespec, duration_from_timeval, timespec, timeval};
pub use monotonic::MonotonicTime;
pub(crate) use namespace::ShiftedVdso;
pub use namespace::TimeNamespace;
pub use offset::{ClockOffset, ClockOffsets};
pub use posix_timer::{PosixTimer, PosixTimerNotification, PosixTimerOrigin, PosixTimers};
pub use process_timers::{IntervalTimer, ProcessTimers};
pub use queue::{Expire, TimerHandle, TimerQueue};
pub use timekeeper::{ShiftedVvar, Timekeeper};
pub use timer::{ExpirationListener, TimeSource, Timer, TimerSetting};
