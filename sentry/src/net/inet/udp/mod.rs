//! UDP (`man 7 udp`): datagrams within a namespace.
//!
//! A datagram is put at once where its receiver finds it, or is lost if that has no room. So a send never waits.

mod count;
mod options;
mod outside;
mod send;
mod socket;

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use self::options::UdpOptions;
use self::outside::Flows;
use self::send::Cork;
use super::UDP_LITE;
use super::bound::InetSocket;
use super::datagram::DatagramQueue;
use super::ports::{Claim, Port, Ports};
use super::report::{InetProtocol, InetStatus, Report};
use crate::Errno;
use crate::time::Timekeeper;

/// The UDP sockets of a namespace.
pub struct UdpSockets {
    ports: Arc<Ports<UdpSocket>>,
}

impl UdpSockets {
    /// None yet.
    pub(super) fn new(timekeeper: &Arc<Timekeeper>) -> Self {
        Self { ports: Ports::new(timekeeper) }
    }
}

/// A datagram socket of AF_INET or AF_INET6 (`man 7 udp`).
pub struct UdpSocket {
    inet: InetSocket,
    state: Mutex<State>,
    options: Mutex<UdpOptions>,
    /// What is held back until it is whole (UDP_CORK, MSG_MORE).
    cork: Mutex<Option<Cork>>,
    arrived: DatagramQueue,
    /// Its ways to peers on the outside.
    flows: Flows,
    me: Weak<Self>,
}

#[derive(Default)]
struct State {
    bound: Option<Bound>,
    remote: Option<SocketAddr>,
}

/// A local address.
struct Bound {
    address: SocketAddr,
    port: Arc<Port<UdpSocket>>,
    /// bind(2) named them: they stay when a connection is undone.
    is_address_given: bool,
    is_port_given: bool,
}

impl Report for UdpSocket {
    fn report(&self) -> Option<InetStatus> {
        let (local, remote) = {
            let state = self.state.lock();
            (state.bound.as_ref()?.address, state.remote)
        };
        let protocol = if self.is_lite() { InetProtocol::UdpLite } else { InetProtocol::Udp };
        Some(InetStatus::of_datagrams(protocol, (&self.inet, &self.arrived), (local, remote)))
    }
}

impl UdpSocket {
    /// A socket that is neither bound nor connected.
    pub(super) fn new(inet: InetSocket) -> Arc<Self> {
        let socket = Arc::new_cyclic(|me| Self {
            inet,
            state: Mutex::default(),
            options: Mutex::default(),
            cork: Mutex::default(),
            arrived: DatagramQueue::default(),
            flows: Flows::default(),
            me: me.clone(),
        });
        let reports: Weak<dyn Report> = socket.me.clone();
        socket.inet.sockets().reports().register(reports);
        socket
    }

    fn ports(&self) -> &Arc<Ports<Self>> {
        let sockets = self.inet.sockets();
        if self.is_lite() { &sockets.udp_lite().ports } else { &sockets.udp().ports }
    }

    /// Whether it is one of UDP-Lite.
    fn is_lite(&self) -> bool {
        self.inet.common.protocol() == UDP_LITE
    }

    fn claim_port(&self, address: SocketAddr, claim: Claim) -> Result<Bound, Errno> {
        let local_ports = self.inet.local_ports();
        let port = self.ports().claim(address.port(), claim, &self.me, local_ports)?;
        let mut bound_address = address;
        bound_address.set_port(port.number());
        Ok(Bound { address: bound_address, port, is_address_given: false, is_port_given: false })
    }

    /// bind(2), to an address that may be bound to.
    fn bind_to(&self, address: SocketAddr) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.bound.is_some() {
            return Err(Errno::EINVAL);
        }
        let bound = self.claim_port(address, self.inet.claim(address.ip(), false))?;
        let is_address_given = !address.ip().is_unspecified();
        state.bound = Some(Bound { is_address_given, is_port_given: true, ..bound });
        Ok(())
    }

    /// Has it have a port, of all its addresses.
    fn bind_to_any(&self, state: &mut State) -> Result<(), Errno> {
        if state.bound.is_none() {
            let address = self.inet.unbound();
            state.bound = Some(self.claim_port(address, self.inet.claim(address.ip(), false))?);
        }
        Ok(())
    }

    /// connect(2): datagrams come from there alone, and go there unless told otherwise.
    fn connect_to(&self, destination: SocketAddr) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let own = state.bound.as_ref().filter(|bound| bound.is_address_given).map(|bound| bound.address.ip());
        let route = self.inet.route(destination, own)?;
        self.check_broadcast(route.kind)?;
        self.bind_to_any(&mut state)?;
        if let Some(bound) = &mut state.bound {
            // It could only be in the way of one who shares the port on terms that allow that.
            let _changed = bound.port.change(|claim| claim.address = route.source);
            bound.address.set_ip(route.source);
        }
        let mut remote = destination;
        remote.set_ip(route.destination);
        state.remote = Some(remote);
        Ok(())
    }

    /// connect(2) to AF_UNSPEC.
    fn part(&self) {
        let mut state = self.state.lock();
        state.remote = None;
        let unspecified = self.inet.unbound().ip();
        if let Some(bound) = &mut state.bound
            && !bound.is_address_given
        {
            let _changed = bound.port.change(|claim| claim.address = unspecified);
            bound.address.set_ip(unspecified);
        }
        state.bound = state.bound.take().filter(|bound| bound.is_port_given);
    }

    /// Whether a datagram from `source` is for it: `None` if not, else whether it is connected to there.
    fn accepts_from(&self, source: SocketAddr) -> Option<bool> {
        match self.state.lock().remote {
            None => Some(false),
            Some(remote) => (remote.ip() == source.ip() && remote.port() == source.port()).then_some(true),
        }
    }
}
