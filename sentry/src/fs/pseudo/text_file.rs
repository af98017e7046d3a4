//! Open files whose text is made up.

use std::any::Any;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Ioctl, Piece, PseudoInode, Reader, Subject, Write, no_ioctl};
use crate::Errno;
use crate::fs::{Caller, File, Inode, Metadata, Viewer};
use crate::heap::HeapCharge;
use crate::pace::{Pace, Unhurried};

/// How much of its text an open file keeps between reads. What a reader of a longer one finds behind it is made up again.
const MAX_KEPT_BYTES: usize = 256 * 1024;
/// The longest write to a setting: one page, as on Linux.
const MAX_WRITE_BYTES: usize = 4096;

/// An open file. Its text is made up when a read begins at offset 0, so that a reader sees one state throughout.
pub(super) struct TextFile<S: Subject> {
    inode: Arc<PseudoInode<S>>,
    read: Reader<S>,
    write: Option<Write<S>>,
    ioctl: Ioctl<S>,
    viewer: Viewer,
    kept: Mutex<Option<Kept>>,
}

/// A piece of a text.
struct Kept {
    /// Where it begins in the text.
    start: usize,
    bytes: Vec<u8>,
    is_last: bool,
    /// Where the reader goes on behind it.
    next: Option<u64>,
    _heap_charge: HeapCharge,
}

impl Kept {
    /// The piece of `text` from `start` on.
    ///
    /// # Errors
    /// ENOMEM.
    fn cut(mut text: Vec<u8>, start: usize) -> Result<Self, Errno> {
        let start = start.min(text.len());
        let end = start.saturating_add(MAX_KEPT_BYTES).min(text.len());
        let is_last = end == text.len();
        text.truncate(end);
        text.drain(..start);
        text.shrink_to_fit();
        let _heap_charge = HeapCharge::new(text.capacity())?;
        Ok(Self { start, bytes: text, is_last, next: None, _heap_charge })
    }

    /// `piece`, which begins at `start` in the text.
    ///
    /// # Errors
    /// ENOMEM.
    fn of_piece(piece: Piece, start: usize) -> Result<Self, Errno> {
        let Piece { text, next } = piece;
        let _heap_charge = HeapCharge::new(text.capacity())?;
        Ok(Self { start, bytes: text, is_last: next.is_none(), next, _heap_charge })
    }

    fn end(&self) -> usize {
        self.start.saturating_add(self.bytes.len())
    }

    /// What is kept from `offset` on; `None` if the text goes on elsewhere.
    fn rest(&self, offset: usize) -> Option<&[u8]> {
        let rest = self.bytes.get(offset.checked_sub(self.start)?..);
        match rest {
            Some([]) | None if !self.is_last => None,
            rest => Some(rest.unwrap_or_default()),
        }
    }
}

impl<S: Subject> TextFile<S> {
    pub(super) fn new(
        inode: Arc<PseudoInode<S>>,
        read: Reader<S>,
        write: Option<Write<S>>,
        viewer: Viewer,
    ) -> Self {
        Self { inode, read, write, ioctl: no_ioctl, viewer, kept: Mutex::new(None) }
    }

    /// The same, knowing requests.
    pub(super) fn with_ioctl(self, ioctl: Ioctl<S>) -> Self {
        Self { ioctl, ..self }
    }
}

impl<S: Subject> TextFile<S> {
    /// The piece of the text that holds `offset`: `kept`, one that is found from there on, or from the beginning.
    fn find(&self, offset: usize, kept: Option<Kept>, pace: &dyn Pace) -> Result<Kept, Errno> {
        let mut kept = match kept.filter(|kept| offset != 0 && kept.start <= offset) {
            Some(kept) if kept.rest(offset).is_some() || kept.next.is_some() => kept,
            _ => {
                let first = (self.read)(&self.inode.subject, &self.viewer, 0)?;
                match first.next {
                    None => Kept::cut(first.text, offset)?,
                    Some(_) => Kept::of_piece(first, 0)?,
                }
            }
        };
        while kept.rest(offset).is_none()
            && let Some(next) = kept.next
        {
            pace.keep_going()?;
            let piece = (self.read)(&self.inode.subject, &self.viewer, next)?;
            kept = Kept::of_piece(piece, kept.end())?;
        }
        Ok(kept)
    }

    /// Reads, and keeps `pace` between two pieces.
    fn read_at_pace(&self, buffer: &mut [u8], offset: u64, pace: &dyn Pace) -> Result<usize, Errno> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let kept = self.kept.lock().take();
        let kept = self.find(offset, kept, pace)?;
        let rest = kept.rest(offset).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        // The last read finds nothing and needs the text no more.
        if read > 0 {
            *self.kept.lock() = Some(kept);
        }
        Ok(read)
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

#[cfg(test)]
mod tests;
