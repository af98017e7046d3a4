//! Who has sent to whom: what makes a datagram an answer.
//!
//! TCP knows its connections, and says of each segment what it is. Of datagrams and echoes it is remembered for a while where they
//! went, as long as some rule asks for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use super::super::namespace::KernelSockets;
use super::super::wire::Packet;
use super::content::{ConnectionState, ICMP, ICMPV6, UDP, UDP_LITE};
use crate::heap::HeapCharge;
use crate::time::SystemClock;

/// For how long an unanswered datagram is remembered, and an answered one (`nf_conntrack_udp_timeout`, `_stream`).
const UNANSWERED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(120);
/// The most that are remembered; what is new beyond that stays new.
const MAX_CONNECTIONS: usize = 4096;
/// What one takes in the table.
const CONNECTION_BYTES: usize = 192;

/// The ends that a datagram goes between, and its protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Flow {
    protocol: u8,
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
}

struct Known {
    is_answered: bool,
    until: Duration,
    _charge: HeapCharge,
}

/// What is remembered.
#[derive(Default)]
pub(super) struct Connections {
    known: Mutex<HashMap<Flow, Known>>,
}

impl Flow {
    /// That of a packet which says nothing itself of its connection.
    fn of(packet: &Packet) -> Option<Self> {
        let content = &packet.content;
        let is_followed = content.state == ConnectionState::New
            && matches!(content.protocol, UDP | UDP_LITE | ICMP | ICMPV6);
        is_followed.then_some(Self {
            protocol: content.protocol,
            source: (packet.source, content.ports[0]),
            destination: (packet.destination, content.ports[1]),
        })
    }

    fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }
}

impl Connections {
    /// What a packet is to its connection.
    pub(super) fn state_of(&self, packet: &Packet, shared: &KernelSockets) -> ConnectionState {
        let Some(flow) = Flow::of(packet) else { return packet.content.state };
        let now = shared.timekeeper.now(SystemClock::Monotonic);
        let known = self.known.lock();
        let find = |flow: Flow| known.get(&flow).filter(|known| known.until > now);
        // One to oneself is no answer to itself.
        let is_answer = flow != flow.reversed() && find(flow.reversed()).is_some();
        let is_answered = find(flow).is_some_and(|known| known.is_answered);
        if is_answer || is_answered { ConnectionState::Established } else { ConnectionState::New }
    }

    /// A packet goes on: what comes back is an answer to it.
    pub(super) fn note(&self, packet: &Packet, shared: &KernelSockets) {
        let Some(flow) = Flow::of(packet) else { return };
        let now = shared.timekeeper.now(SystemClock::Monotonic);
        let mut known = self.known.lock();
        if flow != flow.reversed()
            && let Some(asked) = known.get_mut(&flow.reversed()).filter(|asked| asked.until > now)
        {
            (asked.is_answered, asked.until) = (true, now + ANSWERED);
            return;
        }
        if let Some(own) = known.get_mut(&flow) {
            let is_answered = own.is_answered && own.until > now;
            let lasts = if is_answered { ANSWERED } else { UNANSWERED };
            (own.is_answered, own.until) = (is_answered, now + lasts);
            return;
        }
        if known.len() >= MAX_CONNECTIONS {
            known.retain(|_, known| known.until > now);
        }
        let Ok(charge) = HeapCharge::new(CONNECTION_BYTES) else { return };
        if known.len() < MAX_CONNECTIONS {
            known.insert(flow, Known { is_answered: false, until: now + UNANSWERED, _charge: charge });
        }
    }
}
