//! unshare(2) and setns(2).

use std::any::Any;
use std::sync::Arc;

use syscalls::Sysno;

use super::Handler;
use super::arguments::{handlers, int};
use crate::Errno;
use crate::cred::{Namespace, NamespaceKind};
use crate::fs::Fd;
use crate::fs::nsfs::NamespaceFile;
use crate::platform::VirtualAddress;
use crate::task::{CloneFlags, CurrentTask, PidNamespace, ProcessFile, Tid};

/// `_IOR(0xb7, 5, u64)`, and the others for an `int` (`linux/nsfs.h`).
const NS_GET_MNTNS_ID: u32 = 0x8008_b705;
const NS_GET_PID_FROM_PIDNS: u32 = 0x8004_b706;
const NS_GET_TGID_FROM_PIDNS: u32 = 0x8004_b707;
const NS_GET_PID_IN_PIDNS: u32 = 0x8004_b708;
const NS_GET_TGID_IN_PIDNS: u32 = 0x8004_b709;

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
