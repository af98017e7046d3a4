//! Modes, owners and time stamps of files.

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::place::{Scope, WORKING_DIRECTORY, check_flags};
use crate::Errno;
use crate::fs::operations;
use crate::fs::{Path, TimeChange, Timestamp};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::chmod, chmod),
    (Sysno::fchmod, fchmod),
    (Sysno::fchmodat, fchmodat),
    (Sysno::fchmodat2, fchmodat2),
    (Sysno::chown, chown),
    (Sysno::lchown, lchown),
    (Sysno::fchown, fchown),
    (Sysno::fchownat, fchownat),
    (Sysno::utime, utime),
    (Sysno::utimes, utimes),
    (Sysno::futimesat, futimesat),
    (Sysno::utimensat, utimensat),
];

fn chmod(task: &mut CurrentTask, [path, mode, ..]: [u64; 6]) -> Result<usize, Errno> {
    fchmodat2(task, [WORKING_DIRECTORY, path, mode, 0, 0, 0])
}

fn fchmodat(task: &mut CurrentTask, [directory, path, mode, ..]: [u64; 6]) -> Result<usize, Errno> {
    fchmodat2(task, [directory, path, mode, 0, 0, 0])
}

fn fchmodat2(task: &mut CurrentTask, [directory, path, mode, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    let flags = check_flags(flags, uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH)?;
    let place = Scope::new(task).find_at(task, directory, path, flags)?;
    operations::change_mode(&place, mode as u32, &task.credentials())?;
    Ok(0)
}

fn fchmod(task: &mut CurrentTask, [descriptor, mode, ..]: [u64; 6]) -> Result<usize, Errno> {
    let place = Path::of_description(&task.usable_file(descriptor as i32)?);
    operations::change_mode(&place, mode as u32, &task.credentials())?;
    Ok(0)
}

fn chown(task: &mut CurrentTask, [path, uid, gid, ..]: [u64; 6]) -> Result<usize, Errno> {
    fchownat(task, [WORKING_DIRECTORY, path, uid, gid, 0, 0])
}

fn lchown(task: &mut CurrentTask, [path, uid, gid, ..]: [u64; 6]) -> Result<usize, Errno> {
    fchownat(task, [WORKING_DIRECTORY, path, uid, gid, u64::from(uapi::AT_SYMLINK_NOFOLLOW), 0])
}

fn fchownat(task: &mut CurrentTask, [directory, path, uid, gid, flags, _]: [u64; 6]) -> Result<usize, Errno> {
    let flags = check_flags(flags, uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH)?;
    let place = Scope::new(task).find_at(task, directory, path, flags)?;
    change_owner(task, &place, uid, gid)
}

fn fchown(task: &mut CurrentTask, [descriptor, uid, gid, ..]: [u64; 6]) -> Result<usize, Errno> {
    let place = Path::of_description(&task.usable_file(descriptor as i32)?);
    change_owner(task, &place, uid, gid)
}

/// Gives the file at `place` to the caller's `uid` and `gid`; -1 keeps either.
fn change_owner(task: &CurrentTask, place: &Path, uid: u64, gid: u64) -> Result<usize, Errno> {
    let credentials = task.credentials();
    let namespace = &credentials.user_namespace;
    let wanted = |id: u64, to_kernel: &dyn Fn(u32) -> Option<u32>| match id as u32 {
        u32::MAX => Ok(None),
        id => to_kernel(id).ok_or(Errno::EINVAL).map(Some),
    };
    let uid = wanted(uid, &|uid| namespace.to_kernel_uid(uid))?;
    let gid = wanted(gid, &|gid| namespace.to_kernel_gid(gid))?;
    operations::change_owner(place, uid, gid, &credentials)?;
    Ok(0)
}

fn utime(task: &mut CurrentTask, [path, times, ..]: [u64; 6]) -> Result<usize, Errno> {
    let changes = if times == 0 {
        [Some(TimeChange::Now); 2]
    } else {
        let seconds: [i64; 2] = task.memory().read_object(VirtualAddress(times))?;
        seconds.map(|seconds| Some(TimeChange::To(Timestamp { seconds, nanoseconds: 0 })))
    };
    change_times(task, WORKING_DIRECTORY, path, 0, Ok(changes))
}

fn utimes(task: &mut CurrentTask, [path, times, ..]: [u64; 6]) -> Result<usize, Errno> {
    futimesat(task, [WORKING_DIRECTORY, path, times, 0, 0, 0])
}

fn futimesat(task: &mut CurrentTask, [directory, path, times, ..]: [u64; 6]) -> Result<usize, Errno> {
    let changes = if times == 0 {
        [Some(TimeChange::Now); 2]
    } else {
        let [a, b]: [[i64; 2]; 2] = task.memory().read_object(VirtualAddress(times))?;
        [time_from_timeval(a)?, time_from_timeval(b)?]
    };
    change_times(task, directory, path, 0, Ok(changes))
}

fn time_from_timeval([seconds, microseconds]: [i64; 2]) -> Result<Option<TimeChange>, Errno> {
    match u32::try_from(microseconds) {
        Ok(microseconds @ 0..1_000_000) => {
            Ok(Some(TimeChange::To(Timestamp { seconds, nanoseconds: microseconds * 1000 })))
        }
        _ => Err(Errno::EINVAL),
    }
}

fn utimensat(task: &mut CurrentTask, [directory, path, times, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    let changes = if times == 0 {
        Ok([Some(TimeChange::Now); 2])
    } else {
        let times: [[i64; 2]; 2] = task.memory().read_object(VirtualAddress(times))?;
        if times.iter().all(|[_, nanoseconds]| *nanoseconds == i64::from(uapi::UTIME_OMIT)) {
            // Nothing else is looked at.
            return Ok(0);
        }
        let [a, b] = times;
        // What is wrong with them is told after what is wrong with the path.
        time_from_timespec(a).and_then(|a| Ok([a, time_from_timespec(b)?]))
    };
    let flags = check_flags(flags, uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH)?;
    change_times(task, directory, path, flags, changes)
}

fn time_from_timespec([seconds, nanoseconds]: [i64; 2]) -> Result<Option<TimeChange>, Errno> {
    match u32::try_from(nanoseconds) {
        Ok(uapi::UTIME_NOW) => Ok(Some(TimeChange::Now)),
        Ok(uapi::UTIME_OMIT) => Ok(None),
        Ok(nanoseconds @ 0..1_000_000_000) => Ok(Some(TimeChange::To(Timestamp { seconds, nanoseconds }))),
        _ => Err(Errno::EINVAL),
    }
}

fn change_times(
    task: &mut CurrentTask,
    directory: u64,
    path: u64,
    flags: u32,
    changes: Result<[Option<TimeChange>; 2], Errno>,
) -> Result<usize, Errno> {
    let scope = Scope::new(task);
    // A null path is futimens(3): what the descriptor refers to.
    let place = if path == 0 && directory as i32 != uapi::AT_FDCWD {
        if flags & uapi::AT_SYMLINK_NOFOLLOW != 0 {
            return Err(Errno::EINVAL);
        }
        Path::of_description(&task.usable_file(directory as i32)?)
    } else {
        scope.find_at(task, directory, path, flags)?
    };
    let [accessed, modified] = changes?;
    operations::change_times(&place, accessed, modified, &task.credentials())?;
    Ok(0)
}
