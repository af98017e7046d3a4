//! Advisory locks: flock(2) and the lock commands of fcntl(2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use crate::Errno;
use crate::abi::Flock;
use crate::fs::Caller;
use crate::fs::Fd;
use crate::fs::FileDescription;
use crate::fs::locks::{FileLocks, LockOwner, LockWait, RecordLock};
use crate::task::{Blocked, CurrentTask};
use crate::wait::Events;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![flock];

/// How long to wait before the host is asked again for a lock that somebody else holds there, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

fn flock(task: &mut CurrentTask, descriptor: Fd, operation: u32) -> Result<(), Errno> {
    // Mandatory locks are gone: they are granted and mean nothing.
    if operation & uapi::LOCK_MAND != 0 {
        return Ok(());
    }
    let kind = operation & !uapi::LOCK_NB;
    if !matches!(kind, uapi::LOCK_UN | uapi::LOCK_SH | uapi::LOCK_EX) {
        return Err(Errno::EINVAL);
    }
    let description = task.usable_file(descriptor)?;
    if kind != uapi::LOCK_UN && !description.flags().is_readable() && !description.flags().is_writable() {
        return Err(Errno::EBADF);
    }
    let locks = description.locks()?;
    let identity = description.id().ok_or(Errno::EBADF)?;
    if kind == uapi::LOCK_UN {
        locks.unlock_whole(identity);
        return Ok(());
    }
    let is_exclusive = kind == uapi::LOCK_EX;
    let take = || locks.lock_whole(identity, is_exclusive);
    wait_for(task, locks, operation & uapi::LOCK_NB == 0, take)?;
    Ok(())
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
    let attempt = |_: &mut CurrentTask| match take() {
        Err(Errno::EAGAIN) => None,
        result => Some(result),
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let deadline = locks.has_outer().then(|| Instant::now() + pause);
        match task.block_with(&[(&queue, Events::IN)], deadline, &attempt) {
            Ok(result) => return result,
            Err(Blocked::TimedOut) => pause = LONGEST_PAUSE.min(pause * 2),
            Err(Blocked::Interrupted) => return Err(Errno::ERESTARTSYS),
        }
    }
}

/// A lock command of fcntl(2).
pub(super) fn record_lock(
    task: &mut CurrentTask,
    description: &Arc<FileDescription>,
    command: u32,
    place: UserPointer<Flock>,
) -> Result<usize, Errno> {
    let mut flock = place.read(task)?;
    let is_of_description = matches!(command, uapi::F_OFD_GETLK | uapi::F_OFD_SETLK | uapi::F_OFD_SETLKW);
    let kind = flock.l_type as u32;
    let is_asking = matches!(command, uapi::F_GETLK | uapi::F_OFD_GETLK);
    if command == uapi::F_GETLK && !matches!(kind, uapi::F_RDLCK | uapi::F_WRLCK) {
        return Err(Errno::EINVAL);
    }
    let owner = if is_of_description {
        LockOwner::of_description(description).ok_or(Errno::EBADF)?
    } else {
        task.descriptors().lock_owner(task.viewer().process_id)
    };
    let (start, end) = range_of(&flock, description)?;
    let flags = description.flags();
    match kind {
        uapi::F_RDLCK if !is_asking && !flags.is_readable() => return Err(Errno::EBADF),
        uapi::F_WRLCK if !is_asking && !flags.is_writable() => return Err(Errno::EBADF),
        uapi::F_RDLCK | uapi::F_WRLCK | uapi::F_UNLCK => {}
        _ => return Err(Errno::EINVAL),
    }
    if is_of_description && flock.l_pid != 0 {
        return Err(Errno::EINVAL);
    }
    let locks = description.locks()?;
    let lock = RecordLock { start, end, is_exclusive: kind == uapi::F_WRLCK, owner };
    if is_asking {
        let found = if kind == uapi::F_UNLCK { locks.find_own(&lock) } else { locks.find_conflict(&lock) };
        describe_conflict(task, found, &mut flock);
        place.write(task, &flock)?;
        return Ok(0);
    }
    if kind == uapi::F_UNLCK {
        locks.unlock_record(owner, start, end)?;
        return Ok(0);
    }
    let may_wait = matches!(command, uapi::F_SETLKW | uapi::F_OFD_SETLKW);
    let wait = LockWait::new(task.kernel().open_files().lock_waits(), owner).filter(|_| may_wait);
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
        uapi::SEEK_CUR => description.shown_position(),
        uapi::SEEK_END => description.metadata()?.size_bytes,
        _ => return Err(Errno::EINVAL),
    };
    let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
    let start = base.checked_add(flock.l_start).ok_or(Errno::EOVERFLOW)?;
    if start < 0 {
        return Err(Errno::EINVAL);
    }
    let (first, last) = match flock.l_len {
        0 => (start, i64::MAX),
        len if len > 0 => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
        len => (start.checked_add(len).filter(|first| *first >= 0).ok_or(Errno::EINVAL)?, start - 1),
    };
    // The last byte that there can be stands for the end of the file.
    let end = if last == i64::MAX { u64::MAX } else { (last + 1).unsigned_abs() };
    Ok((first.unsigned_abs(), end))
}

fn describe_conflict(task: &CurrentTask, conflict: Option<RecordLock>, flock: &mut Flock) {
    let Some(conflict) = conflict else {
        flock.l_type = uapi::F_UNLCK as i16;
        return;
    };
    *flock = Flock::default();
    flock.l_type = if conflict.is_exclusive { uapi::F_WRLCK } else { uapi::F_RDLCK } as i16;
    flock.l_whence = uapi::SEEK_SET as i16;
    flock.l_start = conflict.start.cast_signed();
    flock.l_len = if conflict.end == u64::MAX { 0 } else { (conflict.end - conflict.start).cast_signed() };
    flock.l_pid = match conflict.owner {
        LockOwner::Process { process_id, .. } => task.shown_process(process_id),
        LockOwner::Description(_) | LockOwner::Outside => -1,
    };
}
