//! The system's figures: /proc/stat, meminfo, uptime, loadavg and the like.

use std::fmt::Write;
use std::time::Duration;

use crate::fs::proc::source::SystemStatus;
use crate::memory::HUGE_PAGE_BYTES;

/// Hundredths of a second: `sysconf(_SC_CLK_TCK)` is 100.
fn ticks(time: Duration) -> u128 {
    time.as_millis() / 10
}

pub(super) fn stat(system: &SystemStatus) -> Vec<u8> {
    let cpus = u32::try_from(system.cpus).unwrap_or(1).max(1);
    let line = |name: &str, divisor: u32| {
        let [user, system, idle] = system.cpu_times.map(|time| ticks(time / divisor));
        format!("{name} {user} 0 {system} {idle} 0 0 0 0 0 0\n")
    };
    let mut text = line("cpu ", 1);
    for cpu in 0..cpus {
        text += &line(&format!("cpu{cpu}"), cpus);
    }
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "intr 0\nctxt {}\nbtime {}\nprocesses {}\nprocs_running {}\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
        system.context_switches,
        system.boot_time_seconds,
        system.created,
        system.running.max(1),
    );
    text.into_bytes()
}

pub(super) fn meminfo(system: &SystemStatus) -> Vec<u8> {
    let available = system.free_bytes.saturating_add(system.cached_bytes).min(system.memory_bytes);
    let in_use = system.memory_bytes.saturating_sub(system.free_bytes);
    let files = system.cached_bytes.saturating_sub(system.shared_bytes);
    let mut text = String::new();
    for (name, len_bytes) in [
        ("MemTotal", system.memory_bytes),
        ("MemFree", system.free_bytes),
        ("MemAvailable", available),
        ("Buffers", 0),
        ("Cached", system.cached_bytes),
        ("SwapCached", 0),
        ("Active", in_use),
        ("Inactive", 0),
        ("Active(anon)", system.anonymous_bytes),
        ("Inactive(anon)", 0),
        ("Active(file)", files),
        ("Inactive(file)", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", system.anonymous_bytes),
        ("Mapped", files),
        ("Shmem", system.shared_bytes),
        ("KReclaimable", 0),
        ("Slab", system.heap_bytes),
        ("SReclaimable", 0),
        ("SUnreclaim", system.heap_bytes),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("CommitLimit", system.commit_limit_bytes),
        ("Committed_AS", system.committed_bytes),
        ("VmallocTotal", 34_359_738_367 * 1024),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
    ] {
        let _ = writeln!(text, "{:<16}{:8} kB", format!("{name}:"), len_bytes / 1024);
    }
    let pool = system.huge_pages;
    for (name, pages) in
        [("Total", pool.total), ("Free", pool.free), ("Rsvd", pool.reserved), ("Surp", pool.surplus)]
    {
        let _ = writeln!(text, "{:<16}{pages:8}", format!("HugePages_{name}:"));
    }
    let _ = writeln!(text, "Hugepagesize:       2048 kB");
    let _ = writeln!(text, "Hugetlb:        {:8} kB", pool.total * (HUGE_PAGE_BYTES / 1024));
    text.into_bytes()
}

pub(super) fn uptime(system: &SystemStatus) -> Vec<u8> {
    let [up, idle] = [system.uptime, system.cpu_times[2]].map(ticks);
    format!("{}.{:02} {}.{:02}\n", up / 100, up % 100, idle / 100, idle % 100).into_bytes()
}

pub(super) fn loadavg(system: &SystemStatus, last: i32) -> Vec<u8> {
    let [one, five, fifteen] = system.load;
    let (running, tasks) = (system.running.max(1), system.tasks);
    format!("{one:.2} {five:.2} {fifteen:.2} {running}/{tasks} {last}\n").into_bytes()
}

/// What /proc/vmstat has beside, of which there is never any.
const NEVER: &[&str] = &[
    "nr_dirty",
    "nr_writeback",
    "nr_slab_reclaimable",
    "nr_isolated_anon",
    "nr_isolated_file",
    "nr_unevictable",
    "nr_mlock",
    "nr_page_table_pages",
    "nr_kernel_stack",
    "nr_anon_transparent_hugepages",
    "nr_vmscan_write",
    "numa_miss",
    "numa_foreign",
    "numa_interleave",
    "numa_other",
    "pgpgin",
    "pgpgout",
    "pswpin",
    "pswpout",
    "pgmajfault",
    "pgscan_kswapd",
    "pgscan_direct",
    "pgsteal_kswapd",
    "pgsteal_direct",
    "pgrefill",
    "allocstall_normal",
    "allocstall_movable",
    "compact_stall",
    "oom_kill",
    "thp_fault_alloc",
    "thp_collapse_alloc",
];

pub(super) fn vmstat(system: &SystemStatus) -> Vec<u8> {
    let pages = |len_bytes: u64| len_bytes / 4096;
    let files = pages(system.cached_bytes.saturating_sub(system.shared_bytes));
    let in_use = pages(system.memory_bytes.saturating_sub(system.free_bytes));
    let mut text = String::new();
    for (name, value) in [
        ("nr_free_pages", pages(system.free_bytes)),
        ("nr_active_anon", pages(system.anonymous_bytes)),
        ("nr_inactive_anon", 0),
        ("nr_active_file", files),
        ("nr_inactive_file", 0),
        ("nr_anon_pages", pages(system.anonymous_bytes)),
        ("nr_mapped", files),
        ("nr_file_pages", pages(system.cached_bytes)),
        ("nr_shmem", pages(system.shared_bytes)),
        ("nr_slab_unreclaimable", pages(system.heap_bytes)),
        ("numa_hit", in_use),
        ("numa_local", in_use),
        ("pgfault", system.faults),
    ]
    .into_iter()
    .chain(NEVER.iter().map(|name| (*name, 0)))
    {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name} {value}");
    }
    text.into_bytes()
}

/// The controllers, all of them of the one hierarchy that counts as 0.
pub(super) fn cgroups(count: usize) -> Vec<u8> {
    let mut text = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n".to_string();
    for name in ["cpu", "memory", "pids"] {
        let _ = writeln!(text, "{name}\t0\t{count}\t1");
    }
    text.into_bytes()
}

/// A mask of all CPUs, a hexadecimal digit for four.
pub(super) fn all_cpus(cpus: usize) -> Vec<u8> {
    let mask = 1u64.checked_shl(u32::try_from(cpus).unwrap_or(u32::MAX)).map_or(u64::MAX, |end| end - 1);
    format!("{mask:0width$x}\n", width = cpus.div_ceil(4)).into_bytes()
}

/// The head of the list of timers: whose they are is nobody's business, as on kernels that show none.
pub(super) fn timer_list(system: &SystemStatus) -> Vec<u8> {
    let mut text = "Timer List Version: v0.10\nHRTIMER_MAX_CLOCK_BASES: 8\n".to_string();
    let _ = writeln!(text, "now at {} nsecs\n", system.uptime.as_nanos());
    for cpu in 0..system.cpus {
        let _ = writeln!(text, "cpu: {cpu}\n active timers:\n");
    }
    text.into_bytes()
}

/// Free memory by what may be moved: everything.
pub(super) fn page_types(system: &SystemStatus) -> Vec<u8> {
    let pages = system.free_bytes / 4096;
    let orders =
        |pages: u64| (0..=MAX_ORDER).map(|order| format!("{:>6} ", runs(pages, order))).collect::<String>();
    let mut text = "Page block order: 9\nPages per block:  512\n\n".to_string();
    let numbers = (0..=MAX_ORDER).map(|order| format!("{order:>6} ")).collect::<String>();
    let _ = writeln!(text, "{:<43}{numbers}", "Free pages count per migrate type at order");
    for (name, pages) in [("Unmovable", 0), ("Movable", pages), ("Reclaimable", 0)] {
        let _ = writeln!(text, "Node    0, zone {:>8}, type {name:>12} {}", "Normal", orders(pages));
    }
    let _ = writeln!(
        text,
        "\n{:<23}{:>12} {:>12} {:>12}",
        "Number of blocks type", "Unmovable", "Movable", "Reclaimable"
    );
    let _ =
        writeln!(text, "Node 0, zone {:>8} {:>12} {:>12} {:>12}", "Normal", 0, system.memory_bytes >> 21, 0);
    text.into_bytes()
}

pub(super) fn interrupts(system: &SystemStatus) -> Vec<u8> {
    let mut text = " ".repeat(11);
    for cpu in 0..system.cpus {
        let _ = write!(text, "{:<11}", format!("CPU{cpu}"));
    }
    text.push('\n');
    text.into_bytes()
}

/// The kinds of work that interrupts leave for later, of which none is done here.
const SOFT_INTERRUPTS: [&str; 10] =
    ["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"];

pub(super) fn softirqs(system: &SystemStatus) -> Vec<u8> {
    let mut text = " ".repeat(20);
    for cpu in 0..system.cpus {
        let _ = write!(text, "{:<11}", format!("CPU{cpu}"));
    }
    text.push('\n');
    for name in SOFT_INTERRUPTS {
        let _ = write!(text, "{name:>12}:");
        for _ in 0..system.cpus {
            let _ = write!(text, " {:>10}", 0);
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// The largest run is of 2 to this power pages.
const MAX_ORDER: u32 = 10;

/// How many runs of 2 to the power of `order` pages so many pages are, in runs that are as long as can be.
fn runs(pages: u64, order: u32) -> u64 {
    if order == MAX_ORDER { pages >> order } else { pages >> order & 1 }
}

/// Free memory by powers of two of pages. Frames are handed out one by one, from runs that are as long as can be.
pub(super) fn buddyinfo(system: &SystemStatus) -> Vec<u8> {
    let pages = system.free_bytes / 4096;
    let mut text = format!("Node 0, zone {:>8} ", "Normal");
    for order in 0..=MAX_ORDER {
        let _ = write!(text, "{:>6} ", runs(pages, order));
    }
    text.push('\n');
    text.into_bytes()
}
