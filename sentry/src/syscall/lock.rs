//! Advisory locks: flock(2) and the lock commands of fcntl(2).

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::abi::Flock;
use crate::fs::FileDescription;
use crate::fs::locks::{FileLocks, LockOwner, LockWait, RecordLock};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;
use crate::wait::Events;

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[(Sysno::flock, flock)];

fn flock(task: &mut CurrentTask, [descriptor, operation, ..]: [u64; 6]) -> Result<usize, Errno> {
    let description = task.usable_file(descriptor as i32)?;
    let operation = operation as u32;
    let locks = locks_of(&description)?;
    let LockOwner::Description(identity) = LockOwner::of_description(&description) else {
        return Err(Errno::EINVAL);
    };
    let is_exclusive = match operation & !uapi::LOCK_NB {
        uapi::LOCK_UN => {
            locks.unlock_whole(identity);
            return Ok(0);
        }
        uapi::LOCK_SH => false,
        uapi::LOCK_EX => true,
        _ => return Err(Errno::EINVAL),
    };
    let take = || locks.lock_whole(identity, is_exclusive);
    wait_for(task, locks, operation & uapi::LOCK_NB == 0, take)?;
    Ok(0)
}

fn locks_of(description: &FileDescription) -> Result<&FileLocks, Errno> {
    description.path().and_then(|path| path.inode().locks()).ok_or(Errno::ENOLCK)
}

/// Takes a lock, waiting for it if `may_wait`.
fn wait_for(
    task: &mut CurrentTask,
    locks: &FileLocks,
    may_wait: bool,
    take: impl Fn() -> Result<(), Errno>,
) -> Result<(), Errno> {
    match take() {
        Err(Errno::EAGAIN) if may_wait => {}
        result => return result,
    }
    let queue = locks.wait_queue();
    let attempt = || match take() {
        Err(Errno::EAGAIN) => None,
        result => Some(result),
    };
    task.block(&[(&queue, Events::IN)], None, attempt)?
}

/// A lock command of fcntl(2).
pub(super) fn record_lock(
    task: &mut CurrentTask,
    description: &Arc<FileDescription>,
    command: u32,
    argument: u64,
) -> Result<usize, Errno> {
    let mut flock: Flock = task.memory().read_object(VirtualAddress(argument))?;
    let is_of_description = matches!(command, uapi::F_OFD_GETLK | uapi::F_OFD_SETLK | uapi::F_OFD_SETLKW);
    if is_of_description && flock.l_pid != 0 {
        return Err(Errno::EINVAL);
    }
    let owner = if is_of_description {
        LockOwner::of_description(description)
    } else {
        task.descriptors().lock_owner(task.viewer().process_id)
    };
    let (start, end) = range_of(&flock, description)?;
    let locks = locks_of(description)?;
    let kind = flock.l_type as u32;
    let lock = RecordLock { start, end, is_exclusive: kind == uapi::F_WRLCK, owner };
    if matches!(command, uapi::F_GETLK | uapi::F_OFD_GETLK) {
        if !matches!(kind, uapi::F_RDLCK | uapi::F_WRLCK) {
            return Err(Errno::EINVAL);
        }
        describe_conflict(locks.find_conflict(&lock), &mut flock);
        task.memory().write_object(VirtualAddress(argument), &flock)?;
        return Ok(0);
    }
    match kind {
        uapi::F_UNLCK => {
            locks.unlock_record(owner, start, end)?;
            return Ok(0);
        }
        uapi::F_RDLCK if !description.flags().is_readable() => return Err(Errno::EBADF),
        uapi::F_WRLCK if !description.flags().is_writable() => return Err(Errno::EBADF),
        uapi::F_RDLCK | uapi::F_WRLCK => {}
        _ => return Err(Errno::EINVAL),
    }
    let may_wait = matches!(command, uapi::F_SETLKW | uapi::F_OFD_SETLKW);
    let wait = LockWait::new(owner).filter(|_| may_wait);
    wait_for(task, locks, may_wait, || match (locks.lock_record(lock), &wait) {
        (Err(Errno::EAGAIN), Some(wait)) => {
            let holder = locks.find_conflict(&lock).map(|conflict| conflict.owner);
            holder.map_or(Ok(()), |holder| wait.wait_for(holder))?;
            Err(Errno::EAGAIN)
        }
        (result, _) => result,
    })?;
    Ok(0)
}

/// The bytes that a `struct flock` means: from, and to (`man 2 fcntl`).
fn range_of(flock: &Flock, description: &FileDescription) -> Result<(u64, u64), Errno> {
    let base = match flock.l_whence as u32 {
        uapi::SEEK_SET => 0,
        uapi::SEEK_CUR => *description.position(),
        uapi::SEEK_END => description.metadata()?.size_bytes,
        _ => return Err(Errno::EINVAL),
    };
    let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
    let start = base.checked_add(flock.l_start).ok_or(Errno::EOVERFLOW)?;
    let (start, end) = match flock.l_len {
        0 => (start, None),
        len if len > 0 => (start, Some(start.checked_add(len).ok_or(Errno::EOVERFLOW)?)),
        len => (start.checked_add(len).ok_or(Errno::EINVAL)?, Some(start)),
    };
    let start = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    let end = end.map_or(Ok(u64::MAX), |end| u64::try_from(end).map_err(|_| Errno::EINVAL))?;
    Ok((start, end))
}

fn describe_conflict(conflict: Option<RecordLock>, flock: &mut Flock) {
    let Some(conflict) = conflict else {
        flock.l_type = uapi::F_UNLCK as i16;
        return;
    };
    *flock = Flock::default();
    flock.l_type = if conflict.is_exclusive { uapi::F_WRLCK } else { uapi::F_RDLCK } as i16;
    flock.l_whence = uapi::SEEK_SET as i16;
    flock.l_start = conflict.start as i64;
    flock.l_len = if conflict.end == u64::MAX { 0 } else { (conflict.end - conflict.start) as i64 };
    flock.l_pid = match conflict.owner {
        LockOwner::Process { process_id, .. } => process_id,
        LockOwner::Description(_) => -1,
    };
}
