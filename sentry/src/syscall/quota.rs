//! quotactl(2). No file system here limits what users store, so that all answers are those of quotas that are not on.

use std::sync::Arc;

use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPath, handlers};
use super::scope::Scope;
use crate::Errno;
use crate::abi::{FsDiskQuota, IfDqblk, IfDqinfo};
use crate::cred::{Capabilities, Gid};
use crate::fs::{DeviceNumber, Fd, FileKind, Mount, MountFlags};
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![quotactl, quotactl_fd];

/// Kinds of quotas: of users, groups and projects.
const MAX_QUOTAS: u32 = 3;
const USER_QUOTA: u32 = 0;
const GROUP_QUOTA: u32 = 1;

// `linux/quota.h` and `linux/dqblk_xfs.h`.
const Q_SYNC: u32 = 0x80_0001;
const Q_QUOTAON: u32 = 0x80_0002;
const Q_QUOTAOFF: u32 = 0x80_0003;
const Q_GETFMT: u32 = 0x80_0004;
const Q_GETINFO: u32 = 0x80_0005;
const Q_SETINFO: u32 = 0x80_0006;
const Q_GETQUOTA: u32 = 0x80_0007;
const Q_SETQUOTA: u32 = 0x80_0008;
const Q_GETNEXTQUOTA: u32 = 0x80_0009;
const Q_XQUOTAON: u32 = 0x5801;
const Q_XQUOTAOFF: u32 = 0x5802;
const Q_XGETQUOTA: u32 = 0x5803;
const Q_XSETQLIM: u32 = 0x5804;
const Q_XGETQSTAT: u32 = 0x5805;
const Q_XQUOTARM: u32 = 0x5806;
const Q_XQUOTASYNC: u32 = 0x5807;
const Q_XGETQSTATV: u32 = 0x5808;
const Q_XGETNEXTQUOTA: u32 = 0x5809;

fn quotactl(
    task: &mut CurrentTask,
    command: u32,
    special: UserPath,
    id: u32,
    address: VirtualAddress,
) -> Result<(), Errno> {
    let (command, kind) = (command >> 8, command & 0xff);
    if kind >= MAX_QUOTAS {
        return Err(Errno::EINVAL);
    }
    if special.is_null() {
        return if command == Q_SYNC { Ok(()) } else { Err(Errno::ENODEV) };
    }
    let scope = Scope::new(task);
    let place = scope.find_at(task, Fd::WORKING_DIRECTORY, special, 0)?;
    if place.kind() != FileKind::BlockDevice {
        return Err(Errno::ENOTBLK);
    }
    if place.mount.flags().contains(MountFlags::NODEV) {
        return Err(Errno::EACCES);
    }
    let device = place.inode().metadata()?.special_device;
    let mounts = task.task_fs().namespace().mounts();
    let is_on = |mount: &&Arc<Mount>| mount.file_system().device() == device;
    let mount = mounts.iter().find(is_on).ok_or(Errno::ENODEV)?;
    let has_quotas = is_on_disk(mount.file_system().device());
    let file = (command == Q_QUOTAON).then(|| task.read_path(address.0));
    let file = file.map(|path| scope.find(task, Fd::WORKING_DIRECTORY, &path?, true).map(drop));
    answer(task, command, (kind, id), address, has_quotas, file.unwrap_or(Err(Errno::EINVAL)))
}

fn quotactl_fd(
    task: &mut CurrentTask,
    descriptor: Fd,
    command: u32,
    id: u32,
    address: VirtualAddress,
) -> Result<(), Errno> {
    let description = task.file(descriptor)?;
    let (command, kind) = (command >> 8, command & 0xff);
    if kind >= MAX_QUOTAS {
        return Err(Errno::EINVAL);
    }
    let path = description.path().ok_or(Errno::ENOSYS)?;
    if changes(command) {
        path.mount.check_writable()?;
    }
    let has_quotas = is_on_disk(path.mount.file_system().device());
    answer(task, command, (kind, id), address, has_quotas, Err(Errno::EINVAL))
}

/// Whether a file system with this device number is one that could have quotas: one on a block device.
fn is_on_disk(device: DeviceNumber) -> bool {
    device.major != 0
}

/// Whether a command changes something.
fn changes(command: u32) -> bool {
    let only_asks = matches!(
        command,
        Q_GETFMT
            | Q_GETINFO
            | Q_SYNC
            | Q_GETQUOTA
            | Q_GETNEXTQUOTA
            | Q_XGETQSTAT
            | Q_XGETQSTATV
            | Q_XGETQUOTA
            | Q_XGETNEXTQUOTA
            | Q_XQUOTASYNC
    );
    !only_asks
}

/// What is said where no quota is on; `file` is whether that of quotas to be turned on was found.
fn answer(
    task: &CurrentTask,
    command: u32,
    (kind, id): (u32, u32),
    address: VirtualAddress,
    has_quotas: bool,
    file: Result<(), Errno>,
) -> Result<(), Errno> {
    if !has_quotas {
        return Err(Errno::ENOSYS);
    }
    check_permission(task, command, kind, id)?;
    match command {
        Q_SYNC | Q_XQUOTASYNC | Q_QUOTAOFF => Ok(()),
        Q_QUOTAON => file.and(Err(Errno::EINVAL)),
        Q_GETFMT | Q_GETINFO | Q_GETQUOTA | Q_GETNEXTQUOTA | Q_XGETQUOTA | Q_XGETNEXTQUOTA => {
            Err(Errno::ESRCH)
        }
        Q_SETINFO => task.memory().read_object::<IfDqinfo>(address).and(Err(Errno::ESRCH)),
        Q_SETQUOTA => task.memory().read_object::<IfDqblk>(address).and(Err(Errno::ESRCH)),
        Q_XSETQLIM => task.memory().read_object::<FsDiskQuota>(address).and(Err(Errno::ESRCH)),
        Q_XGETQSTATV => {
            // Its version is the first byte.
            let version: u8 = task.memory().read_object(address)?;
            Err(if version == 1 { Errno::ENOSYS } else { Errno::EINVAL })
        }
        Q_XQUOTAON | Q_XQUOTAOFF | Q_XGETQSTAT | Q_XQUOTARM => Err(Errno::ENOSYS),
        _ => Err(Errno::EINVAL),
    }
}

/// Fails unless the caller may give the command: about itself it may ask.
///
/// # Errors
/// EPERM.
fn check_permission(task: &CurrentTask, command: u32, kind: u32, id: u32) -> Result<(), Errno> {
    let credentials = task.credentials();
    let is_allowed = match command {
        Q_GETFMT | Q_SYNC | Q_GETINFO | Q_XGETQSTAT | Q_XGETQSTATV | Q_XQUOTASYNC => true,
        Q_GETQUOTA | Q_XGETQUOTA => {
            let namespace = &credentials.user_namespace;
            let is_own_user = namespace.from_kernel_uid(credentials.effective_uid).0 == id;
            let group = namespace.to_kernel_gid(Gid(id));
            let is_own_group = group.is_some_and(|gid| credentials.is_in_group(gid));
            kind == USER_QUOTA && is_own_user || kind == GROUP_QUOTA && is_own_group
        }
        _ => false,
    };
    if is_allowed || credentials.has(Capabilities::SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
}
