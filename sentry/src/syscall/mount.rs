//! Mounting and unmounting (`man 2 mount`, `umount2`).

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::place::{Scope, WORKING_DIRECTORY, check_flags};
use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::tmpfs::{self, TmpfsOptions};
use crate::fs::{Mount, MountFlags, Path};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    &[(Sysno::mount, mount), (Sysno::umount2, umount2), (Sysno::pivot_root, pivot_root)];

/// The longest option string: a page.
const MAX_OPTIONS_LEN: usize = 4096;

fn check_administrator(task: &CurrentTask) -> Result<(), Errno> {
    if task.credentials().has(Capabilities::SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
}

fn mount(
    task: &mut CurrentTask,
    [source, target, kind, flags, options, _]: [u64; 6],
) -> Result<usize, Errno> {
    check_administrator(task)?;
    let mut flags = flags as u32;
    // Ancient callers put a magic number into the upper half.
    if flags & uapi::MS_MGC_MSK == uapi::MS_MGC_VAL {
        flags &= !uapi::MS_MGC_MSK;
    }
    let scope = Scope::new(task);
    let place = scope.find_at(task, WORKING_DIRECTORY, target, 0)?;
    let mount_flags = mount_flags(flags);
    if flags & uapi::MS_REMOUNT != 0 {
        check_is_mount_root(&place)?;
        place.mount.set_flags(mount_flags);
    } else if flags & uapi::MS_BIND != 0 {
        let source = scope.find_at(task, WORKING_DIRECTORY, source, 0)?;
        bind(&scope, &source, place, flags & uapi::MS_REC != 0)?;
    } else if flags & (uapi::MS_SHARED | uapi::MS_PRIVATE | uapi::MS_SLAVE | uapi::MS_UNBINDABLE) != 0 {
        // There is no propagation: every mount is private.
        check_is_mount_root(&place)?;
    } else if flags & uapi::MS_MOVE != 0 {
        let source = scope.find_at(task, WORKING_DIRECTORY, source, 0)?;
        check_is_mount_root(&source)?;
        check_same_kind(&source, &place)?;
        scope.view().namespace.move_mount(&source.mount, place)?;
    } else {
        let kind = read_text(task, kind)?.ok_or(Errno::EINVAL)?;
        let source = read_text(task, source)?.unwrap_or_else(|| "none".into());
        let options = read_text(task, options)?.unwrap_or_default();
        let mounted = match &*kind {
            "mqueue" => message_queues(task, &source, mount_flags),
            _ => new_mount(&scope, &kind, &source, &options, mount_flags)?,
        };
        if !place.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        scope.view().namespace.attach(&mounted, place)?;
    }
    Ok(0)
}

/// The POSIX message queues of the task's IPC namespace.
fn message_queues(task: &CurrentTask, source: &str, flags: MountFlags) -> Arc<Mount> {
    let namespace = task.task().ipc_namespace();
    let queues = namespace.message_queue_mount();
    Mount::new(queues.file_system().clone(), queues.root().clone(), source, flags)
}

/// A string argument of mount(2); `None` for a null pointer.
fn read_text(task: &CurrentTask, address: u64) -> Result<Option<String>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let bytes = task.memory().read_c_string(VirtualAddress(address), MAX_OPTIONS_LEN)?;
    String::from_utf8(bytes).map(Some).map_err(|_| Errno::EINVAL)
}

fn mount_flags(flags: u32) -> MountFlags {
    let mut mount_flags = MountFlags::from_bits_truncate(flags);
    let is_strict = flags & (uapi::MS_NOATIME | uapi::MS_STRICTATIME) != 0;
    mount_flags.set(MountFlags::RELATIVE_ACCESS_TIME, !is_strict);
    mount_flags
}

fn check_is_mount_root(place: &Path) -> Result<(), Errno> {
    if Arc::ptr_eq(&place.dentry, place.mount.root()) { Ok(()) } else { Err(Errno::EINVAL) }
}

fn check_same_kind(source: &Path, target: &Path) -> Result<(), Errno> {
    if source.is_directory() == target.is_directory() { Ok(()) } else { Err(Errno::ENOTDIR) }
}

fn bind(scope: &Scope, source: &Path, target: Path, is_recursive: bool) -> Result<(), Errno> {
    check_same_kind(source, &target)?;
    let namespace = &scope.view().namespace;
    let copy = |mount: &Arc<Mount>, root| {
        Mount::new(mount.file_system().clone(), root, mount.source(), mount.flags())
    };
    let below = if is_recursive { namespace.mounts_below(source) } else { Vec::new() };
    let bound = copy(&source.mount, source.dentry.clone());
    namespace.attach(&bound, target)?;
    let mut copies = vec![(source.mount.id(), bound)];
    for mount in below {
        let Some(place) = mount.mount_point() else { continue };
        let parent = copies.iter().find(|(id, _)| *id == place.mount.id()).map(|(_, copy)| copy.clone());
        let Some(parent) = parent else { continue };
        let copied = copy(&mount, mount.root().clone());
        namespace.attach(&copied, Path::new(parent, place.dentry))?;
        copies.push((mount.id(), copied));
    }
    Ok(())
}

/// A mount of a file system of type `kind`: a new tmpfs, or another view of the one procfs or sysfs that there is.
fn new_mount(
    scope: &Scope,
    kind: &str,
    source: &str,
    options: &str,
    flags: MountFlags,
) -> Result<Arc<Mount>, Errno> {
    let namespace = &scope.view().namespace;
    if matches!(kind, "tmpfs" | "ramfs") {
        let files = namespace.memory_files().ok_or(Errno::ENODEV)?;
        return tmpfs::new_mount(files.resources(), &parse_tmpfs_options(options)?, source, flags);
    }
    let is_kind = |mount: &&Arc<Mount>| mount.file_system().type_name() == kind;
    let mounts = namespace.mounts();
    let existing = mounts.iter().find(is_kind).filter(|_| kind != "overlay").ok_or(Errno::ENODEV)?;
    Ok(Mount::new(existing.file_system().clone(), existing.root().clone(), source, flags))
}

/// The options of `man 5 tmpfs` that mean something here; the rest of the known ones is accepted.
fn parse_tmpfs_options(options: &str) -> Result<TmpfsOptions, Errno> {
    let mut parsed = TmpfsOptions::default();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name {
            "size" => parsed.max_bytes = parse_size(value)?,
            "nr_blocks" => parsed.max_bytes = parse_size(value)?.saturating_mul(4096),
            "nr_inodes" => parsed.max_inodes = parse_size(value)?.min(parsed.max_inodes),
            "mode" => {
                parsed.permissions = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777;
            }
            "uid" => parsed.uid = value.parse().map_err(|_| Errno::EINVAL)?,
            "gid" => parsed.gid = value.parse().map_err(|_| Errno::EINVAL)?,
            "huge" | "mpol" | "inode32" | "inode64" | "noswap" => {}
            _ => return Err(Errno::EINVAL),
        }
    }
    Ok(parsed)
}

/// A number with k, m or g behind it; 0 is no limit.
fn parse_size(text: &str) -> Result<u64, Errno> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text.get(digits.len()..).unwrap_or_default() {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        // Half of the memory, and so on: the guest's memory is the limit anyway.
        "%" => return Ok(u64::MAX),
        _ => return Err(Errno::EINVAL),
    };
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    Ok(if number == 0 { u64::MAX } else { number.checked_mul(1 << shift).ok_or(Errno::EINVAL)? })
}

fn umount2(task: &mut CurrentTask, [target, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    let known = uapi::MNT_FORCE | uapi::MNT_DETACH | uapi::MNT_EXPIRE | uapi::UMOUNT_NOFOLLOW;
    let flags = check_flags(flags, known)?;
    if flags & uapi::MNT_EXPIRE != 0 && flags & (uapi::MNT_FORCE | uapi::MNT_DETACH) != 0 {
        return Err(Errno::EINVAL);
    }
    let no_follow = if flags & uapi::UMOUNT_NOFOLLOW != 0 { uapi::AT_SYMLINK_NOFOLLOW } else { 0 };
    let scope = Scope::new(task);
    let place = scope.find_at(task, WORKING_DIRECTORY, target, no_follow)?;
    check_administrator(task)?;
    check_is_mount_root(&place)?;
    let Path { mount, dentry } = place;
    // The place counts as a use of the mount.
    drop(dentry);
    let namespace = &scope.view().namespace;
    let is_lazy = flags & uapi::MNT_DETACH != 0;
    if !is_lazy && namespace.is_busy(&mount) {
        return Err(Errno::EBUSY);
    }
    namespace.detach(&mount, is_lazy)?;
    Ok(0)
}

fn pivot_root(task: &mut CurrentTask, [new_root, put_old, ..]: [u64; 6]) -> Result<usize, Errno> {
    check_administrator(task)?;
    let scope = Scope::new(task);
    let new_root = scope.find_at(task, WORKING_DIRECTORY, new_root, 0)?;
    let put_old = scope.find_at(task, WORKING_DIRECTORY, put_old, 0)?;
    if !new_root.is_directory() || !put_old.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    check_is_mount_root(&new_root)?;
    let old_root = scope.view().root.clone();
    check_is_mount_root(&old_root)?;
    if Arc::ptr_eq(&new_root.mount, &old_root.mount) || Arc::ptr_eq(&put_old.mount, &old_root.mount) {
        return Err(Errno::EBUSY);
    }
    if !put_old.is_below(&new_root) {
        return Err(Errno::EINVAL);
    }
    scope.view().namespace.pivot(&old_root.mount, &new_root, put_old)?;
    let context = task.fs_context();
    if context.root() == old_root {
        context.set_root(new_root.clone());
    }
    if context.working_directory() == old_root {
        context.set_working_directory(new_root);
    }
    Ok(0)
}
