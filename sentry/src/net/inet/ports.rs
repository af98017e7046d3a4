//! The ports of one protocol in a namespace: who is bound to which, and who may be (`man 7 socket`, SO_REUSEADDR and SO_REUSEPORT).
//!
//! A [`Port`] is a claim; clones share it, as a listener shares its port with the connections that it accepts. The last one to be
//! dropped gives it up, unless TCP has it linger (TIME_WAIT).

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::Errno;
use crate::cred::KernelUid;
use crate::time::{MonotonicTime, Timekeeper};

/// Who wants a port, and on what terms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// The address; the unspecified one for all.
    pub address: IpAddr,
    /// An IPv6 address is not for IPv4 (IPV6_V6ONLY).
    pub is_v6_only: bool,
    /// The link that it is for alone (SO_BINDTODEVICE).
    pub device: Option<u32>,
    /// SO_REUSEADDR.
    pub reuses_address: bool,
    /// SO_REUSEPORT.
    pub reuses_port: bool,
    /// Who made the socket: others cannot share the port.
    pub uid: KernelUid,
    /// It listens: then SO_REUSEADDR does not help others.
    pub is_listening: bool,
}

/// The ports that a socket may be given which asks for any.
#[derive(Clone, Debug)]
pub(super) struct LocalPorts {
    pub(super) range: RangeInclusive<u16>,
    /// What is left out of them, by ascending ports.
    pub(super) reserved: Vec<RangeInclusive<u16>>,
}

impl LocalPorts {
    /// All of `range`.
    pub(super) fn all(range: RangeInclusive<u16>) -> Self {
        Self { range, reserved: Vec::new() }
    }
}

impl Claim {
    /// Whether what is sent to one address may be meant for the other as well.
    fn overlaps(&self, other: &Self) -> bool {
        let are_devices_apart = self.device.zip(other.device).is_some_and(|(own, others)| own != others);
        let overlap = match (self.address, other.address) {
            (IpAddr::V4(_), IpAddr::V6(_)) => other.covers_v4(),
            (IpAddr::V6(_), IpAddr::V4(_)) => self.covers_v4(),
            (own, others) => own == others || own.is_unspecified() || others.is_unspecified(),
        };
        overlap && !are_devices_apart
    }

    /// Whether it is an IPv6 socket's that takes IPv4 too.
    fn covers_v4(&self) -> bool {
        self.address.is_unspecified() && !self.is_v6_only
    }

    /// Whether it cannot be beside one that is there: SO_REUSEADDR does not help against one that listens.
    fn conflicts_with(&self, other: &Self) -> bool {
        let is_shared_address = self.reuses_address && other.reuses_address && !other.is_listening;
        let is_shared_port = self.reuses_port && other.reuses_port && self.uid == other.uid;
        self.overlaps(other) && !is_shared_address && !is_shared_port
    }

    /// How well it fits what is sent to `destination`; `None` if not at all.
    fn score(&self, destination: IpAddr, device: u32) -> Option<u32> {
        let address_score = match (self.address, destination) {
            (own, destination) if own == destination => 4,
            (IpAddr::V4(own), IpAddr::V4(_)) if own.is_unspecified() => 2,
            (IpAddr::V6(own), IpAddr::V6(_)) if own.is_unspecified() => 2,
            (IpAddr::V6(_), IpAddr::V4(_)) if self.covers_v4() => 1,
            _ => return None,
        };
        match self.device {
            None => Some(address_score),
            Some(own) if own == device => Some(address_score + 8),
            Some(_) => None,
        }
    }
}

struct Entry<S> {
    id: u64,
    claim: Claim,
    socket: Weak<S>,
    /// Nobody has it any more, but until then nobody else can (TIME_WAIT).
    lingers_until: Option<MonotonicTime>,
}

/// Most ports of a protocol that linger (`tcp_max_tw_buckets`): with more, those that have lingered longest are free again.
const MAX_LINGERING: usize = 16_384;

struct State<S> {
    timekeeper: Arc<Timekeeper>,
    ports: HashMap<u16, Vec<Entry<S>>>,
    /// Those that linger, or did, by their ports and ids, who began first at the front.
    lingering: VecDeque<(u16, u64)>,
    next_id: u64,
}

/// The ports of one protocol, whose sockets are of type `S`.
pub(super) struct Ports<S>(Mutex<State<S>>);

/// A claimed port.
pub(super) struct Port<S> {
    number: u16,
    id: u64,
    lingers_until: Mutex<Option<MonotonicTime>>,
    ports: Arc<Ports<S>>,
}

impl<S> State<S> {
    fn entries(&mut self, port: u16) -> &mut Vec<Entry<S>> {
        let now = self.timekeeper.monotonic();
        let entries = self.ports.entry(port).or_default();
        entries.retain(|entry| entry.lingers_until.is_none_or(|until| until > now));
        entries
    }

    /// Notes that `id` lingers at `port`. If too many do, the first one is free again.
    fn note_lingering(&mut self, port: u16, id: u64) {
        if self.lingering.len() >= MAX_LINGERING
            && let Some((port, first)) = self.lingering.pop_front()
            && let Some(entries) = self.ports.get_mut(&port)
        {
            entries.retain(|entry| entry.id != first);
            if entries.is_empty() {
                self.ports.remove(&port);
            }
        }
        self.lingering.push_back((port, id));
    }

    fn is_free(&mut self, port: u16, claim: &Claim) -> bool {
        self.entries(port).iter().all(|entry| !claim.conflicts_with(&entry.claim))
    }

    /// Whether nobody has it, lingering apart: a connection's ends are known by both its ports.
    fn is_vacant(&mut self, port: u16) -> bool {
        self.entries(port).iter().all(|entry| entry.lingers_until.is_some())
    }

    fn insert(&mut self, port: u16, claim: Claim, socket: &Weak<S>) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        let entry = Entry { id, claim, socket: socket.clone(), lingers_until: None };
        self.entries(port).push(entry);
        id
    }

    /// A port of `range` that `suits`: the first from one that nobody foresees, around to it again.
    fn ephemeral(
        &mut self,
        local_ports: LocalPorts,
        mut suits: impl FnMut(&mut Self, u16) -> bool,
    ) -> Option<u16> {
        let LocalPorts { range, reserved } = local_ports;
        let (first, last) = (*range.start(), *range.end());
        let is_reserved = |port: u16| {
            let behind = reserved.partition_point(|range| *range.start() <= port);
            behind.checked_sub(1).and_then(|at| reserved.get(at)).is_some_and(|range| range.contains(&port))
        };
        let count = u32::from(last.saturating_sub(first)) + 1;
        let mut random = [0; 4];
        crate::host::fill_random(&mut random);
        let start = u32::from_ne_bytes(random) % count;
        for tried in 0..count {
            let offset = (start + tried) % count;
            let port = first.saturating_add(u16::try_from(offset).unwrap_or(0));
            if !is_reserved(port) && suits(self, port) {
                return Some(port);
            }
        }
        None
    }
}

impl<S> Ports<S> {
    /// All free. `timekeeper` tells how long some linger.
    pub(super) fn new(timekeeper: &Arc<Timekeeper>) -> Arc<Self> {
        let (timekeeper, ports, lingering) = (timekeeper.clone(), HashMap::new(), VecDeque::new());
        Arc::new(Self(Mutex::new(State { timekeeper, ports, lingering, next_id: 0 })))
    }

    fn claimed(self: &Arc<Self>, number: u16, id: u64) -> Arc<Port<S>> {
        Arc::new(Port { number, id, lingers_until: Mutex::default(), ports: self.clone() })
    }

    /// Claims `port`, or any if that is 0.
    ///
    /// # Errors
    /// EADDRINUSE.
    pub(super) fn claim(
        self: &Arc<Self>,
        port: u16,
        claim: Claim,
        socket: &Weak<S>,
        local_ports: LocalPorts,
    ) -> Result<Arc<Port<S>>, Errno> {
        let mut state = self.0.lock();
        let number = match port {
            0 => state.ephemeral(local_ports, |state, port| state.is_free(port, &claim)),
            port => state.is_free(port, &claim).then_some(port),
        };
        let number = number.ok_or(Errno::EADDRINUSE)?;
        let id = state.insert(number, claim, socket);
        drop(state);
        Ok(self.claimed(number, id))
    }

    /// Claims any port for a connection.
    ///
    /// # Errors
    /// EADDRNOTAVAIL.
    pub(super) fn claim_for_connection(
        self: &Arc<Self>,
        claim: Claim,
        socket: &Weak<S>,
        local_ports: LocalPorts,
    ) -> Result<Arc<Port<S>>, Errno> {
        let mut state = self.0.lock();
        let number = state.ephemeral(local_ports, State::is_vacant).ok_or(Errno::EADDRNOTAVAIL)?;
        let id = state.insert(number, claim, socket);
        drop(state);
        Ok(self.claimed(number, id))
    }

    /// The sockets that what is sent to `destination` through the link `device` is for: those that fit best, of which one gets it
    /// unless it is for all.
    pub(super) fn find(
        &self,
        destination: SocketAddr,
        device: u32,
        is_wanted: impl Fn(&Claim) -> bool,
    ) -> Vec<Arc<S>> {
        let fitting = self.fitting(destination, device, is_wanted);
        let best = fitting.iter().map(|(score, _)| *score).max();
        fitting
            .into_iter()
            .filter(|(score, _)| Some(*score) == best)
            .filter_map(|(_, socket)| socket.upgrade())
            .collect()
    }

    /// All sockets that what is sent to `destination` through the link `device` could be for, and how well each fits.
    pub(super) fn find_all(&self, destination: SocketAddr, device: u32) -> Vec<(u32, Arc<S>)> {
        let fitting = self.fitting(destination, device, |_| true);
        fitting.into_iter().filter_map(|(score, socket)| Some((score, socket.upgrade()?))).collect()
    }

    /// The sockets that fit, and how well. Not upgraded: the last reference to a socket must not be dropped under the lock.
    fn fitting(
        &self,
        destination: SocketAddr,
        device: u32,
        is_wanted: impl Fn(&Claim) -> bool,
    ) -> Vec<(u32, Weak<S>)> {
        let state = self.0.lock();
        let entries = state.ports.get(&destination.port()).map(Vec::as_slice).unwrap_or_default();
        let held = entries.iter().filter(|entry| entry.lingers_until.is_none() && is_wanted(&entry.claim));
        held.filter_map(|entry| Some((entry.claim.score(destination.ip(), device)?, entry.socket.clone())))
            .collect()
    }
}

impl<S> Port<S> {
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Changes the terms on which it is held.
    ///
    /// # Errors
    /// EADDRINUSE if others do not allow that.
    pub(super) fn change(&self, change: impl FnOnce(&mut Claim)) -> Result<(), Errno> {
        let mut state = self.ports.0.lock();
        let entries = state.entries(self.number);
        let own = entries.iter().position(|entry| entry.id == self.id).ok_or(Errno::EADDRINUSE)?;
        let Some(mut claim) = entries.get(own).map(|entry| entry.claim) else {
            return Err(Errno::EADDRINUSE);
        };
        change(&mut claim);
        let others = entries.iter().filter(|entry| entry.id != self.id);
        if others.into_iter().any(|other| claim.conflicts_with(&other.claim)) {
            return Err(Errno::EADDRINUSE);
        }
        if let Some(entry) = entries.get_mut(own) {
            entry.claim = claim;
        }
        Ok(())
    }

    /// SO_REUSEADDR or SO_REUSEPORT have changed, which count at once.
    pub(super) fn set_reuse(&self, reuses_address: bool, reuses_port: bool) {
        let mut state = self.ports.0.lock();
        if let Some(entry) = state.entries(self.number).iter_mut().find(|entry| entry.id == self.id) {
            (entry.claim.reuses_address, entry.claim.reuses_port) = (reuses_address, reuses_port);
        }
    }

    /// Has nobody else get it until then, however it is given up.
    pub(super) fn linger_until(&self, until: MonotonicTime) {
        let mut lingers_until = self.lingers_until.lock();
        *lingers_until = Some(lingers_until.map_or(until, |other| other.max(until)));
    }
}

impl<S> Drop for Port<S> {
    fn drop(&mut self) {
        let lingers_until = *self.lingers_until.get_mut();
        let mut state = self.ports.0.lock();
        let entries = state.entries(self.number);
        let Some(own) = entries.iter().position(|entry| entry.id == self.id) else { return };
        let mut entry = entries.swap_remove(own);
        entry.lingers_until = lingers_until;
        entry.claim.is_listening = false;
        if lingers_until.is_some() {
            // One that lingers is as good as many on the same terms.
            let is_same = |other: &Entry<S>| {
                other.lingers_until.is_some()
                    && other.claim.address == entry.claim.address
                    && other.claim.reuses_address == entry.claim.reuses_address
                    && other.claim.reuses_port == entry.claim.reuses_port
            };
            entries.retain(|other| !is_same(other));
            entries.push(entry);
            state.note_lingering(self.number, self.id);
        } else if entries.is_empty() {
            state.ports.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests;
