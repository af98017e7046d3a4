//! What each file of a group is called, tells and takes (`Documentation/admin-guide/cgroup-v2.rst`).

use std::sync::Arc;
use std::time::Duration;

use super::options::RootFlags;
use super::{CgroupFileSystem, Viewer};
use crate::Errno;
use crate::cgroup::{Cgroup, CgroupNamespace, Controllers, CpuLimit, Hierarchy, MemberKey};
use crate::fs::numbers::{self, parse_integer};
use crate::fs::pressure;
use crate::memory::{FrameUse, MemoryEvents};
use crate::platform::PAGE_SIZE;
use crate::wait::News;

/// Whose file is read or written, and by whom. Two count: who opened the file, for what is allowed, and who uses it, for
/// what numbers mean.
pub(super) struct Subject<'a> {
    pub(super) file_system: &'a Arc<CgroupFileSystem>,
    pub(super) hierarchy: &'a Hierarchy,
    pub(super) cgroup: &'a Arc<Cgroup>,
    pub(super) opener: &'a Viewer,
    /// The cgroup namespace that the opener was in.
    pub(super) namespace: Option<&'a CgroupNamespace>,
    pub(super) user: &'a Viewer,
}

type Read = fn(&Subject<'_>) -> Result<String, Errno>;
type Write = fn(&Subject<'_>, &str) -> Result<(), Errno>;

/// A file of a group.
pub(super) struct ControlFile {
    pub(super) name: &'static str,
    pub(super) permissions: u32,
    controller: Controllers,
    is_in_root: bool,
    /// Whether it may be written in the root of a cgroup namespace, from inside (`/sys/kernel/cgroup/delegate`).
    pub(super) is_delegated: bool,
    pub(super) read: Option<Read>,
    pub(super) write: Option<Write>,
    /// Whose changes poll(2) tells.
    pub(super) events: Option<fn(&Cgroup) -> &News>,
    /// Whether what is written are triggers for poll(2).
    pub(super) is_pressure: bool,
}

impl ControlFile {
    const fn core(name: &'static str) -> Self {
        Self {
            name,
            permissions: 0o444,
            controller: Controllers::empty(),
            is_in_root: false,
            is_delegated: false,
            read: None,
            write: None,
            events: None,
            is_pressure: false,
        }
    }

    const fn of(controller: Controllers, name: &'static str) -> Self {
        Self { controller, ..Self::core(name) }
    }

    const fn in_root(self) -> Self {
        Self { is_in_root: true, ..self }
    }

    const fn delegated(self) -> Self {
        Self { is_delegated: true, ..self }
    }

    const fn reads(self, read: Read) -> Self {
        Self { read: Some(read), ..self }
    }

    const fn writes(self, write: Write) -> Self {
        Self { write: Some(write), permissions: if self.read.is_some() { 0o644 } else { 0o200 }, ..self }
    }

    const fn announces(self, events: fn(&Cgroup) -> &News) -> Self {
        Self { events: Some(events), ..self }
    }

    /// A file of pressure stall information.
    const fn pressure(name: &'static str) -> Self {
        let file = Self::core(name).in_root().reads(|_| Ok(pressure::FIGURES.to_string()));
        Self { is_pressure: true, permissions: 0o644, ..file }
    }

    /// Whether a group with `controllers` has it.
    pub(super) fn is_in(&self, is_root: bool, controllers: Controllers) -> bool {
        (self.is_in_root || !is_root) && (is_root || controllers.contains(self.controller))
    }
}

/// Who is in the group: permission to write it is permission to move processes.
pub(super) static PROCESSES: ControlFile = PROCESSES_FILE;

const PROCESSES_FILE: ControlFile = ControlFile::core("cgroup.procs")
    .in_root()
    .delegated()
    .reads(processes)
    .writes(|subject, text| migrate(subject, text, false));

const CPU: Controllers = Controllers::CPU;
const MEMORY: Controllers = Controllers::MEMORY;
const PIDS: Controllers = Controllers::PIDS;

/// What memory.stat tells, in its order.
const MEMORY_STATISTICS: &str = "anon file kernel kernel_stack pagetables sec_pagetables percpu sock vmalloc shmem \
    zswap zswapped file_mapped file_dirty file_writeback swapcached anon_thp file_thp shmem_thp inactive_anon \
    active_anon inactive_file active_file unevictable slab_reclaimable slab_unreclaimable slab \
    workingset_refault_anon workingset_refault_file workingset_activate_anon workingset_activate_file \
    workingset_restore_anon workingset_restore_file workingset_nodereclaim pgscan pgsteal pgscan_kswapd \
    pgscan_direct pgscan_khugepaged pgsteal_kswapd pgsteal_direct pgsteal_khugepaged pgfault pgmajfault pgrefill \
    pgactivate pgdeactivate pglazyfree pglazyfreed zswpin zswpout zswpwb thp_fault_alloc thp_collapse_alloc \
    thp_swpout thp_swpout_fallback";

/// What memory.numa_stat tells, in its order.
const NODE_STATISTICS: &str = "anon file kernel_stack pagetables sec_pagetables shmem file_mapped file_dirty \
    file_writeback swapcached anon_thp file_thp shmem_thp inactive_anon active_anon inactive_file active_file \
    unevictable slab_reclaimable slab_unreclaimable workingset_refault_anon workingset_refault_file \
    workingset_activate_anon workingset_activate_file workingset_restore_anon workingset_restore_file \
    workingset_nodereclaim";

/// Every file.
pub(super) static FILES: [ControlFile; 44] = [
    ControlFile::core("cgroup.controllers")
        .in_root()
        .reads(|subject| Ok(show_controllers(subject.hierarchy.controllers(subject.cgroup)))),
    ControlFile::core("cgroup.events").reads(group_events).announces(Cgroup::events),
    ControlFile::core("cgroup.freeze").reads(freezes).writes(set_freezes),
    ControlFile::core("cgroup.kill").writes(kill),
    ControlFile::core("cgroup.max.depth")
        .in_root()
        .reads(|subject| Ok(show_limit(subject.cgroup.limits().max_depth)))
        .writes(|subject, text| {
            let limit = parse_count(text)?;
            subject.cgroup.set_limits(|limits| limits.max_depth = limit);
            Ok(())
        }),
    ControlFile::core("cgroup.max.descendants")
        .in_root()
        .reads(|subject| Ok(show_limit(subject.cgroup.limits().max_descendants)))
        .writes(|subject, text| {
            let limit = parse_count(text)?;
            subject.cgroup.set_limits(|limits| limits.max_descendants = limit);
            Ok(())
        }),
    PROCESSES_FILE,
    // Nothing is measured, so that there is nothing to switch off.
    ControlFile::core("cgroup.pressure")
        .in_root()
        .reads(|_| Ok("1\n".to_string()))
        .writes(|_, text| parse_number(text, 0..=1, Errno::ERANGE).map(drop)),
    ControlFile::core("cgroup.stat").in_root().reads(|subject| {
        let descendants = subject.hierarchy.descendants(subject.cgroup);
        Ok(format!("nr_descendants {descendants}\nnr_dying_descendants 0\n"))
    }),
    ControlFile::core("cgroup.subtree_control")
        .delegated()
        .in_root()
        .reads(|subject| Ok(show_controllers(subject.hierarchy.subtree_control(subject.cgroup))))
        .writes(|subject, text| {
            let (enabled, disabled) = Controllers::parse_changes(text)?;
            subject.hierarchy.set_subtree_control(subject.cgroup, enabled, disabled)
        }),
    ControlFile::core("cgroup.threads")
        .delegated()
        .in_root()
        .reads(threads)
        .writes(|subject, text| migrate(subject, text, true)),
    ControlFile::core("cgroup.type")
        .reads(|subject| Ok(format!("{}\n", subject.hierarchy.kind(subject.cgroup)?)))
        .writes(|subject, text| match text {
            "threaded" => subject.hierarchy.make_threaded(subject.cgroup),
            _ => Err(Errno::EINVAL),
        }),
    ControlFile::pressure("cpu.pressure"),
    ControlFile::core("cpu.stat").in_root().reads(cpu_statistics),
    ControlFile::core("cpu.stat.local").in_root().reads(own_cpu_statistics),
    ControlFile::of(CPU, "cpu.idle")
        .reads(|subject| Ok(setting(subject, "cpu.idle", "0")))
        .writes(|subject, text| keep_number(subject, "cpu.idle", text, 0..=1)),
    ControlFile::of(CPU, "cpu.max").reads(cpu_max).writes(set_cpu_max),
    ControlFile::of(CPU, "cpu.max.burst")
        .reads(|subject| Ok(format!("{}\n", subject.cgroup.bandwidth().limit().burst.as_micros())))
        .writes(set_cpu_burst),
    ControlFile::of(CPU, "cpu.weight")
        .reads(|subject| Ok(setting(subject, "cpu.weight", "100")))
        .writes(|subject, text| keep_number(subject, "cpu.weight", text, 1..=10_000)),
    ControlFile::of(CPU, "cpu.weight.nice")
        .reads(|subject| Ok(setting(subject, "cpu.weight.nice", "0")))
        .writes(|subject, text| keep_number(subject, "cpu.weight.nice", text, -20..=19)),
    ControlFile::of(MEMORY, "memory.current")
        .reads(|subject| Ok(format!("{}\n", account(subject)?.current_bytes()))),
    ControlFile::of(MEMORY, "memory.events")
        .reads(|subject| Ok(memory_events(account(subject)?.events())))
        .announces(Cgroup::memory_events),
    ControlFile::of(MEMORY, "memory.events.local")
        .reads(|subject| Ok(memory_events(account(subject)?.own_events())))
        .announces(Cgroup::memory_events),
    ControlFile::of(MEMORY, "memory.high")
        .reads(|subject| Ok(show_limit(account(subject)?.high_bytes())))
        .writes(|subject, text| {
            subject.hierarchy.set_memory_high(account(subject)?, parse_bytes(text)?);
            Ok(())
        }),
    ControlFile::of(MEMORY, "memory.low")
        .reads(|subject| Ok(setting(subject, "memory.low", "0")))
        .writes(|subject, text| keep_bytes(subject, "memory.low", text)),
    ControlFile::of(MEMORY, "memory.max")
        .reads(|subject| Ok(show_limit(account(subject)?.max_bytes())))
        .writes(set_memory_max),
    ControlFile::of(MEMORY, "memory.min")
        .reads(|subject| Ok(setting(subject, "memory.min", "0")))
        .writes(|subject, text| keep_bytes(subject, "memory.min", text)),
    ControlFile::of(MEMORY, "memory.numa_stat").reads(memory_by_node),
    ControlFile::of(MEMORY, "memory.oom.group")
        .delegated()
        .reads(|subject| Ok(format!("{}\n", u8::from(subject.cgroup.kills_group()))))
        .writes(|subject, text| {
            subject.cgroup.set_kills_group(parse_number(text, 0..=1, Errno::EINVAL)? == 1);
            Ok(())
        }),
    ControlFile::of(MEMORY, "memory.peak")
        .reads(|subject| Ok(format!("{}\n", account(subject)?.peak_bytes()))),
    ControlFile::of(MEMORY, "memory.reclaim").writes(reclaim),
    ControlFile::of(MEMORY, "memory.stat").reads(memory_statistics),
    ControlFile::of(MEMORY, "memory.swap.current").reads(|_| Ok("0\n".into())),
    ControlFile::of(MEMORY, "memory.swap.events").reads(|_| Ok("high 0\nmax 0\nfail 0\n".into())),
    ControlFile::of(MEMORY, "memory.swap.high")
        .reads(|subject| Ok(setting(subject, "memory.swap.high", "max")))
        .writes(|subject, text| keep_bytes(subject, "memory.swap.high", text)),
    ControlFile::of(MEMORY, "memory.swap.max")
        .reads(|subject| Ok(setting(subject, "memory.swap.max", "max")))
        .writes(|subject, text| keep_bytes(subject, "memory.swap.max", text)),
    ControlFile::of(MEMORY, "memory.swap.peak").reads(|_| Ok("0\n".into())),
    ControlFile::of(PIDS, "pids.current")
        .reads(|subject| Ok(format!("{}\n", subject.cgroup.pids().current()))),
    ControlFile::of(PIDS, "pids.events").reads(pids_events).announces(|cgroup| cgroup.pids().events()),
    ControlFile::of(PIDS, "pids.events.local")
        .reads(|subject| Ok(format!("max {}\n", subject.cgroup.pids().refusals().1)))
        .announces(|cgroup| cgroup.pids().events()),
    ControlFile::of(PIDS, "pids.max")
        .reads(|subject| Ok(show_limit(subject.cgroup.pids().max())))
        .writes(set_pids_max),
    ControlFile::of(PIDS, "pids.peak").reads(|subject| Ok(format!("{}\n", subject.cgroup.pids().peak()))),
    ControlFile::pressure("io.pressure"),
    ControlFile::pressure("memory.pressure"),
];

fn processes(subject: &Subject<'_>) -> Result<String, Errno> {
    Ok(numbers(subject, &subject.hierarchy.processes(subject.cgroup)?, true))
}

fn threads(subject: &Subject<'_>) -> Result<String, Errno> {
    Ok(numbers(subject, &subject.hierarchy.threads(subject.cgroup)?, false))
}

fn numbers(subject: &Subject<'_>, keys: &[MemberKey], of_processes: bool) -> String {
    let numbers = subject.file_system.tasks.numbers(subject.user, keys, of_processes);
    numbers.iter().map(|number| format!("{number}\n")).collect()
}

fn migrate(subject: &Subject<'_>, text: &str, is_thread: bool) -> Result<(), Errno> {
    let number = i32::try_from(parse_integer(text)?).map_err(|_| Errno::EINVAL)?;
    if number < 0 {
        return Err(Errno::EINVAL);
    }
    let key = subject.file_system.tasks.find(subject.user, number).ok_or(Errno::ESRCH)?;
    subject.file_system.migrate(subject.opener, subject.namespace, key, is_thread, subject.cgroup)
}

fn group_events(subject: &Subject<'_>) -> Result<String, Errno> {
    let events = subject.hierarchy.group_events(subject.cgroup);
    Ok(format!("populated {}\nfrozen {}\n", u8::from(events.is_populated), u8::from(events.is_frozen)))
}

fn freezes(subject: &Subject<'_>) -> Result<String, Errno> {
    Ok(format!("{}\n", u8::from(subject.hierarchy.freezes(subject.cgroup))))
}

fn set_freezes(subject: &Subject<'_>, text: &str) -> Result<(), Errno> {
    let freezes = parse_number(text, 0..=1, Errno::ERANGE)? == 1;
    subject.hierarchy.set_freezes(subject.cgroup, freezes)
}

fn kill(subject: &Subject<'_>, text: &str) -> Result<(), Errno> {
    parse_number(text, 1..=1, Errno::ERANGE)?;
    subject.hierarchy.kill(subject.cgroup)
}

fn cpu_statistics(subject: &Subject<'_>) -> Result<String, Errno> {
    let usage = subject.hierarchy.cpu_usage(subject.cgroup);
    let [user, system] = [usage.user, usage.system].map(|time| time.as_micros());
    let mut text = format!("usage_usec {}\nuser_usec {user}\nsystem_usec {system}\n", user + system);
    if subject.hierarchy.controllers(subject.cgroup).contains(CPU) && !subject.cgroup.is_root() {
        let bandwidth = subject.hierarchy.bandwidth_statistics(subject.cgroup);
        text += &format!(
            "nr_periods {}\nnr_throttled {}\nthrottled_usec {}\nnr_bursts {}\nburst_usec {}\n",
            bandwidth.periods,
            bandwidth.throttled_periods,
            bandwidth.throttled_time.as_micros(),
            bandwidth.bursts,
            bandwidth.burst_time.as_micros()
        );
    }
    Ok(text)
}

/// How long the group's own quota has held it up, if it can have one.
fn own_cpu_statistics(subject: &Subject<'_>) -> Result<String, Errno> {
    if !subject.hierarchy.controllers(subject.cgroup).contains(CPU) {
        return Ok(String::new());
    }
    let bandwidth = subject.hierarchy.bandwidth_statistics(subject.cgroup);
    Ok(format!("throttled_usec {}\n", bandwidth.throttled_time.as_micros()))
}

/// `max 100000` or `50000 100000`: quota and period in microseconds; the period stays if there is none.
fn set_cpu_max(subject: &Subject<'_>, text: &str) -> Result<(), Errno> {
    let mut words = text.split_ascii_whitespace();
    let quota = words.next().ok_or(Errno::EINVAL)?;
    let old = subject.cgroup.bandwidth().limit();
    let period = words.next().map(str::parse).transpose().map_err(|_| Errno::EINVAL)?;
    let period = period.map_or(old.period, Duration::from_micros);
    let quota = match quota {
        "max" => None,
        number => Some(Duration::from_micros(number.parse().map_err(|_| Errno::EINVAL)?)),
    };
    let allowed = Duration::from_millis(1)..=Duration::from_secs(1);
    let is_quota = quota.is_none_or(|quota| quota >= *allowed.start() && quota <= MAX_QUOTA);
    if !is_quota || !allowed.contains(&period) || quota.is_some_and(|quota| quota < old.burst) {
        return Err(Errno::EINVAL);
    }
    subject.hierarchy.set_cpu_limit(subject.cgroup, CpuLimit { quota, period, ..old });
    Ok(())
}

/// The longest quota: Linux's `max_bw_runtime_us` is about this.
const MAX_QUOTA: Duration = Duration::from_secs(1 << 24);

fn cpu_max(subject: &Subject<'_>) -> Result<String, Errno> {
    let limit = subject.cgroup.bandwidth().limit();
    let quota = limit.quota.map_or_else(|| "max".into(), |quota| quota.as_micros().to_string());
    Ok(format!("{quota} {}\n", limit.period.as_micros()))
}

fn set_cpu_burst(subject: &Subject<'_>, text: &str) -> Result<(), Errno> {
    let burst = u64::try_from(parse_integer(text)?).map_err(|_| Errno::EINVAL)?;
    let burst = Duration::from_micros(burst);
    let old = subject.cgroup.bandwidth().limit();
    // What no quota limits can be no burst.
    if burst > old.quota.unwrap_or(Duration::ZERO) {
        return Err(Errno::EINVAL);
    }
    subject.hierarchy.set_cpu_limit(subject.cgroup, CpuLimit { burst, ..old });
    Ok(())
}

fn account<'a>(subject: &Subject<'a>) -> Result<&'a Arc<crate::memory::MemoryAccount>, Errno> {
    subject.cgroup.memory().ok_or(Errno::ENODEV)
}

fn memory_events(events: MemoryEvents) -> String {
    format!(
        "low 0\nhigh {}\nmax {}\noom {}\noom_kill {}\noom_group_kill {}\n",
        events.high, events.max, events.out_of_memory, events.kills, events.group_kills
    )
}

/// What memory.stat tells that may be other than 0, in bytes.
fn memory_figures(subject: &Subject<'_>) -> Result<[(&'static str, u64); 8], Errno> {
    let account = account(subject)?;
    let [anonymous, file, shared, heap] =
        [FrameUse::Anonymous, FrameUse::File, FrameUse::Shared, FrameUse::Heap]
            .map(|part| account.bytes_of(part));
    Ok([
        ("anon", anonymous),
        // As on Linux, what is shared counts as files, and is given up as what is anonymous.
        ("file", file + shared),
        ("kernel", heap),
        ("shmem", shared),
        ("active_anon", anonymous + shared),
        ("inactive_file", file),
        ("slab_unreclaimable", heap),
        ("slab", heap),
    ])
}

fn memory_statistics(subject: &Subject<'_>) -> Result<String, Errno> {
    let figures = memory_figures(subject)?;
    let figure = |name: &str| figures.iter().find(|(own, _)| *own == name).map_or(0, |(_, bytes)| *bytes);
    Ok(MEMORY_STATISTICS.split_ascii_whitespace().map(|name| format!("{name} {}\n", figure(name))).collect())
}

/// memory.numa_stat: of the one node.
fn memory_by_node(subject: &Subject<'_>) -> Result<String, Errno> {
    let figures = memory_figures(subject)?;
    let figure = |name: &str| figures.iter().find(|(own, _)| *own == name).map_or(0, |(_, bytes)| *bytes);
    Ok(NODE_STATISTICS.split_ascii_whitespace().map(|name| format!("{name} N0={}\n", figure(name))).collect())
}

/// memory.reclaim: so many bytes, and perhaps how much of it is to be swapped, which nothing is.
fn reclaim(subject: &Subject<'_>, text: &str) -> Result<(), Errno> {
    let mut words = text.split_ascii_whitespace();
    let len_bytes = parse_bytes(words.next().ok_or(Errno::EINVAL)?)?.ok_or(Errno::EINVAL)?;
    for word in words {
        let swappiness = word.strip_prefix("swappiness=").ok_or(Errno::EINVAL)?;
        parse_number(swappiness, 0..=200, Errno::EINVAL)?;
    }
    subject.hierarchy.reclaim_memory(account(subject)?, len_bytes)
}

fn set_memory_max(subject: &Subject<'_>, text: &str) -> Result<(), Errno> {
    account(subject)?.set_max_bytes(parse_bytes(text)?);
    subject.hierarchy.enforce_memory_limit(subject.cgroup);
    Ok(())
}

fn set_pids_max(subject: &Subject<'_>, text: &str) -> Result<(), Errno> {
    let max = match text {
        "max" => None,
        text => {
            let max = parse_integer(text)?;
            /// `PID_MAX_LIMIT`: Linux's numbers never go further.
            const LIMIT: i64 = 4 << 20;
            if !(0..=LIMIT).contains(&max) {
                return Err(Errno::EINVAL);
            }
            u64::try_from(max).ok()
        }
    };
    subject.cgroup.pids().set_max(max);
    Ok(())
}

fn show_controllers(controllers: Controllers) -> String {
    if controllers.is_empty() { String::new() } else { format!("{controllers}\n") }
}

fn pids_events(subject: &Subject<'_>) -> Result<String, Errno> {
    let (all, own) = subject.cgroup.pids().refusals();
    let is_local = subject.file_system.flags().contains(RootFlags::PIDS_LOCALEVENTS);
    Ok(format!("max {}\n", if is_local { own } else { all }))
}

fn show_limit(limit: Option<u64>) -> String {
    limit.map_or_else(|| "max\n".into(), |limit| format!("{limit}\n"))
}

/// What was written to a setting, or its value before.
fn setting(subject: &Subject<'_>, name: &'static str, default: &str) -> String {
    format!("{}\n", subject.cgroup.value(name).unwrap_or_else(|| default.into()))
}

fn keep_number(
    subject: &Subject<'_>,
    name: &'static str,
    text: &str,
    allowed: std::ops::RangeInclusive<i64>,
) -> Result<(), Errno> {
    let number = parse_number(text, allowed, Errno::ERANGE)?;
    subject.cgroup.set_value(name, number.to_string());
    Ok(())
}

fn keep_bytes(subject: &Subject<'_>, name: &'static str, text: &str) -> Result<(), Errno> {
    let bytes = parse_bytes(text)?.map_or_else(|| "max".into(), |bytes| bytes.to_string());
    subject.cgroup.set_value(name, bytes);
    Ok(())
}

fn parse_number(
    text: &str,
    allowed: std::ops::RangeInclusive<i64>,
    out_of_range: Errno,
) -> Result<i64, Errno> {
    let number = parse_integer(text)?;
    if allowed.contains(&number) { Ok(number) } else { Err(out_of_range) }
}

/// `max` or a number that an `int` holds.
fn parse_count(text: &str) -> Result<Option<u64>, Errno> {
    if text == "max" {
        return Ok(None);
    }
    let number = parse_number(text, 0..=i64::from(i32::MAX), Errno::ERANGE)?;
    Ok(u64::try_from(number).ok())
}

/// `max`, or bytes with a suffix, rounded down to pages.
fn parse_bytes(text: &str) -> Result<Option<u64>, Errno> {
    if text == "max" {
        return Ok(None);
    }
    if text.is_empty() {
        return Err(Errno::EINVAL);
    }
    let bytes = numbers::parse_bytes(text)?;
    // More than any limit can be is none (`PAGE_COUNTER_MAX`).
    let limit = Some(bytes - bytes % PAGE_SIZE);
    Ok(limit.filter(|bytes| i64::try_from(*bytes).is_ok()))
}
