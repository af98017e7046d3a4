//! Sending.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use linux_raw_sys::net as uapi;
use netlink_packet_route::route::RouteType;

use super::{Datagram, READABLE, UdpSocket};
use crate::Errno;
use crate::net::SocketMemoryCharge;
use crate::net::route::RouteResult;
use crate::wait::Events;

/// The largest datagrams: what a packet of 65,535 bytes has left beside the headers.
const MAX_V4_BYTES: usize = 65_507;
const MAX_V6_BYTES: usize = 65_527;
/// What a datagram costs beside its bytes, and the granularity of that: about Linux's.
const OVERHEAD_BYTES: usize = 576;
const COST_STEP_BYTES: usize = 256;

impl UdpSocket {
    /// Fails unless broadcasts were asked for, if that is what it would be.
    pub(super) fn check_broadcast(&self, kind: RouteType) -> Result<(), Errno> {
        let is_allowed =
            kind != RouteType::Broadcast || self.inet.common.options().switch(uapi::SO_BROADCAST)?;
        if is_allowed { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Sends `bytes` to `target`, or to the peer.
    pub(super) fn send_datagram(&self, bytes: &[u8], target: Option<SocketAddr>) -> Result<usize, Errno> {
        let (source, remote, route) = self.settle(target)?;
        let longest = if remote.is_ipv4() { MAX_V4_BYTES } else { MAX_V6_BYTES };
        if bytes.len() > longest {
            return Err(Errno::EMSGSIZE);
        }
        {
            let mut inbox = self.inbox.lock();
            inbox.error.take().map_or(Ok(()), Err)?;
            if inbox.is_send_shut {
                return Err(Errno::EPIPE);
            }
        }
        if let Some(outside) = self.way_out(&route)? {
            return self.send_out(bytes, remote, &outside);
        }
        let receivers = self.receivers(source, remote, &route);
        if receivers.is_empty() && route.kind == RouteType::Local {
            self.learn_of_refusal();
        }
        for receiver in receivers {
            receiver.put(self.datagram(bytes, source, remote.ip(), &route), bytes.len());
        }
        Ok(bytes.len())
    }

    /// Both addresses of a datagram, and its way.
    fn settle(&self, target: Option<SocketAddr>) -> Result<(SocketAddr, SocketAddr, RouteResult), Errno> {
        let mut state = self.state.lock();
        let mut remote = target.or(state.remote).ok_or(Errno::EDESTADDRREQ)?;
        if remote.port() == 0 {
            return Err(Errno::EINVAL);
        }
        self.bind_to_any(&mut state)?;
        let own = state.bound.as_ref().ok_or(Errno::EINVAL)?.address;
        // The address of a connection is no hindrance for a datagram to somewhere else.
        let is_given = state.bound.as_ref().is_some_and(|bound| bound.is_address_given);
        let route = self.inet.route(remote, is_given.then_some(own.ip()))?;
        self.check_broadcast(route.kind)?;
        remote.set_ip(route.destination);
        Ok((SocketAddr::new(route.source, own.port()), remote, route))
    }

    /// Who gets a datagram: of those whom it may be for, the one that it fits best; all of them, if it is for all.
    fn receivers(&self, source: SocketAddr, remote: SocketAddr, route: &RouteResult) -> Vec<Arc<Self>> {
        if route.kind == RouteType::Multicast {
            // Nobody is a member of a group.
            return Vec::new();
        }
        let found = self.ports().find_all(remote, route.device);
        let fitting = found.into_iter().filter_map(|(score, socket)| {
            let is_connected = socket.accepts_from(source)?;
            Some(((is_connected, score), socket))
        });
        let fitting: Vec<_> = fitting.collect();
        if route.kind == RouteType::Broadcast {
            return fitting.into_iter().map(|(_, socket)| socket).collect();
        }
        let best = fitting.iter().map(|(score, _)| *score).max();
        let mut best: Vec<_> =
            fitting.into_iter().filter(|(score, _)| Some(*score) == best).map(|(_, socket)| socket).collect();
        if best.is_empty() {
            return best;
        }
        // Those that share a port by SO_REUSEPORT get their parts.
        vec![best.swap_remove(usize::from(source.port()) % best.len())]
    }

    fn datagram(
        &self,
        bytes: &[u8],
        source: SocketAddr,
        destination: IpAddr,
        route: &RouteResult,
    ) -> Result<Datagram, Errno> {
        let charge = self.charge(bytes.len())?;
        let (ttl, tos) = self.inet.ttl_and_tos();
        let bytes = bytes.to_vec();
        Ok(Datagram { bytes, source, destination, device: route.device, ttl, tos, charge })
    }

    /// Takes the memory that a datagram needs.
    pub(super) fn charge(&self, len_bytes: usize) -> Result<SocketMemoryCharge, Errno> {
        let cost = (len_bytes + OVERHEAD_BYTES).next_multiple_of(COST_STEP_BYTES);
        self.inet.network().shared().memory.charge(cost)
    }

    /// Puts a datagram where it is found. One for which there is no room is lost.
    pub(super) fn put(&self, datagram: Result<Datagram, Errno>, len_bytes: usize) {
        let Ok(datagram) = datagram else {
            log::debug!("a datagram of {len_bytes} bytes is lost: sockets have taken all their memory");
            return;
        };
        {
            let receive_buffer_bytes = self.inet.common.options().receive_buffer_bytes as usize;
            let mut inbox = self.inbox.lock();
            let cost_bytes = inbox.cost_bytes + datagram.charge.len_bytes();
            let is_first = inbox.datagrams.is_empty();
            if inbox.is_receive_shut || cost_bytes > receive_buffer_bytes && !is_first {
                return;
            }
            inbox.cost_bytes = cost_bytes;
            inbox.datagrams.push_back(datagram);
        }
        self.queue.notify(READABLE);
    }

    /// Nobody was there: one who is connected, or wants to know, is told by the next call.
    pub(super) fn learn_of_refusal(&self) {
        let is_connected = self.state.lock().remote.is_some();
        if !is_connected && !self.inet.wants_errors() {
            return;
        }
        self.inbox.lock().error = Some(Errno::ECONNREFUSED);
        self.queue.notify(Events::ERR);
    }
}
