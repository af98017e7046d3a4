//! Extended attributes.

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::place::{Scope, WORKING_DIRECTORY, check_flags};
use crate::Errno;
use crate::fs::{Path, operations};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::getxattr, |task, arguments| get(task, &followed(task, arguments[0])?, arguments)),
    (Sysno::lgetxattr, |task, arguments| get(task, &unfollowed(task, arguments[0])?, arguments)),
    (Sysno::fgetxattr, |task, arguments| get(task, &opened(task, arguments[0])?, arguments)),
    (Sysno::setxattr, |task, arguments| set(task, &followed(task, arguments[0])?, arguments)),
    (Sysno::lsetxattr, |task, arguments| set(task, &unfollowed(task, arguments[0])?, arguments)),
    (Sysno::fsetxattr, |task, arguments| set(task, &opened(task, arguments[0])?, arguments)),
    (Sysno::listxattr, |task, arguments| list(task, &followed(task, arguments[0])?, arguments)),
    (Sysno::llistxattr, |task, arguments| list(task, &unfollowed(task, arguments[0])?, arguments)),
    (Sysno::flistxattr, |task, arguments| list(task, &opened(task, arguments[0])?, arguments)),
    (Sysno::removexattr, |task, arguments| remove(task, &followed(task, arguments[0])?, arguments)),
    (Sysno::lremovexattr, |task, arguments| remove(task, &unfollowed(task, arguments[0])?, arguments)),
    (Sysno::fremovexattr, |task, arguments| remove(task, &opened(task, arguments[0])?, arguments)),
];

fn followed(task: &CurrentTask, path: u64) -> Result<Path, Errno> {
    Scope::new(task).find_at(task, WORKING_DIRECTORY, path, 0)
}

fn unfollowed(task: &CurrentTask, path: u64) -> Result<Path, Errno> {
    Scope::new(task).find_at(task, WORKING_DIRECTORY, path, uapi::AT_SYMLINK_NOFOLLOW)
}

fn opened(task: &CurrentTask, descriptor: u64) -> Result<Path, Errno> {
    Ok(Path::of_description(&task.usable_file(descriptor as i32)?))
}

fn read_name(task: &CurrentTask, address: u64) -> Result<Vec<u8>, Errno> {
    const MAX_LEN: usize = uapi::XATTR_NAME_MAX as usize + 1;
    let name = task.memory().read_c_string(VirtualAddress(address), MAX_LEN);
    name.map_err(|error| if error == Errno::ENAMETOOLONG { Errno::ERANGE } else { error })
}

/// Copies a result out; a length of 0 asks for the length alone.
fn write_result(task: &CurrentTask, bytes: &[u8], address: u64, len_bytes: u64) -> Result<usize, Errno> {
    if len_bytes != 0 {
        if bytes.len() as u64 > len_bytes {
            return Err(Errno::ERANGE);
        }
        task.memory().write_bytes(VirtualAddress(address), bytes)?;
    }
    Ok(bytes.len())
}

fn get(
    task: &mut CurrentTask,
    path: &Path,
    [_, name, value, len_bytes, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let name = read_name(task, name)?;
    let found = operations::get_xattr(path, &name, &task.credentials())?;
    write_result(task, &found, value, len_bytes)
}

fn set(
    task: &mut CurrentTask,
    path: &Path,
    [_, name, value, len_bytes, flags, _]: [u64; 6],
) -> Result<usize, Errno> {
    let flags = check_flags(flags, uapi::XATTR_CREATE | uapi::XATTR_REPLACE)?;
    let has = |flag| flags & flag != 0;
    let name = read_name(task, name)?;
    if len_bytes > u64::from(uapi::XATTR_SIZE_MAX) {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; len_bytes as usize];
    task.memory().read_bytes(VirtualAddress(value), &mut bytes)?;
    let must_exist = match (has(uapi::XATTR_CREATE), has(uapi::XATTR_REPLACE)) {
        (false, false) => None,
        (true, false) => Some(false),
        (false, true) => Some(true),
        // Whether it exists or not, one of the two forbids it.
        (true, true) => Some(path.inode().get_xattr(&name).is_err()),
    };
    operations::set_xattr(path, &name, &bytes, must_exist, &task.credentials())?;
    Ok(0)
}

fn list(task: &mut CurrentTask, path: &Path, [_, buffer, len_bytes, ..]: [u64; 6]) -> Result<usize, Errno> {
    let names = operations::list_xattrs(path, &task.credentials())?;
    if names.len() > uapi::XATTR_LIST_MAX as usize {
        return Err(Errno::E2BIG);
    }
    write_result(task, &names, buffer, len_bytes)
}

fn remove(task: &mut CurrentTask, path: &Path, [_, name, ..]: [u64; 6]) -> Result<usize, Errno> {
    let name = read_name(task, name)?;
    operations::remove_xattr(path, &name, &task.credentials())?;
    Ok(0)
}
