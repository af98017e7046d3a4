//! eventfd(2).

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::handlers;
use crate::Errno;
use crate::fs::eventfd::EventFile;
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![eventfd, eventfd2];

fn eventfd(task: &mut CurrentTask, count: u32) -> Result<Fd, Errno> {
    eventfd2(task, count, 0)
}

fn eventfd2(task: &mut CurrentTask, count: u32, flags: u32) -> Result<Fd, Errno> {
    if flags & !(uapi::EFD_SEMAPHORE | uapi::EFD_CLOEXEC | uapi::EFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = EventFile::new(count, flags & uapi::EFD_SEMAPHORE != 0, task.kernel().open_files());
    let mut status = OpenFlags::RDWR;
    status.set(OpenFlags::NONBLOCK, flags & uapi::EFD_NONBLOCK != 0);
    let description = FileDescription::new(file, None, status);
    task.install_descriptor(description, flags & uapi::EFD_CLOEXEC != 0)
}
