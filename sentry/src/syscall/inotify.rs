//! inotify(7).

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, handlers};
use super::scope::Scope;
use crate::Errno;
use crate::fs::Fd;
use crate::fs::inotify::{InotifyFile, WatchMask};
use crate::fs::{Access, Caller, FileDescription, OpenFlags};
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![inotify_init, inotify_init1, inotify_add_watch, inotify_rm_watch];

fn inotify_init(task: &mut CurrentTask) -> Result<Fd, Errno> {
    inotify_init1(task, 0)
}

fn inotify_init1(task: &mut CurrentTask, flags: u32) -> Result<Fd, Errno> {
    if flags & !(uapi::IN_CLOEXEC | uapi::IN_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut status = OpenFlags::empty();
    status.set(OpenFlags::NONBLOCK, flags & uapi::IN_NONBLOCK != 0);
    let user = task.credentials().effective_uid;
    let kernel = task.kernel();
    let instance = InotifyFile::new(kernel.inotify_limits(), user, kernel.open_files())?;
    let description = FileDescription::new(instance, None, status);
    task.install_descriptor(description, flags & uapi::IN_CLOEXEC != 0)
}

fn inotify_add_watch(
    task: &mut CurrentTask,
    descriptor: Fd,
    path: UserPath,
    mask: u32,
) -> Result<i32, Errno> {
    let mask = WatchMask::from_bits_truncate(mask);
    if mask.is_empty() {
        return Err(Errno::EINVAL);
    }
    let file = task.usable_file(descriptor)?;
    if mask.contains(WatchMask::MASK_ADD | WatchMask::MASK_CREATE) {
        return Err(Errno::EINVAL);
    }
    let instance = file.downcast::<InotifyFile>().ok_or(Errno::EINVAL)?;
    let lookup = if mask.contains(WatchMask::DONT_FOLLOW) { uapi::AT_SYMLINK_NOFOLLOW } else { 0 };
    let place = Scope::new(task).find_at(task, Fd::WORKING_DIRECTORY, path, lookup)?;
    if mask.contains(WatchMask::ONLYDIR) && !place.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    place.check_viewer_access(Access::READ, &task.viewer())?;
    let watch = instance.add_watch(&place.dentry, mask)?;
    Ok(watch)
}

fn inotify_rm_watch(task: &mut CurrentTask, descriptor: Fd, watch: i32) -> Result<(), Errno> {
    let file = task.usable_file(descriptor)?;
    file.downcast::<InotifyFile>().ok_or(Errno::EINVAL)?.remove_watch(watch)
}
