//! Extended attributes.

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, UserPointer, UserSlice, handlers};
use super::scope::{Scope, check_flags};
use crate::Errno;
use crate::fs::Fd;
use crate::fs::{Path, operations};
use crate::task::CurrentTask;

/// The longest value and the longest list of names.
const MAX_VALUE_BYTES: usize = uapi::XATTR_SIZE_MAX as usize;
const MAX_LIST_BYTES: usize = uapi::XATTR_LIST_MAX as usize;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    getxattr,
    lgetxattr,
    fgetxattr,
    setxattr,
    lsetxattr,
    fsetxattr,
    listxattr,
    llistxattr,
    flistxattr,
    removexattr,
    lremovexattr,
    fremovexattr,
];

fn getxattr(
    task: &mut CurrentTask,
    path: UserPath,
    name: UserPointer<u8>,
    value: UserSlice,
) -> Result<usize, Errno> {
    get(task, &followed(task, path)?, name, value)
}

fn lgetxattr(
    task: &mut CurrentTask,
    path: UserPath,
    name: UserPointer<u8>,
    value: UserSlice,
) -> Result<usize, Errno> {
    get(task, &unfollowed(task, path)?, name, value)
}

fn fgetxattr(
    task: &mut CurrentTask,
    descriptor: Fd,
    name: UserPointer<u8>,
    value: UserSlice,
) -> Result<usize, Errno> {
    get(task, &opened(task, descriptor)?, name, value)
}

fn setxattr(
    task: &mut CurrentTask,
    path: UserPath,
    name: UserPointer<u8>,
    value: UserSlice,
    flags: u32,
) -> Result<(), Errno> {
    set(task, &followed(task, path)?, name, value, flags)
}

fn lsetxattr(
    task: &mut CurrentTask,
    path: UserPath,
    name: UserPointer<u8>,
    value: UserSlice,
    flags: u32,
) -> Result<(), Errno> {
    set(task, &unfollowed(task, path)?, name, value, flags)
}

fn fsetxattr(
    task: &mut CurrentTask,
    descriptor: Fd,
    name: UserPointer<u8>,
    value: UserSlice,
    flags: u32,
) -> Result<(), Errno> {
    set(task, &opened(task, descriptor)?, name, value, flags)
}

fn listxattr(task: &mut CurrentTask, path: UserPath, names: UserSlice) -> Result<usize, Errno> {
    list(task, &followed(task, path)?, names)
}

fn llistxattr(task: &mut CurrentTask, path: UserPath, names: UserSlice) -> Result<usize, Errno> {
    list(task, &unfollowed(task, path)?, names)
}

fn flistxattr(task: &mut CurrentTask, descriptor: Fd, names: UserSlice) -> Result<usize, Errno> {
    list(task, &opened(task, descriptor)?, names)
}

fn removexattr(task: &mut CurrentTask, path: UserPath, name: UserPointer<u8>) -> Result<(), Errno> {
    remove(task, &followed(task, path)?, name)
}

fn lremovexattr(task: &mut CurrentTask, path: UserPath, name: UserPointer<u8>) -> Result<(), Errno> {
    remove(task, &unfollowed(task, path)?, name)
}

fn fremovexattr(task: &mut CurrentTask, descriptor: Fd, name: UserPointer<u8>) -> Result<(), Errno> {
    remove(task, &opened(task, descriptor)?, name)
}

fn followed(task: &CurrentTask, path: UserPath) -> Result<Path, Errno> {
    Scope::new(task).find_at(task, Fd::WORKING_DIRECTORY, path, 0)
}

fn unfollowed(task: &CurrentTask, path: UserPath) -> Result<Path, Errno> {
    Scope::new(task).find_at(task, Fd::WORKING_DIRECTORY, path, uapi::AT_SYMLINK_NOFOLLOW)
}

fn opened(task: &CurrentTask, descriptor: Fd) -> Result<Path, Errno> {
    Ok(Path::of_description(&task.usable_file(descriptor)?))
}

fn read_name(task: &CurrentTask, name: UserPointer<u8>) -> Result<Vec<u8>, Errno> {
    const MAX_LEN: usize = uapi::XATTR_NAME_MAX as usize + 1;
    let name = task.memory().read_c_string(name.address(), MAX_LEN);
    name.map_err(|error| if error == Errno::ENAMETOOLONG { Errno::ERANGE } else { error })
}

/// Copies a result out; a length of 0 asks for the length alone.
fn write_result(task: &CurrentTask, bytes: &[u8], place: UserSlice) -> Result<usize, Errno> {
    if place.len_bytes != 0 {
        if usize::try_from(place.len_bytes).is_ok_and(|room| bytes.len() > room) {
            return Err(Errno::ERANGE);
        }
        task.memory().write_bytes(place.address, bytes)?;
    }
    Ok(bytes.len())
}

fn get(task: &mut CurrentTask, path: &Path, name: UserPointer<u8>, value: UserSlice) -> Result<usize, Errno> {
    let name = read_name(task, name)?;
    let found = operations::get_xattr(path, &name, &task.credentials())?;
    write_result(task, &found, value)
}

fn set(
    task: &mut CurrentTask,
    path: &Path,
    name: UserPointer<u8>,
    value: UserSlice,
    flags: u32,
) -> Result<(), Errno> {
    let flags = check_flags(flags, uapi::XATTR_CREATE | uapi::XATTR_REPLACE)?;
    let has = |flag| flags & flag != 0;
    let name = read_name(task, name)?;
    let len = usize::try_from(value.len_bytes).unwrap_or(usize::MAX);
    if len > MAX_VALUE_BYTES {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; len];
    task.memory().read_bytes(value.address, &mut bytes)?;
    let must_exist = match (has(uapi::XATTR_CREATE), has(uapi::XATTR_REPLACE)) {
        (false, false) => None,
        (true, false) => Some(false),
        (false, true) => Some(true),
        // Whether it exists or not, one of the two forbids it.
        (true, true) => Some(path.inode().get_xattr(&name).is_err()),
    };
    operations::set_xattr(path, &name, &bytes, must_exist, &task.credentials())
}

fn list(task: &mut CurrentTask, path: &Path, place: UserSlice) -> Result<usize, Errno> {
    let names = operations::list_xattrs(path, &task.credentials())?;
    if names.len() > MAX_LIST_BYTES {
        return Err(Errno::E2BIG);
    }
    write_result(task, &names, place)
}

fn remove(task: &mut CurrentTask, path: &Path, name: UserPointer<u8>) -> Result<(), Errno> {
    let name = read_name(task, name)?;
    operations::remove_xattr(path, &name, &task.credentials())
}
