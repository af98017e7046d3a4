//! Datagrams to and from the outside go by flows: one socket of the host's for each peer of a guest's socket.
//!
//! A flow that nothing came or went through for a while ends, and so does the one that was used least recently when there are too
//! many. What arrives is taken from the host at once, and lost if the guest's socket has no room.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use netlink_packet_route::route::RouteType;
use parking_lot::Mutex;

use super::send::UDP_HEADER_BYTES;
use super::{UdpSocket, UdpSockets};
use crate::Errno;
use crate::net::device::OUTSIDE_INDEX;
use crate::net::inet::datagram::{Arrival, ErrorWay, Payload};
use crate::net::inet::tcp::own_address;
use crate::net::outside::{ArrivedFlow, HostSocket, Outside, Sending, Watched};
use crate::net::route::RouteResult;
use crate::net::wire::Packet;
use crate::net::xtables::{Between, Content, Hook, Verdict};
use crate::wait::Events;

/// Most flows of a socket.
const MAX_FLOWS: usize = 512;
/// How long a flow stays though nothing comes or goes.
const IDLE: Duration = Duration::from_secs(90);
/// Datagrams that are taken from a flow at a time, so that other flows have their turn.
const DATAGRAMS_AT_ONCE: usize = 64;
/// The largest datagram that a host's socket can have.
const MAX_DATAGRAM_BYTES: usize = 65_536;
/// What is told of a datagram whose time to live is not known.
const USUAL_TTL: u8 = 64;

/// The flows of a socket, by the peer as the guest knows it.
#[derive(Default)]
pub(super) struct Flows(Mutex<HashMap<SocketAddr, Arc<Flow>>>);

/// A flow.
struct Flow {
    host: HostSocket,
    last_used: Mutex<Instant>,
}

/// Hears of a flow for its socket.
struct Listener {
    socket: Weak<UdpSocket>,
    remote: SocketAddr,
}

impl Watched for Listener {
    fn announce(&self, _events: Events) {
        if let Some(socket) = self.socket.upgrade() {
            socket.drain(self.remote);
        }
    }

    fn expire(&self, now: Instant) {
        if let Some(socket) = self.socket.upgrade() {
            socket.flows.expire(self.remote, now);
        }
    }
}

impl Flows {
    fn get(&self, remote: SocketAddr) -> Option<Arc<Flow>> {
        self.0.lock().get(&remote).cloned()
    }

    /// Puts a flow in; one that is there stays.
    fn put(&self, remote: SocketAddr, host: HostSocket) -> Arc<Flow> {
        let flow = Arc::new(Flow { host, last_used: Mutex::new(Instant::now()) });
        let is_full = self.0.lock().len() >= MAX_FLOWS;
        if is_full {
            self.remove_oldest();
        }
        self.0.lock().entry(remote).or_insert(flow).clone()
    }

    /// Ends the flow that was used least recently; false if there is none.
    fn remove_oldest(&self) -> bool {
        let mut flows = self.0.lock();
        let oldest = flows.iter().min_by_key(|(_, flow)| *flow.last_used.lock()).map(|(remote, _)| *remote);
        let removed = oldest.and_then(|oldest| flows.remove(&oldest));
        // The host's socket is closed unlocked.
        drop(flows);
        removed.is_some()
    }

    fn remove(&self, remote: SocketAddr) {
        let removed = self.0.lock().remove(&remote);
        drop(removed);
    }

    fn expire(&self, remote: SocketAddr, now: Instant) {
        let mut flows = self.0.lock();
        let is_idle = |flow: &Arc<Flow>| now.saturating_duration_since(*flow.last_used.lock()) >= IDLE;
        let expired = if flows.get(&remote).is_some_and(is_idle) { flows.remove(&remote) } else { None };
        drop(flows);
        drop(expired);
    }
}

/// How word comes that `remote` has refused a datagram.
fn way_back(remote: SocketAddr) -> ErrorWay {
    ErrorWay { own: own_address(remote.ip()), device: OUTSIDE_INDEX }
}

impl UdpSocket {
    /// What a datagram goes through that goes by this route: the outside, or `None` for the namespaces of the kernel.
    pub(super) fn way_out(&self, route: &RouteResult) -> Option<Arc<Outside>> {
        if route.kind != RouteType::Unicast || route.is_loopback {
            return None;
        }
        self.inet.network().outside().filter(|outside| outside.is_through(route)).cloned()
    }

    /// Sends a datagram to the outside. One that is refused there is told as one that nobody takes.
    pub(super) fn send_out(
        &self,
        bytes: &[u8],
        remote: SocketAddr,
        outside: &Arc<Outside>,
    ) -> Result<usize, Errno> {
        let flow = match self.flow(remote, outside) {
            Err(Errno::ECONNREFUSED) => {
                self.learn_of_refusal(remote, &Payload::new(bytes.into()), way_back(remote));
                return Ok(bytes.len());
            }
            flow => flow?,
        };
        *flow.last_used.lock() = Instant::now();
        // What the host had to tell of an earlier datagram is told once, and this one goes all the same.
        let sent = flow.host.send(bytes, Sending::default()).or_else(|error| {
            if error != Errno::ECONNREFUSED {
                return Err(error);
            }
            self.learn_of_refusal(remote, &Payload::new(bytes.into()), way_back(remote));
            flow.host.send(bytes, Sending::default())
        });
        match sent {
            // The host has no room: it is lost on the way.
            Err(Errno::EAGAIN | Errno::ENOBUFS) => Ok(bytes.len()),
            sent => sent,
        }
    }

    fn flow(&self, remote: SocketAddr, outside: &Arc<Outside>) -> Result<Arc<Flow>, Errno> {
        if let Some(flow) = self.flows.get(remote) {
            return Ok(flow);
        }
        let open = || outside.open_flow(remote, self.listener(remote));
        let host = match open() {
            // The sockets of all have taken what there is: one of its own flows makes room.
            Err(Errno::ENOBUFS) if self.flows.remove_oldest() => open(),
            host => host,
        };
        Ok(self.flows.put(remote, host?))
    }

    fn listener(&self, remote: SocketAddr) -> Arc<Listener> {
        Arc::new(Listener { socket: self.me.clone(), remote })
    }

    /// Takes what has arrived in a flow.
    fn drain(&self, remote: SocketAddr) {
        let Some(flow) = self.flows.get(remote) else { return };
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        for _ in 0..DATAGRAMS_AT_ONCE {
            match flow.host.receive_datagram(&mut buffer) {
                // The other end of what leads to a resolver can be gone.
                Ok(0) if flow.host.readiness().contains(Events::HUP) => return self.flows.remove(remote),
                Ok(received) => self.arrive(buffer.get(..received).unwrap_or_default(), remote),
                Err(Errno::EAGAIN) => break,
                Err(_) => self.learn_of_refusal(remote, &Payload::new(Arc::from([])), way_back(remote)),
            }
        }
        *flow.last_used.lock() = Instant::now();
    }

    fn arrive(&self, bytes: &[u8], remote: SocketAddr) {
        if self.accepts_from(remote).is_none() {
            return;
        }
        let arrival = Arrival {
            source: remote,
            destination: SocketAddr::new(own_address(remote.ip()), self.own_port()),
            device: OUTSIDE_INDEX,
            ttl: USUAL_TTL,
            tos: 0,
            time: self.inet.network().shared().now(),
        };
        if !self.lets_in(&arrival, bytes.len()) {
            return;
        }
        Self::count_arrived(self.inet.network(), arrival.destination.ip(), 1, bytes.len());
        self.put(Payload::new(bytes.into()), arrival);
    }

    /// Whether the rules of its namespace let a datagram of so many bytes in.
    fn lets_in(&self, arrival: &Arrival, len_bytes: usize) -> bool {
        let (source, destination) = (arrival.source, arrival.destination);
        let content = Content {
            protocol: self.inet.common.protocol().to_le_bytes()[0],
            ports: [source.port(), destination.port()],
            len_bytes: len_bytes + UDP_HEADER_BYTES,
            ..Content::default()
        };
        let (ttl, tos) = (arrival.ttl, arrival.tos);
        let packet = Packet { source: source.ip(), destination: destination.ip(), ttl, tos, content };
        let coming = Between::coming(arrival.device);
        self.inet.network().judge(Hook::Input, &packet, coming) == Verdict::Accept
    }

    fn own_port(&self) -> u16 {
        self.state.lock().bound.as_ref().map_or(0, |bound| bound.address.port())
    }
}

impl UdpSockets {
    /// Hands a flow that somebody on the host has begun to who has the port.
    ///
    /// # Errors
    /// The flow, whose port nobody has.
    pub(in crate::net) fn take_in<'a>(
        &self,
        arrived: ArrivedFlow<'a>,
        outside: &Arc<Outside>,
    ) -> Result<(), ArrivedFlow<'a>> {
        let peer = arrived.peer;
        let own = SocketAddr::new(own_address(peer.ip()), arrived.port);
        let fitting = self.ports.find_all(own, OUTSIDE_INDEX).into_iter();
        let fitting = fitting.filter(|(_, socket)| socket.accepts_from(peer).is_some());
        let Some((_, receiver)) = fitting.max_by_key(|(score, _)| *score) else { return Err(arrived) };
        match outside.adopt_flow(arrived.socket, receiver.listener(peer)) {
            Ok(host) => {
                receiver.flows.put(peer, host);
                receiver.arrive(arrived.bytes, peer);
            }
            Err(error) => log::debug!("a flow from the outside is ended: {error}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
