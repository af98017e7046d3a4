//! How much an image may take: an archive says what it likes, and a small one can hold a great deal of zeros.

use std::cell::Cell;
use std::io::{self, Read};

use super::tar::Input;

/// What one member of an archive counts for besides its data: what the tree takes of memory, and the index of storage.
const MEMBER_BYTES: u64 = 8 * 1024;

/// Bytes that may still be unpacked.
pub(crate) struct Allowance {
    limit_bytes: u64,
    left_bytes: Cell<u64>,
}

impl Allowance {
    /// `limit_bytes`, none of which are used.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, left_bytes: Cell::new(limit_bytes) }
    }

    /// Counts a member of an archive.
    ///
    /// # Errors
    /// There is nothing left.
    pub(crate) fn use_member(&self) -> io::Result<()> {
        self.use_bytes(MEMBER_BYTES)
    }

    fn use_bytes(&self, len: u64) -> io::Result<()> {
        let left = self.left_bytes.get().checked_sub(len);
        self.left_bytes.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| {
            let limit = self.limit_bytes;
            io::Error::other(format!(
                "it unpacks to more than {limit} bytes, where each file counts for {MEMBER_BYTES} besides its contents; \
                 --image-limit SIZE allows more"
            ))
        })
    }
}

/// Counts what is read through it.
pub(crate) struct Metered<'a, R> {
    input: R,
    allowance: &'a Allowance,
}

impl<'a, R: Read> Metered<'a, R> {
    pub(crate) fn new(input: R, allowance: &'a Allowance) -> Self {
        Self { input, allowance }
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.input.read(buffer)?;
        self.allowance.use_bytes(len as u64)?;
        Ok(len)
    }
}

impl<R: Read> Input for Metered<'_, R> {}
