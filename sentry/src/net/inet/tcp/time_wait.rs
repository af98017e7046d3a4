//! Connections that have ended and are told of for as long as their ports linger (TIME_WAIT, and FIN_WAIT2 of nobody's).

use std::net::SocketAddr;
use std::time::Duration;

use super::{Bound, Closing, Connection, TcpSocket, TcpSockets, TcpState};
use crate::cred::KernelUid;
use crate::net::Counter;
use crate::net::inet::report::{InetProtocol, InetStatus};
use crate::time::MonotonicTime;

/// How long the port of the end that closed first stays taken.
const TIME_WAIT: Duration = Duration::from_secs(60);
/// Most that are told of (`tcp_max_tw_buckets`).
const MAX_ENDED: usize = 4096;

/// A connection that nobody has open any more.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    local: SocketAddr,
    remote: SocketAddr,
    is_ipv6: bool,
    state: TcpState,
    until: MonotonicTime,
}

impl TcpSocket {
    /// Notes how the connection of a socket that is closed has ended.
    pub(super) fn note_end(&self, closing: &Closing, connection: &Connection, bound: &Bound) {
        let (local, remote) = (bound.address, connection.remote);
        match closing {
            Closing::Broken => {}
            Closing::First => {
                let until = self.inet.network().shared().timekeeper.monotonic() + TIME_WAIT;
                bound.port.linger_until(until);
                let is_over = connection.own.inbox().has_ended;
                let state = if is_over { TcpState::TimeWait } else { TcpState::FinWait2 };
                let is_ipv6 = self.inet.is_ipv6();
                self.inet.network().counters().add(Counter::TcpTimeWaits, 1);
                self.inet.sockets().tcp().remember(Ended { local, remote, is_ipv6, state, until });
            }
            Closing::Last => {
                let far = connection.wire.as_ref().and_then(|wire| wire.far_network());
                let network = far.as_ref().unwrap_or(self.inet.network());
                network.inet_sockets().tcp().end(remote, local);
            }
        }
    }
}

impl TcpSockets {
    fn remember(&self, ended: Ended) {
        let now = self.timekeeper.monotonic();
        let mut all = self.ended.lock();
        while all.len() >= MAX_ENDED || all.front().is_some_and(|first| first.until <= now) {
            all.pop_front();
        }
        all.push_back(ended);
    }

    /// The other end of a connection has ended, too.
    fn end(&self, local: SocketAddr, remote: SocketAddr) {
        let mut all = self.ended.lock();
        for ended in all.iter_mut().filter(|ended| (ended.local, ended.remote) == (local, remote)) {
            ended.state = TcpState::TimeWait;
        }
    }

    /// What is told of them.
    pub(in crate::net::inet) fn ended(&self) -> Vec<InetStatus> {
        let now = self.timekeeper.monotonic();
        let all = self.ended.lock();
        let lingering = all.iter().filter(|ended| ended.until > now);
        let tell = |ended: &Ended| InetStatus {
            protocol: InetProtocol::Tcp,
            is_ipv6: ended.is_ipv6,
            local: ended.local,
            remote: Some(ended.remote),
            state: ended.state as u8,
            unread_bytes: 0,
            unsent_bytes: 0,
            info: None,
            congestion: None,
            buffers: (0, 0),
            max_backlog: 0,
            is_v6_only: false,
            shut: 3,
            lost: 0,
            uid: KernelUid(0),
            inode: 0,
            lingers_for: Some(ended.until.saturating_duration_since(now)),
        };
        lingering.map(tell).collect()
    }
}
