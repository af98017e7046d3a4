//! Rings of received frames in memory that user code maps (PACKET_RX_RING; `Documentation/networking/packet_mmap.rst`).
//!
//! A ring has frames of equal size. The kernel fills the one at its head and hands it over by its status; user code hands it back
//! the same way. What user code writes there can only make it miss frames. Versions 1 and 2 of the layout are known.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use vm_memory::VolatileMemory;

use super::address::LinkAddress;
use super::fields::word;
use super::{ETHERNET_HEADER_BYTES, Frame};
use crate::Errno;
use crate::memory::{FrameAllocator, PageCache};
use crate::platform::PAGE_SIZE;

/// Bytes of `struct tpacket_hdr` and `struct tpacket2_hdr`, behind which the sender's address is.
const HEADER_BYTES: u32 = 32;
const ADDRESS_BYTES: u32 = 20;
/// What frames begin at multiples of, and so does what they hold.
const ALIGNMENT: u32 = 16;
/// The least room that is left for the header of a link.
const LINK_HEADER_BYTES: u32 = 16;
/// The most memory of a ring.
const MAX_RING_BYTES: u64 = 1 << 28;

const STATUS_USER: u32 = 1;
const STATUS_LOSING: u32 = 4;

/// How headers of frames are laid out (`TPACKET_V*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Version {
    #[default]
    V1 = 0,
    V2 = 1,
}

impl Version {
    /// # Errors
    /// EINVAL for one that is not known.
    pub(super) fn from_raw(raw: u32) -> Result<Self, Errno> {
        match raw {
            0 => Ok(Self::V1),
            1 => Ok(Self::V2),
            _ => Err(Errno::EINVAL),
        }
    }

    /// How long the header of a frame is.
    pub(super) fn header_bytes(self) -> u32 {
        HEADER_BYTES
    }
}

/// `struct tpacket_req`: blocks of memory, each with as many frames as fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    block_bytes: u32,
    block_count: u32,
    frame_bytes: u32,
    frame_count: u32,
}

impl Geometry {
    /// # Errors
    /// EINVAL.
    pub(super) fn decode(value: &[u8]) -> Result<Self, Errno> {
        let geometry = Self {
            block_bytes: word(value, 0)?,
            block_count: word(value, 1)?,
            frame_bytes: word(value, 2)?,
            frame_count: word(value, 3)?,
        };
        if geometry.block_count == 0 && geometry.frame_count != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(geometry)
    }

    /// Whether it is that of no ring.
    pub(super) fn is_none(self) -> bool {
        self.block_count == 0
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
        if !is_aligned || !has_room || u32::try_from(self.len_bytes()).is_err() {
            return Err(Errno::EINVAL);
        }
        let frames = (self.block_bytes / self.frame_bytes).checked_mul(self.block_count);
        if frames != Some(self.frame_count) {
            return Err(Errno::EINVAL);
        }
        if self.len_bytes() > MAX_RING_BYTES { Err(Errno::ENOMEM) } else { Ok(()) }
    }
}

/// A ring.
pub(super) struct ReceiveRing {
    geometry: Geometry,
    version: Version,
    reserve_bytes: u32,
    cache: Arc<PageCache>,
    head: Mutex<Head>,
}

#[derive(Default)]
struct Head {
    /// The frame that is filled next.
    index: u32,
    is_losing: bool,
}

impl ReceiveRing {
    /// An empty one, whose pages are made when they are first used.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn new(
        frames: &Arc<FrameAllocator>,
        geometry: Geometry,
        version: Version,
        reserve_bytes: u32,
    ) -> Result<Arc<Self>, Errno> {
        let cache = PageCache::new(frames, None, geometry.len_bytes());
        cache.page(0)?;
        Ok(Arc::new(Self { geometry, version, reserve_bytes, cache, head: Mutex::default() }))
    }

    /// What mappings show.
    pub(super) fn cache(&self) -> &Arc<PageCache> {
        &self.cache
    }

    /// Where a frame begins.
    fn place(&self, index: u32) -> u64 {
        let per_block = (self.geometry.block_bytes / self.geometry.frame_bytes).max(1);
        let block = u64::from(index / per_block) * u64::from(self.geometry.block_bytes);
        block + u64::from(index % per_block) * u64::from(self.geometry.frame_bytes)
    }

    fn with_status<T>(&self, index: u32, operate: impl FnOnce(&AtomicU32) -> T) -> Result<T, Errno> {
        let place = self.place(index);
        let page = self.cache.page(place / PAGE_SIZE)?;
        let offset = usize::try_from(place % PAGE_SIZE).map_err(|_| Errno::EFAULT)?;
        page.slice().get_atomic_ref::<AtomicU32>(offset).map(operate).map_err(|_| Errno::EFAULT)
    }

    fn is_free(&self, index: u32) -> bool {
        self.with_status(index, |status| status.load(Ordering::Acquire)) == Ok(0)
    }

    /// Whether user code has a frame to look at.
    pub(super) fn is_readable(&self) -> bool {
        let index = self.head.lock().index;
        let last = index.checked_sub(1).unwrap_or(self.geometry.frame_count.saturating_sub(1));
        !self.is_free(last)
    }

    fn write(&self, place: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.cache.write_at(bytes, place, None).map(drop)
    }

    /// Puts as much of a frame into the ring as has passed the filter and fits, without its header if it is `cooked`. Returns whether
    /// there was room for it.
    pub(super) fn put(&self, frame: &Frame, passed_bytes: usize, is_cooked: bool) -> bool {
        let mut head = self.head.lock();
        let index = head.index;
        if !self.is_free(index) || self.fill(index, frame, (passed_bytes, is_cooked)).is_err() {
            head.is_losing = true;
            return false;
        }
        let losing = if std::mem::take(&mut head.is_losing) { STATUS_LOSING } else { 0 };
        let status = STATUS_USER | losing;
        if self.with_status(index, |word| word.store(status, Ordering::Release)).is_err() {
            return false;
        }
        head.index = (index + 1) % self.geometry.frame_count.max(1);
        true
    }

    /// Writes all of a frame but its status.
    fn fill(&self, index: u32, frame: &Frame, (passed_bytes, is_cooked): (usize, bool)) -> Result<(), Errno> {
        let place = self.place(index);
        let link_bytes = if is_cooked { 0 } else { ETHERNET_HEADER_BYTES as u32 };
        let header_bytes = HEADER_BYTES + ADDRESS_BYTES;
        let packet_offset = match is_cooked {
            true => header_bytes.next_multiple_of(ALIGNMENT) + LINK_HEADER_BYTES,
            false => (header_bytes + LINK_HEADER_BYTES).next_multiple_of(ALIGNMENT),
        };
        let packet_offset = packet_offset.saturating_add(self.reserve_bytes);
        let offset = packet_offset - link_bytes;
        let bytes = if is_cooked { frame.split().1 } else { &frame.bytes[..] };
        let room_bytes = self.geometry.frame_bytes.saturating_sub(offset) as usize;
        let kept = bytes.get(..passed_bytes.min(room_bytes)).unwrap_or(bytes);
        let number = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let short = |number: u32| u16::try_from(number).map_err(|_| Errno::EINVAL);
        let lens = (number(bytes.len()), number(kept.len()));
        let header = self.header(frame, lens, (short(offset)?, short(packet_offset)?));
        self.write(place + size_of::<u32>() as u64, &header)?;
        let address = frame.sender().encode_whole()?;
        self.write(place + u64::from(HEADER_BYTES), address.bytes())?;
        self.write(place + u64::from(offset), kept)
    }

    /// The header of a frame behind its status.
    fn header(&self, frame: &Frame, lens: (u32, u32), offsets: (u16, u16)) -> Vec<u8> {
        let seconds = frame.time.as_secs().to_le_bytes();
        let (fraction, before) = match self.version {
            // A status of 64 bits, and microseconds.
            Version::V1 => (frame.time.subsec_micros(), size_of::<u32>()),
            Version::V2 => (frame.time.subsec_nanos(), 0),
        };
        let mut header = vec![0; before];
        header.extend_from_slice(&lens.0.to_ne_bytes());
        header.extend_from_slice(&lens.1.to_ne_bytes());
        header.extend_from_slice(&offsets.0.to_ne_bytes());
        header.extend_from_slice(&offsets.1.to_ne_bytes());
        header.extend(seconds.iter().take(size_of::<u32>()));
        header.extend_from_slice(&fraction.to_ne_bytes());
        header.resize(HEADER_BYTES as usize - size_of::<u32>(), 0);
        header
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
            hardware: self.source().to_vec(),
        }
    }
}
