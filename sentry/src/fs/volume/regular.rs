//! An open regular file.

use std::any::Any;
use std::io::IoSlice;
use std::sync::Arc;

use linux_raw_sys::general as uapi;
use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::ReadWriteFlags;

use super::contents::Opened;
use super::handle::Handle;
use super::node::Node;
use super::pages::size_of;
use super::{access_mode, retry};
use crate::Errno;
use crate::fs::file_capabilities::drop_with_contents;
use crate::fs::{Caller, File, Metadata, OpenFlags};
use crate::host::{HostCall, count_call};
use crate::memory::PageCache;

/// The modes of fallocate(2) that are passed on.
const ALLOCATE_MODES: u32 = uapi::FALLOC_FL_KEEP_SIZE
    | uapi::FALLOC_FL_PUNCH_HOLE
    | uapi::FALLOC_FL_COLLAPSE_RANGE
    | uapi::FALLOC_FL_ZERO_RANGE
    | uapi::FALLOC_FL_INSERT_RANGE;

/// One open of a regular file.
pub(super) struct RegularFile {
    node: Arc<Node>,
    opened: Opened,
    /// How writes are written through (O_DSYNC, O_SYNC).
    write_flags: ReadWriteFlags,
}

impl RegularFile {
    /// Opens the file of `node`.
    ///
    /// # Errors
    /// The host's.
    pub(super) fn open(node: Arc<Node>, flags: OpenFlags) -> Result<Self, Errno> {
        // What is open for nothing but ioctl(2) is still read by nobody.
        let (reads, writes) = (flags.is_readable(), flags.is_writable());
        let opened = node
            .contents()
            .open((reads || !writes, writes), || node.open_again(access_mode(reads || !writes, writes)))?;
        let mut write_flags = ReadWriteFlags::empty();
        write_flags.set(ReadWriteFlags::DSYNC, flags.contains(OpenFlags::DSYNC));
        write_flags.set(ReadWriteFlags::SYNC, flags.contains(OpenFlags::SYNC_METADATA));
        Ok(Self { node, opened, write_flags })
    }

    fn readable(&self) -> Result<&Handle, Errno> {
        self.opened.readable.as_deref().ok_or(Errno::EBADF)
    }

    fn writable(&self) -> Result<&Handle, Errno> {
        self.opened.writable.as_deref().ok_or(Errno::EBADF)
    }

    fn any(&self) -> Result<&Handle, Errno> {
        self.readable().or_else(|_| self.writable())
    }

    /// Writes at `offset`, or appends.
    fn write(&self, buffer: &[u8], offset: u64, appends: bool) -> Result<usize, Errno> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let contents = self.node.contents();
        contents.write_back(0..u64::MAX)?;
        let mut flags = self.write_flags;
        flags.set(ReadWriteFlags::APPEND, appends);
        let handle = self.writable()?;
        count_call(HostCall::WriteAt);
        let written = retry(|| rustix::io::pwritev2(handle, &[IoSlice::new(buffer)], offset, flags))?;
        if contents.is_mapped() {
            let end = if appends { size_of(handle)? } else { offset.saturating_add(written as u64) };
            contents.changed(end.saturating_sub(written as u64)..end, handle);
        }
        Ok(written)
    }

    /// What is about to be written takes the file's privileges.
    fn drop_privileges(&self, buffer: &[u8], caller: &dyn Caller) -> Result<(), Errno> {
        if buffer.is_empty() { Ok(()) } else { drop_with_contents(&*self.node, &caller.credentials()) }
    }
}

impl File for RegularFile {
    fn is_prompt(&self) -> bool {
        false
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.node.contents().write_back(offset..offset.saturating_add(buffer.len() as u64))?;
        let handle = self.readable()?;
        count_call(HostCall::ReadAt);
        retry(|| rustix::io::pread(handle, &mut *buffer, offset))
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        self.write(buffer, offset, false)
    }

    fn write_by(&self, buffer: &[u8], offset: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        self.drop_privileges(buffer, caller)?;
        self.write(buffer, offset, false)
    }

    fn append(&self, buffer: &[u8]) -> Result<(usize, u64), Errno> {
        let written = self.write(buffer, 0, true)?;
        Ok((written, size_of(self.any()?)?))
    }

    fn append_by(&self, buffer: &[u8], caller: &dyn Caller) -> Result<(usize, u64), Errno> {
        self.drop_privileges(buffer, caller)?;
        self.append(buffer)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn size_limit(&self) -> Option<u64> {
        self.node.volume().size_limit
    }

    fn seek_data_or_hole(&self, offset: u64, find_data: bool) -> Result<u64, Errno> {
        self.node.contents().write_back(0..u64::MAX)?;
        // The position that this moves is nobody's.
        let target = if find_data { SeekFrom::Data(offset) } else { SeekFrom::Hole(offset) };
        count_call(HostCall::Seek);
        Ok(rustix::fs::seek(self.any()?, target)?)
    }

    fn punch_hole(&self, offset: u64, len_bytes: u64) -> Result<(), Errno> {
        let contents = self.node.contents();
        contents.write_back(0..u64::MAX)?;
        let handle = self.writable()?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        count_call(HostCall::Resize);
        retry(|| rustix::fs::fallocate(handle, flags, offset, len_bytes))?;
        contents.changed(0..u64::MAX, handle);
        Ok(())
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        self.node.contents().page_cache(&self.opened)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.node.current_metadata()
    }

    fn sync(&self) -> Result<(), Errno> {
        self.node.contents().write_back(0..u64::MAX)?;
        let handle = self.any()?;
        count_call(HostCall::Sync);
        retry(|| rustix::fs::fsync(handle))
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), Errno> {
        self.node.resize(len_bytes)
    }

    fn allocate(&self, mode: u32, offset: u64, len_bytes: u64, caller: &dyn Caller) -> Result<(), Errno> {
        if mode & !ALLOCATE_MODES != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        drop_with_contents(&*self.node, &caller.credentials())?;
        let contents = self.node.contents();
        contents.write_back(0..u64::MAX)?;
        let handle = self.writable()?;
        let flags = FallocateFlags::from_bits_retain(mode);
        count_call(HostCall::Resize);
        retry(|| rustix::fs::fallocate(handle, flags, offset, len_bytes))?;
        contents.changed(0..u64::MAX, handle);
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

impl Node {
    /// Changes the length of the file.
    ///
    /// # Errors
    /// The host's.
    pub(super) fn resize(&self, len_bytes: u64) -> Result<(), Errno> {
        let contents = self.contents();
        contents.write_back(0..u64::MAX)?;
        let opened = contents.open((false, true), || self.open_again(access_mode(false, true)))?;
        let handle = opened.writable.ok_or(Errno::EBADF)?;
        count_call(HostCall::Resize);
        retry(|| rustix::fs::ftruncate(&*handle, len_bytes))?;
        contents.changed(0..0, &handle);
        Ok(())
    }
}
