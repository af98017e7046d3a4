//! Open files and directories.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::general as uapi;

use super::node::Node;
use super::shift;
use crate::Errno;
use crate::fs::file_capabilities::drop_with_contents;
use crate::fs::inode::Inode;
use crate::fs::metadata::{AttributeChanges, Metadata};
use crate::fs::sleeper::ServedPace;
use crate::fs::{Caller, DirectoryEntry, File, OpenFlags};
use crate::memory::{MemoryAccount, PageCache};

/// An open regular file.
pub(super) struct RegularFile {
    node: Arc<Node>,
    is_writable: bool,
    moves_access_time: bool,
    is_direct: AtomicBool,
}

/// The largest file in extents.
const MAX_FILE_BYTES: u64 = (1 << 44) - 4096;

/// What direct I/O on a block device moves whole ones of.
const SECTOR_BYTES: u64 = 512;

impl RegularFile {
    pub(super) fn new(node: Arc<Node>, flags: OpenFlags) -> Self {
        let moves_access_time = !flags.contains(OpenFlags::NOATIME);
        let is_direct = AtomicBool::new(flags.contains(OpenFlags::DIRECT));
        Self { node, is_writable: flags.is_writable(), moves_access_time, is_direct }
    }

    /// Direct I/O moves whole sectors where there are any.
    fn check_alignment(&self, offset: u64, len: usize) -> Result<(), Errno> {
        let is_aligned = || offset.is_multiple_of(SECTOR_BYTES) && (len as u64).is_multiple_of(SECTOR_BYTES);
        let needs_it = self.is_direct.load(Ordering::Relaxed) && self.node.volume().is_stored();
        if needs_it && !is_aligned() { Err(Errno::EINVAL) } else { Ok(()) }
    }
}

/// Does `operation` at the expense of the caller's control group. If that has nothing left, the caller deals with it before
/// user code goes on.
fn paid_by<T>(
    caller: &dyn Caller,
    operation: impl FnOnce(Option<&Arc<MemoryAccount>>) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let result = operation(caller.memory().payer().as_ref());
    if result.as_ref().err() == Some(&Errno::ENOMEM) {
        caller.memory().note_shortage();
    }
    result
}

impl RegularFile {
    fn read_for(
        &self,
        buffer: &mut [u8],
        offset: u64,
        payer: Option<&Arc<MemoryAccount>>,
    ) -> Result<usize, Errno> {
        self.check_alignment(offset, buffer.len())?;
        let read = self.node.read_data(buffer, offset, payer)?;
        if self.moves_access_time {
            self.node.stamp_accessed();
        }
        Ok(read)
    }

    /// What is about to be written takes the file's privileges.
    fn drop_privileges(&self, buffer: &[u8], caller: &dyn Caller) -> Result<(), Errno> {
        if buffer.is_empty() { Ok(()) } else { drop_with_contents(&*self.node, &caller.credentials()) }
    }
}

/// Makes sure that a range has pages, at the expense of the caller's control group.
fn allocate_pages(
    cache: &PageCache,
    (offset, len_bytes): (u64, u64),
    caller: &dyn Caller,
) -> Result<(), Errno> {
    if cache.is_huge() {
        return cache.allocate_huge(offset..offset.saturating_add(len_bytes), caller);
    }
    paid_by(caller, |payer| {
        let payer = payer.map(|payer| &**payer);
        cache.allocate(offset, len_bytes, payer, &|| caller.keep_going().is_err() || caller.is_interrupted())
    })
}

/// Which operations of fallocate(2) there are: tmpfs can allocate and punch holes; files that are not in extents cannot be
/// allocated ahead of being written; only extents can be shifted.
impl RegularFile {
    fn check_can_allocate(&self, mode: u32) -> Result<(), Errno> {
        let volume = self.node.volume();
        let can = match mode & !uapi::FALLOC_FL_KEEP_SIZE {
            0 => !volume.is_stored() || volume.has_extents(),
            uapi::FALLOC_FL_PUNCH_HOLE => true,
            uapi::FALLOC_FL_ZERO_RANGE => volume.zeroes_ranges(),
            uapi::FALLOC_FL_COLLAPSE_RANGE | uapi::FALLOC_FL_INSERT_RANGE => volume.has_extents(),
            _ => false,
        };
        if can { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
    }

    /// Whole blocks are shifted, and none behind the end.
    fn check_shift(&self, operation: u32, offset: u64, len_bytes: u64) -> Result<(), Errno> {
        let metadata = self.node.metadata()?;
        let (block, size) = (u64::from(metadata.block_size_bytes).max(1), metadata.size_bytes);
        let is_inside = match operation {
            uapi::FALLOC_FL_COLLAPSE_RANGE => offset.saturating_add(len_bytes) < size,
            _ => offset < size,
        };
        if !offset.is_multiple_of(block) || !len_bytes.is_multiple_of(block) || !is_inside {
            return Err(Errno::EINVAL);
        }
        let end = size.checked_add(len_bytes).filter(|end| *end <= MAX_FILE_BYTES);
        if operation == uapi::FALLOC_FL_INSERT_RANGE && end.is_none() { Err(Errno::EFBIG) } else { Ok(()) }
    }
}

impl File for RegularFile {
    fn takes_whole(&self, _len_bytes: u64) -> bool {
        true
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.read_for(buffer, offset, None)
    }

    fn read_by(&self, buffer: &mut [u8], offset: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        paid_by(caller, |payer| self.read_for(buffer, offset, payer))
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        self.node.perform_write(buffer, offset, None)
    }

    fn write_by(&self, buffer: &[u8], offset: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        self.check_alignment(offset, buffer.len())?;
        self.drop_privileges(buffer, caller)?;
        paid_by(caller, |payer| self.node.perform_write(buffer, offset, payer))
    }

    fn append(&self, buffer: &[u8]) -> Result<(usize, u64), Errno> {
        self.node.append_data(buffer, None)
    }

    fn append_by(&self, buffer: &[u8], caller: &dyn Caller) -> Result<(usize, u64), Errno> {
        self.check_alignment(self.node.metadata()?.size_bytes, buffer.len())?;
        self.drop_privileges(buffer, caller)?;
        paid_by(caller, |payer| self.node.append_data(buffer, payer))
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seek_data_or_hole(&self, offset: u64, find_data: bool) -> Result<u64, Errno> {
        let cache = self.node.page_cache(false)?;
        let found = if find_data { cache.next_data(offset) } else { cache.next_hole(offset) };
        found.ok_or(Errno::ENXIO)
    }

    fn punch_hole(&self, offset: u64, len_bytes: u64) -> Result<(), Errno> {
        self.node.check_allocate_seals(0, true)?;
        self.node.page_cache(true)?.punch_hole(offset, len_bytes, &ServedPace)?;
        self.node.stamp_modified();
        Ok(())
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        // A writable description may be mapped shared and writable.
        self.node.mapped_pages(self.is_writable)
    }

    fn check_writable_mapping(&self) -> Result<(), Errno> {
        self.node.check_mapping_seals()
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.node.metadata()
    }

    fn sync(&self) -> Result<(), Errno> {
        self.node.write_back()
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), Errno> {
        self.node
            .set_attributes(&AttributeChanges { size_bytes: Some(len_bytes), ..AttributeChanges::default() })
    }

    fn flags_changed(&self, flags: OpenFlags) {
        self.is_direct.store(flags.contains(OpenFlags::DIRECT), Ordering::Relaxed);
    }

    fn allocate(&self, mode: u32, offset: u64, len_bytes: u64, caller: &dyn Caller) -> Result<(), Errno> {
        self.check_can_allocate(mode)?;
        let end = offset.checked_add(len_bytes).filter(|&end| end <= i64::MAX as u64).ok_or(Errno::EFBIG)?;
        let keeps_size = mode & uapi::FALLOC_FL_KEEP_SIZE != 0;
        self.node
            .check_allocate_seals(if keeps_size { 0 } else { end }, mode & !uapi::FALLOC_FL_KEEP_SIZE != 0)?;
        drop_with_contents(&*self.node, &caller.credentials())?;
        let operation = mode & !uapi::FALLOC_FL_KEEP_SIZE;
        if matches!(operation, uapi::FALLOC_FL_COLLAPSE_RANGE | uapi::FALLOC_FL_INSERT_RANGE) {
            self.check_shift(operation, offset, len_bytes)?;
        }
        let cache = self.node.page_cache(true)?;
        match operation {
            0 => allocate_pages(&cache, (offset, len_bytes), caller)?,
            uapi::FALLOC_FL_PUNCH_HOLE if cache.is_huge() => cache.punch_huge(offset..end, caller)?,
            uapi::FALLOC_FL_PUNCH_HOLE => cache.punch_hole(offset, len_bytes, caller)?,
            uapi::FALLOC_FL_ZERO_RANGE => {
                cache.punch_hole(offset, len_bytes, caller)?;
                if self.node.volume().is_stored() {
                    allocate_pages(&cache, (offset, len_bytes), caller)?;
                }
            }
            uapi::FALLOC_FL_COLLAPSE_RANGE => {
                shift::collapse(&cache, offset..end, caller)?;
                self.node.stamp_modified();
                return Ok(());
            }
            _ => {
                shift::insert(&cache, offset..end, caller)?;
                self.node.stamp_modified();
                return Ok(());
            }
        }
        if !keeps_size && end > cache.size() {
            cache.resize(end, caller)?;
        }
        self.node.stamp_modified();
        Ok(())
    }

    fn takes_direct_io(&self) -> bool {
        true
    }

    fn offers_nowait(&self, _is_write: bool) -> bool {
        self.node.volume().is_stored()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open directory.
pub(super) struct DirectoryFile {
    node: Arc<Node>,
    moves_access_time: bool,
}

impl DirectoryFile {
    pub(super) fn new(node: Arc<Node>, flags: OpenFlags) -> Self {
        Self { node, moves_access_time: !flags.contains(OpenFlags::NOATIME) }
    }
}

impl File for DirectoryFile {
    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seeks_from_end(&self) -> bool {
        false
    }

    fn read_directory(
        &self,
        position: u64,
        sink: &mut dyn FnMut(DirectoryEntry) -> bool,
    ) -> Result<(), Errno> {
        self.node.loaded_entries()?.list(self.node.ino(), position, sink);
        if self.moves_access_time {
            self.node.stamp_accessed();
        }
        Ok(())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.node.metadata()
    }

    fn sync(&self) -> Result<(), Errno> {
        self.node.write_back()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
