//! Connections to other namespaces of the kernel: the way there and back, which may be interrupted and come back.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::connect::choose_listener;
use super::gate::Sender;
use super::segments::Home;
use super::{Role, TcpSocket};
use crate::Errno;
use crate::net::NetworkNamespace;
use crate::net::route::{RouteQuery, RouteResult};
use crate::net::wire::{self, Landing, Outcome, Packet, Passage};
use crate::net::xtables::{Between, Content, Hook, Verdict};

/// The headers of IPv4 and of IPv6 with TCP's and a time stamp.
const V4_HEADER_BYTES: u32 = 52;
const V6_HEADER_BYTES: u32 = 72;

/// One end's way to the other.
pub(super) struct Wire {
    near: Side,
    far: Side,
    /// The largest segment that goes through it, in bytes.
    pub(super) segment_bytes: u32,
    found: Mutex<Option<Found>>,
}

/// An end: a namespace, which a connection does not keep, and the address there.
#[derive(Clone)]
struct Side {
    network: Weak<NetworkNamespace>,
    sender: Sender,
}

/// The way as it was found when the topology had this generation; `None` where there was none.
#[derive(Clone)]
struct Found {
    generation: u64,
    passed: Option<Vec<Passage>>,
}

impl Side {
    fn new(network: &Arc<NetworkNamespace>, sender: Sender) -> Self {
        Self { network: Arc::downgrade(network), sender }
    }

    /// The links that a packet passes on its way to another end, if it arrives there.
    fn way_to(&self, other: &Self) -> Option<Vec<Passage>> {
        let network = self.network.upgrade()?;
        let packet = self.sender.segment_to(&other.sender);
        let query = RouteQuery { source: Some(packet.source), ..RouteQuery::to(packet.destination) };
        let route = network.configuration().route(&query).ok()?;
        if network.judge(Hook::Output, &packet, Between::leaving(route.device)) != Verdict::Accept {
            return None;
        }
        let Outcome::Arrives(landings) = wire::send(&network, &route, &packet) else { return None };
        let is_there = |landing: &&Landing| Weak::as_ptr(&other.network) == Arc::as_ptr(&landing.network);
        landings.iter().find(is_there).map(|landing| landing.passed.clone())
    }
}

impl Wire {
    fn new(near: Side, far: Side, mtu: u32) -> Arc<Self> {
        let header_bytes = if near.sender.address.is_ipv4() { V4_HEADER_BYTES } else { V6_HEADER_BYTES };
        let segment_bytes = mtu.saturating_sub(header_bytes).max(1);
        Arc::new(Self { near, far, segment_bytes, found: Mutex::default() })
    }

    /// The way of the other end.
    pub(super) fn reversed(&self) -> Arc<Self> {
        let (near, far) = (self.far.clone(), self.near.clone());
        Arc::new(Self { near, far, segment_bytes: self.segment_bytes, found: Mutex::default() })
    }

    /// The namespace of the other end, while it is there.
    pub(super) fn far_network(&self) -> Option<Arc<NetworkNamespace>> {
        self.far.network.upgrade()
    }

    /// The MTU of the way, in bytes.
    pub(super) fn mtu(&self) -> u32 {
        self.segment_bytes + self.header_bytes()
    }

    fn header_bytes(&self) -> u32 {
        if self.near.sender.address.is_ipv4() { V4_HEADER_BYTES } else { V6_HEADER_BYTES }
    }

    /// Whether what is sent arrives, and is acknowledged.
    pub(super) fn is_open(&self) -> bool {
        self.passages().is_some()
    }

    /// Counts segments that go through, of so many bytes with all headers.
    pub(super) fn count(&self, segments: u64, bytes: u64) {
        if let Some(passed) = self.passages() {
            let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
            wire::count(&passed, size(segments), size(bytes));
        }
    }

    /// The links that lead there, as long as others lead back.
    fn passages(&self) -> Option<Vec<Passage>> {
        let generation = self.near.network.upgrade()?.shared().topology.generation();
        let known = self.found.lock().clone().filter(|found| found.generation == generation);
        let found = known.unwrap_or_else(|| {
            let there = self.near.way_to(&self.far);
            let passed = there.filter(|_| self.far.way_to(&self.near).is_some());
            let found = Found { generation, passed };
            *self.found.lock() = Some(found.clone());
            found
        });
        found.passed
    }
}

impl TcpSocket {
    /// Nothing answers a connect: it goes on, and is tried again.
    pub(super) fn unanswered(&self) -> Errno {
        self.try_later_to_connect();
        Errno::EAGAIN
    }

    /// Tries a connect again that nothing has answered.
    ///
    /// # Errors
    /// As [`TcpSocket::establish_on`].
    pub(super) fn connect_again(&self) -> Result<(), Errno> {
        let (remote, own) = {
            let state = self.state.lock();
            let (Role::Connecting { remote, .. }, Some(bound)) = (&state.role, &state.bound) else {
                return Err(Errno::ECONNABORTED);
            };
            (*remote, bound.address.ip())
        };
        match self.inet.route(remote, Some(own)) {
            Ok(route) => self.establish_on(remote, &self.way_by(route)?),
            Err(_) => Err(self.unanswered()),
        }
    }

    /// Connects to whoever listens at `remote` in another namespace.
    ///
    /// # Errors
    /// As `establish`; what a router says; EAGAIN while nothing answers.
    pub(super) fn establish_by_wire(
        &self,
        remote: SocketAddr,
        route: &RouteResult,
        syn: &Packet,
    ) -> Result<(), Errno> {
        let own = SocketAddr::new(syn.source, syn.content.ports[0]);
        let network = self.inet.network();
        let landing = match wire::send(network, route, syn) {
            Outcome::Arrives(landings) => landings.into_iter().next().ok_or_else(|| self.unanswered())?,
            Outcome::Refused(_, refusal) => return Err(refusal.errno()),
            Outcome::Unresolved => return Err(Errno::EHOSTUNREACH),
            Outcome::Lost => return Err(self.unanswered()),
        };
        let ports = &landing.network.inet_sockets().tcp().ports;
        let mut listeners = ports.find(remote, landing.device, |claim| claim.is_listening);
        let chosen = (!listeners.is_empty())
            .then(|| choose_listener(&mut listeners, (own.port(), remote), landing.device));
        // Where nobody listens, the kernel itself answers.
        let nobody = Sender { address: remote, content: Content::default() };
        let answering = chosen.as_ref().map_or(nobody, |listener| listener.sender(remote));
        let near = Side::new(network, self.sender(own));
        let wire = Wire::new(near, Side::new(&landing.network, answering), route.mtu);
        if !wire.is_open() {
            return Err(self.unanswered());
        }
        let Some(chosen) = chosen else {
            self.home(remote.ip()).count_refusal(&Home::new(&landing.network, remote.ip()), Some(&wire));
            return Err(Errno::ECONNREFUSED);
        };
        self.enter_backlog(&chosen, Some(wire))
    }
}
