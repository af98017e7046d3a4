//! Open files whose text is made up.

use std::any::Any;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{PseudoInode, Read, Subject, Write};
use crate::Errno;
use crate::fs::{File, Inode, Metadata, Viewer};

/// The longest text that an open file keeps between reads. Longer ones are made up again for each.
const MAX_KEPT_BYTES: usize = 64 * 1024;
/// The longest write to a setting: one page, as on Linux.
const MAX_WRITE_BYTES: usize = 4096;

/// An open file. Its text is made up when a read begins at offset 0, so that a reader sees one state throughout.
pub(super) struct TextFile<S: Subject> {
    inode: Arc<PseudoInode<S>>,
    read: Read<S>,
    write: Option<Write<S>>,
    viewer: Viewer,
    kept: Mutex<Option<Vec<u8>>>,
}

impl<S: Subject> TextFile<S> {
    pub(super) fn new(
        inode: Arc<PseudoInode<S>>,
        read: Read<S>,
        write: Option<Write<S>>,
        viewer: Viewer,
    ) -> Self {
        Self { inode, read, write, viewer, kept: Mutex::new(None) }
    }
}

impl<S: Subject> File for TextFile<S> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let kept = self.kept.lock().take().filter(|_| offset != 0);
        let text = match kept {
            Some(text) => text,
            None => (self.read)(&self.inode.subject, &self.viewer)?,
        };
        let rest = usize::try_from(offset).ok().and_then(|start| text.get(start..)).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        // The last read finds nothing and needs the text no more.
        if read > 0 && text.len() <= MAX_KEPT_BYTES {
            *self.kept.lock() = Some(text);
        }
        Ok(read)
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        let write = self.write.ok_or(Errno::EIO)?;
        if buffer.len() > MAX_WRITE_BYTES {
            return Err(Errno::EINVAL);
        }
        write(&self.inode.subject, &self.viewer, buffer)?;
        Ok(buffer.len())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn truncate(&self, _len_bytes: u64) -> Result<(), Errno> {
        if self.write.is_some() { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
