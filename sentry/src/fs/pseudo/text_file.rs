//! Open files whose text is made up.

use std::any::Any;
use std::sync::Arc;

use super::{Ioctl, PseudoInode, Reader, Subject, TextPieces, Write, no_ioctl};
use crate::Errno;
use crate::fs::{Caller, File, Inode, Metadata, Viewer};
use crate::pace::{Pace, Unhurried};

/// The longest write to a setting: one page, as on Linux.
const MAX_WRITE_BYTES: usize = 4096;

/// An open file.
pub(super) struct TextFile<S: Subject> {
    inode: Arc<PseudoInode<S>>,
    read: Reader<S>,
    write: Option<Write<S>>,
    ioctl: Ioctl<S>,
    viewer: Viewer,
    text: TextPieces,
}

impl<S: Subject> TextFile<S> {
    pub(super) fn new(
        inode: Arc<PseudoInode<S>>,
        read: Reader<S>,
        write: Option<Write<S>>,
        viewer: Viewer,
    ) -> Self {
        Self { inode, read, write, ioctl: no_ioctl, viewer, text: TextPieces::default() }
    }

    /// The same, knowing requests.
    pub(super) fn with_ioctl(self, ioctl: Ioctl<S>) -> Self {
        Self { ioctl, ..self }
    }
}

impl<S: Subject> TextFile<S> {
    fn read_at_pace(&self, buffer: &mut [u8], offset: u64, pace: &dyn Pace) -> Result<usize, Errno> {
        let make = |from| (self.read)(&self.inode.subject, &self.viewer, from);
        self.text.read(buffer, offset, make, pace)
    }
}

impl<S: Subject> File for TextFile<S> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.read_at_pace(buffer, offset, &Unhurried)
    }

    fn read_by(&self, buffer: &mut [u8], offset: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        self.read_at_pace(buffer, offset, caller)
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        let write = self.write.ok_or(Errno::EIO)?;
        if buffer.len() > MAX_WRITE_BYTES {
            return Err(Errno::EINVAL);
        }
        write(&self.inode.subject, &self.viewer, buffer)?;
        Ok(buffer.len())
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        (self.ioctl)(&self.inode.subject, &self.viewer, request, argument, caller)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn moves_out(&self) -> bool {
        self.inode.subject.moves_out()
    }

    fn moves_in(&self) -> bool {
        self.inode.subject.moves_in()
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
