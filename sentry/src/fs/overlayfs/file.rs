//! A file that is read where a lower layer has it, until it is copied.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::inode::OverlayInode;
use crate::Errno;
use crate::fs::inode::{Inode, Viewer};
use crate::fs::metadata::Metadata;
use crate::fs::{Caller, File, OpenFlags};
use crate::memory::PageCache;

/// An open regular file of a lower layer. Who has it open reads what others write after it was copied, but what is mapped stays.
pub(super) struct LowerContents {
    inode: Arc<OverlayInode>,
    lower: Arc<dyn File>,
    upper: OnceLock<Arc<dyn File>>,
}

impl LowerContents {
    pub(super) fn open(inode: Arc<OverlayInode>, flags: OpenFlags, viewer: &Viewer) -> Result<Self, Errno> {
        let lower = inode.real()?.inode().clone().open(flags | OpenFlags::NOATIME, viewer)?;
        Ok(Self { inode, lower, upper: OnceLock::new() })
    }

    /// The file as it is now.
    fn real(&self) -> Result<&Arc<dyn File>, Errno> {
        let Some(upper) = self.inode.upper() else { return Ok(&self.lower) };
        if let Some(open) = self.upper.get() {
            return Ok(open);
        }
        let open = upper.inode().clone().open(OpenFlags::empty(), &self.inode.mounter())?;
        Ok(self.upper.get_or_init(|| open))
    }
}

impl File for LowerContents {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.real()?.read_at(buffer, offset)
    }

    fn read_by(&self, buffer: &mut [u8], offset: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        self.real()?.read_by(buffer, offset, caller)
    }

    fn is_prompt(&self) -> bool {
        self.real().is_ok_and(|real| real.is_prompt())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn seek_data_or_hole(&self, offset: u64, find_data: bool) -> Result<u64, Errno> {
        self.real()?.seek_data_or_hole(offset, find_data)
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        self.real()?.page_cache()
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn sync(&self) -> Result<(), Errno> {
        self.real()?.sync()
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
