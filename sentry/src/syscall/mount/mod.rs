//! Mounting and unmounting: mount(2), umount2(2) and pivot_root(2) here, the calls with descriptors in [`descriptors`].

mod descriptors;
mod statmount;

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, UserPointer, handlers};
use super::scope::{Scope, check_flags};
use crate::Errno;
use crate::cred::{Capabilities, Namespace};
use crate::fs::landlock::check_topology;
use crate::fs::{Fd, FsContext, MountFlags, Path, Propagation, Settings, SuperFlags};
use crate::task::CurrentTask;

pub(super) use statmount::unique_id;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    mount,
    umount2,
    pivot_root,
    open_tree = descriptors::open_tree,
    move_mount = descriptors::move_mount,
    fsopen = descriptors::fsopen,
    fsconfig = descriptors::fsconfig,
    fsmount = descriptors::fsmount,
    fspick = descriptors::fspick,
    mount_setattr = descriptors::mount_setattr,
    statmount = statmount::statmount,
    listmount = statmount::listmount,
];

/// The longest string argument: a page, with its NUL.
const MAX_TEXT_LEN: usize = 4096;

/// The `MS_*` flags that say what a mount gives and receives.
const PROPAGATION_FLAGS: u32 = uapi::MS_SHARED | uapi::MS_PRIVATE | uapi::MS_SLAVE | uapi::MS_UNBINDABLE;
/// The `MS_*` flags that say how access times move.
const ACCESS_TIME_FLAGS: u32 =
    uapi::MS_NOATIME | uapi::MS_NODIRATIME | uapi::MS_RELATIME | uapi::MS_STRICTATIME;

/// Fails unless the task may change its mount namespace.
fn check_may_mount(task: &CurrentTask) -> Result<(), Errno> {
    let namespace = task.task_fs().namespace();
    let owner = namespace.identity().owner().ok_or(Errno::EPERM)?;
    if task.credentials().has_in(owner, Capabilities::SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
}

/// A string argument; `None` for a null pointer.
fn read_text(task: &CurrentTask, text: UserPointer<u8>) -> Result<Option<String>, Errno> {
    if text.is_null() {
        return Ok(None);
    }
    let bytes = task.memory().read_c_string(text.address(), MAX_TEXT_LEN);
    let bytes = bytes.map_err(|error| if error == Errno::ENAMETOOLONG { Errno::EINVAL } else { error })?;
    String::from_utf8(bytes).map(Some).map_err(|_| Errno::EINVAL)
}

/// The options, of which Linux takes a page at most; empty for a null pointer.
fn read_options(task: &CurrentTask, text: UserPointer<u8>) -> Result<Vec<u8>, Errno> {
    if text.is_null() {
        return Ok(Vec::new());
    }
    match task.memory().read_c_string(text.address(), MAX_TEXT_LEN) {
        Err(Errno::ENAMETOOLONG) => {
            let mut options = vec![0; MAX_TEXT_LEN - 1];
            task.memory().read_bytes(text.address(), &mut options)?;
            Ok(options)
        }
        options => options,
    }
}

fn mount(
    task: &mut CurrentTask,
    source: UserPath,
    target: UserPath,
    kind: UserPointer<u8>,
    mut flags: u32,
    options: UserPointer<u8>,
) -> Result<(), Errno> {
    // Ancient callers put a magic number into the upper half.
    if flags & uapi::MS_MGC_MSK == uapi::MS_MGC_VAL {
        flags &= !uapi::MS_MGC_MSK;
    }
    let kind = read_text(task, kind)?;
    let source_text = read_text(task, source.0)?;
    let options = read_options(task, options)?;
    let options = || String::from_utf8(options).map_err(|_| Errno::EINVAL);
    let scope = Scope::new(task);
    let place = scope.find_at(task, Fd::WORKING_DIRECTORY, target, 0)?;
    check_topology(&task.credentials())?;
    if flags & uapi::MS_NOUSER != 0 {
        return Err(Errno::EINVAL);
    }
    check_may_mount(task)?;
    let namespace = &scope.view().namespace;
    let has = |flag| flags & flag != 0;
    if has(uapi::MS_REMOUNT) {
        remount(task, &place, flags, options)?;
    } else if has(uapi::MS_BIND) {
        let source = find_source(task, &scope, source, source_text)?;
        namespace.bind(&source, place, has(uapi::MS_REC))?;
    } else if has(PROPAGATION_FLAGS) {
        let propagation = propagation_of(flags & !(uapi::MS_REC | uapi::MS_SILENT))?;
        namespace.set_propagation(&place, propagation, has(uapi::MS_REC))?;
    } else if has(uapi::MS_MOVE) {
        let source = find_source(task, &scope, source, source_text)?;
        namespace.move_mount(&source, place)?;
    } else {
        let context = FsContext::for_mount(&kind.ok_or(Errno::EINVAL)?)?;
        context.set_all(source_text, &options()?, SuperFlags::from_bits_truncate(flags));
        context.create(task, false)?;
        namespace.attach(&context.mount(namespace, mount_flags(flags))?, place)?;
    }
    Ok(())
}

/// The place that the source argument of a bind mount or a move names.
fn find_source(
    task: &CurrentTask,
    scope: &Scope,
    path: UserPath,
    text: Option<String>,
) -> Result<Path, Errno> {
    if text.is_none_or(|text| text.is_empty()) {
        return Err(Errno::EINVAL);
    }
    scope.find_at(task, Fd::WORKING_DIRECTORY, path, 0)
}

fn remount(
    task: &CurrentTask,
    place: &Path,
    flags: u32,
    options: impl FnOnce() -> Result<String, Errno>,
) -> Result<(), Errno> {
    let mount = &place.mount;
    let mut new = mount_flags(flags);
    if flags & ACCESS_TIME_FLAGS == 0 {
        new = (new - MountFlags::ACCESS_TIMES) | (mount.flags() & MountFlags::ACCESS_TIMES);
    }
    let namespace = task.task_fs().namespace();
    if flags & uapi::MS_BIND == 0 {
        check_is_mount_root(place)?;
        if !namespace.holds(mount) {
            return Err(Errno::EINVAL);
        }
        mount.instance().check_may_reconfigure(&task.credentials())?;
        let change = || namespace.change_settings(place, Settings::flags(new), false);
        let flags = SuperFlags::from_bits_truncate(flags);
        return mount.instance().reconfigure(&options()?, flags, &task.viewer(), change);
    }
    namespace.change_settings(place, Settings::flags(new), false)
}

/// The one propagation that `flags` name.
fn propagation_of(flags: u32) -> Result<Propagation, Errno> {
    Ok(match flags {
        uapi::MS_SHARED => Propagation::Shared,
        uapi::MS_PRIVATE => Propagation::Private,
        uapi::MS_SLAVE => Propagation::Slave,
        uapi::MS_UNBINDABLE => Propagation::Unbindable,
        _ => return Err(Errno::EINVAL),
    })
}

fn mount_flags(flags: u32) -> MountFlags {
    let mut mount_flags = MountFlags::from_bits_truncate(flags);
    let is_strict = flags & (uapi::MS_NOATIME | uapi::MS_STRICTATIME) != 0;
    mount_flags.set(MountFlags::RELATIME, !is_strict);
    if flags & uapi::MS_STRICTATIME != 0 {
        mount_flags -= MountFlags::NOATIME;
    }
    mount_flags
}

fn check_is_mount_root(place: &Path) -> Result<(), Errno> {
    if Arc::ptr_eq(&place.dentry, place.mount.root()) { Ok(()) } else { Err(Errno::EINVAL) }
}

fn umount2(task: &mut CurrentTask, target: UserPath, flags: u32) -> Result<(), Errno> {
    let known = uapi::MNT_FORCE | uapi::MNT_DETACH | uapi::MNT_EXPIRE | uapi::UMOUNT_NOFOLLOW;
    let flags = check_flags(flags, known)?;
    let has = |flag| flags & flag != 0;
    let no_follow = if has(uapi::UMOUNT_NOFOLLOW) { uapi::AT_SYMLINK_NOFOLLOW } else { 0 };
    let scope = Scope::new(task);
    // What is meant is on top, even of a working directory that has been mounted on: after pivot_root(".", "."),
    // "." is the old root.
    let place = scope.find_at(task, Fd::WORKING_DIRECTORY, target, no_follow)?.cross();
    check_may_mount(task)?;
    check_is_mount_root(&place)?;
    let namespace = &scope.view().namespace;
    let Path { mount, dentry } = place;
    drop(dentry);
    if !namespace.holds(&mount) {
        return Err(Errno::EINVAL);
    }
    if has(uapi::MNT_FORCE) {
        mount.instance().check_may_reconfigure(&task.credentials())?;
    }
    check_topology(&task.credentials())?;
    let is_root = Arc::ptr_eq(&mount, &scope.view().root.mount);
    if has(uapi::MNT_EXPIRE) {
        if is_root || has(uapi::MNT_FORCE | uapi::MNT_DETACH) {
            return Err(Errno::EINVAL);
        }
        if mount.is_busy() {
            return Err(Errno::EBUSY);
        }
        if !mount.mark_expired() {
            return Err(Errno::EAGAIN);
        }
    }
    if is_root && !has(uapi::MNT_DETACH) {
        return Err(Errno::EBUSY);
    }
    namespace.unmount(&mount, has(uapi::MNT_DETACH))?;
    Ok(())
}

fn pivot_root(task: &mut CurrentTask, new_root: UserPath, put_old: UserPath) -> Result<(), Errno> {
    check_may_mount(task)?;
    let scope = Scope::new(task);
    let directory = |path| {
        let place = scope.find_at(task, Fd::WORKING_DIRECTORY, path, 0)?;
        if place.is_directory() { Ok(place) } else { Err(Errno::ENOTDIR) }
    };
    let (new_root, put_old) = (directory(new_root)?, directory(put_old)?);
    check_topology(&task.credentials())?;
    let old_root = scope.view().root.clone();
    scope.view().namespace.pivot(&old_root, &new_root, put_old)?;
    // Whoever was there moves along: kernel threads on Linux, and everybody who has not moved away.
    task.kernel().tasks().for_each_task_fs(|context| context.replace_place(&old_root, &new_root));
    Ok(())
}
