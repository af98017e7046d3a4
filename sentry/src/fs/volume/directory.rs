//! An open directory.

use std::any::Any;
use std::mem::MaybeUninit;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{OFlags, RawDir, SeekFrom};

use super::handle::Handle;
use super::node::Node;
use super::retry;
use crate::Errno;
use crate::fs::{DirectoryEntry, File, Metadata};
use crate::host::{HostCall, count_call};

/// Bytes of entries that are fetched at a time.
const LISTING_LEN: usize = 32 * 1024;

/// One open of a directory, with the host's own position in the listing.
pub(super) struct DirectoryFile {
    node: Arc<Node>,
    handle: Arc<Handle>,
    /// Held while the position is where it is needed.
    listing: Mutex<()>,
}

impl DirectoryFile {
    /// Opens the directory of `node`.
    ///
    /// # Errors
    /// The host's.
    pub(super) fn open(node: Arc<Node>) -> Result<Self, Errno> {
        let handle = node.open_again(OFlags::RDONLY)?;
        Ok(Self { node, handle, listing: Mutex::default() })
    }

    /// The number of what `name` is here, of which the host says `number`: nothing outside of the volume is told.
    fn number_of(&self, name: &[u8], ino: u64) -> u64 {
        let is_root = self.node.place().is_none();
        if name == b".." && is_root { self.node.identity().1 } else { ino }
    }
}

impl File for DirectoryFile {
    fn is_prompt(&self) -> bool {
        false
    }

    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn read_directory(
        &self,
        position: u64,
        sink: &mut dyn FnMut(DirectoryEntry) -> bool,
    ) -> Result<(), Errno> {
        let _exclusive = self.listing.lock();
        count_call(HostCall::Seek);
        rustix::fs::seek(&*self.handle, SeekFrom::Start(position))?;
        let mut buffer = vec![MaybeUninit::uninit(); LISTING_LEN];
        let mut entries = RawDir::new(&*self.handle, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                // The directory has been removed.
                Err(rustix::io::Errno::NOENT) => break,
                entry => entry?,
            };
            let name = entry.file_name().to_bytes();
            let is_taken = sink(DirectoryEntry {
                inode: self.number_of(name, entry.ino()),
                next_position: entry.next_entry_cookie(),
                kind: (entry.file_type().as_raw_mode() >> 12) as u8,
                name: name.to_vec(),
            });
            if !is_taken {
                break;
            }
        }
        Ok(())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.node.current_metadata()
    }

    fn sync(&self) -> Result<(), Errno> {
        count_call(HostCall::Sync);
        retry(|| rustix::fs::fsync(&*self.handle))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
