//! Files by handles.

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, UserPointer, handlers};
use super::scope::Scope;
use crate::Errno;
use crate::abi::FileHandleHead;
use crate::cred::Capabilities;
use crate::fs::file_handle::FileHandle;
use crate::fs::operations;
use crate::fs::{Fd, OpenFlags, Path};
use crate::task::CurrentTask;
use crate::width::usize_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![name_to_handle_at, open_by_handle_at];

/// The longest handle (`MAX_HANDLE_SZ`).
const MAX_HANDLE_BYTES: u32 = 128;
/// What open_by_handle_at(2) may find in a type beside the file system's own bits (`FILEID_IS_CONNECTABLE`, `FILEID_IS_DIR`).
const IS_CONNECTABLE: i32 = 0x1_0000;
const IS_DIRECTORY: i32 = 0x2_0000;
const USER_FLAGS: i32 = 0x7fff_0000;

fn name_to_handle_at(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    place: UserPointer<FileHandleHead>,
    mount_id: UserPointer<u32>,
    flags: u32,
) -> Result<(), Errno> {
    const AT_HANDLE_MNT_ID_UNIQUE: u32 = 1;
    const AT_HANDLE_CONNECTABLE: u32 = 2;
    let has = |flag| flags & flag != 0;
    let known = uapi::AT_SYMLINK_FOLLOW
        | uapi::AT_EMPTY_PATH
        | uapi::AT_HANDLE_FID
        | AT_HANDLE_MNT_ID_UNIQUE
        | AT_HANDLE_CONNECTABLE;
    if flags & !known != 0 || has(uapi::AT_HANDLE_FID) && has(AT_HANDLE_CONNECTABLE) {
        return Err(Errno::EINVAL);
    }
    let no_follow = if has(uapi::AT_SYMLINK_FOLLOW) { 0 } else { uapi::AT_SYMLINK_NOFOLLOW };
    let found = Scope::new(task).find_at(task, directory, path, flags & uapi::AT_EMPTY_PATH | no_follow)?;
    if !has(uapi::AT_HANDLE_FID) && found.mount.file_system().handle_generation().is_none() {
        return Err(Errno::EOPNOTSUPP);
    }
    let FileHandleHead { handle_bytes, .. } = place.read(task)?;
    if handle_bytes > MAX_HANDLE_BYTES {
        return Err(Errno::EINVAL);
    }
    let mut handle = match has(uapi::AT_HANDLE_FID) {
        true => FileHandle::identity_of(&found)?,
        false => FileHandle::of(&found)?,
    };
    if has(AT_HANDLE_CONNECTABLE) {
        handle.kind |= if found.is_directory() { IS_CONNECTABLE | IS_DIRECTORY } else { IS_CONNECTABLE };
    }
    let needed = handle.bytes.len() as u32;
    let head = FileHandleHead { handle_bytes: needed, handle_type: handle.kind };
    let is_too_short = handle_bytes < needed;
    match has(AT_HANDLE_MNT_ID_UNIQUE) {
        true => mount_id.cast().write(task, &super::mount::unique_id(&found.mount))?,
        false => mount_id.write(task, &(found.mount.id() as u32))?,
    }
    place.write(task, &head)?;
    if is_too_short {
        return Err(Errno::EOVERFLOW);
    }
    task.memory().write_bytes(place.element(1).address(), &handle.bytes)
}

fn open_by_handle_at(
    task: &mut CurrentTask,
    mount: Fd,
    place: UserPointer<FileHandleHead>,
    flags: u32,
) -> Result<Fd, Errno> {
    let head = place.read(task)?;
    let user_flags = head.handle_type & USER_FLAGS;
    if head.handle_bytes > MAX_HANDLE_BYTES
        || head.handle_bytes == 0
        || head.handle_type < 0
        || user_flags & !(IS_CONNECTABLE | IS_DIRECTORY) != 0
    {
        return Err(Errno::EINVAL);
    }
    let scope = Scope::new(task);
    let anchor = match mount {
        Fd::WORKING_DIRECTORY => scope.view().working_directory.clone(),
        _ => Path::of_description(&task.usable_file(mount)?),
    };
    let credentials = task.credentials();
    let owns = || {
        anchor
            .mount
            .instance()
            .owner()
            .is_some_and(|owner| credentials.has_in(owner, Capabilities::SYS_ADMIN))
    };
    let may = credentials.has(Capabilities::DAC_READ_SEARCH)
        || credentials.has_in_own(Capabilities::DAC_READ_SEARCH) && owns();
    if !may {
        return Err(Errno::EPERM);
    }
    let mut bytes = vec![0; usize_from(head.handle_bytes)];
    task.memory().read_bytes(place.element(1).address(), &mut bytes)?;
    let found = FileHandle::find(&bytes, &anchor.mount)?;
    let flags = OpenFlags::from_bits_truncate(flags);
    task.descriptors().check_room(task.descriptor_bounds())?;
    let open = || operations::begin_open_path(&found, flags, scope.viewer());
    let opening = super::open::after_leases(task, flags.contains(OpenFlags::NONBLOCK), open)?;
    let description = super::open::finish_opening(task, opening)?;
    let bounds = task.descriptor_bounds();
    task.descriptors().install(description, 0, flags.contains(OpenFlags::CLOEXEC), bounds)
}
