//! Timers as descriptors (`man 2 timerfd_create`).

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::time::check_alarm;
use crate::Errno;
use crate::fs::timerfd::{TimerFile, TimerSetting, TimerSource};
use crate::fs::{Caller, FileDescription, OpenFlags};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;
use crate::time::{ClockId, Expire, Timekeeper, TimerHandle, TimerQueue, duration_from_timespec, timespec};
use crate::wait::{Events, Observer};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::timerfd_create, timerfd_create),
    (Sysno::timerfd_settime, timerfd_settime),
    (Sysno::timerfd_gettime, timerfd_gettime),
];

/// The sandbox's clocks and the thread that rings.
struct Clocks {
    timekeeper: Arc<Timekeeper>,
    queue: Arc<TimerQueue>,
}

/// An observer who is told when a deadline comes.
struct Alarm(Arc<dyn Observer>);

impl Expire for Alarm {
    fn expire(&self) {
        self.0.notify(Events::IN);
    }
}

impl TimerSource for Clocks {
    fn now(&self, clock_id: u32) -> Duration {
        match ClockId::from_raw(clock_id as i32) {
            Ok(ClockId::System(clock)) => self.timekeeper.now(clock),
            // Such timers are not made.
            _ => Duration::ZERO,
        }
    }

    fn ring_at(&self, deadline: Instant, observer: Arc<dyn Observer>) -> Box<dyn Send + Sync> {
        let alarm = Arc::new(Alarm(observer));
        let weak: Weak<Alarm> = Arc::downgrade(&alarm);
        let handle: Option<TimerHandle> = match self.queue.schedule(deadline, weak) {
            Ok(handle) => Some(handle),
            Err(error) => {
                log::error!("a timer descriptor will not ring, the host has no thread for timers: {error}");
                None
            }
        };
        Box::new((alarm, handle))
    }
}

fn timerfd_create(task: &mut CurrentTask, [clock, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    let (clock, flags) = (clock as u32, flags as u32);
    let is_known = matches!(
        clock,
        uapi::CLOCK_REALTIME
            | uapi::CLOCK_MONOTONIC
            | uapi::CLOCK_BOOTTIME
            | uapi::CLOCK_REALTIME_ALARM
            | uapi::CLOCK_BOOTTIME_ALARM
    );
    if !is_known || flags & !(uapi::TFD_CLOEXEC | uapi::TFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    check_alarm(task, clock.into())?;
    let kernel = task.kernel();
    let clocks = Clocks { timekeeper: kernel.timekeeper().clone(), queue: kernel.timers().clone() };
    let mut status = OpenFlags::RDWR;
    status.set(OpenFlags::NONBLOCK, flags & uapi::TFD_NONBLOCK != 0);
    let description = FileDescription::new(TimerFile::new(clock, Arc::new(clocks)), None, status);
    let descriptor = task.install_descriptor(description, flags & uapi::TFD_CLOEXEC != 0)?;
    usize::try_from(descriptor).map_err(|_| Errno::EMFILE)
}

fn timerfd_settime(
    task: &mut CurrentTask,
    [descriptor, flags, new, old, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let flags = flags as u32;
    let [interval_s, interval_ns, value_s, value_ns]: [i64; 4] =
        task.memory().read_object(VirtualAddress(new))?;
    let setting = TimerSetting {
        value: duration_from_timespec([value_s, value_ns])?,
        interval: duration_from_timespec([interval_s, interval_ns])?,
    };
    if flags & !(uapi::TFD_TIMER_ABSTIME | uapi::TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let description = task.file(descriptor as i32)?;
    let file = description.downcast::<TimerFile>().ok_or(Errno::EINVAL)?;
    // Nobody can set the sandbox's clocks: TFD_TIMER_CANCEL_ON_SET has nothing to wait for.
    let replaced = file.set(setting, flags & uapi::TFD_TIMER_ABSTIME != 0, flags);
    if old != 0 {
        write_setting(task, old, replaced)?;
    }
    Ok(0)
}

fn timerfd_gettime(task: &mut CurrentTask, [descriptor, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let description = task.file(descriptor as i32)?;
    let file = description.downcast::<TimerFile>().ok_or(Errno::EINVAL)?;
    write_setting(task, address, file.setting())?;
    Ok(0)
}

/// Writes a `struct itimerspec`.
fn write_setting(task: &CurrentTask, address: u64, setting: TimerSetting) -> Result<(), Errno> {
    let ([interval_s, interval_ns], [value_s, value_ns]) =
        (timespec(setting.interval), timespec(setting.value));
    let words = [interval_s, interval_ns, value_s, value_ns];
    task.memory().write_object(VirtualAddress(address), &words)
}
