//! Texts that are made up line by line, and are as long as a guest has made what they tell of.

use super::sleeper::ServedPace;
use crate::Errno;
use crate::heap::HeapCharge;
use crate::pace::Pace;

/// How much is made up between two looks at whether its reader is wanted elsewhere.
const STEP_BYTES: usize = 16 << 10;

/// A text that whoever reads it pays for while it grows, and that ends with him. To be made up with no lock held.
#[derive(Debug, Default)]
pub struct LongText {
    text: Vec<u8>,
    /// How long it was at the last look.
    looked_at: usize,
    charge: HeapCharge,
}

impl LongText {
    /// One that begins with `text`.
    pub fn beginning_with(text: impl Into<Vec<u8>>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Adds `piece`.
    ///
    /// # Errors
    /// ENOMEM; EINTR: the reader is ending.
    pub fn push(&mut self, piece: impl AsRef<[u8]>) -> Result<(), Errno> {
        self.text.extend_from_slice(piece.as_ref());
        if self.text.len() - self.looked_at >= STEP_BYTES {
            self.looked_at = self.text.len();
            self.charge.resize(self.text.capacity())?;
            ServedPace.keep_going()?;
        }
        Ok(())
    }

    /// All of it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.text
    }
}
