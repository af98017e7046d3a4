//! Addresses of any family, as user code encodes them.

use std::fmt;

use linux_raw_sys::net::AF_UNSPEC;

use crate::Errno;

/// `struct sockaddr_storage` at most: a family, and what that family makes of the rest (`man 3type sockaddr`).
#[derive(Clone, Copy)]
pub struct SocketAddress {
    bytes: [u8; Self::MAX_BYTES],
    len_bytes: usize,
}

impl SocketAddress {
    /// `sizeof(struct sockaddr_storage)`: the longest address that is taken.
    pub const MAX_BYTES: usize = 128;

    /// The address that `bytes` encode.
    ///
    /// # Errors
    /// EINVAL if there are too many.
    pub fn new(bytes: &[u8]) -> Result<Self, Errno> {
        let mut address = Self { bytes: [0; Self::MAX_BYTES], len_bytes: bytes.len() };
        address.bytes.get_mut(..bytes.len()).ok_or(Errno::EINVAL)?.copy_from_slice(bytes);
        Ok(address)
    }

    /// The address after its family, as the program gave it.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len_bytes).unwrap_or_default()
    }

    /// Its `AF_*` number; `None` if it is too short to have one.
    pub fn family(&self) -> Option<u32> {
        self.bytes().first_chunk().map(|family| u16::from_ne_bytes(*family).into())
    }

    /// Whether it is the address that undoes a connection (`man 2 connect`).
    pub fn is_unspecified(&self) -> bool {
        self.family() == Some(AF_UNSPEC)
    }
}

impl Default for SocketAddress {
    /// The one of no bytes.
    fn default() -> Self {
        Self { bytes: [0; Self::MAX_BYTES], len_bytes: 0 }
    }
}

impl fmt::Debug for SocketAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("SocketAddress").field(&self.bytes()).finish()
    }
}

impl PartialEq for SocketAddress {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for SocketAddress {}
