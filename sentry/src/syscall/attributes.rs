//! Modes, owners and time stamps of files.

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, UserPointer, handlers};
use super::scope::{Scope, check_flags};
use crate::Errno;
use crate::abi::{Timespec, Timeval};
use crate::cred::{Gid, Uid};
use crate::fs::Fd;
use crate::fs::operations;
use crate::fs::{Path, TimeChange, Timestamp};
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    chmod, fchmod, fchmodat, fchmodat2, chown, lchown, fchown, fchownat, utime, utimes, futimesat, utimensat,
];

fn chmod(task: &mut CurrentTask, path: UserPath, mode: u32) -> Result<(), Errno> {
    fchmodat2(task, Fd::WORKING_DIRECTORY, path, mode, 0)
}

fn fchmodat(task: &mut CurrentTask, directory: Fd, path: UserPath, mode: u32) -> Result<(), Errno> {
    fchmodat2(task, directory, path, mode, 0)
}

fn fchmodat2(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    mode: u32,
    flags: u32,
) -> Result<(), Errno> {
    let flags = check_flags(flags, uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH)?;
    let place = Scope::new(task).find_at(task, directory, path, flags)?;
    operations::change_mode(&place, mode, &task.credentials())?;
    Ok(())
}

fn fchmod(task: &mut CurrentTask, descriptor: Fd, mode: u32) -> Result<(), Errno> {
    let place = Path::of_description(&task.usable_file(descriptor)?);
    operations::change_mode(&place, mode, &task.credentials())?;
    Ok(())
}

fn chown(task: &mut CurrentTask, path: UserPath, uid: Option<Uid>, gid: Option<Gid>) -> Result<(), Errno> {
    fchownat(task, Fd::WORKING_DIRECTORY, path, uid, gid, 0)
}

fn lchown(task: &mut CurrentTask, path: UserPath, uid: Option<Uid>, gid: Option<Gid>) -> Result<(), Errno> {
    fchownat(task, Fd::WORKING_DIRECTORY, path, uid, gid, uapi::AT_SYMLINK_NOFOLLOW)
}

fn fchownat(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    uid: Option<Uid>,
    gid: Option<Gid>,
    flags: u32,
) -> Result<(), Errno> {
    let flags = check_flags(flags, uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH)?;
    let place = Scope::new(task).find_at(task, directory, path, flags)?;
    change_owner(task, &place, uid, gid)
}

fn fchown(task: &mut CurrentTask, descriptor: Fd, uid: Option<Uid>, gid: Option<Gid>) -> Result<(), Errno> {
    let place = Path::of_description(&task.usable_file(descriptor)?);
    change_owner(task, &place, uid, gid)
}

/// Gives the file at `place` to the caller's `uid` and `gid`; none keeps either.
fn change_owner(task: &CurrentTask, place: &Path, uid: Option<Uid>, gid: Option<Gid>) -> Result<(), Errno> {
    let credentials = task.credentials();
    let namespace = &credentials.user_namespace;
    let uid = uid.map(|uid| namespace.to_kernel_uid(uid).ok_or(Errno::EINVAL)).transpose()?;
    let gid = gid.map(|gid| namespace.to_kernel_gid(gid).ok_or(Errno::EINVAL)).transpose()?;
    operations::change_owner(place, uid, gid, &credentials)
}

fn utime(task: &mut CurrentTask, path: UserPath, times: UserPointer<[i64; 2]>) -> Result<(), Errno> {
    let changes = if times.is_null() {
        [Some(TimeChange::Now); 2]
    } else {
        let seconds = times.read(task)?;
        seconds.map(|seconds| Some(TimeChange::To(Timestamp { seconds, nanoseconds: 0 })))
    };
    change_times(task, Fd::WORKING_DIRECTORY, path, 0, Ok(changes))
}

fn utimes(task: &mut CurrentTask, path: UserPath, times: UserPointer<[Timeval; 2]>) -> Result<(), Errno> {
    futimesat(task, Fd::WORKING_DIRECTORY, path, times)
}

fn futimesat(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    times: UserPointer<[Timeval; 2]>,
) -> Result<(), Errno> {
    let changes = if times.is_null() {
        [Some(TimeChange::Now); 2]
    } else {
        let [a, b] = times.read(task)?;
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

fn utimensat(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    times: UserPointer<[Timespec; 2]>,
    flags: u32,
) -> Result<(), Errno> {
    let changes = if times.is_null() {
        Ok([Some(TimeChange::Now); 2])
    } else {
        let times = times.read(task)?;
        if times.iter().all(|[_, nanoseconds]| *nanoseconds == i64::from(uapi::UTIME_OMIT)) {
            // Nothing else is looked at.
            return Ok(());
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
    directory: Fd,
    path: UserPath,
    flags: u32,
    changes: Result<[Option<TimeChange>; 2], Errno>,
) -> Result<(), Errno> {
    let scope = Scope::new(task);
    // A null path is futimens(3): what the descriptor refers to.
    let place = if path.is_null() && directory != Fd::WORKING_DIRECTORY {
        if flags & uapi::AT_SYMLINK_NOFOLLOW != 0 {
            return Err(Errno::EINVAL);
        }
        Path::of_description(&task.usable_file(directory)?)
    } else {
        scope.find_at(task, directory, path, flags)?
    };
    let [accessed, modified] = changes?;
    operations::change_times(&place, accessed, modified, &task.credentials())
}
