//! /proc/sys: the kernel's settings (`man 5 proc_sys`). Some are the sandbox's nature and fixed; the kernel goes by others; the rest
//! is kept, since programs set them and read them back.

mod ipc;
mod net;

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::About;
use crate::Errno;
use crate::core_settings::CoreSettings;
use crate::cred::{Capabilities, Credentials, NamespaceKind};
use crate::fs::OpenFiles;
use crate::fs::inotify::{InotifyLimit, InotifyLimits};
use crate::fs::protections::Protection;
use crate::fs::pseudo::{Directory, Entry, Node, directory, setting};
use crate::fs::{Access, Metadata, Protections, Viewer};
use crate::keys::KeyLimit;
use crate::memory::{FrameAllocator, HugePageCounts};
use crate::settings::{KernelNumber, KernelSettings};

/// The largest number of those that the kernel keeps as an `int`.
const INT_MAX: i64 = i32::MAX as i64;

/// A file that nobody may write, not even who may write any other.
macro_rules! shown {
    ($name:literal, $read:expr) => {
        Entry { name: $name, permissions: 0o444, node: Node::Guarded(may_only_read, &Node::Text($read)) }
    };
}

/// A file that always says the same.
macro_rules! fixed {
    ($name:literal, $text:expr) => {
        shown!($name, |_, _| Ok(format!("{}\n", $text).into_bytes()))
    };
}

/// A number that the kernel goes by.
macro_rules! number {
    ($name:literal, $number:ident) => {
        setting(
            $name,
            |about, _| Ok(line(about.settings().get(KernelNumber::$number))),
            |about, _, text| about.settings().set(KernelNumber::$number, parse(text)?),
        )
    };
}

/// One of two ways to bound what may be promised: the other is 0 from then on.
macro_rules! commit_limit {
    ($name:literal, $number:ident, $other:ident) => {
        setting(
            $name,
            |about, _| Ok(line(about.settings().get(KernelNumber::$number))),
            |about, _, text| {
                about.settings().set(KernelNumber::$number, parse(text)?)?;
                about.settings().set(KernelNumber::$other, 0)
            },
        )
    };
}

/// A number that only an administrator may change, whoever opened the file.
macro_rules! administered {
    ($name:literal, $number:ident) => {
        setting(
            $name,
            |about, _| Ok(line(about.settings().get(KernelNumber::$number))),
            |about, viewer, text| match viewer.credentials.has(Capabilities::SYS_ADMIN) {
                true => about.settings().set(KernelNumber::$number, parse(text)?),
                false => Err(Errno::EPERM),
            },
        )
    };
}

/// A number of huge pages: which of the counts it is, and what sets it.
macro_rules! huge_pages {
    ($name:literal, $count:expr, $set:expr) => {
        Entry {
            name: $name,
            permissions: 0o644,
            node: Node::Setting(
                |about, _| {
                    let count: fn(HugePageCounts) -> u64 = $count;
                    Ok(line(about.source().frames().map_or(0, |frames| count(frames.huge_pages()))))
                },
                |about, _, text| {
                    let pages = parse(text)?;
                    about.source().frames().iter().for_each(|frames| $set(frames, pages));
                    Ok(())
                },
            ),
        }
    };
}

/// A number that root may change, and that nothing here goes by: what it steers is not there.
macro_rules! kept {
    ($directory:literal, $name:literal, $default:expr) => {
        kept!($directory, $name, $default, 0..=INT_MAX)
    };
    ($directory:literal, $name:literal, $default:expr, $range:expr) => {
        setting(
            $name,
            |about, _| Ok(about.kept(concat!($directory, ".", $name), $default)),
            |about, _, text| {
                let number = parse_number($range, text)?;
                about.keep(concat!($directory, ".", $name), number)
            },
        )
    };
}

/// The same with several numbers, of which one may write the first ones only.
macro_rules! kept_numbers {
    ($directory:literal, $name:literal, $default:expr) => {
        setting(
            $name,
            |about, _| Ok(about.kept(concat!($directory, ".", $name), $default)),
            |about, _, text| {
                let old = about.kept(concat!($directory, ".", $name), $default);
                about.keep(concat!($directory, ".", $name), with_first_numbers(&old, text)?)
            },
        )
    };
}

/// The same with a text.
macro_rules! kept_text {
    ($directory:literal, $name:literal, $default:expr, $max_bytes:expr) => {
        setting(
            $name,
            |about, _| Ok(about.kept(concat!($directory, ".", $name), $default)),
            |about, _, text| {
                let text = String::from_utf8_lossy(text_written(text, $max_bytes)).into_owned();
                about.keep(concat!($directory, ".", $name), text)
            },
        )
    };
}

/// How strict one of the protections of shared directories is.
macro_rules! protection {
    ($name:literal, $kind:ident, $max:literal) => {
        setting(
            $name,
            |about, viewer| Ok(line(protections(about, viewer)?.level(Protection::$kind))),
            |about, viewer, text| {
                let level = parse_number(0..=$max, text)?;
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
            |about, _, text| {
                let number = parse_number(0..=INT_MAX, text)?;
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

impl About {
    pub(super) fn settings(&self) -> &KernelSettings {
        &self.file_system.settings
    }

    /// A line with what was kept, or `default`.
    fn kept(&self, key: &'static str, default: impl std::fmt::Display) -> Vec<u8> {
        self.settings().kept(key).unwrap_or_else(|| line(default))
    }

    /// Keeps a value.
    fn keep(&self, key: &'static str, value: impl std::fmt::Display) -> Result<(), Errno> {
        self.settings().keep(key, line(value));
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

/// The number that is written.
fn parse_number(range: RangeInclusive<i64>, text: &[u8]) -> Result<i64, Errno> {
    let number = parse(text)?;
    if range.contains(&number) { Ok(number) } else { Err(Errno::EINVAL) }
}

/// What is written to a setting that is a text: up to a newline or NUL, and as much as fits.
fn text_written(text: &[u8], max_bytes: usize) -> &[u8] {
    let end = text.iter().position(|byte| [b'\n', 0].contains(byte)).unwrap_or(text.len());
    text.get(..end.min(max_bytes)).unwrap_or(text)
}

/// The numbers of `old` with those that are written in the place of the first ones.
fn with_first_numbers(old: &[u8], text: &[u8]) -> Result<String, Errno> {
    let mut numbers: Vec<i64> = old
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(parse)
        .collect::<Result<_, _>>()?;
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let written: Vec<i64> = words.take(numbers.len()).map(parse).collect::<Result<_, _>>()?;
    if written.is_empty() || written.iter().any(|number| i32::try_from(*number).is_err()) {
        return Err(Errno::EINVAL);
    }
    numbers.splice(..written.len(), written);
    Ok(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join("\t"))
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
        number!("aio-max-nr", AioMaxEvents),
        directory("binfmt_misc", &Directory { entries: &[], children: None }),
        shown!("aio-nr", |about, _| Ok(line(about.source().aio_events()))),
        fixed!("dentry-state", "0\t0\t45\t0\t0\t0"),
        number!("dir-notify-enable", DirNotifyEnable),
        directory("epoll", &EPOLL),
        directory("fanotify", &FANOTIFY),
        setting("file-max", |about, _| Ok(line(open_files(about)?.setting())), set_file_max),
        shown!("file-nr", |about, _| {
            let files = open_files(about)?;
            Ok(line(format!("{}\t0\t{}", files.used(), files.setting())))
        }),
        kept!("fs", "dentry-negative", 0, 0..=1),
        shown!("inode-nr", |about, _| Ok(line(format!("{}\t0", open_files(about)?.used())))),
        shown!("inode-state", |about, _| Ok(line(format!(
            "{}\t0\t0\t0\t0\t0\t0",
            open_files(about)?.used()
        )))),
        directory("inotify", &INOTIFY),
        setting(
            "lease-break-time",
            |about, _| Ok(line(open_files(about)?.lease_break_seconds())),
            |about, _, text| {
                let seconds = parse_number(0..=INT_MAX, text)?;
                let seconds = u32::try_from(seconds).map_err(|_| Errno::EINVAL)?;
                open_files(about)?.set_lease_break_seconds(seconds);
                Ok(())
            },
        ),
        number!("leases-enable", LeasesEnable),
        number!("mount-max", MountMax),
        directory("mqueue", &ipc::MQUEUE),
        number!("nr_open", MaxDescriptors),
        kept!("fs", "overflowgid", 65534, 0..=65535),
        kept!("fs", "overflowuid", 65534, 0..=65535),
        setting(
            "pipe-max-size",
            |about, _| Ok(line(about.settings().get(KernelNumber::PipeMaxBytes))),
            set_pipe_max_size,
        ),
        number!("pipe-user-pages-hard", PipePagesHard),
        number!("pipe-user-pages-soft", PipePagesSoft),
        protection!("protected_fifos", Fifos, 2),
        protection!("protected_hardlinks", HardLinks, 1),
        protection!("protected_regular", RegularFiles, 2),
        protection!("protected_symlinks", SymbolicLinks, 1),
        setting(
            "suid_dumpable",
            |about, _| Ok(line(core_settings(about)?.suid_dumpable())),
            |about, _, text| {
                let level = parse_number(0..=2, text)?;
                core_settings(about)?.set_suid_dumpable(u8::try_from(level).map_err(|_| Errno::EINVAL)?);
                Ok(())
            },
        ),
    ],
    children: None,
};

static EPOLL: Directory<About> =
    Directory { entries: &[number!("max_user_watches", EpollMaxWatches)], children: None };

static FANOTIFY: Directory<About> = Directory {
    entries: &[
        inotify_limit!("max_queued_events", QueuedEvents, fanotify_limits),
        inotify_limit!("max_user_groups", UserInstances, fanotify_limits),
        inotify_limit!("max_user_marks", UserWatches, fanotify_limits),
        kept!("fanotify", "watchdog_timeout", 0, 0..=3600),
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
        Entry {
            name: "cad_pid",
            permissions: 0o600,
            node: Node::Setting(|about, _| Ok(about.kept("kernel.cad_pid", 1)), set_reboot_process),
        },
        fixed!("cap_last_cap", 40),
        fixed!("core_modes", "file\npipe"),
        setting("core_pattern", |about, _| core_pattern(about), set_core_pattern),
        setting(
            "core_pipe_limit",
            |about, _| Ok(line(core_settings(about)?.pipe_limit())),
            |about, _, text| {
                let limit = parse_number(0..=u32::MAX.into(), text)?;
                core_settings(about)?.set_pipe_limit(u32::try_from(limit).map_err(|_| Errno::EINVAL)?);
                Ok(())
            },
        ),
        setting(
            "core_uses_pid",
            |about, _| Ok(line(u8::from(core_settings(about)?.uses_pid()))),
            |about, _, text| {
                core_settings(about)?.set_uses_pid(parse_number(0..=1, text)? != 0);
                Ok(())
            },
        ),
        administered!("dmesg_restrict", DmesgRestrict),
        DOMAIN_NAME,
        HOST_NAME,
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
        number!("io_uring_disabled", IoUringDisabled),
        number!("io_uring_group", IoUringGroup),
        kept!("kernel", "max_lock_depth", 1024),
        kept!("kernel", "max_rcu_stall_to_panic", 0),
        kept!("kernel", "oops_all_cpu_backtrace", 0, 0..=1),
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
        kept!("kernel", "sched_cfs_bandwidth_slice_us", 5000, 1..=INT_MAX),
        kept!("kernel", "sysctl_writes_strict", 1, 0..=1),
        kept!("kernel", "task_delayacct", 0, 0..=1),
        kept!("kernel", "unknown_nmi_panic", 0),
        kept!("kernel", "warn_limit", 0),
        kept!("kernel", "watchdog_thresh", 10, 0..=60),
        fixed!("kexec_load_disabled", 1),
        directory("keys", &KEYS),
        administered!("kptr_restrict", KptrRestrict),
        fixed!("modules_disabled", 1),
        ipc::NEXT_QUEUE,
        ipc::MESSAGE_BYTES,
        ipc::QUEUE_BYTES,
        ipc::QUEUES,
        fixed!("ngroups_max", 65536),
        fixed!("nmi_watchdog", 0),
        Entry { name: "ns_last_pid", permissions: 0o666, node: Node::Setting(last_number, set_last_number) },
        kept!("kernel", "numa_balancing", 0, 0..=3),
        shown!("osrelease", |about, viewer| Ok(line(about.source().names(viewer).release))),
        fixed!("ostype", "Linux"),
        kept!("kernel", "overflowgid", 65534, 0..=65535),
        kept!("kernel", "overflowuid", 65534, 0..=65535),
        number!("perf_event_paranoid", PerfEventParanoid),
        number!("pid_max", PidMax),
        kept_text!("kernel", "poweroff_cmd", "/sbin/poweroff", 255),
        kept_numbers!("kernel", "printk", "4\t4\t1\t7"),
        setting(
            "printk_devkmsg",
            |about, _| Ok(about.kept("kernel.printk_devkmsg", "ratelimit")),
            set_log_devices,
        ),
        directory("pty", &PTY),
        directory("random", &RANDOM),
        kept!("kernel", "randomize_va_space", 2, -INT_MAX..=INT_MAX),
        kept!("kernel", "sched_autogroup_enabled", 1, 0..=1),
        kept!("kernel", "sched_deadline_period_max_us", 4194304),
        kept!("kernel", "sched_deadline_period_min_us", 100),
        setting(
            "sched_rr_timeslice_ms",
            |about, _| Ok(line(about.settings().get(KernelNumber::RoundRobinMs))),
            set_round_robin,
        ),
        kept!("kernel", "sched_rt_period_us", 1000000, 1..=INT_MAX),
        kept!("kernel", "sched_rt_runtime_us", 950000, -1..=INT_MAX),
        directory("seccomp", &SECCOMP),
        ipc::SEMAPHORES,
        ipc::NEXT_SET,
        ipc::NEXT_SEGMENT,
        ipc::FORCED_REMOVAL,
        ipc::SEGMENT_PAGES,
        ipc::SEGMENT_BYTES,
        ipc::SEGMENTS,
        kept!("kernel", "soft_watchdog", 0, 0..=1),
        kept!("kernel", "softlockup_all_cpu_backtrace", 0, 0..=1),
        kept!("kernel", "softlockup_panic", 0, 0..=1),
        kept!("kernel", "split_lock_mitigate", 1, 0..=1),
        kept!("kernel", "tainted", 0, 0..=i64::MAX),
        number!("threads-max", ThreadsMax),
        kept!("kernel", "timer_migration", 1, 0..=1),
        kept!("kernel", "traceoff_on_warning", 0),
        kept!("kernel", "tracepoint_printk", 0),
        kept!("kernel", "unprivileged_bpf_disabled", 2, 0..=2),
        directory("usermodehelper", &HELPERS),
        shown!("version", |about, viewer| Ok(line(about.source().names(viewer).version))),
        kept!("kernel", "watchdog", 0, 0..=1),
    ],
    children: None,
};

/// A set of capabilities as two words.
macro_rules! helper {
    ($name:literal) => {
        Entry {
            name: $name,
            permissions: 0o600,
            node: Node::Setting(|_, _| Ok(line("4294967295\t511")), |_, _, _| Err(Errno::EPERM)),
        }
    };
}

/// A limit of keys that root may change.
macro_rules! key_limit {
    ($name:literal, $limit:ident) => {
        setting(
            $name,
            |about, _| Ok(line(about.source().keys().map_or(0, |keys| keys.limit(KeyLimit::$limit)))),
            |about, _, text| set_key_limit(about, KeyLimit::$limit, text),
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
static PTY: Directory<About> = Directory {
    entries: &[
        number!("max", PtyMax),
        shown!("nr", |about, _| Ok(line(about.source().pseudoterminals()))),
        kept!("pty", "reserve", 1024),
    ],
    children: None,
};

static RANDOM: Directory<About> = Directory {
    entries: &[
        shown!("boot_id", |about, _| Ok(line(uuid_of(about.source().boot_id()?)))),
        fixed!("entropy_avail", 256),
        fixed!("poolsize", 256),
        kept!("random", "urandom_min_reseed_secs", 60),
        kept!("random", "write_wakeup_threshold", 256),
        shown!("uuid", |_, _| random_uuid().map(line)),
    ],
    children: None,
};

/// The capabilities of programs that the kernel starts: of which there are none but the handlers of core dumps.
static HELPERS: Directory<About> =
    Directory { entries: &[helper!("bset"), helper!("inheritable")], children: None };

static SECCOMP: Directory<About> = Directory {
    entries: &[
        fixed!("actions_avail", "kill_process kill_thread trap errno user_notif trace log allow"),
        kept_text!(
            "seccomp",
            "actions_logged",
            "kill_process kill_thread trap errno user_notif trace log",
            255
        ),
    ],
    children: None,
};

static USER: Directory<About> = Directory {
    entries: &[
        limit!("max_cgroup_namespaces", NamespaceKind::Cgroup),
        inotify_limit!("max_fanotify_groups", UserInstances, fanotify_limits),
        inotify_limit!("max_fanotify_marks", UserWatches, fanotify_limits),
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
        Entry {
            name: "compact_memory",
            permissions: 0o200,
            node: Node::Setting(nothing, |_, _, text| parse_number(1..=1, text).map(drop)),
        },
        Entry {
            name: "drop_caches",
            permissions: 0o200,
            node: Node::Setting(nothing, |_, _, text| parse_number(1..=4, text).map(drop)),
        },
        kept_numbers!("vm", "lowmem_reserve_ratio", "256\t256\t32\t0\t0"),
        number!("max_map_count", MaxMapCount),
        number!("memfd_noexec", MemfdNoexec),
        fixed!("mmap_min_addr", 65536),
        fixed!("mmap_rnd_bits", 28),
        huge_pages!(
            "nr_hugepages",
            |counts| counts.total.saturating_sub(counts.surplus),
            FrameAllocator::set_huge_pages
        ),
        huge_pages!(
            "nr_hugepages_mempolicy",
            |counts| counts.total.saturating_sub(counts.surplus),
            FrameAllocator::set_huge_pages
        ),
        huge_pages!(
            "nr_overcommit_hugepages",
            |counts| counts.overcommit,
            FrameAllocator::set_huge_page_overcommit
        ),
        kept_text!("vm", "numa_zonelist_order", "Node", 15),
        number!("overcommit_memory", OvercommitMemory),
        commit_limit!("overcommit_ratio", OvercommitRatio, OvercommitKbytes),
        kept!("vm", "swappiness", 60, 0..=200),
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
        commit_limit!("overcommit_kbytes", OvercommitKbytes, OvercommitRatio),
        kept!("vm", "page-cluster", 3, 0..=31),
        kept!("vm", "page_lock_unfairness", 5),
        kept!("vm", "panic_on_oom", 0, 0..=2),
        kept!("vm", "percpu_pagelist_high_fraction", 0),
        kept!("vm", "stat_interval", 1),
        Entry {
            name: "stat_refresh",
            permissions: 0o600,
            node: Node::Setting(|_, _| Ok(Vec::new()), accept),
        },
        kept!("vm", "user_reserve_kbytes", 131072),
        kept!("vm", "vfs_cache_pressure", 100),
        kept!("vm", "watermark_boost_factor", 15000),
        kept!("vm", "watermark_scale_factor", 10, 1..=3000),
        kept!("vm", "zone_reclaim_mode", 0),
    ],
    children: None,
};

fn set_key_limit(about: &About, limit: KeyLimit, text: &[u8]) -> Result<(), Errno> {
    let number = parse_number(0..=INT_MAX, text)?;
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

/// fs.pipe-max-size, rounded up as the size of a pipe is.
fn set_pipe_max_size(about: &About, _viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let bytes = parse_number(1..=1 << 31, text)?.cast_unsigned().next_power_of_two();
    let bytes = i64::try_from(bytes.max(4096)).map_err(|_| Errno::EINVAL)?;
    about.settings().set(KernelNumber::PipeMaxBytes, bytes)
}

/// kernel.sched_rr_timeslice_ms: what is no time is the default.
fn set_round_robin(about: &About, _viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    const DEFAULT_MS: i64 = 100;
    let milliseconds = parse_number(-INT_MAX..=INT_MAX, text)?;
    about.settings().set(KernelNumber::RoundRobinMs, if milliseconds > 0 { milliseconds } else { DEFAULT_MS })
}

fn set_log_devices(about: &About, _viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    match text_written(text, 10) {
        b"on" => about.keep("kernel.printk_devkmsg", "on"),
        b"off" => about.keep("kernel.printk_devkmsg", "off"),
        b"ratelimit" => about.keep("kernel.printk_devkmsg", "ratelimit"),
        _ => Err(Errno::EINVAL),
    }
}

/// kernel.cad_pid: who is told that the machine is to be restarted; it has to be there.
fn set_reboot_process(about: &About, _viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let id = parse(text)?;
    about.source().process(id).ok_or(Errno::ESRCH)?;
    about.keep("kernel.cad_pid", id)
}

/// kernel.ns_last_pid: the number that was given last in the PID namespace that is shown (`man 7 pid_namespaces`).
fn last_number(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    Ok(line(about.source().last_number(viewer)))
}

fn set_last_number(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    about.source().check_may_number(viewer)?;
    let end = about.settings().get(KernelNumber::PidMax);
    let number = parse_number(0..=end, text)?;
    about.source().set_last_number(viewer, i32::try_from(number).map_err(|_| Errno::EINVAL)?);
    Ok(())
}

fn nothing(_about: &About, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    Ok(b"0\n".into())
}

fn accept(_about: &About, _viewer: &Viewer, _text: &[u8]) -> Result<(), Errno> {
    Ok(())
}

/// The longest host or domain name (`__NEW_UTS_LEN`).
const MAX_NAME_BYTES: usize = 64;

const DOMAIN_NAME: Entry<About> = Entry {
    name: "domainname",
    permissions: 0o644,
    node: Node::AnnouncedSetting(
        |about, viewer| Ok(line(about.source().names(viewer).domain)),
        set_domain_name,
        |about, viewer| about.source().names(viewer).domain_news,
    ),
};

const HOST_NAME: Entry<About> = Entry {
    name: "hostname",
    permissions: 0o644,
    node: Node::AnnouncedSetting(
        |about, viewer| Ok(line(about.source().names(viewer).host)),
        set_host_name,
        |about, viewer| about.source().names(viewer).host_news,
    ),
};

/// Whether `access` is to read at most: capabilities count for nothing here.
fn may_only_read(_: &About, _: &Metadata, access: Access, _: &Credentials) -> Result<bool, Errno> {
    Ok((access - Access::READ).is_empty())
}

fn set_host_name(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    about.source().set_host_name(viewer, text_written(text, MAX_NAME_BYTES))
}

fn set_domain_name(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    about.source().set_domain_name(viewer, text_written(text, MAX_NAME_BYTES))
}

fn core_settings(about: &About) -> Result<Arc<CoreSettings>, Errno> {
    about.source().core_settings().ok_or(Errno::ESRCH)
}

fn core_pattern(about: &About) -> Result<Vec<u8>, Errno> {
    let mut text = core_settings(about)?.pattern();
    text.push(b'\n');
    Ok(text)
}

fn set_core_pattern(about: &About, _viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    core_settings(about)?.set_pattern(text);
    Ok(())
}

/// fs.file-max: a bound on open file descriptions.
fn set_file_max(about: &About, _viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    open_files(about)?.set(parse_number(0..=i64::MAX, text)?.cast_unsigned());
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
