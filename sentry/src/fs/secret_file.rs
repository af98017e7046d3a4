//! Files of secret memory (`man 2 memfd_secret`): they can only be mapped.

use std::any::Any;
use std::sync::Arc;

use super::{File, Metadata, Splicing};
use crate::Errno;
use crate::memory::PageCache;

/// An open file of secret memory. Its pages are those of a file in memory.
pub struct SecretFile(Arc<dyn File>);

impl SecretFile {
    /// With the pages of `file`.
    pub(super) fn new(file: Arc<dyn File>) -> Arc<Self> {
        Arc::new(Self(file))
    }
}

impl File for SecretFile {
    fn has_read(&self) -> bool {
        false
    }

    fn has_write(&self) -> bool {
        false
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        self.0.page_cache()
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.0.metadata()
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), Errno> {
        // Its size is set once.
        if self.metadata()?.size_bytes == 0 { self.0.truncate(len_bytes) } else { Err(Errno::EINVAL) }
    }

    fn allocate(
        &self,
        _mode: u32,
        _offset: u64,
        _len_bytes: u64,
        _caller: &dyn super::Caller,
    ) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
