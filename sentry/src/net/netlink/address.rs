//! `struct sockaddr_nl`.

use linux_raw_sys::net::AF_NETLINK;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::Errno;
use crate::net::SocketAddress;

/// Where a netlink socket is bound, or a message goes (`man 7 netlink`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct NetlinkAddress {
    family: u16,
    pad: u16,
    /// The port; 0 is the kernel.
    pub(super) port: u32,
    /// The first 32 multicast groups.
    pub(super) groups: u32,
}

impl NetlinkAddress {
    pub(super) fn new(port: u32, groups: u32) -> Self {
        Self { family: AF_NETLINK as u16, pad: 0, port, groups }
    }

    /// # Errors
    /// EINVAL for another family, and if it is too short.
    pub(super) fn decode(address: &SocketAddress) -> Result<Self, Errno> {
        let (decoded, _) = Self::read_from_prefix(address.bytes()).map_err(|_| Errno::EINVAL)?;
        if u32::from(decoded.family) == AF_NETLINK { Ok(decoded) } else { Err(Errno::EINVAL) }
    }

    pub(super) fn encode(self) -> Result<SocketAddress, Errno> {
        SocketAddress::new(self.as_bytes())
    }

    /// The number of the first of its groups; 0 if it has none.
    pub(super) fn first_group(self) -> u32 {
        if self.groups == 0 { 0 } else { self.groups.trailing_zeros() + 1 }
    }
}
