//! Scheduling: policies, which are kept for who asks, and the CPUs that a task may run on (`man 7 sched`).

use linux_raw_sys::general as uapi;
use syscalls::Sysno;
use zerocopy::{FromBytes, IntoBytes};

use super::Handler;
use super::arguments::{UserPointer, handlers};
use super::resource::{find, find_any, lowest_niceness};
use crate::Errno;
use crate::abi::SchedAttr;
use crate::cred::{Capabilities, Credentials};
use crate::limits::Resource;
use crate::settings::KernelNumber;
use crate::task::{CpuSet, CurrentTask, DeadlineParameters, Scheduling, Task, Tid};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    sched_yield,
    sched_getaffinity,
    sched_setaffinity,
    sched_getscheduler,
    sched_setscheduler,
    sched_getattr,
    sched_setattr,
    sched_getparam,
    sched_setparam,
    sched_get_priority_max,
    sched_get_priority_min,
    sched_rr_get_interval,
];

/// `sizeof(struct sched_attr)`, now and in its first version.
const ATTRIBUTES_BYTES: usize = size_of::<SchedAttr>();
const ATTRIBUTES_SIZE: u32 = ATTRIBUTES_BYTES as u32;
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
/// Those that are of deadlines: SCHED_FLAG_RECLAIM and SCHED_FLAG_DL_OVERRUN.
const DEADLINE_FLAGS: u64 = 3 << 1;
/// The highest real-time priority.
const MAX_PRIORITY: u32 = 99;

fn sched_yield(_: &mut CurrentTask) -> Result<(), Errno> {
    std::thread::yield_now();
    Ok(())
}

fn sched_getaffinity(
    task: &mut CurrentTask,
    pid: Tid,
    len: u32,
    address: UserPointer<CpuSet>,
) -> Result<usize, Errno> {
    // Linux counts the bits in 32 bits.
    let has_room = usize::try_from(len.wrapping_mul(8)).is_ok_and(|bits| bits >= task.kernel().cpu_count());
    if !has_room || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let cpus = find_any(task, pid)?.allowed_cpus();
    address.write(task, &cpus)?;
    Ok(size_of::<CpuSet>())
}

fn sched_setaffinity(
    task: &mut CurrentTask,
    pid: Tid,
    len: u32,
    address: UserPointer<CpuSet>,
) -> Result<(), Errno> {
    let target = find_any(task, pid)?;
    let mut cpus = CpuSet(0);
    let place = cpus.as_mut_bytes();
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(place.len());
    task.memory().read_bytes(address.address(), &mut place[..len])?;
    let (credentials, owner) = (task.credentials(), target.credentials());
    if !is_owner(&credentials, &owner) && !credentials.has_in(&owner.user_namespace, Capabilities::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    target.set_allowed_cpus(cpus)
}

fn is_owner(credentials: &Credentials, owner: &Credentials) -> bool {
    [owner.real_uid, owner.effective_uid].contains(&credentials.effective_uid)
}

fn sched_getscheduler(task: &mut CurrentTask, pid: Tid) -> Result<u32, Errno> {
    let Scheduling { policy, resets_on_fork, .. } = find(task, pid)?.scheduling();
    let flag = if resets_on_fork { uapi::SCHED_RESET_ON_FORK } else { 0 };
    Ok(policy | flag)
}

fn sched_setscheduler(
    task: &mut CurrentTask,
    pid: Tid,
    policy: i32,
    parameter: UserPointer<u32>,
) -> Result<(), Errno> {
    let policy = u32::try_from(policy).map_err(|_| Errno::EINVAL)?;
    let (target, priority) = (find(task, pid)?, read_priority(task, parameter)?);
    let resets_on_fork = policy & uapi::SCHED_RESET_ON_FORK != 0;
    let policy = policy & !uapi::SCHED_RESET_ON_FORK;
    let scheduling = Scheduling { policy, priority, resets_on_fork, ..Scheduling::default() };
    change(task, &target, Change { scheduling, niceness: Some(target.niceness()) })
}

fn sched_setparam(task: &mut CurrentTask, pid: Tid, parameter: UserPointer<u32>) -> Result<(), Errno> {
    let (target, priority) = (find(task, pid)?, read_priority(task, parameter)?);
    let Scheduling { policy, resets_on_fork, .. } = target.scheduling();
    let scheduling = Scheduling { policy, priority, resets_on_fork, ..Scheduling::default() };
    change(task, &target, Change { scheduling, niceness: Some(target.niceness()) })
}

fn read_priority(task: &CurrentTask, parameter: UserPointer<u32>) -> Result<u32, Errno> {
    parameter.read_unless_null(task)?.ok_or(Errno::EINVAL)
}

fn sched_getparam(task: &mut CurrentTask, pid: Tid, parameter: UserPointer<u32>) -> Result<(), Errno> {
    if parameter.is_null() || pid.0 < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = find(task, pid)?.scheduling().priority;
    parameter.write(task, &priority)
}

/// `struct sched_attr`, as far as `size` has room for it, and zeroes after it.
fn sched_getattr(
    task: &mut CurrentTask,
    pid: Tid,
    address: UserPointer<SchedAttr>,
    size: u32,
    flags: u32,
) -> Result<(), Errno> {
    let len = usize::try_from(size).unwrap_or(usize::MAX);
    if flags != 0 || address.is_null() || !(FIRST_ATTRIBUTES_BYTES..=MOST_ATTRIBUTES_BYTES).contains(&len) {
        return Err(Errno::EINVAL);
    }
    let target = find(task, pid)?;
    let scheduling = target.scheduling();
    let Scheduling { policy, priority, deadline, resets_on_fork } = scheduling;
    let is_fair = !scheduling.is_real_time() && !scheduling.has_deadlines();
    let attributes = SchedAttr {
        size: size.min(ATTRIBUTES_SIZE),
        sched_policy: policy,
        sched_flags: deadline.flags | if resets_on_fork { RESET_ON_FORK } else { 0 },
        sched_nice: if is_fair { target.niceness() } else { 0 },
        sched_priority: priority,
        sched_runtime: deadline.runtime_ns,
        sched_deadline: deadline.deadline_ns,
        sched_period: deadline.period_ns,
        ..SchedAttr::default()
    };
    let mut bytes = vec![0; len];
    let known = len.min(ATTRIBUTES_BYTES);
    bytes[..known].copy_from_slice(&attributes.as_bytes()[..known]);
    task.memory().write_bytes(address.address(), &bytes)
}

fn sched_setattr(
    task: &mut CurrentTask,
    pid: Tid,
    address: UserPointer<SchedAttr>,
    flags: u32,
) -> Result<(), Errno> {
    if address.is_null() || flags != 0 || pid.0 < 0 {
        return Err(Errno::EINVAL);
    }
    let asked = read_attributes(task, address)?;
    let target = find(task, pid)?;
    if asked.sched_flags & !ALL_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let old = target.scheduling();
    let keeps_parameters = asked.sched_flags & KEEP_PARAMETERS != 0;
    let (policy, resets_on_fork) = match asked.sched_flags & KEEP_POLICY {
        0 => (asked.sched_policy, asked.sched_flags & RESET_ON_FORK != 0),
        _ => (old.policy, old.resets_on_fork),
    };
    let scheduling = match keeps_parameters {
        true => Scheduling { policy, resets_on_fork, ..old },
        false => Scheduling {
            policy,
            priority: asked.sched_priority,
            deadline: deadline_of(&asked, policy),
            resets_on_fork,
        },
    };
    if asked.sched_flags & UTILIZATION != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let niceness = if keeps_parameters { None } else { Some(asked.sched_nice) };
    change(task, &target, Change { scheduling, niceness })
}

/// The deadlines that are asked for; other policies have none, whatever is said.
fn deadline_of(asked: &SchedAttr, policy: u32) -> DeadlineParameters {
    match policy {
        uapi::SCHED_DEADLINE => DeadlineParameters {
            runtime_ns: asked.sched_runtime,
            deadline_ns: asked.sched_deadline,
            // As it is told afterwards.
            period_ns: if asked.sched_period == 0 { asked.sched_deadline } else { asked.sched_period },
            flags: asked.sched_flags & DEADLINE_FLAGS,
        },
        _ => DeadlineParameters::default(),
    }
}

/// Reads a `struct sched_attr` of any version.
///
/// # Errors
/// EFAULT; EINVAL; E2BIG if it is too short or says what is not known here, after telling the size that is.
fn read_attributes(task: &CurrentTask, place: UserPointer<SchedAttr>) -> Result<SchedAttr, Errno> {
    let place = UserPointer::<u32>::new(place.address().0);
    let size = match place.read(task)? {
        0 => FIRST_ATTRIBUTES_BYTES,
        size => usize::try_from(size).unwrap_or(usize::MAX),
    };
    let is_known = (FIRST_ATTRIBUTES_BYTES..=MOST_ATTRIBUTES_BYTES).contains(&size);
    let mut bytes = [0; MOST_ATTRIBUTES_BYTES];
    if is_known {
        task.memory().read_bytes(place.address(), &mut bytes[..size])?;
    }
    let (attributes, rest) = SchedAttr::read_from_prefix(&bytes).map_err(|_| Errno::EINVAL)?;
    if !is_known || rest.iter().any(|byte| *byte != 0) {
        place.write(task, &ATTRIBUTES_SIZE)?;
        return Err(Errno::E2BIG);
    }
    let lacks_bounds = attributes.sched_flags & UTILIZATION != 0 && size < ATTRIBUTES_BYTES;
    if attributes.sched_policy.cast_signed() < 0 || lacks_bounds {
        return Err(Errno::EINVAL);
    }
    Ok(SchedAttr { sched_nice: attributes.sched_nice.clamp(-20, 19), ..attributes })
}

/// What a task's scheduling shall be.
struct Change {
    scheduling: Scheduling,
    /// `None` if policy and niceness stay as they are, though both are checked.
    niceness: Option<i32>,
}

/// Changes how `target` is scheduled.
///
/// # Errors
/// EINVAL for a policy, or parameters, that there are not; EPERM; EBUSY: deadlines that would take a whole CPU.
fn change(task: &CurrentTask, target: &Task, change: Change) -> Result<(), Errno> {
    let Change { scheduling, niceness } = change;
    check_parameters(scheduling)?;
    let credentials = task.credentials();
    let is_allowed = may_change(&credentials, target, &change);
    if !is_allowed && !credentials.has(Capabilities::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    if scheduling.has_deadlines() && !scheduling.deadline.fit() {
        return Err(Errno::EBUSY);
    }
    let Some(niceness) = niceness else {
        let resets_on_fork = scheduling.resets_on_fork;
        target.set_scheduling(Scheduling { resets_on_fork, ..target.scheduling() });
        return Ok(());
    };
    target.set_scheduling(scheduling);
    if matches!(scheduling.policy, uapi::SCHED_NORMAL | uapi::SCHED_BATCH) {
        target.set_niceness(niceness);
    }
    Ok(())
}

/// Whether the policy is one, and its parameters are of it.
fn check_parameters(scheduling: Scheduling) -> Result<(), Errno> {
    let is_valid = match scheduling.policy {
        uapi::SCHED_NORMAL | uapi::SCHED_BATCH | uapi::SCHED_IDLE => scheduling.priority == 0,
        uapi::SCHED_FIFO | uapi::SCHED_RR => (1..=MAX_PRIORITY).contains(&scheduling.priority),
        uapi::SCHED_DEADLINE => scheduling.priority == 0 && scheduling.deadline.are_valid(),
        _ => false,
    };
    if is_valid { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether no privilege is needed (Linux's `user_check_sched_setscheduler`).
fn may_change(credentials: &Credentials, target: &Task, change: &Change) -> bool {
    let Change { scheduling, niceness } = *change;
    let old = target.scheduling();
    let lowest = lowest_niceness(target.thread_group());
    let is_fair = matches!(scheduling.policy, uapi::SCHED_NORMAL | uapi::SCHED_BATCH);
    let raises = is_fair && niceness.is_some_and(|niceness| niceness < target.niceness().min(lowest));
    let limit = target.thread_group().soft_limit(Resource::REAL_TIME_PRIORITY);
    let priority = u64::from(scheduling.priority);
    let takes_over = scheduling.is_real_time()
        && (scheduling.policy != old.policy && limit == 0
            || scheduling.priority > old.priority && priority > limit);
    let leaves_idle =
        old.policy == uapi::SCHED_IDLE && scheduling.policy != uapi::SCHED_IDLE && target.niceness() < lowest;
    let frees_children = old.resets_on_fork && !scheduling.resets_on_fork;
    is_owner(credentials, &target.credentials())
        && !raises
        && !takes_over
        && !scheduling.has_deadlines()
        && !leaves_idle
        && !frees_children
}

fn sched_get_priority_max(_: &mut CurrentTask, policy: u32) -> Result<i32, Errno> {
    priority_of(policy, MAX_PRIORITY.cast_signed())
}

fn sched_get_priority_min(_: &mut CurrentTask, policy: u32) -> Result<i32, Errno> {
    priority_of(policy, 1)
}

/// `real_time` for policies that have priorities, 0 for the others.
fn priority_of(policy: u32, real_time: i32) -> Result<i32, Errno> {
    match policy {
        uapi::SCHED_FIFO | uapi::SCHED_RR => Ok(real_time),
        uapi::SCHED_NORMAL
        | uapi::SCHED_BATCH
        | uapi::SCHED_IDLE
        | uapi::SCHED_DEADLINE
        | uapi::SCHED_EXT => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn sched_rr_get_interval(
    task: &mut CurrentTask,
    pid: Tid,
    address: UserPointer<[i64; 2]>,
) -> Result<(), Errno> {
    /// What Linux tells for SCHED_OTHER on an idle system.
    const SLICE_NS: i64 = 4_000_000;
    if pid.0 < 0 {
        return Err(Errno::EINVAL);
    }
    let slice = match find(task, pid)?.scheduling().policy {
        uapi::SCHED_RR => task.kernel().settings().get(KernelNumber::RoundRobinMs).saturating_mul(1_000_000),
        // Until they rest.
        uapi::SCHED_FIFO | uapi::SCHED_DEADLINE => 0,
        _ => SLICE_NS,
    };
    address.write(task, &[slice / 1_000_000_000, slice % 1_000_000_000])
}
