//! The families of sockets (`man 2 socket`, `man 7 address_families`). A new one is a folder and a row.

use std::sync::Arc;

use super::{NetworkNamespace, Socket, SocketCaller, SocketKind, inet, netlink, unix};
use crate::Errno;

/// What socket(2) asks for.
#[derive(Clone, Copy, Debug)]
pub struct SocketRequest {
    /// The type.
    pub kind: SocketKind,
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

const FAMILIES: &[Family] = &[unix::FAMILY, inet::INET_FAMILY, inet::INET6_FAMILY, netlink::FAMILY];

impl Family {
    /// The family with the `AF_*` number.
    ///
    /// # Errors
    /// EAFNOSUPPORT.
    pub fn find(number: u32) -> Result<&'static Self, Errno> {
        FAMILIES.iter().find(|family| family.number == number).ok_or(Errno::EAFNOSUPPORT)
    }
}
