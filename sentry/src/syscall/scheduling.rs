//! Scheduling: policies, which are kept for who asks, and the CPUs that a task may run on (`man 7 sched`).

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::resource::{find, find_any};
use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::limits::Resource;
use crate::platform::VirtualAddress;
use crate::task::{CpuSet, CurrentTask, Scheduling, Task};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::sched_yield, sched_yield),
    (Sysno::sched_getaffinity, sched_getaffinity),
    (Sysno::sched_setaffinity, sched_setaffinity),
    (Sysno::sched_getscheduler, sched_getscheduler),
    (Sysno::sched_setscheduler, sched_setscheduler),
    (Sysno::sched_getattr, sched_getattr),
    (Sysno::sched_setattr, sched_setattr),
    (Sysno::sched_getparam, sched_getparam),
    (Sysno::sched_setparam, sched_setparam),
    (Sysno::sched_get_priority_max, sched_get_priority_range::<99>),
    (Sysno::sched_get_priority_min, sched_get_priority_range::<1>),
    (Sysno::sched_rr_get_interval, sched_rr_get_interval),
];

/// `sizeof(struct sched_attr)`, now and in its first version.
const ATTRIBUTES_BYTES: usize = 56;
const FIRST_ATTRIBUTES_BYTES: usize = 48;
/// More is no size of any version.
const MOST_ATTRIBUTES_BYTES: usize = 4096;
/// `SCHED_FLAG_*`: what becomes of children, and what stays as it is.
const RESET_ON_FORK: u64 = 1 << 0;
const KEEP_POLICY: u64 = 1 << 3;
const KEEP_PARAMETERS: u64 = 1 << 4;
/// Bounds on the clock rate, which this scheduler does not know.
const UTILIZATION: u64 = 3 << 5;
const ALL_FLAGS: u64 = (1 << 7) - 1;

fn sched_yield(_: &mut CurrentTask, _: [u64; 6]) -> Result<usize, Errno> {
    std::thread::yield_now();
    Ok(0)
}

fn sched_getaffinity(task: &mut CurrentTask, [pid, len, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let cpus = find_any(task, pid)?.allowed_cpus();
    let needed = task.kernel().cpu_count().div_ceil(8) as u64;
    if len < needed || len % 8 != 0 {
        return Err(Errno::EINVAL);
    }
    task.memory().write_object(VirtualAddress(address), &cpus.0)?;
    Ok(size_of::<u64>())
}

fn sched_setaffinity(task: &mut CurrentTask, [pid, len, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let target = find_any(task, pid)?;
    let mut bytes = [0; 8];
    let len = len.min(8) as usize;
    task.memory().read_bytes(VirtualAddress(address), &mut bytes[..len])?;
    let (credentials, owner) = (task.credentials(), target.credentials());
    if !is_owner(&credentials, &owner) && !credentials.has_in(&owner.user_namespace, Capabilities::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    target.set_allowed_cpus(CpuSet(u64::from_le_bytes(bytes)))?;
    Ok(0)
}

fn is_owner(credentials: &Credentials, owner: &Credentials) -> bool {
    [owner.real_uid, owner.effective_uid].contains(&credentials.effective_uid)
}

fn sched_getscheduler(task: &mut CurrentTask, [pid, ..]: [u64; 6]) -> Result<usize, Errno> {
    let Scheduling { policy, resets_on_fork } = find(task, pid)?.scheduling();
    let flag = if resets_on_fork { uapi::SCHED_RESET_ON_FORK } else { 0 };
    Ok((policy | flag) as usize)
}

fn sched_setscheduler(
    task: &mut CurrentTask,
    [pid, policy, parameter, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let policy = policy as u32;
    if policy.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    let (target, priority) = (find(task, pid)?, read_priority(task, parameter)?);
    let resets_on_fork = policy & uapi::SCHED_RESET_ON_FORK != 0;
    let scheduling = Scheduling { policy: policy & !uapi::SCHED_RESET_ON_FORK, resets_on_fork };
    change(task, &target, Change { scheduling, priority, niceness: Some(target.niceness()) })
}

fn sched_setparam(task: &mut CurrentTask, [pid, parameter, ..]: [u64; 6]) -> Result<usize, Errno> {
    let (target, priority) = (find(task, pid)?, read_priority(task, parameter)?);
    change(
        task,
        &target,
        Change { scheduling: target.scheduling(), priority, niceness: Some(target.niceness()) },
    )
}

fn read_priority(task: &CurrentTask, parameter: u64) -> Result<u32, Errno> {
    if parameter == 0 {
        return Err(Errno::EINVAL);
    }
    task.memory().read_object(VirtualAddress(parameter))
}

fn sched_getparam(task: &mut CurrentTask, [pid, parameter, ..]: [u64; 6]) -> Result<usize, Errno> {
    find(task, pid)?;
    if parameter == 0 {
        return Err(Errno::EINVAL);
    }
    task.memory().write_object(VirtualAddress(parameter), &0i32)?;
    Ok(0)
}

/// `struct sched_attr`, as far as `size` has room for it, and zeroes after it.
fn sched_getattr(task: &mut CurrentTask, [pid, address, size, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    let size = size as u32 as usize;
    if flags as u32 != 0 || address == 0 || !(FIRST_ATTRIBUTES_BYTES..=MOST_ATTRIBUTES_BYTES).contains(&size)
    {
        return Err(Errno::EINVAL);
    }
    let target = find(task, pid)?;
    let Scheduling { policy, resets_on_fork } = target.scheduling();
    let mut attributes = [0u32; MOST_ATTRIBUTES_BYTES / 4];
    attributes[..5].copy_from_slice(&[
        size.min(ATTRIBUTES_BYTES) as u32,
        policy,
        u32::from(resets_on_fork),
        0,
        target.niceness().cast_unsigned(),
    ]);
    let bytes = attributes.map(u32::to_ne_bytes);
    let bytes = bytes.as_flattened().get(..size).unwrap_or_default();
    task.memory().write_bytes(VirtualAddress(address), bytes)?;
    Ok(0)
}

fn sched_setattr(task: &mut CurrentTask, [pid, address, flags, ..]: [u64; 6]) -> Result<usize, Errno> {
    if address == 0 || flags as u32 != 0 || (pid as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let asked = read_attributes(task, VirtualAddress(address))?;
    let target = find(task, pid)?;
    if asked.flags & !ALL_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let old = target.scheduling();
    let scheduling = match asked.flags & KEEP_POLICY {
        0 => Scheduling { policy: asked.policy, resets_on_fork: asked.flags & RESET_ON_FORK != 0 },
        _ => old,
    };
    let is_kept = asked.flags & KEEP_PARAMETERS != 0;
    let (niceness, priority) = if is_kept { (None, 0) } else { (Some(asked.niceness), asked.priority) };
    if asked.flags & UTILIZATION != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    change(task, &target, Change { scheduling, priority, niceness })
}

/// What is used of a `struct sched_attr`.
struct Attributes {
    policy: u32,
    flags: u64,
    niceness: i32,
    priority: u32,
}

/// Reads a `struct sched_attr` of any version.
///
/// # Errors
/// EFAULT; EINVAL; E2BIG if it is too short or says what is not known here, after telling the size that is.
fn read_attributes(task: &CurrentTask, address: VirtualAddress) -> Result<Attributes, Errno> {
    let size: u32 = task.memory().read_object(address)?;
    let size = if size == 0 { FIRST_ATTRIBUTES_BYTES } else { size as usize };
    let is_known = (FIRST_ATTRIBUTES_BYTES..=MOST_ATTRIBUTES_BYTES).contains(&size);
    let mut bytes = [0; MOST_ATTRIBUTES_BYTES];
    if is_known {
        task.memory().read_bytes(address, &mut bytes[..size])?;
    }
    let (words, rest) = bytes.split_at(ATTRIBUTES_BYTES);
    if !is_known || rest.iter().any(|byte| *byte != 0) {
        task.memory().write_object(address, &(ATTRIBUTES_BYTES as u32))?;
        return Err(Errno::E2BIG);
    }
    let word = |index: usize| {
        words.get(index * 4..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word))
    };
    let (policy, flags) = (word(1), u64::from(word(2)) | u64::from(word(3)) << 32);
    let lacks_bounds = flags & UTILIZATION != 0 && size < ATTRIBUTES_BYTES;
    if policy.cast_signed() < 0 || lacks_bounds {
        return Err(Errno::EINVAL);
    }
    Ok(Attributes { policy, flags, niceness: word(4).cast_signed().clamp(-20, 19), priority: word(5) })
}

/// What a task's scheduling shall be.
struct Change {
    scheduling: Scheduling,
    priority: u32,
    /// `None` if policy and niceness stay as they are, though both are checked.
    niceness: Option<i32>,
}

/// Changes how `target` is scheduled.
///
/// # Errors
/// EINVAL for a policy or a priority that there is not; EPERM.
fn change(task: &CurrentTask, target: &Task, change: Change) -> Result<usize, Errno> {
    let Change { scheduling, priority, niceness } = change;
    match scheduling.policy {
        uapi::SCHED_NORMAL | uapi::SCHED_BATCH | uapi::SCHED_IDLE if priority == 0 => {}
        // Real-time policies would take the host's processors from everybody else.
        uapi::SCHED_FIFO | uapi::SCHED_RR if (1..=99).contains(&priority) => return Err(Errno::EPERM),
        uapi::SCHED_DEADLINE if priority == 0 => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    }
    let has_niceness = scheduling.policy != uapi::SCHED_IDLE;
    let old = target.scheduling();
    let lowest = 20 - target.thread_group().soft_limit(Resource::NICE).min(40) as i32;
    let raises = has_niceness && niceness.is_some_and(|niceness| niceness < target.niceness().min(lowest));
    let leaves_idle = old.policy == uapi::SCHED_IDLE && has_niceness && target.niceness() < lowest;
    let frees_children = old.resets_on_fork && !scheduling.resets_on_fork;
    let credentials = task.credentials();
    let is_allowed =
        is_owner(&credentials, &target.credentials()) && !raises && !leaves_idle && !frees_children;
    if !is_allowed && !credentials.has(Capabilities::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    let Some(niceness) = niceness else {
        target.set_scheduling(Scheduling { policy: old.policy, ..scheduling });
        return Ok(0);
    };
    target.set_scheduling(scheduling);
    if has_niceness {
        target.set_niceness(niceness);
    }
    Ok(0)
}

fn sched_get_priority_range<const REAL_TIME: usize>(
    _: &mut CurrentTask,
    [policy, ..]: [u64; 6],
) -> Result<usize, Errno> {
    match policy as u32 {
        uapi::SCHED_FIFO | uapi::SCHED_RR => Ok(REAL_TIME),
        uapi::SCHED_NORMAL | uapi::SCHED_BATCH | uapi::SCHED_IDLE | uapi::SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn sched_rr_get_interval(task: &mut CurrentTask, [pid, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    find(task, pid)?;
    /// What Linux tells for SCHED_OTHER on an idle system.
    const SLICE_NS: u64 = 4_000_000;
    task.memory().write_object(VirtualAddress(address), &[0, SLICE_NS])?;
    Ok(0)
}
