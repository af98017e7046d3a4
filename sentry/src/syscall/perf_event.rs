//! perf_event_open(2): counters of software, as on a machine whose processor counts nothing.

use std::sync::Arc;

use syscalls::Sysno;
use zerocopy::{FromZeros, IntoBytes};

use super::Handler;
use super::arguments::{UserPointer, handlers};
use crate::Errno;
use crate::abi::PerfEventAttr;
use crate::cred::Capabilities;
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::perf::{Counted, Event, Kind, PerfFile, Place, Switches};
use crate::platform::PAGE_SIZE;
use crate::settings::KernelNumber;
use crate::task::{CurrentTask, SystemCounts, Task, Tid, check_access};
use crate::width::{u64_from, usize_from};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![perf_event_open];

/// `PERF_FLAG_*`.
const NO_GROUP: u64 = 1 << 0;
const OUTPUT: u64 = 1 << 1;
const OF_CGROUP: u64 = 1 << 2;
const CLOSE_ON_EXEC: u64 = 1 << 3;
/// `PERF_TYPE_SOFTWARE`.
const SOFTWARE: u32 = 1;
/// Bytes of the first `struct perf_event_attr`.
const FIRST_BYTES: u32 = 64;
/// Bits of `flags` in the structure that only this handler looks at.
const EXCLUDE_KERNEL: u64 = 1 << 5;
const FREQUENCY: u64 = 1 << 10;
const NAMESPACES: u64 = 1 << 22;
const SIGNALS: u64 = 1 << 37;
const KNOWN_BITS: u64 = (1 << 38) - 1;
/// The bits of `sample_type` and of `read_format` that there are.
const SAMPLE_BITS: u64 = (1 << 25) - 1;
const READ_BITS: u64 = (1 << 5) - 1;

fn perf_event_open(
    task: &mut CurrentTask,
    attributes: UserPointer<PerfEventAttr>,
    pid: Tid,
    cpu: i32,
    group: Fd,
    flags: u64,
) -> Result<Fd, Errno> {
    if flags & !(NO_GROUP | OUTPUT | OF_CGROUP | CLOSE_ON_EXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let attributes = read_attributes(task, attributes)?;
    check_attributes(task, &attributes)?;
    if flags & OF_CGROUP != 0 && (pid.0 == -1 || cpu == -1) {
        return Err(Errno::EINVAL);
    }
    let leader = leader(task, group, flags)?;
    let target = target(task, pid, flags)?;
    let kind = kind_at(task, &attributes, target.as_ref(), cpu)?;
    if flags & OF_CGROUP != 0 {
        return Err(Errno::EBADF);
    }
    if let Some(target) = &target
        && !is_privileged(task)
    {
        check_access(task.task(), target).map_err(|_| Errno::EACCES)?;
    }
    let event = open(task, (&attributes, kind), target.as_ref(), cpu, leader.as_ref())?;
    let files = task.kernel().open_files();
    let file = PerfFile::new(event, attributes.read_format, files)?;
    let description = FileDescription::new(file, None, OpenFlags::RDWR);
    task.install_descriptor(description, flags & CLOSE_ON_EXEC != 0)
}

/// The structure in any of its lengths, and what it is, if it is another, told there.
fn read_attributes(task: &CurrentTask, place: UserPointer<PerfEventAttr>) -> Result<PerfEventAttr, Errno> {
    const KNOWN: usize = size_of::<PerfEventAttr>();
    let size_place = UserPointer::<u32>::new(place.address().0.wrapping_add(4));
    let size = match size_place.read(task)? {
        0 => FIRST_BYTES,
        size => size,
    };
    let tell_size = || {
        let told = size_place.write(task, &(KNOWN as u32));
        told.map_or_else(|error| error, |()| Errno::E2BIG)
    };
    let len = usize_from(size);
    if size < FIRST_BYTES || u64_from(len) > PAGE_SIZE {
        return Err(tell_size());
    }
    let mut bytes = vec![0; len];
    task.memory().read_bytes(place.address(), &mut bytes)?;
    let known = len.min(KNOWN);
    if bytes.iter().skip(known).any(|byte| *byte != 0) {
        return Err(tell_size());
    }
    let mut attributes = PerfEventAttr::new_zeroed();
    if let (Some(to), Some(from)) = (attributes.as_mut_bytes().get_mut(..known), bytes.get(..known)) {
        to.copy_from_slice(from);
    }
    attributes.size = size;
    Ok(attributes)
}

fn is_privileged(task: &CurrentTask) -> bool {
    let credentials = task.credentials();
    credentials.has(Capabilities::PERFMON) || credentials.has(Capabilities::SYS_ADMIN)
}

/// Fails if kernel.perf_event_paranoid is above `level` and the caller is not privileged.
fn check_paranoid(task: &CurrentTask, level: i64) -> Result<(), Errno> {
    let is_allowed = task.kernel().settings().get(KernelNumber::PerfEventParanoid) <= level;
    if is_allowed || is_privileged(task) { Ok(()) } else { Err(Errno::EACCES) }
}

fn check_attributes(task: &CurrentTask, attributes: &PerfEventAttr) -> Result<(), Errno> {
    let has = |bits: u64| attributes.flags & bits == bits;
    let switches = Switches::from_bits_truncate(attributes.flags);
    let is_unknown = attributes.flags & !KNOWN_BITS != 0
        || attributes.reserved_2 != 0
        || attributes.reserved_3 != 0
        || attributes.sample_type & !SAMPLE_BITS != 0
        || attributes.read_format & !READ_BITS != 0;
    let is_contradictory = switches.contains(Switches::INHERIT_THREAD)
        && !switches.contains(Switches::INHERIT)
        || switches.contains(Switches::REMOVE_ON_EXEC | Switches::ENABLE_ON_EXEC)
        || has(SIGNALS) && !switches.contains(Switches::REMOVE_ON_EXEC);
    if is_unknown || is_contradictory {
        return Err(Errno::EINVAL);
    }
    if !has(EXCLUDE_KERNEL) {
        check_paranoid(task, 1)?;
    }
    if has(NAMESPACES) && !is_privileged(task) {
        return Err(Errno::EACCES);
    }
    const MOST_SAMPLES: u64 = 100_000;
    let is_too_often = has(FREQUENCY) && attributes.sample_period > MOST_SAMPLES;
    let is_negative = !has(FREQUENCY) && attributes.sample_period > i64::MAX.cast_unsigned();
    if is_too_often || is_negative { Err(Errno::EINVAL) } else { Ok(()) }
}

/// The event whose group the new one is to be in.
fn leader(task: &CurrentTask, group: Fd, flags: u64) -> Result<Option<Arc<Event>>, Errno> {
    if group.0 == -1 {
        return Ok(None);
    }
    let file = task.file(group)?;
    let leader = file.downcast::<PerfFile>().ok_or(Errno::EBADF)?.event().clone();
    Ok((flags & (NO_GROUP | OUTPUT) == 0).then_some(leader))
}

/// The task that is to be watched; `None` for everybody.
fn target(task: &CurrentTask, pid: Tid, flags: u64) -> Result<Option<Arc<Task>>, Errno> {
    if pid.0 == -1 || flags & OF_CGROUP != 0 {
        return Ok(None);
    }
    if pid.0 == 0 {
        return Ok(Some(task.task().clone()));
    }
    let namespace = task.thread_group().pid_namespace();
    task.kernel().tasks().task(namespace, pid).map(Some).ok_or(Errno::ESRCH)
}

/// What is counted, if that can be.
fn kind_at(
    task: &CurrentTask,
    attributes: &PerfEventAttr,
    target: Option<&Arc<Task>>,
    cpu: i32,
) -> Result<Kind, Errno> {
    let is_processor = usize::try_from(cpu).is_ok_and(|cpu| cpu < task.kernel().cpu_count());
    let is_anywhere = cpu == -1 && target.is_some();
    if !is_processor && !is_anywhere || attributes.flags & SIGNALS != 0 && target.is_none() {
        return Err(Errno::EINVAL);
    }
    let kind = (attributes.kind == SOFTWARE).then(|| Kind::of_software(attributes.config)).flatten();
    let kind = kind.ok_or(Errno::ENOENT)?;
    // Nothing interrupts whom is counted, as with counters that have no interrupt (PERF_PMU_CAP_NO_INTERRUPT).
    if attributes.sample_period != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if target.is_none() {
        check_paranoid(task, 0)?;
    }
    Ok(kind)
}

fn open(
    task: &CurrentTask,
    (attributes, kind): (&PerfEventAttr, Kind),
    target: Option<&Arc<Task>>,
    cpu: i32,
    leader: Option<&Arc<Event>>,
) -> Result<Arc<Event>, Errno> {
    let cpu = u32::try_from(cpu).ok();
    let source: Arc<dyn Counted> = match target {
        Some(target) => target.clone(),
        None => SystemCounts::new(task.kernel(), cpu.unwrap_or(0)),
    };
    let place = Place { task: target.map(|target| target.number_for_events()), cpu };
    let id = task.kernel().frames().new_id();
    let switches = Switches::from_bits_truncate(attributes.flags);
    let event = Event::new((id, kind), switches, place, &source, leader.map(|leader| &**leader))?;
    if let Some(target) = target {
        target.add_event(&event)?;
    }
    task.task().add_opened_event(&event)?;
    Ok(event)
}
