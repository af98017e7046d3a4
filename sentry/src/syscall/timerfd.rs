//! timerfd_create(2), timerfd_settime(2) and timerfd_gettime(2).

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use super::time::{machine_setting, setting_from_timespec, setting_words, time_source};
use crate::Errno;
use crate::abi::Timespec;
use crate::cred::Capabilities;
use crate::fs::timerfd::TimerFile;
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::task::CurrentTask;
use crate::time::{ClockId, timespec};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![timerfd_create, timerfd_settime, timerfd_gettime,];

fn timerfd_create(task: &mut CurrentTask, clock_id: u32, flags: u32) -> Result<Fd, Errno> {
    if flags & !uapi::TFD_CREATE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    match clock_id {
        uapi::CLOCK_REALTIME | uapi::CLOCK_MONOTONIC | uapi::CLOCK_BOOTTIME => {}
        // There is no machine to be woken: they run as the clocks that they are named after.
        uapi::CLOCK_REALTIME_ALARM | uapi::CLOCK_BOOTTIME_ALARM
            if task.credentials().has(Capabilities::WAKE_ALARM) => {}
        uapi::CLOCK_REALTIME_ALARM | uapi::CLOCK_BOOTTIME_ALARM => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    }
    let clock = ClockId::from_raw(clock_id.cast_signed())?;
    let kernel = task.kernel();
    let source = time_source(task, clock)?;
    let file = TimerFile::new(clock_id, source, kernel.timers(), kernel.open_files());
    let mut status = OpenFlags::RDWR;
    status.set(OpenFlags::NONBLOCK, flags & uapi::TFD_NONBLOCK != 0);
    let description = FileDescription::new(file, None, status);
    task.install_descriptor(description, flags & uapi::TFD_CLOEXEC != 0)
}

fn find(task: &CurrentTask, descriptor: Fd) -> Result<Arc<FileDescription>, Errno> {
    let description = task.usable_file(descriptor)?;
    description.downcast::<TimerFile>().ok_or(Errno::EINVAL)?;
    Ok(description)
}

fn timerfd_settime(
    task: &mut CurrentTask,
    descriptor: Fd,
    flags: u32,
    new: UserPointer<[Timespec; 2]>,
    old: UserPointer<[Timespec; 2]>,
) -> Result<(), Errno> {
    let new = new.read(task)?;
    if flags & !(uapi::TFD_TIMER_ABSTIME | uapi::TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let setting = setting_from_timespec(new)?;
    let description = find(task, descriptor)?;
    let timer = description.downcast::<TimerFile>().ok_or(Errno::EINVAL)?;
    let is_absolute = flags & uapi::TFD_TIMER_ABSTIME != 0;
    let setting = machine_setting(task, &**timer.source(), setting, is_absolute);
    let former = timer.set(setting, is_absolute, flags)?;
    old.write_unless_null(task, &setting_words(former, timespec))
}

fn timerfd_gettime(
    task: &mut CurrentTask,
    descriptor: Fd,
    place: UserPointer<[Timespec; 2]>,
) -> Result<(), Errno> {
    let description = find(task, descriptor)?;
    let timer = description.downcast::<TimerFile>().ok_or(Errno::EINVAL)?;
    place.write(task, &setting_words(timer.setting(), timespec))
}
