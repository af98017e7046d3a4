//! Binding, connecting, and undoing both.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use netlink_packet_route::route::RouteType;

use super::endpoint::{ENDED, Endpoint, READABLE, WRITABLE};
use super::gate::{Gate, Sender};
use super::{Bound, Connection, Role, State, TcpSocket, Wire};
use crate::Errno;
use crate::heap;
use crate::net::filter::{ETH_P_IP, ETH_P_IPV6, FilteredPacket};
use crate::net::inet::ports::Claim;
use crate::net::inet::spreading::choose;
use crate::net::options::SEND_BUFFER_LOCK;
use crate::net::outside::Outside;
use crate::net::route::RouteResult;
use crate::net::wire::Packet;
use crate::net::xtables::{Between, Content, Hook, Verdict};
use crate::net::{Counter, SocketCommon};
use crate::net::{SocketAddress, SocketOptions};

/// What leads to a peer.
pub(super) struct Way {
    route: RouteResult,
    end: End,
}

/// Where it ends.
enum End {
    /// In the same namespace.
    Own,
    Outside(Arc<Outside>),
    /// In another namespace.
    Wire,
}

impl TcpSocket {
    /// Claims the port of `address`, or any.
    pub(super) fn claim_port(&self, address: SocketAddr, claim: Claim) -> Result<Bound, Errno> {
        let port = self.ports().claim(address.port(), claim, &self.me, self.inet.local_ports())?;
        let is_port_given = address.port() != 0;
        let mut address = address;
        address.set_port(port.number());
        Ok(Bound { address, port, is_port_given })
    }

    /// bind(2), to an address that may be bound to.
    pub(super) fn bind_to(&self, address: SocketAddr) -> Result<(), Errno> {
        let mut state = self.state.lock();
        // The port that a connection was given is free when that has failed.
        if matches!(state.role, Role::Failed) {
            state.release_port();
        }
        if state.bound.is_some() || !matches!(state.role, Role::Closed | Role::Failed) {
            return Err(Errno::EINVAL);
        }
        let bound = self.claim_port(address, self.inet.claim(address.ip(), false))?;
        // Also a port that was not named stays: somebody may have been told of it.
        state.bound = Some(Bound { is_port_given: true, ..bound });
        Ok(())
    }

    /// connect(2), by one who waits or does not.
    pub(super) fn connect_to(&self, given: &SocketAddress, waits: bool) -> Result<(), Errno> {
        if let Some(outcome) = self.outcome_of_connect(waits) {
            return outcome;
        }
        let unfinished = if waits { Errno::EAGAIN } else { Errno::EINPROGRESS };
        let destination = self.inet.decode_destination(given)?;
        // What is for many of IPv6 is refused before its link is asked for.
        if destination.is_ipv6() && destination.ip().is_multicast() {
            return Err(Errno::ENETUNREACH);
        }
        self.inet.check_scope(destination)?;
        let (remote, way) = self.begin(destination)?;
        match self.establish_on(remote, &way) {
            Ok(()) if waits => {
                self.report();
                self.connected_at_last();
            }
            Ok(()) => {
                self.connected_at_last();
                return Err(unfinished);
            }
            Err(Errno::EAGAIN) => return Err(unfinished),
            Err(
                error @ (Errno::ECONNREFUSED
                | Errno::ECONNRESET
                | Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
                | Errno::ENOPROTOOPT
                | Errno::EACCES
                | Errno::ETIMEDOUT),
            ) if !waits => {
                self.fail_connect(error);
                return Err(unfinished);
            }
            Err(error) => {
                self.inet.network().counters().add(Counter::TcpAttemptsFailed, 1);
                let mut state = self.state.lock();
                state.role = Role::Closed;
                state.release_port();
                return Err(error);
            }
        }
        Ok(())
    }

    /// What connect(2) tells of the connection that there is, or was begun. `None`: it may begin one.
    fn outcome_of_connect(&self, waits: bool) -> Option<Result<(), Errno>> {
        let mut state = self.state.lock();
        state.settle();
        match &mut state.role {
            Role::Outside(connection) if connection.is_established() => {
                let was_reported = std::mem::replace(&mut connection.is_reported, true);
                Some(if was_reported { Err(Errno::EISCONN) } else { Ok(()) })
            }
            Role::Connected(connection) if !connection.is_reported => {
                connection.is_reported = true;
                Some(connection.own.inbox().error.take().map_or(Ok(()), Err))
            }
            Role::Connected(_) | Role::Listening(_) => Some(Err(Errno::EISCONN)),
            Role::Connecting { .. } | Role::Outside(_) => {
                Some(Err(if waits { Errno::EAGAIN } else { Errno::EALREADY }))
            }
            Role::Failed => {
                (state.role, state.is_shut) = (Role::Closed, false);
                state.release_port();
                Some(Err(state.error.take().unwrap_or(Errno::ECONNABORTED)))
            }
            Role::Closed => None,
        }
    }

    fn report(&self) {
        match &mut self.state.lock().role {
            Role::Connected(connection) => connection.is_reported = true,
            Role::Outside(connection) => connection.is_reported = true,
            _ => {}
        }
    }

    /// Settles both addresses and waits to be let in. Returns where to, and what leads there.
    fn begin(&self, destination: SocketAddr) -> Result<(SocketAddr, Way), Errno> {
        let mut state = self.state.lock();
        if !matches!(state.role, Role::Closed) {
            return Err(Errno::EALREADY);
        }
        let own = state.bound.as_ref().map(|bound| bound.address.ip());
        let route = self.inet.route(destination, own)?;
        let way = self.way_by(route)?;
        let mut remote = destination;
        remote.set_ip(way.route.destination);
        self.settle_own(&mut state, way.route.source)?;
        state.error = None;
        state.is_shut = false;
        state.role = Role::Connecting { remote, wire: None };
        self.inet.network().counters().add(Counter::TcpActiveOpens, 1);
        Ok((remote, way))
    }

    /// Where a route leads.
    ///
    /// # Errors
    /// ENETUNREACH: to nobody that could be connected to.
    pub(super) fn way_by(&self, route: RouteResult) -> Result<Way, Errno> {
        let outside = self.inet.network().outside().filter(|outside| outside.is_through(&route));
        let end = match (route.kind, outside) {
            (RouteType::Local, _) => End::Own,
            (RouteType::Unicast, Some(outside)) => End::Outside(outside.clone()),
            (RouteType::Unicast, None) if !route.is_loopback => End::Wire,
            _ => return Err(Errno::ENETUNREACH),
        };
        Ok(Way { route, end })
    }

    /// Connects to whoever listens at the end of a way, as far as the rules on it allow.
    ///
    /// # Errors
    /// As `establish`; what a router or a rule says; EAGAIN while nothing answers.
    pub(super) fn establish_on(&self, remote: SocketAddr, way: &Way) -> Result<(), Errno> {
        let syn = self.syn(remote, way.route.device)?;
        let network = self.inet.network();
        self.heed(network.judge(Hook::Output, &syn, Between::leaving(way.route.device)))?;
        match &way.end {
            End::Own => {
                self.pass_loopback(&syn)?;
                self.establish(remote)
            }
            End::Outside(outside) => self.establish_outside(remote, outside),
            End::Wire => self.establish_by_wire(remote, &way.route, &syn),
        }
    }

    /// The packet that asks to be connected.
    fn syn(&self, remote: SocketAddr, device: u32) -> Result<Packet, Errno> {
        let own = self.state.lock().bound.as_ref().ok_or(Errno::ECONNREFUSED)?.address;
        let (ttl, tos) = self.inet.ttl_and_tos(remote.ip(), device, &Default::default());
        let content = self.inet.marked(Content::syn([own.port(), remote.port()]));
        Ok(Packet { source: own.ip(), destination: remote.ip(), ttl, tos, content })
    }

    /// The rules of the own namespace let the packet in that asks to be connected, and the answer out and in again.
    fn pass_loopback(&self, syn: &Packet) -> Result<(), Errno> {
        let device = crate::net::device::LOOPBACK_INDEX;
        let network = self.inet.network();
        self.heed(network.judge(Hook::Input, syn, Between::coming(device)))?;
        let answer = syn.answer();
        let passes = |hook, between| network.judge(hook, &answer, between) == Verdict::Accept;
        let is_answered =
            passes(Hook::Output, Between::leaving(device)) && passes(Hook::Input, Between::coming(device));
        if is_answered { Ok(()) } else { Err(self.unanswered()) }
    }

    /// What rules have said of the packet that asks to be connected.
    fn heed(&self, verdict: Verdict) -> Result<(), Errno> {
        match verdict {
            Verdict::Accept => Ok(()),
            Verdict::Drop => Err(self.unanswered()),
            Verdict::Reject(rejection) => Err(rejection.errno()),
        }
    }

    /// Has the own address be `source`, with the port that it has or with any.
    fn settle_own(&self, state: &mut State, source: IpAddr) -> Result<(), Errno> {
        if let Some(bound) = &mut state.bound {
            bound.address.set_ip(source);
            return Ok(());
        }
        let claim = self.inet.claim(source, false);
        let port = self.ports().claim_for_connection(claim, &self.me, self.inet.local_ports())?;
        let address = SocketAddr::new(source, port.number());
        state.bound = Some(Bound { address, port, is_port_given: false });
        Ok(())
    }

    /// Connects to the listener at `remote`, or to itself.
    ///
    /// # Errors
    /// ECONNREFUSED if nobody listens; EAGAIN if the backlog is full, and then it is let in later; EADDRNOTAVAIL if there is such a
    /// connection.
    fn establish(&self, remote: SocketAddr) -> Result<(), Errno> {
        let device = crate::net::device::LOOPBACK_INDEX;
        let mut listeners = self.ports().find(remote, device, |claim| claim.is_listening);
        if listeners.is_empty() {
            return self.connect_to_itself(remote);
        }
        // Those that share a port by SO_REUSEPORT get their parts.
        let own = self.state.lock().bound.as_ref().map_or(0, |bound| bound.address.port());
        let chosen = choose_listener(&mut listeners, (own, remote), device);
        self.enter_backlog(&chosen, None)
    }

    fn connect_to_itself(&self, remote: SocketAddr) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let own = state.bound.as_ref().ok_or(Errno::ECONNREFUSED)?.address;
        if own != remote {
            let home = self.home(remote.ip());
            home.count_refusal(&home, None);
            return Err(Errno::ECONNREFUSED);
        }
        let place = self.inet.sockets().tcp().connect(own, remote)?;
        let options = self.grow_buffers();
        let memory = &self.inet.network().shared().memory;
        let end = Endpoint::new(&options, &options, memory, (self.home(remote.ip()), &self.queue));
        end.inbox().peek_offset = state.peek_offset;
        state.role = Role::Connected(Connection {
            own: end.clone(),
            peer: end,
            remote,
            is_reported: false,
            is_embryo: false,
            wire: None,
            _place: Some(place),
        });
        drop(state);
        self.queue.notify(WRITABLE);
        Ok(())
    }

    /// What a connection's sockets have from its beginning: as much as Linux gives a loopback's, unless SO_SNDBUF said how much.
    fn grow_buffers(&self) -> SocketOptions {
        /// Ten segments of the loopback's size, twice, with what each costs.
        const GROWN_SEND_BUFFER_BYTES: u32 = 2_626_560;
        let most = self.inet.settings().tcp_send_buffer()[2];
        let grown = self.inet.common.change_options(|options| {
            if options.locked_buffers & SEND_BUFFER_LOCK == 0 {
                options.send_buffer_bytes = GROWN_SEND_BUFFER_BYTES.min(most);
            }
            Ok(())
        });
        grown.unwrap_or_else(|_| self.inet.common.options())
    }

    /// Puts a connection into the backlog of `listener`, or itself among those who wait for that; `wire` leads there.
    pub(super) fn enter_backlog(&self, listener: &Arc<Self>, wire: Option<Arc<Wire>>) -> Result<(), Errno> {
        let mut listening = listener.state.lock();
        let State { role: Role::Listening(backlog), bound: Some(listener_bound), peek_offset, .. } =
            &mut *listening
        else {
            return Err(Errno::ECONNREFUSED);
        };
        let mut state = self.state.lock();
        let Role::Connecting { remote, wire: waiting } = &mut state.role else {
            return Err(Errno::ECONNABORTED);
        };
        let remote = *remote;
        waiting.clone_from(&wire);
        heap::check_room(SocketCommon::HEAP_BYTES).map_err(|_| Errno::ENOBUFS)?;
        if !backlog.has_room() {
            backlog.waiting.retain(|client| client.strong_count() > 0);
            backlog.waiting.push_back(self.me.clone());
            self.home(remote.ip()).count_dropped_syn(&listener.home(remote.ip()), wire.as_deref());
            return Err(Errno::EAGAIN);
        }
        let own = state.bound.as_ref().ok_or(Errno::ECONNABORTED)?.address;
        let place = self.inet.sockets().tcp().connect(own, remote)?;
        let accepted = listener.accepted_child(Bound { address: remote, ..listener_bound.clone() });
        let (options, child_options) = (self.grow_buffers(), accepted.grow_buffers());
        let memory = &self.inet.network().shared().memory;
        let senders = || [self.sender(own), accepted.sender(remote)];
        let gate = wire.is_none().then(|| Gate::new(self.inet.network(), senders()));
        let home = self.home(remote.ip()).behind(gate.clone());
        let child_home = accepted.home(remote.ip()).behind(gate);
        let end = Endpoint::new(&options, &child_options, memory, (home, &self.queue));
        let child_end = Endpoint::new(&child_options, &options, memory, (child_home, &accepted.queue));
        end.inbox().peek_offset = state.peek_offset;
        child_end.inbox().peek_offset = *peek_offset;
        let connection = |own: &Arc<Endpoint>, peer: &Arc<Endpoint>, remote, is_embryo, wire| Connection {
            own: own.clone(),
            peer: peer.clone(),
            remote,
            is_reported: is_embryo,
            is_embryo,
            wire,
            _place: None,
        };
        let back = wire.as_ref().map(|wire| wire.reversed());
        accepted.state.lock().role = Role::Connected(connection(&child_end, &end, own, true, back));
        let connected =
            Connection { _place: Some(place), ..connection(&end, &child_end, remote, false, wire) };
        connected.ends().count_beginning();
        state.role = Role::Connected(connected);
        let deferral = listener.options.lock().deferral();
        if deferral.is_some() {
            child_end.inbox().listener = Some(listener.queue.clone());
        }
        backlog.backlog.push_back(accepted.clone());
        drop(state);
        drop(listening);
        self.announce_accepted(listener, &accepted, deferral);
        Ok(())
    }

    /// Tells both sides that `accepted`, the end opposite to this, is in the backlog of `listener`; that side only once there
    /// are bytes, or after `deferral` (TCP_DEFER_ACCEPT).
    fn announce_accepted(&self, listener: &Self, accepted: &Self, deferral: Option<Duration>) {
        self.queue.notify(WRITABLE);
        match deferral {
            Some(wait) => accepted.look_again_after(wait),
            None => {
                accepted.keep_alive();
                listener.queue.notify(READABLE);
            }
        }
    }

    /// This end of a connection, as rules see it.
    pub(super) fn sender(&self, address: SocketAddr) -> Sender {
        Sender { address, content: self.inet.marked(Content::default()) }
    }

    /// A socket with the options of this listener.
    pub(super) fn accepted_child(&self, bound: Bound) -> Arc<Self> {
        let state = State { bound: Some(bound), ..State::default() };
        Self::with(self.inet.child(), self.options.lock().clone(), state)
    }

    /// There may be room in the backlog of `listener` now.
    pub(super) fn try_again(&self, listener: &Arc<Self>) {
        let wire = match &self.state.lock().role {
            Role::Connecting { wire, .. } => wire.clone(),
            _ => return,
        };
        match self.enter_backlog(listener, wire) {
            Ok(()) => self.connected_at_last(),
            Err(Errno::EAGAIN) => {}
            Err(error) => self.fail_connect(error),
        }
    }

    /// A connect that nobody is told of by its result has failed.
    pub(super) fn fail_connect(&self, error: Errno) {
        {
            let mut state = self.state.lock();
            if !matches!(state.role, Role::Connecting { .. }) {
                return;
            }
            state.role = Role::Failed;
            state.error = Some(error);
            state.is_shut = true;
        }
        self.inet.network().counters().add(Counter::TcpAttemptsFailed, 1);
        self.queue.notify(ENDED);
    }

    /// Undoes a connection, or stops listening (AF_UNSPEC).
    pub(super) fn part(&self) {
        self.stop_listening();
        let role = {
            let mut state = self.state.lock();
            state.release_port();
            // Of a connection that is over, only what was not told yet is.
            let error = match &state.role {
                Role::Connected(connection) => {
                    let mut inbox = connection.own.inbox();
                    if inbox.is_closed() { inbox.error.take() } else { Some(Errno::ECONNRESET) }
                }
                Role::Connecting { .. } | Role::Outside(_) => Some(Errno::ECONNRESET),
                _ => None,
            };
            state.error = error.or(state.error.take());
            state.is_shut = false;
            std::mem::take(&mut state.role)
        };
        match &role {
            Role::Connected(connection) => {
                connection.close(true);
            }
            Role::Outside(connection) => connection.close(true),
            _ => {}
        }
        self.queue.notify(ENDED);
    }
}

/// Which of the listeners that share a port gets a connection.
pub(super) fn choose_listener(
    listeners: &mut Vec<Arc<TcpSocket>>,
    (own_port, remote): (u16, SocketAddr),
    device: u32,
) -> Arc<TcpSocket> {
    let protocol = if remote.is_ipv4() { ETH_P_IP } else { ETH_P_IPV6 };
    // A SYN has no bytes behind its header, where a program looks.
    let packet = FilteredPacket { header: &[], payload: &[], protocol, device, kind: 0 };
    let place = choose(listeners, |socket| &socket.inet.common, &packet, (own_port / 2).into());
    listeners.swap_remove(place)
}

impl State {
    /// Gives up a port that bind(2) did not give it.
    fn release_port(&mut self) {
        self.bound = self.bound.take().filter(|bound| bound.is_port_given);
    }
}
