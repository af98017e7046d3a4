//! SHA-256 digests, and readers that make them while they read.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Digest(pub(crate) [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its 64 hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What [`Self::hex`] makes; `None` for anything else.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let is_plain = text.len() == 64 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
        }
        is_plain.then_some(Self(bytes))
    }
}

impl FromStr for Digest {
    type Err = anyhow::Error;

    /// A digest as images write it: `sha256:` and 64 hexadecimal digits.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Some(hex) = text.strip_prefix("sha256:") else {
            bail!("the digest '{}' is not a SHA-256", text.escape_debug())
        };
        Self::from_hex(hex).with_context(|| format!("'{}' is no digest", text.escape_debug()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Digests and counts what is read through it.
pub(crate) struct DigestReader<R> {
    input: R,
    hash: Sha256,
    len_bytes: u64,
}

impl<R: Read> DigestReader<R> {
    /// Nothing read yet.
    pub(crate) fn new(input: R) -> Self {
        Self { input, hash: Sha256::new(), len_bytes: 0 }
    }

    /// Reads on to the end, and returns the digest and the number of bytes of it all.
    ///
    /// # Errors
    /// The input's.
    pub(crate) fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((Digest(self.hash.finalize().into()), self.len_bytes))
    }
}

impl<R: Read> super::tar::Input for DigestReader<R> {}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.input.read(buffer)?;
        self.hash.update(buffer.get(..len).unwrap_or_default());
        self.len_bytes += len as u64;
        Ok(len)
    }
}

/// Fails unless something is what was announced.
///
/// # Errors
/// A sentence that says how it differs.
pub(crate) fn check(found: (Digest, u64), announced: (Digest, Option<u64>)) -> anyhow::Result<()> {
    let ((digest, len_bytes), (wanted, wanted_len)) = (found, announced);
    if let Some(wanted_len) = wanted_len {
        ensure!(len_bytes == wanted_len, "it has {len_bytes} bytes instead of {wanted_len}");
    }
    ensure!(digest == wanted, "its digest is {digest} instead of {wanted}");
    Ok(())
}
