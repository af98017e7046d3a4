//! Making, linking, removing and renaming; reading links.

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::place::{Scope, WORKING_DIRECTORY, check_flags};
use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::operations;
use crate::fs::{DeviceNumber, FileKind, NewNode, RenameMode};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::mkdir, mkdir),
    (Sysno::mkdirat, mkdirat),
    (Sysno::mknod, mknod),
    (Sysno::mknodat, mknodat),
    (Sysno::rmdir, rmdir),
    (Sysno::unlink, unlink),
    (Sysno::unlinkat, unlinkat),
    (Sysno::link, link),
    (Sysno::linkat, linkat),
    (Sysno::symlink, symlink),
    (Sysno::symlinkat, symlinkat),
    (Sysno::rename, rename),
    (Sysno::renameat, renameat),
    (Sysno::renameat2, renameat2),
    (Sysno::readlink, readlink),
    (Sysno::readlinkat, readlinkat),
];

/// What mkdir(2) takes of a mode: Linux ignores the set-ID bits.
const DIRECTORY_MODE_BITS: u32 = 0o1777;

fn mkdir(task: &mut CurrentTask, [path, mode, ..]: [u64; 6]) -> Result<usize, Errno> {
    make(task, WORKING_DIRECTORY, path, NewNode::Directory, mode as u32 & DIRECTORY_MODE_BITS)
}

fn mkdirat(task: &mut CurrentTask, [directory, path, mode, ..]: [u64; 6]) -> Result<usize, Errno> {
    make(task, directory, path, NewNode::Directory, mode as u32 & DIRECTORY_MODE_BITS)
}

fn mknod(task: &mut CurrentTask, [path, mode, device, ..]: [u64; 6]) -> Result<usize, Errno> {
    make_special(task, WORKING_DIRECTORY, path, mode as u32, device)
}

fn mknodat(task: &mut CurrentTask, [directory, path, mode, device, ..]: [u64; 6]) -> Result<usize, Errno> {
    make_special(task, directory, path, mode as u32, device)
}

fn make_special(
    task: &mut CurrentTask,
    directory: u64,
    path: u64,
    mode: u32,
    device: u64,
) -> Result<usize, Errno> {
    let device = DeviceNumber::from_u64(device & 0xffff_ffff);
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
    directory: u64,
    path: u64,
    node: NewNode<'_>,
    permissions: u32,
) -> Result<usize, Errno> {
    let path = task.read_path(path)?;
    let scope = Scope::new(task);
    let start = scope.start(task, directory, &path)?;
    let permissions = permissions & !task.fs_context().umask();
    operations::create_node(&scope.resolver(), &start, &path, node, permissions)?;
    Ok(0)
}

fn symlink(task: &mut CurrentTask, [target, path, ..]: [u64; 6]) -> Result<usize, Errno> {
    symlinkat(task, [target, WORKING_DIRECTORY, path, 0, 0, 0])
}

fn symlinkat(task: &mut CurrentTask, [target, directory, path, ..]: [u64; 6]) -> Result<usize, Errno> {
    let target = task.read_path(target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    make(task, directory, path, NewNode::Symlink(&target), 0o777)
}

fn rmdir(task: &mut CurrentTask, [path, ..]: [u64; 6]) -> Result<usize, Errno> {
    unlinkat(task, [WORKING_DIRECTORY, path, u64::from(uapi::AT_REMOVEDIR), 0, 0, 0])
}

fn unlink(task: &mut CurrentTask, [path, ..]: [u64; 6]) -> Result<usize, Errno> {
    unlinkat(task, [WORKING_DIRECTORY, path, 0, 0, 0, 0])
}

fn unlinkat(task: &mut CurrentTask, [directory, path, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    let flags = check_flags(flags, uapi::AT_REMOVEDIR)?;
    let path = task.read_path(path)?;
    let scope = Scope::new(task);
    let start = scope.start(task, directory, &path)?;
    if flags & uapi::AT_REMOVEDIR != 0 {
        operations::remove_directory(&scope.resolver(), &start, &path)?;
    } else {
        operations::unlink(&scope.resolver(), &start, &path)?;
    }
    Ok(0)
}

fn link(task: &mut CurrentTask, [old, new, ..]: [u64; 6]) -> Result<usize, Errno> {
    linkat(task, [WORKING_DIRECTORY, old, WORKING_DIRECTORY, new, 0, 0])
}

fn linkat(
    task: &mut CurrentTask,
    [old_directory, old, new_directory, new, flags, _]: [u64; 6],
) -> Result<usize, Errno> {
    let flags = check_flags(flags, uapi::AT_SYMLINK_FOLLOW | uapi::AT_EMPTY_PATH)?;
    if flags & uapi::AT_EMPTY_PATH != 0 && !task.credentials().has(Capabilities::DAC_READ_SEARCH) {
        return Err(Errno::ENOENT);
    }
    let follows_link = flags & uapi::AT_SYMLINK_FOLLOW != 0;
    let no_follow = if follows_link { 0 } else { uapi::AT_SYMLINK_NOFOLLOW };
    let scope = Scope::new(task);
    let target = scope.find_at(task, old_directory, old, flags & uapi::AT_EMPTY_PATH | no_follow)?;
    let path = task.read_path(new)?;
    let start = scope.start(task, new_directory, &path)?;
    operations::link(&scope.resolver(), &target, &start, &path)?;
    Ok(0)
}

fn rename(task: &mut CurrentTask, [old, new, ..]: [u64; 6]) -> Result<usize, Errno> {
    renameat2(task, [WORKING_DIRECTORY, old, WORKING_DIRECTORY, new, 0, 0])
}

fn renameat(
    task: &mut CurrentTask,
    [old_directory, old, new_directory, new, ..]: [u64; 6],
) -> Result<usize, Errno> {
    renameat2(task, [old_directory, old, new_directory, new, 0, 0])
}

fn renameat2(
    task: &mut CurrentTask,
    [old_directory, old, new_directory, new, flags, _]: [u64; 6],
) -> Result<usize, Errno> {
    let mode = match check_flags(flags, uapi::RENAME_NOREPLACE | uapi::RENAME_EXCHANGE)? {
        0 => RenameMode::Replace,
        uapi::RENAME_NOREPLACE => RenameMode::NoReplace,
        uapi::RENAME_EXCHANGE => RenameMode::Exchange,
        _ => return Err(Errno::EINVAL),
    };
    let (old, new) = (task.read_path(old)?, task.read_path(new)?);
    let scope = Scope::new(task);
    let old_start = scope.start(task, old_directory, &old)?;
    let new_start = scope.start(task, new_directory, &new)?;
    operations::rename(&scope.resolver(), (&old_start, &old), (&new_start, &new), mode)?;
    Ok(0)
}

fn readlink(task: &mut CurrentTask, [path, buffer, len_bytes, ..]: [u64; 6]) -> Result<usize, Errno> {
    readlinkat(task, [WORKING_DIRECTORY, path, buffer, len_bytes, 0, 0])
}

fn readlinkat(
    task: &mut CurrentTask,
    [directory, path, buffer, len_bytes, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let len_bytes = usize::try_from(len_bytes as i32).ok().filter(|&len| len > 0).ok_or(Errno::EINVAL)?;
    let path = task.read_path(path)?;
    let scope = Scope::new(task);
    // An empty path names a link that O_PATH and O_NOFOLLOW opened.
    let place = if path.is_empty() && directory as i32 != uapi::AT_FDCWD {
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
    task.memory().write_bytes(VirtualAddress(buffer), &text)?;
    Ok(text.len())
}
