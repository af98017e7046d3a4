//! The segments that a connection's bytes would be on a wire. Nobody makes them: they are counted as Linux counts its own, and
//! TCP_INFO tells of them.
//!
//! An end that answers what it is told acknowledges with its answers. Another acknowledges the first segments one by one, and
//! later ones by twos, and when it has read everything.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::gate::Gate;
use super::outbox::Ends;
use super::wire::Wire;
use crate::net::counters::Passing;
use crate::net::device::{LinkStatistics, Traffic};
use crate::net::{Counter, Counters, NetworkNamespace};
use crate::time::{MonotonicTime, Timekeeper};

/// The headers of IPv4 and of IPv6 with TCP's.
const V4_HEADER_BYTES: usize = 40;
const V6_HEADER_BYTES: usize = 60;
/// A time stamp, and what else a SYN carries: the largest segment, selective acknowledgement, and the window's scale.
pub(super) const TIME_STAMP_BYTES: usize = 12;
const SYN_OPTIONS_BYTES: usize = 20;

/// Where an end counts.
#[derive(Clone)]
pub(super) struct Home {
    counters: Arc<Counters>,
    loopback: Option<Arc<LinkStatistics>>,
    timekeeper: Arc<Timekeeper>,
    is_ipv4: bool,
    /// The rules between the ends of a connection within the namespace.
    gate: Option<Arc<Gate>>,
}

/// What has come to an end.
pub(super) struct Arrivals {
    segments: AtomicU32,
    data_segments: AtomicU32,
    /// How many of those with bytes, or with the end of them, are not acknowledged yet.
    unacknowledged: AtomicU32,
    /// Bytes have come after it has sent some.
    has_news: AtomicBool,
    /// It answers what it is told.
    is_interactive: AtomicBool,
    /// How many segments it has acknowledged one by one.
    quick: AtomicU32,
    timekeeper: Arc<Timekeeper>,
    began: MonotonicTime,
    /// When bytes have come last, in milliseconds after the beginning.
    last_data: AtomicU32,
}

/// What TCP_INFO tells of them.
pub(super) struct ArrivalCounts {
    pub(super) segments: u32,
    pub(super) data_segments: u32,
    /// How long ago bytes have come last; without any, the connection.
    pub(super) since_data: Duration,
    /// An acknowledgement is due.
    pub(super) owes: bool,
}

impl Home {
    /// That of a namespace, for a connection to or from `address`.
    pub(super) fn new(network: &NetworkNamespace, address: IpAddr) -> Self {
        let loopback = network.loopback_statistics().cloned();
        let (counters, timekeeper) = (network.counters().clone(), network.shared().timekeeper.clone());
        Self { counters, loopback, timekeeper, is_ipv4: address.is_ipv4(), gate: None }
    }

    /// The same, with rules between the ends.
    pub(super) fn behind(self, gate: Option<Arc<Gate>>) -> Self {
        Self { gate, ..self }
    }

    /// Whether rules let through what is sent within the namespace.
    pub(super) fn is_open(&self) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate.is_open())
    }

    /// What keeps the time.
    pub(super) fn timekeeper(&self) -> &Arc<Timekeeper> {
        &self.timekeeper
    }

    /// Counts one more of something.
    pub(super) fn count(&self, counter: Counter) {
        self.counters.add(counter, 1);
    }

    /// Whether the connection is one of IPv4.
    pub(super) fn is_ipv4(&self) -> bool {
        self.is_ipv4
    }

    /// The bytes of a header without options.
    fn header_bytes(&self) -> usize {
        if self.is_ipv4 { V4_HEADER_BYTES } else { V6_HEADER_BYTES }
    }

    /// Counts what goes to another end, through the loopback or by a wire.
    fn pass(&self, peer: &Self, wire: Option<&Wire>, passing: Passing) {
        match (wire, &self.loopback) {
            (Some(wire), _) => {
                self.counters.segments(self.is_ipv4).sent.add(passing);
                peer.counters.segments(self.is_ipv4).received.add(passing);
                wire.count(passing.segments, passing.bytes);
            }
            (None, loopback) => {
                self.counters.segments(self.is_ipv4).looped.add(passing);
                if let Some(loopback) = loopback {
                    loopback.count_looped(Traffic { packets: passing.segments, bytes: passing.bytes });
                }
            }
        }
    }

    /// Counts a segment without bytes, with so many of options.
    fn pass_one(&self, peer: &Self, wire: Option<&Wire>, option_bytes: usize) {
        let bytes = (self.header_bytes() + option_bytes) as u64;
        self.pass(peer, wire, Passing { segments: 1, bytes, ..Passing::default() });
    }

    /// Counts a SYN that finds no place.
    pub(super) fn count_dropped_syn(&self, peer: &Self, wire: Option<&Wire>) {
        self.pass_one(peer, wire, SYN_OPTIONS_BYTES);
        peer.count(Counter::TcpListenOverflows);
        peer.count(Counter::TcpListenDrops);
    }

    /// Counts a SYN that a reset answers.
    pub(super) fn count_refusal(&self, peer: &Self, wire: Option<&Wire>) {
        self.pass_one(peer, wire, SYN_OPTIONS_BYTES);
        peer.pass_one(self, wire, 0);
        peer.count(Counter::TcpResetsSent);
    }
}

/// How many segments are acknowledged one by one, before it is by twos (`TCP_MAX_QUICKACKS`).
const MAX_QUICK: u32 = 16;

impl Arrivals {
    /// Those of an end that begins now, by `timekeeper`.
    pub(super) fn new(timekeeper: &Arc<Timekeeper>) -> Self {
        Self {
            segments: AtomicU32::default(),
            data_segments: AtomicU32::default(),
            unacknowledged: AtomicU32::default(),
            has_news: AtomicBool::default(),
            is_interactive: AtomicBool::default(),
            quick: AtomicU32::default(),
            timekeeper: timekeeper.clone(),
            began: timekeeper.monotonic(),
            last_data: AtomicU32::default(),
        }
    }

    /// For how long there have been any.
    fn age(&self) -> Duration {
        self.timekeeper.monotonic().saturating_duration_since(self.began)
    }

    /// What TCP_INFO tells.
    pub(super) fn counts(&self) -> ArrivalCounts {
        let last = Duration::from_millis(self.last_data.load(Ordering::Relaxed).into());
        ArrivalCounts {
            segments: self.segments.load(Ordering::Relaxed),
            data_segments: self.data_segments.load(Ordering::Relaxed),
            since_data: self.age().saturating_sub(last),
            owes: self.owes(),
        }
    }

    /// Whether an acknowledgement is due.
    pub(super) fn owes(&self) -> bool {
        self.unacknowledged.load(Ordering::Relaxed) > 0
    }

    /// Bytes have come, in so many segments. Returns how many acknowledgements go back at once.
    fn take(&self, segments: u32) -> u32 {
        let elapsed = u32::try_from(self.age().as_millis()).unwrap_or(u32::MAX);
        self.last_data.store(elapsed, Ordering::Relaxed);
        self.data_segments.fetch_add(segments, Ordering::Relaxed);
        self.has_news.store(true, Ordering::Relaxed);
        let owed = self.unacknowledged.fetch_add(segments, Ordering::Relaxed) + segments;
        let is_interactive = self.is_interactive.load(Ordering::Relaxed);
        if !is_interactive && self.quick.load(Ordering::Relaxed) < MAX_QUICK {
            self.quick.fetch_add(owed, Ordering::Relaxed);
            return owed;
        }
        owed / 2
    }

    /// Nothing comes any more. Returns whether that is acknowledged at once.
    fn end(&self) -> bool {
        self.unacknowledged.fetch_add(1, Ordering::Relaxed);
        !self.is_interactive.load(Ordering::Relaxed)
    }

    /// This end sends bytes: whether it does so after it was told something.
    fn answer(&self) {
        if self.has_news.swap(false, Ordering::Relaxed) {
            self.is_interactive.store(true, Ordering::Relaxed);
        }
    }

    /// What this end sends acknowledges all that has come: how many segments.
    fn acknowledge(&self) -> u32 {
        self.unacknowledged.swap(0, Ordering::Relaxed)
    }

    /// Everything has been read. Returns whether that is acknowledged.
    fn are_read(&self) -> bool {
        !self.is_interactive.load(Ordering::Relaxed) && self.owes()
    }
}

impl Ends {
    fn pass(&self, passing: Passing) {
        let segments = u32::try_from(passing.segments).unwrap_or(u32::MAX);
        self.peer.arrivals.segments.fetch_add(segments, Ordering::Relaxed);
        self.own.home.pass(&self.peer.home, self.wire.as_deref(), passing);
    }

    fn pass_one(&self, option_bytes: usize) {
        self.peer.arrivals.segments.fetch_add(1, Ordering::Relaxed);
        self.own.home.pass_one(&self.peer.home, self.wire.as_deref(), option_bytes);
    }

    /// The bytes of a header with a time stamp.
    fn header_bytes(&self) -> u64 {
        (self.own.home.header_bytes() + TIME_STAMP_BYTES) as u64
    }

    /// Counts acknowledgements that carry nothing else.
    fn count_acknowledgements(&self, segments: u64) {
        if segments > 0 {
            let bytes = segments * self.header_bytes();
            let delivered = self.own.arrivals.acknowledge().into();
            self.pass(Passing { segments, bytes, data: 0, acknowledgements: segments, delivered });
        }
    }

    /// The same connection as the peer sees it.
    pub(super) fn turned(&self) -> Self {
        Self { own: self.peer.clone(), peer: self.own.clone(), wire: self.wire.clone() }
    }

    /// Counts the three segments that begin a connection.
    pub(super) fn count_beginning(&self) {
        self.pass_one(SYN_OPTIONS_BYTES);
        self.turned().pass_one(SYN_OPTIONS_BYTES);
        self.count_acknowledgements(1);
        self.own.home.count(Counter::TcpDelivered);
        self.peer.home.count(Counter::TcpPassiveOpens);
    }

    /// Counts bytes that go to the peer, and what acknowledges them.
    pub(super) fn count(&self, len_bytes: usize) {
        let segments = u32::try_from(len_bytes.div_ceil(self.segment_bytes())).unwrap_or(u32::MAX);
        if segments == 0 {
            return;
        }
        self.own.arrivals.answer();
        self.count_data(segments.into(), len_bytes);
        let acknowledgements = self.peer.arrivals.take(segments);
        if acknowledgements > 0 {
            self.turned().count_acknowledgements(acknowledgements.into());
        }
    }

    /// Counts segments with so many bytes in all, which acknowledge what has come.
    fn count_data(&self, segments: u64, len_bytes: usize) {
        let bytes = len_bytes as u64 + segments * self.header_bytes();
        let delivered = self.own.arrivals.acknowledge().into();
        self.pass(Passing { segments, bytes, data: segments, acknowledgements: 0, delivered });
    }

    /// This end has read all that there was: that may be acknowledged.
    pub(super) fn count_reading(&self) {
        if self.own.arrivals.are_read() {
            self.count_acknowledgements(1);
        }
    }

    /// Counts the end of what this end sends (FIN), and what acknowledges it.
    pub(super) fn count_end(&self) {
        self.count_data(1, 0);
        if self.peer.arrivals.end() {
            self.turned().count_acknowledgements(1);
        }
    }

    /// Counts a reset that this end sends of its own accord.
    pub(super) fn count_reset(&self) {
        self.pass_one(TIME_STAMP_BYTES);
        self.own.home.count(Counter::TcpResetsSent);
    }

    /// Counts bytes for which there is nobody at the peer's end any more, and the reset that answers them.
    pub(super) fn count_lost(&self, len_bytes: usize) {
        self.count_data(1, len_bytes);
        self.turned().pass_one(0);
        self.peer.home.count(Counter::TcpResetsSent);
    }
}

#[cfg(test)]
mod tests;
