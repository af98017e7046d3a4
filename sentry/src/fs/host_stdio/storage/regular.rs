//! One open of a regular file of the host.

use std::any::Any;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use linux_raw_sys::general as uapi;
use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::ReadWriteFlags;

use super::{Contents, Handle};
use crate::Errno;
use crate::fs::host_stdio::{CURRENT_POSITION, retry};
use crate::fs::{Caller, File, Metadata, OpenFlags, OuterPosition};
use crate::host::{HostCall, count_call};
use crate::memory::PageCache;

/// The modes of fallocate(2) that are passed on.
const ALLOCATE_MODES: u32 = uapi::FALLOC_FL_KEEP_SIZE
    | uapi::FALLOC_FL_PUNCH_HOLE
    | uapi::FALLOC_FL_COLLAPSE_RANGE
    | uapi::FALLOC_FL_ZERO_RANGE
    | uapi::FALLOC_FL_INSERT_RANGE;

/// An open regular file.
pub(super) struct RegularStream {
    contents: Arc<Contents>,
    handle: Arc<Handle>,
    /// Whether the position is the caller's.
    is_shared: bool,
}

impl RegularStream {
    /// The caller's own description.
    pub(super) fn shared(contents: Arc<Contents>, handle: Arc<Handle>) -> Self {
        Self { contents, handle, is_shared: true }
    }

    /// The file opened once more, with a position of its own.
    pub(super) fn reopened(contents: Arc<Contents>, handle: Arc<Handle>) -> Self {
        Self { contents, handle, is_shared: false }
    }

    fn size_bytes(&self) -> Result<u64, Errno> {
        count_call(HostCall::Stat);
        let stat = rustix::fs::fstat(&*self.handle)?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Writes at `offset`, or appends, by the host's own position if that is [`CURRENT_POSITION`].
    fn write(&self, buffer: &[u8], offset: u64, appends: bool) -> Result<usize, Errno> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.contents.write_back(0..u64::MAX)?;
        let flags = if appends { ReadWriteFlags::APPEND } else { ReadWriteFlags::empty() };
        count_call(HostCall::WriteAt);
        retry(|| rustix::io::pwritev2(&*self.handle, &[IoSlice::new(buffer)], offset, flags))
    }

    /// What has been written ends at `end`.
    fn written(&self, len: usize, end: u64) {
        self.contents.changed(end.saturating_sub(len as u64)..end, &self.handle);
    }

    /// Fails for what would not only let a file grow that was opened to be appended to.
    fn check_free(&self) -> Result<(), Errno> {
        if self.handle.is_append_only { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// lseek(2) on the host. That moves the caller's position, which is put back.
    fn find(&self, target: SeekFrom) -> Result<u64, Errno> {
        let before = self.get()?;
        count_call(HostCall::Seek);
        let found = rustix::fs::seek(&*self.handle, target);
        self.set(before)?;
        Ok(found?)
    }
}

impl File for RegularStream {
    fn is_prompt(&self) -> bool {
        false
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.contents.write_back(range_of(buffer.len(), offset))?;
        count_call(HostCall::ReadAt);
        retry(|| rustix::io::pread(&*self.handle, &mut *buffer, offset))
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        let written = self.write(buffer, offset, false)?;
        let is_appended = self.handle.is_append_only;
        let end = if is_appended { self.size_bytes()? } else { offset.saturating_add(written as u64) };
        self.written(written, end);
        Ok(written)
    }

    fn append(&self, buffer: &[u8]) -> Result<(usize, u64), Errno> {
        let written = self.write(buffer, 0, true)?;
        let end = self.size_bytes()?;
        self.written(written, end);
        Ok((written, end))
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn outer_position(&self) -> Option<&dyn OuterPosition> {
        self.is_shared.then_some(self)
    }

    fn size_limit(&self) -> Option<u64> {
        self.contents.size_limit()
    }

    fn check_status_flags(&self, flags: OpenFlags) -> Result<(), Errno> {
        if flags.contains(OpenFlags::APPEND) { Ok(()) } else { self.check_free() }
    }

    fn seek_data_or_hole(&self, offset: u64, find_data: bool) -> Result<u64, Errno> {
        self.contents.write_back(0..u64::MAX)?;
        self.find(if find_data { SeekFrom::Data(offset) } else { SeekFrom::Hole(offset) })
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        self.contents.page_cache()
    }

    fn check_writable_mapping(&self) -> Result<(), Errno> {
        // As for a file with the attribute `a` (`man 1 chattr`).
        self.check_free().map_err(|_| Errno::EACCES)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.contents.metadata(&self.handle)
    }

    fn sync(&self) -> Result<(), Errno> {
        self.contents.write_back(0..u64::MAX)?;
        count_call(HostCall::Sync);
        retry(|| rustix::fs::fsync(&*self.handle))
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), Errno> {
        self.check_free()?;
        self.contents.write_back(0..u64::MAX)?;
        count_call(HostCall::Resize);
        retry(|| rustix::fs::ftruncate(&*self.handle, len_bytes))?;
        self.contents.changed(0..0, &self.handle);
        Ok(())
    }

    fn truncate_at_open(&self) -> Result<(), Errno> {
        // `> /dev/stdout` of a program whose output is appended to a file goes on there.
        if self.handle.is_append_only { Ok(()) } else { self.truncate(0) }
    }

    fn allocate(&self, mode: u32, offset: u64, len_bytes: u64, _caller: &dyn Caller) -> Result<(), Errno> {
        if mode & !ALLOCATE_MODES != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if mode & !uapi::FALLOC_FL_KEEP_SIZE != 0 {
            self.check_free()?;
        }
        self.contents.write_back(0..u64::MAX)?;
        let flags = FallocateFlags::from_bits_retain(mode);
        count_call(HostCall::Resize);
        retry(|| rustix::fs::fallocate(&*self.handle, flags, offset, len_bytes))?;
        self.contents.changed(0..u64::MAX, &self.handle);
        Ok(())
    }

    fn takes_direct_io(&self) -> bool {
        true
    }

    fn offers_nowait(&self, _is_write: bool) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl OuterPosition for RegularStream {
    fn get(&self) -> Result<u64, Errno> {
        count_call(HostCall::Seek);
        Ok(rustix::fs::tell(&*self.handle)?)
    }

    fn set(&self, position: u64) -> Result<(), Errno> {
        count_call(HostCall::Seek);
        rustix::fs::seek(&*self.handle, SeekFrom::Start(position))?;
        Ok(())
    }

    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        self.contents.write_back(0..u64::MAX)?;
        count_call(HostCall::Read);
        retry(|| rustix::io::read(&*self.handle, &mut *buffer))
    }

    fn write(&self, buffer: &[u8], appends: bool) -> Result<usize, Errno> {
        let written = Self::write(self, buffer, CURRENT_POSITION, appends)?;
        if written > 0 && self.contents.is_mapped() {
            self.written(written, self.get()?);
        }
        Ok(written)
    }
}

fn range_of(len: usize, offset: u64) -> Range<u64> {
    offset..offset.saturating_add(len as u64)
}
