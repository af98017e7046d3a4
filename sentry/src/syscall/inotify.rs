//! inotify(7).

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::ReturnValue;
use super::place::{Scope, WORKING_DIRECTORY};
use crate::Errno;
use crate::fs::inotify::{InotifyFile, WatchMask};
use crate::fs::{Access, Caller, FileDescription, OpenFlags, check_access};
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::inotify_init, |task, _| inotify_init(task, 0)),
    (Sysno::inotify_init1, |task, [flags, ..]| inotify_init(task, flags as u32)),
    (Sysno::inotify_add_watch, inotify_add_watch),
    (Sysno::inotify_rm_watch, inotify_rm_watch),
];

fn inotify_init(task: &mut CurrentTask, flags: u32) -> Result<usize, Errno> {
    if flags & !(uapi::IN_CLOEXEC | uapi::IN_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut status = OpenFlags::empty();
    status.set(OpenFlags::NONBLOCK, flags & uapi::IN_NONBLOCK != 0);
    let user = task.credentials().effective_uid;
    let instance = InotifyFile::new(task.kernel().inotify_limits(), user)?;
    let description = FileDescription::new(instance, None, status);
    let descriptor = task.install_descriptor(description, flags & uapi::IN_CLOEXEC != 0)?;
    Ok(descriptor.encode())
}

fn inotify_add_watch(task: &mut CurrentTask, [descriptor, path, mask, ..]: [u64; 6]) -> Result<usize, Errno> {
    let mask = WatchMask::from_bits_truncate(mask as u32);
    if mask.is_empty() || mask.contains(WatchMask::ADD | WatchMask::CREATE_WATCH) {
        return Err(Errno::EINVAL);
    }
    let file = task.usable_file(descriptor as i32)?;
    let instance = file.downcast::<InotifyFile>().ok_or(Errno::EINVAL)?;
    let lookup = if mask.contains(WatchMask::NO_FOLLOW) { uapi::AT_SYMLINK_NOFOLLOW } else { 0 };
    let place = Scope::new(task).find_at(task, WORKING_DIRECTORY, path, lookup)?;
    if mask.contains(WatchMask::ONLY_DIRECTORY) && !place.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    check_access(&**place.inode(), Access::READ, &task.credentials())?;
    let watch = instance.add_watch(&place.dentry, mask)?;
    usize::try_from(watch).map_err(|_| Errno::ENOSPC)
}

fn inotify_rm_watch(task: &mut CurrentTask, [descriptor, watch, ..]: [u64; 6]) -> Result<usize, Errno> {
    let file = task.usable_file(descriptor as i32)?;
    file.downcast::<InotifyFile>().ok_or(Errno::EINVAL)?.remove_watch(watch as i32)?;
    Ok(0)
}
