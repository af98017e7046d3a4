//! Listing directories; working and root directory.

use linux_raw_sys::general as uapi;
use syscalls::Sysno;
use zerocopy::IntoBytes;

use super::Handler;
use super::arguments::{UserPath, UserSlice, handlers};
use super::scope::Scope;
use crate::Errno;
use crate::abi::{LinuxDirent, LinuxDirent64};
use crate::cred::Capabilities;
use crate::fs::Fd;
use crate::fs::inotify::WatchMask;
use crate::fs::{Access, DirectoryEntry, FileKind, Path};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;
use crate::width::usize_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![getdents, getdents64, chdir, fchdir, chroot, getcwd, umask,];

/// Bytes of entries that one call returns at most.
const MAX_LISTING_LEN: usize = 64 * 1024;
/// Records begin and end at multiples of it.
const RECORD_ALIGNMENT: usize = 8;

fn getdents64(
    task: &mut CurrentTask,
    descriptor: Fd,
    buffer: VirtualAddress,
    len_bytes: u32,
) -> Result<usize, Errno> {
    list(task, descriptor, buffer, len_bytes, encode_entry)
}

fn getdents(
    task: &mut CurrentTask,
    descriptor: Fd,
    buffer: VirtualAddress,
    len_bytes: u32,
) -> Result<usize, Errno> {
    list(task, descriptor, buffer, len_bytes, encode_old_entry)
}

/// Lists into user memory, each entry as `encode` writes it.
fn list(
    task: &mut CurrentTask,
    descriptor: Fd,
    buffer: VirtualAddress,
    len_bytes: u32,
    encode: fn(&DirectoryEntry, &mut Vec<u8>),
) -> Result<usize, Errno> {
    let description = task.usable_file(descriptor)?;
    if description.path().is_some_and(|path| path.kind() != FileKind::Directory) {
        return Err(Errno::ENOTDIR);
    }
    if description.path().is_some_and(|path| path.dentry.is_deleted()) {
        return Err(Errno::ENOENT);
    }
    // To Linux the room is an int: no entry fits into a negative one.
    let room = usize::try_from(len_bytes.cast_signed()).unwrap_or(0).min(MAX_LISTING_LEN);
    let (mut listing, mut is_too_small) = (Vec::with_capacity(room.min(4096)), false);
    super::readwrite::permit_read(task, &description)?;
    let mut position = task.position(&description)?;
    let mut next = *position;
    // Where each entry ends, in the listing and in the directory.
    let mut ends = Vec::new();
    description.file().read_directory(*position, &mut |entry| {
        let start = listing.len();
        encode(&entry, &mut listing);
        if listing.len() > room {
            listing.truncate(start);
            is_too_small = start == 0;
            return false;
        }
        next = entry.next_position;
        ends.push((listing.len(), next));
        true
    })?;
    if is_too_small {
        return Err(Errno::EINVAL);
    }
    let written = task.memory().write_partial(buffer, &listing);
    if written < listing.len() {
        // The entries that are whole have been read.
        let last = ends.iter().rfind(|(end, _)| *end <= written);
        let (len, last_position) = *last.ok_or(Errno::EFAULT)?;
        listing.truncate(len);
        next = last_position;
    }
    *position = next;
    description.announce(WatchMask::ACCESS);
    Ok(listing.len())
}

fn encode_entry(entry: &DirectoryEntry, listing: &mut Vec<u8>) {
    let len = (size_of::<LinuxDirent64>() + entry.name.len() + 1).next_multiple_of(RECORD_ALIGNMENT);
    let end = listing.len() + len;
    let head = LinuxDirent64 {
        d_ino: entry.inode,
        d_off: entry.next_position,
        d_reclen: len as u16,
        d_type: entry.kind,
    };
    listing.extend_from_slice(head.as_bytes());
    listing.extend_from_slice(&entry.name);
    listing.resize(end, 0);
}

fn encode_old_entry(entry: &DirectoryEntry, listing: &mut Vec<u8>) {
    let len = (size_of::<LinuxDirent>() + entry.name.len() + 2).next_multiple_of(RECORD_ALIGNMENT);
    let end = listing.len() + len;
    let head = LinuxDirent { d_ino: entry.inode, d_off: entry.next_position, d_reclen: len as u16 };
    listing.extend_from_slice(head.as_bytes());
    listing.extend_from_slice(&entry.name);
    listing.resize(end - 1, 0);
    listing.push(entry.kind);
}

fn chdir(task: &mut CurrentTask, path: UserPath) -> Result<(), Errno> {
    let place = Scope::new(task).find_at(task, Fd::WORKING_DIRECTORY, path, 0)?;
    enter(task, place)
}

fn fchdir(task: &mut CurrentTask, descriptor: Fd) -> Result<(), Errno> {
    let description = task.file(descriptor)?;
    let place = description.path().cloned().ok_or(Errno::ENOTDIR)?;
    enter(task, place)
}

fn enter(task: &mut CurrentTask, place: Path) -> Result<(), Errno> {
    check_directory(task, &place)?;
    place.inode().confirm_access(Access::EXECUTE)?;
    task.task_fs().set_working_directory(place);
    Ok(())
}

fn check_directory(task: &CurrentTask, place: &Path) -> Result<(), Errno> {
    if !place.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    place.check_viewer_access(Access::EXECUTE, &task.viewer())
}

fn chroot(task: &mut CurrentTask, path: UserPath) -> Result<(), Errno> {
    let place = Scope::new(task).find_at(task, Fd::WORKING_DIRECTORY, path, 0)?;
    check_directory(task, &place)?;
    if !task.credentials().has_in_own(Capabilities::SYS_CHROOT) {
        return Err(Errno::EPERM);
    }
    task.task_fs().set_root(place);
    Ok(())
}

fn getcwd(task: &mut CurrentTask, buffer: UserSlice) -> Result<usize, Errno> {
    let view = task.task_fs().view();
    let mut text = view.working_directory.as_working_directory(&view.root).ok_or(Errno::ENOENT)?;
    text.push(0);
    if text.len() > usize_from(uapi::PATH_MAX) {
        return Err(Errno::ENAMETOOLONG);
    }
    if usize::try_from(buffer.len_bytes).is_ok_and(|room| text.len() > room) {
        return Err(Errno::ERANGE);
    }
    task.memory().write_bytes(buffer.address, &text)?;
    Ok(text.len())
}

fn umask(task: &mut CurrentTask, mask: u32) -> Result<u32, Errno> {
    Ok(task.task_fs().set_umask(mask))
}
