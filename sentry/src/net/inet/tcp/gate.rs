//! What rules let through of a connection, once it is made.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::net::NetworkNamespace;
use crate::net::device::LOOPBACK_INDEX;
use crate::net::wire::Packet;
use crate::net::xtables::{Between, Content, Hook, Verdict};

/// An end of a connection: its address, and what rules see of its segments.
#[derive(Clone, Copy)]
pub(super) struct Sender {
    pub(super) address: SocketAddr,
    pub(super) content: Content,
}

impl Sender {
    /// A segment to another end.
    pub(super) fn segment_to(&self, other: &Self) -> Packet {
        let ports = [self.address.port(), other.address.port()];
        let Content { owner, mark, .. } = self.content;
        let content = Content { owner, mark, ..Content::segment(ports) };
        Packet { source: self.address.ip(), destination: other.address.ip(), ttl: u8::MAX, tos: 0, content }
    }
}

/// The rules between the ends of a connection within a namespace.
pub(super) struct Gate {
    network: Weak<NetworkNamespace>,
    are_judged: Arc<AtomicBool>,
    ends: [Sender; 2],
    /// What they said when the topology had this generation.
    found: Mutex<Option<(u64, bool)>>,
}

impl Gate {
    pub(super) fn new(network: &Arc<NetworkNamespace>, ends: [Sender; 2]) -> Arc<Self> {
        let are_judged = network.xtables().are_judged();
        Arc::new(Self { network: Arc::downgrade(network), are_judged, ends, found: Mutex::default() })
    }

    /// Whether what is sent arrives, and is acknowledged.
    pub(super) fn is_open(&self) -> bool {
        if !self.are_judged.load(Ordering::Acquire) {
            return true;
        }
        let Some(network) = self.network.upgrade() else { return true };
        let generation = network.shared().topology.generation();
        let known = self.found.lock().filter(|(found, _)| *found == generation);
        let (_, is_open) = known.unwrap_or_else(|| {
            let [one, other] = &self.ends;
            let is_open =
                passes(&network, &one.segment_to(other)) && passes(&network, &other.segment_to(one));
            *self.found.lock() = Some((generation, is_open));
            (generation, is_open)
        });
        is_open
    }
}

/// Whether a packet gets out to the loopback, and in again.
fn passes(network: &NetworkNamespace, packet: &Packet) -> bool {
    let at = |hook, between| network.judge(hook, packet, between) == Verdict::Accept;
    at(Hook::Output, Between::leaving(LOOPBACK_INDEX)) && at(Hook::Input, Between::coming(LOOPBACK_INDEX))
}
