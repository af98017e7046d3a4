//! Sockets that lead to one peer.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::network::Protocol;

/// A socket that is connected to `remote`, or on its way there. It does not block.
///
/// # Errors
/// The host's.
pub(super) fn towards(protocol: Protocol, remote: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = unconnected(protocol, remote)?;
    match connect(&socket, &remote) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// A socket of the family of `address`.
///
/// # Errors
/// ENETUNREACH if the host knows no such family, and the host's.
pub(super) fn unconnected(protocol: Protocol, address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None).map_err(|error| match error
    {
        Errno::AFNOSUPPORT => Errno::NETUNREACH,
        error => error,
    })
}
