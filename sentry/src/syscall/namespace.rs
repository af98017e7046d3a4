//! unshare(2), setns(2), and what is asked of namespaces by ioctl(2).

use std::any::Any;
use std::sync::Arc;

use syscalls::Sysno;

use super::Handler;
use super::arguments::{handlers, int};
use crate::Errno;
use crate::abi::MountNamespaceInfo;
use crate::cred::{Capabilities, Namespace, NamespaceKind};
use crate::fs::nsfs::NamespaceFile;
use crate::fs::{Fd, MountNamespace};
use crate::platform::VirtualAddress;
use crate::task::{CloneFlags, CurrentTask, PidNamespace, ProcessFile, Tid};

/// `_IOR(0xb7, 5, u64)`, and the others for an `int` (`linux/nsfs.h`).
const NS_GET_MNTNS_ID: u32 = 0x8008_b705;
const NS_GET_PID_FROM_PIDNS: u32 = 0x8004_b706;
const NS_GET_TGID_FROM_PIDNS: u32 = 0x8004_b707;
const NS_GET_PID_IN_PIDNS: u32 = 0x8004_b708;
const NS_GET_TGID_IN_PIDNS: u32 = 0x8004_b709;
/// These have a [`MountNamespaceInfo`], which is so long.
const MNT_NS_INFO_SIZE_VER0: u32 = 16;
const NS_MNT_GET_INFO: u32 = 0x8010_b70a;
const NS_MNT_GET_NEXT: u32 = 0x8010_b70b;
const NS_MNT_GET_PREV: u32 = 0x8010_b70c;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![unshare, setns];

fn unshare(task: &mut CurrentTask, flags: CloneFlags) -> Result<(), Errno> {
    task.unshare(flags)
}

fn setns(task: &mut CurrentTask, descriptor: Fd, kinds: u32) -> Result<(), Errno> {
    let file = task.usable_file(descriptor)?;
    if let Some(file) = file.downcast::<NamespaceFile>() {
        let namespace = file.namespace();
        if kinds != 0 && kinds != namespace.identity().kind().flag() {
            return Err(Errno::EINVAL);
        }
        return task.enter_namespace(namespace);
    }
    let process = file.downcast::<ProcessFile>().ok_or(Errno::EINVAL)?;
    let known = NamespaceKind::ALL.iter().fold(0, |known, kind| known | kind.flag());
    if kinds == 0 || kinds & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let flags = CloneFlags::from_bits(kinds.into()).ok_or(Errno::EINVAL)?;
    task.enter_namespaces_of(process.task(), flags)
}

/// ioctl(2) on a file that stands for `namespace`, where the request is about numbers (`man 2 ioctl_nsfs`); `None` if it is about
/// something else.
pub(super) fn ioctl(
    task: &CurrentTask,
    namespace: &Arc<dyn Namespace>,
    request: u32,
    argument: u64,
) -> Option<Result<usize, Errno>> {
    match request {
        NS_GET_MNTNS_ID => Some(mount_namespace_id(task, &**namespace, argument)),
        NS_GET_PID_FROM_PIDNS | NS_GET_TGID_FROM_PIDNS | NS_GET_PID_IN_PIDNS | NS_GET_TGID_IN_PIDNS => {
            Some(translated_number(task, &**namespace, request, argument))
        }
        NS_MNT_GET_INFO if argument == 0 => Some(Err(Errno::EINVAL)),
        NS_MNT_GET_INFO => Some(tell_of_mounts(task, &**namespace, argument).map(|()| 0)),
        NS_MNT_GET_NEXT | NS_MNT_GET_PREV => Some(open_beside(task, &**namespace, request, argument)),
        _ => None,
    }
}

/// NS_GET_MNTNS_ID: the number by which statmount(2) and listmount(2) know the namespace.
fn mount_namespace_id(task: &CurrentTask, namespace: &dyn Namespace, place: u64) -> Result<usize, Errno> {
    let identity = namespace.identity();
    if identity.kind() != NamespaceKind::Mount {
        return Err(Errno::EINVAL);
    }
    task.memory().write_object(VirtualAddress(place), &identity.ino())?;
    Ok(0)
}

/// NS_MNT_GET_INFO: how many mounts a mount namespace has, unless there is no place to tell that.
fn tell_of_mounts(task: &CurrentTask, namespace: &dyn Namespace, place: u64) -> Result<(), Errno> {
    let namespace = as_mount_namespace(namespace)?;
    if place == 0 {
        return Ok(());
    }
    let (size, nr_mounts) = (MNT_NS_INFO_SIZE_VER0, u32::try_from(namespace.mounts().len()));
    let mnt_ns_id = namespace.identity().ino();
    let info = MountNamespaceInfo { size, nr_mounts: nr_mounts.unwrap_or(u32::MAX), mnt_ns_id };
    task.memory().write_object(VirtualAddress(place), &info)
}

/// NS_MNT_GET_NEXT and NS_MNT_GET_PREV: opens the next mount namespace by number, or the one before, of those that the caller
/// administers, and tells of it.
fn open_beside(
    task: &CurrentTask,
    namespace: &dyn Namespace,
    request: u32,
    place: u64,
) -> Result<usize, Errno> {
    let namespace = as_mount_namespace(namespace)?;
    let credentials = task.credentials();
    let administers = |other: &MountNamespace| {
        let owner = other.identity().owner();
        owner.is_some_and(|owner| credentials.has_in(owner, Capabilities::SYS_ADMIN))
    };
    let is_next = request == NS_MNT_GET_NEXT;
    let found = namespace.table().namespace_beside(namespace.identity().ino(), is_next, administers);
    let found = found.ok_or(Errno::ENOENT)?;
    tell_of_mounts(task, &*found, place)?;
    NamespaceFile::open_for(found, task)
}

/// The mount namespace that `namespace` is.
fn as_mount_namespace(namespace: &dyn Namespace) -> Result<&MountNamespace, Errno> {
    let any: &dyn Any = namespace;
    any.downcast_ref().ok_or(Errno::EINVAL)
}

/// What a task, or its process, is called in the caller's PID namespace or in `namespace`, of what it is called in the other.
fn translated_number(
    task: &CurrentTask,
    namespace: &dyn Namespace,
    request: u32,
    argument: u64,
) -> Result<usize, Errno> {
    let any: &dyn Any = namespace;
    let theirs = any.downcast_ref::<PidNamespace>().ok_or(Errno::EINVAL)?;
    let own: &PidNamespace = task.thread_group().pid_namespace();
    let is_into = matches!(request, NS_GET_PID_IN_PIDNS | NS_GET_TGID_IN_PIDNS);
    let (from, to) = if is_into { (own, theirs) } else { (theirs, own) };
    let number = Tid(int(argument));
    let tasks = task.kernel().tasks();
    let target = tasks.task(from, number).ok_or(Errno::ESRCH)?;
    let number = match request {
        NS_GET_PID_FROM_PIDNS | NS_GET_PID_IN_PIDNS => tasks.number_of(&target, to),
        _ => tasks.group_number(target.thread_group(), to),
    };
    usize::try_from(number.0).ok().filter(|number| *number != 0).ok_or(Errno::ESRCH)
}
