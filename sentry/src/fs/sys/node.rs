//! What /sys/devices/system/node/node0 tells of memory: there is one node.

use std::fmt::Write;

use super::Machine;
use crate::Errno;
use crate::fs::Viewer;
use crate::memory::MemoryStatistics;
use crate::platform::PAGE_SIZE;

fn statistics_of(machine: &Machine) -> MemoryStatistics {
    machine.frames.upgrade().map_or_else(MemoryStatistics::default, |frames| frames.statistics())
}

/// Anonymous pages, in bytes: what is neither free nor of a file, nor the kernel's own.
fn anonymous_bytes(memory: &MemoryStatistics) -> u64 {
    let others =
        memory.free_bytes + memory.cached_bytes + memory.shared_bytes + memory.heap_bytes + memory.huge_bytes;
    memory.total_bytes.saturating_sub(others)
}

/// `meminfo`.
pub(super) fn memory(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let memory = statistics_of(machine);
    let anonymous = anonymous_bytes(&memory);
    let files = memory.cached_bytes + memory.shared_bytes;
    let mut text = String::new();
    for (name, len_bytes) in [
        ("MemTotal", memory.total_bytes),
        ("MemFree", memory.free_bytes),
        ("MemUsed", memory.total_bytes.saturating_sub(memory.free_bytes)),
        ("SwapCached", 0),
        ("Active", anonymous + memory.cached_bytes),
        ("Inactive", 0),
        ("Active(anon)", anonymous),
        ("Inactive(anon)", 0),
        ("Active(file)", memory.cached_bytes),
        ("Inactive(file)", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("FilePages", files),
        ("Mapped", memory.cached_bytes),
        ("AnonPages", anonymous),
        ("Shmem", memory.shared_bytes),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("Slab", memory.heap_bytes),
        ("SReclaimable", 0),
        ("SUnreclaim", memory.heap_bytes),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(text, "Node 0 {:<15}{:8} kB", format!("{name}:"), len_bytes / 1024);
    }
    let pool = machine.frames.upgrade().map(|frames| frames.huge_pages()).unwrap_or_default();
    for (name, pages) in [("Total", pool.total), ("Free", pool.free), ("Surp", pool.surplus)] {
        let _ = writeln!(text, "Node 0 {:<16} {pages:5}", format!("HugePages_{name}:"));
    }
    Ok(text.into_bytes())
}

/// `numastat`: every page is of the node that it was wanted of.
pub(super) fn placement(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let memory = statistics_of(machine);
    let pages = memory.total_bytes.saturating_sub(memory.free_bytes) / PAGE_SIZE;
    let text = format!(
        "numa_hit {pages}\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node {pages}\nother_node 0\n"
    );
    Ok(text.into_bytes())
}

/// `vmstat`.
pub(super) fn statistics(machine: &Machine, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let memory = statistics_of(machine);
    let pages = |len_bytes: u64| len_bytes / PAGE_SIZE;
    let text = format!(
        "nr_free_pages {}\nnr_anon_pages {}\nnr_mapped {}\nnr_file_pages {}\nnr_dirty 0\nnr_writeback 0\nnr_shmem {}\n",
        pages(memory.free_bytes),
        pages(anonymous_bytes(&memory)),
        pages(memory.cached_bytes),
        pages(memory.cached_bytes + memory.shared_bytes),
        pages(memory.shared_bytes),
    );
    Ok(text.into_bytes())
}
