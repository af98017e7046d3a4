//! fanotify(7).

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, handlers};
use super::scope::Scope;
use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::fanotify::{
    FanMask, FanotifyFile, InitFlags, MarkChange, MarkFlags, MarkPlace, ask, is_asked,
};
use crate::fs::{Access, Caller, Fd, FileDescription, OpenFlags, Path};
use crate::task::CurrentTask;
use crate::wait::Events;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![fanotify_init, fanotify_mark];

fn fanotify_init(task: &mut CurrentTask, flags: u32, event_flags: u32) -> Result<Fd, Errno> {
    let is_privileged = task.credentials().has(Capabilities::SYS_ADMIN);
    let known = InitFlags::from_bits_truncate(flags);
    if !is_privileged && (known.intersects(InitFlags::PRIVILEGED) || !known.intersects(InitFlags::HANDLES)) {
        return Err(Errno::EPERM);
    }
    let flags = InitFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    check_init_flags(flags)?;
    let event_flags = read_event_flags(event_flags)?;
    let mut status = OpenFlags::RDWR;
    status.set(OpenFlags::NONBLOCK, flags.contains(InitFlags::NONBLOCK));
    let kernel = task.kernel();
    let group = FanotifyFile::new(
        kernel.fanotify_limits(),
        (flags, event_flags),
        !is_privileged,
        &task.viewer(),
        kernel.open_files(),
    )?;
    let description = FileDescription::new(group, None, status);
    task.install_descriptor(description, flags.contains(InitFlags::CLOEXEC))
}

/// Fails for flags that do not go together.
///
/// # Errors
/// EINVAL.
fn check_init_flags(flags: InitFlags) -> Result<(), Errno> {
    let has = |flag| flags.contains(flag);
    let is_wrong = has(InitFlags::CLASSES)
        || has(InitFlags::REPORT_PIDFD | InitFlags::REPORT_TID)
        || flags.intersects(InitFlags::HANDLES) && flags.intersects(InitFlags::CLASSES)
        || has(InitFlags::REPORT_NAME) && !has(InitFlags::REPORT_DIR_FID)
        || has(InitFlags::REPORT_TARGET_FID) && !has(InitFlags::REPORT_NAME | InitFlags::REPORT_FID);
    if is_wrong { Err(Errno::EINVAL) } else { Ok(()) }
}

/// How descriptors of events are opened.
///
/// # Errors
/// EINVAL.
fn read_event_flags(flags: u32) -> Result<OpenFlags, Errno> {
    let known = uapi::O_ACCMODE
        | uapi::O_APPEND
        | uapi::O_NONBLOCK
        | uapi::O_SYNC
        | uapi::O_CLOEXEC
        | uapi::O_LARGEFILE
        | uapi::O_NOATIME;
    if flags & !known != 0 || flags & uapi::O_ACCMODE == uapi::O_ACCMODE {
        return Err(Errno::EINVAL);
    }
    Ok(OpenFlags::from_bits_truncate(flags) | OpenFlags::LARGEFILE)
}

fn fanotify_mark(
    task: &mut CurrentTask,
    descriptor: Fd,
    flags: u32,
    mask: u64,
    directory: Fd,
    path: UserPath,
) -> Result<(), Errno> {
    let change = read_change(flags, mask)?;
    let description = task.usable_file(descriptor)?;
    let group = description.downcast::<FanotifyFile>().ok_or(Errno::EINVAL)?;
    check_change(task, group, &change)?;
    if change.flags.contains(MarkFlags::FLUSH) {
        group.flush(change.place);
        return Ok(());
    }
    let found = find(task, directory, path, change.flags)?;
    let change = check_object(group, &found, change)?;
    group.change_mark(&found, &change)
}

/// Decodes what is asked for.
///
/// # Errors
/// EINVAL.
fn read_change(flags: u32, mask: u64) -> Result<MarkChange, Errno> {
    let flags = MarkFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let place = match flags & (MarkFlags::MOUNT | MarkFlags::FILESYSTEM) {
        MarkFlags::MOUNT => MarkPlace::Mount,
        MarkFlags::FILESYSTEM => MarkPlace::FileSystem,
        none if none.is_empty() => MarkPlace::Inode,
        _ => return Err(Errno::EINVAL),
    };
    match flags & (MarkFlags::ADD | MarkFlags::REMOVE | MarkFlags::FLUSH) {
        MarkFlags::ADD | MarkFlags::REMOVE if mask != 0 => {}
        MarkFlags::FLUSH
            if !flags.intersects(
                MarkFlags::all() - (MarkFlags::FLUSH | MarkFlags::MOUNT | MarkFlags::FILESYSTEM),
            ) => {}
        _ => return Err(Errno::EINVAL),
    }
    let mut mask =
        FanMask::from_bits(mask).filter(|mask| FanMask::OF_MARKS.contains(*mask)).ok_or(Errno::EINVAL)?;
    if flags.contains(MarkFlags::IGNORED_MASK | MarkFlags::IGNORE) {
        return Err(Errno::EINVAL);
    }
    if flags.contains(MarkFlags::IGNORED_MASK) {
        mask.remove(FanMask::MODIFIERS);
    }
    Ok(MarkChange { place, mask, flags })
}

/// Fails for what the group, or the caller, may not ask for.
///
/// # Errors
/// EPERM, EINVAL.
fn check_change(task: &CurrentTask, group: &FanotifyFile, change: &MarkChange) -> Result<(), Errno> {
    let MarkChange { place, mask, flags } = *change;
    let is_privileged = task.credentials().has(Capabilities::SYS_ADMIN) && !group.is_unprivileged();
    if !is_privileged && place != MarkPlace::Inode {
        return Err(Errno::EPERM);
    }
    let of_group = group.flags();
    let has_handles = of_group.intersects(InitFlags::HANDLES);
    let takes_path = FanMask::OF_PATHS | FanMask::MODIFIERS;
    let is_wrong = mask.intersects(FanMask::QUESTIONS) && !of_group.intersects(InitFlags::CLASSES)
        || mask.contains(FanMask::FS_ERROR) && place != MarkPlace::FileSystem
        || flags.contains(MarkFlags::EVICTABLE) && place != MarkPlace::Inode
        || !takes_path.contains(mask) && (!has_handles || place == MarkPlace::Mount)
        || mask.contains(FanMask::RENAME) && !of_group.contains(InitFlags::REPORT_NAME);
    if is_wrong { Err(Errno::EINVAL) } else { Ok(()) }
}

/// What the mark is to be on.
///
/// # Errors
/// ENOTDIR, EACCES, and those of finding it.
fn find(task: &CurrentTask, directory: Fd, path: UserPath, flags: MarkFlags) -> Result<Path, Errno> {
    let scope = Scope::new(task);
    let found = if path.is_null() {
        match directory {
            Fd::WORKING_DIRECTORY => return Err(Errno::EBADF),
            _ => Path::of_description(&task.file(directory)?),
        }
    } else {
        let no_follow = if flags.contains(MarkFlags::DONT_FOLLOW) { uapi::AT_SYMLINK_NOFOLLOW } else { 0 };
        scope.find_at(task, directory, path, no_follow)?
    };
    if flags.contains(MarkFlags::ONLYDIR) && !found.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    found.check_viewer_access(Access::READ, scope.viewer())?;
    Ok(found)
}

/// What of `change` means something for the object at `path`.
///
/// # Errors
/// EINVAL, ENOTDIR, EISDIR, EOPNOTSUPP.
fn check_object(group: &FanotifyFile, path: &Path, mut change: MarkChange) -> Result<MarkChange, Errno> {
    let MarkChange { place, mask, flags } = change;
    let (is_inode, is_directory) = (place == MarkPlace::Inode, path.is_directory());
    if flags.contains(MarkFlags::ADD) {
        let file_system = path.mount.file_system();
        let is_internal = path.mount.instance().owner().is_none();
        if mask.intersects(FanMask::QUESTIONS) && file_system.type_name() == "proc"
            || !is_inode && is_internal
        {
            return Err(Errno::EINVAL);
        }
        let is_strict = group.flags().contains(InitFlags::REPORT_TARGET_FID)
            || mask.contains(FanMask::RENAME)
            || flags.contains(MarkFlags::IGNORE);
        if is_strict && is_inode && !is_directory && mask.intersects(FanMask::OF_ENTRIES | FanMask::MODIFIERS)
        {
            return Err(Errno::ENOTDIR);
        }
        let has_handles = group.flags().intersects(InitFlags::HANDLES);
        if has_handles && !is_inode && file_system.handle_generation().is_none() {
            return Err(Errno::EOPNOTSUPP);
        }
        let forgets = !flags.contains(MarkFlags::IGNORED_SURV_MODIFY);
        if flags.contains(MarkFlags::IGNORE) && forgets && (!is_inode || is_directory) {
            return Err(if is_inode { Errno::EISDIR } else { Errno::EINVAL });
        }
    }
    if !is_inode || !is_directory {
        change.mask.remove(FanMask::EVENT_ON_CHILD);
    }
    Ok(change)
}

/// Waits until all who want to be asked allow the caller to use the file at `path` as `mask` says.
///
/// # Errors
/// EPERM: one does not. ERESTARTSYS: interrupted.
pub(super) fn permit(task: &mut CurrentTask, path: &Path, mask: FanMask) -> Result<(), Errno> {
    if !is_asked(path, mask) {
        return Ok(());
    }
    // Whoever could not wait must not ask either.
    task.check_may_sleep()?;
    let mut result = Ok(());
    for question in ask(path, mask) {
        let answer = task.block(&[(question.queue(), Events::IN)], None, || question.answer());
        result = result.and(answer.unwrap_or(Err(Errno::ERESTARTSYS)));
    }
    result
}
