//! TCP (`man 7 tcp`): connections within a namespace.
//!
//! A connection has two endpoints ([`endpoint`]), where what was sent to each arrives. Both sockets know both, and endpoints
//! know no socket, so that a connection keeps neither of its ends open. A socket that is connected to itself has one that is both.
//!
//! A connect finds the listener and puts the other end into its backlog at once; if that is full, it waits in the listener's list
//! of those who want in, and accept(2) lets it in. Like on Linux, one who does not wait learns of either by a second connect, by
//! SO_ERROR and by poll(2).
//!
//! A connection that leads out of the sandbox has no endpoints: it is the host's, see [`outside`].

mod backlog;
mod bytes;
mod connect;
mod endpoint;
mod gate;
mod info;
mod options;
mod outbox;
mod outside;
mod segments;
mod socket;
mod time_wait;
mod timer;
mod transfer;
mod wire;

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use self::backlog::Listener;
use self::endpoint::Endpoint;
use self::options::TcpOptions;
use self::outbox::{Ends, Flush};
use self::outside::OutsideConnection;
pub(in crate::net) use self::outside::own_address;
use self::segments::Home;
use self::time_wait::Ended;
use self::timer::{Orphan, Timing};
use self::wire::Wire;
use super::bound::InetSocket;
use super::ports::{Port, Ports};
use super::report::{InetProtocol, InetStatus, Report};
use crate::Errno;
use crate::net::Counter;
use crate::time::Timekeeper;
use crate::wait::WaitQueue;

/// The TCP sockets of a namespace.
pub struct TcpSockets {
    timekeeper: Arc<Timekeeper>,
    ports: Arc<Ports<TcpSocket>>,
    /// The ends of each connection, as who made it sees them.
    connections: Mutex<HashSet<(SocketAddr, SocketAddr)>>,
    /// Connections whose sockets are closed while something is on its way.
    orphans: Mutex<Vec<Arc<Orphan>>>,
    /// Connections that have ended, as long as their ports linger.
    ended: Mutex<VecDeque<Ended>>,
}

impl TcpSockets {
    /// None yet.
    pub(super) fn new(timekeeper: &Arc<Timekeeper>) -> Arc<Self> {
        Arc::new(Self {
            timekeeper: timekeeper.clone(),
            ports: Ports::new(timekeeper),
            connections: Mutex::default(),
            orphans: Mutex::default(),
            ended: Mutex::default(),
        })
    }

    /// Takes the place of a connection between these addresses.
    ///
    /// # Errors
    /// EADDRNOTAVAIL if there is one.
    fn connect(self: &Arc<Self>, own: SocketAddr, remote: SocketAddr) -> Result<Place, Errno> {
        if !self.connections.lock().insert((own, remote)) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        Ok(Place { addresses: (own, remote), sockets: self.clone() })
    }
}

impl TcpSockets {
    /// How many connections go on that nobody has open any more.
    pub fn orphan_count(&self) -> usize {
        self.orphans.lock().len()
    }
}

/// The place of a connection among all; dropping it frees the place.
struct Place {
    addresses: (SocketAddr, SocketAddr),
    sockets: Arc<TcpSockets>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sockets.connections.lock().remove(&self.addresses);
    }
}

/// A stream socket of AF_INET or AF_INET6 (`man 7 tcp`).
pub struct TcpSocket {
    inet: InetSocket,
    state: Mutex<State>,
    options: Mutex<TcpOptions>,
    timing: Mutex<Timing>,
    queue: WaitQueue,
    me: Weak<Self>,
}

#[derive(Default)]
struct State {
    role: Role,
    bound: Option<Bound>,
    /// What SO_ERROR tells of a connect that has failed.
    error: Option<Errno>,
    /// What shutdown(2) has ended before there was a connection.
    is_shut: bool,
    /// SO_PEEK_OFF, for the connection that there will be.
    peek_offset: Option<usize>,
}

/// A local address.
#[derive(Clone)]
struct Bound {
    address: SocketAddr,
    port: Arc<Port<TcpSocket>>,
    /// bind(2) named the port: it stays when a connection ends.
    is_port_given: bool,
}

#[derive(Default)]
enum Role {
    #[default]
    Closed,
    /// A connect that did not wait has failed, and no other has been told.
    Failed,
    Listening(Listener),
    /// It waits to be let into a backlog, in its own namespace or at the end of a way to another.
    Connecting {
        remote: SocketAddr,
        wire: Option<Arc<Wire>>,
    },
    Connected(Connection),
    /// It is connected to the outside, or on its way there.
    Outside(OutsideConnection),
}

struct Connection {
    own: Arc<Endpoint>,
    peer: Arc<Endpoint>,
    remote: SocketAddr,
    /// A connect has returned 0, or it was accepted.
    is_reported: bool,
    /// Made by a connect and not accepted yet.
    is_embryo: bool,
    /// The way to the peer, if that is in another namespace.
    wire: Option<Arc<Wire>>,
    _place: Option<Place>,
}

impl TcpSocket {
    /// A socket that is neither bound nor connected.
    pub(super) fn new(inet: InetSocket) -> Arc<Self> {
        let settings = inet.settings();
        let _set = inet.common.change_options(|options| {
            options.receive_buffer_bytes = settings.tcp_receive_buffer()[1];
            options.send_buffer_bytes = settings.tcp_send_buffer()[1];
            Ok(())
        });
        let options = TcpOptions::new(settings);
        Self::with(inet, options, State::default())
    }

    fn with(inet: InetSocket, options: TcpOptions, state: State) -> Arc<Self> {
        let socket = Arc::new_cyclic(|me| Self {
            inet,
            state: Mutex::new(state),
            options: Mutex::new(options),
            timing: Mutex::default(),
            queue: WaitQueue::default(),
            me: me.clone(),
        });
        let reports: Weak<dyn Report> = socket.me.clone();
        socket.inet.sockets().reports().register(reports);
        socket
    }

    /// The own end and the peer's, if it is connected.
    fn ends(&self) -> Option<(Arc<Endpoint>, Arc<Endpoint>)> {
        match &self.state.lock().role {
            Role::Connected(connection) => Some((connection.own.clone(), connection.peer.clone())),
            _ => None,
        }
    }

    /// The same, with the way between them.
    fn both_ends(&self) -> Option<Ends> {
        match &self.state.lock().role {
            Role::Connected(connection) => Some(connection.ends()),
            _ => None,
        }
    }

    /// The way to the peer, if that is in another namespace.
    fn wire(&self) -> Option<Arc<Wire>> {
        match &self.state.lock().role {
            Role::Connected(connection) => connection.wire.clone(),
            _ => None,
        }
    }

    /// Where it counts what goes to or comes from an address.
    fn home(&self, remote: IpAddr) -> Home {
        Home::new(self.inet.network(), remote)
    }

    fn remote(&self) -> Option<SocketAddr> {
        match &self.state.lock().role {
            Role::Connected(connection) => Some(connection.remote),
            Role::Outside(connection) => Some(connection.remote),
            _ => None,
        }
    }

    fn ports(&self) -> &Arc<Ports<Self>> {
        &self.inet.sockets().tcp().ports
    }
}

impl Connection {
    fn ends(&self) -> Ends {
        Ends { own: self.own.clone(), peer: self.peer.clone(), wire: self.wire.clone() }
    }

    /// Ends it, since its socket is closed: with a reset if something is left unread or SO_LINGER asks for it, else in order.
    fn close(&self, lingers_not: bool) -> Closing {
        let (has_unread, was_reset, is_over) = {
            let mut inbox = self.own.inbox();
            inbox.is_gone = true;
            (inbox.bytes.unread_bytes() > 0, inbox.is_reset, inbox.is_closed())
        };
        let ends = self.ends();
        if was_reset || has_unread || lingers_not || self.is_embryo {
            ends.clear();
            if !is_over {
                self.count_abort(has_unread, lingers_not);
            }
            // Where nothing gets through, the peer learns of it when it sends something.
            if ends.is_open() {
                self.peer.reset();
            }
            return Closing::Broken;
        }
        if self.own.shut_sending() {
            ends.end();
        }
        ends.flush(Flush::All);
        if self.own.inbox().closes_first { Closing::First } else { Closing::Last }
    }
}

impl Connection {
    /// Counts a reset that ends the connection, and why it is sent.
    fn count_abort(&self, has_unread: bool, lingers_not: bool) {
        let home = &self.own.home;
        if has_unread {
            home.count(Counter::TcpAbortsOnClose);
        } else if lingers_not {
            home.count(Counter::TcpAbortsOnData);
        }
        if !self.own.inbox().is_send_shut {
            home.count(Counter::TcpEstablishedReset);
        }
        self.ends().count_reset();
    }
}

/// How a connection has ended.
#[derive(PartialEq, Eq)]
enum Closing {
    Broken,
    /// This end was the first: its port lingers.
    First,
    Last,
}

impl Report for TcpSocket {
    fn report(&self) -> Option<InetStatus> {
        let (local, state, (waiting, max_backlog)) = {
            let state = self.state.lock();
            let backlog = match &state.role {
                Role::Listening(listener) => (listener.backlog.len(), listener.max_backlog),
                _ => (0, 0),
            };
            (state.bound.as_ref()?.address, state.tcp_state(), backlog)
        };
        let shut = self.ends().map_or(0, |(own, _)| {
            let inbox = own.inbox();
            u8::from(inbox.has_ended || inbox.is_receive_shut) | u8::from(inbox.is_send_shut) << 1
        });
        let (unread_bytes, unsent_bytes) = match (self.both_ends(), self.host()) {
            (Some(ends), _) => (ends.own.inbox().arrived_bytes(), ends.unsent_bytes()),
            (None, Ok(Some(host))) => (host.unread_bytes(), host.unsent_bytes()),
            _ => (waiting, 0),
        };
        Some(InetStatus {
            protocol: InetProtocol::Tcp,
            is_ipv6: self.inet.is_ipv6(),
            local,
            remote: self.remote(),
            state: state as u8,
            unread_bytes,
            unsent_bytes,
            info: Some(Box::new(self.info())),
            congestion: Some(self.options.lock().congestion()),
            buffers: self.inet.common.buffer_sizes(),
            max_backlog,
            is_v6_only: self.inet.is_v6_only(),
            shut,
            lost: 0,
            uid: self.inet.uid(),
            inode: self.inet.common.inode().ino(),
            lingers_for: None,
        })
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        let state = std::mem::take(self.state.get_mut());
        let lingers_not = self.inet.common.options().linger == (true, 0);
        if let Role::Outside(connection) = &state.role {
            connection.close(lingers_not);
        }
        let (Role::Connected(connection), Some(bound)) = (&state.role, &state.bound) else { return };
        let closing = connection.close(lingers_not);
        let ends = connection.ends();
        if closing != Closing::Broken && ends.is_holding() {
            let max_orphans = self.inet.settings().max_orphans();
            let home = (self.inet.sockets().tcp(), max_orphans);
            Orphan::keep(ends, &self.inet.network().shared().timers, home);
        }
        self.note_end(&closing, connection, bound);
    }
}

/// `TCP_*` states (`tcp(7)` calls them by name, `linux/tcp.h` numbers them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// Data goes both ways.
    Established = 1,
    /// A connect waits.
    SynSent = 2,
    /// This end has ended, and the other has not said that it knows.
    FinWait1 = 4,
    /// This end has ended, the other has not.
    FinWait2 = 5,
    /// Both ends have ended, this one first.
    TimeWait = 6,
    /// Not connected.
    Close = 7,
    /// The other end has ended, this one has not.
    CloseWait = 8,
    /// Both ends have ended, the other one first, and has not said that it knows.
    LastAck = 9,
    /// It listens.
    Listen = 10,
    /// Both ends have ended at once.
    Closing = 11,
}

impl State {
    fn tcp_state(&self) -> TcpState {
        match &self.role {
            Role::Closed | Role::Failed => TcpState::Close,
            Role::Listening(_) => TcpState::Listen,
            Role::Connecting { .. } => TcpState::SynSent,
            Role::Outside(connection) => connection.tcp_state(),
            Role::Connected(connection) => {
                let inbox = connection.own.inbox();
                match (inbox.is_send_shut, inbox.has_ended) {
                    _ if inbox.is_closed() => TcpState::Close,
                    (true, _) => TcpState::FinWait2,
                    (_, true) => TcpState::CloseWait,
                    _ => TcpState::Established,
                }
            }
        }
    }
}
