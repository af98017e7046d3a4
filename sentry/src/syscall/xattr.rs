//! Extended attributes.

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, UserPointer, UserSlice, handlers};
use super::file_attributes::find;
use super::process::read_extensible;
use super::scope::check_flags;
use crate::Errno;
use crate::abi::XattrArgs;
use crate::fs::Fd;
use crate::fs::{Path, operations};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

/// The longest value and the longest list of names.
const MAX_VALUE_BYTES: usize = uapi::XATTR_SIZE_MAX as usize;
const MAX_LIST_BYTES: usize = uapi::XATTR_LIST_MAX as usize;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    getxattr,
    lgetxattr,
    fgetxattr,
    getxattrat,
    setxattr,
    lsetxattr,
    fsetxattr,
    setxattrat,
    listxattr,
    llistxattr,
    flistxattr,
    listxattrat,
    removexattr,
    lremovexattr,
    fremovexattr,
    removexattrat,
];

/// The file that a call is about.
#[derive(Clone, Copy)]
enum Subject {
    /// What a path names, with `AT_*` flags.
    Named(Fd, UserPath, u32),
    /// What a descriptor refers to.
    Open(Fd),
}

impl Subject {
    fn followed(path: UserPath) -> Self {
        Self::Named(Fd::WORKING_DIRECTORY, path, 0)
    }

    fn unfollowed(path: UserPath) -> Self {
        Self::Named(Fd::WORKING_DIRECTORY, path, uapi::AT_SYMLINK_NOFOLLOW)
    }

    fn at(directory: Fd, path: UserPath, flags: u32) -> Result<Self, Errno> {
        let flags = check_flags(flags, uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH)?;
        Ok(Self::Named(directory, path, flags))
    }

    fn find(self, task: &CurrentTask) -> Result<Path, Errno> {
        match self {
            Self::Named(directory, path, flags) => find(task, directory, path, flags),
            Self::Open(descriptor) => Ok(Path::of_description(&task.usable_file(descriptor)?)),
        }
    }
}

fn getxattr(
    task: &mut CurrentTask,
    path: UserPath,
    name: UserPointer<u8>,
    value: UserSlice,
) -> Result<usize, Errno> {
    get(task, Subject::followed(path), name, value)
}

fn lgetxattr(
    task: &mut CurrentTask,
    path: UserPath,
    name: UserPointer<u8>,
    value: UserSlice,
) -> Result<usize, Errno> {
    get(task, Subject::unfollowed(path), name, value)
}

fn fgetxattr(
    task: &mut CurrentTask,
    descriptor: Fd,
    name: UserPointer<u8>,
    value: UserSlice,
) -> Result<usize, Errno> {
    get(task, Subject::Open(descriptor), name, value)
}

fn getxattrat(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    flags: u32,
    name: UserPointer<u8>,
    arguments: UserSlice,
) -> Result<usize, Errno> {
    let XattrArgs { value, size, flags: unused } = read_extensible(task, arguments, size_of::<XattrArgs>())?;
    if unused != 0 {
        return Err(Errno::EINVAL);
    }
    let value = UserSlice { address: VirtualAddress(value), len_bytes: size.into() };
    get(task, Subject::at(directory, path, flags)?, name, value)
}

fn setxattr(
    task: &mut CurrentTask,
    path: UserPath,
    name: UserPointer<u8>,
    value: UserSlice,
    flags: u32,
) -> Result<(), Errno> {
    set(task, Subject::followed(path), name, value, flags)
}

fn lsetxattr(
    task: &mut CurrentTask,
    path: UserPath,
    name: UserPointer<u8>,
    value: UserSlice,
    flags: u32,
) -> Result<(), Errno> {
    set(task, Subject::unfollowed(path), name, value, flags)
}

fn fsetxattr(
    task: &mut CurrentTask,
    descriptor: Fd,
    name: UserPointer<u8>,
    value: UserSlice,
    flags: u32,
) -> Result<(), Errno> {
    set(task, Subject::Open(descriptor), name, value, flags)
}

fn setxattrat(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    flags: u32,
    name: UserPointer<u8>,
    arguments: UserSlice,
) -> Result<(), Errno> {
    let XattrArgs { value, size, flags: how } = read_extensible(task, arguments, size_of::<XattrArgs>())?;
    let value = UserSlice { address: VirtualAddress(value), len_bytes: size.into() };
    set(task, Subject::at(directory, path, flags)?, name, value, how)
}

fn listxattr(task: &mut CurrentTask, path: UserPath, names: UserSlice) -> Result<usize, Errno> {
    list(task, Subject::followed(path), names)
}

fn llistxattr(task: &mut CurrentTask, path: UserPath, names: UserSlice) -> Result<usize, Errno> {
    list(task, Subject::unfollowed(path), names)
}

fn flistxattr(task: &mut CurrentTask, descriptor: Fd, names: UserSlice) -> Result<usize, Errno> {
    list(task, Subject::Open(descriptor), names)
}

fn listxattrat(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    flags: u32,
    names: UserSlice,
) -> Result<usize, Errno> {
    list(task, Subject::at(directory, path, flags)?, names)
}

fn removexattr(task: &mut CurrentTask, path: UserPath, name: UserPointer<u8>) -> Result<(), Errno> {
    remove(task, Subject::followed(path), name)
}

fn lremovexattr(task: &mut CurrentTask, path: UserPath, name: UserPointer<u8>) -> Result<(), Errno> {
    remove(task, Subject::unfollowed(path), name)
}

fn fremovexattr(task: &mut CurrentTask, descriptor: Fd, name: UserPointer<u8>) -> Result<(), Errno> {
    remove(task, Subject::Open(descriptor), name)
}

fn removexattrat(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    flags: u32,
    name: UserPointer<u8>,
) -> Result<(), Errno> {
    remove(task, Subject::at(directory, path, flags)?, name)
}

fn read_name(task: &CurrentTask, name: UserPointer<u8>) -> Result<Vec<u8>, Errno> {
    const MAX_LEN: usize = uapi::XATTR_NAME_MAX as usize + 1;
    let name = task.memory().read_c_string(name.address(), MAX_LEN);
    let name = name.map_err(|error| if error == Errno::ENAMETOOLONG { Errno::ERANGE } else { error })?;
    operations::check_xattr_name(&name)?;
    Ok(name)
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

fn get(
    task: &mut CurrentTask,
    subject: Subject,
    name: UserPointer<u8>,
    value: UserSlice,
) -> Result<usize, Errno> {
    let name = read_name(task, name)?;
    let found = operations::get_xattr(&subject.find(task)?, &name, &task.credentials())?;
    write_result(task, &found, value)
}

fn set(
    task: &mut CurrentTask,
    subject: Subject,
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
    let path = subject.find(task)?;
    let must_exist = match (has(uapi::XATTR_CREATE), has(uapi::XATTR_REPLACE)) {
        (false, false) => None,
        (true, false) => Some(false),
        (false, true) => Some(true),
        // Whether it exists or not, one of the two forbids it.
        (true, true) => Some(path.inode().get_xattr(&name).is_err()),
    };
    operations::set_xattr(&path, &name, &bytes, must_exist, &task.credentials())
}

fn list(task: &mut CurrentTask, subject: Subject, place: UserSlice) -> Result<usize, Errno> {
    let names = operations::list_xattrs(&subject.find(task)?, &task.credentials())?;
    if names.len() > MAX_LIST_BYTES {
        return Err(Errno::E2BIG);
    }
    write_result(task, &names, place)
}

fn remove(task: &mut CurrentTask, subject: Subject, name: UserPointer<u8>) -> Result<(), Errno> {
    let name = read_name(task, name)?;
    operations::remove_xattr(&subject.find(task)?, &name, &task.credentials())
}
