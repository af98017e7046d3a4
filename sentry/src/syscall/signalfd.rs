//! signalfd(2).

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::ReturnValue;
use super::poll::read_signal_mask;
use crate::Errno;
use crate::fs::signalfd::SignalFile;
use crate::fs::{Caller, FileDescription, OpenFlags};
use crate::task::{CurrentTask, SignalSource};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::signalfd, |task, [descriptor, mask, size, ..]| signalfd(task, descriptor, [mask, size], 0)),
    (Sysno::signalfd4, |task, [descriptor, mask, size, flags, ..]| {
        signalfd(task, descriptor, [mask, size], flags as u32)
    }),
];

const SFD_CLOEXEC: u32 = uapi::O_CLOEXEC;
const SFD_NONBLOCK: u32 = uapi::O_NONBLOCK;

fn signalfd(
    task: &mut CurrentTask,
    descriptor: u64,
    [mask, size]: [u64; 2],
    flags: u32,
) -> Result<usize, Errno> {
    if flags & !(SFD_CLOEXEC | SFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let mask = read_signal_mask(task, mask, size)?.ok_or(Errno::EFAULT)?.bits();
    let descriptor = descriptor as i32;
    if descriptor != -1 {
        let description = task.file(descriptor)?;
        description.downcast::<SignalFile>().ok_or(Errno::EINVAL)?.set_mask(mask);
        return Ok(descriptor.encode());
    }
    let file = SignalFile::new(mask, SignalSource::new(task.task()));
    let mut status = OpenFlags::RDWR;
    status.set(OpenFlags::NONBLOCK, flags & SFD_NONBLOCK != 0);
    let description = FileDescription::new(file, None, status);
    let descriptor = task.install_descriptor(description, flags & SFD_CLOEXEC != 0)?;
    Ok(descriptor.encode())
}
