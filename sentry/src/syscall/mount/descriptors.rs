//! The calls that mount with descriptors: open_tree(2), move_mount(2), fsopen(2), fsconfig(2), fsmount(2), fspick(2)
//! and mount_setattr(2).

use std::any::Any;
use std::sync::Arc;

use linux_raw_sys::general as uapi;

use super::{check_is_mount_root, check_may_mount, propagation_of, read_text};
use crate::Errno;
use crate::abi::{MountAttributes, fsconfig_command};
use crate::cred::UserNamespace;
use crate::fs::landlock::check_topology;
use crate::fs::nsfs::NamespaceFile;
use crate::fs::operations::open_path;
use crate::fs::{
    Caller, DetachedTree, Fd, FileDescription, FsContext, IdMapping, MountFlags, OpenFlags, Settings,
};
use crate::platform::PAGE_SIZE;
use crate::syscall::arguments::{UserPath, UserPointer, UserSlice, unsigned};
use crate::syscall::process::read_extensible;
use crate::syscall::scope::{Scope, check_flags};
use crate::task::CurrentTask;
use crate::width::usize_from;

/// The attributes that mount_setattr(2) and fsmount(2) know, but for those of access times.
const ATTRIBUTES: [(u32, MountFlags); 6] = [
    (uapi::MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
    (uapi::MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
    (uapi::MOUNT_ATTR_NODEV, MountFlags::NODEV),
    (uapi::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
    (uapi::MOUNT_ATTR_NODIRATIME, MountFlags::NODIRATIME),
    (uapi::MOUNT_ATTR_NOSYMFOLLOW, MountFlags::NOSYMFOLLOW),
];
const KNOWN_ATTRIBUTES: u32 = uapi::MOUNT_ATTR_RDONLY
    | uapi::MOUNT_ATTR_NOSUID
    | uapi::MOUNT_ATTR_NODEV
    | uapi::MOUNT_ATTR_NOEXEC
    | uapi::MOUNT_ATTR_NODIRATIME
    | uapi::MOUNT_ATTR_NOSYMFOLLOW
    | uapi::MOUNT_ATTR__ATIME;

/// What a mount forbids, as mount_setattr(2) names it.
pub(super) fn attributes_of(flags: MountFlags) -> u64 {
    let named = ATTRIBUTES.iter().filter(|(_, flag)| flags.contains(*flag));
    let access_times = match () {
        () if flags.contains(MountFlags::NOATIME) => uapi::MOUNT_ATTR_NOATIME,
        () if flags.contains(MountFlags::RELATIME) => uapi::MOUNT_ATTR_RELATIME,
        () => uapi::MOUNT_ATTR_STRICTATIME,
    };
    named.fold(access_times, |all, (value, _)| all | value).into()
}

/// The longest key, value and message of fsconfig(2).
const MAX_VALUE_LEN: usize = 256;

fn install(
    task: &CurrentTask,
    description: Arc<FileDescription>,
    is_close_on_exec: bool,
) -> Result<Fd, Errno> {
    task.install_descriptor(description, is_close_on_exec)
}

pub(super) fn open_tree(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    flags: u32,
) -> Result<Fd, Errno> {
    let known = uapi::AT_EMPTY_PATH
        | uapi::AT_NO_AUTOMOUNT
        | uapi::AT_RECURSIVE
        | uapi::AT_SYMLINK_NOFOLLOW
        | uapi::OPEN_TREE_CLONE
        | uapi::OPEN_TREE_CLOEXEC;
    let flags = check_flags(flags, known)?;
    let (is_copy, is_recursive) = (flags & uapi::OPEN_TREE_CLONE != 0, flags & uapi::AT_RECURSIVE != 0);
    if is_recursive && !is_copy {
        return Err(Errno::EINVAL);
    }
    if is_copy {
        check_may_mount(task)?;
    }
    let scope = Scope::new(task);
    let place = scope.find_at(task, directory, path, flags)?;
    let description = if is_copy {
        scope.view().namespace.detached_copy(&place, is_recursive)?.open()
    } else {
        open_path(&place, OpenFlags::PATH, scope.viewer())?
    };
    install(task, description, flags & uapi::OPEN_TREE_CLOEXEC != 0)
}

pub(super) fn move_mount(
    task: &mut CurrentTask,
    from_directory: Fd,
    from: UserPath,
    to_directory: Fd,
    to: UserPath,
    flags: u32,
) -> Result<(), Errno> {
    check_may_mount(task)?;
    let known = uapi::MOVE_MOUNT_F_SYMLINKS
        | uapi::MOVE_MOUNT_F_AUTOMOUNTS
        | uapi::MOVE_MOUNT_F_EMPTY_PATH
        | uapi::MOVE_MOUNT_T_SYMLINKS
        | uapi::MOVE_MOUNT_T_AUTOMOUNTS
        | uapi::MOVE_MOUNT_T_EMPTY_PATH
        | uapi::MOVE_MOUNT_BENEATH;
    let flags = check_flags(flags, known)?;
    let scope = Scope::new(task);
    let find = |directory, path, follow, empty| {
        let no_follow = if flags & follow == 0 { uapi::AT_SYMLINK_NOFOLLOW } else { 0 };
        let empty = if flags & empty != 0 { uapi::AT_EMPTY_PATH } else { 0 };
        scope.find_at(task, directory, path, no_follow | empty)
    };
    let source = find(from_directory, from, uapi::MOVE_MOUNT_F_SYMLINKS, uapi::MOVE_MOUNT_F_EMPTY_PATH)?;
    let place = find(to_directory, to, uapi::MOVE_MOUNT_T_SYMLINKS, uapi::MOVE_MOUNT_T_EMPTY_PATH)?;
    check_topology(&task.credentials())?;
    let namespace = &scope.view().namespace;
    if flags & uapi::MOVE_MOUNT_BENEATH == 0 {
        return namespace.move_mount(&source, place).map(drop);
    }
    let is_own_root = Arc::ptr_eq(&place.clone().cross().mount, &scope.view().root.mount);
    if is_own_root { Err(Errno::EINVAL) } else { namespace.move_mount_beneath(&source, place).map(drop) }
}

pub(super) fn fsopen(task: &mut CurrentTask, kind: UserPointer<u8>, flags: u32) -> Result<Fd, Errno> {
    check_may_mount(task)?;
    let flags = check_flags(flags, uapi::FSOPEN_CLOEXEC)?;
    let context = FsContext::for_mount(&read_text(task, kind)?.ok_or(Errno::EFAULT)?)?;
    install(task, context.open(), flags & uapi::FSOPEN_CLOEXEC != 0)
}

pub(super) fn fspick(task: &mut CurrentTask, directory: Fd, path: UserPath, flags: u32) -> Result<Fd, Errno> {
    check_may_mount(task)?;
    let known = uapi::FSPICK_CLOEXEC
        | uapi::FSPICK_SYMLINK_NOFOLLOW
        | uapi::FSPICK_NO_AUTOMOUNT
        | uapi::FSPICK_EMPTY_PATH;
    let flags = check_flags(flags, known)?;
    let no_follow = if flags & uapi::FSPICK_SYMLINK_NOFOLLOW != 0 { uapi::AT_SYMLINK_NOFOLLOW } else { 0 };
    let empty = if flags & uapi::FSPICK_EMPTY_PATH != 0 { uapi::AT_EMPTY_PATH } else { 0 };
    let place = Scope::new(task).find_at(task, directory, path, no_follow | empty)?;
    check_is_mount_root(&place)?;
    let context = FsContext::for_reconfigure(place.mount.instance())?;
    install(task, context.open(), flags & uapi::FSPICK_CLOEXEC != 0)
}

pub(super) fn fsconfig(
    task: &mut CurrentTask,
    descriptor: Fd,
    command: u32,
    key: UserPointer<u8>,
    value: UserPointer<u8>,
    number: i32,
) -> Result<(), Errno> {
    use uapi::fsconfig_command as commands;
    if descriptor.0 < 0 {
        return Err(Errno::EINVAL);
    }
    let command = fsconfig_command(command).ok_or(Errno::EOPNOTSUPP)?;
    let (has_key, has_value) = (!key.is_null(), !value.is_null());
    let is_valid = match command {
        commands::FSCONFIG_SET_FLAG => has_key && !has_value && number == 0,
        commands::FSCONFIG_SET_STRING => has_key && has_value && number == 0,
        commands::FSCONFIG_SET_BINARY => has_key && has_value && number > 0,
        commands::FSCONFIG_SET_PATH | commands::FSCONFIG_SET_PATH_EMPTY => {
            has_key && has_value && (number == uapi::AT_FDCWD || number >= 0)
        }
        commands::FSCONFIG_SET_FD => has_key && !has_value && number >= 0,
        commands::FSCONFIG_CMD_CREATE
        | commands::FSCONFIG_CMD_RECONFIGURE
        | commands::FSCONFIG_CMD_CREATE_EXCL => !has_key && !has_value && number == 0,
        _ => return Err(Errno::EOPNOTSUPP),
    };
    if !is_valid {
        return Err(Errno::EINVAL);
    }
    let file = task.file(descriptor)?;
    let context = file.downcast::<FsContext>().ok_or(Errno::EINVAL)?;
    match command {
        commands::FSCONFIG_CMD_CREATE | commands::FSCONFIG_CMD_CREATE_EXCL => {
            context.create(task, command == commands::FSCONFIG_CMD_CREATE_EXCL)
        }
        commands::FSCONFIG_CMD_RECONFIGURE => {
            check_topology(&task.credentials())?;
            context.reconfigure(&task.viewer())
        }
        commands::FSCONFIG_SET_FLAG => context.set(task, &read_value(task, key)?, None),
        commands::FSCONFIG_SET_STRING => {
            let value = read_value(task, value)?;
            context.set(task, &read_value(task, key)?, Some(value))
        }
        // The types that take a file, by this name, take its descriptor by its number as well.
        commands::FSCONFIG_SET_FD => match read_value(task, key)?.as_str() {
            "fd" => context.set(task, "fd", Some(number.to_string())),
            _ => Err(Errno::EINVAL),
        },
        // No type here takes any of these.
        _ => Err(Errno::EINVAL),
    }
}

fn read_value(task: &CurrentTask, value: UserPointer<u8>) -> Result<String, Errno> {
    let bytes = task.memory().read_c_string(value.address(), MAX_VALUE_LEN);
    let bytes = bytes.map_err(|error| if error == Errno::ENAMETOOLONG { Errno::EINVAL } else { error })?;
    String::from_utf8(bytes).map_err(|_| Errno::EINVAL)
}

pub(super) fn fsmount(
    task: &mut CurrentTask,
    descriptor: Fd,
    flags: u32,
    attributes: u32,
) -> Result<Fd, Errno> {
    check_may_mount(task)?;
    let flags = check_flags(flags, uapi::FSMOUNT_CLOEXEC)?;
    if attributes & !KNOWN_ATTRIBUTES != 0 {
        return Err(Errno::EINVAL);
    }
    let mount_flags = flags_of(attributes) | access_times(attributes)?;
    let file = task.file(descriptor)?;
    let context = file.downcast::<FsContext>().ok_or(Errno::EINVAL)?;
    let namespace = task.task_fs().namespace();
    let mount = context.mount(&namespace, mount_flags)?;
    install(task, DetachedTree::new(namespace.table(), mount).open(), flags & uapi::FSMOUNT_CLOEXEC != 0)
}

/// The flags for a set of attributes, without those of access times.
fn flags_of(attributes: u32) -> MountFlags {
    let given = ATTRIBUTES.iter().filter(|(attribute, _)| attributes & attribute != 0);
    given.map(|(_, flag)| *flag).collect()
}

/// The flag for a choice of access times.
fn access_times(attributes: u32) -> Result<MountFlags, Errno> {
    Ok(match attributes & uapi::MOUNT_ATTR__ATIME {
        uapi::MOUNT_ATTR_RELATIME => MountFlags::RELATIME,
        uapi::MOUNT_ATTR_NOATIME => MountFlags::NOATIME,
        uapi::MOUNT_ATTR_STRICTATIME => MountFlags::empty(),
        _ => return Err(Errno::EINVAL),
    })
}

pub(super) fn mount_setattr(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    flags: u32,
    attributes: UserSlice,
) -> Result<(), Errno> {
    let known = uapi::AT_EMPTY_PATH | uapi::AT_RECURSIVE | uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_NO_AUTOMOUNT;
    let flags = check_flags(flags, known)?;
    let min_bytes = uapi::MOUNT_ATTR_SIZE_VER0;
    if attributes.len_bytes > PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    if attributes.len_bytes < u64::from(min_bytes) {
        return Err(Errno::EINVAL);
    }
    check_may_mount(task)?;
    let attributes: MountAttributes = read_extensible(task, attributes, usize_from(min_bytes))?;
    if (attributes.attr_set, attributes.attr_clr, attributes.propagation) == (0, 0, 0) {
        return Ok(());
    }
    let settings = settings_of(task, &attributes)?;
    let scope = Scope::new(task);
    let place = scope.find_at(task, directory, path, flags)?;
    scope.view().namespace.change_settings(&place, settings, flags & uapi::AT_RECURSIVE != 0)?;
    Ok(())
}

fn settings_of(task: &CurrentTask, attributes: &MountAttributes) -> Result<Settings, Errno> {
    let (set, clear) = (attributes.attr_set, attributes.attr_clr);
    if (set | clear) & !u64::from(KNOWN_ATTRIBUTES | uapi::MOUNT_ATTR_IDMAP) != 0 {
        return Err(Errno::EINVAL);
    }
    let (set, clear) = (unsigned(set), unsigned(clear));
    let mut settings = Settings { set: flags_of(set), clear: flags_of(clear), ..Settings::default() };
    if clear & uapi::MOUNT_ATTR__ATIME != 0 {
        // It is a choice, which can only be made anew as a whole.
        if clear & uapi::MOUNT_ATTR__ATIME != uapi::MOUNT_ATTR__ATIME {
            return Err(Errno::EINVAL);
        }
        settings.clear |= MountFlags::NOATIME | MountFlags::RELATIME;
        settings.set |= access_times(set)?;
    } else if set & uapi::MOUNT_ATTR__ATIME != 0 {
        return Err(Errno::EINVAL);
    }
    if attributes.propagation != 0 {
        let propagation = u32::try_from(attributes.propagation).map_err(|_| Errno::EINVAL)?;
        settings.propagation = Some(propagation_of(propagation)?);
    }
    if (set | clear) & uapi::MOUNT_ATTR_IDMAP != 0 {
        // No mount can be rid of it.
        if clear & uapi::MOUNT_ATTR_IDMAP != 0 {
            return Err(Errno::EINVAL);
        }
        settings.id_mapping = Some(id_mapping_of(task, attributes.userns_fd)?);
    }
    Ok(settings)
}

/// By the numbers of the user namespace that the descriptor stands for.
fn id_mapping_of(task: &CurrentTask, descriptor: u64) -> Result<IdMapping, Errno> {
    let descriptor = i32::try_from(descriptor).map_err(|_| Errno::EINVAL)?;
    let file = task.usable_file(Fd(descriptor))?;
    let file = file.downcast::<NamespaceFile>().ok_or(Errno::EINVAL)?;
    let namespace: Arc<dyn Any + Send + Sync> = file.namespace().clone();
    let namespace = namespace.downcast::<UserNamespace>().map_err(|_| Errno::EINVAL)?;
    IdMapping::new(namespace, task.credentials())
}
