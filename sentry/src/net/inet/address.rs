//! Internet addresses as user code encodes them (`man 7 ip`, `man 7 ipv6`).
//!
//! Within the sentry an address that an IPv6 socket uses for IPv4 (`::ffff:a.b.c.d`) is the IPv4 one; what the socket's family is
//! matters again where an address is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use linux_raw_sys::net::{AF_INET, AF_INET6};
use zerocopy::{FromBytes, IntoBytes};

use crate::Errno;
use crate::abi::{SockaddrIn, SockaddrIn6};
use crate::net::SocketAddress;

/// The shortest `struct sockaddr_in6` that is taken: without a scope (RFC 2133).
pub(super) const SHORTEST_V6_BYTES: usize = 24;

/// Which of the two families a socket is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Version {
    /// AF_INET.
    V4,
    /// AF_INET6.
    V6,
}

impl Version {
    /// The `AF_*` number.
    pub(super) fn family(self) -> u32 {
        match self {
            Self::V4 => AF_INET,
            Self::V6 => AF_INET6,
        }
    }

    /// The address of any of the own ones.
    pub(super) fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// The address in `address`, as it was given.
    ///
    /// # Errors
    /// EINVAL if it is too short, EAFNOSUPPORT for another family.
    pub(super) fn decode(self, address: &SocketAddress) -> Result<SocketAddr, Errno> {
        let shortest = match self {
            Self::V4 => size_of::<SockaddrIn>(),
            Self::V6 => SHORTEST_V6_BYTES,
        };
        if address.bytes().len() < shortest {
            return Err(Errno::EINVAL);
        }
        if address.family() != Some(self.family()) {
            return Err(Errno::EAFNOSUPPORT);
        }
        match self {
            Self::V4 => decode_v4(address),
            Self::V6 => decode_v6(address),
        }
    }

    /// How a socket of this family is told of `address`.
    pub(super) fn encode(self, address: SocketAddr) -> SocketAddress {
        match (self, address) {
            (Self::V4, SocketAddr::V4(address)) => {
                let (sin_port, sin_addr) = (address.port().to_be_bytes(), address.ip().octets());
                let encoded = SockaddrIn { sin_family: AF_INET as u16, sin_port, sin_addr, padding: [0; 8] };
                encoded_address(encoded.as_bytes())
            }
            (_, address) => {
                let (sin6_addr, scope) = match address {
                    SocketAddr::V4(address) => (address.ip().to_ipv6_mapped().octets(), 0),
                    SocketAddr::V6(address) => (address.ip().octets(), address.scope_id()),
                };
                let encoded = SockaddrIn6 {
                    sin6_family: AF_INET6 as u16,
                    sin6_port: address.port().to_be_bytes(),
                    sin6_flowinfo: 0,
                    sin6_addr,
                    sin6_scope_id: scope,
                };
                encoded_address(encoded.as_bytes())
            }
        }
    }
}

/// Both structures are shorter than the longest address.
fn encoded_address(bytes: &[u8]) -> SocketAddress {
    SocketAddress::new(bytes).unwrap_or_default()
}

/// `address` as a `struct sockaddr_in`, whatever family it tells.
///
/// # Errors
/// EINVAL if it is too short.
pub(super) fn decode_v4(address: &SocketAddress) -> Result<SocketAddr, Errno> {
    let (encoded, _) = SockaddrIn::read_from_prefix(address.bytes()).map_err(|_| Errno::EINVAL)?;
    let port = u16::from_be_bytes(encoded.sin_port);
    Ok(SocketAddr::new(Ipv4Addr::from(encoded.sin_addr).into(), port))
}

fn decode_v6(address: &SocketAddress) -> Result<SocketAddr, Errno> {
    let mut bytes = [0; size_of::<SockaddrIn6>()];
    for (byte, given) in bytes.iter_mut().zip(address.bytes()) {
        *byte = *given;
    }
    let encoded = SockaddrIn6::read_from_bytes(&bytes).map_err(|_| Errno::EINVAL)?;
    let (ip, port) = (Ipv6Addr::from(encoded.sin6_addr), u16::from_be_bytes(encoded.sin6_port));
    Ok(SocketAddrV6::new(ip, port, encoded.sin6_flowinfo, encoded.sin6_scope_id).into())
}

/// The address that `address` stands for: the IPv4 one, if it is one of those.
pub(super) fn unmapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(ip) => SocketAddr::new(ip.into(), v6.port()),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests;
