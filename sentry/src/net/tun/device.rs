//! The program's end of a link.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Weak};

use linux_raw_sys::if_tun::{IFF_NO_PI, IFF_TAP, IFF_TUN, IFF_VNET_HDR};
use parking_lot::Mutex;

use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::net::packet::Frame;
use crate::net::{NetworkNamespace, SocketMemory, SocketMemoryCharge};
use crate::wait::{Events, WaitQueue};

/// Packets that wait for a neighbour's address (`unres_qlen`'s order of magnitude).
const MAX_UNRESOLVED: usize = 64;
/// What a packet that waits costs beside its bytes.
const PACKET_OVERHEAD_BYTES: usize = 256;
/// Bytes of `struct virtio_net_hdr`, the least that may come before a packet.
pub(super) const VNET_HEADER_BYTES: u32 = 10;

/// What a link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net) enum TunLayer {
    /// Packets of IP.
    Tun,
    /// Frames of Ethernet.
    Tap,
}

impl TunLayer {
    /// `IFF_TUN` or `IFF_TAP`.
    pub(super) fn flag(self) -> u32 {
        match self {
            Self::Tun => IFF_TUN,
            Self::Tap => IFF_TAP,
        }
    }
}

/// What programs set of a link.
#[derive(Clone, Copy, Debug)]
pub(in crate::net) struct TunSettings {
    /// `IFF_NO_PI` and `IFF_VNET_HDR`, if they are set.
    pub(in crate::net) framing: u32,
    /// It stays when its program is gone.
    pub(in crate::net) is_persistent: bool,
    /// Who may have it beside administrators; `None` for anybody who is one.
    pub(in crate::net) owner: Option<KernelUid>,
    /// The same, a group.
    pub(in crate::net) group: Option<KernelGid>,
    pub(super) vnet_header_bytes: u32,
    /// TUNSETSNDBUF, in bytes.
    pub(super) send_buffer_bytes: i32,
}

impl TunSettings {
    /// Bytes of `struct virtio_net_hdr` before a packet.
    pub(super) fn vnet_bytes(&self) -> usize {
        if self.framing & IFF_VNET_HDR == 0 { 0 } else { self.vnet_header_bytes as usize }
    }

    /// Whether `struct tun_pi` precedes a packet.
    pub(super) fn has_packet_information(&self) -> bool {
        self.framing & IFF_NO_PI == 0
    }
}

/// A link's end that a program has.
pub(in crate::net) struct TunDevice {
    pub(in crate::net) layer: TunLayer,
    state: Mutex<State>,
    memory: Arc<SocketMemory>,
    /// Announces to who reads.
    pub(super) readers: WaitQueue,
}

struct State {
    /// Where the link is; `None` once it is removed.
    place: Option<(Weak<NetworkNamespace>, u32)>,
    is_attached: bool,
    settings: TunSettings,
    queue: VecDeque<Waiting>,
    /// What is to go to neighbours whose hardware addresses nobody has told yet.
    unresolved: VecDeque<(IpAddr, Waiting)>,
}

/// A frame that waits to be read.
pub(super) struct Waiting {
    pub(super) frame: Frame,
    _charge: SocketMemoryCharge,
}

/// A link is no longer where it was.
fn leave(place: Option<(Weak<NetworkNamespace>, u32)>) {
    if let Some(network) = place.and_then(|(network, _)| network.upgrade()) {
        network.packet_sockets().remove_program();
    }
}

impl fmt::Debug for TunDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunDevice").field("layer", &self.layer).finish_non_exhaustive()
    }
}

impl TunDevice {
    /// One whose link is nowhere yet.
    pub(super) fn new(layer: TunLayer, framing: u32, memory: &Arc<SocketMemory>) -> Arc<Self> {
        let settings = TunSettings {
            framing,
            is_persistent: false,
            owner: None,
            group: None,
            vnet_header_bytes: VNET_HEADER_BYTES,
            send_buffer_bytes: i32::MAX,
        };
        let (place, is_attached, queue, unresolved) = Default::default();
        let state = Mutex::new(State { place, is_attached, settings, queue, unresolved });
        Arc::new(Self { layer, state, memory: memory.clone(), readers: WaitQueue::default() })
    }

    /// Its link is in `network` now, with this index.
    pub(in crate::net) fn lay(&self, network: &Arc<NetworkNamespace>, index: u32) {
        let former = self.state.lock().place.replace((Arc::downgrade(network), index));
        leave(former);
        network.packet_sockets().add_program();
    }

    /// Its link is removed: who has it is told.
    pub(in crate::net) fn end(&self) {
        let (place, ended) = {
            let mut state = self.state.lock();
            let unread = (std::mem::take(&mut state.queue), std::mem::take(&mut state.unresolved));
            (state.place.take(), unread)
        };
        // With no lock held: the namespace may end with this reference, and its links with it.
        leave(place);
        drop(ended);
        self.readers.notify(Events::ERR | Events::HUP | Events::IN);
    }

    /// Where its link is.
    ///
    /// # Errors
    /// EBADFD: it is removed.
    pub(super) fn place(&self) -> Result<(Arc<NetworkNamespace>, u32), Errno> {
        let place = self.state.lock().place.clone();
        place.and_then(|(network, index)| Some((network.upgrade()?, index))).ok_or(Errno::EBADFD)
    }

    pub(in crate::net) fn settings(&self) -> TunSettings {
        self.state.lock().settings
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut TunSettings)) {
        change(&mut self.state.lock().settings);
    }

    /// A program has it from now on.
    ///
    /// # Errors
    /// EBUSY: one has it already.
    pub(super) fn attach(&self, framing: u32) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.is_attached {
            return Err(Errno::EBUSY);
        }
        state.is_attached = true;
        state.settings.framing = framing;
        Ok(())
    }

    /// Nobody has it any more. What nobody has read is lost.
    pub(super) fn detach(&self) {
        let mut state = self.state.lock();
        state.is_attached = false;
        let unread = std::mem::take(&mut state.queue);
        drop(state);
        drop(unread);
    }

    /// Whether it has something to read.
    pub(super) fn has_unread(&self) -> bool {
        !self.state.lock().queue.is_empty()
    }

    /// A frame goes out, if somebody has the device and there is room: among `max_queued`.
    pub(in crate::net) fn push(&self, frame: Frame, max_queued: u32) {
        let Some(waiting) = self.charged(frame) else { return };
        let mut state = self.state.lock();
        let is_full = state.queue.len() >= max_queued as usize;
        if !state.is_attached || is_full {
            return;
        }
        state.queue.push_back(waiting);
        drop(state);
        self.readers.notify(Events::IN | Events::RDNORM);
    }

    /// A frame waits until somebody has told where `neighbour` is; the oldest makes room.
    pub(super) fn push_unresolved(&self, neighbour: IpAddr, frame: Frame) {
        let Some(waiting) = self.charged(frame) else { return };
        let mut state = self.state.lock();
        let oldest =
            if state.unresolved.len() >= MAX_UNRESOLVED { state.unresolved.pop_front() } else { None };
        state.unresolved.push_back((neighbour, waiting));
        drop(state);
        drop(oldest);
    }

    /// What waited for `neighbour`.
    pub(super) fn take_unresolved(&self, neighbour: IpAddr) -> Vec<Frame> {
        let mut state = self.state.lock();
        let (for_it, others): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut state.unresolved).into_iter().partition(|(wanted, _)| *wanted == neighbour);
        state.unresolved = others;
        drop(state);
        for_it.into_iter().map(|(_, waiting)| waiting.frame).collect()
    }

    /// The next frame that goes out.
    pub(super) fn pop(&self) -> Option<Waiting> {
        self.state.lock().queue.pop_front()
    }

    fn charged(&self, frame: Frame) -> Option<Waiting> {
        let charge = self.memory.charge(frame.bytes.len() + PACKET_OVERHEAD_BYTES).ok()?;
        Some(Waiting { frame, _charge: charge })
    }
}
