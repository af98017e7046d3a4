//! /proc/PID/numa_maps (`man 5 proc_pid_numa_maps`), on a machine with one node.

use std::io::Write;

use crate::fs::proc::source::{MappingStatus, Process};
use crate::memory::{HUGE_PAGE_BYTES, MappingFlags, MemoryPolicy};
use crate::platform::PAGE_SIZE;

/// The line of a mapping.
pub(super) fn numa_maps(text: &mut Vec<u8>, process: &dyn Process, mapping: &MappingStatus) {
    let own = mapping.policy;
    let policy = if own == MemoryPolicy::default() { process.memory_policy() } else { own };
    // Writing to a vector does not fail.
    let _ = write!(text, "{:08x} {policy}", mapping.start);
    append_name(text, &mapping.name);
    append_pages(text, mapping);
    text.push(b'\n');
}

/// The heap and the stack by their names, a file by its path, with what would end a field escaped.
fn append_name(text: &mut Vec<u8>, name: &[u8]) {
    match name {
        b"[heap]" => text.extend_from_slice(b" heap"),
        b"[stack]" => text.extend_from_slice(b" stack"),
        [b'/', ..] => {
            text.extend_from_slice(b" file=");
            for byte in name {
                match byte {
                    b'\n' | b'\t' | b'=' | b' ' => text.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
                    other => text.push(*other),
                }
            }
        }
        _ => {}
    }
}

fn append_pages(text: &mut Vec<u8>, mapping: &MappingStatus) {
    let is_huge = mapping.flags.contains(MappingFlags::HUGETLB);
    let page_bytes = if is_huge { HUGE_PAGE_BYTES } else { PAGE_SIZE };
    let [file, anonymous] = mapping.resident_bytes.map(|len_bytes| len_bytes / page_bytes);
    if is_huge {
        text.extend_from_slice(b" huge");
    }
    let pages = file + anonymous;
    if pages == 0 {
        return;
    }
    if anonymous > 0 {
        let _ = write!(text, " anon={anonymous} dirty={anonymous}");
    }
    if file > 0 {
        let _ = write!(text, " mapped={pages}");
    }
    let _ = write!(text, " N0={pages} kernelpagesize_kB={}", page_bytes / 1024);
}
