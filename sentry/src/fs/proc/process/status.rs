//! /proc/PID/status.

use std::fmt::Write;

use super::state_name;
use crate::Errno;
use crate::cred::{KernelGid, UserNamespace};
use crate::fs::proc::source::{MemoryStatus, Process, ProcessStatus};

/// The text, with users and groups as `namespace` numbers them. Names are escaped as Linux does, so that each line is one field.
pub(super) fn status(process: &dyn Process, namespace: &UserNamespace) -> Result<Vec<u8>, Errno> {
    let status = process.status();
    let slots = process.descriptors().map_or(0, |descriptors| descriptors.slots());
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = identity(&mut text, &status, slots, namespace);
    if let Some(memory) = process.memory() {
        let _ = sizes(&mut text, &memory);
    }
    let _ = rest(&mut text, &status);
    Ok(text.into_bytes())
}

fn identity(
    text: &mut String,
    status: &ProcessStatus,
    slots: usize,
    namespace: &UserNamespace,
) -> std::fmt::Result {
    writeln!(text, "Name:\t{}", escaped_name(&status.name))?;
    if let Some(umask) = status.umask {
        writeln!(text, "Umask:\t{umask:04o}")?;
    }
    writeln!(text, "State:\t{}", state_name(status))?;
    writeln!(text, "Tgid:\t{}", status.process_id)?;
    writeln!(text, "Ngid:\t0")?;
    writeln!(text, "Pid:\t{}", status.id)?;
    writeln!(text, "PPid:\t{}", status.parent_id)?;
    writeln!(text, "TracerPid:\t{}", status.tracer_id)?;
    let [real, effective, saved, fs] = status.uids.map(|uid| namespace.from_kernel_uid(uid));
    writeln!(text, "Uid:\t{real}\t{effective}\t{saved}\t{fs}")?;
    let [real, effective, saved, fs] = status.gids.map(|gid| namespace.from_kernel_gid(gid));
    writeln!(text, "Gid:\t{real}\t{effective}\t{saved}\t{fs}")?;
    writeln!(text, "FDSize:\t{slots}")?;
    let shown = |group: &KernelGid| format!("{} ", namespace.from_kernel_gid(*group));
    let groups: String = status.groups.iter().map(shown).collect();
    writeln!(text, "Groups:\t{}", if groups.is_empty() { " " } else { &groups })?;
    writeln!(text, "NStgid:\t{}", status.process_id)?;
    writeln!(text, "NSpid:\t{}", status.id)?;
    writeln!(text, "NSpgid:\t{}", status.process_group_id)?;
    writeln!(text, "NSsid:\t{}", status.session_id)?;
    writeln!(text, "Kthread:\t0")
}

fn escaped_name(name: &[u8]) -> String {
    let mut escaped = String::new();
    for character in String::from_utf8_lossy(name).chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\\' => escaped.push_str("\\\\"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn sizes(text: &mut String, memory: &MemoryStatus) -> std::fmt::Result {
    for (name, len_bytes) in [
        ("VmPeak", memory.peak_bytes.max(memory.total_bytes)),
        ("VmSize", memory.total_bytes),
        ("VmLck", memory.locked_bytes),
        ("VmPin", 0),
        ("VmHWM", memory.peak_resident_bytes.max(memory.resident_bytes())),
        ("VmRSS", memory.resident_bytes()),
        ("RssAnon", memory.resident_anonymous_bytes),
        ("RssFile", memory.resident_file_bytes),
        ("RssShmem", memory.resident_shared_bytes),
        ("VmData", memory.data_bytes),
        ("VmStk", memory.stack_bytes),
        ("VmExe", memory.code_bytes),
        ("VmLib", memory.library_bytes),
        ("VmPTE", memory.page_table_bytes),
        ("VmSwap", 0),
        ("HugetlbPages", memory.huge_bytes),
    ] {
        writeln!(text, "{name}:\t{:8} kB", len_bytes / 1024)?;
    }
    writeln!(text, "CoreDumping:\t0\nTHP_enabled:\t0\nuntag_mask:\t0xffffffffffffffff")
}

fn rest(text: &mut String, status: &ProcessStatus) -> std::fmt::Result {
    writeln!(text, "Threads:\t{}", status.threads)?;
    writeln!(text, "SigQ:\t{}/{}", status.queued_signals.0, status.queued_signals.1)?;
    for (name, bits) in [
        ("SigPnd", status.pending),
        ("ShdPnd", status.shared_pending),
        ("SigBlk", status.blocked),
        ("SigIgn", status.ignored),
        ("SigCgt", status.caught),
        ("CapInh", status.capabilities[0]),
        ("CapPrm", status.capabilities[1]),
        ("CapEff", status.capabilities[2]),
        ("CapBnd", status.capabilities[3]),
        ("CapAmb", status.capabilities[4]),
    ] {
        writeln!(text, "{name}:\t{bits:016x}")?;
    }
    writeln!(text, "NoNewPrivs:\t{}", u8::from(status.has_no_new_privs))?;
    writeln!(text, "Seccomp:\t{}\nSeccomp_filters:\t{}", status.seccomp_mode, status.seccomp_filters)?;
    writeln!(text, "Speculation_Store_Bypass:\tvulnerable\nSpeculationIndirectBranch:\talways enabled")?;
    writeln!(text, "Cpus_allowed:\t{:x}", status.allowed_cpus)?;
    writeln!(text, "Cpus_allowed_list:\t{}", number_ranges(status.allowed_cpus))?;
    writeln!(text, "Mems_allowed:\t00000001\nMems_allowed_list:\t0")?;
    writeln!(text, "voluntary_ctxt_switches:\t{}", status.context_switches[0])?;
    writeln!(text, "nonvoluntary_ctxt_switches:\t{}", status.context_switches[1])
}

/// The set bits as `0-3,7`.
fn number_ranges(bits: u64) -> String {
    let is_set = |bit: u32| bits.checked_shr(bit).unwrap_or(0) & 1 == 1;
    let mut ranges: Vec<String> = Vec::new();
    let mut bit = 0;
    while bit < u64::BITS {
        let first = bit;
        while is_set(bit) {
            bit += 1;
        }
        match bit - first {
            0 => {}
            1 => ranges.push(first.to_string()),
            _ => ranges.push(format!("{first}-{}", bit - 1)),
        }
        bit += 1;
    }
    ranges.join(",")
}

#[cfg(test)]
mod tests;
