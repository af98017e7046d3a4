//! Process descriptors: pidfd_open, pidfd_send_signal, pidfd_getfd.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::fs::proc::process_of_directory;
use crate::fs::{Caller, FileDescription, OpenFlags};
use crate::signal::Signal;
use crate::task::{CurrentTask, ProcessFile, Task, Tid, check_access};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::pidfd_open, pidfd_open),
    (Sysno::pidfd_send_signal, pidfd_send_signal),
    (Sysno::pidfd_getfd, pidfd_getfd),
];

fn pidfd_open(task: &mut CurrentTask, [pid, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    /// PIDFD_NONBLOCK.
    const NONBLOCK: u32 = uapi::O_NONBLOCK;
    let (pid, flags) = (pid as i32, flags as u32);
    if pid <= 0 || flags & !NONBLOCK != 0 {
        return Err(Errno::EINVAL);
    }
    let namespace = task.thread_group().pid_namespace();
    let target = task.kernel().tasks().task(namespace, Tid(pid)).ok_or(Errno::ESRCH)?;
    if task.kernel().tasks().thread_group(namespace, Tid(pid)).is_none() {
        // A thread that leads no group.
        return Err(Errno::EINVAL);
    }
    install(task, &target, OpenFlags::from_bits_truncate(flags & NONBLOCK))
}

/// Makes a descriptor for the process led by `leader`.
pub(super) fn install(task: &CurrentTask, leader: &Arc<Task>, status: OpenFlags) -> Result<usize, Errno> {
    let description = FileDescription::new(ProcessFile::new(leader), None, OpenFlags::RDWR | status);
    let descriptor = task.install_descriptor(description, true)?;
    usize::try_from(descriptor).map_err(|_| Errno::EMFILE)
}

fn pidfd_send_signal(
    task: &mut CurrentTask,
    [descriptor, signal, info, flags, ..]: [u64; 6],
) -> Result<usize, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let signal = Signal::new_or_probe(signal as i32)?;
    let leader = named_process(task, descriptor as i32)?;
    let group = leader.thread_group();
    if group.exiting().is_some() && group.live_tasks().is_empty() {
        return Err(Errno::ESRCH);
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

/// The leader of the process that a descriptor stands for: a process descriptor, or /proc/PID.
fn named_process(task: &CurrentTask, descriptor: i32) -> Result<Arc<Task>, Errno> {
    let file = task.file(descriptor)?;
    if let Some(process) = file.downcast::<ProcessFile>() {
        return Ok(process.leader().clone());
    }
    let path = file.path().ok_or(Errno::EBADF)?;
    let number = process_of_directory(&**path.dentry.inode()).ok_or(Errno::EBADF)?;
    task.kernel().tasks().task(task.thread_group().pid_namespace(), Tid(number)).ok_or(Errno::ESRCH)
}

fn pidfd_getfd(task: &mut CurrentTask, [descriptor, target, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let file = task.file(descriptor as i32)?;
    let process = file.downcast::<ProcessFile>().ok_or(Errno::EBADF)?;
    let leader = process.leader();
    if leader.memory().is_none() {
        return Err(Errno::ESRCH);
    }
    check_access(task.task(), leader)?;
    let taken = leader.descriptors().get(target as i32)?;
    let descriptor = task.install_descriptor(taken, true)?;
    usize::try_from(descriptor).map_err(|_| Errno::EMFILE)
}
