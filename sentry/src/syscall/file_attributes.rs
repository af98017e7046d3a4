//! What ioctl(2) asks of any file, whatever it is: flags, sizes, extents, and copies that share storage.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use linux_raw_sys::ioctl as requests;
use syscalls::Sysno;
use zerocopy::{FromZeros, IntoBytes};

use super::Handler;
use super::arguments::{UserPath, UserPointer, UserSlice, handlers, int};
use super::process::read_extensible;
use super::scope::{Scope, check_flags};
use crate::Errno;
use crate::abi::{FileAttr, FileCloneRange, FileDedupeRange, Fsxattr};
use crate::cred::Capabilities;
use crate::fs::file_flags::KNOWN_EXTENDED;
use crate::fs::{Fd, FileDescription, FileFlags, FileKind, OpenFlags, Path, operations};
use crate::platform::{PAGE_SIZE, VirtualAddress};
use crate::task::CurrentTask;
use crate::width::{u64_from, usize_from};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![file_getattr, file_setattr];

/// `FS_IOC_GETFSUUID` and what it writes: a length, and sixteen bytes.
const FS_IOC_GETFSUUID: u32 = 0x8011_1500;

/// Serves `request` if it is one of any file; `None` if it is the file's own business.
pub(super) fn ioctl(
    task: &mut CurrentTask,
    description: &Arc<FileDescription>,
    request: u32,
    argument: u64,
) -> Option<Result<usize, Errno>> {
    let place = VirtualAddress(argument);
    if let Some(result) = super::disk_control::ioctl(task, description, request, place) {
        return Some(result);
    }
    Some(match request {
        requests::FIOQSIZE => tell_storage(task, description, place),
        requests::FIGETBSZ => tell_block_size(task, description, place)?,
        requests::FIBMAP if description.is_regular() => find_block(task, place),
        requests::FS_IOC_FIEMAP => super::fiemap::tell(task, description, place),
        requests::FICLONE => clone(task, description, int(argument)),
        requests::FICLONERANGE => task
            .memory()
            .read_object::<FileCloneRange>(place)
            .and_then(|range| clone(task, description, int(range.src_fd.cast_unsigned()))),
        requests::FIDEDUPERANGE => deduplicate(task, description, place),
        requests::FS_IOC_GETFLAGS
        | requests::FS_IOC_SETFLAGS
        | requests::FS_IOC_FSGETXATTR
        | requests::FS_IOC_FSSETXATTR => match description.path() {
            Some(path) => serve_flags(task, path, request, place),
            None => return refuse_flags(task, request, place).err().map(Err),
        },
        FS_IOC_GETFSUUID => tell_uuid(task, description, place),
        _ if description.is_regular() => return super::allocate::ioctl(task, description, request, place),
        _ => return None,
    })
}

/// What is said of flags that a file without an inode of its own is to get, before the file is asked.
fn refuse_flags(task: &CurrentTask, request: u32, place: VirtualAddress) -> Result<(), Errno> {
    match request {
        requests::FS_IOC_SETFLAGS => task.memory().read_object::<u32>(place).map(drop),
        requests::FS_IOC_FSSETXATTR => task.memory().read_object::<Fsxattr>(place).map(drop),
        _ => Ok(()),
    }
}

/// The bytes that a file takes.
fn tell_storage(
    task: &CurrentTask,
    description: &FileDescription,
    place: VirtualAddress,
) -> Result<usize, Errno> {
    let metadata = description.metadata()?;
    let has_storage = matches!(metadata.kind(), FileKind::Regular | FileKind::Directory);
    if !has_storage || description.path().is_none() {
        return Err(Errno::ENOTTY);
    }
    task.memory().write_object(place, &(metadata.blocks * 512))?;
    Ok(0)
}

/// The size of a block of the file system; `None` for a block device, which knows its own.
fn tell_block_size(
    task: &CurrentTask,
    description: &FileDescription,
    place: VirtualAddress,
) -> Option<Result<usize, Errno>> {
    let block_bytes = match description.path() {
        Some(path) if path.kind() == FileKind::BlockDevice => return None,
        Some(path) => path.inode().metadata().map(|metadata| metadata.block_size_bytes),
        None => Ok(PAGE_SIZE as u32),
    };
    Some(block_bytes.and_then(|bytes| task.memory().write_object(place, &bytes)).map(|()| 0))
}

/// Where a block of a file is stored: in no file system here at a place that could be told.
fn find_block(task: &CurrentTask, place: VirtualAddress) -> Result<usize, Errno> {
    if !task.credentials().has(Capabilities::SYS_RAWIO) {
        return Err(Errno::EPERM);
    }
    task.memory().read_object::<u32>(place)?;
    Err(Errno::EINVAL)
}

/// Whether two open files could share storage: no file system here can.
fn clone(task: &CurrentTask, target: &Arc<FileDescription>, source: i32) -> Result<usize, Errno> {
    let source = task.usable_file(Fd(source))?;
    let instance = |file: &Arc<FileDescription>| file.path().map(|path| path.mount.instance().clone());
    let is_same = match (instance(&source), instance(target)) {
        (Some(one), Some(other)) => Arc::ptr_eq(&one, &other),
        (None, None) => source.metadata()?.device == target.metadata()?.device,
        _ => false,
    };
    if !is_same {
        return Err(Errno::EXDEV);
    }
    let kinds = [source.metadata()?.kind(), target.metadata()?.kind()];
    if kinds.contains(&FileKind::Directory) {
        return Err(Errno::EISDIR);
    }
    if kinds.iter().any(|kind| *kind != FileKind::Regular) {
        return Err(Errno::EINVAL);
    }
    let flags = target.flags();
    if !source.flags().is_readable() || !flags.is_writable() || flags.contains(OpenFlags::APPEND) {
        return Err(Errno::EBADF);
    }
    Err(Errno::EOPNOTSUPP)
}

/// The same, for parts that are alike.
fn deduplicate(task: &CurrentTask, source: &FileDescription, place: VirtualAddress) -> Result<usize, Errno> {
    /// One target of many.
    const TARGET_BYTES: u64 = 32;
    let range: FileDedupeRange = task.memory().read_object(place)?;
    let size = u64_from(size_of::<FileDedupeRange>()) + TARGET_BYTES * u64::from(range.dest_count);
    if size > PAGE_SIZE {
        return Err(Errno::ENOMEM);
    }
    let mut targets = vec![0_u8; usize_from(size)];
    task.memory().read_bytes(place, &mut targets)?;
    let end = range.src_offset.checked_add(range.src_length);
    let is_sound = range.reserved1 == 0
        && range.reserved2 == 0
        && end.is_some_and(|end| end <= i64::MAX.cast_unsigned());
    if !source.flags().is_readable() || !is_sound {
        return Err(Errno::EINVAL);
    }
    match source.metadata()?.kind() {
        FileKind::Directory => Err(Errno::EISDIR),
        FileKind::Regular if source.is_regular() => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::EINVAL),
    }
}

/// The requests about flags.
fn serve_flags(task: &CurrentTask, path: &Path, request: u32, place: VirtualAddress) -> Result<usize, Errno> {
    let memory = task.memory();
    let flags = || path.inode().file_flags().ok_or(Errno::ENOTTY);
    match request {
        requests::FS_IOC_GETFLAGS => memory.write_object(place, &flags()?.bits())?,
        requests::FS_IOC_FSGETXATTR => {
            let told = Fsxattr { fsx_xflags: flags()?.extended(), ..Fsxattr::default() };
            memory.write_object(place, &told)?;
        }
        requests::FS_IOC_SETFLAGS => {
            let asked: u32 = memory.read_object(place)?;
            path.mount.check_writable()?;
            flags()?;
            operations::set_file_flags(path, FileFlags::from_bits_retain(asked), &task.credentials())?;
        }
        _ => {
            let asked: Fsxattr = memory.read_object(place)?;
            path.mount.check_writable()?;
            flags()?;
            operations::set_extended_flags(path, &asked, &task.credentials())?;
        }
    }
    Ok(0)
}

/// What tells the file system from others.
fn tell_uuid(
    task: &CurrentTask,
    description: &FileDescription,
    place: VirtualAddress,
) -> Result<usize, Errno> {
    let path = description.path().ok_or(Errno::ENOTTY)?;
    let uuid = path.mount.file_system().uuid().ok_or(Errno::ENOTTY)?;
    let mut told = vec![uuid.len() as u8];
    told.extend(uuid);
    task.memory().write_bytes(place, &told)?;
    Ok(0)
}

/// What a call of a directory, a path and `AT_*` flags is about; an empty path stands for a file that is open for more than its
/// place.
pub(super) fn find(task: &CurrentTask, directory: Fd, path: UserPath, flags: u32) -> Result<Path, Errno> {
    let flags = check_flags(flags, uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH)?;
    let is_open = flags & uapi::AT_EMPTY_PATH != 0
        && directory != Fd::WORKING_DIRECTORY
        && (path.is_null() || path.read(task)?.is_empty());
    match is_open {
        true => Ok(Path::of_description(&task.usable_file(directory)?)),
        false => Scope::new(task).find_at_or_of(task, directory, path, flags),
    }
}

fn file_getattr(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    place: UserPointer<u8>,
    len_bytes: u64,
    flags: u32,
) -> Result<(), Errno> {
    check_flags(flags, uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH)?;
    check_len(len_bytes)?;
    let found = operations::file_flags(&find(task, directory, path, flags)?)?;
    let told = FileAttr { fa_xflags: found.extended().into(), ..FileAttr::new_zeroed() };
    let mut bytes = told.as_bytes().to_vec();
    bytes.resize(usize::try_from(len_bytes).map_err(|_| Errno::E2BIG)?, 0);
    task.memory().write_bytes(place.address(), &bytes)
}

fn file_setattr(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    place: UserPointer<u8>,
    len_bytes: u64,
    flags: u32,
) -> Result<(), Errno> {
    check_flags(flags, uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH)?;
    check_len(len_bytes)?;
    let place = UserSlice { address: place.address(), len_bytes };
    let asked: FileAttr = read_extensible(task, place, size_of::<FileAttr>())?;
    if asked.fa_xflags & !u64::from(KNOWN_EXTENDED) != 0 {
        return Err(Errno::EINVAL);
    }
    let asked = Fsxattr {
        fsx_xflags: asked.fa_xflags as u32,
        fsx_extsize: asked.fa_extsize,
        fsx_nextents: asked.fa_nextents,
        fsx_projid: asked.fa_projid,
        fsx_cowextsize: asked.fa_cowextsize,
        ..Fsxattr::default()
    };
    let found = find(task, directory, path, flags)?;
    operations::set_extended_flags(&found, &asked, &task.credentials())
}

/// Fails for what is no length of a `struct file_attr` of any version.
fn check_len(len_bytes: u64) -> Result<(), Errno> {
    if len_bytes > PAGE_SIZE {
        return Err(Errno::E2BIG);
    }
    if len_bytes < u64_from(size_of::<FileAttr>()) { Err(Errno::EINVAL) } else { Ok(()) }
}
