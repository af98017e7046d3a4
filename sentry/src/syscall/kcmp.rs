//! kcmp(2): whether two processes share something.

use std::sync::Arc;

use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers, int};
use crate::Errno;
use crate::abi::KcmpEpollSlot;
use crate::fs::epoll::EpollFile;
use crate::fs::{Fd, FileDescription};
use crate::task::{CurrentTask, Task, Tid, check_access};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![kcmp];

/// What is compared (`KCMP_*`, linux/kcmp.h).
const FILE: i32 = 0;
const MEMORY: i32 = 1;
const FILES: i32 = 2;
const FILE_SYSTEM: i32 = 3;
const SIGNAL_ACTIONS: i32 = 4;
const IO_CONTEXT: i32 = 5;
const UNDO_LIST: i32 = 6;
const EPOLL_TARGET: i32 = 7;

/// What is not the same has no order that a guest may learn (`man 2 kcmp`: 3).
const DIFFERENT: usize = 3;

fn kcmp(
    task: &mut CurrentTask,
    first: Tid,
    second: Tid,
    kind: i32,
    first_index: u64,
    second_index: u64,
) -> Result<usize, Errno> {
    let namespace = task.thread_group().pid_namespace();
    let find = |pid| task.kernel().tasks().task(namespace, pid).ok_or(Errno::ESRCH);
    let (first, second) = (find(first)?, find(second)?);
    check_access(task.task(), &first)?;
    check_access(task.task(), &second)?;
    let is_same = match kind {
        FILE => Arc::ptr_eq(&file(&first, first_index)?, &file(&second, second_index)?),
        MEMORY => memory_of(&first) == memory_of(&second),
        FILES => Arc::ptr_eq(&first.descriptors(), &second.descriptors()),
        FILE_SYSTEM => match (first.try_task_fs(), second.try_task_fs()) {
            (Some(first), Some(second)) => Arc::ptr_eq(&first, &second),
            (first, second) => first.is_none() && second.is_none(),
        },
        SIGNAL_ACTIONS => {
            Arc::ptr_eq(&first.thread_group().signal_actions(), &second.thread_group().signal_actions())
        }
        IO_CONTEXT => first.shares_io_context(&second),
        UNDO_LIST => first.shares_undo_list(&second),
        EPOLL_TARGET => {
            let slot = UserPointer::<KcmpEpollSlot>::new(second_index).read(task)?;
            Arc::ptr_eq(&file(&first, first_index)?, &watched(&second, &slot)?)
        }
        _ => return Err(Errno::EINVAL),
    };
    Ok(if is_same { 0 } else { DIFFERENT })
}

fn memory_of(task: &Task) -> Option<u64> {
    task.memory().map(|memory| memory.id())
}

fn file(task: &Task, descriptor: u64) -> Result<Arc<FileDescription>, Errno> {
    task.descriptors().get(Fd(int(descriptor)))
}

/// The file that an epoll instance watches by this descriptor, the `toff`th of those that have had it.
fn watched(task: &Task, slot: &KcmpEpollSlot) -> Result<Arc<FileDescription>, Errno> {
    let epoll = file(task, slot.efd.into())?;
    let instance = epoll.downcast::<EpollFile>().ok_or(Errno::EINVAL)?;
    instance.watched(slot.tfd.cast_signed(), slot.toff).ok_or(Errno::ENOENT)
}
