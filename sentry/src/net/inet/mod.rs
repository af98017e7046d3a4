//! Internet sockets (`man 7 ip`, `man 7 ipv6`, `man 7 tcp`, `man 7 udp`): of a network namespace, to itself.
//!
//! What is sent to one of the namespace's own addresses goes from socket to socket: there are no segments, no checksums and no
//! timers that only a wire needs. The way to an address is asked of the namespace's
//! [configuration](super::configuration::NetworkConfiguration); what leads elsewhere is ENETUNREACH.
//!
//! Both families share their sockets: one of AF_INET6 that is used for IPv4 holds IPv4 addresses, and tells of them as mapped.
//!
//! Lock order: a socket's state (of two, a listener's before a connecting one's), then the ports of its protocol, then what is queued
//! at it, one at a time. Wait queues are notified with none of them held.

mod address;
mod bound;
mod control;
mod datagram;
mod icmp;
mod ip;
mod ipv6;
mod multicast;
mod ports;
mod report;
mod restriction;
mod sockets;
mod spreading;
mod tap;
mod tcp;
mod udp;
mod zero_copy;

use std::sync::Arc;

use linux_raw_sys::net as uapi;

use self::address::Version;
use self::bound::InetSocket;
use self::icmp::{ICMP, ICMPV6, may_echo};
use super::{Family, NetworkNamespace, Socket, SocketCaller, SocketKind, SocketRequest};
use crate::Errno;
use crate::cred::Capabilities;

pub use icmp::IcmpSocket;
pub use report::{InetProtocol, InetStatus};
pub use restriction::check_tcp;
pub use sockets::InetSockets;
pub(super) use tap::take_packet;
pub use tcp::{TcpSocket, TcpState};
pub use udp::UdpSocket;

/// The row of AF_INET.
pub const INET_FAMILY: Family = Family {
    number: uapi::AF_INET,
    create: |network, request, caller| create(Version::V4, network, request, caller),
    create_pair: None,
};

/// The row of AF_INET6.
pub const INET6_FAMILY: Family = Family {
    number: uapi::AF_INET6,
    create: |network, request, caller| create(Version::V6, network, request, caller),
    create_pair: None,
};

/// One more than the largest protocol (`IPPROTO_MAX`).
const PROTOCOL_COUNT: u32 = 263;
const TCP: u32 = 6;
const UDP: u32 = 17;
const UDP_LITE: u32 = 136;
const RAW: u32 = 255;

fn create(
    version: Version,
    network: &Arc<NetworkNamespace>,
    request: SocketRequest,
    caller: &dyn SocketCaller,
) -> Result<Arc<dyn Socket>, Errno> {
    if request.protocol >= PROTOCOL_COUNT {
        return Err(Errno::EINVAL);
    }
    let socket = |kind, protocol| InetSocket::new(version, network, kind, protocol, caller);
    let echo = if version == Version::V4 { ICMP } else { ICMPV6 };
    match (request.kind.ok_or(Errno::ESOCKTNOSUPPORT)?, request.protocol) {
        (SocketKind::Stream, 0 | TCP) => Ok(TcpSocket::new(socket(SocketKind::Stream, TCP))),
        (SocketKind::Datagram, 0 | UDP) => Ok(UdpSocket::new(socket(SocketKind::Datagram, UDP))),
        (SocketKind::Datagram, UDP_LITE) => Ok(UdpSocket::new(socket(SocketKind::Datagram, UDP_LITE))),
        (SocketKind::Datagram, protocol) if protocol == echo => {
            if !may_echo(network.settings(), caller) {
                return Err(Errno::EACCES);
            }
            Ok(IcmpSocket::new(socket(SocketKind::Datagram, echo)))
        }
        (SocketKind::Raw, 1..) => {
            if !caller.credentials().has_over_namespace(&**network, Capabilities::NET_RAW) {
                return Err(Errno::EPERM);
            }
            Ok(IcmpSocket::new(socket(SocketKind::Raw, request.protocol)))
        }
        (SocketKind::SequencedPacket, _) => Err(Errno::ESOCKTNOSUPPORT),
        _ => Err(Errno::EPROTONOSUPPORT),
    }
}
