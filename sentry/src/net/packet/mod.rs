//! Packet sockets (`man 7 packet`): what passes the links of a namespace, with its Ethernet header or without, and frames that their
//! owner has written.
//!
//! Nothing that goes from socket to socket is a frame. One is made of it while there is a packet socket in a namespace that it leaves
//! or enters ([`inet::tap`](super::inet)), and only then; the segments of TCP connections are never made, so that nobody sees them.
//!
//! Lock order: the registry, then a socket's state, then what is queued at it.

mod address;
mod blocks;
mod fanout;
mod fields;
mod frame;
mod inbox;
mod options;
mod ring;
mod send;
mod socket;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use linux_raw_sys::net::{AF_PACKET, SO_RCVMARK};
use parking_lot::Mutex;

use self::fanout::Fanout;
pub(super) use self::frame::{ETHERNET_HEADER_BYTES, Frame, FrameKind, Link};
use self::inbox::{Inbox, Waiting};
use self::options::Options;
use self::ring::ReceiveRing;
pub(super) use self::send::come_in;
use super::filter::FilteredPacket;
use super::{Family, NetworkNamespace, Socket, SocketCaller, SocketCommon, SocketKind, SocketRequest};
use crate::Errno;
use crate::cred::Capabilities;
use crate::wait::{Events, WaitQueue};

/// The row of AF_PACKET.
pub const FAMILY: Family = Family { number: AF_PACKET, create, create_pair: None };

/// The protocol that stands for all of them.
const ETH_P_ALL: u16 = 3;

/// The packet sockets of a namespace.
#[derive(Default)]
pub struct PacketSockets {
    all: Mutex<Vec<Weak<PacketSocket>>>,
    count: AtomicUsize,
    /// Links that have programs at their other ends, for which frames are made, too.
    programs: AtomicUsize,
    fanouts: Mutex<Vec<Weak<Fanout>>>,
}

impl PacketSockets {
    /// Whether there are none: then no frame need be made.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether somebody sees what goes out of a link as frames: one of them, or a program at a link's other end.
    pub(super) fn are_frames_seen(&self) -> bool {
        !self.is_empty() || self.programs.load(Ordering::Relaxed) > 0
    }

    /// A link with a program at its other end has come.
    pub(super) fn add_program(&self) {
        self.programs.fetch_add(1, Ordering::Relaxed);
    }

    /// It is gone.
    pub(super) fn remove_program(&self) {
        self.programs.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn register(&self, socket: &Weak<PacketSocket>) {
        let mut all = self.all.lock();
        all.retain(|other| other.strong_count() > 0);
        all.push(socket.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<PacketSocket>> {
        self.all.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Shows a frame to all whom it is for, but not to `sender`, who has written it.
    pub(super) fn show(&self, frame: &Frame, sender: Option<&PacketSocket>) {
        if self.is_empty() {
            return;
        }
        let mut groups: Vec<Arc<Fanout>> = Vec::new();
        for socket in self.all() {
            match socket.fanout() {
                Some(group) if groups.iter().any(|other| Arc::ptr_eq(other, &group)) => {}
                Some(group) => groups.push(group),
                None if sender.is_some_and(|sender| socket.is(sender)) => {}
                None => socket.take(frame),
            }
        }
        groups.iter().for_each(|group| group.take(frame, sender));
    }
}

/// A packet socket.
pub struct PacketSocket {
    common: SocketCommon,
    network: Arc<NetworkNamespace>,
    state: Mutex<State>,
    inbox: Mutex<Inbox>,
    queue: WaitQueue,
    me: Weak<Self>,
}

struct State {
    /// The link that it is bound to; `None` for all.
    device: Option<u32>,
    /// What it receives; 0 for nothing.
    protocol: u16,
    options: Options,
    ring: Option<ReceiveRing>,
    fanout: Option<Arc<Fanout>>,
}

fn create(
    network: &Arc<NetworkNamespace>,
    request: SocketRequest,
    caller: &dyn SocketCaller,
) -> Result<Arc<dyn Socket>, Errno> {
    let credentials = caller.credentials();
    if !credentials.has_over_namespace(&**network, Capabilities::NET_RAW) {
        return Err(Errno::EPERM);
    }
    let is_suitable = |kind: &SocketKind| matches!(kind, SocketKind::Raw | SocketKind::Datagram);
    let kind = request.kind.filter(is_suitable).ok_or(Errno::ESOCKTNOSUPPORT)?;
    let owner = (credentials.fs_uid, credentials.fs_gid);
    let [low, high, ..] = request.protocol.to_le_bytes();
    let protocol = u16::from_be_bytes([low, high]);
    // What it receives can change, and is nothing that SO_PROTOCOL tells.
    let common = SocketCommon::new(network.shared(), AF_PACKET, kind, 0, owner);
    let state = State { device: None, protocol, options: Options::default(), ring: None, fanout: None };
    let socket = Arc::new_cyclic(|me: &Weak<PacketSocket>| PacketSocket {
        common,
        network: network.clone(),
        state: Mutex::new(state),
        inbox: Mutex::default(),
        queue: WaitQueue::default(),
        me: me.clone(),
    });
    network.packet_sockets().register(&Arc::downgrade(&socket));
    Ok(socket)
}

impl PacketSocket {
    fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }

    /// The group that it shares what comes with.
    fn fanout(&self) -> Option<Arc<Fanout>> {
        self.state.lock().fanout.clone()
    }

    /// Whether a frame is for it.
    fn wants(&self, frame: &Frame) -> bool {
        let state = self.state.lock();
        frame.is_for((state.device, state.protocol), state.options.ignores_outgoing)
    }

    /// Whether there is ample room for a frame.
    fn has_room(&self, frame: &Frame) -> bool {
        let ring = self.state.lock().ring.clone();
        match ring {
            Some(ring) => ring.has_room(),
            None => {
                let room_bytes = self.common.options().receive_buffer_bytes as usize;
                let taken_bytes = self.inbox.lock().cost_bytes() + Waiting::cost_bytes(frame);
                taken_bytes < room_bytes - room_bytes / 4
            }
        }
    }

    /// Whether frames come without their headers.
    fn is_cooked(&self) -> bool {
        self.common.kind() == SocketKind::Datagram
    }

    /// A frame passes by.
    fn take(&self, frame: &Frame) {
        if self.wants(frame) {
            self.accept(frame);
        }
    }

    /// Keeps as much of a frame as the filter lets through. One for which there is no room is lost.
    fn accept(&self, frame: &Frame) {
        let (header, payload) = frame.split();
        let header = if self.is_cooked() { &[] } else { header };
        let shown_bytes = header.len() + payload.len();
        let packet = FilteredPacket {
            header,
            payload,
            protocol: frame.protocol,
            device: frame.device,
            kind: frame.kind as u32,
        };
        let passed_bytes = self.common.filter().map_or(shown_bytes, |filter| filter.passed_bytes(&packet));
        if passed_bytes == 0 {
            return;
        }
        let ring = self.state.lock().ring.clone();
        let is_kept = match &ring {
            Some(ring) => ring.put(frame, passed_bytes, self.is_cooked()),
            None => self.keep(frame, passed_bytes),
        };
        self.inbox.lock().count(is_kept);
        // One that found no room in a block may have been what hands it over.
        if is_kept || ring.is_some() {
            self.queue.notify(Events::IN | Events::RDNORM);
        }
    }

    fn keep(&self, frame: &Frame, passed_bytes: usize) -> bool {
        let charge = self.network.shared().memory.charge(Waiting::cost_bytes(frame)).ok();
        let room_bytes = self.common.options().receive_buffer_bytes as usize;
        charge.is_some_and(|charge| {
            self.inbox.lock().push(Waiting { frame: frame.clone(), passed_bytes, charge }, room_bytes)
        })
    }

    /// Whether a receive tells of a mark, of which there is none here.
    fn tells_mark(&self) -> bool {
        self.common.options().switch(SO_RCVMARK) == Ok(true)
    }
}

impl Drop for PacketSocket {
    fn drop(&mut self) {
        if let Some(group) = self.state.get_mut().fanout.take() {
            group.remove(self);
        }
        self.network.packet_sockets().count.fetch_sub(1, Ordering::Relaxed);
    }
}
