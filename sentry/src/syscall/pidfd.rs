//! Process descriptors: pidfd_open, pidfd_send_signal, pidfd_getfd.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use crate::Errno;
use crate::abi::{PidfdInfo, Siginfo};
use crate::cred::{Namespace, NamespaceKind};
use crate::fs::proc::process_of_directory;
use crate::fs::{Caller, Fd, FileDescription, OpenFlags, Viewer, nsfs};
use crate::signal::SignalInfo;
use crate::task::{CurrentTask, ProcessFile, Task, Tid, check_access};
use crate::width::usize_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![pidfd_open, pidfd_send_signal, pidfd_getfd,];

/// `PIDFD_*` of pidfd_open(2).
const PIDFD_NONBLOCK: u32 = uapi::O_NONBLOCK;
const PIDFD_THREAD: u32 = uapi::O_EXCL;
/// `PIDFD_SIGNAL_*` of pidfd_send_signal(2).
const SIGNAL_THREAD: u32 = 1 << 0;
const SIGNAL_THREAD_GROUP: u32 = 1 << 1;
const SIGNAL_PROCESS_GROUP: u32 = 1 << 2;

fn pidfd_open(task: &mut CurrentTask, pid: Tid, flags: u32) -> Result<Fd, Errno> {
    let (pid, flags) = (pid, flags);
    if pid.0 <= 0 || flags & !(PIDFD_NONBLOCK | PIDFD_THREAD) != 0 {
        return Err(Errno::EINVAL);
    }
    let namespace = task.thread_group().pid_namespace();
    let target = task.kernel().tasks().task(namespace, pid).ok_or(Errno::ESRCH)?;
    let status = OpenFlags::from_bits_truncate(flags & PIDFD_NONBLOCK);
    if flags & PIDFD_THREAD != 0 {
        // As on Linux, the flag stays to be seen.
        return install(task, ProcessFile::of_thread(&target), status | OpenFlags::EXCL);
    }
    if task.kernel().tasks().thread_group(namespace, pid).is_none() {
        // A thread that leads no group.
        return Err(Errno::ENOENT);
    }
    install(task, ProcessFile::of_process(&target), status)
}

/// Makes a descriptor for a process or a thread.
pub(super) fn install(task: &CurrentTask, file: Arc<ProcessFile>, status: OpenFlags) -> Result<Fd, Errno> {
    let description = FileDescription::new(file, None, OpenFlags::RDWR | status);
    task.install_descriptor(description, true)
}

fn pidfd_send_signal(
    task: &mut CurrentTask,
    descriptor: Fd,
    signal: i32,
    info: UserPointer<Siginfo>,
    scope: u32,
) -> Result<(), Errno> {
    if ![0, SIGNAL_THREAD, SIGNAL_THREAD_GROUP, SIGNAL_PROCESS_GROUP].contains(&scope) {
        return Err(Errno::EINVAL);
    }
    let named = named_process(task, descriptor)?;
    let info = match info.is_null() {
        true => None,
        false => Some(read_info(task, signal, info, named.task.id() == task.task().id(), scope)?),
    };
    if named.is_reaped {
        return Err(Errno::ESRCH);
    }
    let target = &named.task;
    let is_to_thread = scope == SIGNAL_THREAD || scope == 0 && named.is_thread;
    match info {
        _ if scope == SIGNAL_PROCESS_GROUP => signal_process_group(task, target, signal, info),
        None if is_to_thread => super::signal::kill_task(task, target, signal),
        None => super::signal::kill_process(task, target, signal),
        Some(info) if is_to_thread => super::signal::queue_to_task(task, target, signal, info),
        Some(info) => super::signal::queue_to_process(task, target, signal, info),
    }
}

/// Copies a siginfo_t in, which must be of `signal`.
fn read_info(
    task: &CurrentTask,
    signal: i32,
    info: UserPointer<Siginfo>,
    is_to_oneself: bool,
    scope: u32,
) -> Result<SignalInfo, Errno> {
    let place = info;
    let info = super::signal::read_info(task, signal, place)?;
    if place.read(task)?.si_signo != signal {
        return Err(Errno::EINVAL);
    }
    super::signal::check_may_compose(&info, is_to_oneself && scope != SIGNAL_PROCESS_GROUP)?;
    Ok(info)
}

/// Sends to the process group that is named like the process of `target`.
fn signal_process_group(
    task: &CurrentTask,
    target: &Arc<Task>,
    signal: i32,
    info: Option<SignalInfo>,
) -> Result<(), Errno> {
    let (tasks, root) = (task.kernel().tasks(), task.kernel().tasks().root());
    let number = tasks.number_of(target, root);
    tasks.broadcast(|| {
        let members = tasks.process_group(root, number).ok_or(Errno::ESRCH)?;
        super::signal::signal_each(task, &members, |leader| match info {
            None => super::signal::kill_process(task, leader, signal),
            Some(info) => super::signal::queue_to_process(task, leader, signal, info),
        })
    })
}

/// What a descriptor stands for.
struct Named {
    task: Arc<Task>,
    /// This one thread, not its process.
    is_thread: bool,
    is_reaped: bool,
}

/// The process or thread of a descriptor that pidfd_open(2) or clone(2) has made.
///
/// # Errors
/// EBADF: it is none; ESRCH: it has been reaped.
pub(super) fn task_of(task: &CurrentTask, descriptor: Fd) -> Result<Arc<Task>, Errno> {
    let file = task.file(descriptor)?;
    let process = file.downcast::<ProcessFile>().ok_or(Errno::EBADF)?;
    if process.is_reaped() {
        return Err(Errno::ESRCH);
    }
    Ok(process.leader().unwrap_or_else(|| process.task().clone()))
}

/// What a process descriptor, or one of /proc/PID, stands for.
fn named_process(task: &CurrentTask, descriptor: Fd) -> Result<Named, Errno> {
    let file = task.file(descriptor)?;
    if let Some(process) = file.downcast::<ProcessFile>() {
        let task = process.leader().unwrap_or_else(|| process.task().clone());
        return Ok(Named { task, is_thread: process.is_of_thread(), is_reaped: process.is_reaped() });
    }
    let path = file.path().ok_or(Errno::EBADF)?;
    let number = process_of_directory(&**path.dentry.inode()).ok_or(Errno::EBADF)?;
    let namespace = task.thread_group().pid_namespace();
    let leader = task.kernel().tasks().task(namespace, Tid(number)).ok_or(Errno::ESRCH)?;
    Ok(Named { task: leader, is_thread: false, is_reaped: false })
}

fn pidfd_getfd(task: &mut CurrentTask, descriptor: Fd, target: Fd, flags: u32) -> Result<Fd, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let file = task.file(descriptor)?;
    let process = file.downcast::<ProcessFile>().ok_or(Errno::EBADF)?;
    let leader = process.leader().unwrap_or_else(|| process.task().clone());
    if leader.memory().is_none() {
        return Err(Errno::ESRCH);
    }
    check_access(task.task(), &leader)?;
    let taken = leader.descriptors().get(target)?;
    task.install_descriptor(taken, true)
}

/// `PIDFD_GET_INFO`, without its size.
const GET_INFO: u32 = 11;
/// `PIDFD_GET_*_NAMESPACE`.
const NAMESPACES: std::ops::RangeInclusive<u32> = 1..=10;

/// The request, of `PIDFS_IOCTL_MAGIC`, if `request` is one of a process descriptor.
fn request_of(request: u32) -> Option<(u32, usize)> {
    const MAGIC: u32 = 0xff;
    const SIZE_BITS: u32 = 14;
    let size = request >> 16 & ((1 << SIZE_BITS) - 1);
    (request >> 8 & 0xff == MAGIC).then_some((request & 0xff, usize_from(size)))
}

/// ioctl(2) on a process descriptor.
///
/// # Errors
/// ENOTTY, EINVAL, ESRCH, EACCES, EFAULT.
pub(super) fn ioctl(
    task: &CurrentTask,
    process: &ProcessFile,
    request: u32,
    argument: u64,
) -> Result<usize, Errno> {
    match request_of(request) {
        Some((GET_INFO, size)) => tell_info(task, process, UserPointer::new(argument), size),
        Some((which, 0)) if NAMESPACES.contains(&which) => {
            if argument != 0 {
                return Err(Errno::EINVAL);
            }
            open_namespace(task, process, which)
        }
        _ => Err(Errno::ENOTTY),
    }
}

/// PIDFD_GET_INFO: who the process is, as the caller numbers processes and users.
fn tell_info(
    task: &CurrentTask,
    process: &ProcessFile,
    place: UserPointer<PidfdInfo>,
    size: usize,
) -> Result<usize, Errno> {
    const PID: u64 = 1;
    const CREDENTIALS: u64 = 2;
    if size < size_of::<PidfdInfo>() {
        return Err(Errno::ENOTTY);
    }
    if place.is_null() {
        return Err(Errno::EINVAL);
    }
    place.read(task)?;
    if process.is_reaped() {
        return Err(Errno::ESRCH);
    }
    let (tasks, own) = (task.kernel().tasks(), task.thread_group().pid_namespace());
    let (target, group) = (process.task(), process.thread_group());
    let credentials = target.credentials();
    let users = &task.credentials().user_namespace;
    let number = tasks.number_of(target, own);
    if number == Tid(0) {
        return Err(Errno::ESRCH);
    }
    let info = PidfdInfo {
        mask: PID | CREDENTIALS,
        pid: number.0.cast_unsigned(),
        tgid: tasks.group_number(group, own).0.cast_unsigned(),
        ppid: tasks.parent_number_in(group, own).0.cast_unsigned(),
        ruid: users.from_kernel_uid(credentials.real_uid).0,
        rgid: users.from_kernel_gid(credentials.real_gid).0,
        euid: users.from_kernel_uid(credentials.effective_uid).0,
        egid: users.from_kernel_gid(credentials.effective_gid).0,
        suid: users.from_kernel_uid(credentials.saved_uid).0,
        sgid: users.from_kernel_gid(credentials.saved_gid).0,
        fsuid: users.from_kernel_uid(credentials.fs_uid).0,
        fsgid: users.from_kernel_gid(credentials.fs_gid).0,
        ..PidfdInfo::default()
    };
    place.write(task, &info).map(|()| 0)
}

/// PIDFD_GET_*_NAMESPACE: a descriptor of one of the process's namespaces.
fn open_namespace(task: &CurrentTask, process: &ProcessFile, which: u32) -> Result<usize, Errno> {
    let target = process.task();
    let children = || (!process.is_reaped() && target.memory().is_some()).then(|| target.namespaces());
    let namespace = match which {
        1 => target.namespace(NamespaceKind::Cgroup),
        2 => target.namespace(NamespaceKind::Ipc),
        3 => target.namespace(NamespaceKind::Mount),
        4 => target.namespace(NamespaceKind::Network),
        5 => target.namespace(NamespaceKind::Pid),
        6 => children().map(|all| all.pid_for_children as Arc<dyn Namespace>),
        7 => target.namespace(NamespaceKind::Time),
        8 => children().map(|all| all.time_for_children as Arc<dyn Namespace>),
        9 => target.namespace(NamespaceKind::User),
        _ => target.namespace(NamespaceKind::Uts),
    };
    let namespace = namespace.filter(|_| target.memory().is_some()).ok_or(Errno::ESRCH)?;
    check_access(task.task(), target).map_err(|_| Errno::EACCES)?;
    let path = nsfs::place_of(namespace);
    let viewer = Viewer::kernel(&task.credentials().user_namespace);
    let file = path.inode().clone().open(OpenFlags::empty(), &viewer)?;
    let fd = task.install_descriptor(FileDescription::new(file, Some(path), OpenFlags::empty()), true)?;
    fd.index().ok_or(Errno::EBADF)
}
