//! /proc/PID/maps, smaps and smaps_rollup.

use std::fmt::Write;

use crate::Errno;
use crate::fs::proc::source::{MappingStatus, Process};
use crate::fs::sleeper::ServedPace;
use crate::memory::{HUGE_PAGE_BYTES, MappingFlags};
use crate::pace::Pace;

/// Where the name begins in a line.
const NAME_COLUMN: usize = 73;

/// The page of the old system calls, which can be called and not read.
pub(super) fn vsyscall() -> MappingStatus {
    const START: u64 = 0xffff_ffff_ff60_0000;
    MappingStatus {
        start: START,
        end: START + 4096,
        access: [false, false, true],
        name: b"[vsyscall]".into(),
        ..MappingStatus::default()
    }
}

/// The line of a mapping in maps.
pub(super) fn maps(text: &mut Vec<u8>, _process: &dyn Process, mapping: &MappingStatus) {
    header(text, mapping);
}

fn header(text: &mut Vec<u8>, mapping: &MappingStatus) {
    let flag = |is_set: bool, letter: char| if is_set { letter } else { '-' };
    let [readable, writable, executable] = mapping.access;
    let (device, inode) = mapping.file;
    let mut line = format!(
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {inode} ",
        mapping.start,
        mapping.end,
        flag(readable, 'r'),
        flag(writable, 'w'),
        flag(executable, 'x'),
        if mapping.is_shared { 's' } else { 'p' },
        mapping.offset,
        device.major,
        device.minor,
    );
    if !mapping.name.is_empty() {
        while line.len() < NAME_COLUMN {
            line.push(' ');
        }
    }
    text.extend_from_slice(line.as_bytes());
    for byte in &mapping.name {
        // So that a file's name cannot end the line.
        match byte {
            b'\n' => text.extend_from_slice(b"\\012"),
            other => text.push(*other),
        }
    }
    text.push(b'\n');
}

/// What the fields after the header tell, in kB.
#[derive(Default)]
struct Sizes {
    total: u64,
    resident: u64,
    shared: u64,
    shared_dirty: u64,
    private_clean: u64,
    private_dirty: u64,
    anonymous: u64,
    locked: u64,
    /// Of huge pages: those that others may see, and the process's own. They count as nothing else.
    huge: [u64; 2],
}

impl Sizes {
    fn of(mapping: &MappingStatus) -> Self {
        let [file, anonymous] = mapping.resident_bytes.map(|len_bytes| len_bytes / 1024);
        let total = mapping.end.saturating_sub(mapping.start) / 1024;
        if mapping.flags.contains(MappingFlags::HUGETLB) {
            let own = mapping.exclusive_bytes / 1024;
            return Self { total, huge: [file + anonymous.saturating_sub(own), own], ..Self::default() };
        }
        let (shared, private_clean) = if mapping.is_shared { (file, 0) } else { (0, file) };
        let exclusive = mapping.exclusive_bytes / 1024;
        Self {
            total,
            resident: file + anonymous,
            shared,
            shared_dirty: anonymous.saturating_sub(exclusive),
            private_clean,
            private_dirty: exclusive,
            anonymous,
            locked: if mapping.is_locked { file + anonymous } else { 0 },
            huge: [0; 2],
        }
    }

    fn add(&mut self, other: &Self) {
        self.total += other.total;
        self.resident += other.resident;
        self.shared += other.shared;
        self.shared_dirty += other.shared_dirty;
        self.private_clean += other.private_clean;
        self.private_dirty += other.private_dirty;
        self.anonymous += other.anonymous;
        self.locked += other.locked;
        self.huge[0] += other.huge[0];
        self.huge[1] += other.huge[1];
    }

    fn fields(&self) -> [(&'static str, u64); 20] {
        [
            ("Rss", self.resident),
            ("Pss", self.resident - self.shared_dirty / 2),
            ("Pss_Dirty", self.private_dirty + self.shared_dirty / 2),
            ("Shared_Clean", self.shared),
            ("Shared_Dirty", self.shared_dirty),
            ("Private_Clean", self.private_clean),
            ("Private_Dirty", self.private_dirty),
            ("Referenced", self.resident),
            ("Anonymous", self.anonymous),
            ("KSM", 0),
            ("LazyFree", 0),
            ("AnonHugePages", 0),
            ("ShmemPmdMapped", 0),
            ("FilePmdMapped", 0),
            ("Shared_Hugetlb", self.huge[0]),
            ("Private_Hugetlb", self.huge[1]),
            ("Swap", 0),
            ("SwapPss", 0),
            ("Locked", self.locked),
            ("THPeligible", 0),
        ]
    }
}

fn size_lines(fields: &[(&str, u64)]) -> String {
    let mut text = String::new();
    for (name, size) in fields {
        // Writing to a string does not fail.
        let _ = match *name {
            "THPeligible" => writeln!(text, "{:<16}{size:8}", "THPeligible:"),
            _ => writeln!(text, "{:<16}{size:8} kB", format!("{name}:")),
        };
    }
    text
}

/// The lines of a mapping in smaps.
pub(super) fn smaps(text: &mut Vec<u8>, _process: &dyn Process, mapping: &MappingStatus) {
    header(text, mapping);
    let sizes = Sizes::of(mapping);
    let page = if mapping.flags.contains(MappingFlags::HUGETLB) { HUGE_PAGE_BYTES / 1024 } else { 4 };
    let pages = [("Size", sizes.total), ("KernelPageSize", page), ("MMUPageSize", page)];
    text.extend_from_slice(size_lines(&pages).as_bytes());
    text.extend_from_slice(size_lines(&sizes.fields()).as_bytes());
    text.extend_from_slice(flags(mapping).as_bytes());
}

fn flags(mapping: &MappingStatus) -> String {
    let [readable, writable, executable] = mapping.access;
    let [may_be_readable, may_be_writable, may_be_executable] = mapping.max_access;
    let has = |flag| mapping.flags.contains(flag);
    // VM_ACCOUNT: private memory that has been writable, and shared memory without a file.
    let is_accounted =
        writable && !mapping.is_shared && !has(MappingFlags::HUGETLB) && !has(MappingFlags::NORESERVE);
    let shown = [
        (readable, "rd"),
        (writable, "wr"),
        (executable, "ex"),
        (mapping.is_shared, "sh"),
        (may_be_readable, "mr"),
        (may_be_writable, "mw"),
        (may_be_executable, "me"),
        (mapping.is_shared, "ms"),
        (has(MappingFlags::GROWSDOWN), "gd"),
        (has(MappingFlags::LOCKED), "lo"),
        (has(MappingFlags::SEQ_READ), "sr"),
        (has(MappingFlags::RAND_READ), "rr"),
        (has(MappingFlags::DONTCOPY), "dc"),
        (has(MappingFlags::HUGETLB), "de"),
        (is_accounted, "ac"),
        (has(MappingFlags::NORESERVE), "nr"),
        (has(MappingFlags::HUGETLB), "ht"),
        (has(MappingFlags::WIPEONFORK), "wf"),
        (has(MappingFlags::DONTDUMP), "dd"),
        (has(MappingFlags::HUGEPAGE), "hg"),
        (has(MappingFlags::NOHUGEPAGE), "nh"),
        (has(MappingFlags::MERGEABLE), "mg"),
        (has(MappingFlags::SEALED), "sl"),
        (has(MappingFlags::DROPPABLE), "dp"),
    ];
    let names: String =
        shown.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| format!("{name} ")).collect();
    format!("VmFlags: {names}\n")
}

pub(super) fn smaps_rollup(process: &dyn Process) -> Result<Vec<u8>, Errno> {
    /// Mappings that are looked at between two looks at whether the reader is wanted elsewhere.
    const MAPPINGS_AT_ONCE: usize = 512;
    let mut sum = Sizes::default();
    let (mut start, mut end) = (None, 0);
    loop {
        let mappings = process.mappings_from(end, MAPPINGS_AT_ONCE)?;
        mappings.iter().for_each(|mapping| sum.add(&Sizes::of(mapping)));
        let Some((first, last)) = mappings.first().zip(mappings.last()) else { break };
        (start, end) = (start.or(Some(first.start)), last.end);
        if mappings.len() < MAPPINGS_AT_ONCE {
            break;
        }
        ServedPace.keep_going()?;
    }
    let name = b"[rollup]".into();
    let whole = MappingStatus { start: start.unwrap_or_default(), end, name, ..MappingStatus::default() };
    let mut text = Vec::new();
    header(&mut text, &whole);
    let fields = sum.fields();
    let without_eligibility = fields.split_last().map_or(&fields[..], |(_, others)| others);
    // What the sum has beside: the proportional size by what the pages are.
    let (total, others) = without_eligibility.split_at(3.min(without_eligibility.len()));
    let anonymous = sum.anonymous.saturating_sub(sum.shared_dirty / 2);
    let by_kind =
        [("Pss_Anon", anonymous), ("Pss_File", sum.resident.saturating_sub(sum.anonymous)), ("Pss_Shmem", 0)];
    for fields in [total, &by_kind, others] {
        text.extend_from_slice(size_lines(fields).as_bytes());
    }
    Ok(text)
}
