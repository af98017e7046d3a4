//! The allocator of guest memory.
//!
//! Guest memory is cut into chunks of 2 MiB. A chunk goes back to the host when all its frames are free (a few are kept). What is
//! wanted whole the host can back with a huge page; others have small pages, since the platform forgets translations to single
//! frames of them ([`Grain`]), and the host populates them in parts, as they are needed: a small program takes few. A frame knows
//! whether it still is as the host gave it, so that only used ones are zeroed. Each frame has a reference count, which needs no
//! lock.
//!
//! Some chunks are no memory: their frames are pages of the host's cache ([`window`]).

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use vm_memory::VolatileSlice;

use self::heap_share::HeapShare;
use self::window::Window;
use super::account::{ACCOUNT_NUMBER_BITS, AccountNumber, Accounts, FrameUse, MemoryAccount, OF_HOST};
use super::commit::Promises;
use super::frame::{Frame, FrameNumber, FrameSpan};
use super::frame_words::FrameWords;
use super::huge_pages::HugePool;
use super::table::Leftover;
use crate::Errno;
use crate::host::{HostCall, count_call};
use crate::platform::{GuestAddress, GuestMemory, PAGE_SHIFT, PAGE_SIZE, Platform};
use crate::settings::KernelSettings;

/// Frames in a chunk: what one entry of a level-2 page table maps.
pub(super) const CHUNK_FRAMES: usize = 512;
const CHUNK_BYTES: u64 = CHUNK_FRAMES as u64 * PAGE_SIZE;
const WORDS: usize = CHUNK_FRAMES / 64;
/// Frames in the part of a chunk of small pages that is populated in one piece. A page costs as much as two calls of the host.
const PART_FRAMES: usize = CHUNK_FRAMES / u32::BITS as usize;
const PART_BYTES: u64 = PART_FRAMES as u64 * PAGE_SIZE;
/// Chunks of small pages at most: each takes two of the host's mappings.
const MAX_FINE_CHUNKS: usize = 1024;
/// Wholly free chunks that are kept populated.
const RESERVE_CHUNKS: usize = 4;
/// A shortage leaves this part of all memory to pages of files: programs that have less for their code and what they look
/// up do nothing but fetch it again.
const FILE_SHARE: u64 = 64;
/// But never more than so many pages (64 MiB).
const MAX_FILE_SHARE: u64 = 16384;
/// Entries of tables have this many bits for a frame's number: 2 TiB of guest memory.
pub(super) const FRAME_NUMBER_BITS: u32 = 29;

/// Something that can give frames back when memory is short.
pub(super) trait Reclaim: Send + Sync {
    /// Frees up to `wanted` frames, those that are mapped too if `including_mapped`, but only such as `is_meant` names, and
    /// returns how many it freed. Called with any of the memory locks held: must only try to lock.
    fn reclaim(&self, wanted: usize, including_mapped: bool, is_meant: &dyn Fn(FrameNumber) -> bool)
    -> usize;
}

/// What a page in a cache counts as in the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CacheKind {
    /// A page of a host file.
    File,
    /// A page that exists only in memory: tmpfs, shared anonymous memory.
    Shared,
    /// A huge page, which its pool counts.
    Huge,
}

/// What is kept beside a frame: who pays for it, and as what.
fn paid_as(account: AccountNumber, frame_use: FrameUse) -> u32 {
    account | (frame_use as u32) << ACCOUNT_NUMBER_BITS
}

fn account_of(paid: u32) -> AccountNumber {
    paid & ((1 << ACCOUNT_NUMBER_BITS) - 1)
}

/// How guest memory is used, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStatistics {
    /// The limit.
    pub total_bytes: u64,
    /// What is left of it.
    pub free_bytes: u64,
    /// Pages of host files.
    pub cached_bytes: u64,
    /// Pages of tmpfs and of shared anonymous memory.
    pub shared_bytes: u64,
    /// What the sentry's heap holds for processes.
    pub heap_bytes: u64,
    /// The pool of huge pages.
    pub huge_bytes: u64,
}

/// The allocator of guest memory.
pub struct FrameAllocator {
    platform: Arc<dyn Platform>,
    memory: Arc<GuestMemory>,
    limit_frames: u64,
    max_chunks: usize,
    /// References to each frame.
    counts: FrameWords,
    /// Who pays for each frame.
    payers: FrameWords,
    accounts: Arc<Accounts>,
    /// There is room for frames that are the host's.
    has_window: bool,
    /// Held while a chunk is fetched from the host.
    growth: Mutex<()>,
    state: Mutex<State>,
    reclaimers: Mutex<Vec<Weak<dyn Reclaim>>>,
    cached_frames: AtomicI64,
    /// Those of them that hold what the file has: they can be given up.
    clean_frames: AtomicI64,
    shared_frames: AtomicI64,
    next_id: AtomicU64,
    /// The part that the heap has instead of user code. Before the growth and the state.
    heap: Mutex<HeapShare>,
    is_trim_due: AtomicBool,
    /// Frames of what nobody uses any more. A leaf.
    leftovers: Mutex<Vec<Leftover>>,
    leftover_frames: AtomicU64,
    settings: Arc<KernelSettings>,
    promises: Arc<Promises>,
    huge_pool: HugePool,
}

/// How the host backs a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grain {
    /// With small pages.
    Fine,
    /// With a huge page, if it has one.
    Huge,
}

/// Chunks of each grain.
#[derive(Default)]
struct ByGrain {
    fine: Vec<u32>,
    huge: Vec<u32>,
}

impl ByGrain {
    fn of(&mut self, grain: Grain) -> &mut Vec<u32> {
        match grain {
            Grain::Fine => &mut self.fine,
            Grain::Huge => &mut self.huge,
        }
    }

    /// Any, rather of the one grain than of the other.
    fn rather(&self, grain: Grain) -> Option<u32> {
        let (first, second) = match grain {
            Grain::Fine => (&self.fine, &self.huge),
            Grain::Huge => (&self.huge, &self.fine),
        };
        first.last().or(second.last()).copied()
    }

    fn len(&self) -> usize {
        self.fine.len() + self.huge.len()
    }
}

#[derive(Default)]
struct State {
    /// Every chunk that was ever used, in the order of addresses.
    chunks: Vec<Chunk>,
    fine_chunks: usize,
    /// Chunks with some frames free, but not all.
    with_room: ByGrain,
    /// Chunks with all frames free, backed by the host where they were used.
    idle: ByGrain,
    /// Chunks that the host took back.
    unbacked: Vec<u32>,
    used_frames: u64,
    /// Chunks whose frames are the host's.
    window: Window,
}

struct Chunk {
    grain: Grain,
    /// Its frames are the host's, in so many of its mappings; `None` if they are memory.
    host_mappings: Option<usize>,
    free: [u64; WORDS],
    /// Frames that may hold something other than zeroes.
    dirty: [u64; WORDS],
    free_frames: usize,
    /// Parts that the host has populated, bit by bit.
    populated: u32,
}

/// Frames that were taken, and what is to be done about them.
struct Taken {
    span: FrameSpan,
    /// Those that must be zeroed, bit by bit from the first of them on.
    dirty: [u64; WORDS],
    /// Parts of the chunk, bit by bit, that must be populated.
    unpopulated: u32,
}

impl FrameAllocator {
    /// An allocator for the guest memory of `platform`, of which at most `limit_bytes` are ever used.
    pub fn new(platform: &Arc<dyn Platform>, limit_bytes: u64) -> Arc<Self> {
        let memory = platform.memory().clone();
        let frames = (memory.len_bytes() / PAGE_SIZE).min(1 << FRAME_NUMBER_BITS);
        let chunks = frames as usize / CHUNK_FRAMES;
        let limit_frames = (limit_bytes / PAGE_SIZE).min((chunks * CHUNK_FRAMES) as u64);
        // What is more than the limit is room for what is no memory.
        let window_chunks = match memory.allows_files() {
            true => chunks - (limit_frames as usize).div_ceil(CHUNK_FRAMES).min(chunks),
            false => 0,
        };
        Arc::new(Self {
            platform: platform.clone(),
            memory,
            limit_frames,
            max_chunks: chunks,
            counts: FrameWords::new(chunks),
            payers: FrameWords::new(chunks),
            accounts: Arc::default(),
            has_window: window_chunks > 0,
            growth: Mutex::default(),
            state: Mutex::new(State { window: Window::new(window_chunks), ..State::default() }),
            reclaimers: Mutex::default(),
            cached_frames: AtomicI64::new(0),
            clean_frames: AtomicI64::new(0),
            shared_frames: AtomicI64::new(0),
            next_id: AtomicU64::new(1),
            heap: Mutex::default(),
            is_trim_due: AtomicBool::new(false),
            leftovers: Mutex::default(),
            leftover_frames: AtomicU64::new(0),
            settings: Arc::default(),
            promises: Arc::default(),
            huge_pool: HugePool::default(),
        })
    }

    /// The settings of the kernel whose memory this is.
    pub fn settings(&self) -> &Arc<KernelSettings> {
        &self.settings
    }

    /// What all address spaces have been promised.
    pub(super) fn promises(&self) -> &Arc<Promises> {
        &self.promises
    }

    /// The pool of huge pages.
    pub(super) fn huge_pool(&self) -> &HugePool {
        &self.huge_pool
    }

    /// An id for what takes its memory from here: no two address spaces or page caches have the same.
    pub fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// One zeroed frame.
    ///
    /// # Errors
    /// ENOMEM: the limit is reached, or the host has no memory left.
    pub fn allocate(self: &Arc<Self>) -> Result<Frame, Errno> {
        let span = self.allocate_span(FrameUse::Anonymous, 1)?;
        Ok(Frame::adopt(self.clone(), span.first))
    }

    /// How guest memory is used.
    pub fn statistics(&self) -> MemoryStatistics {
        let bytes = |frames: &AtomicI64| (frames.load(Ordering::Relaxed).max(0) as u64) << PAGE_SHIFT;
        MemoryStatistics {
            total_bytes: self.limit_frames << PAGE_SHIFT,
            free_bytes: self.free_frames() << PAGE_SHIFT,
            cached_bytes: bytes(&self.cached_frames),
            shared_bytes: bytes(&self.shared_frames),
            heap_bytes: self.heap.lock().used_frames() << PAGE_SHIFT,
            huge_bytes: self.huge_pages().total.saturating_mul(CHUNK_BYTES),
        }
    }

    /// The most frames that can ever be in use.
    pub(super) fn limit_frames(&self) -> u64 {
        self.limit_frames
    }

    /// Frames left below the limit, with those that are about to be free.
    pub(super) fn free_frames(&self) -> u64 {
        let taken = self.state.lock().used_frames + self.huge_pool.frames_set_aside();
        self.limit_frames.saturating_sub(taken) + self.leftover_frames()
    }

    /// Frames left for other things than files, if the pages of host files were given up.
    pub(super) fn available_frames(&self) -> u64 {
        self.free_frames() + self.spare_file_frames()
    }

    /// Pages of host files that are as they were there.
    fn clean_frames(&self) -> u64 {
        self.clean_frames.load(Ordering::Relaxed).max(0) as u64
    }

    /// Up to `max_frames` zeroed frames in a row, each with one reference, which the caller owns. For 512 or
    /// more a whole chunk is preferred.
    ///
    /// # Errors
    /// ENOMEM: the limit is reached, or the host has no memory left.
    pub(super) fn allocate_span(&self, frame_use: FrameUse, max_frames: usize) -> Result<FrameSpan, Errno> {
        let mut has_reclaimed = false;
        let Taken { span, dirty, unpopulated } = loop {
            let mut state = self.state.lock();
            let set_aside = match frame_use {
                FrameUse::Huge => 0,
                _ => self.huge_pool.frames_set_aside(),
            };
            let left = self.limit_frames.saturating_sub(state.used_frames + set_aside) as usize;
            if left == 0 {
                drop(state);
                if self.free_some_leftovers() > 0 {
                    continue;
                }
                if has_reclaimed || self.reclaim(self.within_share(frame_use, max_frames.max(64)), false) == 0
                {
                    return Err(Errno::ENOMEM);
                }
                has_reclaimed = true;
                continue;
            }
            let can_grow = state.chunks.len() < self.max_chunks || !state.unbacked.is_empty();
            let wanted = max_frames.clamp(1, left);
            if let Some(taken) = state.take(wanted, can_grow) {
                break taken;
            }
            let grain = state.grain_for(wanted);
            drop(state);
            self.grow(grain)?;
        };
        if unpopulated != 0 {
            self.populate(span, unpopulated)?;
        }
        for (index, number) in span.numbers().enumerate() {
            if dirty[index / 64] & (1 << (index % 64)) != 0 {
                zero(&self.slice(number, PAGE_SIZE as usize));
            }
            self.count(number).store(1, Ordering::Relaxed);
            if frame_use == FrameUse::Huge {
                self.payers.word(number).store(paid_as(0, frame_use), Ordering::Relaxed);
            }
        }
        Ok(span)
    }

    /// Somebody who pays for frames, and for whom `parent` pays too.
    pub fn new_account(&self, parent: Option<Arc<MemoryAccount>>) -> Arc<MemoryAccount> {
        MemoryAccount::new(&self.accounts, parent)
    }

    /// As [`Self::allocate_span`]; `payer`, if there is one, is charged for `frame_use` until the frames are free.
    ///
    /// # Errors
    /// ENOMEM: as there, or the payer's limit is reached.
    pub(super) fn allocate_span_for(
        &self,
        payer: Option<&MemoryAccount>,
        frame_use: FrameUse,
        max_frames: usize,
    ) -> Result<FrameSpan, Errno> {
        let Some(payer) = payer else { return self.allocate_span(frame_use, max_frames) };
        let charged = payer.charge(max_frames as u64, frame_use);
        if charged == 0 {
            return Err(Errno::ENOMEM);
        }
        let allocated = self.allocate_span(frame_use, charged as usize);
        let used = allocated.as_ref().map_or(0, |span| span.count as u64);
        if used < charged {
            payer.uncharge(charged - used, frame_use);
        }
        let span = allocated?;
        for number in span.numbers() {
            self.payers.word(number).store(paid_as(payer.number(), frame_use), Ordering::Relaxed);
        }
        Ok(span)
    }

    /// Who pays for a frame that is about to be free, who from now on does not, and as what.
    fn take_payer(&self, number: FrameNumber) -> u32 {
        self.payers.existing(number).map_or(0, |payer| payer.swap(0, Ordering::Relaxed))
    }

    /// Adds a reference to a frame that has one.
    pub(super) fn retain(&self, number: FrameNumber) {
        self.count(number).fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the caller's reference to a frame is the only one.
    pub(super) fn is_exclusive(&self, number: FrameNumber) -> bool {
        self.count(number).load(Ordering::Acquire) == 1
    }

    /// Gives up one reference to each of `numbers`.
    pub(super) fn release(&self, numbers: &[FrameNumber]) {
        // In portions: other threads get at the lock while a large process ends.
        numbers.chunks(1024).for_each(|portion| self.release_portion(portion));
    }

    fn release_portion(&self, numbers: &[FrameNumber]) {
        let mut state = None;
        let mut to_discard = Vec::new();
        // Frames in a row mostly have one payer.
        let mut paid: (u32, u64) = (0, 0);
        for &number in numbers {
            if self.count(number).fetch_sub(1, Ordering::Release) == 1 {
                // Pairs with the release of every other owner: their accesses happened before the reuse.
                fence(Ordering::Acquire);
                let payer = self.take_payer(number);
                if payer != paid.0 {
                    self.take_back(paid);
                    paid = (payer, 0);
                }
                paid.1 += 1;
                to_discard.extend(state.get_or_insert_with(|| self.state.lock()).free(number));
            }
        }
        drop(state);
        self.take_back(paid);
        for chunk in to_discard {
            self.give_back(chunk);
        }
    }

    fn take_back(&self, (paid, frames): (u32, u64)) {
        if paid != 0 && account_of(paid) != OF_HOST {
            let frame_use = FrameUse::from_number(paid >> ACCOUNT_NUMBER_BITS);
            if frame_use == FrameUse::Huge {
                return self.huge_pool.note_freed(frames);
            }
            self.accounts.uncharge(account_of(paid), frames, frame_use);
        }
    }

    /// Guest-physical address of a frame.
    pub(super) fn address(&self, number: FrameNumber) -> GuestAddress {
        GuestAddress(self.memory.start().0 + (u64::from(number.0) << PAGE_SHIFT))
    }

    /// The first `len_bytes` of guest memory from a frame on: that frame's, and those of frames which follow it.
    pub(super) fn slice(&self, number: FrameNumber, len_bytes: usize) -> VolatileSlice<'_> {
        self.memory.slice(self.address(number), len_bytes).expect("frames lie in guest memory")
    }

    /// Copies the contents of one frame to another.
    pub(super) fn copy(&self, from: FrameNumber, to: FrameNumber) {
        let len_bytes = PAGE_SIZE as usize;
        self.slice(from, len_bytes).copy_to_volatile_slice(self.slice(to, len_bytes));
    }

    /// Has `reclaimer` asked for frames when memory is short.
    pub(super) fn register(&self, reclaimer: Weak<dyn Reclaim>) {
        let mut reclaimers = self.reclaimers.lock();
        if reclaimers.len() == reclaimers.capacity() {
            reclaimers.retain(|reclaimer| reclaimer.strong_count() > 0);
        }
        reclaimers.push(reclaimer);
    }

    /// Asks those who registered for `wanted` frames. Returns how many are free now that were not before.
    pub(super) fn reclaim(&self, wanted: usize, including_mapped: bool) -> usize {
        self.reclaim_those(wanted, including_mapped, &|number| !self.is_of_host(number))
    }

    /// As [`Self::reclaim`], only of what `account` and those below it pay for: mapped pages, too. Called with no memory lock
    /// held.
    pub fn reclaim_from(&self, account: &MemoryAccount, wanted: usize) -> usize {
        // Nothing but pages of files can be given up.
        if account.bytes_of(FrameUse::File) == 0 {
            return 0;
        }
        let family = account.family();
        self.reclaim_those(wanted, true, &|number| {
            let payer = self.payers.existing(number);
            payer.is_some_and(|payer| family.contains(&account_of(payer.load(Ordering::Relaxed))))
        })
    }

    /// Makes room of `wanted` frames for `frame_use`, of which `payer`, whose limit or whose memory is exhausted, cannot have
    /// one. Returns how many frames are free now that were not before. Called with no memory lock held.
    pub fn relieve(&self, payer: Option<&Arc<MemoryAccount>>, frame_use: FrameUse, wanted: usize) -> usize {
        match self.free_some_leftovers() {
            0 => {}
            freed => return freed,
        }
        match payer.and_then(|payer| payer.exhausted(1)) {
            Some(account) => self.reclaim_from(account, wanted),
            None => self.reclaim(self.within_share(frame_use, wanted), true),
        }
    }

    /// How many of `wanted` frames the pages of files can give up for `frame_use`: pages of other files may have them all.
    fn within_share(&self, frame_use: FrameUse, wanted: usize) -> usize {
        if frame_use == FrameUse::File {
            return wanted;
        }
        wanted.min(usize::try_from(self.spare_file_frames()).unwrap_or(usize::MAX))
    }

    /// What pages of files have beyond their share.
    fn spare_file_frames(&self) -> u64 {
        self.clean_frames().saturating_sub((self.limit_frames / FILE_SHARE).min(MAX_FILE_SHARE))
    }

    fn reclaim_those(
        &self,
        wanted: usize,
        including_mapped: bool,
        is_meant: &dyn Fn(FrameNumber) -> bool,
    ) -> usize {
        if wanted == 0 {
            return 0;
        }
        let mut reclaimers = self.reclaimers.lock().clone();
        reclaimers.reverse();
        let mut freed = 0;
        for reclaimer in reclaimers.iter().filter_map(Weak::upgrade) {
            if freed >= wanted {
                break;
            }
            freed += reclaimer.reclaim(wanted - freed, including_mapped, is_meant);
        }
        freed
    }

    /// Counts pages that entered (or left) the page cache.
    pub(super) fn count_cached(&self, kind: CacheKind, change: i64) {
        let counter = match kind {
            CacheKind::File => &self.cached_frames,
            CacheKind::Shared => &self.shared_frames,
            CacheKind::Huge => return,
        };
        counter.fetch_add(change, Ordering::Relaxed);
    }

    /// Counts pages that now hold what their host file has (or no longer do).
    pub(super) fn count_clean(&self, change: i64) {
        self.clean_frames.fetch_add(change, Ordering::Relaxed);
    }

    fn count(&self, number: FrameNumber) -> &AtomicU32 {
        self.counts.word(number)
    }

    /// Fetches one more chunk from the host.
    fn grow(&self, grain: Grain) -> Result<(), Errno> {
        let _growth = self.growth.lock();
        let chunk = {
            let mut state = self.state.lock();
            if !state.idle.of(grain).is_empty() {
                return Ok(());
            }
            state.unbacked.pop().unwrap_or(state.chunks.len() as u32)
        };
        let start_bytes = u64::from(chunk) * CHUNK_BYTES;
        let backed = self.back(start_bytes, grain);
        let mut state = self.state.lock();
        match backed {
            Ok(()) => {
                if chunk as usize == state.chunks.len() {
                    state.chunks.push(Chunk::new());
                }
                state.set_grain(chunk, grain);
                state.idle.of(grain).push(chunk);
                Ok(())
            }
            Err(error) => {
                if (chunk as usize) < state.chunks.len() {
                    state.unbacked.push(chunk);
                }
                log::debug!("ENOMEM: guest memory at {start_bytes:#x}: {error}");
                Err(Errno::ENOMEM)
            }
        }
    }

    /// Has the host populate `parts`, bit by bit, of the chunk that `span` was taken from. If it does not, the frames are free again.
    fn populate(&self, span: FrameSpan, parts: u32) -> Result<(), Errno> {
        let chunk = span.first.0 as usize / CHUNK_FRAMES;
        let chunk_start = self.memory.start().0 + chunk as u64 * CHUNK_BYTES;
        // They follow each other, but for those that were needed before.
        let (first, end) = (parts.trailing_zeros(), u32::BITS - parts.leading_zeros());
        let start = GuestAddress(chunk_start + u64::from(first) * PART_BYTES);
        count_call(HostCall::Memory);
        let populated = self.memory.populate_as_is(start, (u64::from(end - first) * PART_BYTES) as usize);
        let mut state = self.state.lock();
        match populated {
            Ok(()) => {
                state.chunks[chunk].populated |= parts;
                Ok(())
            }
            Err(error) => {
                log::debug!("ENOMEM: guest memory at {:#x}: {error}", start.0);
                let idle = span.numbers().filter_map(|number| state.free(number)).last();
                drop(state);
                idle.into_iter().for_each(|chunk| self.give_back(chunk));
                Err(Errno::ENOMEM)
            }
        }
    }

    fn back(&self, start_bytes: u64, grain: Grain) -> Result<(), Box<dyn std::error::Error>> {
        let end_bytes = start_bytes + CHUNK_BYTES;
        if self.platform.extend_memory(end_bytes)? < end_bytes {
            return Err("the platform shows no more memory to the guest".into());
        }
        let address = GuestAddress(self.memory.start().0 + start_bytes);
        count_call(HostCall::Memory);
        match grain {
            Grain::Fine => self.memory.make_fine(address, CHUNK_BYTES as usize)?,
            Grain::Huge => self.memory.populate(address, CHUNK_BYTES as usize)?,
        }
        Ok(())
    }

    /// Gives a chunk, which is in none of the lists, back to the host.
    fn give_back(&self, chunk: u32) {
        let address = GuestAddress(self.memory.start().0 + u64::from(chunk) * CHUNK_BYTES);
        if self.give_back_of_host(chunk, address) {
            return;
        }
        count_call(HostCall::Memory);
        let discarded = self.memory.discard(address, CHUNK_BYTES as usize);
        let mut state = self.state.lock();
        match discarded {
            Ok(()) => {
                state.chunks[chunk as usize].dirty = [0; WORDS];
                state.unbacked.push(chunk);
            }
            Err(_) => {
                let grain = state.chunks[chunk as usize].grain;
                state.idle.of(grain).push(chunk);
            }
        }
    }
}

impl State {
    /// What so many frames in a row are best taken from.
    fn grain_for(&self, frames: usize) -> Grain {
        let has_too_many = self.fine_chunks >= MAX_FINE_CHUNKS;
        if frames >= CHUNK_FRAMES || has_too_many { Grain::Huge } else { Grain::Fine }
    }

    /// The host backs a chunk anew.
    fn set_grain(&mut self, chunk: u32, grain: Grain) {
        let chunk = &mut self.chunks[chunk as usize];
        let was_fine = usize::from(chunk.grain == Grain::Fine);
        chunk.grain = grain;
        chunk.populated = if grain == Grain::Fine { 0 } else { u32::MAX };
        self.fine_chunks = self.fine_chunks - was_fine + usize::from(grain == Grain::Fine);
    }

    /// Takes up to `max_frames` in a row. `None`: a chunk is to be fetched first.
    fn take(&mut self, max_frames: usize, can_grow: bool) -> Option<Taken> {
        let wants_chunk = max_frames >= CHUNK_FRAMES;
        let grain = self.grain_for(max_frames);
        let (idle, with_room) = (self.idle.of(grain).last().copied(), self.with_room.rather(grain));
        let number = match if wants_chunk { idle } else { with_room.or(idle) } {
            Some(number) => number,
            None if can_grow => return None,
            None => with_room.or_else(|| self.idle.rather(grain))?,
        };
        let chunk = &mut self.chunks[number as usize];
        let was_idle = chunk.free_frames == CHUNK_FRAMES;
        let (start, count) = longest_run(&chunk.free, max_frames);
        let (mut dirty, mut unpopulated) = ([0; WORDS], 0);
        for index in 0..count {
            let (word, bit) = ((start + index) / 64, 1 << ((start + index) % 64));
            chunk.free[word] &= !bit;
            unpopulated |= 1 << ((start + index) / PART_FRAMES) & !chunk.populated;
            if chunk.dirty[word] & bit != 0 {
                dirty[index / 64] |= 1 << (index % 64);
            }
        }
        chunk.free_frames -= count;
        self.used_frames += count as u64;
        let (grain, is_full) = (chunk.grain, chunk.free_frames == 0);
        match (was_idle, is_full) {
            (true, true) => drop(self.idle.of(grain).pop()),
            (true, false) => {
                let number = self.idle.of(grain).pop();
                self.with_room.of(grain).extend(number);
            }
            (false, true) => drop(self.with_room.of(grain).pop()),
            (false, false) => {}
        }
        let first = FrameNumber(number * CHUNK_FRAMES as u32 + start as u32);
        Some(Taken { span: FrameSpan { first, count }, dirty, unpopulated })
    }

    /// Frees a frame. Returns its chunk if that is to be given back to the host.
    fn free(&mut self, number: FrameNumber) -> Option<u32> {
        let chunk_number = number.0 / CHUNK_FRAMES as u32;
        let index = number.0 as usize % CHUNK_FRAMES;
        let chunk = &mut self.chunks[chunk_number as usize];
        chunk.free[index / 64] |= 1 << (index % 64);
        chunk.dirty[index / 64] |= 1 << (index % 64);
        chunk.free_frames += 1;
        if chunk.host_mappings.is_some() {
            let free_frames = chunk.free_frames;
            return self.window.note_free(chunk_number, free_frames).then_some(chunk_number);
        }
        self.used_frames -= 1;
        let with_room = self.with_room.of(chunk.grain);
        if chunk.free_frames == 1 {
            with_room.push(chunk_number);
        }
        if chunk.free_frames < CHUNK_FRAMES {
            return None;
        }
        if let Some(position) = with_room.iter().rposition(|&other| other == chunk_number) {
            with_room.swap_remove(position);
        }
        if self.idle.len() < RESERVE_CHUNKS {
            self.idle.of(chunk.grain).push(chunk_number);
            return None;
        }
        Some(chunk_number)
    }
}

impl Chunk {
    fn new() -> Self {
        let (free, dirty) = ([u64::MAX; WORDS], [0; WORDS]);
        let (grain, host_mappings) = (Grain::Huge, None);
        Self { grain, host_mappings, free, dirty, free_frames: CHUNK_FRAMES, populated: 0 }
    }
}

/// The first run of `wanted` ones, or else the longest, as (start, length).
fn longest_run(bits: &[u64; WORDS], wanted: usize) -> (usize, usize) {
    let (mut best, mut start, mut length) = ((0, 0), 0, 0);
    for (index, &word) in bits.iter().enumerate() {
        let mut offset = 0;
        while offset < 64 {
            let rest = word >> offset;
            let ones = (rest.trailing_ones() as usize).min(64 - offset);
            if ones > 0 {
                if length == 0 {
                    start = index * 64 + offset;
                }
                length += ones;
                offset += ones;
                if length > best.1 {
                    best = (start, length.min(wanted));
                }
                if length >= wanted {
                    return best;
                }
            }
            if offset < 64 {
                length = 0;
                offset += ((word >> offset).trailing_zeros() as usize).min(64 - offset);
            }
        }
    }
    best
}

/// Fills with zeroes.
pub(super) fn zero(slice: &VolatileSlice<'_>) {
    static ZEROES: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];
    let mut done = 0;
    while let Ok(rest) = slice.offset(done) {
        if rest.is_empty() {
            break;
        }
        rest.copy_from(&ZEROES);
        done += rest.len().min(ZEROES.len());
    }
}

mod heap_share;
mod leftovers;
#[cfg(test)]
mod tests;
mod window;
