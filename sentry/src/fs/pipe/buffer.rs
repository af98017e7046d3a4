//! The bytes inside a pipe: a ring of page-sized segments, as Linux's capacity rules assume (`man 7 pipe`).
//!
//! Capacity counts segments, not bytes: a segment that holds one unread byte is occupied.

use std::collections::VecDeque;
use std::ops::Range;

use crate::Errno;
use crate::heap::HeapCharge;
use crate::memory::{Frame, PagePart};

/// Bytes of one segment.
pub(super) const SEGMENT_BYTES: usize = 4096;

/// A page, and the charge for it.
struct Page {
    bytes: Box<[u8; SEGMENT_BYTES]>,
    _heap_charge: HeapCharge,
}

impl Page {
    fn new() -> Result<Self, Errno> {
        Ok(Self { _heap_charge: HeapCharge::new(SEGMENT_BYTES)?, bytes: Box::new([0; SEGMENT_BYTES]) })
    }
}

/// Where the bytes of a segment are.
enum Storage {
    /// In a page of the pipe's own.
    Own(Page),
    /// In a page of user memory, which its owner may still change (vmsplice(2)).
    Lent(Frame),
}

/// Unread bytes of one page.
pub(super) struct Segment {
    storage: Storage,
    start: usize,
    end: usize,
    is_packet: bool,
    /// A write may add to it: nobody else has its page, and it has never been in another pipe.
    is_open: bool,
}

impl Segment {
    fn new(page: Page, end: usize, is_packet: bool) -> Self {
        Self { storage: Storage::Own(page), start: 0, end, is_packet, is_open: !is_packet }
    }

    /// Of a page of user memory.
    pub(super) fn lent(part: PagePart) -> Self {
        let PagePart { frame, range: Range { start, end } } = part;
        Self { storage: Storage::Lent(frame), start, end, is_packet: false, is_open: false }
    }

    /// Bytes that are unread.
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Copies the first bytes to `buffer`, as many as fit. Returns how many.
    fn copy_to(&self, buffer: &mut [u8]) -> usize {
        let len = self.len().min(buffer.len());
        let Some(buffer) = buffer.get_mut(..len) else { return 0 };
        match &self.storage {
            Storage::Own(page) => {
                if let Some(bytes) = page.bytes.get(self.start..self.start + len) {
                    buffer.copy_from_slice(bytes);
                }
            }
            Storage::Lent(frame) => {
                if let Ok(bytes) = frame.slice().subslice(self.start, len) {
                    bytes.copy_to(buffer);
                }
            }
        }
        len
    }

    /// Hands the first bytes, at most `max_bytes`, to `take`. Returns how many they were; `None` if it has not taken them.
    fn show(&self, max_bytes: usize, take: &mut dyn FnMut(&[u8]) -> bool) -> Option<usize> {
        let len = self.len().min(max_bytes);
        let is_taken = match &self.storage {
            Storage::Own(page) => take(page.bytes.get(self.start..self.start + len).unwrap_or_default()),
            Storage::Lent(_) => {
                let mut copy = [0; SEGMENT_BYTES];
                let len = self.copy_to(copy.get_mut(..len).unwrap_or_default());
                take(copy.get(..len).unwrap_or_default())
            }
        };
        is_taken.then_some(len)
    }

    /// The first bytes once more, at most `max_bytes`.
    ///
    /// # Errors
    /// ENOMEM.
    fn duplicate(&self, max_bytes: usize) -> Result<Self, Errno> {
        let len = self.len().min(max_bytes);
        let (storage, start) = match &self.storage {
            Storage::Lent(frame) => (Storage::Lent(frame.clone()), self.start),
            Storage::Own(_) => {
                let mut page = Page::new()?;
                self.copy_to(page.bytes.get_mut(..len).unwrap_or_default());
                (Storage::Own(page), 0)
            }
        };
        Ok(Self { storage, start, end: start + len, is_packet: self.is_packet, is_open: false })
    }

    /// Its page, if that is the pipe's own.
    fn into_page(self) -> Option<Page> {
        match self.storage {
            Storage::Own(page) => Some(page),
            Storage::Lent(_) => None,
        }
    }
}

/// A ring of segments.
pub(super) struct Buffer {
    segments: VecDeque<Segment>,
    max_segments: usize,
    /// The segment that was emptied last, kept so that a steady flow does not allocate.
    spare: Option<Page>,
}

impl Buffer {
    pub(super) fn new(max_segments: usize) -> Self {
        Self { segments: VecDeque::new(), max_segments, spare: None }
    }

    pub(super) fn max_segments(&self) -> usize {
        self.max_segments
    }

    pub(super) fn occupied_segments(&self) -> usize {
        self.segments.len()
    }

    /// The caller has checked that no more are occupied.
    pub(super) fn set_max_segments(&mut self, max_segments: usize) {
        self.max_segments = max_segments;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.segments.len() >= self.max_segments
    }

    pub(super) fn len_bytes(&self) -> usize {
        self.segments.iter().map(Segment::len).sum()
    }

    /// Bytes of the segments that are free.
    pub(super) fn free_bytes(&self) -> usize {
        self.max_segments.saturating_sub(self.segments.len()) * SEGMENT_BYTES
    }

    /// How many bytes of a write of `len_bytes` fit now.
    fn room_for(&self, len_bytes: usize) -> usize {
        self.free_bytes() + self.mergeable_tail(len_bytes)
    }

    /// What the last segment takes of a write: its odd part, if that fits whole.
    fn mergeable_tail(&self, len_bytes: usize) -> usize {
        let odd_bytes = len_bytes % SEGMENT_BYTES;
        match self.segments.back() {
            Some(last) if last.is_open && last.end + odd_bytes <= SEGMENT_BYTES => odd_bytes,
            _ => 0,
        }
    }

    /// Whether a write of `len_bytes` fits as a whole.
    pub(super) fn fits(&self, len_bytes: usize) -> bool {
        self.room_for(len_bytes) >= len_bytes
    }

    /// Adds what fits of `bytes` to the stream. Returns how much.
    ///
    /// # Errors
    /// ENOMEM: something would fit, and there is no page for it.
    pub(super) fn push_stream(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let merged = self.mergeable_tail(bytes.len());
        let (head, mut rest) = bytes.split_at(merged);
        if let Some(last) = self.segments.back_mut()
            && let Storage::Own(page) = &mut last.storage
            && let Some(room) = page.bytes.get_mut(last.end..last.end + head.len())
        {
            room.copy_from_slice(head);
            last.end += head.len();
        }
        while !rest.is_empty() && !self.is_full() {
            let (piece, later) = rest.split_at(rest.len().min(SEGMENT_BYTES));
            match self.push_segment(piece, false) {
                Err(error) if rest.len() == bytes.len() => return Err(error),
                Err(_) => break,
                Ok(()) => rest = later,
            }
        }
        Ok(bytes.len() - rest.len())
    }

    /// Adds packets of at most [`SEGMENT_BYTES`] each, as many as fit. Returns the bytes taken.
    ///
    /// # Errors
    /// ENOMEM: one would fit, and there is no page for it.
    pub(super) fn push_packets(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let room = self.max_segments.saturating_sub(self.segments.len());
        let mut taken = 0;
        for packet in bytes.chunks(SEGMENT_BYTES).take(room) {
            match self.push_segment(packet, true) {
                Err(error) if taken == 0 => return Err(error),
                Err(_) => break,
                Ok(()) => taken += packet.len(),
            }
        }
        Ok(taken)
    }

    fn push_segment(&mut self, piece: &[u8], is_packet: bool) -> Result<(), Errno> {
        let mut page = self.spare.take().map_or_else(Page::new, Ok)?;
        page.bytes[..piece.len()].copy_from_slice(piece);
        self.segments.push_back(Segment::new(page, piece.len(), is_packet));
        Ok(())
    }

    /// Copies bytes into `buffer` and leaves them where they are; at most one packet.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> usize {
        let mut filled = 0;
        for segment in &self.segments {
            filled += segment.copy_to(buffer.get_mut(filled..).unwrap_or_default());
            if segment.is_packet || filled == buffer.len() {
                break;
            }
        }
        filled
    }

    /// Hands up to `max_bytes` to `take`, segment by segment, and takes them out until `take` says that it has not taken all of
    /// one; at most one packet, whose excess is lost. Returns how many bytes are out.
    pub(super) fn pop(&mut self, max_bytes: usize, take: &mut dyn FnMut(&[u8]) -> bool) -> usize {
        let mut taken = 0;
        while taken < max_bytes
            && let Some(segment) = self.segments.front_mut()
        {
            let Some(len) = segment.show(max_bytes - taken, take) else { break };
            segment.start += len;
            taken += len;
            let (is_packet, is_used_up) = (segment.is_packet, segment.start == segment.end);
            if is_packet || is_used_up {
                self.spare = self.segments.pop_front().and_then(Segment::into_page);
            }
            if is_packet {
                break;
            }
        }
        self.keep_spare_if_large();
        taken
    }

    /// Takes out `len_bytes`, not more than there are and, of a packet, its excess too.
    pub(super) fn discard(&mut self, len_bytes: usize) {
        let mut left = len_bytes;
        while left > 0
            && let Some(segment) = self.segments.front_mut()
        {
            let taken = segment.len().min(left);
            segment.start += taken;
            left -= taken;
            if segment.is_packet || segment.start == segment.end {
                self.spare = self.segments.pop_front().and_then(Segment::into_page);
            }
        }
        self.keep_spare_if_large();
    }

    /// Adds a segment. The caller has seen that there is room.
    pub(super) fn push(&mut self, segment: Segment) {
        self.segments.push_back(segment);
    }

    /// Takes out the first segment, or the first `max_bytes` of it.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn take_first(&mut self, max_bytes: usize) -> Result<Option<Segment>, Errno> {
        let Some(first) = self.segments.front_mut() else { return Ok(None) };
        if first.len() > max_bytes {
            let part = first.duplicate(max_bytes)?;
            first.start += part.len();
            return Ok(Some(part));
        }
        Ok(self.segments.pop_front().map(|segment| Segment { is_open: false, ..segment }))
    }

    /// Segment `index`, or the first `max_bytes` of it, once more.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn duplicate(&self, index: usize, max_bytes: usize) -> Result<Option<Segment>, Errno> {
        self.segments.get(index).map(|segment| segment.duplicate(max_bytes)).transpose()
    }

    /// A pipe of the smallest size keeps no page while it is empty.
    fn keep_spare_if_large(&mut self) {
        if self.segments.is_empty() && self.max_segments <= 2 {
            self.spare = None;
        }
    }
}
