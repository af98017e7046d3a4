//! One open of a directory of the host: it can be listed, and what is in it cannot be reached.

use std::any::Any;
use std::mem::MaybeUninit;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{RawDir, SeekFrom};

use super::{Contents, Handle};
use crate::Errno;
use crate::fs::host_stdio::retry;
use crate::fs::{DirectoryEntry, File, Metadata, OuterPosition};
use crate::host::{HostCall, count_call};

/// Bytes of entries that are fetched at a time.
const LISTING_LEN: usize = 32 * 1024;

/// An open directory.
pub(super) struct DirectoryStream {
    contents: Arc<Contents>,
    handle: Arc<Handle>,
    /// Whether the position is the caller's.
    is_shared: bool,
    /// Held while the host's position is where it is needed.
    listing: Mutex<()>,
}

impl DirectoryStream {
    /// The caller's own description.
    pub(super) fn shared(contents: Arc<Contents>, handle: Arc<Handle>) -> Self {
        Self { contents, handle, is_shared: true, listing: Mutex::default() }
    }

    /// The directory opened once more, with a position of its own.
    pub(super) fn reopened(contents: Arc<Contents>, handle: Arc<Handle>) -> Self {
        Self { contents, handle, is_shared: false, listing: Mutex::default() }
    }

    fn list(&self, position: u64, sink: &mut dyn FnMut(DirectoryEntry) -> bool) -> Result<(), Errno> {
        self.set(position)?;
        let mut buffer = [const { MaybeUninit::uninit() }; LISTING_LEN];
        let mut entries = RawDir::new(&*self.handle, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let is_taken = sink(DirectoryEntry {
                inode: entry.ino(),
                next_position: entry.next_entry_cookie(),
                kind: (entry.file_type().as_raw_mode() >> 12) as u8,
                name: entry.file_name().to_bytes().to_vec(),
            });
            if !is_taken {
                break;
            }
        }
        Ok(())
    }
}

impl File for DirectoryStream {
    fn is_prompt(&self) -> bool {
        false
    }

    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn outer_position(&self) -> Option<&dyn OuterPosition> {
        self.is_shared.then_some(self)
    }

    fn read_directory(
        &self,
        position: u64,
        sink: &mut dyn FnMut(DirectoryEntry) -> bool,
    ) -> Result<(), Errno> {
        let _exclusive = self.listing.lock();
        let before = self.get()?;
        let result = self.list(position, sink);
        self.set(before)?;
        result
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.contents.metadata(&self.handle)
    }

    fn sync(&self) -> Result<(), Errno> {
        count_call(HostCall::Sync);
        retry(|| rustix::fs::fsync(&*self.handle))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl OuterPosition for DirectoryStream {
    fn get(&self) -> Result<u64, Errno> {
        count_call(HostCall::Seek);
        Ok(rustix::fs::tell(&*self.handle)?)
    }

    fn set(&self, position: u64) -> Result<(), Errno> {
        count_call(HostCall::Seek);
        rustix::fs::seek(&*self.handle, SeekFrom::Start(position))?;
        Ok(())
    }

    fn read(&self, _buffer: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn write(&self, _buffer: &[u8], _appends: bool) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }
}
