//! The families of sockets (`man 2 socket`, `man 7 address_families`). A new one is a folder and a row.

use std::sync::Arc;

use linux_raw_sys::net as uapi;

use super::{NetworkNamespace, Socket, SocketCaller, SocketKind, inet, netlink, packet, unix};
use crate::Errno;

/// What socket(2) asks for.
#[derive(Clone, Copy, Debug)]
pub struct SocketRequest {
    /// The type; `None` for one that no family has.
    pub kind: Option<SocketKind>,
    /// The protocol; 0 for the type's usual one.
    pub protocol: u32,
}

type Create = fn(&Arc<NetworkNamespace>, SocketRequest, &dyn SocketCaller) -> Result<Arc<dyn Socket>, Errno>;
type CreatePair =
    fn(&Arc<NetworkNamespace>, SocketRequest, &dyn SocketCaller) -> Result<[Arc<dyn Socket>; 2], Errno>;

/// A family of sockets.
pub struct Family {
    /// Its `AF_*` number.
    pub number: u32,
    /// Makes a socket that is neither bound nor connected.
    pub create: Create,
    /// Makes two that are connected to each other; `None` if the family cannot.
    pub create_pair: Option<CreatePair>,
}

/// One more than the largest `AF_*` number that Linux has (`NPROTO`).
const FAMILY_COUNT: u32 = 46;
/// One more than the largest type (`SOCK_MAX`).
const TYPE_COUNT: u32 = 11;
/// The type that was a family of its own before there was AF_PACKET.
const SOCK_PACKET: u32 = 10;

const FAMILIES: &[Family] =
    &[unix::FAMILY, inet::INET_FAMILY, inet::INET6_FAMILY, netlink::FAMILY, packet::FAMILY];

impl Family {
    /// The family with the `AF_*` number, for a socket of the type with the `SOCK_*` number.
    ///
    /// # Errors
    /// EAFNOSUPPORT; EINVAL for what is no type, asked of a family that Linux has.
    pub fn find(number: u32, kind: u32) -> Result<&'static Self, Errno> {
        if number < FAMILY_COUNT && kind >= TYPE_COUNT {
            return Err(Errno::EINVAL);
        }
        // The oldest packet sockets, which there are not.
        if (number, kind) == (uapi::AF_INET, SOCK_PACKET) {
            return Err(Errno::EAFNOSUPPORT);
        }
        FAMILIES.iter().find(|family| family.number == number).ok_or(Errno::EAFNOSUPPORT)
    }
}
