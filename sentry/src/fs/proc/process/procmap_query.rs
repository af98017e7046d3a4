//! The question that an open /proc/PID/maps answers about one mapping (PROCMAP_QUERY; `man 2 PROCMAP_QUERY`).

use std::mem::offset_of;

use linux_raw_sys::io_uring::procmap_query_flags;
use zerocopy::{FromZeros, IntoBytes};

use crate::Errno;
use crate::abi::ProcmapQuery;
use crate::fs::proc::About;
use crate::fs::proc::source::MappingStatus;
use crate::fs::{Caller, Viewer};
use crate::platform::{PAGE_SIZE, VirtualAddress};

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: u32 = 0xc068_6611;
/// What Linux takes at least: through `query_addr`.
const MIN_BYTES: usize = offset_of!(ProcmapQuery, vma_start);
/// Mappings that are looked at in one step.
const STEP: usize = 64;
/// PATH_MAX: no name is longer.
const MAX_NAME_BYTES: usize = 4096;

bitflags::bitflags! {
    /// What the mapping has to be, and what it is.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct QueryFlags: u64 {
        const READABLE = procmap_query_flags::PROCMAP_QUERY_VMA_READABLE as u64;
        const WRITABLE = procmap_query_flags::PROCMAP_QUERY_VMA_WRITABLE as u64;
        const EXECUTABLE = procmap_query_flags::PROCMAP_QUERY_VMA_EXECUTABLE as u64;
        const SHARED = procmap_query_flags::PROCMAP_QUERY_VMA_SHARED as u64;
        /// If none covers the address, the next one that fits.
        const COVERING_OR_NEXT = procmap_query_flags::PROCMAP_QUERY_COVERING_OR_NEXT_VMA as u64;
        const FILE_BACKED = procmap_query_flags::PROCMAP_QUERY_FILE_BACKED_VMA as u64;
    }
}

/// ioctl(2) on an open maps.
pub(super) fn ioctl(
    about: &About,
    _viewer: &Viewer,
    request: u32,
    argument: u64,
    caller: &dyn Caller,
) -> Result<usize, Errno> {
    if request != PROCMAP_QUERY {
        return Err(Errno::ENOTTY);
    }
    let place = VirtualAddress(argument);
    let (mut query, size) = read(place, caller)?;
    let flags = QueryFlags::from_bits(query.query_flags).ok_or(Errno::EINVAL)?;
    let is_half = |size: u32, place: u64| (size == 0) != (place == 0);
    if is_half(query.vma_name_size, query.vma_name_addr) || is_half(query.build_id_size, query.build_id_addr)
    {
        return Err(Errno::EINVAL);
    }
    let mapping = find(about, query.query_addr, flags, caller)?;
    describe(&mut query, &mapping);
    // No build id is known here: Linux says so for files that have none.
    query.build_id_size = 0;
    if query.vma_name_size != 0 {
        let name = terminated(&mapping.name);
        if name.len() > MAX_NAME_BYTES.min(query.vma_name_size as usize) {
            return Err(Errno::ENAMETOOLONG);
        }
        query.vma_name_size = u32::try_from(name.len()).map_err(|_| Errno::ENAMETOOLONG)?;
        caller.memory().write_bytes(VirtualAddress(query.vma_name_addr), &name)?;
    }
    caller.memory().write_bytes(place, &query.as_bytes()[..size])?;
    Ok(0)
}

/// The query, and how many bytes of it the caller knows.
fn read(place: VirtualAddress, caller: &dyn Caller) -> Result<(ProcmapQuery, usize), Errno> {
    let size: u64 = caller.memory().read_object(place)?;
    let size = usize::try_from(size).map_err(|_| Errno::E2BIG)?;
    if size > PAGE_SIZE as usize {
        return Err(Errno::E2BIG);
    }
    if size < MIN_BYTES {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; size];
    caller.memory().read_bytes(place, &mut bytes)?;
    let known = size.min(size_of::<ProcmapQuery>());
    if bytes[known..].iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    let mut query = ProcmapQuery::new_zeroed();
    query.as_mut_bytes()[..known].copy_from_slice(&bytes[..known]);
    Ok((query, known))
}

/// The mapping that covers `address` and is what `wanted` says, or one behind it.
fn find(
    about: &About,
    address: u64,
    wanted: QueryFlags,
    caller: &dyn Caller,
) -> Result<MappingStatus, Errno> {
    let process = about.process()?;
    let mut next = address;
    loop {
        let mappings = process.mappings_from(next, STEP)?;
        let Some(end) = mappings.last().map(|last| last.end) else { return Err(Errno::ENOENT) };
        for mapping in mappings {
            let is_meant = (flags_of(&mapping) | QueryFlags::COVERING_OR_NEXT).contains(wanted);
            let covers = mapping.start <= address;
            if is_meant && (covers || wanted.contains(QueryFlags::COVERING_OR_NEXT)) {
                return Ok(mapping);
            }
            if !wanted.contains(QueryFlags::COVERING_OR_NEXT) {
                return Err(Errno::ENOENT);
            }
        }
        next = end;
        caller.keep_going()?;
    }
}

fn flags_of(mapping: &MappingStatus) -> QueryFlags {
    let [is_readable, is_writable, is_executable] = mapping.access;
    let mut flags = QueryFlags::empty();
    flags.set(QueryFlags::READABLE, is_readable);
    flags.set(QueryFlags::WRITABLE, is_writable);
    flags.set(QueryFlags::EXECUTABLE, is_executable);
    flags.set(QueryFlags::SHARED, mapping.is_shared);
    flags.set(QueryFlags::FILE_BACKED, mapping.file.1 != 0);
    flags
}

fn describe(query: &mut ProcmapQuery, mapping: &MappingStatus) {
    let (device, inode) = mapping.file;
    query.vma_start = mapping.start;
    query.vma_end = mapping.end;
    query.vma_flags = (flags_of(mapping) - QueryFlags::FILE_BACKED).bits();
    query.vma_page_size = PAGE_SIZE;
    query.vma_offset = mapping.offset;
    query.inode = inode;
    (query.dev_major, query.dev_minor) = (device.major, device.minor);
}

/// A name with its final zero; nothing for none.
fn terminated(name: &[u8]) -> Vec<u8> {
    if name.is_empty() { Vec::new() } else { [name, b"\0"].concat() }
}
