//! Lengths of files and the storage behind them; writing back.

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::place::{Scope, WORKING_DIRECTORY};
use super::readwrite::{check_size, check_size_limit};
use crate::Errno;
use crate::fs::file_capabilities::drop_with_contents;
use crate::fs::inotify::WatchMask;
use crate::fs::{FileKind, operations};
use crate::limits::Resource;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::truncate, truncate),
    (Sysno::ftruncate, ftruncate),
    (Sysno::fallocate, fallocate),
    (Sysno::fsync, fsync),
    (Sysno::fdatasync, fsync),
    (Sysno::sync, sync),
    (Sysno::syncfs, syncfs),
    (Sysno::sync_file_range, sync_file_range),
    (Sysno::fadvise64, fadvise64),
    (Sysno::readahead, readahead),
];

fn truncate(task: &mut CurrentTask, [path, len_bytes, ..]: [u64; 6]) -> Result<usize, Errno> {
    let len_bytes = check_len(len_bytes)?;
    let place = Scope::new(task).find_at(task, WORKING_DIRECTORY, path, 0)?;
    let limit = task.thread_group().soft_limit(Resource::FILE_SIZE);
    check_size(task, len_bytes, limit)?;
    operations::truncate(&place, len_bytes, &task.credentials())?;
    Ok(0)
}

fn ftruncate(task: &mut CurrentTask, [descriptor, len_bytes, ..]: [u64; 6]) -> Result<usize, Errno> {
    let len_bytes = check_len(len_bytes)?;
    let description = task.usable_file(descriptor as i32)?;
    if !description.flags().is_writable() {
        return Err(Errno::EINVAL);
    }
    check_size_limit(task, &description, len_bytes)?;
    if let Some(path) = description.path() {
        drop_with_contents(&**path.inode(), &task.credentials())?;
    }
    description.file().truncate(len_bytes)?;
    if let Some(path) = description.path() {
        path.dentry.announce(WatchMask::MODIFY);
    }
    Ok(0)
}

fn check_len(len_bytes: u64) -> Result<u64, Errno> {
    if len_bytes > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(len_bytes) }
}

fn fallocate(
    task: &mut CurrentTask,
    [descriptor, mode, offset, len_bytes, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let description = task.usable_file(descriptor as i32)?;
    let (mode, offset, len_bytes) = (mode as u32, check_len(offset)?, check_len(len_bytes)?);
    if len_bytes == 0 {
        return Err(Errno::EINVAL);
    }
    if !description.flags().is_writable() {
        return Err(Errno::EBADF);
    }
    match description.metadata()?.kind() {
        FileKind::Regular => {}
        FileKind::Fifo => return Err(Errno::ESPIPE),
        FileKind::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::ENODEV),
    }
    let end = offset.checked_add(len_bytes).filter(|&end| end <= i64::MAX as u64).ok_or(Errno::EFBIG)?;
    if mode & uapi::FALLOC_FL_KEEP_SIZE == 0 {
        check_size_limit(task, &description, end)?;
    }
    description.file().allocate(mode, offset, len_bytes, task)?;
    description.announce(WatchMask::MODIFY);
    Ok(0)
}

fn fsync(task: &mut CurrentTask, [descriptor, ..]: [u64; 6]) -> Result<usize, Errno> {
    task.usable_file(descriptor as i32)?.file().sync()?;
    Ok(0)
}

/// Nothing is ever behind what is written: every file system lives in memory.
fn sync(_: &mut CurrentTask, _: [u64; 6]) -> Result<usize, Errno> {
    Ok(0)
}

fn syncfs(task: &mut CurrentTask, [descriptor, ..]: [u64; 6]) -> Result<usize, Errno> {
    task.usable_file(descriptor as i32)?;
    Ok(0)
}

fn sync_file_range(
    task: &mut CurrentTask,
    [descriptor, offset, len_bytes, flags, ..]: [u64; 6],
) -> Result<usize, Errno> {
    const KNOWN: u64 = 0b111;
    let description = task.usable_file(descriptor as i32)?;
    check_len(check_len(offset)?.saturating_add(check_len(len_bytes)?))?;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    match description.metadata()?.kind() {
        FileKind::Regular | FileKind::BlockDevice | FileKind::Directory | FileKind::Symlink => Ok(0),
        _ => Err(Errno::ESPIPE),
    }
}

fn fadvise64(
    task: &mut CurrentTask,
    [descriptor, _, len_bytes, advice, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let description = task.usable_file(descriptor as i32)?;
    if description.metadata()?.kind() == FileKind::Fifo {
        return Err(Errno::ESPIPE);
    }
    if advice > u64::from(uapi::POSIX_FADV_NOREUSE) || (len_bytes as i64) < 0 {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

fn readahead(task: &mut CurrentTask, [descriptor, ..]: [u64; 6]) -> Result<usize, Errno> {
    let description = task.usable_file(descriptor as i32)?;
    if !description.flags().is_readable() {
        return Err(Errno::EBADF);
    }
    if description.is_regular() { Ok(0) } else { Err(Errno::EINVAL) }
}
