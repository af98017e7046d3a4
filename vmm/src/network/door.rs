//! The sentry's end: it asks the broker for sockets, and takes what has come to published ports.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context;
use rustix::io::Errno as HostErrno;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{Resource, getrlimit};
use sentry::Errno;
use sentry::net::NetworkNamespace;
use sentry::net::outside::{ArrivedConnection, ArrivedFlow, Door, HOST_V4, HOST_V6};
use zerocopy::FromBytes;

use super::broker::{self, Report, Started};
use super::protocol::{Answer, Arrival, Credit, Request, receive, send_with};
use super::{Network, Protocol, Publication};
use crate::jail::Rules;

/// The longest message about an arrival: with the largest datagram.
const MAX_ARRIVAL_BYTES: usize = size_of::<Arrival>() + (64 << 10);
/// Sockets of the host's that a sandbox may have at a time, if it may have so many descriptors.
const MAX_SOCKETS: u64 = 1 << 16;

/// A door that is open, with a broker behind it.
pub(crate) struct OpenDoor {
    door: Arc<BrokerDoor>,
    arrivals: Arc<OwnedFd>,
    report: Report,
    publications: Vec<Publication>,
}

impl OpenDoor {
    /// Starts the broker, if `network` says that anything leads out or in. The process has one thread.
    ///
    /// # Errors
    /// A published port is taken, or the host refuses.
    pub(crate) fn open(network: &Network, rules: Rules) -> anyhow::Result<Option<Self>> {
        if !network.has_door() {
            return Ok(None);
        }
        let Started { calls, arrivals, report } = broker::start(network, rules)?;
        let door = Arc::new(BrokerDoor { calls: Mutex::new(calls) });
        let publications = network.published.clone();
        Ok(Some(Self { door, arrivals: Arc::new(arrivals), report, publications }))
    }

    /// Lets `namespace` use it, once the broker is confined.
    ///
    /// # Errors
    /// The broker could not be.
    pub(crate) fn attach(&mut self, namespace: &NetworkNamespace) -> anyhow::Result<()> {
        self.report.wait()?;
        // A quarter of the descriptors: the image's files have half.
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let max_sockets = usize::try_from((limit / 4).min(MAX_SOCKETS))?;
        namespace.open_door(self.door.clone(), max_sockets).context("open the door")
    }

    /// Hands what comes to published ports to `namespace`, on a thread of its own, for as long as there is a broker.
    ///
    /// # Errors
    /// The host has no thread left.
    pub(crate) fn serve(self, namespace: Arc<NetworkNamespace>) -> anyhow::Result<()> {
        if self.publications.is_empty() {
            return Ok(());
        }
        let serve = move || match self.take_arrivals(&namespace) {
            Ok(()) => log::debug!("the broker has ended"),
            Err(error) => log::error!("nothing more comes to published ports: {error}"),
        };
        thread::Builder::new().name("arrivals".into()).spawn(serve).context("start a thread")?;
        Ok(())
    }

    fn take_arrivals(&self, namespace: &NetworkNamespace) -> Result<(), HostErrno> {
        let mut buffer = vec![0; MAX_ARRIVAL_BYTES];
        loop {
            let (len, socket) = receive(self.arrivals.as_fd(), &mut buffer, RecvFlags::empty())?;
            if len == 0 {
                return Ok(());
            }
            let message = buffer.get(..len).unwrap_or_default();
            let Ok((arrival, bytes)) = Arrival::read_from_prefix(message) else { continue };
            // Without a descriptor there was none left: it is lost, and its place is free.
            let ticket = Ticket { arrivals: self.arrivals.clone(), publication: arrival.publication };
            if let Some((publication, peer, socket)) = self.parts(&arrival, socket) {
                self.hand_over(namespace, publication, (peer, socket, bytes), ticket);
            }
        }
    }

    fn parts(
        &self,
        arrival: &Arrival,
        socket: Option<OwnedFd>,
    ) -> Option<(&Publication, SocketAddr, OwnedFd)> {
        let publication = self.publications.get(usize::try_from(arrival.publication).ok()?)?;
        Some((publication, inner(arrival.peer.decode()?), socket?))
    }

    fn hand_over(
        &self,
        namespace: &NetworkNamespace,
        publication: &Publication,
        (peer, socket, bytes): (SocketAddr, OwnedFd, &[u8]),
        ticket: Ticket,
    ) {
        let port = publication.guest_port;
        match publication.protocol {
            Protocol::Tcp => {
                namespace.take_connection(ArrivedConnection { port, peer, socket, ticket: Box::new(ticket) });
            }
            Protocol::Udp => namespace.take_flow(ArrivedFlow { port, peer, socket, bytes }),
        }
    }
}

/// How the guest is told of a peer: one on the host's loopback is the host.
fn inner(peer: SocketAddr) -> SocketAddr {
    let ip = match peer.ip().to_canonical() {
        IpAddr::V4(v4) if v4.is_loopback() => HOST_V4.into(),
        IpAddr::V6(v6) if v6.is_loopback() => HOST_V6.into(),
        ip => ip,
    };
    SocketAddr::new(ip, peer.port())
}

/// The place of an arrival; the broker is told when it is free again.
struct Ticket {
    arrivals: Arc<OwnedFd>,
    publication: u32,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let credit = Credit { publication: self.publication };
        // There are fewer tickets than the socket has room for, and a broker that is gone needs none.
        let sent = send_with(self.arrivals.as_fd(), (&credit, &[]), None, SendFlags::DONTWAIT);
        if let Err(error) = sent {
            log::debug!("a published port's place is lost: {error}");
        }
    }
}

/// Asks the broker.
struct BrokerDoor {
    /// One request at a time: each is answered at once.
    calls: Mutex<OwnedFd>,
}

impl BrokerDoor {
    fn ask(&self, request: &Request) -> Result<OwnedFd, Errno> {
        let mut answer = [0; size_of::<Answer>()];
        let (len, socket) = {
            let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            send_with(calls.as_fd(), (request, &[]), None, SendFlags::empty()).map_err(is_gone)?;
            receive(calls.as_fd(), &mut answer, RecvFlags::empty()).map_err(is_gone)?
        };
        if len != answer.len() {
            return Err(is_gone(HostErrno::PIPE));
        }
        match u32::from_ne_bytes(answer) {
            // Without a descriptor this process has no room for one.
            0 => socket.ok_or(Errno::ENOBUFS),
            error => Err(HostErrno::from_raw_os_error(error.cast_signed()).into()),
        }
    }
}

/// The broker has ended, which it does not as long as vmm is there.
fn is_gone(error: HostErrno) -> Errno {
    log::error!("the way out is closed, for its broker has ended: {error}");
    Errno::ENETDOWN
}

impl Door for BrokerDoor {
    fn connect(&self, remote: SocketAddr) -> Result<OwnedFd, Errno> {
        self.ask(&Request::new(Protocol::Tcp, remote))
    }

    fn open_flow(&self, remote: SocketAddr) -> Result<OwnedFd, Errno> {
        self.ask(&Request::new(Protocol::Udp, remote))
    }
}
