//! What archives are read from: some of it need not be read to be passed over.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// A reader that can pass over bytes.
pub(crate) trait Input: Read + Sized {
    /// Passes over `len` bytes, and returns how many there were.
    ///
    /// # Errors
    /// The input's.
    fn skip(&mut self, len: u64) -> io::Result<u64> {
        io::copy(&mut self.by_ref().take(len), &mut io::sink())
    }
}

impl Input for &[u8] {}

/// A part of a file, whose own position is left alone.
pub(crate) struct FilePart<'a> {
    file: &'a File,
    position: u64,
    end: u64,
}

impl<'a> FilePart<'a> {
    /// `len` bytes of `file`, from `position` on.
    pub(crate) fn new(file: &'a File, position: u64, len: u64) -> Self {
        Self { file, position, end: position.saturating_add(len) }
    }
}

impl Read for FilePart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let len = self.file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.position)?;
        self.position += len as u64;
        Ok(len)
    }
}

impl Input for FilePart<'_> {
    fn skip(&mut self, len: u64) -> io::Result<u64> {
        let skipped = len.min(self.end - self.position);
        self.position += skipped;
        Ok(skipped)
    }
}
