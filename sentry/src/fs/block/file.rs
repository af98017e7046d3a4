//! An open block device.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::general as uapi;

use super::ioctl::BlockRequest;
use super::{BlockDevice, BlockDevices, Claim};
use crate::Errno;
use crate::fs::{Caller, File, Inode, Metadata, OpenFlags};
use crate::memory::PageCache;

/// One open of a block device.
pub(in crate::fs) struct BlockFile {
    registry: Arc<BlockDevices>,
    device: Arc<BlockDevice>,
    inode: Arc<dyn Inode>,
    is_writable: bool,
    is_direct: AtomicBool,
    _claim: Option<Claim>,
}

impl BlockFile {
    /// Opens `device` through the node `inode`.
    ///
    /// # Errors
    /// EBUSY: O_EXCL, and somebody has it for himself.
    pub(super) fn open(
        registry: Arc<BlockDevices>,
        device: Arc<BlockDevice>,
        inode: Arc<dyn Inode>,
        flags: OpenFlags,
    ) -> Result<Self, Errno> {
        let claim = flags.contains(OpenFlags::EXCL).then(|| device.claim()).transpose()?;
        device.opened();
        Ok(Self {
            registry,
            device,
            inode,
            is_writable: flags.is_writable(),
            is_direct: AtomicBool::new(flags.contains(OpenFlags::DIRECT)),
            _claim: claim,
        })
    }

    pub(in crate::fs) fn device(&self) -> &Arc<BlockDevice> {
        &self.device
    }

    /// Direct I/O moves whole blocks.
    fn check_alignment(&self, offset: u64, len: usize) -> Result<(), Errno> {
        let block = u64::from(self.device.logical_block_bytes());
        let is_aligned = offset.is_multiple_of(block) && (len as u64).is_multiple_of(block);
        if self.is_direct.load(Ordering::Relaxed) && !is_aligned { Err(Errno::EINVAL) } else { Ok(()) }
    }
}

impl Drop for BlockFile {
    fn drop(&mut self) {
        self.device.closed();
    }
}

impl File for BlockFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.check_alignment(offset, buffer.len())?;
        self.device.read_at(buffer, offset)
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        self.check_alignment(offset, buffer.len())?;
        self.device.write_at(buffer, offset)
    }

    fn append(&self, buffer: &[u8]) -> Result<(usize, u64), Errno> {
        // The end of a device is where nothing can be added.
        let end = self.device.size_bytes();
        self.write_at(buffer, end).map(|written| (written, end))
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn end_position(&self) -> Option<u64> {
        Some(self.device.size_bytes())
    }

    fn seek_data_or_hole(&self, offset: u64, find_data: bool) -> Result<u64, Errno> {
        let end = self.device.size_bytes();
        match offset < end {
            true => Ok(if find_data { offset } else { end }),
            false => Err(Errno::ENXIO),
        }
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        Ok(self.device.page_cache())
    }

    fn flags_changed(&self, flags: OpenFlags) {
        self.is_direct.store(flags.contains(OpenFlags::DIRECT), Ordering::Relaxed);
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let call = BlockRequest {
            registry: &self.registry,
            device: &self.device,
            is_writable: self.is_writable,
            argument,
            caller,
        };
        call.serve(request)
    }

    fn allocate(&self, mode: u32, offset: u64, len_bytes: u64, _caller: &dyn Caller) -> Result<(), Errno> {
        let punches = uapi::FALLOC_FL_PUNCH_HOLE | uapi::FALLOC_FL_KEEP_SIZE;
        let zeroes = uapi::FALLOC_FL_ZERO_RANGE;
        let is_known = mode == punches || mode & !uapi::FALLOC_FL_KEEP_SIZE == zeroes;
        if !is_known {
            return Err(Errno::EOPNOTSUPP);
        }
        let size = self.device.size_bytes();
        let keeps_size = mode & uapi::FALLOC_FL_KEEP_SIZE != 0;
        let mut end = offset.saturating_add(len_bytes);
        if offset >= size {
            return Err(Errno::EINVAL);
        }
        if end > size {
            if !keeps_size {
                return Err(Errno::EINVAL);
            }
            end = size;
        }
        let block = u64::from(self.device.logical_block_bytes());
        if !offset.is_multiple_of(block) || !end.is_multiple_of(block) {
            return Err(Errno::EINVAL);
        }
        self.device.discard(offset..end)
    }

    fn sync(&self) -> Result<(), Errno> {
        self.device.sync()
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
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
