//! Restrictions of TCP ports (`man 7 landlock`).

use linux_raw_sys::net as uapi;

use super::TCP;
use super::address::SHORTEST_V6_BYTES;
use crate::Errno;
use crate::abi::SockaddrIn;
use crate::cred::Credentials;
use crate::landlock::PortAccess;
use crate::net::{Socket, SocketAddress, SocketKind};

/// Fails unless `credentials` may do `access` with the port of `address` and `socket`, if that is a TCP socket. What is wrong with
/// the address is said first.
///
/// # Errors
/// EACCES, EINVAL, EAFNOSUPPORT.
pub fn check_tcp(
    socket: &dyn Socket,
    credentials: &Credentials,
    address: &SocketAddress,
    access: PortAccess,
) -> Result<(), Errno> {
    let Some(domain) = &credentials.landlock else { return Ok(()) };
    let common = socket.common();
    let is_inet = matches!(common.family(), uapi::AF_INET | uapi::AF_INET6);
    if !is_inet || common.kind() != SocketKind::Stream || !matches!(common.protocol(), 0 | TCP) {
        return Ok(());
    }
    let bytes = address.bytes();
    let family = address.family().ok_or(Errno::EINVAL)?;
    let shortest = match family {
        uapi::AF_UNSPEC | uapi::AF_INET => size_of::<SockaddrIn>(),
        uapi::AF_INET6 => SHORTEST_V6_BYTES,
        _ => return Ok(()),
    };
    if bytes.len() < shortest {
        return Err(Errno::EINVAL);
    }
    if family == uapi::AF_UNSPEC {
        if access == PortAccess::CONNECT_TCP {
            return Ok(());
        }
        if bytes.get(4..8) != Some(&[0; 4]) {
            return Err(Errno::EAFNOSUPPORT);
        }
    } else if family != common.family() {
        return Err(Errno::EINVAL);
    }
    let port = bytes.get(2..4).and_then(|port| port.try_into().ok()).map(u16::from_be_bytes);
    domain.check_port(port.ok_or(Errno::EINVAL)?, access)
}
