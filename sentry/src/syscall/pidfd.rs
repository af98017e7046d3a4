//! Process descriptors: pidfd_open, pidfd_send_signal, pidfd_getfd.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::fs::proc::process_of_directory;
use crate::fs::{Caller, FileDescription, OpenFlags};
use crate::signal::Signal;
use crate::task::{CurrentTask, ProcessFile, Task, ThreadGroup, Tid, check_access};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::pidfd_open, pidfd_open),
    (Sysno::pidfd_send_signal, pidfd_send_signal),
    (Sysno::pidfd_getfd, pidfd_getfd),
];

/// `PIDFD_*` of pidfd_open(2).
const PIDFD_NONBLOCK: u32 = uapi::O_NONBLOCK;
const PIDFD_THREAD: u32 = uapi::O_EXCL;
/// `PIDFD_SIGNAL_*` of pidfd_send_signal(2).
const SIGNAL_THREAD: u32 = 1 << 0;
const SIGNAL_THREAD_GROUP: u32 = 1 << 1;
const SIGNAL_PROCESS_GROUP: u32 = 1 << 2;

fn pidfd_open(task: &mut CurrentTask, [pid, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    let (pid, flags) = (pid as i32, flags as u32);
    if pid <= 0 || flags & !(PIDFD_NONBLOCK | PIDFD_THREAD) != 0 {
        return Err(Errno::EINVAL);
    }
    let namespace = task.thread_group().pid_namespace();
    let target = task.kernel().tasks().task(namespace, Tid(pid)).ok_or(Errno::ESRCH)?;
    let status = OpenFlags::from_bits_truncate(flags & PIDFD_NONBLOCK);
    if flags & PIDFD_THREAD != 0 {
        return install(task, ProcessFile::of_thread(&target), status);
    }
    if task.kernel().tasks().thread_group(namespace, Tid(pid)).is_none() {
        // A thread that leads no group.
        return Err(Errno::ENOENT);
    }
    install(task, ProcessFile::of_process(&target), status)
}

/// Makes a descriptor for a process or a thread.
pub(super) fn install(task: &CurrentTask, file: Arc<ProcessFile>, status: OpenFlags) -> Result<usize, Errno> {
    let description = FileDescription::new(file, None, OpenFlags::RDWR | status);
    let descriptor = task.install_descriptor(description, true)?;
    usize::try_from(descriptor).map_err(|_| Errno::EMFILE)
}

fn pidfd_send_signal(
    task: &mut CurrentTask,
    [descriptor, signal, info, flags, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let scope = flags as u32;
    if ![0, SIGNAL_THREAD, SIGNAL_THREAD_GROUP, SIGNAL_PROCESS_GROUP].contains(&scope) {
        return Err(Errno::EINVAL);
    }
    let signal = Signal::new_or_probe(signal as i32)?;
    let (leader, is_of_thread) = named_process(task, descriptor as i32)?;
    let group = leader.thread_group();
    if group.exiting().is_some() && group.live_tasks().is_empty() {
        return Err(Errno::ESRCH);
    }
    if scope == SIGNAL_PROCESS_GROUP {
        return signal_process_group(task, group, signal, info);
    }
    if scope == SIGNAL_THREAD || scope == 0 && is_of_thread {
        return signal_thread(task, &leader, signal, info);
    }
    if info == 0 {
        super::signal::kill_group(task, group, signal)?;
        return Ok(0);
    }
    let Some(signal) = signal else { return Ok(0) };
    let (_, info) = super::signal::read_info(task, i32::from(signal.number()), info)?;
    if info.is_kernel_only() && !Arc::ptr_eq(group, task.thread_group()) {
        return Err(Errno::EPERM);
    }
    super::signal::check_permission(task, &leader, Some(signal))?;
    super::signal::queue_to_group(task, group, info)?;
    Ok(0)
}

/// Sends to one thread.
fn signal_thread(
    task: &CurrentTask,
    target: &Arc<Task>,
    signal: Option<Signal>,
    info: u64,
) -> Result<usize, Errno> {
    if target.memory().is_none() {
        return Err(Errno::ESRCH);
    }
    if info == 0 {
        return super::signal::kill_task(task, target, signal);
    }
    let number = signal.map_or(0, |signal| signal.number().into());
    let (signal, info) = super::signal::read_info(task, number, info)?;
    super::signal::queue_to_task(task, target, signal, info)
}

/// Sends to the process group that `group` is in.
fn signal_process_group(
    task: &CurrentTask,
    group: &Arc<ThreadGroup>,
    signal: Option<Signal>,
    info: u64,
) -> Result<usize, Errno> {
    if info != 0 {
        // As on Linux: what a siginfo_t says of its sender would not be true of all.
        return Err(Errno::EPERM);
    }
    let (tasks, root) = (task.kernel().tasks(), task.kernel().tasks().root());
    let (number, _) = tasks.process_group_and_session(group, root);
    let results: Vec<Result<(), Errno>> = tasks.broadcast(|| {
        let members = tasks.process_group(root, number).unwrap_or_default();
        members.iter().map(|member| super::signal::kill_group(task, member, signal)).collect()
    });
    // One that got it will do.
    results.iter().copied().find(Result::is_ok).or(results.first().copied()).unwrap_or(Err(Errno::ESRCH))?;
    Ok(0)
}

/// The task that a descriptor stands for, and whether for it alone: a process descriptor, or /proc/PID.
fn named_process(task: &CurrentTask, descriptor: i32) -> Result<(Arc<Task>, bool), Errno> {
    let file = task.file(descriptor)?;
    if let Some(process) = file.downcast::<ProcessFile>() {
        return Ok((process.task().clone(), process.is_of_thread()));
    }
    let path = file.path().ok_or(Errno::EBADF)?;
    let number = process_of_directory(&**path.dentry.inode()).ok_or(Errno::EBADF)?;
    let namespace = task.thread_group().pid_namespace();
    let leader = task.kernel().tasks().task(namespace, Tid(number)).ok_or(Errno::ESRCH)?;
    Ok((leader, false))
}

fn pidfd_getfd(task: &mut CurrentTask, [descriptor, target, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let file = task.file(descriptor as i32)?;
    let process = file.downcast::<ProcessFile>().ok_or(Errno::EBADF)?;
    let leader = process.task();
    if leader.memory().is_none() {
        return Err(Errno::ESRCH);
    }
    check_access(task.task(), leader)?;
    let taken = leader.descriptors().get(target as i32)?;
    let descriptor = task.install_descriptor(taken, true)?;
    usize::try_from(descriptor).map_err(|_| Errno::EMFILE)
}
