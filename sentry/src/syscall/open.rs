//! Opening and closing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use linux_raw_sys::general as uapi;
use syscalls::Sysno;
use zerocopy::FromBytes;

use super::Handler;
use super::arguments::{UserPath, UserSlice, handlers, unsigned};
use super::fanotify::permit;
use super::scope::Scope;
use crate::Errno;
use crate::abi::OpenHow;
use crate::fs::fanotify::FanMask;
use crate::fs::operations::{self, OpenRequest, Opening};
use crate::fs::{CreationMode, Fd, FileDescription, OpenFlags, ResolveFlags};
use crate::task::{Blocked, CurrentTask};
use crate::wait::Events;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![open, openat, openat2, creat, close, close_range,];

const MODE_BITS: u32 = 0o7777;

fn open(task: &mut CurrentTask, path: UserPath, flags: u32, mode: u32) -> Result<Fd, Errno> {
    open_path(task, Fd::WORKING_DIRECTORY, path, (flags, mode), ResolveFlags::empty())
}

fn openat(task: &mut CurrentTask, directory: Fd, path: UserPath, flags: u32, mode: u32) -> Result<Fd, Errno> {
    open_path(task, directory, path, (flags, mode), ResolveFlags::empty())
}

fn creat(task: &mut CurrentTask, path: UserPath, mode: u32) -> Result<Fd, Errno> {
    let flags = uapi::O_CREAT | uapi::O_WRONLY | uapi::O_TRUNC;
    open_path(task, Fd::WORKING_DIRECTORY, path, (flags, mode), ResolveFlags::empty())
}

fn openat2(task: &mut CurrentTask, directory: Fd, path: UserPath, how: UserSlice) -> Result<Fd, Errno> {
    let how = read_open_how(task, how)?;
    let known = u64::from(OpenFlags::all().bits() | uapi::O_NOFOLLOW | 0o3);
    let makes_file = how.flags & u64::from(uapi::O_CREAT | (uapi::O_TMPFILE & !uapi::O_DIRECTORY)) != 0;
    let has_bad_mode = if makes_file { how.mode & !u64::from(MODE_BITS) != 0 } else { how.mode != 0 };
    if how.flags & !known != 0 || has_bad_mode {
        return Err(Errno::EINVAL);
    }
    if how.flags & u64::from(uapi::O_PATH) != 0 {
        let with_path = uapi::O_PATH | uapi::O_CLOEXEC | uapi::O_DIRECTORY | uapi::O_NOFOLLOW;
        if how.flags & !u64::from(with_path) != 0 {
            return Err(Errno::EINVAL);
        }
    }
    let resolve = ResolveFlags::from_bits(how.resolve).ok_or(Errno::EINVAL)?;
    if resolve.contains(ResolveFlags::BENEATH | ResolveFlags::IN_ROOT) {
        return Err(Errno::EINVAL);
    }
    open_path(task, directory, path, (unsigned(how.flags), unsigned(how.mode)), resolve)
}

/// Reads a `struct open_how` of any version: what this one does not know must be zero (`man 2 openat2`).
fn read_open_how(task: &CurrentTask, how: UserSlice) -> Result<OpenHow, Errno> {
    const KNOWN: usize = size_of::<OpenHow>();
    let len_bytes = usize::try_from(how.len_bytes).map_err(|_| Errno::E2BIG)?;
    if len_bytes < KNOWN {
        return Err(Errno::EINVAL);
    }
    if len_bytes > 4096 {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; len_bytes];
    task.memory().read_bytes(how.address, &mut bytes)?;
    let (known, rest) = bytes.split_at(KNOWN);
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    OpenHow::read_from_bytes(known).map_err(|_| Errno::EINVAL)
}

fn open_path(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    (flags, mode): (u32, u32),
    resolve: ResolveFlags,
) -> Result<Fd, Errno> {
    let flags = OpenFlags::from_bits_truncate(flags);
    check_open_flags(flags, resolve)?;
    let path = path.read(task)?;
    task.descriptors().check_room(task.descriptor_bounds())?;
    let scope = Scope::restricted(task, resolve);
    let mode = CreationMode { permissions: mode & MODE_BITS, umask: task.task_fs().umask() };
    let start = scope.start(task, directory, &path)?;
    let request = OpenRequest { flags, mode };
    let open = || operations::begin_open(&scope.resolver(), &start, &path, request);
    let opening = after_leases(task, flags.contains(OpenFlags::NONBLOCK), open)?;
    let description = finish_opening(task, opening)?;
    drop(scope);
    if !flags.contains(OpenFlags::NONBLOCK)
        && let Some(queue) = description.file().wait_queue()
    {
        let is_open = || match description.file().finish_open() {
            Err(Errno::EAGAIN) => None,
            result => Some(result),
        };
        task.block(&[(queue, Events::all())], None, is_open)??;
    }
    let bounds = task.descriptor_bounds();
    let is_close_on_exec = flags.contains(OpenFlags::CLOEXEC);
    task.descriptors().install(description, 0, is_close_on_exec, bounds)
}

/// Finishes what was begun, if all who are to be asked allow it.
///
/// # Errors
/// EPERM: somebody does not. ERESTARTSYS: interrupted. And those of truncating the file.
pub(super) fn finish_opening(
    task: &mut CurrentTask,
    opening: Opening,
) -> Result<Arc<FileDescription>, Errno> {
    if let Some(path) = opening.description().path().cloned()
        && !opening.description().flags().contains(OpenFlags::PATH)
        && let Err(error) = permit(task, &path, FanMask::OPEN_PERM)
    {
        opening.refuse();
        return Err(error);
    }
    opening.finish(&task.viewer())
}

/// Does what breaks leases, once these have been given up or are taken.
///
/// # Errors
/// EAGAIN: a lease is in the way, and the caller does not wait. ERESTARTSYS if interrupted. And those of `operation`.
pub(super) fn after_leases<T>(
    task: &mut CurrentTask,
    is_nonblocking: bool,
    operation: impl Fn() -> Result<T, Errno>,
) -> Result<T, Errno> {
    /// How often it is looked whether the time of a holder is over.
    const LOOK_INTERVAL: Duration = Duration::from_millis(200);
    loop {
        match operation() {
            Err(Errno::ELEASED) if is_nonblocking => return Err(Errno::EAGAIN),
            Err(Errno::ELEASED) => {}
            result => return result,
        }
        let attempt = || match operation() {
            Err(Errno::ELEASED) => None,
            result => Some(result),
        };
        let files = task.kernel().open_files().clone();
        let deadline = Instant::now().checked_add(LOOK_INTERVAL);
        match task.block(&[(files.lease_queue(), Events::all())], deadline, attempt) {
            Ok(result) => return result,
            Err(Blocked::TimedOut) => {}
            Err(Blocked::Interrupted) => return Err(Errno::ERESTARTSYS),
        }
    }
}

/// Fails for flags that nothing can be opened with.
///
/// # Errors
/// EINVAL; EAGAIN if only what is cached shall be looked at, and a change is asked for.
fn check_open_flags(flags: OpenFlags, resolve: ResolveFlags) -> Result<(), Errno> {
    if flags.contains(OpenFlags::PATH) {
        return Ok(());
    }
    let is_temporary = flags.contains(OpenFlags::TMPFILE);
    let writes = flags.intersects(OpenFlags::WRONLY | OpenFlags::RDWR);
    if flags.contains(OpenFlags::DIRECTORY | OpenFlags::CREAT)
        || is_temporary && !(flags.contains(OpenFlags::DIRECTORY) && writes)
    {
        return Err(Errno::EINVAL);
    }
    let changes = flags.intersects(OpenFlags::CREAT | OpenFlags::TRUNC | OpenFlags::TMPFILE);
    if changes && resolve.contains(ResolveFlags::CACHED) { Err(Errno::EAGAIN) } else { Ok(()) }
}

fn close(task: &mut CurrentTask, descriptor: Fd) -> Result<(), Errno> {
    let file = task.descriptors().remove(descriptor)?;
    drop(file);
    Ok(())
}

fn close_range(task: &mut CurrentTask, first: u32, last: u32, flags: u32) -> Result<(), Errno> {
    const CLOSE_RANGE_UNSHARE: u32 = 2;
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    let flags = super::scope::check_flags(flags, CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)?;
    if first > last {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        task.task().unshare_descriptors()?;
    }
    let descriptors = task.descriptors();
    let [first, last] = [first, last].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        descriptors.set_range_close_on_exec(first, last);
    } else {
        descriptors.remove_range(first, last, task)?;
    }
    Ok(())
}
