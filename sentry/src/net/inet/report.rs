//! All internet sockets of a namespace, as /proc/net tells of them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Weak;
use std::time::Duration;

use parking_lot::Mutex;

use super::bound::InetSocket;
use super::datagram::DatagramQueue;
use crate::abi::TcpInfo;
use crate::cred::KernelUid;

/// The protocol of an internet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InetProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// UDP-Lite.
    UdpLite,
    /// A raw socket, whose protocol stands where others have a port.
    Raw,
    /// Echoes of ICMP or ICMPv6.
    Echo,
}

/// What is told of a socket.
#[derive(Clone, Debug)]
pub struct InetStatus {
    /// Whose file under /proc/net shows it.
    pub protocol: InetProtocol,
    /// Whether it is of AF_INET6.
    pub is_ipv6: bool,
    /// Where it is bound.
    pub local: SocketAddr,
    /// Where its peer is.
    pub remote: Option<SocketAddr>,
    /// `TCP_*`, which Linux uses for all protocols.
    pub state: u8,
    /// Bytes that it has not read; of a listener, connections that wait.
    pub unread_bytes: usize,
    /// Bytes that it has sent and that wait at its own end.
    pub unsent_bytes: usize,
    /// What TCP_INFO tells, if it is one of TCP.
    pub(in crate::net) info: Option<Box<TcpInfo>>,
    /// The algorithm of its congestion control, if it is one of TCP.
    pub(in crate::net) congestion: Option<&'static str>,
    /// SO_RCVBUF and SO_SNDBUF, in bytes.
    pub(in crate::net) buffers: (u32, u32),
    /// Of a listener, how many connections may wait.
    pub max_backlog: usize,
    /// Whether it leaves IPv4 alone.
    pub is_v6_only: bool,
    /// Which halves shutdown(2) has ended: 1 for receiving, 2 for sending.
    pub shut: u8,
    /// What was lost for want of room.
    pub lost: u32,
    /// Whom it belongs to.
    pub uid: KernelUid,
    /// Its inode number; 0 for what nobody has open.
    pub inode: u64,
    /// How long a connection that has ended is still told of.
    pub lingers_for: Option<Duration>,
}

impl InetStatus {
    /// That of a socket of datagrams, which is bound to `local` and may be connected.
    pub(super) fn of_datagrams(
        protocol: InetProtocol,
        (inet, arrived): (&InetSocket, &DatagramQueue),
        (local, remote): (SocketAddr, Option<SocketAddr>),
    ) -> Self {
        /// `TCP_ESTABLISHED` of one that is connected, and `TCP_CLOSE`.
        const STATES: [u8; 2] = [1, 7];
        let (unread_bytes, lost) = arrived.received_memory();
        Self {
            protocol,
            is_ipv6: inet.is_ipv6(),
            local,
            remote,
            state: if remote.is_some() { STATES[0] } else { STATES[1] },
            unread_bytes,
            unsent_bytes: 0,
            info: None,
            congestion: None,
            buffers: inet.common.buffer_sizes(),
            max_backlog: 0,
            is_v6_only: inet.is_v6_only(),
            shut: arrived.shut_halves(),
            lost,
            uid: inet.uid(),
            inode: inet.common.inode().ino(),
            lingers_for: None,
        }
    }

    /// An address as sockets of its family tell it.
    pub fn shown(&self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(ip) if self.is_ipv6 && ip.is_unspecified() => {
                IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)
            }
            IpAddr::V4(ip) if self.is_ipv6 => IpAddr::V6(ip.to_ipv6_mapped()),
            address => address,
        }
    }
}

/// A socket that can be told of.
pub(super) trait Report: Send + Sync {
    /// What is told of it; `None` if it is not bound.
    fn report(&self) -> Option<InetStatus>;
}

/// The sockets of a namespace. Those that are gone are taken out when there is no room for another.
#[derive(Default)]
pub(super) struct Reports(Mutex<Vec<Weak<dyn Report>>>);

impl Reports {
    pub(super) fn register(&self, socket: Weak<dyn Report>) {
        let mut sockets = self.0.lock();
        if sockets.len() == sockets.capacity() {
            sockets.retain(|socket| socket.strong_count() > 0);
            let alive = sockets.len();
            sockets.reserve(alive + 1);
        }
        sockets.push(socket);
    }

    /// What is told of all that are bound.
    pub(super) fn all(&self) -> Vec<InetStatus> {
        // Not with the lock held: the last reference to a socket may go here.
        let sockets: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        sockets.iter().filter_map(|socket| socket.report()).collect()
    }
}
