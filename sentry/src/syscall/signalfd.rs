//! signalfd(2).

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use super::poll::read_signal_mask;
use crate::Errno;
use crate::fs::signalfd::SignalFile;
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::signal::SignalSet;
use crate::task::{CurrentTask, SignalSource};
use crate::width::u64_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![signalfd, signalfd4];

const SFD_CLOEXEC: u32 = uapi::O_CLOEXEC;
const SFD_NONBLOCK: u32 = uapi::O_NONBLOCK;

fn signalfd(
    task: &mut CurrentTask,
    descriptor: Fd,
    mask: UserPointer<SignalSet>,
    size: u64,
) -> Result<Fd, Errno> {
    signalfd4(task, descriptor, mask, size, 0)
}

fn signalfd4(
    task: &mut CurrentTask,
    descriptor: Fd,
    mask: UserPointer<SignalSet>,
    size: u64,
    flags: u32,
) -> Result<Fd, Errno> {
    if flags & !(SFD_CLOEXEC | SFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    if size != u64_from(size_of::<SignalSet>()) {
        return Err(Errno::EINVAL);
    }
    let mask = read_signal_mask(task, mask, size)?.ok_or(Errno::EFAULT)?.bits();
    if descriptor != Fd(-1) {
        let description = task.usable_file(descriptor)?;
        description.downcast::<SignalFile>().ok_or(Errno::EINVAL)?.set_mask(mask);
        return Ok(descriptor);
    }
    let file = SignalFile::new(mask, SignalSource::new(task.task()), task.kernel().open_files());
    let mut status = OpenFlags::RDWR;
    status.set(OpenFlags::NONBLOCK, flags & SFD_NONBLOCK != 0);
    let description = FileDescription::new(file, None, status);
    task.install_descriptor(description, flags & SFD_CLOEXEC != 0)
}
