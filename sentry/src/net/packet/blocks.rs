//! Rings of blocks, each with as many frames as fit (TPACKET_V3; `Documentation/networking/packet_mmap.rst`).
//!
//! The block at the head is filled until it is full, or until a while after its first frame; then it is handed over by its status.
//! When the next one is still user code's, what comes is lost until that gives it back.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::PacketSocket;
use super::frame::Frame;
use super::ring::{BLOCK_HEADER_BYTES, Geometry, Layout, RingMemory, STATUS_LOSING, STATUS_USER, Version};
use crate::Errno;
use crate::memory::{FrameAllocator, PageCache};
use crate::time::{Expire, TimerHandle, TimerQueue};
use crate::wait::Events;

/// A block is handed over because its time has come.
const STATUS_TIMEOUT: u32 = 1 << 5;
/// Where a block has its status.
const STATUS_OFFSET: u64 = 8;
/// What frames in a block begin at multiples of.
const FRAME_ALIGNMENT: u32 = 8;
/// How long a block waits after its first frame, if nobody says it.
const USUAL_WAIT_MS: u32 = 8;

/// A ring.
pub(super) struct BlockRing {
    geometry: Geometry,
    layout: Layout,
    memory: RingMemory,
    head: Mutex<Head>,
    timers: Arc<TimerQueue>,
    owner: Weak<PacketSocket>,
    me: Weak<Self>,
}

/// The block that is filled.
#[derive(Default)]
struct Head {
    index: u32,
    /// How many blocks have been begun, this one included.
    sequence: u64,
    /// Where the next frame goes.
    offset: u32,
    count: u32,
    /// Where the last frame is, and when it came: seconds and nanoseconds.
    last: Option<(u32, [u32; 2])>,
    began: [u32; 2],
    /// It is still user code's.
    is_frozen: bool,
    /// Something was lost since PACKET_STATISTICS was asked last.
    is_losing: bool,
    /// How often that happened, since it was asked last.
    freezes: u32,
    timer: Option<TimerHandle>,
}

fn stamp(time: Duration) -> [u32; 2] {
    [u32::try_from(time.as_secs() & u64::from(u32::MAX)).unwrap_or(0), time.subsec_nanos()]
}

impl BlockRing {
    /// One whose first block is begun, `now` by the time of day.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn new(
        frames: &Arc<FrameAllocator>,
        (geometry, layout): (Geometry, Layout),
        (timers, owner): (&Arc<TimerQueue>, &Weak<PacketSocket>),
        now: Duration,
    ) -> Result<Arc<Self>, Errno> {
        let memory = RingMemory::new(frames, geometry)?;
        let ring = Arc::new_cyclic(|me| Self {
            geometry,
            layout,
            memory,
            head: Mutex::default(),
            timers: timers.clone(),
            owner: owner.clone(),
            me: me.clone(),
        });
        ring.begin(&mut ring.head.lock(), now);
        Ok(ring)
    }

    pub(super) fn cache(&self) -> &Arc<PageCache> {
        self.memory.cache()
    }

    fn place(&self, index: u32) -> u64 {
        u64::from(index) * u64::from(self.geometry.block_bytes)
    }

    fn is_free(&self, index: u32) -> bool {
        self.memory.status(self.place(index) + STATUS_OFFSET) == Ok(0)
    }

    /// Whether there is room for a frame.
    pub(super) fn has_room(&self) -> bool {
        let head = self.head.lock();
        !head.is_frozen || self.is_free(head.index)
    }

    /// Whether user code has a block to look at.
    pub(super) fn is_readable(&self) -> bool {
        let index = self.head.lock().index;
        let last = index.checked_sub(1).unwrap_or(self.geometry.block_count.saturating_sub(1));
        !self.is_free(last)
    }

    /// How often the ring was full since this was asked.
    pub(super) fn take_freezes(&self) -> u32 {
        let mut head = self.head.lock();
        head.is_losing = false;
        std::mem::take(&mut head.freezes)
    }

    /// Begins to fill the block at the head, if it is free.
    fn begin(&self, head: &mut Head, now: Duration) -> bool {
        head.is_frozen = !self.is_free(head.index);
        if !head.is_frozen {
            head.sequence += 1;
            (head.count, head.last, head.began) = (0, None, stamp(now));
            head.offset = self.geometry.first_frame_offset();
        }
        !head.is_frozen
    }

    /// Hands the block at the head over, and begins the next.
    fn retire(&self, head: &mut Head, status: u32, now: Duration) -> Result<(), Errno> {
        let place = self.place(head.index);
        if let Some((offset, _)) = head.last {
            self.memory.write(place + u64::from(offset), &0_u32.to_ne_bytes())?;
        }
        let ended = head.last.map_or(stamp(now), |(_, time)| time);
        let before = [Version::V3 as u32, BLOCK_HEADER_BYTES];
        let behind = [head.count, self.geometry.first_frame_offset(), head.offset];
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>();
        self.memory.write(place, &words(&before))?;
        let rest = [words(&behind), head.sequence.to_ne_bytes().to_vec(), words(&head.began), words(&ended)];
        self.memory.write(place + STATUS_OFFSET + 4, &rest.concat())?;
        let losing = if head.is_losing { STATUS_LOSING } else { 0 };
        self.memory.set_status(place + STATUS_OFFSET, STATUS_USER | status | losing)?;
        head.timer = None;
        head.index = (head.index + 1) % self.geometry.block_count.max(1);
        if !self.begin(head, now) {
            head.freezes = head.freezes.wrapping_add(1);
        }
        Ok(())
    }

    /// Puts as much of a frame into the ring as has passed the filter and fits. Returns whether there was room for it.
    pub(super) fn put(&self, frame: &Frame, passed_bytes: usize, is_cooked: bool) -> bool {
        let mut head = self.head.lock();
        let is_kept = self.try_put(&mut head, frame, (passed_bytes, is_cooked)) == Ok(true);
        head.is_losing |= !is_kept;
        is_kept
    }

    fn try_put(
        &self,
        head: &mut Head,
        frame: &Frame,
        (passed_bytes, is_cooked): (usize, bool),
    ) -> Result<bool, Errno> {
        if head.is_frozen && !self.begin(head, frame.time) {
            return Ok(false);
        }
        let room_bytes = self.geometry.block_bytes.saturating_sub(self.geometry.first_frame_offset());
        let record = self.layout.record(frame, (passed_bytes, is_cooked), room_bytes)?;
        let len_bytes = record.len_bytes().next_multiple_of(FRAME_ALIGNMENT);
        if head.offset.saturating_add(len_bytes) >= self.geometry.block_bytes && head.count > 0 {
            self.retire(head, 0, frame.time)?;
            if head.is_frozen {
                return Ok(false);
            }
        }
        let place = self.place(head.index) + u64::from(head.offset);
        let time = stamp(frame.time);
        record.write(
            &self.memory,
            place,
            &[len_bytes, time[0], time[1], record.kept_bytes(), record.whole_bytes(), STATUS_USER],
        )?;
        head.last = Some((head.offset, time));
        head.offset = head.offset.saturating_add(len_bytes);
        head.count += 1;
        if head.count == 1 {
            let wait_ms = if self.geometry.wait_ms == 0 { USUAL_WAIT_MS } else { self.geometry.wait_ms };
            let target: Weak<dyn Expire> = self.me.clone();
            let wait = Duration::from_millis(wait_ms.into());
            head.timer = self.timers.schedule_after(wait, target).ok().flatten();
        }
        Ok(true)
    }
}

impl Expire for BlockRing {
    fn expire(&self) {
        let Some(owner) = self.owner.upgrade() else { return };
        {
            let mut head = self.head.lock();
            if head.count == 0 || head.is_frozen {
                return;
            }
            // What cannot be written is not handed over.
            let _retired = self.retire(&mut head, STATUS_TIMEOUT, owner.network.shared().now());
        }
        owner.queue.notify(Events::IN | Events::RDNORM);
    }
}
