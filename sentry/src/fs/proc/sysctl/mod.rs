//! /proc/sys: the kernel's settings (`man 5 proc_sys`). Most are fixed; some can be written and are kept for each mount,
//! since programs set them and read them back.

mod ipc;
mod net;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;

use super::About;
use crate::Errno;
use crate::core_settings::CoreSettings;
use crate::cred::{Capabilities, Credentials, NamespaceKind};
use crate::fs::OpenFiles;
use crate::fs::inotify::{InotifyLimit, InotifyLimits};
use crate::fs::pipe;
use crate::fs::protections::Protection;
use crate::fs::pseudo::{Directory, Entry, Node, directory, setting, text};
use crate::fs::{Access, Metadata, Protections, Viewer};
use crate::keys::KeyLimit;

/// Settings that have been written.
#[derive(Default)]
pub(super) struct Settings(Mutex<BTreeMap<&'static str, Vec<u8>>>);

/// A file that always says the same.
macro_rules! fixed {
    ($name:literal, $text:expr) => {
        text($name, |_, _| Ok(format!("{}\n", $text).into_bytes()))
    };
}

/// A number in a range that root may change.
macro_rules! number {
    ($name:literal, $key:expr, $default:expr, $range:expr) => {
        setting(
            $name,
            |about, _| Ok(about.file_system.settings.get($key, $default)),
            |about, viewer, text| about.file_system.settings.set($key, $range, viewer, text),
        )
    };
}

/// A number that root may change, and that nothing here goes by: what it steers is not there.
macro_rules! kept {
    ($directory:literal, $name:literal, $default:expr) => {
        kept!($directory, $name, $default, 0..=i32::MAX.cast_unsigned() as u64)
    };
    ($directory:literal, $name:literal, $default:expr, $range:expr) => {
        number!($name, concat!($directory, ".", $name), $default, $range)
    };
}

/// How strict one of the protections of shared directories is.
macro_rules! protection {
    ($name:literal, $kind:ident, $max:literal) => {
        setting(
            $name,
            |about, viewer| Ok(line(protections(about, viewer)?.level(Protection::$kind))),
            |about, viewer, text| {
                let level = parse_number(viewer, 0..=$max, text)?;
                let level = u8::try_from(level).map_err(|_| Errno::EINVAL)?;
                protections(about, viewer)?.set_level(Protection::$kind, level);
                Ok(())
            },
        )
    };
}

/// A limit of inotify, or of fanotify, that root may change.
macro_rules! inotify_limit {
    ($name:literal, $limit:ident) => {
        inotify_limit!($name, $limit, inotify_limits)
    };
    ($name:literal, $limit:ident, $limits:ident) => {
        setting(
            $name,
            |about, _| Ok(line($limits(about)?.get(InotifyLimit::$limit))),
            |about, viewer, text| {
                let number = parse_number(viewer, 0..=u64::from(i32::MAX.cast_unsigned()), text)?;
                let number = u32::try_from(number).map_err(|_| Errno::EINVAL)?;
                $limits(about)?.set(InotifyLimit::$limit, number);
                Ok(())
            },
        )
    };
}

/// How many namespaces of a kind the user namespace of whoever opened the file may own (`man 7 namespaces`).
macro_rules! limit {
    ($name:literal, $kind:expr) => {
        Entry {
            name: $name,
            permissions: 0o644,
            node: Node::Guarded(
                may_limit,
                &Node::Setting(
                    |_, viewer| Ok(line(viewer.credentials.user_namespace.limit($kind))),
                    |_, viewer, text| viewer.credentials.user_namespace.set_limit($kind, parse(text)?),
                ),
            ),
        }
    };
}

impl Settings {
    fn get(&self, key: &'static str, default: u64) -> Vec<u8> {
        let written = self.0.lock().get(key).cloned();
        written.unwrap_or_else(|| format!("{default}\n").into_bytes())
    }

    fn set(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        viewer: &Viewer,
        text: &[u8],
    ) -> Result<(), Errno> {
        let number = parse_number(viewer, range, text)?;
        self.0.lock().insert(key, format!("{number}\n").into_bytes());
        Ok(())
    }
}

fn protections(about: &About, viewer: &Viewer) -> Result<Arc<Protections>, Errno> {
    about.source().protections(viewer).ok_or(Errno::ESRCH)
}

fn open_files(about: &About) -> Result<Arc<OpenFiles>, Errno> {
    about.source().open_files().ok_or(Errno::ESRCH)
}

fn inotify_limits(about: &About) -> Result<Arc<InotifyLimits>, Errno> {
    about.source().inotify_limits().ok_or(Errno::ESRCH)
}

fn fanotify_limits(about: &About) -> Result<Arc<InotifyLimits>, Errno> {
    about.source().fanotify_limits().ok_or(Errno::ESRCH)
}

/// The number that somebody who may writes.
fn parse_number(viewer: &Viewer, range: RangeInclusive<u64>, text: &[u8]) -> Result<u64, Errno> {
    if !viewer.credentials.has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let number = parse(text)?;
    if range.contains(&number) { Ok(number) } else { Err(Errno::EINVAL) }
}

/// Whether `directory` is /proc/sys or lies below it.
pub(super) fn holds(directory: &'static Directory<About>) -> bool {
    fn is_below(top: &'static Directory<About>, wanted: &'static Directory<About>) -> bool {
        let leads_there = |entry: &Entry<About>| match entry.node {
            Node::Directory(below) => is_below(below, wanted),
            _ => false,
        };
        std::ptr::eq(top, wanted) || top.entries.iter().any(leads_there)
    }
    is_below(&SYSCTL, directory)
}

/// /proc/sys.
pub(super) static SYSCTL: Directory<About> = Directory {
    entries: &[
        directory("abi", &Directory { entries: &[kept!("abi", "vsyscall32", 1, 0..=1)], children: None }),
        directory(
            "debug",
            &Directory { entries: &[kept!("debug", "exception-trace", 1, 0..=1)], children: None },
        ),
        directory("dev", &DEVICES),
        directory("fs", &FS),
        directory("kernel", &KERNEL),
        directory("net", &net::NET),
        directory("user", &USER),
        directory("vm", &VM),
    ],
    children: None,
};

static DEVICES: Directory<About> = Directory {
    entries: &[directory(
        "tty",
        &Directory {
            entries: &[kept!("tty", "ldisc_autoload", 1, 0..=1), kept!("tty", "legacy_tiocsti", 1, 0..=1)],
            children: None,
        },
    )],
    children: None,
};

static FS: Directory<About> = Directory {
    entries: &[
        fixed!("aio-max-nr", 65536),
        directory("binfmt_misc", &Directory { entries: &[], children: None }),
        text("aio-nr", |about, _| Ok(line(about.source().aio_events()))),
        fixed!("dentry-state", "0\t0\t45\t0\t0\t0"),
        directory("epoll", &Directory { entries: &[fixed!("max_user_watches", 262_144)], children: None }),
        directory("fanotify", &FANOTIFY),
        setting("file-max", |about, _| Ok(line(open_files(about)?.setting())), set_file_max),
        text("file-nr", |about, _| {
            let files = open_files(about)?;
            Ok(line(format!("{}\t0\t{}", files.used(), files.setting())))
        }),
        kept!("fs", "dentry-negative", 0, 0..=1),
        text("inode-nr", |about, _| Ok(line(format!("{}\t0", open_files(about)?.used())))),
        text("inode-state", |about, _| Ok(line(format!("{}\t0\t0\t0\t0\t0\t0", open_files(about)?.used())))),
        directory("inotify", &INOTIFY),
        setting(
            "lease-break-time",
            |about, _| Ok(line(open_files(about)?.lease_break_seconds())),
            |about, viewer, text| {
                let seconds = parse_number(viewer, 0..=i32::MAX as u64, text)?;
                let seconds = u32::try_from(seconds).map_err(|_| Errno::EINVAL)?;
                open_files(about)?.set_lease_break_seconds(seconds);
                Ok(())
            },
        ),
        fixed!("leases-enable", 1),
        fixed!("mount-max", 100_000),
        directory("mqueue", &ipc::MQUEUE),
        fixed!("nr_open", 1_048_576),
        fixed!("overflowgid", 65534),
        fixed!("overflowuid", 65534),
        fixed!("pipe-max-size", pipe::MAX_CAPACITY_BYTES),
        fixed!("pipe-user-pages-hard", 0),
        fixed!("pipe-user-pages-soft", pipe::PAGES_SOFT_LIMIT),
        protection!("protected_fifos", Fifos, 2),
        protection!("protected_hardlinks", HardLinks, 1),
        protection!("protected_regular", RegularFiles, 2),
        protection!("protected_symlinks", SymbolicLinks, 1),
        setting(
            "suid_dumpable",
            |about, _| Ok(line(core_settings(about)?.suid_dumpable())),
            |about, viewer, text| {
                let level = parse_number(viewer, 0..=2, text)?;
                core_settings(about)?.set_suid_dumpable(u8::try_from(level).map_err(|_| Errno::EINVAL)?);
                Ok(())
            },
        ),
    ],
    children: None,
};

static FANOTIFY: Directory<About> = Directory {
    entries: &[
        inotify_limit!("max_queued_events", QueuedEvents, fanotify_limits),
        inotify_limit!("max_user_groups", UserInstances, fanotify_limits),
        inotify_limit!("max_user_marks", UserWatches, fanotify_limits),
        fixed!("watchdog_timeout", 0),
    ],
    children: None,
};

static INOTIFY: Directory<About> = Directory {
    entries: &[
        inotify_limit!("max_queued_events", QueuedEvents),
        inotify_limit!("max_user_instances", UserInstances),
        inotify_limit!("max_user_watches", UserWatches),
    ],
    children: None,
};

static KERNEL: Directory<About> = Directory {
    entries: &[
        fixed!("arch", "x86_64"),
        fixed!("bootloader_type", 0),
        fixed!("bootloader_version", 0),
        fixed!("cap_last_cap", 40),
        fixed!("core_modes", "file\npipe"),
        setting("core_pattern", |about, _| core_pattern(about), set_core_pattern),
        setting(
            "core_pipe_limit",
            |about, _| Ok(line(core_settings(about)?.pipe_limit())),
            |about, viewer, text| {
                let limit = parse_number(viewer, 0..=u32::MAX.into(), text)?;
                core_settings(about)?.set_pipe_limit(u32::try_from(limit).map_err(|_| Errno::EINVAL)?);
                Ok(())
            },
        ),
        setting(
            "core_uses_pid",
            |about, _| Ok(line(u8::from(core_settings(about)?.uses_pid()))),
            |about, viewer, text| {
                core_settings(about)?.set_uses_pid(parse_number(viewer, 0..=1, text)? != 0);
                Ok(())
            },
        ),
        fixed!("dmesg_restrict", 1),
        setting("domainname", |about, viewer| Ok(line(about.source().names(viewer).domain)), set_domain_name),
        setting("hostname", |about, viewer| Ok(line(about.source().names(viewer).host)), set_host_name),
        fixed!("hung_task_detect_count", 0),
        kept!("kernel", "auto_msgmni", 0),
        kept!("kernel", "bpf_stats_enabled", 0, 0..=1),
        kept!("kernel", "core_file_note_size_limit", 4194304),
        kept!("kernel", "core_sort_vma", 0, 0..=1),
        kept!("kernel", "ctrl-alt-del", 1),
        kept!("kernel", "ftrace_dump_on_oops", 0),
        kept!("kernel", "hung_task_all_cpu_backtrace", 0, 0..=1),
        kept!("kernel", "hung_task_check_count", 4194304),
        kept!("kernel", "hung_task_check_interval_secs", 0),
        kept!("kernel", "hung_task_panic", 0, 0..=1),
        kept!("kernel", "hung_task_timeout_secs", 120),
        kept!("kernel", "hung_task_warnings", 10),
        kept!("kernel", "io_delay_type", 0, 0..=3),
        kept!("kernel", "max_lock_depth", 1024),
        kept!("kernel", "max_rcu_stall_to_panic", 0),
        kept!("kernel", "oops_limit", 10000),
        kept!("kernel", "panic", 0),
        kept!("kernel", "panic_on_io_nmi", 0),
        kept!("kernel", "panic_on_oops", 0),
        kept!("kernel", "panic_on_rcu_stall", 0, 0..=1),
        kept!("kernel", "panic_on_unrecovered_nmi", 0),
        kept!("kernel", "panic_on_warn", 0, 0..=1),
        kept!("kernel", "panic_print", 0),
        kept!("kernel", "perf_cpu_time_max_percent", 25, 0..=100),
        kept!("kernel", "perf_event_max_contexts_per_stack", 8),
        kept!("kernel", "perf_event_max_sample_rate", 100000),
        kept!("kernel", "perf_event_max_stack", 127),
        kept!("kernel", "perf_event_mlock_kb", 516),
        kept!("kernel", "print-fatal-signals", 0),
        kept!("kernel", "printk_delay", 0, 0..=10000),
        kept!("kernel", "printk_ratelimit", 5),
        kept!("kernel", "printk_ratelimit_burst", 10),
        kept!("kernel", "real-root-dev", 0),
        kept!("kernel", "sched_cfs_bandwidth_slice_us", 5000, 1..=i32::MAX.cast_unsigned() as u64),
        kept!("kernel", "sysctl_writes_strict", 1, 0..=1),
        kept!("kernel", "task_delayacct", 0, 0..=1),
        kept!("kernel", "unknown_nmi_panic", 0),
        kept!("kernel", "warn_limit", 0),
        kept!("kernel", "watchdog_thresh", 10, 0..=60),
        fixed!("kexec_load_disabled", 1),
        directory("keys", &KEYS),
        fixed!("kptr_restrict", 1),
        fixed!("modules_disabled", 1),
        ipc::NEXT_QUEUE,
        ipc::MESSAGE_BYTES,
        ipc::QUEUE_BYTES,
        ipc::QUEUES,
        fixed!("ngroups_max", 65536),
        fixed!("nmi_watchdog", 0),
        fixed!("numa_balancing", 0),
        text("osrelease", |about, viewer| Ok(line(about.source().names(viewer).release))),
        fixed!("ostype", "Linux"),
        fixed!("overflowgid", 65534),
        fixed!("overflowuid", 65534),
        fixed!("perf_event_paranoid", 4),
        fixed!("pid_max", 65536),
        fixed!("poweroff_cmd", "/sbin/poweroff"),
        fixed!("printk", "4\t4\t1\t7"),
        fixed!("printk_devkmsg", "ratelimit"),
        directory("pty", &PTY),
        directory("random", &RANDOM),
        number!("randomize_va_space", "kernel.randomize_va_space", 2, 0..=2),
        fixed!("sched_deadline_period_max_us", 4194304),
        fixed!("sched_deadline_period_min_us", 100),
        fixed!("sched_rr_timeslice_ms", 100),
        fixed!("sched_rt_period_us", 1000000),
        fixed!("sched_rt_runtime_us", 950000),
        directory("seccomp", &SECCOMP),
        ipc::SEMAPHORES,
        ipc::NEXT_SET,
        ipc::NEXT_SEGMENT,
        ipc::FORCED_REMOVAL,
        ipc::SEGMENT_PAGES,
        ipc::SEGMENT_BYTES,
        ipc::SEGMENTS,
        fixed!("soft_watchdog", 0),
        fixed!("softlockup_panic", 0),
        fixed!("split_lock_mitigate", 1),
        fixed!("tainted", 0),
        fixed!("threads-max", 65536),
        fixed!("timer_migration", 1),
        fixed!("unprivileged_bpf_disabled", 2),
        text("version", |about, viewer| Ok(line(about.source().names(viewer).version))),
        fixed!("watchdog", 0),
    ],
    children: None,
};

/// A limit of keys that root may change.
macro_rules! key_limit {
    ($name:literal, $limit:ident) => {
        setting(
            $name,
            |about, _| Ok(line(about.source().keys().map_or(0, |keys| keys.limit(KeyLimit::$limit)))),
            |about, viewer, text| set_key_limit(about, viewer, KeyLimit::$limit, text),
        )
    };
}

static KEYS: Directory<About> = Directory {
    entries: &[
        key_limit!("gc_delay", CollectionDelay),
        key_limit!("maxbytes", Bytes),
        key_limit!("maxkeys", Keys),
        key_limit!("persistent_keyring_expiry", PersistentExpiry),
        key_limit!("root_maxbytes", RootBytes),
        key_limit!("root_maxkeys", RootKeys),
    ],
    children: None,
};

/// How many pseudoterminals there may be, and how many of these only the first instance has.
static PTY: Directory<About> =
    Directory { entries: &[fixed!("max", 4096), kept!("pty", "reserve", 1024)], children: None };

static RANDOM: Directory<About> = Directory {
    entries: &[
        text("boot_id", |about, _| Ok(line(uuid_of(about.source().boot_id()?)))),
        fixed!("entropy_avail", 256),
        fixed!("poolsize", 256),
        kept!("random", "urandom_min_reseed_secs", 60),
        kept!("random", "write_wakeup_threshold", 256),
        text("uuid", |_, _| random_uuid().map(line)),
    ],
    children: None,
};

static SECCOMP: Directory<About> = Directory {
    entries: &[
        fixed!("actions_avail", "kill_process kill_thread trap errno user_notif trace log allow"),
        fixed!("actions_logged", "kill_process kill_thread trap errno user_notif trace log"),
    ],
    children: None,
};

static USER: Directory<About> = Directory {
    entries: &[
        limit!("max_cgroup_namespaces", NamespaceKind::Cgroup),
        inotify_limit!("max_inotify_instances", UserInstances),
        inotify_limit!("max_inotify_watches", UserWatches),
        limit!("max_ipc_namespaces", NamespaceKind::Ipc),
        limit!("max_mnt_namespaces", NamespaceKind::Mount),
        limit!("max_net_namespaces", NamespaceKind::Network),
        limit!("max_pid_namespaces", NamespaceKind::Pid),
        limit!("max_time_namespaces", NamespaceKind::Time),
        limit!("max_user_namespaces", NamespaceKind::User),
        limit!("max_uts_namespaces", NamespaceKind::Uts),
    ],
    children: None,
};

static VM: Directory<About> = Directory {
    entries: &[
        Entry { name: "compact_memory", permissions: 0o200, node: Node::Setting(nothing, accept) },
        Entry { name: "drop_caches", permissions: 0o200, node: Node::Setting(nothing, accept) },
        fixed!("lowmem_reserve_ratio", "256\t256\t32\t0\t0"),
        fixed!("max_map_count", 65530),
        fixed!("mmap_min_addr", 65536),
        fixed!("mmap_rnd_bits", 28),
        huge_pages("nr_hugepages"),
        huge_pages("nr_hugepages_mempolicy"),
        huge_pages("nr_overcommit_hugepages"),
        fixed!("numa_zonelist_order", "Node"),
        number!("overcommit_memory", "vm.overcommit_memory", 0, 0..=2),
        number!("overcommit_ratio", "vm.overcommit_ratio", 50, 0..=100),
        number!("swappiness", "vm.swappiness", 60, 0..=200),
        fixed!("unprivileged_userfaultfd", 0),
        kept!("vm", "admin_reserve_kbytes", 8192),
        kept!("vm", "compact_unevictable_allowed", 1, 0..=1),
        kept!("vm", "compaction_proactiveness", 20, 0..=100),
        kept!("vm", "dirty_background_bytes", 0),
        kept!("vm", "dirty_background_ratio", 10, 0..=100),
        kept!("vm", "dirty_bytes", 0),
        kept!("vm", "dirty_expire_centisecs", 3000),
        kept!("vm", "dirty_ratio", 20, 0..=100),
        kept!("vm", "dirty_writeback_centisecs", 500),
        kept!("vm", "dirtytime_expire_seconds", 43200),
        kept!("vm", "extfrag_threshold", 500, 0..=1000),
        kept!("vm", "hugetlb_shm_group", 0),
        kept!("vm", "laptop_mode", 0),
        kept!("vm", "legacy_va_layout", 0, 0..=1),
        kept!("vm", "min_free_kbytes", 67584),
        kept!("vm", "min_slab_ratio", 5, 0..=100),
        kept!("vm", "min_unmapped_ratio", 1, 0..=100),
        kept!("vm", "numa_stat", 1, 0..=1),
        kept!("vm", "oom_dump_tasks", 1),
        kept!("vm", "oom_kill_allocating_task", 0),
        kept!("vm", "overcommit_kbytes", 0),
        kept!("vm", "page-cluster", 3, 0..=31),
        kept!("vm", "page_lock_unfairness", 5),
        kept!("vm", "panic_on_oom", 0, 0..=2),
        kept!("vm", "percpu_pagelist_high_fraction", 0),
        kept!("vm", "stat_interval", 1),
        kept!("vm", "user_reserve_kbytes", 131072),
        kept!("vm", "vfs_cache_pressure", 100),
        kept!("vm", "watermark_boost_factor", 15000),
        kept!("vm", "watermark_scale_factor", 10, 1..=3000),
        kept!("vm", "zone_reclaim_mode", 0),
    ],
    children: None,
};

fn set_key_limit(about: &About, viewer: &Viewer, limit: KeyLimit, text: &[u8]) -> Result<(), Errno> {
    let max = u64::from(i32::MAX.cast_unsigned());
    let number = parse_number(viewer, 0..=max, text)?;
    if let Some(keys) = about.source().keys() {
        keys.set_limit(limit, u32::try_from(number).map_err(|_| Errno::EINVAL)?);
    }
    Ok(())
}

fn line(text: impl std::fmt::Display) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

/// A number as the kernel reads one (`proc_dointvec`): after white space, in any of C's notations, and white space after it; what
/// follows that is not looked at.
fn parse<T: TryFrom<i128>>(text: &[u8]) -> Result<T, Errno> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    let word = text.split_ascii_whitespace().next().ok_or(Errno::EINVAL)?;
    let (is_negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return Err(Errno::EINVAL);
    }
    let number = i128::from_str_radix(digits, radix).map_err(|_| Errno::EINVAL)?;
    T::try_from(if is_negative { -number } else { number }).map_err(|_| Errno::EINVAL)
}

/// Anybody reads the limits of the own user namespace; CAP_SYS_RESOURCE in it lets one write them.
fn may_limit(
    _about: &About,
    _metadata: &Metadata,
    access: Access,
    credentials: &Credentials,
) -> Result<bool, Errno> {
    let may_write = credentials.has_in_own(Capabilities::SYS_RESOURCE);
    Ok(Access::READ.contains(access) || may_write && !access.contains(Access::EXECUTE))
}

fn nothing(_about: &About, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    Ok(b"0\n".into())
}

/// A number of huge pages: there is never a piece of memory for one, however many are wanted.
const fn huge_pages(name: &'static str) -> Entry<About> {
    let read: crate::fs::pseudo::Read<About> = |_, _| Ok(line(0));
    Entry { name, permissions: 0o644, node: Node::Setting(read, |_, _, text| parse::<u64>(text).map(drop)) }
}

fn accept(_about: &About, _viewer: &Viewer, _text: &[u8]) -> Result<(), Errno> {
    Ok(())
}

fn set_host_name(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    about.source().set_host_name(viewer, text.strip_suffix(b"\n").unwrap_or(text))
}

fn set_domain_name(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    about.source().set_domain_name(viewer, text.strip_suffix(b"\n").unwrap_or(text))
}

fn core_settings(about: &About) -> Result<Arc<CoreSettings>, Errno> {
    about.source().core_settings().ok_or(Errno::ESRCH)
}

fn core_pattern(about: &About) -> Result<Vec<u8>, Errno> {
    let mut text = core_settings(about)?.pattern();
    text.push(b'\n');
    Ok(text)
}

fn set_core_pattern(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    if !viewer.credentials.has(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    core_settings(about)?.set_pattern(text);
    Ok(())
}

/// fs.file-max: a bound on open file descriptions.
fn set_file_max(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    open_files(about)?.set(parse_number(viewer, 0..=i64::MAX.cast_unsigned(), text)?);
    Ok(())
}

fn random_uuid() -> Result<String, Errno> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(uuid_of(u128::from_be_bytes(bytes)))
}

/// Random bits as a version 4 UUID.
fn uuid_of(random: u128) -> String {
    let number = random & !(0xf << 76) & !(0x3 << 62) | 4 << 76 | 2 << 62;
    let hex = format!("{number:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
