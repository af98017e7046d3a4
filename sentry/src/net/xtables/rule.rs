//! A rule: what it is about, and how often it was.

use std::sync::atomic::{AtomicU64, Ordering};

use zerocopy::{FromBytes, IntoBytes};

use super::Family;
use super::content::{Seen, octets, widened};
use super::matches::Match;
use super::target::Target;
use crate::Errno;
use crate::abi::{Ip6tEntry, IptEntry, IptInterfaces, XtCounters};

/// What a rule's head may say the contrary of (`IPT_INV_*`).
const NOT_COMING: u8 = 0x01;
const NOT_LEAVING: u8 = 0x02;
const NOT_TOS: u8 = 0x04;
const NOT_SOURCE: u8 = 0x08;
const NOT_DESTINATION: u8 = 0x10;
const NOT_FRAGMENT: u8 = 0x20;
pub(super) const NOT_PROTOCOL: u8 = 0x40;
const ALL_CONTRARIES: u8 = 0x7f;
/// `IPT_F_FRAG`, `IPT_F_GOTO`.
const V4_FRAGMENTS: u8 = 0x01;
const V4_GOTO: u8 = 0x02;
/// `IP6T_F_PROTO`, `IP6T_F_TOS`, `IP6T_F_GOTO`.
const V6_PROTOCOL: u8 = 0x01;
const V6_TOS: u8 = 0x02;
const V6_GOTO: u8 = 0x04;

/// What a rule says of a packet's header, for both versions of IP.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    source: Addresses,
    destination: Addresses,
    interfaces: IptInterfaces,
    /// Which protocol, if not all.
    pub(super) protocol: Option<u8>,
    /// The type of service, if not any.
    tos: Option<u8>,
    is_for_fragments: bool,
    pub(super) is_goto: bool,
    pub(super) contraries: u8,
    /// It says nothing at all.
    pub(super) is_for_all: bool,
}

/// Addresses that are one under a mask.
#[derive(Clone, Copy, Debug, Default)]
struct Addresses {
    address: [u8; 16],
    mask: [u8; 16],
}

/// An entry of a table as it is written, of either version.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) head: Head,
    pub(super) target_offset: usize,
    pub(super) next_offset: usize,
}

/// A rule of a table.
#[derive(Debug)]
pub(super) struct Rule {
    /// Where it is written.
    pub(super) offset: usize,
    pub(super) head: Head,
    pub(super) matches: Vec<Match>,
    pub(super) target: Target,
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Addresses {
    fn have(&self, address: [u8; 16]) -> bool {
        let places = address.iter().zip(&self.mask).zip(&self.address);
        places.into_iter().all(|((byte, mask), own)| byte & mask == *own)
    }
}

/// Whether a link's name is one under a mask.
fn is_named(name: &[u8; 16], wanted: &[u8; 16], mask: &[u8; 16]) -> bool {
    name.iter().zip(wanted).zip(mask).all(|((byte, wanted), mask)| (byte ^ wanted) & mask == 0)
}

impl Entry {
    /// The entry that stands at the beginning of `bytes`.
    ///
    /// # Errors
    /// EINVAL for bytes that are none.
    pub(super) fn read(family: Family, bytes: &[u8]) -> Result<Self, Errno> {
        match family {
            Family::V4 => IptEntry::read_from_prefix(bytes).ok().and_then(|(entry, _)| Self::of_v4(&entry)),
            Family::V6 => Ip6tEntry::read_from_prefix(bytes).ok().and_then(|(entry, _)| Self::of_v6(&entry)),
        }
        .ok_or(Errno::EINVAL)
    }

    fn of_v4(entry: &IptEntry) -> Option<Self> {
        let is_valid = entry.flags & !(V4_FRAGMENTS | V4_GOTO) == 0 && entry.invflags & !ALL_CONTRARIES == 0;
        let protocol = if entry.proto == 0 { None } else { Some(u8::try_from(entry.proto).unwrap_or(0)) };
        let is_for_all = [entry.src, entry.dst, entry.smsk, entry.dmsk] == [[0; 4]; 4]
            && entry.interfaces == IptInterfaces::default()
            && (entry.proto, entry.flags, entry.invflags) == (0, 0, 0);
        let head = Head {
            source: Addresses { address: widened(entry.src), mask: widened(entry.smsk) },
            destination: Addresses { address: widened(entry.dst), mask: widened(entry.dmsk) },
            interfaces: entry.interfaces,
            protocol,
            tos: None,
            is_for_fragments: entry.flags & V4_FRAGMENTS != 0,
            is_goto: entry.flags & V4_GOTO != 0,
            contraries: entry.invflags,
            is_for_all,
        };
        is_valid.then_some(Self {
            head,
            target_offset: entry.target_offset.into(),
            next_offset: entry.next_offset.into(),
        })
    }

    fn of_v6(entry: &Ip6tEntry) -> Option<Self> {
        let is_valid =
            entry.flags & !(V6_PROTOCOL | V6_TOS | V6_GOTO) == 0 && entry.invflags & !ALL_CONTRARIES == 0;
        let has_protocol = entry.flags & V6_PROTOCOL != 0;
        let is_for_all = [entry.src, entry.dst, entry.smsk, entry.dmsk] == [[0; 16]; 4]
            && entry.interfaces == IptInterfaces::default()
            && (entry.proto, entry.tos, entry.flags, entry.invflags) == (0, 0, 0, 0);
        let head = Head {
            source: Addresses { address: entry.src, mask: entry.smsk },
            destination: Addresses { address: entry.dst, mask: entry.dmsk },
            interfaces: entry.interfaces,
            protocol: has_protocol.then_some(u8::try_from(entry.proto).unwrap_or(0)),
            tos: (entry.flags & V6_TOS != 0).then_some(entry.tos),
            is_for_fragments: false,
            is_goto: entry.flags & V6_GOTO != 0,
            contraries: entry.invflags,
            is_for_all,
        };
        is_valid.then_some(Self {
            head,
            target_offset: entry.target_offset.into(),
            next_offset: entry.next_offset.into(),
        })
    }

    /// An entry for all packets, as it is written, with this target.
    pub(super) fn written(family: Family, target: &[u8]) -> Result<Vec<u8>, Errno> {
        let target_offset = u16::try_from(Self::len_bytes(family)).map_err(|_| Errno::EINVAL)?;
        let len_bytes = Self::len_bytes(family) + target.len();
        let next_offset = u16::try_from(len_bytes).map_err(|_| Errno::EINVAL)?;
        Ok(match family {
            Family::V4 => {
                let entry = IptEntry { target_offset, next_offset, ..IptEntry::default() };
                [entry.as_bytes(), target].concat()
            }
            Family::V6 => {
                let entry = Ip6tEntry { target_offset, next_offset, ..Ip6tEntry::default() };
                [entry.as_bytes(), target].concat()
            }
        })
    }

    /// Bytes of an entry without matches and target.
    pub(super) fn len_bytes(family: Family) -> usize {
        match family {
            Family::V4 => size_of::<IptEntry>(),
            Family::V6 => size_of::<Ip6tEntry>(),
        }
    }

    /// Where an entry has its counters, and where the set of hooks that lead to it.
    pub(super) fn told_offsets(family: Family) -> (usize, usize) {
        use std::mem::offset_of;
        match family {
            Family::V4 => (offset_of!(IptEntry, counters), offset_of!(IptEntry, comefrom)),
            Family::V6 => (offset_of!(Ip6tEntry, counters), offset_of!(Ip6tEntry, comefrom)),
        }
    }
}

impl Head {
    fn says_not(&self, what: u8) -> bool {
        self.contraries & what != 0
    }

    /// Whether a packet is one that the head is about.
    fn fits(&self, seen: &Seen<'_>) -> bool {
        let packet = &seen.packet;
        let IptInterfaces { iniface, outiface, iniface_mask, outiface_mask } = &self.interfaces;
        let fits = |is_so: bool, contrary: u8| is_so != self.says_not(contrary);
        fits(self.source.have(octets(packet.source)), NOT_SOURCE)
            && fits(self.destination.have(octets(packet.destination)), NOT_DESTINATION)
            && fits(is_named(&seen.coming, iniface, iniface_mask), NOT_COMING)
            && fits(is_named(&seen.leaving, outiface, outiface_mask), NOT_LEAVING)
            && self
                .protocol
                .is_none_or(|protocol| fits(packet.content.protocol == protocol, NOT_PROTOCOL))
            && self.tos.is_none_or(|tos| fits(packet.tos == tos, NOT_TOS))
            // Nothing here comes in fragments.
            && self.is_for_fragments == self.says_not(NOT_FRAGMENT)
    }
}

impl Rule {
    pub(super) fn new(offset: usize, head: Head, matches: Vec<Match>, target: Target) -> Self {
        Self { offset, head, matches, target, packets: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Whether a packet is one that the rule is about.
    pub(super) fn fits(&self, seen: &Seen<'_>) -> bool {
        self.head.fits(seen) && self.matches.iter().all(|asked| asked.fits(seen))
    }

    /// It was about a packet.
    pub(super) fn count(&self, seen: &Seen<'_>) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(seen.packet.len_bytes() as u64, Ordering::Relaxed);
    }

    pub(super) fn counters(&self) -> XtCounters {
        XtCounters { pcnt: self.packets.load(Ordering::Relaxed), bcnt: self.bytes.load(Ordering::Relaxed) }
    }

    /// It was about so many more before.
    pub(super) fn add(&self, counters: &XtCounters) {
        self.packets.fetch_add(counters.pcnt, Ordering::Relaxed);
        self.bytes.fetch_add(counters.bcnt, Ordering::Relaxed);
    }
}
