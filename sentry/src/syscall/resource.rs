//! Resource limits, usage and priorities.

use std::sync::Arc;
use std::time::Duration;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::limits::{Limit, Resource};
use crate::platform::VirtualAddress;
use crate::task::{CurrentTask, ResourceUsage, Task, ThreadGroup, Tid};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::getrlimit, getrlimit),
    (Sysno::setrlimit, setrlimit),
    (Sysno::prlimit64, prlimit64),
    (Sysno::getrusage, getrusage),
    (Sysno::getpriority, getpriority),
    (Sysno::setpriority, setpriority),
    (Sysno::ioprio_get, ioprio_get),
    (Sysno::ioprio_set, ioprio_set),
];

fn getrlimit(task: &mut CurrentTask, [resource, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let limit = task.thread_group().limits().get(Resource::new(resource as u32)?);
    task.memory().write_object(VirtualAddress(address), &[limit.soft, limit.hard])?;
    Ok(0)
}

fn setrlimit(task: &mut CurrentTask, [resource, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let resource = Resource::new(resource as u32)?;
    let [soft, hard] = task.memory().read_object(VirtualAddress(address))?;
    set_limit(task, &task.thread_group().clone(), resource, Limit { soft, hard })?;
    Ok(0)
}

fn prlimit64(task: &mut CurrentTask, [pid, resource, new, old, ..]: [u64; 6]) -> Result<usize, Errno> {
    let target = find_any(task, pid)?;
    let resource = Resource::new(resource as u32)?;
    if target.id() != task.task().id() {
        check_same_user(&task.credentials(), &target.credentials(), Capabilities::SYS_RESOURCE)?;
    }
    let group = target.thread_group();
    let current = group.limits().get(resource);
    if new != 0 {
        let [soft, hard] = task.memory().read_object(VirtualAddress(new))?;
        set_limit(task, group, resource, Limit { soft, hard })?;
    }
    if old != 0 {
        task.memory().write_object(VirtualAddress(old), &[current.soft, current.hard])?;
    }
    Ok(0)
}

fn set_limit(
    task: &CurrentTask,
    group: &Arc<ThreadGroup>,
    resource: Resource,
    limit: Limit,
) -> Result<(), Errno> {
    let may_raise = task.credentials().has(Capabilities::SYS_RESOURCE);
    /// Linux's `fs.nr_open`.
    const MAX_OPEN_FILES: u64 = 1 << 20;
    if resource == Resource::OPEN_FILES && limit.hard > MAX_OPEN_FILES {
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
pub(super) fn find(task: &CurrentTask, pid: u64) -> Result<Arc<Task>, Errno> {
    match pid as i32 {
        0 => Ok(task.task().clone()),
        pid if pid < 0 => Err(Errno::EINVAL),
        pid => {
            let namespace = task.thread_group().pid_namespace();
            task.kernel().tasks().task(namespace, Tid(pid)).ok_or(Errno::ESRCH)
        }
    }
}

/// The same for calls to which a number below 0 is nobody's, and no wrong one.
pub(super) fn find_any(task: &CurrentTask, pid: u64) -> Result<Arc<Task>, Errno> {
    if (pid as i32) < 0 { Err(Errno::ESRCH) } else { find(task, pid) }
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

fn getrusage(task: &mut CurrentTask, [who, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let usage = match who as i32 {
        RUSAGE_SELF => task.thread_group().usage(),
        uapi::RUSAGE_CHILDREN => task.kernel().tasks().children_usage(task.thread_group()),
        RUSAGE_THREAD => task.task().usage(),
        _ => return Err(Errno::EINVAL),
    };
    write_usage(task, address, usage)?;
    Ok(0)
}

const RUSAGE_SELF: i32 = uapi::RUSAGE_SELF as i32;
const RUSAGE_THREAD: i32 = uapi::RUSAGE_THREAD as i32;

/// Writes a `struct rusage`: two timevals and fourteen words.
pub(super) fn write_usage(task: &CurrentTask, address: u64, usage: ResourceUsage) -> Result<(), Errno> {
    let [user_s, user_us] = timeval(usage.user_time);
    let [system_s, system_us] = timeval(usage.system_time);
    let mut words = [0u64; 18];
    words[..5].copy_from_slice(&[user_s, user_us, system_s, system_us, usage.max_resident_kib]);
    words[8] = usage.minor_faults;
    words[16] = usage.voluntary_switches;
    task.memory().write_object(VirtualAddress(address), &words)
}

fn timeval(time: Duration) -> [u64; 2] {
    [time.as_secs(), time.subsec_micros().into()]
}

/// The tasks that a `which` and `who` of getpriority(2) select.
fn select(task: &CurrentTask, which: u64, who: u64) -> Result<Vec<Arc<Task>>, Errno> {
    let tasks = task.kernel().tasks();
    let namespace = task.thread_group().pid_namespace();
    let selected: Vec<Arc<Task>> = match which as u32 {
        uapi::PRIO_PROCESS => vec![find_any(task, who)?],
        uapi::PRIO_PGRP => {
            let number = match who as i32 {
                0 => tasks.process_group_and_session(task.thread_group(), namespace).0,
                number => Tid(number),
            };
            let groups = tasks.process_group(namespace, number).unwrap_or_default();
            groups.iter().flat_map(|group| group.live_tasks()).collect()
        }
        uapi::PRIO_USER => {
            let own = task.credentials();
            let uid = match who as u32 {
                0 => own.real_uid,
                uid => own.user_namespace.to_kernel_uid(uid).ok_or(Errno::ESRCH)?,
            };
            let groups = tasks.thread_groups(namespace);
            let all = groups.iter().flat_map(|(_, group)| group.live_tasks());
            all.filter(|task| task.credentials().real_uid == uid).collect()
        }
        _ => return Err(Errno::EINVAL),
    };
    if selected.is_empty() { Err(Errno::ESRCH) } else { Ok(selected) }
}

fn getpriority(task: &mut CurrentTask, [which, who, ..]: [u64; 6]) -> Result<usize, Errno> {
    let lowest = select(task, which, who)?.iter().map(|task| task.niceness()).min().ok_or(Errno::ESRCH)?;
    Ok((20 - lowest) as usize)
}

fn setpriority(task: &mut CurrentTask, [which, who, niceness, ..]: [u64; 6]) -> Result<usize, Errno> {
    let niceness = (niceness as i32).clamp(-20, 19);
    let credentials = task.credentials();
    for target in select(task, which, who)? {
        let owner = target.credentials();
        let is_owner = [owner.real_uid, owner.effective_uid].contains(&credentials.effective_uid);
        if !is_owner && !credentials.has_in(&owner.user_namespace, Capabilities::SYS_NICE) {
            return Err(Errno::EPERM);
        }
        let floor = 20 - target.thread_group().soft_limit(Resource::NICE).min(40) as i32;
        if niceness < target.niceness() && niceness < floor && !credentials.has(Capabilities::SYS_NICE) {
            return Err(Errno::EACCES);
        }
        target.set_niceness(niceness);
    }
    Ok(0)
}

/// Every task has the best-effort class that follows from its niceness (`man 2 ioprio_set`).
fn ioprio_get(task: &mut CurrentTask, [_, who, ..]: [u64; 6]) -> Result<usize, Errno> {
    let niceness = find(task, who)?.niceness();
    const BEST_EFFORT: usize = 2 << 13;
    Ok(BEST_EFFORT | ((niceness + 20) / 5) as usize)
}

fn ioprio_set(task: &mut CurrentTask, [_, who, priority, ..]: [u64; 6]) -> Result<usize, Errno> {
    find(task, who)?;
    match priority >> 13 {
        0 if priority & 0x1fff == 0 => Ok(0),
        1 if !task.credentials().has(Capabilities::SYS_ADMIN) => Err(Errno::EPERM),
        1 | 2 if priority & 0x1fff < 8 => Ok(0),
        3 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
