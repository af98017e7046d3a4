//! timerfd_create(2), timerfd_settime(2) and timerfd_gettime(2).

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::ReturnValue;
use super::time::{machine_setting, time_source};
use crate::Errno;
use crate::fs::timerfd::TimerFile;
use crate::fs::{Caller, FileDescription, OpenFlags};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;
use crate::time::{TimerSetting, duration_from_timespec, timespec};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::timerfd_create, timerfd_create),
    (Sysno::timerfd_settime, timerfd_settime),
    (Sysno::timerfd_gettime, timerfd_gettime),
];

fn timerfd_create(task: &mut CurrentTask, [clock, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    let (clock_id, flags) = (clock as u32, flags as u32);
    if flags & !uapi::TFD_CREATE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    match clock_id {
        uapi::CLOCK_REALTIME | uapi::CLOCK_MONOTONIC | uapi::CLOCK_BOOTTIME => {}
        // They would wake the machine, which takes CAP_WAKE_ALARM; the sandbox has none.
        uapi::CLOCK_REALTIME_ALARM | uapi::CLOCK_BOOTTIME_ALARM => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    }
    let file = TimerFile::new(clock_id, time_source(task, clock)?, task.kernel().timers());
    let mut status = OpenFlags::RDWR;
    status.set(OpenFlags::NONBLOCK, flags & uapi::TFD_NONBLOCK != 0);
    let description = FileDescription::new(file, None, status);
    let descriptor = task.install_descriptor(description, flags & uapi::TFD_CLOEXEC != 0)?;
    Ok(descriptor.encode())
}

fn find(task: &CurrentTask, descriptor: u64) -> Result<Arc<FileDescription>, Errno> {
    let description = task.file(descriptor as i32)?;
    description.downcast::<TimerFile>().ok_or(Errno::EINVAL)?;
    Ok(description)
}

fn timerfd_settime(
    task: &mut CurrentTask,
    [descriptor, flags, new, old, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let flags = flags as u32;
    if flags & !(uapi::TFD_TIMER_ABSTIME | uapi::TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let words: [i64; 4] = task.memory().read_object(VirtualAddress(new))?;
    let [interval, value] = [[words[0], words[1]], [words[2], words[3]]];
    let setting =
        TimerSetting { interval: duration_from_timespec(interval)?, value: duration_from_timespec(value)? };
    let description = find(task, descriptor)?;
    let timer = description.downcast::<TimerFile>().ok_or(Errno::EINVAL)?;
    let is_absolute = flags & uapi::TFD_TIMER_ABSTIME != 0;
    let setting = machine_setting(task, &**timer.source(), setting, is_absolute);
    let former = timer.set(setting, is_absolute, flags)?;
    if old != 0 {
        write_setting(task, old, former)?;
    }
    Ok(0)
}

fn timerfd_gettime(task: &mut CurrentTask, [descriptor, place, ..]: [u64; 6]) -> Result<usize, Errno> {
    let description = find(task, descriptor)?;
    let timer = description.downcast::<TimerFile>().ok_or(Errno::EINVAL)?;
    write_setting(task, place, timer.setting())?;
    Ok(0)
}

/// Writes a `struct itimerspec`.
fn write_setting(task: &CurrentTask, place: u64, setting: TimerSetting) -> Result<(), Errno> {
    let [interval, value] = [timespec(setting.interval), timespec(setting.value)];
    task.memory().write_object(VirtualAddress(place), &[interval[0], interval[1], value[0], value[1]])
}
