//! Connections to the outside: the host's own, through the [`Outside`] of the namespace.
//!
//! The host keeps the bytes, the errors and the order of events; what is kept here is where both ends are, as the guest sees them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use linux_raw_sys::net as uapi;

use super::backlog::Overflowing;
use super::endpoint::{ENDED, READABLE};
use super::{Bound, Place, Role, State, TcpSocket, TcpSockets, TcpState};
use crate::Errno;
use crate::net::device::OUTSIDE_INDEX;
use crate::net::outside::{ArrivedConnection, GUEST_V4, GUEST_V6, HostSocket, Outside, Sending, Watched};
use crate::net::wire::Packet;
use crate::net::xtables::{Between, Content, Hook, Verdict};
use crate::net::{Outgoing, Received, Receiving, Shutdown, SocketOptions};
use crate::wait::{Events, WaitQueue};

/// The time to live of what comes from the host, which does not tell it.
const USUAL_TTL: u8 = 64;

/// A connection of the host's.
pub(super) struct OutsideConnection {
    pub(super) host: Arc<HostSocket>,
    pub(super) remote: SocketAddr,
    /// It is there, as far as anybody has looked.
    is_established: bool,
    /// A connect has returned 0, or it was accepted.
    pub(super) is_reported: bool,
    _place: Option<Place>,
}

/// Tells those who wait for the guest's socket.
struct Announcer(WaitQueue);

impl Watched for Announcer {
    fn announce(&self, events: Events) {
        self.0.notify(events);
    }
}

impl TcpSocket {
    /// The host's socket, if it is connected to the outside.
    ///
    /// # Errors
    /// EAGAIN while it is on its way there.
    pub(super) fn host(&self) -> Result<Option<Arc<HostSocket>>, Errno> {
        let mut state = self.state.lock();
        state.settle();
        match &state.role {
            Role::Outside(connection) if connection.is_established => Ok(Some(connection.host.clone())),
            Role::Outside(_) => Err(Errno::EAGAIN),
            _ => Ok(None),
        }
    }

    /// Begins a connection to the outside; the addresses are settled.
    ///
    /// # Errors
    /// EAGAIN while it is on its way, and those of the door and the host.
    pub(super) fn establish_outside(&self, remote: SocketAddr, outside: &Arc<Outside>) -> Result<(), Errno> {
        let own = self.state.lock().bound.as_ref().ok_or(Errno::ECONNREFUSED)?.address;
        let place = self.inet.sockets().tcp().connect(own, remote)?;
        let host = Arc::new(outside.connect(remote, Arc::new(Announcer(self.queue.clone())))?);
        self.pass_options_on(&host);
        let mut state = self.state.lock();
        if !matches!(state.role, Role::Connecting { .. }) {
            return Err(Errno::ECONNABORTED);
        }
        state.role = Role::Outside(OutsideConnection {
            host,
            remote,
            is_established: false,
            is_reported: false,
            _place: Some(place),
        });
        state.settle();
        match &state.role {
            Role::Outside(connection) if connection.is_established => Ok(()),
            Role::Outside(_) => Err(Errno::EAGAIN),
            // Whoever is told, and how, is not settled yet.
            _ => {
                (state.role, state.is_shut) = (Role::Connecting { remote, wire: None }, false);
                Err(state.error.take().unwrap_or(Errno::ECONNREFUSED))
            }
        }
    }

    /// What the host has to know of the options, which are numbers.
    fn pass_options_on(&self, host: &HostSocket) {
        for (option, number) in self.options.lock().of_host() {
            host.set_number(uapi::SOL_TCP, option, number);
        }
        pass_changes_on(host, &SocketOptions::default(), &self.inet.common.options());
    }

    /// An option of TCP has changed.
    pub(super) fn tell_host(&self, option: u32) {
        if let Ok(Some(host)) = self.host()
            && let Some(number) = self.options.lock().number_of_host(option)
        {
            host.set_number(uapi::SOL_TCP, option, number);
        }
    }

    /// Options of the socket level have changed.
    pub(super) fn tell_host_of(&self, options: &SocketOptions) {
        if let Ok(Some(host)) = self.host() {
            for (option, number) in numbers_of_host(options) {
                host.set_number(uapi::SOL_SOCKET, option, number);
            }
        }
    }

    /// Whether the rules of its namespace let a connection in from the outside.
    fn lets_in(&self, peer: SocketAddr, own: SocketAddr) -> bool {
        let content = Content::syn([peer.port(), own.port()]);
        let syn = Packet { source: peer.ip(), destination: own.ip(), ttl: USUAL_TTL, tos: 0, content };
        let coming = Between::coming(OUTSIDE_INDEX);
        self.inet.network().judge(Hook::Input, &syn, coming) == Verdict::Accept
    }

    /// Puts a connection that somebody on the host has made into the backlog of who listens, or behind it.
    ///
    /// # Errors
    /// The connection, for which nobody listens.
    fn take_in(
        listener: &Arc<Self>,
        arrived: ArrivedConnection,
        outside: &Arc<Outside>,
    ) -> Result<(), ArrivedConnection> {
        let mut listening = listener.state.lock();
        let State { role: Role::Listening(backlog), bound: Some(bound), .. } = &mut *listening else {
            return Err(arrived);
        };
        let own = SocketAddr::new(own_address(arrived.peer.ip()), arrived.port);
        let accepted = listener.accepted_child(Bound { address: own, ..bound.clone() });
        let ArrivedConnection { peer, socket, ticket, .. } = arrived;
        let host = match outside.adopt_stream(socket, Arc::new(Announcer(accepted.queue.clone()))) {
            Ok(host) => Arc::new(host),
            Err(error) => {
                log::debug!("a connection from the outside is ended: {error}");
                return Ok(());
            }
        };
        accepted.pass_options_on(&host);
        accepted.state.lock().role = Role::Outside(OutsideConnection {
            host,
            remote: peer,
            is_established: true,
            is_reported: true,
            _place: None,
        });
        if backlog.has_room() {
            backlog.backlog.push_back(accepted);
            drop(listening);
            listener.queue.notify(READABLE);
        } else {
            backlog.overflowing.push_back(Overflowing { accepted, _ticket: ticket });
        }
        Ok(())
    }
}

/// Which of the guest's addresses a peer on the outside sees.
pub(in crate::net) fn own_address(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => GUEST_V4.into(),
        IpAddr::V6(_) => GUEST_V6.into(),
    }
}

/// The options of the socket level that the host's connections have, too.
fn numbers_of_host(options: &SocketOptions) -> [(u32, i32); 3] {
    let switch = |option| (option, options.switch(option).unwrap_or_default().into());
    let least = i32::try_from(options.receive_low_water).unwrap_or(i32::MAX);
    [switch(uapi::SO_KEEPALIVE), switch(uapi::SO_OOBINLINE), (uapi::SO_RCVLOWAT, least)]
}

/// Tells the host what is other than before.
fn pass_changes_on(host: &HostSocket, before: &SocketOptions, now: &SocketOptions) {
    for (old, (option, number)) in numbers_of_host(before).into_iter().zip(numbers_of_host(now)) {
        if old != (option, number) {
            host.set_number(uapi::SOL_SOCKET, option, number);
        }
    }
}

impl TcpSockets {
    /// Hands a connection that somebody on the host has made to who listens at its port.
    ///
    /// # Errors
    /// The connection, for which nobody listens.
    pub(in crate::net) fn take_in(
        &self,
        arrived: ArrivedConnection,
        outside: &Arc<Outside>,
    ) -> Result<(), ArrivedConnection> {
        let own = SocketAddr::new(own_address(arrived.peer.ip()), arrived.port);
        let mut listeners = self.ports.find(own, OUTSIDE_INDEX, |claim| claim.is_listening);
        if listeners.is_empty() {
            return Err(arrived);
        }
        // Those that share a port by SO_REUSEPORT get their parts.
        let chosen = listeners.swap_remove(usize::from(arrived.peer.port() / 2) % listeners.len());
        if !chosen.lets_in(arrived.peer, own) {
            log::debug!("a connection from the outside is ended: the rules do not let it in");
            return Ok(());
        }
        TcpSocket::take_in(&chosen, arrived, outside)
    }
}

impl State {
    /// Finds out what has become of a connection that was on its way.
    pub(super) fn settle(&mut self) {
        let Role::Outside(connection) = &mut self.role else { return };
        let ends = Events::OUT | Events::ERR | Events::HUP;
        if connection.is_established || !connection.host.readiness().intersects(ends) {
            return;
        }
        match connection.host.take_error() {
            None => connection.is_established = true,
            Some(error) => {
                self.role = Role::Failed;
                self.error = Some(error);
                self.is_shut = true;
            }
        }
    }
}

impl OutsideConnection {
    /// Whether it is there.
    pub(super) fn is_established(&self) -> bool {
        self.is_established
    }

    /// What is told of its state.
    pub(super) fn tcp_state(&self) -> TcpState {
        if !self.is_established {
            return TcpState::SynSent;
        }
        let told = self.host.info().map_or(TcpState::Established as u8, |info| info.tcpi_state);
        let states = [
            TcpState::Established,
            TcpState::FinWait1,
            TcpState::FinWait2,
            TcpState::TimeWait,
            TcpState::CloseWait,
            TcpState::LastAck,
            TcpState::Closing,
        ];
        states.into_iter().find(|state| *state as u8 == told).unwrap_or(TcpState::Close)
    }

    /// What poll(2) tells.
    pub(super) fn readiness(&self) -> Events {
        if self.is_established { self.host.readiness() } else { Events::empty() }
    }

    /// It goes on without its socket, or is broken off at once.
    pub(super) fn close(&self, lingers_not: bool) {
        if lingers_not {
            self.host.reset_on_close();
        }
    }
}

/// Sends as much of the bytes as the host takes.
pub(super) fn send(host: &HostSocket, outgoing: &Outgoing<'_>) -> Result<usize, Errno> {
    host.send(outgoing.bytes, Sending { is_urgent: outgoing.is_urgent })
}

/// Receives what there is, or the urgent byte.
pub(super) fn receive(
    host: &HostSocket,
    max_bytes: usize,
    (how, peek_offset): (Receiving, usize),
    take: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Received, Errno> {
    if how.is_urgent {
        let byte = host.receive_urgent(how.is_peek)?;
        let Some(byte) = byte.filter(|_| max_bytes > 0) else { return Ok(Received::default()) };
        if !take(&[byte]) {
            return Err(Errno::EFAULT);
        }
        return Ok(Received { len_bytes: 1, message_bytes: 1, is_urgent: true, ..Received::default() });
    }
    let len_bytes = match how.discards {
        true => host.discard(max_bytes)?,
        false => host.receive(max_bytes, (how.is_peek, peek_offset), take)?,
    };
    Ok(Received { len_bytes, message_bytes: len_bytes, ..Received::default() })
}

/// Shuts halves of it down, and has everybody look again.
pub(super) fn shut_down(socket: &TcpSocket, host: &HostSocket, halves: Shutdown) -> Result<(), Errno> {
    host.shut_down(halves)?;
    socket.queue.notify(ENDED);
    Ok(())
}
