//! Netlink sockets (`man 7 netlink`, `man 7 rtnetlink`): what tells of a namespace's links, addresses, routes, rules and neighbours,
//! and changes them.
//!
//! A [`NetlinkSocket`] is one end of a conversation with the kernel, which is served where the request is sent: [`request`] takes a
//! datagram apart, [`route`], [`diag`] and [`generic`] serve what is in it, [`reply`] encodes the answers, and the socket's [`Inbox`](inbox::Inbox) keeps them.
//! The messages themselves are those of the netlink-packet crates.
//!
//! Lock order: the namespace's configuration, the table of sockets, a socket's state, its inbox.

mod address;
mod diag;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod generic;
mod inbox;
mod options;
mod reply;
mod request;
mod route;
mod socket;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(super) use self::reply::attribute;

use linux_raw_sys::net::AF_NETLINK;
use linux_raw_sys::netlink::{
    NETLINK_GENERIC, NETLINK_KOBJECT_UEVENT, NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_USERSOCK,
};

pub use table::NetlinkSockets;

use self::socket::NetlinkSocket;
use super::{Family, NetworkNamespace, Socket, SocketCaller, SocketKind, SocketRequest};
use crate::Errno;
use crate::fs::Caller;

/// AF_NETLINK.
pub(super) const FAMILY: Family = Family { number: AF_NETLINK, create, create_pair: None };

/// What is talked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Links, addresses and routes.
    Route,
    /// Processes, among themselves.
    User,
    /// Devices that come and go. None do.
    Uevent,
    /// Sockets.
    SockDiag,
    /// Families with names, of which there is the one that tells of them.
    Generic,
}

impl Protocol {
    /// # Errors
    /// EPROTONOSUPPORT for one that this kernel is without.
    fn from_raw(raw: u32) -> Result<Self, Errno> {
        match raw {
            NETLINK_ROUTE => Ok(Self::Route),
            NETLINK_USERSOCK => Ok(Self::User),
            NETLINK_KOBJECT_UEVENT => Ok(Self::Uevent),
            NETLINK_SOCK_DIAG => Ok(Self::SockDiag),
            NETLINK_GENERIC => Ok(Self::Generic),
            _ => Err(Errno::EPROTONOSUPPORT),
        }
    }

    fn raw(self) -> u32 {
        match self {
            Self::Route => NETLINK_ROUTE,
            Self::User => NETLINK_USERSOCK,
            Self::Uevent => NETLINK_KOBJECT_UEVENT,
            Self::SockDiag => NETLINK_SOCK_DIAG,
            Self::Generic => NETLINK_GENERIC,
        }
    }

    /// How many multicast groups there are.
    fn groups(self) -> u32 {
        match self {
            Self::Route => 36,
            Self::User | Self::Uevent | Self::SockDiag | Self::Generic => 32,
        }
    }

    /// Whether those who administer no network may send to each other and to groups.
    fn lets_anybody_send(self) -> bool {
        self == Self::User
    }
}

fn create(
    namespace: &Arc<NetworkNamespace>,
    request: SocketRequest,
    caller: &dyn SocketCaller,
) -> Result<Arc<dyn Socket>, Errno> {
    let is_suitable = |kind: &SocketKind| matches!(kind, SocketKind::Raw | SocketKind::Datagram);
    let kind = request.kind.filter(is_suitable).ok_or(Errno::ESOCKTNOSUPPORT)?;
    let protocol = Protocol::from_raw(request.protocol)?;
    let credentials = Caller::credentials(caller);
    let owner = (credentials.fs_uid, credentials.fs_gid);
    Ok(NetlinkSocket::new(namespace, kind, protocol, owner))
}
