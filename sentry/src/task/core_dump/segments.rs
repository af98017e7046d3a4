//! Which memory a core dump holds (`man 5 core`, "Controlling which mappings are written to the core dump").

use super::sink::Sink;
use crate::Errno;
use crate::memory::{MappingFlags, MappingInfo, MemoryManager, Protection};
use crate::platform::{PAGE_SIZE, VirtualAddress, VirtualRange};

// The bits of /proc/PID/coredump_filter.
const ANONYMOUS_PRIVATE: u32 = 1 << 0;
const ANONYMOUS_SHARED: u32 = 1 << 1;
const FILE_PRIVATE: u32 = 1 << 2;
const FILE_SHARED: u32 = 1 << 3;
const ELF_HEADERS: u32 = 1 << 4;

const ELF_MAGIC: [u8; 4] = *b"\x7fELF";
/// Bytes that are copied at once.
const PORTION_BYTES: u64 = 64 * 1024;

/// A mapping, and what a dump holds of it.
pub(super) struct Segment {
    pub(super) range: VirtualRange,
    pub(super) protection: Protection,
    /// From its start; 0 for nothing.
    pub(super) dumped_bytes: u64,
    /// What was never touched is zeroes, and is left out of the file as a hole.
    is_sparse: bool,
}

/// The segments of an address space under a filter.
pub(super) fn of(memory: &MemoryManager, filter: u32) -> Vec<Segment> {
    let mappings = memory.mappings();
    mappings.iter().map(|mapping| Segment::new(memory, mapping, filter)).collect()
}

impl Segment {
    fn new(memory: &MemoryManager, mapping: &MappingInfo, filter: u32) -> Self {
        Self {
            range: mapping.range,
            protection: mapping.protection,
            dumped_bytes: dumped_bytes(memory, mapping, filter),
            is_sparse: !is_of_file(mapping) || mapping.flags.contains(MappingFlags::SHARED),
        }
    }

    /// Writes what the dump holds of it.
    pub(super) fn write(&self, memory: &MemoryManager, sink: &mut Sink<'_>) -> Result<(), Errno> {
        let mut next = self.range.start.0;
        let end = next.saturating_add(self.dumped_bytes);
        while next < end {
            let portion_end = end.min(next.saturating_add(PORTION_BYTES));
            next = match self.is_sparse {
                true => dump_present(memory, sink, next, end)?,
                false => {
                    dump_portion(memory, sink, next, portion_end)?;
                    portion_end
                }
            };
        }
        Ok(())
    }
}

/// Leaves out what is absent from `start` on, and writes a portion of what follows it. Returns where that ends.
fn dump_present(memory: &MemoryManager, sink: &mut Sink<'_>, start: u64, end: u64) -> Result<u64, Errno> {
    let range = VirtualRange { start: VirtualAddress(start), end: VirtualAddress(end) };
    let Some(present) = memory.first_present(range, PORTION_BYTES / PAGE_SIZE) else {
        sink.skip(end - start)?;
        return Ok(end);
    };
    sink.skip(present.start.0 - start)?;
    dump_portion(memory, sink, present.start.0, present.end.0)?;
    Ok(present.end.0)
}

/// Writes a portion; pages that cannot be read, past the end of a file, are holes.
fn dump_portion(memory: &MemoryManager, sink: &mut Sink<'_>, start: u64, end: u64) -> Result<(), Errno> {
    let mut buffer = vec![0; usize::try_from(end - start).map_err(|_| Errno::EFBIG)?];
    memory.read_forced(VirtualAddress(start), &mut buffer);
    sink.write(&buffer)
}

fn is_of_file(mapping: &MappingInfo) -> bool {
    mapping.inode != 0 || mapping.device != (0, 0)
}

/// How much of a mapping the filter wants (Linux's `vma_dump_size`).
fn dumped_bytes(memory: &MemoryManager, mapping: &MappingInfo, filter: u32) -> u64 {
    let whole = mapping.range.end.0 - mapping.range.start.0;
    let wants = |bit: u32| filter & bit != 0;
    let when = |is_wanted: bool| if is_wanted { whole } else { 0 };
    if !is_of_file(mapping) && mapping.name.starts_with(b"[v") {
        return whole;
    }
    if mapping.flags.contains(MappingFlags::DONTDUMP) {
        return 0;
    }
    if mapping.flags.contains(MappingFlags::SHARED) {
        let is_nameless = mapping.name.ends_with(b" (deleted)");
        return when(wants(if is_nameless { ANONYMOUS_SHARED } else { FILE_SHARED }));
    }
    if mapping.private_pages > 0 && wants(ANONYMOUS_PRIVATE) {
        return whole;
    }
    if !is_of_file(mapping) {
        return 0;
    }
    if wants(FILE_PRIVATE) {
        return whole;
    }
    let is_head = mapping.offset == 0 && mapping.protection.contains(Protection::READ);
    let has_elf_header = || {
        let mut magic = [0; ELF_MAGIC.len()];
        memory.read_partial(mapping.range.start, &mut magic);
        mapping.protection.contains(Protection::EXECUTE) || magic == ELF_MAGIC
    };
    if wants(ELF_HEADERS) && is_head && has_elf_header() { PAGE_SIZE } else { 0 }
}
