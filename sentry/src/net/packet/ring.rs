//! Rings of received frames in memory that user code maps (PACKET_RX_RING; `Documentation/networking/packet_mmap.rst`).
//!
//! A ring has frames of equal size. The kernel fills the one at its head and hands it over by its status; user code hands it back
//! the same way. What user code writes there can only make it miss frames. So it is in versions 1 and 2 of the layout; that of version
//! 3 has [blocks](super::blocks).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use vm_memory::VolatileMemory;

use super::Frame;
use super::address::LinkAddress;
use super::blocks::BlockRing;
use super::fields::word;
use crate::Errno;
use crate::memory::{FrameAllocator, PageCache};
use crate::platform::PAGE_SIZE;

/// Bytes of `struct tpacket_hdr` and `struct tpacket2_hdr`, behind which the sender's address is.
const HEADER_BYTES: u32 = 32;
/// Bytes of `struct tpacket3_hdr`, and of `struct tpacket_block_desc`, which a block begins with.
const HEADER_V3_BYTES: u32 = 48;
pub(super) const BLOCK_HEADER_BYTES: u32 = 48;
const ADDRESS_BYTES: u32 = 20;
/// What frames begin at multiples of, and so does what they hold.
const ALIGNMENT: u32 = 16;
/// The least room that is left for the header of a link.
const LINK_HEADER_BYTES: u32 = 16;
/// The most memory of a ring.
const MAX_RING_BYTES: u64 = 1 << 28;

pub(super) const STATUS_USER: u32 = 1;
pub(super) const STATUS_LOSING: u32 = 4;

/// How headers of frames are laid out (`TPACKET_V*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Version {
    #[default]
    V1 = 0,
    V2 = 1,
    V3 = 2,
}

impl Version {
    /// # Errors
    /// EINVAL for one that is not known.
    pub(super) fn from_raw(raw: u32) -> Result<Self, Errno> {
        match raw {
            0 => Ok(Self::V1),
            1 => Ok(Self::V2),
            2 => Ok(Self::V3),
            _ => Err(Errno::EINVAL),
        }
    }

    /// How long the header of a frame is.
    pub(super) fn header_bytes(self) -> u32 {
        if self == Self::V3 { HEADER_V3_BYTES } else { HEADER_BYTES }
    }
}

/// `struct tpacket_req`: blocks of memory, each with as many frames as fit; or `struct tpacket_req3`, where that is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) block_bytes: u32,
    pub(super) block_count: u32,
    frame_bytes: u32,
    frame_count: u32,
    /// How long a block of version 3 waits to be full, in milliseconds; 0 for as long as is usual.
    pub(super) wait_ms: u32,
    /// Room for user code at the begin of a block of version 3.
    private_bytes: u32,
}

impl Geometry {
    /// # Errors
    /// EINVAL.
    pub(super) fn decode(value: &[u8], version: Version) -> Result<Self, Errno> {
        const FEATURES: usize = 6;
        let mut geometry = Self {
            block_bytes: word(value, 0)?,
            block_count: word(value, 1)?,
            frame_bytes: word(value, 2)?,
            frame_count: word(value, 3)?,
            wait_ms: 0,
            private_bytes: 0,
        };
        if version == Version::V3 {
            // What of a frame's flow is told, nobody here reckons.
            word(value, FEATURES)?;
            (geometry.wait_ms, geometry.private_bytes) = (word(value, 4)?, word(value, 5)?);
        }
        if geometry.block_count == 0 && geometry.frame_count != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(geometry)
    }

    /// Whether it is that of no ring.
    pub(super) fn is_none(self) -> bool {
        self.block_count == 0
    }

    /// Where the first frame of a block of version 3 begins.
    pub(super) fn first_frame_offset(self) -> u32 {
        const ALIGNMENT: u32 = 8;
        let private = self.private_bytes.checked_next_multiple_of(ALIGNMENT);
        private.and_then(|private| private.checked_add(BLOCK_HEADER_BYTES)).unwrap_or(u32::MAX)
    }

    fn len_bytes(self) -> u64 {
        u64::from(self.block_bytes) * u64::from(self.block_count)
    }

    /// # Errors
    /// EINVAL; ENOMEM for too much memory.
    pub(super) fn check(self, version: Version, reserve_bytes: u32) -> Result<(), Errno> {
        let least = version.header_bytes() + ADDRESS_BYTES;
        let least = least.checked_add(reserve_bytes).ok_or(Errno::EINVAL)?;
        let is_aligned = u64::from(self.block_bytes).is_multiple_of(PAGE_SIZE)
            && self.frame_bytes.is_multiple_of(ALIGNMENT)
            && i32::try_from(self.block_bytes).is_ok_and(|bytes| bytes > 0);
        let has_room = self.frame_bytes >= least && self.frame_bytes <= self.block_bytes;
        let holds_frames = version != Version::V3
            || self.first_frame_offset().checked_add(HEADER_V3_BYTES + ADDRESS_BYTES)
                < Some(self.block_bytes);
        if !is_aligned || !has_room || !holds_frames || u32::try_from(self.len_bytes()).is_err() {
            return Err(Errno::EINVAL);
        }
        let frames = (self.block_bytes / self.frame_bytes).checked_mul(self.block_count);
        if frames != Some(self.frame_count) {
            return Err(Errno::EINVAL);
        }
        if self.len_bytes() > MAX_RING_BYTES { Err(Errno::ENOMEM) } else { Ok(()) }
    }
}

/// The memory of a ring, which user code maps.
pub(super) struct RingMemory(Arc<PageCache>);

impl RingMemory {
    /// So much, whose pages are made when they are first used.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn new(frames: &Arc<FrameAllocator>, geometry: Geometry) -> Result<Self, Errno> {
        let cache = PageCache::new(frames, None, geometry.len_bytes());
        cache.page(0)?;
        Ok(Self(cache))
    }

    /// What mappings show.
    pub(super) fn cache(&self) -> &Arc<PageCache> {
        &self.0
    }

    fn with_status<T>(&self, place: u64, operate: impl FnOnce(&AtomicU32) -> T) -> Result<T, Errno> {
        let page = self.0.page(place / PAGE_SIZE)?;
        let offset = usize::try_from(place % PAGE_SIZE).map_err(|_| Errno::EFAULT)?;
        page.slice().get_atomic_ref::<AtomicU32>(offset).map(operate).map_err(|_| Errno::EFAULT)
    }

    /// The status at a place.
    pub(super) fn status(&self, place: u64) -> Result<u32, Errno> {
        self.with_status(place, |status| status.load(Ordering::Acquire))
    }

    /// Hands over what the status at a place is of.
    pub(super) fn set_status(&self, place: u64, status: u32) -> Result<(), Errno> {
        self.with_status(place, |word| word.store(status, Ordering::Release))
    }

    pub(super) fn write(&self, place: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.0.write_at(bytes, place, None).map(drop)
    }
}

/// How frames lie in a ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) version: Version,
    /// PACKET_RESERVE.
    pub(super) reserve_bytes: u32,
}

impl Layout {
    /// As much of a frame as has passed the filter and fits into so much room, without its header if it is `cooked`.
    ///
    /// # Errors
    /// EINVAL: no such offset can be told.
    pub(super) fn record<'a>(
        &self,
        frame: &'a Frame,
        (passed_bytes, is_cooked): (usize, bool),
        room_bytes: u32,
    ) -> Result<Record<'a>, Errno> {
        let link_bytes = if is_cooked { 0 } else { u32::try_from(frame.header_bytes()).unwrap_or_default() };
        let header_bytes = self.version.header_bytes() + ADDRESS_BYTES;
        let packet_offset = match is_cooked {
            true => header_bytes.next_multiple_of(ALIGNMENT) + LINK_HEADER_BYTES,
            false => (header_bytes + LINK_HEADER_BYTES).next_multiple_of(ALIGNMENT),
        };
        let packet_offset = packet_offset.saturating_add(self.reserve_bytes);
        let offset = packet_offset - link_bytes;
        let bytes = if is_cooked { frame.split().1 } else { &frame.bytes[..] };
        let room_bytes = room_bytes.saturating_sub(offset) as usize;
        let kept = bytes.get(..passed_bytes.min(room_bytes)).unwrap_or(bytes);
        let short = |number: u32| u16::try_from(number).map_err(|_| Errno::EINVAL);
        let (offset, packet_offset) = (short(offset)?, short(packet_offset)?);
        Ok(Record { frame, layout: *self, whole_bytes: bytes.len(), kept, offset, packet_offset })
    }
}

/// A frame as it lies in a ring.
pub(super) struct Record<'a> {
    frame: &'a Frame,
    layout: Layout,
    whole_bytes: usize,
    kept: &'a [u8],
    offset: u16,
    packet_offset: u16,
}

fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl Record<'_> {
    /// How long the frame is.
    pub(super) fn whole_bytes(&self) -> u32 {
        number(self.whole_bytes)
    }

    /// How much of it there is.
    pub(super) fn kept_bytes(&self) -> u32 {
        number(self.kept.len())
    }

    /// How much it takes, with its header.
    pub(super) fn len_bytes(&self) -> u32 {
        u32::from(self.offset).saturating_add(self.kept_bytes())
    }

    /// Writes it to a place: a header of these words before the offsets, the sender, and what there is of the frame.
    ///
    /// # Errors
    /// EFAULT, ENOMEM.
    pub(super) fn write(&self, memory: &RingMemory, place: u64, words: &[u32]) -> Result<(), Errno> {
        let mut header: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        header.extend(self.offsets());
        header.resize(self.layout.version.header_bytes() as usize, 0);
        memory.write(place, &header)?;
        self.write_rest(memory, place)
    }

    fn offsets(&self) -> impl Iterator<Item = u8> {
        [self.offset, self.packet_offset].into_iter().flat_map(u16::to_ne_bytes)
    }

    fn write_rest(&self, memory: &RingMemory, place: u64) -> Result<(), Errno> {
        let address = self.frame.sender().encode_whole()?;
        memory.write(place + u64::from(self.layout.version.header_bytes()), address.bytes())?;
        memory.write(place + u64::from(self.offset), self.kept)
    }

    /// The header of versions 1 and 2, behind the status.
    fn header(&self) -> Vec<u8> {
        let time = self.frame.time;
        let (fraction, before) = match self.layout.version {
            // A status of 64 bits, and microseconds.
            Version::V1 => (time.subsec_micros(), size_of::<u32>()),
            _ => (time.subsec_nanos(), 0),
        };
        let mut header = vec![0; before];
        header.extend_from_slice(&self.whole_bytes().to_ne_bytes());
        header.extend_from_slice(&self.kept_bytes().to_ne_bytes());
        header.extend(self.offsets());
        header.extend(time.as_secs().to_le_bytes().iter().take(size_of::<u32>()));
        header.extend_from_slice(&fraction.to_ne_bytes());
        header.resize(HEADER_BYTES as usize - size_of::<u32>(), 0);
        header
    }
}

/// A ring of frames.
pub(super) struct FrameRing {
    geometry: Geometry,
    layout: Layout,
    memory: RingMemory,
    head: Mutex<Head>,
}

#[derive(Default)]
struct Head {
    /// The frame that is filled next.
    index: u32,
    is_losing: bool,
}

impl FrameRing {
    /// An empty one.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn new(
        frames: &Arc<FrameAllocator>,
        (geometry, layout): (Geometry, Layout),
    ) -> Result<Arc<Self>, Errno> {
        let memory = RingMemory::new(frames, geometry)?;
        Ok(Arc::new(Self { geometry, layout, memory, head: Mutex::default() }))
    }

    /// Where a frame begins.
    fn place(&self, index: u32) -> u64 {
        let per_block = (self.geometry.block_bytes / self.geometry.frame_bytes).max(1);
        let block = u64::from(index / per_block) * u64::from(self.geometry.block_bytes);
        block + u64::from(index % per_block) * u64::from(self.geometry.frame_bytes)
    }

    fn is_free(&self, index: u32) -> bool {
        self.memory.status(self.place(index)) == Ok(0)
    }

    fn has_room(&self) -> bool {
        self.is_free(self.head.lock().index)
    }

    fn is_readable(&self) -> bool {
        let index = self.head.lock().index;
        let last = index.checked_sub(1).unwrap_or(self.geometry.frame_count.saturating_sub(1));
        !self.is_free(last)
    }

    fn put(&self, frame: &Frame, passed_bytes: usize, is_cooked: bool) -> bool {
        let mut head = self.head.lock();
        let index = head.index;
        if !self.is_free(index) || self.fill(index, frame, (passed_bytes, is_cooked)).is_err() {
            head.is_losing = true;
            return false;
        }
        let losing = if std::mem::take(&mut head.is_losing) { STATUS_LOSING } else { 0 };
        if self.memory.set_status(self.place(index), STATUS_USER | losing).is_err() {
            return false;
        }
        head.index = (index + 1) % self.geometry.frame_count.max(1);
        true
    }

    /// Writes all of a frame but its status.
    fn fill(&self, index: u32, frame: &Frame, how: (usize, bool)) -> Result<(), Errno> {
        let record = self.layout.record(frame, how, self.geometry.frame_bytes)?;
        let place = self.place(index);
        self.memory.write(place + size_of::<u32>() as u64, &record.header())?;
        record.write_rest(&self.memory, place)
    }
}

/// A ring of either kind.
#[derive(Clone)]
pub(super) enum ReceiveRing {
    Frames(Arc<FrameRing>),
    Blocks(Arc<BlockRing>),
}

impl ReceiveRing {
    /// What mappings show.
    pub(super) fn cache(&self) -> &Arc<PageCache> {
        match self {
            Self::Frames(ring) => ring.memory.cache(),
            Self::Blocks(ring) => ring.cache(),
        }
    }

    /// Whether user code has something to look at.
    pub(super) fn is_readable(&self) -> bool {
        match self {
            Self::Frames(ring) => ring.is_readable(),
            Self::Blocks(ring) => ring.is_readable(),
        }
    }

    /// Whether there is room for a frame.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Self::Frames(ring) => ring.has_room(),
            Self::Blocks(ring) => ring.has_room(),
        }
    }

    /// Puts as much of a frame into the ring as has passed the filter and fits, without its header if it is `cooked`. Returns whether
    /// there was room for it.
    pub(super) fn put(&self, frame: &Frame, passed_bytes: usize, is_cooked: bool) -> bool {
        match self {
            Self::Frames(ring) => ring.put(frame, passed_bytes, is_cooked),
            Self::Blocks(ring) => ring.put(frame, passed_bytes, is_cooked),
        }
    }
}

impl Frame {
    /// Who has sent it, as packet sockets are told.
    pub(super) fn sender(&self) -> LinkAddress {
        LinkAddress {
            protocol: self.protocol,
            device: self.device.cast_signed(),
            hardware_type: self.hardware_type,
            kind: self.kind as u8,
            hardware: if self.header_bytes() == 0 { Vec::new() } else { self.source().to_vec() },
        }
    }
}
