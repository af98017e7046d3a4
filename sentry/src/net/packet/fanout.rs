//! Groups of packet sockets that share what passes (PACKET_FANOUT; `man 7 packet`): each frame goes to one of a group.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::fields::word;
use super::{Frame, PacketSocket};
use crate::Errno;
use crate::fs::Caller;
use crate::net::filter::{FilteredPacket, PacketFilter};

/// Flags of a group, as PACKET_FANOUT has them above its kind.
const FLAG_ROLLOVER: u8 = 0x10;
const FLAG_UNIQUE_ID: u8 = 0x20;
const FLAG_IGNORE_OUTGOING: u8 = 0x40;
/// How many sockets a group has at most, if nobody says it, and at the very most.
const USUAL_MEMBERS: u32 = 256;
const MAX_MEMBERS: u32 = 1 << 16;

/// By what a frame finds its socket (`PACKET_FANOUT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Its flow: both directions of it are the same.
    Hash = 0,
    /// Each in its turn.
    LoadBalance = 1,
    /// The processor.
    Processor = 2,
    /// The first with room.
    Rollover = 3,
    /// Any.
    Random = 4,
    /// The queue of the link: here, each has one.
    Queue = 5,
    /// A program of the classic kind.
    Program = 6,
    /// One of the extended kind, of which none can be loaded.
    ExtendedProgram = 7,
}

impl Kind {
    fn from_raw(raw: u8) -> Result<Self, Errno> {
        Ok(match raw {
            0 => Self::Hash,
            1 => Self::LoadBalance,
            2 => Self::Processor,
            3 => Self::Rollover,
            4 => Self::Random,
            5 => Self::Queue,
            6 => Self::Program,
            7 => Self::ExtendedProgram,
            _ => return Err(Errno::EINVAL),
        })
    }
}

/// What somebody who wants to be in a group asks for: `struct fanout_args`, or its first half.
#[derive(Clone, Copy, Debug)]
pub(super) struct FanoutArgs {
    id: u16,
    kind: Kind,
    flags: u8,
    /// 0 for any.
    max_members: u32,
}

impl FanoutArgs {
    /// # Errors
    /// EINVAL.
    pub(super) fn decode(value: &[u8]) -> Result<Self, Errno> {
        if value.len() != 4 && value.len() != 8 {
            return Err(Errno::EINVAL);
        }
        let [id_low, id_high, kind, flags] = word(value, 0)?.to_le_bytes();
        let max_members = if value.len() == 8 { word(value, 1)? } else { 0 };
        let args = Self {
            id: u16::from_le_bytes([id_low, id_high]),
            kind: Kind::from_raw(kind)?,
            flags,
            max_members,
        };
        let is_twice = args.kind == Kind::Rollover && flags & FLAG_ROLLOVER != 0;
        if is_twice { Err(Errno::EINVAL) } else { Ok(args) }
    }
}

/// What all sockets of a group receive: the link that they are bound to, and the protocol.
type Hook = (Option<u32>, u16);

/// A group.
pub(super) struct Fanout {
    args: FanoutArgs,
    hook: Hook,
    max_members: usize,
    members: Mutex<Vec<Weak<PacketSocket>>>,
    /// Whose turn it is, or who had room last.
    turn: AtomicUsize,
    program: Mutex<Option<Arc<PacketFilter>>>,
}

impl Fanout {
    fn new(args: FanoutArgs, hook: Hook) -> Result<Arc<Self>, Errno> {
        let max_members = match args.max_members {
            0 => USUAL_MEMBERS,
            1..=MAX_MEMBERS => args.max_members,
            _ => return Err(Errno::EINVAL),
        };
        let max_members = usize::try_from(max_members).map_err(|_| Errno::EINVAL)?;
        Ok(Arc::new(Self {
            args,
            hook,
            max_members,
            members: Mutex::default(),
            turn: AtomicUsize::default(),
            program: Mutex::default(),
        }))
    }

    /// What PACKET_FANOUT tells of it.
    pub(super) fn number(&self) -> i32 {
        let [low, high] = self.args.id.to_le_bytes();
        i32::from_le_bytes([low, high, self.args.kind as u8, self.args.flags])
    }

    fn add(&self, socket: Weak<PacketSocket>) -> Result<(), Errno> {
        let mut members = self.members.lock();
        if members.len() >= self.max_members {
            return Err(Errno::ENOSPC);
        }
        members.push(socket);
        Ok(())
    }

    /// A socket leaves: the last one takes its place.
    pub(super) fn remove(&self, socket: &PacketSocket) {
        let mut members = self.members.lock();
        if let Some(place) = members.iter().position(|member| std::ptr::eq(member.as_ptr(), socket)) {
            members.swap_remove(place);
        }
    }

    /// PACKET_FANOUT_DATA: the program that says who gets a frame.
    ///
    /// # Errors
    /// EINVAL for a group of another kind, EBADF for a program of the extended kind, and those of reading it.
    pub(super) fn set_program(&self, value: &[u8], caller: &dyn Caller) -> Result<(), Errno> {
        match self.args.kind {
            Kind::Program => *self.program.lock() = Some(Arc::new(PacketFilter::read(value, caller)?)),
            Kind::ExtendedProgram if value.len() == size_of::<u32>() => return Err(Errno::EBADF),
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// Whether frames that find no room go on to another.
    pub(super) fn rolls_over(&self) -> bool {
        self.args.kind == Kind::Rollover || self.args.flags & FLAG_ROLLOVER != 0
    }

    /// A frame passes by: the one whom it is for gets it.
    pub(super) fn take(&self, frame: &Frame, sender: Option<&PacketSocket>) {
        let ignores_outgoing = self.args.flags & FLAG_IGNORE_OUTGOING != 0;
        if !frame.is_for(self.hook, ignores_outgoing) {
            return;
        }
        let members: Vec<_> = self.members.lock().iter().filter_map(Weak::upgrade).collect();
        let is_own = sender.is_some_and(|sender| members.iter().any(|member| member.is(sender)));
        if members.is_empty() || is_own {
            return;
        }
        let place = self.choose(frame, members.len()) % members.len();
        let place = if self.rolls_over() { self.with_room(&members, place, frame) } else { place };
        if let Some(member) = members.get(place) {
            member.accept(frame);
        }
    }

    fn choose(&self, frame: &Frame, count: usize) -> usize {
        match self.args.kind {
            Kind::Hash => flow(frame),
            Kind::LoadBalance => self.turn.fetch_add(1, Ordering::Relaxed).wrapping_add(1) % count,
            // Every frame passes on the processor of the only queue.
            Kind::Processor | Kind::Queue | Kind::ExtendedProgram => 0,
            Kind::Rollover => self.turn.load(Ordering::Relaxed),
            Kind::Random => {
                let mut bytes = [0; size_of::<usize>()];
                crate::host::fill_random(&mut bytes);
                usize::from_ne_bytes(bytes)
            }
            Kind::Program => self.program.lock().clone().map_or(0, |program| {
                let (header, payload) = frame.split();
                let (protocol, device, kind) = (frame.protocol, frame.device, frame.kind as u32);
                let packet = FilteredPacket { header, payload, protocol, device, kind };
                usize::try_from(program.number(&packet)).unwrap_or(0)
            }),
        }
    }

    /// The first at `place` or behind it that has room; that itself, if none has.
    fn with_room(&self, members: &[Arc<PacketSocket>], place: usize, frame: &Frame) -> usize {
        let places = (0..members.len()).map(|step| (place + step) % members.len());
        let found =
            places.into_iter().find(|place| members.get(*place).is_some_and(|one| one.has_room(frame)));
        if let Some(found) = found.filter(|_| self.args.kind == Kind::Rollover) {
            self.turn.store(found, Ordering::Relaxed);
        }
        found.unwrap_or(place)
    }
}

/// A number that is the same for all packets of a flow, in either direction: of its addresses, protocol and ports.
fn flow(frame: &Frame) -> usize {
    const SPREAD: usize = 0x9e37_79b9_7f4a_7c15_u64 as usize;
    let (_, packet) = frame.split();
    let (addresses, protocol, header_bytes) = match packet.first().map(|first| first >> 4) {
        Some(4) => (12..20, packet.get(9), packet.first().map_or(0, |first| usize::from(first & 15) * 4)),
        Some(6) => (8..40, packet.get(6), 40),
        _ => return 0,
    };
    let protocol = protocol.copied().unwrap_or(0);
    let has_ports = matches!(protocol, 6 | 17 | 136);
    let ports = packet.get(header_bytes..header_bytes + 4).filter(|_| has_ports).unwrap_or_default();
    let half = |bytes: &[u8]| {
        bytes.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()))
    };
    let both = |bytes: &[u8]| {
        let (one, other) = bytes.split_at(bytes.len() / 2);
        half(one).wrapping_add(half(other))
    };
    let sum = both(packet.get(addresses).unwrap_or_default()).wrapping_mul(31).wrapping_add(both(ports));
    sum.wrapping_add(protocol.into()).wrapping_mul(SPREAD) >> (usize::BITS / 2)
}

impl super::PacketSockets {
    /// Puts a socket into a group, which begins with its first.
    ///
    /// # Errors
    /// EINVAL: it is not bound as the others are, or wants something else. ENOSPC. ENOMEM: no number is left.
    fn join_fanout(
        &self,
        socket: &Weak<PacketSocket>,
        args: FanoutArgs,
        hook: Hook,
    ) -> Result<Arc<Fanout>, Errno> {
        let mut all = self.fanouts.lock();
        all.retain(|other| other.strong_count() > 0);
        let find = |id: u16| all.iter().filter_map(Weak::upgrade).find(|other| other.args.id == id);
        let args = match args.flags & FLAG_UNIQUE_ID {
            0 => args,
            _ if args.id != 0 => return Err(Errno::EINVAL),
            _ => {
                let id = (0..=u16::MAX).find(|id| find(*id).is_none()).ok_or(Errno::ENOMEM)?;
                FanoutArgs { id, flags: args.flags & !FLAG_UNIQUE_ID, ..args }
            }
        };
        let group = match find(args.id) {
            Some(other) => {
                let max_members = usize::try_from(args.max_members).map_err(|_| Errno::EINVAL)?;
                let is_same_size = max_members == 0 || max_members == other.max_members;
                let is_same =
                    (other.args.kind, other.args.flags, other.hook) == (args.kind, args.flags, hook);
                if !is_same || !is_same_size {
                    return Err(Errno::EINVAL);
                }
                other
            }
            None => Fanout::new(args, hook)?,
        };
        group.add(socket.clone())?;
        if !all.iter().any(|other| std::ptr::eq(other.as_ptr(), &*group)) {
            all.push(Arc::downgrade(&group));
        }
        Ok(group)
    }
}

impl PacketSocket {
    /// PACKET_FANOUT.
    ///
    /// # Errors
    /// EALREADY for one that is in a group, and those of the args.
    pub(super) fn join_fanout(&self, args: FanoutArgs) -> Result<(), Errno> {
        let hook = {
            let state = self.state.lock();
            if state.fanout.is_some() {
                return Err(Errno::EALREADY);
            }
            // One that receives nothing is in no group.
            if state.protocol == 0 {
                return Err(Errno::EINVAL);
            }
            (state.device, state.protocol)
        };
        let group = self.network.packet_sockets().join_fanout(&self.me, args, hook)?;
        let mut state = self.state.lock();
        if state.fanout.is_some() || (state.device, state.protocol) != hook {
            drop(state);
            group.remove(self);
            return Err(Errno::EALREADY);
        }
        state.fanout = Some(group);
        Ok(())
    }
}
