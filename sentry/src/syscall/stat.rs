//! What is known of files: stat, statx, statfs, access.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, UserPointer, handlers, unsigned};
use super::scope::{Scope, check_flags};
use crate::Errno;
use crate::abi::{Stat, Statfs, Statx, StatxTimestamp, Ustat};
use crate::cred::{Capabilities, Credentials, SecureBits};
use crate::fs::Fd;
use crate::fs::{
    Access, DeviceNumber, FileKind, FileSystemType, Metadata, MountFlags, Path, SuperFlags, Timestamp,
};
use crate::task::CurrentTask;
use crate::width::u64_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    stat, lstat, fstat, newfstatat, statx, statfs, fstatfs, ustat, sysfs, access, faccessat, faccessat2,
];

fn stat(task: &mut CurrentTask, path: UserPath, place: UserPointer<Stat>) -> Result<(), Errno> {
    stat_at(task, Fd::WORKING_DIRECTORY, path, place, 0)
}

fn lstat(task: &mut CurrentTask, path: UserPath, place: UserPointer<Stat>) -> Result<(), Errno> {
    stat_at(task, Fd::WORKING_DIRECTORY, path, place, uapi::AT_SYMLINK_NOFOLLOW)
}

fn newfstatat(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    place: UserPointer<Stat>,
    flags: u32,
) -> Result<(), Errno> {
    // With an empty path it is fstat(2), and no other flag is looked at.
    if flags & uapi::AT_EMPTY_PATH != 0
        && directory.0 >= 0
        && (path.is_null() || path.read(task).is_ok_and(|path| path.is_empty()))
    {
        return fstat(task, directory, place);
    }
    let known = uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH | uapi::AT_NO_AUTOMOUNT;
    let flags = check_flags(flags, known)?;
    stat_at(task, directory, path, place, flags)
}

fn fstat(task: &mut CurrentTask, descriptor: Fd, place: UserPointer<Stat>) -> Result<(), Errno> {
    let metadata = task.file(descriptor)?.metadata()?;
    place.write(task, &stat_of(task, &metadata))
}

fn stat_at(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    place: UserPointer<Stat>,
    flags: u32,
) -> Result<(), Errno> {
    let metadata = Scope::new(task).find_at_or_of(task, directory, path, flags)?.metadata()?;
    place.write(task, &stat_of(task, &metadata))
}

fn stat_of(task: &CurrentTask, metadata: &Metadata) -> Stat {
    let credentials = task.credentials();
    let namespace = &credentials.user_namespace;
    Stat {
        st_dev: metadata.device.as_u64(),
        st_ino: metadata.inode,
        st_nlink: u64::from(metadata.links),
        st_mode: metadata.mode,
        st_uid: namespace.from_kernel_uid(metadata.uid).0,
        st_gid: namespace.from_kernel_gid(metadata.gid).0,
        st_rdev: metadata.special_device.as_u64(),
        st_size: metadata.size_bytes.cast_signed(),
        st_blksize: i64::from(metadata.block_size_bytes),
        st_blocks: metadata.blocks.cast_signed(),
        st_atime: metadata.accessed.seconds,
        st_atime_nsec: u64::from(metadata.accessed.nanoseconds),
        st_mtime: metadata.modified.seconds,
        st_mtime_nsec: u64::from(metadata.modified.nanoseconds),
        st_ctime: metadata.changed.seconds,
        st_ctime_nsec: u64::from(metadata.changed.nanoseconds),
        ..Stat::default()
    }
}

fn statx(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    flags: u32,
    mask: u32,
    address: UserPointer<Statx>,
) -> Result<(), Errno> {
    let known =
        uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH | uapi::AT_NO_AUTOMOUNT | uapi::AT_STATX_SYNC_TYPE;
    let flags = check_flags(flags, known)?;
    if flags & uapi::AT_STATX_SYNC_TYPE == uapi::AT_STATX_SYNC_TYPE || mask & uapi::STATX__RESERVED != 0 {
        return Err(Errno::EINVAL);
    }
    let place = Scope::new(task).find_at_or_of(task, directory, path, flags)?;
    let statx = statx_of(task, &place.metadata()?, &place, mask);
    address.write(task, &statx)
}

fn statx_of(task: &CurrentTask, metadata: &Metadata, place: &Path, mask: u32) -> Statx {
    use linux_raw_sys::general::STATX_MNT_ID_UNIQUE;
    let credentials = task.credentials();
    let namespace = &credentials.user_namespace;
    let mut statx = Statx {
        stx_mask: uapi::STATX_BASIC_STATS | uapi::STATX_MNT_ID,
        stx_blksize: metadata.block_size_bytes,
        stx_nlink: metadata.links,
        stx_uid: namespace.from_kernel_uid(metadata.uid).0,
        stx_gid: namespace.from_kernel_gid(metadata.gid).0,
        stx_mode: metadata.mode as u16,
        stx_ino: metadata.inode,
        stx_size: metadata.size_bytes,
        stx_blocks: metadata.blocks,
        stx_attributes_mask: known_attributes(place),
        ..Statx::default()
    };
    statx.stx_attributes = place.inode().file_flags().unwrap_or_default().statx_attributes();
    if Arc::ptr_eq(&place.dentry, place.mount.root()) && place.mount.mount_point().is_some() {
        statx.stx_attributes |= u64::from(uapi::STATX_ATTR_MOUNT_ROOT);
    }
    statx.stx_atime = statx_timestamp(metadata.accessed);
    statx.stx_mtime = statx_timestamp(metadata.modified);
    statx.stx_ctime = statx_timestamp(metadata.changed);
    if let Some(created) = metadata.created {
        statx.stx_mask |= uapi::STATX_BTIME;
        statx.stx_btime = statx_timestamp(created);
    }
    (statx.stx_rdev_major, statx.stx_rdev_minor) =
        (metadata.special_device.major, metadata.special_device.minor);
    (statx.stx_dev_major, statx.stx_dev_minor) = (metadata.device.major, metadata.device.minor);
    statx.stx_mnt_id = place.mount.id();
    if mask & STATX_MNT_ID_UNIQUE != 0 {
        statx.stx_mask = (statx.stx_mask & !uapi::STATX_MNT_ID) | STATX_MNT_ID_UNIQUE;
        statx.stx_mnt_id = super::mount::unique_id(&place.mount);
    }
    statx
}

/// The attributes that would be told if the file had them.
fn known_attributes(place: &Path) -> u64 {
    let of_all = uapi::STATX_ATTR_MOUNT_ROOT | uapi::STATX_ATTR_AUTOMOUNT | uapi::STATX_ATTR_DAX;
    u64::from(of_all) | place.inode().possible_file_flags().statx_attributes()
}

fn statx_timestamp(timestamp: Timestamp) -> StatxTimestamp {
    StatxTimestamp { tv_sec: timestamp.seconds, tv_nsec: timestamp.nanoseconds, reserved: 0 }
}

fn statfs(task: &mut CurrentTask, path: UserPath, address: UserPointer<Statfs>) -> Result<(), Errno> {
    let place = Scope::new(task).find_at(task, Fd::WORKING_DIRECTORY, path, 0)?;
    write_statfs(task, &place, address)
}

fn fstatfs(task: &mut CurrentTask, descriptor: Fd, address: UserPointer<Statfs>) -> Result<(), Errno> {
    let place = Path::of_description(&task.file(descriptor)?);
    write_statfs(task, &place, address)
}

fn write_statfs(task: &CurrentTask, place: &Path, address: UserPointer<Statfs>) -> Result<(), Errno> {
    const ST_VALID: i64 = 0x20;
    let file_system = place.mount.file_system();
    let info = file_system.info();
    let mut flags = place.mount.flags();
    let of_all = place.mount.instance().flags();
    flags.set(MountFlags::RDONLY, flags.contains(MountFlags::RDONLY) || of_all.contains(SuperFlags::RDONLY));
    // They have the same values as flags of statfs(2).
    let of_all = (of_all & (SuperFlags::SYNCHRONOUS | SuperFlags::MANDLOCK)).bits();
    let statfs = Statfs {
        f_type: info.magic.cast_signed(),
        f_bsize: info.block_size_bytes.cast_signed(),
        f_frsize: info.block_size_bytes.cast_signed(),
        f_blocks: info.blocks.cast_signed(),
        f_bfree: info.free_blocks.cast_signed(),
        f_bavail: info.free_blocks.saturating_sub(info.reserved_blocks).cast_signed(),
        f_files: info.inodes.cast_signed(),
        f_ffree: info.free_inodes.cast_signed(),
        f_fsid: [file_system.device().as_u64() as i32, 0],
        f_namelen: u64_from(crate::fs::path::MAX_NAME_LEN).cast_signed(),
        f_flags: ST_VALID | i64::from(of_all) | st_flags(flags),
        ..Statfs::default()
    };
    address.write(task, &statfs)
}

/// How full a file system is that is mounted where the caller sees it, by its device as stat(2) tells it.
fn ustat(task: &mut CurrentTask, device: u32, place: UserPointer<Ustat>) -> Result<(), Errno> {
    let device = DeviceNumber::from_u64(u64::from(device));
    let mounts = task.task_fs().namespace().mounts();
    let mount = mounts.iter().find(|mount| mount.file_system().device() == device).ok_or(Errno::EINVAL)?;
    let info = mount.file_system().info();
    // An `int`, whatever is lost.
    let f_tfree = unsigned(info.free_blocks).cast_signed();
    place.write(task, &Ustat { f_tfree, f_tinode: info.free_inodes, ..Ustat::default() })
}

/// The types of file systems, by name and number.
fn sysfs(task: &mut CurrentTask, option: i32, first: u64, second: UserPointer<u8>) -> Result<usize, Errno> {
    match option {
        1 => {
            let name = task.read_path(first)?;
            FileSystemType::index_of(&name).ok_or(Errno::EINVAL)
        }
        2 => {
            let index = usize::try_from(unsigned(first)).map_err(|_| Errno::EINVAL)?;
            let mut name = FileSystemType::name_at(index).ok_or(Errno::EINVAL)?.as_bytes().to_vec();
            name.push(0);
            task.memory().write_bytes(second.address(), &name)?;
            Ok(0)
        }
        3 => Ok(FileSystemType::count()),
        _ => Err(Errno::EINVAL),
    }
}

/// The `ST_*` flags of statvfs(3).
fn st_flags(flags: MountFlags) -> i64 {
    let table = [
        (MountFlags::RDONLY, 1),
        (MountFlags::NOSUID, 2),
        (MountFlags::NODEV, 4),
        (MountFlags::NOEXEC, 8),
        (MountFlags::NOATIME, 1024),
        (MountFlags::NODIRATIME, 2048),
        (MountFlags::RELATIME, 4096),
        (MountFlags::NOSYMFOLLOW, 8192),
    ];
    table.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, value)| value).sum()
}

fn access(task: &mut CurrentTask, path: UserPath, mode: u32) -> Result<(), Errno> {
    access_at(task, Fd::WORKING_DIRECTORY, path, mode, 0)
}

fn faccessat(task: &mut CurrentTask, directory: Fd, path: UserPath, mode: u32) -> Result<(), Errno> {
    access_at(task, directory, path, mode, 0)
}

fn faccessat2(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    mode: u32,
    flags: u32,
) -> Result<(), Errno> {
    let known = uapi::AT_EACCESS | uapi::AT_SYMLINK_NOFOLLOW | uapi::AT_EMPTY_PATH;
    access_at(task, directory, path, mode, check_flags(flags, known)?)
}

fn access_at(
    task: &mut CurrentTask,
    directory: Fd,
    path: UserPath,
    mode: u32,
    flags: u32,
) -> Result<(), Errno> {
    let wanted = Access::from_bits(mode).ok_or(Errno::EINVAL)?;
    let credentials = task.credentials();
    let credentials =
        if flags & uapi::AT_EACCESS == 0 { Arc::new(real_credentials(&credentials)) } else { credentials };
    let scope = Scope::new(task).with_credentials(credentials);
    let place = scope.find_at(task, directory, path, flags)?;
    let is_file = matches!(place.kind(), FileKind::Regular | FileKind::Directory | FileKind::Symlink);
    if wanted.contains(Access::WRITE) && is_file {
        place.mount.check_writable()?;
    }
    let is_no_exec = place.mount.flags().contains(MountFlags::NOEXEC);
    if wanted.contains(Access::EXECUTE) && place.kind() == FileKind::Regular && is_no_exec {
        return Err(Errno::EACCES);
    }
    place.check_viewer_access(wanted, scope.viewer())?;
    place.inode().confirm_access(wanted)
}

/// The credentials that access(2) checks: those of the real user.
fn real_credentials(credentials: &Credentials) -> Credentials {
    let effective = match credentials.securebits.contains(SecureBits::NO_SETUID_FIXUP) {
        true => credentials.effective,
        false if credentials.user_namespace.root_uid() == Some(credentials.real_uid) => credentials.permitted,
        false => Capabilities::empty(),
    };
    Credentials {
        fs_uid: credentials.real_uid,
        fs_gid: credentials.real_gid,
        effective,
        ..credentials.clone()
    }
}
