//! What the sentry and the broker say to each other: messages of fixed size on two pairs of sockets that keep them apart.
//!
//! On the first, the sentry asks for a socket ([`Request`]) and is answered at once ([`Answer`]), by a descriptor if there is no error.
//! On the second, the broker hands over what has come to published ports ([`Arrival`], with a descriptor, and the first datagram's
//! bytes behind it), and the sentry tells that a place is free again ([`Credit`]). A message of another length or kind is no message.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, send, sendmsg,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::publication::Protocol;

/// Descriptors that are looked for in a message; there is one.
const MAX_DESCRIPTORS: usize = 1;

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct WireAddress {
    /// 4 or 6.
    version: u8,
    padding: u8,
    /// In network byte order.
    port: [u8; 2],
    /// The first four bytes are those of IPv4.
    address: [u8; 16],
}

impl From<SocketAddr> for WireAddress {
    fn from(address: SocketAddr) -> Self {
        let (version, octets) = match address.ip() {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            }
            IpAddr::V6(v6) => (6, v6.octets()),
        };
        Self { version, padding: 0, port: address.port().to_be_bytes(), address: octets }
    }
}

impl WireAddress {
    /// The address; `None` if there is no such version.
    pub(super) fn decode(self) -> Option<SocketAddr> {
        let [a, b, c, d, ..] = self.address;
        let ip = match self.version {
            4 => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            6 => IpAddr::V6(Ipv6Addr::from(self.address)),
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(self.port)))
    }
}

/// [`Request::kind`] of a TCP connection.
pub(super) const CONNECT: u32 = 1;
/// [`Request::kind`] of a UDP flow.
pub(super) const OPEN_FLOW: u32 = 2;

/// The sentry wants a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Request {
    pub(super) kind: u32,
    pub(super) remote: WireAddress,
}

impl Request {
    /// A request for a socket to `remote`.
    pub(super) fn new(protocol: Protocol, remote: SocketAddr) -> Self {
        let kind = match protocol {
            Protocol::Tcp => CONNECT,
            Protocol::Udp => OPEN_FLOW,
        };
        Self { kind, remote: remote.into() }
    }

    /// What is asked for.
    ///
    /// # Errors
    /// EINVAL: nothing that there is.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Protocol, SocketAddr), Errno> {
        let request = Self::read_from_bytes(bytes).map_err(|_| Errno::INVAL)?;
        let protocol = match request.kind {
            CONNECT => Protocol::Tcp,
            OPEN_FLOW => Protocol::Udp,
            _ => return Err(Errno::INVAL),
        };
        Ok((protocol, request.remote.decode().ok_or(Errno::INVAL)?))
    }
}

/// The broker's answer: 0, and a descriptor comes with it, or an error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Answer {
    pub(super) error: u32,
}

/// Somebody has come to a published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Arrival {
    /// Which of the published ports, in the caller's order.
    pub(super) publication: u32,
    pub(super) peer: WireAddress,
}

/// There is room for another at this published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Credit {
    pub(super) publication: u32,
}

/// Sends `message` and `bytes` behind it, with a descriptor or without.
///
/// # Errors
/// The host's.
pub(super) fn send_with(
    socket: BorrowedFd<'_>,
    (message, bytes): (&impl Sent, &[u8]),
    descriptor: Option<BorrowedFd<'_>>,
    flags: SendFlags,
) -> Result<(), Errno> {
    let flags = flags | SendFlags::NOSIGNAL;
    let Some(descriptor) = descriptor else {
        // The jail has no use for the other call.
        return retry_on_intr(|| send(socket, message.as_bytes(), flags)).map(drop);
    };
    let descriptors = [descriptor];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    if !rights.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Errno::INVAL);
    }
    let parts = [IoSlice::new(message.as_bytes()), IoSlice::new(bytes)];
    retry_on_intr(|| sendmsg(socket, &parts, &mut rights, flags)).map(drop)
}

/// What can be sent.
pub(super) trait Sent: IntoBytes + Immutable {}
impl Sent for Request {}
impl Sent for Answer {}
impl Sent for Arrival {}
impl Sent for Credit {}

/// Receives a message: how long it is, and the descriptor that came with it. No bytes: the other end is gone.
///
/// # Errors
/// The host's.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received =
        retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(&mut *buffer)], &mut rights, flags))?;
    let descriptors = rights.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok((received.bytes, descriptors.flatten().next()))
}
