//! Requests as a fuzzer has them.

use super::Protocol;
use super::request::serve_all;
use super::socket::NetlinkSocket;
use crate::cred::{Credentials, Identity, KernelGid, KernelUid, NamespaceKind, UserNamespace};
use crate::net::{KernelSockets, NetworkNamespace, SocketKind};

/// A datagram, whose first byte says which protocol it is for, served to root in a namespace of its own.
pub fn netlink(bytes: &[u8]) {
    let Some((first, datagram)) = bytes.split_first() else { return };
    let protocol = [Protocol::Route, Protocol::SockDiag, Protocol::Generic][usize::from(*first) % 3];
    let user_namespace = UserNamespace::initial();
    let identity = Identity::initial(NamespaceKind::Network, &user_namespace);
    let namespace = NetworkNamespace::new(identity, KernelSockets::default());
    let owner = (KernelUid::ROOT, KernelGid::ROOT);
    let socket = NetlinkSocket::new(&namespace, SocketKind::Raw, protocol, owner);
    serve_all(&socket, datagram, 1, &Credentials::root(&user_namespace), None);
}
