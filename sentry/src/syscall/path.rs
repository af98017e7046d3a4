//! Making, linking, removing and renaming; reading links.

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, handlers};
use super::scope::{Scope, check_flags};
use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::Fd;
use crate::fs::operations;
use crate::fs::{CreationMode, DeviceNumber, FileKind, NewNode, RenameMode};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    mkdir, mkdirat, mknod, mknodat, rmdir, unlink, unlinkat, link, linkat, symlink, symlinkat, rename,
    renameat, renameat2, readlink, readlinkat,
];

/// What mkdir(2) takes of a mode: Linux ignores the set-ID bits.
const DIRECTORY_MODE_BITS: u32 = 0o1777;

fn mkdir(task: &mut CurrentTask, path: UserPath, mode: u32) -> Result<(), Errno> {
    make(task, Fd::WORKING_DIRECTORY, path, NewNode::Directory, mode & DIRECTORY_MODE_BITS)
}

fn mkdirat(task: &mut CurrentTask, directory: Fd, path: UserPath, mode: u32) -> Result<(), Errno> {
    make(task, directory, path, NewNode::Directory, mode & DIRECTORY_MODE_BITS)
}

fn mknod(task: &mut CurrentTask, path: UserPath, mode: u32, device: u32) -> Result<(), Errno> {
    make_special(task, Fd::WORKING_DIRECTORY, path, mode, device)
}

fn mknodat(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    mode: u32,
    device: u32,
) -> Result<(), Errno> {
    make_special(task, directory, path, mode, device)
}

fn make_special(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    mode: u32,
    device: u32,
) -> Result<(), Errno> {
    let device = DeviceNumber::from_u64(device.into());
    let node = match FileKind::from_mode(mode) {
        Some(FileKind::Regular) => NewNode::Regular,
        None if mode & uapi::S_IFMT == 0 => NewNode::Regular,
        Some(FileKind::CharacterDevice) => NewNode::CharacterDevice(device),
        Some(FileKind::BlockDevice) => NewNode::BlockDevice(device),
        Some(FileKind::Fifo) => NewNode::Fifo,
        Some(FileKind::Socket) => NewNode::Socket,
        Some(FileKind::Directory) => return Err(Errno::EPERM),
        Some(FileKind::Symlink) | None => return Err(Errno::EINVAL),
    };
    make(task, directory, path, node, mode & 0o7777)
}

fn make(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    node: NewNode<'_>,
    permissions: u32,
) -> Result<(), Errno> {
    let path = path.read(task)?;
    let scope = Scope::new(task);
    let start = scope.start(task, directory, &path)?;
    let mode = CreationMode { permissions, umask: task.task_fs().umask() };
    operations::create_node(&scope.resolver(), &start, &path, node, mode)?;
    Ok(())
}

fn symlink(task: &mut CurrentTask, target: UserPath, path: UserPath) -> Result<(), Errno> {
    symlinkat(task, target, Fd::WORKING_DIRECTORY, path)
}

fn symlinkat(task: &mut CurrentTask, target: UserPath, directory: Fd, path: UserPath) -> Result<(), Errno> {
    let target = target.read(task)?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    make(task, directory, path, NewNode::Symlink(&target), 0o777)
}

fn rmdir(task: &mut CurrentTask, path: UserPath) -> Result<(), Errno> {
    unlinkat(task, Fd::WORKING_DIRECTORY, path, uapi::AT_REMOVEDIR)
}

fn unlink(task: &mut CurrentTask, path: UserPath) -> Result<(), Errno> {
    unlinkat(task, Fd::WORKING_DIRECTORY, path, 0)
}

fn unlinkat(task: &mut CurrentTask, directory: Fd, path: UserPath, flags: u32) -> Result<(), Errno> {
    let flags = check_flags(flags, uapi::AT_REMOVEDIR)?;
    let path = path.read(task)?;
    let scope = Scope::new(task);
    let start = scope.start(task, directory, &path)?;
    if flags & uapi::AT_REMOVEDIR != 0 {
        operations::remove_directory(&scope.resolver(), &start, &path)?;
    } else {
        operations::unlink(&scope.resolver(), &start, &path)?;
    }
    Ok(())
}

fn link(task: &mut CurrentTask, old: UserPath, new: UserPath) -> Result<(), Errno> {
    linkat(task, Fd::WORKING_DIRECTORY, old, Fd::WORKING_DIRECTORY, new, 0)
}

fn linkat(
    task: &mut CurrentTask,
    old_directory: Fd,
    old: UserPath,
    new_directory: Fd,
    new: UserPath,
    flags: u32,
) -> Result<(), Errno> {
    let flags = check_flags(flags, uapi::AT_SYMLINK_FOLLOW | uapi::AT_EMPTY_PATH)?;
    if flags & uapi::AT_EMPTY_PATH != 0
        && old.read(task)?.is_empty()
        && !task.credentials().has(Capabilities::DAC_READ_SEARCH)
    {
        return Err(Errno::ENOENT);
    }
    let follows_link = flags & uapi::AT_SYMLINK_FOLLOW != 0;
    let no_follow = if follows_link { 0 } else { uapi::AT_SYMLINK_NOFOLLOW };
    let scope = Scope::new(task);
    let target = scope.find_at(task, old_directory, old, flags & uapi::AT_EMPTY_PATH | no_follow)?;
    let path = new.read(task)?;
    let start = scope.start(task, new_directory, &path)?;
    operations::link(&scope.resolver(), &target, &start, &path)?;
    Ok(())
}

fn rename(task: &mut CurrentTask, old: UserPath, new: UserPath) -> Result<(), Errno> {
    renameat2(task, Fd::WORKING_DIRECTORY, old, Fd::WORKING_DIRECTORY, new, 0)
}

fn renameat(
    task: &mut CurrentTask,
    old_directory: Fd,
    old: UserPath,
    new_directory: Fd,
    new: UserPath,
) -> Result<(), Errno> {
    renameat2(task, old_directory, old, new_directory, new, 0)
}

fn renameat2(
    task: &mut CurrentTask,
    old_directory: Fd,
    old: UserPath,
    new_directory: Fd,
    new: UserPath,
    flags: u32,
) -> Result<(), Errno> {
    let mode = rename_mode(task, flags)?;
    let scope = Scope::new(task);
    // All that is wrong with the old path comes first.
    let last = |directory: Fd, path: UserPath| {
        let path = path.read(task)?;
        scope.resolver().resolve_parent(&scope.start(task, directory, &path)?, &path)
    };
    let old = last(old_directory, old)?;
    let new = last(new_directory, new)?;
    operations::rename(&scope.resolver(), &old, &new, mode)
}

fn rename_mode(task: &CurrentTask, flags: u32) -> Result<RenameMode, Errno> {
    let known = uapi::RENAME_NOREPLACE | uapi::RENAME_EXCHANGE | uapi::RENAME_WHITEOUT;
    let flags = check_flags(flags, known)?;
    let has = |flag| flags & flag != 0;
    let credentials = task.credentials();
    let owner = (credentials.fs_uid, credentials.fs_gid);
    match (has(uapi::RENAME_EXCHANGE), has(uapi::RENAME_WHITEOUT)) {
        (true, _) if flags != uapi::RENAME_EXCHANGE => Err(Errno::EINVAL),
        (true, _) => Ok(RenameMode::Exchange),
        (false, true) => Ok(RenameMode::Whiteout { replaces: !has(uapi::RENAME_NOREPLACE), owner }),
        (false, false) if has(uapi::RENAME_NOREPLACE) => Ok(RenameMode::NoReplace),
        (false, false) => Ok(RenameMode::Replace),
    }
}

fn readlink(
    task: &mut CurrentTask,
    path: UserPath,
    buffer: VirtualAddress,
    len_bytes: i32,
) -> Result<usize, Errno> {
    readlinkat(task, Fd::WORKING_DIRECTORY, path, buffer, len_bytes)
}

fn readlinkat(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    buffer: VirtualAddress,
    len_bytes: i32,
) -> Result<usize, Errno> {
    let len_bytes = usize::try_from(len_bytes).ok().filter(|&len| len > 0).ok_or(Errno::EINVAL)?;
    let path = path.read(task)?;
    let scope = Scope::new(task);
    // An empty path names a link that O_PATH and O_NOFOLLOW opened.
    let place = if path.is_empty() && directory != Fd::WORKING_DIRECTORY {
        let place = scope.place_of(task, directory)?;
        if place.kind() == FileKind::Symlink { place } else { return Err(Errno::ENOENT) }
    } else {
        scope.find(task, directory, &path, false)?
    };
    if place.kind() != FileKind::Symlink {
        return Err(Errno::EINVAL);
    }
    place.link_accessed();
    let mut text = place.inode().read_link(scope.viewer())?;
    text.truncate(len_bytes);
    task.memory().write_bytes(buffer, &text)?;
    Ok(text.len())
}
