//! Published ports: the host's side listens, and what comes is handed to the sentry.
//!
//! So many arrivals of a port may be on their way at a time ([`PLACES`]). When all places are taken, nothing is taken from the host any
//! more until the sentry says that one is free: then the host's own backlog fills, and clients wait or are refused as by any server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use anyhow::Context;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvFlags, SendFlags, SocketFlags, acceptfrom_with, bind, connect, listen, recvfrom, sockopt,
};

use super::sockets::unconnected;
use super::{Source, Sources};
use crate::network::protocol::{Arrival, send_with};
use crate::network::{Protocol, Publication};

/// Arrivals of a published port that the sentry has not placed yet.
const PLACES: usize = 32;
/// Connections that wait at the host.
const BACKLOG: i32 = 4096;
/// The first port that needs no capability to be bound to.
const FIRST_FREE_PORT: u16 = 1024;
/// How long the host is given when it has no room.
const MOMENT: Duration = Duration::from_millis(10);
/// The largest datagram.
const MAX_DATAGRAM_BYTES: usize = 64 << 10;

/// The published ports.
pub(super) struct Published {
    ports: Vec<PublishedPort>,
    /// By the publication, how many places are free.
    places: Vec<usize>,
}

/// A socket that listens; a publication for all addresses has one of each version.
struct PublishedPort {
    publication: u32,
    protocol: Protocol,
    socket: OwnedFd,
    own: SocketAddr,
    is_watched: bool,
}

impl Published {
    /// Binds all of them.
    ///
    /// # Errors
    /// A port is taken, or not for the caller.
    pub(super) fn bind(publications: &[Publication]) -> anyhow::Result<Self> {
        let mut ports = Vec::new();
        for (number, publication) in (0..).zip(publications) {
            let is_for_all = publication.address.is_none();
            for address in addresses(publication) {
                match bind_port(publication, address) {
                    // A host without IPv6.
                    Err(Errno::NETUNREACH | Errno::ADDRNOTAVAIL) if is_for_all && address.is_ipv6() => {}
                    bound => {
                        let (socket, own) = bound.with_context(|| format!("--publish {publication}"))?;
                        let protocol = publication.protocol;
                        ports.push(PublishedPort {
                            publication: number,
                            protocol,
                            socket,
                            own,
                            is_watched: false,
                        });
                    }
                }
            }
        }
        Ok(Self { ports, places: vec![PLACES; publications.len()] })
    }

    /// Whether further sockets are bound to ports that not everybody may have.
    pub(super) fn binds_low_ports(&self) -> bool {
        self.ports.iter().any(|port| port.protocol == Protocol::Udp && port.own.port() < FIRST_FREE_PORT)
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = i32> {
        self.ports.iter().map(|port| port.socket.as_raw_fd())
    }

    /// Begins to wait for arrivals.
    ///
    /// # Errors
    /// The host's.
    pub(super) fn listen(&mut self, sources: &Sources) -> Result<(), Errno> {
        for (number, port) in (0..).zip(&mut self.ports) {
            sources.add(port.socket.as_fd(), Source::Published(number))?;
            port.is_watched = true;
        }
        Ok(())
    }

    /// Takes what has come to a port and hands it over.
    pub(super) fn take(&mut self, number: u32, arrivals: BorrowedFd<'_>, sources: &Sources) {
        let Some(port) = index(number).and_then(|index| self.ports.get_mut(index)) else { return };
        let place = index(port.publication).and_then(|index| self.places.get_mut(index));
        let Some(places) = place.filter(|places| **places > 0) else {
            sources.remove(port.socket.as_fd());
            port.is_watched = false;
            return;
        };
        match port.hand_over(arrivals) {
            Ok(()) => *places -= 1,
            // There is room in a while; until then who has come waits at the host.
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => std::thread::sleep(MOMENT),
            // Who has come is gone again, or has been lost.
            Err(error) => log::debug!("a published port: {error}"),
        }
    }

    /// One place more is free.
    pub(super) fn credit(&mut self, publication: u32, sources: &Sources) {
        let Some(places) = index(publication).and_then(|index| self.places.get_mut(index)) else { return };
        *places = PLACES.min(*places + 1);
        for (number, port) in (0..).zip(&mut self.ports) {
            if port.publication == publication && !port.is_watched {
                port.is_watched = sources.add(port.socket.as_fd(), Source::Published(number)).is_ok();
            }
        }
    }
}

fn index(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}

fn addresses(publication: &Publication) -> Vec<IpAddr> {
    match publication.address {
        Some(address) => vec![address],
        None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    }
}

fn bind_port(publication: &Publication, address: IpAddr) -> Result<(OwnedFd, SocketAddr), Errno> {
    let own = SocketAddr::new(address, publication.host_port);
    let socket = unconnected(publication.protocol, own)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if publication.protocol == Protocol::Tcp {
        // Of TCP that keeps off others who listen, and lets it begin while old connections end.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &own)?;
    if publication.protocol == Protocol::Tcp {
        listen(&socket, BACKLOG)?;
    }
    Ok((socket, own))
}

impl PublishedPort {
    fn hand_over(&self, arrivals: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut buffer = Vec::new();
        let (socket, peer) = match self.protocol {
            Protocol::Tcp => self.accept()?,
            Protocol::Udp => {
                buffer = vec![0; MAX_DATAGRAM_BYTES];
                let (socket, peer, len) = self.begin_flow(&mut buffer)?;
                buffer.truncate(len);
                (socket, peer)
            }
        };
        let arrival = Arrival { publication: self.publication, peer: peer.into() };
        send_with(arrivals, (&arrival, &buffer), Some(socket.as_fd()), SendFlags::empty())
    }

    fn accept(&self) -> Result<(OwnedFd, SocketAddr), Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (socket, peer) = retry_on_intr(|| acceptfrom_with(&self.socket, flags))?;
        let peer = peer.ok_or(Errno::CONNABORTED)?;
        Ok((socket, SocketAddr::try_from(peer)?))
    }

    /// Receives a datagram, and makes a socket of its sender's own: further ones come there.
    fn begin_flow(&self, buffer: &mut [u8]) -> Result<(OwnedFd, SocketAddr, usize), Errno> {
        let (len, _, peer) = retry_on_intr(|| recvfrom(&self.socket, &mut *buffer, RecvFlags::DONTWAIT))?;
        let peer = SocketAddr::try_from(peer.ok_or(Errno::INVAL)?)?;
        let socket = unconnected(Protocol::Udp, self.own)?;
        // For this moment alone: others who want the port have no business with it.
        sockopt::set_socket_reuseaddr(&self.socket, true)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        let bound = bind(&socket, &self.own);
        sockopt::set_socket_reuseaddr(&self.socket, false)?;
        bound?;
        connect(&socket, &peer)?;
        Ok((socket, peer, len))
    }
}
