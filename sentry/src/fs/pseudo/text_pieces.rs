//! Texts of open files that are made up as they are read.

use parking_lot::Mutex;

use super::Piece;
use crate::Errno;
use crate::heap::HeapCharge;
use crate::pace::Pace;

/// How much of its text an open file keeps between reads. What a reader of a longer one finds behind it is made up again.
const MAX_KEPT_BYTES: usize = 256 * 1024;

/// The text of an open file. It is made up when a read begins at offset 0, so that a reader sees one state throughout, of one that
/// comes in pieces one state of each.
#[derive(Default)]
pub(in crate::fs) struct TextPieces(Mutex<Option<Kept>>);

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

impl TextPieces {
    /// Reads from `offset` on, at `pace`. `make` makes up the piece that begins where it is told.
    ///
    /// # Errors
    /// Those of `make`; ENOMEM; EINTR from `pace`.
    pub(in crate::fs) fn read(
        &self,
        buffer: &mut [u8],
        offset: u64,
        make: impl Fn(u64) -> Result<Piece, Errno>,
        pace: &dyn Pace,
    ) -> Result<usize, Errno> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let kept = self.0.lock().take();
        let kept = find(offset, kept, make, pace)?;
        let rest = kept.rest(offset).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        // The last read finds nothing and needs the text no more.
        if read > 0 {
            *self.0.lock() = Some(kept);
        }
        Ok(read)
    }
}

/// The piece of the text that holds `offset`: `kept`, one that is found from there on, or from the beginning.
fn find(
    offset: usize,
    kept: Option<Kept>,
    make: impl Fn(u64) -> Result<Piece, Errno>,
    pace: &dyn Pace,
) -> Result<Kept, Errno> {
    let mut kept = match kept.filter(|kept| offset != 0 && kept.start <= offset) {
        Some(kept) if kept.rest(offset).is_some() || kept.next.is_some() => kept,
        _ => {
            let first = make(0)?;
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
        kept = Kept::of_piece(make(next)?, kept.end())?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests;
