//! Resource limits, usage and priorities.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use crate::Errno;
use crate::abi::Rusage;
use crate::cred::{Capabilities, Credentials, Uid};
use crate::limits::{Limit, Resource};
use crate::settings::KernelNumber;
use crate::task::{CurrentTask, IoPriority, ResourceUsage, Task, ThreadGroup, Tid};
use crate::time::timeval;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![getrlimit, setrlimit, prlimit64, getrusage, getpriority, setpriority, ioprio_get, ioprio_set,];

fn getrlimit(
    task: &mut CurrentTask,
    resource: Resource,
    address: UserPointer<[u64; 2]>,
) -> Result<(), Errno> {
    let limit = task.thread_group().limits().get(resource);
    address.write(task, &[limit.soft, limit.hard])
}

fn setrlimit(
    task: &mut CurrentTask,
    resource: Resource,
    address: UserPointer<[u64; 2]>,
) -> Result<(), Errno> {
    let [soft, hard] = address.read(task)?;
    set_limit(task, &task.thread_group().clone(), resource, Limit { soft, hard })
}

fn prlimit64(
    task: &mut CurrentTask,
    pid: Tid,
    resource: u32,
    new: UserPointer<[u64; 2]>,
    old: UserPointer<[u64; 2]>,
) -> Result<(), Errno> {
    let new = new.read_unless_null(task)?;
    let target = find_any(task, pid)?;
    if target.id() != task.task().id() {
        check_same_user(&task.credentials(), &target.credentials(), Capabilities::SYS_RESOURCE)?;
    }
    let resource = Resource::new(resource)?;
    let group = target.thread_group();
    let current = group.limits().get(resource);
    if let Some([soft, hard]) = new {
        set_limit(task, group, resource, Limit { soft, hard })?;
    }
    old.write_unless_null(task, &[current.soft, current.hard])
}

fn set_limit(
    task: &CurrentTask,
    group: &Arc<ThreadGroup>,
    resource: Resource,
    limit: Limit,
) -> Result<(), Errno> {
    let may_raise = task.credentials().has(Capabilities::SYS_RESOURCE);
    let most = task.kernel().settings().bound(KernelNumber::MaxDescriptors);
    if resource == Resource::OPEN_FILES && limit.hard > most as u64 {
        return Err(Errno::EPERM);
    }
    group.with_limits(|limits| limits.set(resource, limit, may_raise))?;
    if resource == Resource::CPU {
        group.enforce_cpu_limit(task.kernel().timers())?;
    }
    let limits = group.memory_limits();
    for member in group.live_tasks() {
        if let Some(memory) = member.memory() {
            memory.set_limits(limits);
        }
    }
    Ok(())
}

/// The task that the caller calls `pid`; 0 is the caller.
pub(super) fn find(task: &CurrentTask, pid: Tid) -> Result<Arc<Task>, Errno> {
    match pid.0 {
        0 => Ok(task.task().clone()),
        ..0 => Err(Errno::EINVAL),
        _ => {
            let namespace = task.thread_group().pid_namespace();
            task.kernel().tasks().task(namespace, pid).ok_or(Errno::ESRCH)
        }
    }
}

/// The same for calls to which a number below 0 is nobody's, and no wrong one.
pub(super) fn find_any(task: &CurrentTask, pid: Tid) -> Result<Arc<Task>, Errno> {
    if pid.0 < 0 { Err(Errno::ESRCH) } else { find(task, pid) }
}

fn check_same_user(caller: &Credentials, target: &Credentials, exempt: Capabilities) -> Result<(), Errno> {
    let is_same = caller.real_uid == target.real_uid
        && caller.real_uid == target.effective_uid
        && caller.real_uid == target.saved_uid
        && caller.real_gid == target.real_gid
        && caller.real_gid == target.effective_gid
        && caller.real_gid == target.saved_gid;
    if is_same || caller.has_in(&target.user_namespace, exempt) { Ok(()) } else { Err(Errno::EPERM) }
}

fn getrusage(task: &mut CurrentTask, who: i32, address: UserPointer<Rusage>) -> Result<(), Errno> {
    let usage = match who {
        RUSAGE_SELF => task.thread_group().usage(),
        uapi::RUSAGE_CHILDREN => task.kernel().tasks().children_usage(task.thread_group()),
        RUSAGE_THREAD => task.task().usage(),
        _ => return Err(Errno::EINVAL),
    };
    address.write(task, &rusage(usage))
}

const RUSAGE_SELF: i32 = uapi::RUSAGE_SELF.cast_signed();
const RUSAGE_THREAD: i32 = uapi::RUSAGE_THREAD.cast_signed();

/// What has been used, as user code sees it.
pub(super) fn rusage(usage: ResourceUsage) -> Rusage {
    Rusage {
        ru_utime: timeval(usage.user_time),
        ru_stime: timeval(usage.system_time),
        ru_maxrss: usage.max_resident_kib,
        ru_minflt: usage.minor_faults,
        ru_nvcsw: usage.voluntary_switches,
        ..Rusage::default()
    }
}

/// The tasks that a `which` and `who` of getpriority(2) select.
fn select(task: &CurrentTask, which: u32, who: i32) -> Result<Vec<Arc<Task>>, Errno> {
    let tasks = task.kernel().tasks();
    let namespace = task.thread_group().pid_namespace();
    let selected: Vec<Arc<Task>> = match which {
        uapi::PRIO_PROCESS => vec![find_any(task, Tid(who))?],
        uapi::PRIO_PGRP => {
            let number = match who {
                0 => tasks.process_group_and_session(task.thread_group(), namespace).0,
                number => Tid(number),
            };
            let groups = tasks.process_group(namespace, number).unwrap_or_default();
            groups.iter().flat_map(|group| group.live_tasks()).collect()
        }
        uapi::PRIO_USER => {
            let own = task.credentials();
            let uid = match who {
                0 => own.real_uid,
                uid => own.user_namespace.to_kernel_uid(Uid(uid.cast_unsigned())).ok_or(Errno::ESRCH)?,
            };
            let groups = tasks.thread_groups(namespace);
            let all = groups.iter().flat_map(|(_, group)| group.live_tasks());
            all.filter(|task| task.credentials().real_uid == uid).collect()
        }
        _ => return Err(Errno::EINVAL),
    };
    if selected.is_empty() { Err(Errno::ESRCH) } else { Ok(selected) }
}

fn getpriority(task: &mut CurrentTask, which: u32, who: i32) -> Result<i32, Errno> {
    let lowest = select(task, which, who)?.iter().map(|task| task.niceness()).min().ok_or(Errno::ESRCH)?;
    // As the C library wants it: a positive number is no error.
    Ok(20 - lowest)
}

/// The least niceness that RLIMIT_NICE allows.
pub(super) fn lowest_niceness(group: &ThreadGroup) -> i32 {
    20 - i32::try_from(group.soft_limit(Resource::NICE)).unwrap_or(i32::MAX).min(40)
}

fn setpriority(task: &mut CurrentTask, which: u32, who: i32, niceness: i32) -> Result<(), Errno> {
    let niceness = niceness.clamp(-20, 19);
    let credentials = task.credentials();
    for target in select(task, which, who)? {
        let owner = target.credentials();
        let is_owner = [owner.real_uid, owner.effective_uid].contains(&credentials.effective_uid);
        if !is_owner && !credentials.has_in(&owner.user_namespace, Capabilities::SYS_NICE) {
            return Err(Errno::EPERM);
        }
        let floor = lowest_niceness(target.thread_group());
        if niceness < target.niceness() && niceness < floor && !credentials.has(Capabilities::SYS_NICE) {
            return Err(Errno::EACCES);
        }
        target.set_niceness(niceness);
    }
    Ok(())
}

/// The tasks that a `which` and `who` of ioprio_get(2) select: its numbers for `which` begin one higher.
fn select_for_io(task: &CurrentTask, which: u32, who: i32) -> Result<Vec<Arc<Task>>, Errno> {
    select(task, which.checked_sub(1).ok_or(Errno::EINVAL)?, who)
}

/// Of one task what was set, of several the best that counts.
fn ioprio_get(task: &mut CurrentTask, which: u32, who: i32) -> Result<u16, Errno> {
    let selected = select_for_io(task, which, who)?;
    let priority = match &selected[..] {
        [only] if which == IOPRIO_WHO_PROCESS => Some(only.io_priority()),
        several => several.iter().map(|task| task.effective_io_priority()).min(),
    };
    priority.map(IoPriority::bits).ok_or(Errno::ESRCH)
}

const IOPRIO_WHO_PROCESS: u32 = 1;

fn ioprio_set(task: &mut CurrentTask, which: u32, who: i32, priority: u32) -> Result<(), Errno> {
    let credentials = task.credentials();
    let is_privileged = [Capabilities::SYS_ADMIN, Capabilities::SYS_NICE].map(|right| credentials.has(right));
    let priority = IoPriority::new(priority, is_privileged.contains(&true))?;
    for target in select_for_io(task, which, who)? {
        let owner = target.credentials().real_uid;
        let is_owner = [credentials.real_uid, credentials.effective_uid].contains(&owner);
        if !is_owner && !credentials.has(Capabilities::SYS_NICE) {
            return Err(Errno::EPERM);
        }
        target.set_io_priority(priority);
    }
    Ok(())
}
