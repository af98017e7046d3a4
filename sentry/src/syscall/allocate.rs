//! Lengths of files and the storage behind them; writing back.

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, handlers};
use super::readwrite::{check_size, check_size_limit};
use super::scope::Scope;
use crate::Errno;
use crate::abi::SpaceReservation;
use crate::fs::file_capabilities::drop_with_contents;
use crate::fs::file_flags::{FileFlags, check_without};
use crate::fs::inotify::WatchMask;
use crate::fs::landlock::check_truncate;
use crate::fs::{Fd, FileDescription, FileKind, operations};
use crate::limits::Resource;
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    truncate,
    ftruncate,
    fallocate,
    fsync,
    fdatasync = fsync,
    sync,
    syncfs,
    sync_file_range,
    fadvise64,
    readahead,
];

fn truncate(task: &mut CurrentTask, path: UserPath, len_bytes: i64) -> Result<(), Errno> {
    let len_bytes = check_len(len_bytes)?;
    let place = Scope::new(task).find_at(task, Fd::WORKING_DIRECTORY, path, 0)?;
    let limit = task.thread_group().soft_limit(Resource::FILE_SIZE);
    check_size(task, len_bytes, limit)?;
    let credentials = task.credentials();
    super::open::after_leases(task, false, || operations::truncate(&place, len_bytes, &credentials))
}

fn ftruncate(task: &mut CurrentTask, descriptor: Fd, len_bytes: i64) -> Result<(), Errno> {
    let len_bytes = check_len(len_bytes)?;
    let description = task.usable_file(descriptor)?;
    if !description.flags().is_writable() {
        return Err(Errno::EINVAL);
    }
    check_size_limit(task, &description, len_bytes)?;
    check_truncate(&description)?;
    if let Some(path) = description.path() {
        check_without(&**path.inode(), FileFlags::APPEND)?;
        drop_with_contents(&**path.inode(), &task.credentials())?;
    }
    description.file().truncate(len_bytes)?;
    if let Some(path) = description.path() {
        path.dentry.announce(WatchMask::MODIFY);
    }
    Ok(())
}

fn check_len(len_bytes: i64) -> Result<u64, Errno> {
    u64::try_from(len_bytes).map_err(|_| Errno::EINVAL)
}

fn fallocate(
    task: &mut CurrentTask,
    descriptor: Fd,
    mode: u32,
    offset: i64,
    len_bytes: i64,
) -> Result<(), Errno> {
    let description = task.usable_file(descriptor)?;
    allocate(task, &description, mode, (offset, len_bytes))
}

/// The requests of ioctl(2) that do the same, from XFS (`linux/falloc.h`); `None` for others.
pub(super) fn ioctl(
    task: &mut CurrentTask,
    description: &FileDescription,
    request: u32,
    place: VirtualAddress,
) -> Option<Result<usize, Errno>> {
    let mode = match request {
        0x4030_5828 | 0x4030_582a => 0,
        0x4030_5829 | 0x4030_582b => uapi::FALLOC_FL_PUNCH_HOLE,
        0x4030_5839 => uapi::FALLOC_FL_ZERO_RANGE,
        _ => return None,
    };
    let range = reserved_range(task, description, place);
    let mode = mode | uapi::FALLOC_FL_KEEP_SIZE;
    Some(range.and_then(|range| allocate(task, description, mode, range)).map(|()| 0))
}

/// The range that a `struct space_resv` is about.
fn reserved_range(
    task: &CurrentTask,
    description: &FileDescription,
    place: VirtualAddress,
) -> Result<(i64, i64), Errno> {
    let asked: SpaceReservation = task.memory().read_object(place)?;
    let base = match u32::try_from(asked.l_whence) {
        Ok(uapi::SEEK_SET) => 0,
        Ok(uapi::SEEK_CUR) => description.shown_position(),
        Ok(uapi::SEEK_END) => description.metadata()?.size_bytes,
        _ => return Err(Errno::EINVAL),
    };
    Ok((asked.l_start.wrapping_add(base.cast_signed()), asked.l_len))
}

fn allocate(
    task: &mut CurrentTask,
    description: &FileDescription,
    mode: u32,
    (offset, len_bytes): (i64, i64),
) -> Result<(), Errno> {
    let (offset, len_bytes) = (check_len(offset)?, check_len(len_bytes)?);
    if len_bytes == 0 {
        return Err(Errno::EINVAL);
    }
    check_allocation(mode)?;
    if !description.flags().is_writable() {
        return Err(Errno::EBADF);
    }
    if let Some(path) = description.path() {
        let only_adds = mode & !uapi::FALLOC_FL_KEEP_SIZE == 0;
        let forbidden = if only_adds { FileFlags::IMMUTABLE } else { FileFlags::PROTECTING };
        check_without(&**path.inode(), forbidden)?;
    }
    match description.metadata()?.kind() {
        // What no file system names is no file with blocks.
        FileKind::Regular if description.path().is_none() => return Err(Errno::ENODEV),
        FileKind::Regular => {}
        FileKind::Fifo => return Err(Errno::ESPIPE),
        FileKind::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::ENODEV),
    }
    let end = offset.checked_add(len_bytes).filter(|&end| i64::try_from(end).is_ok()).ok_or(Errno::EFBIG)?;
    if mode & uapi::FALLOC_FL_KEEP_SIZE == 0 {
        check_size_limit(task, description, end)?;
    }
    description.file().allocate(mode, offset, len_bytes, task)?;
    description.announce(WatchMask::MODIFY);
    Ok(())
}

/// Fails with EOPNOTSUPP for a mode that does not exist: one operation at most, with FALLOC_FL_KEEP_SIZE where that has a meaning.
fn check_allocation(mode: u32) -> Result<(), Errno> {
    let keeps_size = mode & uapi::FALLOC_FL_KEEP_SIZE != 0;
    let exists = match mode & !uapi::FALLOC_FL_KEEP_SIZE {
        0 | uapi::FALLOC_FL_UNSHARE_RANGE | uapi::FALLOC_FL_ZERO_RANGE => true,
        uapi::FALLOC_FL_PUNCH_HOLE => keeps_size,
        uapi::FALLOC_FL_COLLAPSE_RANGE | uapi::FALLOC_FL_INSERT_RANGE => !keeps_size,
        _ => false,
    };
    if exists { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}

fn fsync(task: &mut CurrentTask, descriptor: Fd) -> Result<(), Errno> {
    task.usable_file(descriptor)?.file().sync()?;
    Ok(())
}

/// Never fails, as on Linux.
fn sync(task: &mut CurrentTask) -> Result<(), Errno> {
    for mount in task.task_fs().view().namespace.mounts() {
        if let Err(error) = mount.file_system().sync() {
            log::debug!("sync: {error}");
        }
    }
    Ok(())
}

fn syncfs(task: &mut CurrentTask, descriptor: Fd) -> Result<(), Errno> {
    match task.usable_file(descriptor)?.path() {
        Some(path) => path.mount.file_system().sync(),
        None => Ok(()),
    }
}

fn sync_file_range(
    task: &mut CurrentTask,
    descriptor: Fd,
    offset: i64,
    len_bytes: i64,
    flags: u32,
) -> Result<(), Errno> {
    const KNOWN: u32 = 0b111;
    let description = task.usable_file(descriptor)?;
    check_len(check_len(offset)?.saturating_add(check_len(len_bytes)?).cast_signed())?;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    match description.metadata()?.kind() {
        FileKind::Regular if !description.is_regular() => Err(Errno::ESPIPE),
        FileKind::Regular | FileKind::BlockDevice | FileKind::Directory | FileKind::Symlink => Ok(()),
        _ => Err(Errno::ESPIPE),
    }
}

fn fadvise64(
    task: &mut CurrentTask,
    descriptor: Fd,
    _offset: i64,
    len_bytes: i64,
    advice: u32,
) -> Result<(), Errno> {
    let description = task.usable_file(descriptor)?;
    if description.metadata()?.kind() == FileKind::Fifo {
        return Err(Errno::ESPIPE);
    }
    if advice > uapi::POSIX_FADV_NOREUSE || len_bytes < 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

fn readahead(task: &mut CurrentTask, descriptor: Fd, _offset: i64, len_bytes: i64) -> Result<(), Errno> {
    let description = task.usable_file(descriptor)?;
    if !description.flags().is_readable() {
        return Err(Errno::EBADF);
    }
    if description.is_regular() && len_bytes >= 0 { Ok(()) } else { Err(Errno::EINVAL) }
}
