//! signalfd(2).

use std::sync::Arc;

use linux_raw_sys::general::{O_CLOEXEC, O_NONBLOCK};
use syscalls::Sysno;

use super::Handler;
use super::signal::read_mask;
use crate::Errno;
use crate::fs::signalfd::{PendingSignals, SIGNAL_RECORD_BYTES, SignalFile};
use crate::fs::{Caller, FileDescription, OpenFlags};
use crate::signal::SignalSet;
use crate::task::{CurrentTask, Task};
use crate::wait::WaitQueue;

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::signalfd, |task, [fd, mask, size, ..]| signalfd(task, fd as i32, mask, size, 0)),
    (Sysno::signalfd4, |task, [fd, mask, size, flags, ..]| {
        signalfd(task, fd as i32, mask, size, flags as u32)
    }),
];

/// Flags, which are those of open(2).
const SFD_CLOEXEC: u32 = O_CLOEXEC;
const SFD_NONBLOCK: u32 = O_NONBLOCK;

/// The signals of the task that made the descriptor, and of its process.
struct TaskSignals(Arc<Task>);

impl PendingSignals for TaskSignals {
    fn take(&self, mask: u64) -> Option<[u8; SIGNAL_RECORD_BYTES]> {
        self.0.take_signal(SignalSet::from_bits(mask)).map(|info| info.to_signalfd_bytes())
    }

    fn is_pending(&self, mask: u64) -> bool {
        let pending = self.0.pending_signals() | self.0.thread_group().pending_signals();
        pending.intersects(SignalSet::from_bits(mask))
    }

    fn wait_queue(&self) -> &WaitQueue {
        self.0.thread_group().signal_arrivals()
    }
}

fn signalfd(
    task: &mut CurrentTask,
    descriptor: i32,
    mask: u64,
    size: u64,
    flags: u32,
) -> Result<usize, Errno> {
    if flags & !(SFD_CLOEXEC | SFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let mask = read_mask(task, mask, size)?.bits();
    if descriptor != -1 {
        let description = task.file(descriptor)?;
        description.downcast::<SignalFile>().ok_or(Errno::EINVAL)?.set_mask(mask);
        return usize::try_from(descriptor).map_err(|_| Errno::EBADF);
    }
    let file = SignalFile::new(mask, Arc::new(TaskSignals(task.task().clone())));
    let mut status = OpenFlags::RDWR;
    status.set(OpenFlags::NONBLOCK, flags & SFD_NONBLOCK != 0);
    let description = FileDescription::new(file, None, status);
    let descriptor = task.install_descriptor(description, flags & SFD_CLOEXEC != 0)?;
    usize::try_from(descriptor).map_err(|_| Errno::EMFILE)
}
