//! One address space.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

use super::fault::STEP_PAGES;
use super::frame::FrameBatch;
use super::layout::Layout;
use super::mapping::{Mapping, intersect, virtual_range};
use super::mappings::Mappings;
use super::page_cache::Mapper;
use super::stream::Streams;
use super::table::{Entry, EntryFlags, FrameTable};
use super::unmapped_area::{END_PAGE, MIN_PAGE};
use super::{FrameAllocator, MemoryAccount};
use crate::Errno;
use crate::pace::Pace;
use crate::platform::{AddressSpace, EmptySpace, PAGE_SHIFT, Platform};
use crate::process_identity::ProcessIdentity;
use crate::virtual_cpus::VirtualCpus;

/// The resource limits that memory obeys, in bytes (`man 2 getrlimit`). `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// RLIMIT_AS.
    pub address_space_bytes: u64,
    /// RLIMIT_DATA.
    pub data_bytes: u64,
    /// RLIMIT_STACK.
    pub stack_bytes: u64,
    /// RLIMIT_MEMLOCK; `u64::MAX` for who has CAP_IPC_LOCK.
    pub locked_bytes: u64,
    /// The lowest address that may be named (`vm.mmap_min_addr`); 0 for who has CAP_SYS_RAWIO.
    pub lowest_address: u64,
}

impl MemoryLimits {
    /// The lowest address of who has no privilege.
    pub const LOWEST_ADDRESS: u64 = MIN_PAGE << PAGE_SHIFT;
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            address_space_bytes: u64::MAX,
            data_bytes: u64::MAX,
            stack_bytes: 8 << 20,
            locked_bytes: 8 << 20,
            lowest_address: Self::LOWEST_ADDRESS,
        }
    }
}

/// One address space: its mappings, the frames that they hold, and the page tables that show them to user code.
pub struct MemoryManager {
    id: u64,
    platform: Arc<dyn Platform>,
    /// Before the state, so that the tables are gone when the frames become free.
    address_space: Arc<dyn AddressSpace>,
    state: RwLock<State>,
    frames: Arc<FrameAllocator>,
    faults: AtomicU64,
    /// A touch has failed for want of memory, and nobody has dealt with it yet.
    is_short: AtomicBool,
    /// Whose it is, for files that want to know who maps them. A leaf.
    owner: Mutex<ProcessIdentity>,
    virtual_cpus: VirtualCpus,
    barriers: AtomicU32,
    /// [`super::MmFlags`]' bits.
    mm_flags: AtomicU32,
    this: Weak<Self>,
}

/// What the lock of a [`MemoryManager`] protects.
pub(super) struct State {
    /// What is mapped.
    pub(super) mappings: Mappings,
    /// What is in memory of it. The page tables never hold anything else.
    pub(super) pages: FrameTable,
    /// Where faults have been lately.
    pub(super) streams: Streams,
    /// How much it may be.
    pub(super) limits: MemoryLimits,
    /// Where the program's parts are.
    pub(super) layout: Layout,
    /// The flags of mlockall(2) for mappings to come.
    pub(super) future_locks: super::MappingFlags,
    /// Most pages that were ever in memory.
    pub(super) peak_pages: u64,
    /// Who pays for what is brought in.
    pub(super) payer: Option<Arc<MemoryAccount>>,
}

/// An address space that is being changed. What is removed from it is let go after the lock.
pub(super) struct Edit<'a> {
    /// Whose address space it is.
    pub(super) manager: &'a MemoryManager,
    /// What the lock protects; released before the fields below.
    pub(super) state: RwLockWriteGuard<'a, State>,
    /// Frames that were removed.
    pub(super) removed: FrameBatch,
    /// Mappings that were removed.
    pub(super) unmapped: Unmapped<'a>,
}

/// Mappings that were removed from an address space, let go when no lock is held: dropping one may close a file.
pub(super) struct Unmapped<'a> {
    owner: &'a Mutex<ProcessIdentity>,
    mappings: Vec<Mapping>,
}

impl Drop for Unmapped<'_> {
    fn drop(&mut self) {
        for mapping in self.mappings.drain(..) {
            let file = mapping.file().filter(|file| file.is_segment()).cloned();
            drop(mapping);
            if let Some(file) = file {
                file.unmapped(&self.owner.lock().clone());
            }
        }
    }
}

impl MemoryManager {
    /// Makes an empty address space.
    ///
    /// # Errors
    /// ENOMEM: the host is out of a resource.
    pub fn new(platform: &Arc<dyn Platform>, frames: &Arc<FrameAllocator>) -> Result<Arc<Self>, Errno> {
        Ok(Self::with_tables(platform, platform.new_address_space()?, frames))
    }

    /// Makes an address space that stays empty: it has no page tables.
    pub(crate) fn without_tables(platform: &Arc<dyn Platform>, frames: &Arc<FrameAllocator>) -> Arc<Self> {
        Self::with_tables(platform, Arc::new(EmptySpace), frames)
    }

    fn with_tables(
        platform: &Arc<dyn Platform>,
        address_space: Arc<dyn AddressSpace>,
        frames: &Arc<FrameAllocator>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            id: frames.new_id(),
            platform: platform.clone(),
            address_space,
            state: RwLock::new(State {
                mappings: Mappings::bounded_by(frames),
                pages: FrameTable::new(frames),
                streams: Streams::default(),
                limits: MemoryLimits::default(),
                layout: Layout::default(),
                future_locks: super::MappingFlags::empty(),
                peak_pages: 0,
                payer: None,
            }),
            frames: frames.clone(),
            faults: AtomicU64::new(0),
            is_short: AtomicBool::new(false),
            owner: Mutex::default(),
            virtual_cpus: VirtualCpus::default(),
            barriers: AtomicU32::new(0),
            mm_flags: AtomicU32::new(0),
            this: this.clone(),
        })
    }

    pub(super) fn mm_flag_bits(&self) -> &AtomicU32 {
        &self.mm_flags
    }

    /// The page tables.
    pub fn address_space(&self) -> &Arc<dyn AddressSpace> {
        &self.address_space
    }

    /// The CPU numbers that its tasks run with.
    pub fn virtual_cpus(&self) -> &VirtualCpus {
        &self.virtual_cpus
    }

    /// The `MEMBARRIER_CMD_REGISTER_*` that it has been registered with (`man 2 membarrier`). A fork inherits them.
    pub fn barriers(&self) -> u32 {
        self.barriers.load(Ordering::Relaxed)
    }

    /// Registers it with one more.
    pub fn add_barriers(&self, commands: u32) {
        self.barriers.fetch_or(commands, Ordering::Relaxed);
    }

    /// A number that no other address space has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where frames come from.
    pub fn frames(&self) -> &Arc<FrameAllocator> {
        &self.frames
    }

    /// The limits that apply.
    pub fn limits(&self) -> MemoryLimits {
        self.state.read().limits
    }

    /// Changes the limits. What is mapped already stays.
    pub fn set_limits(&self, limits: MemoryLimits) {
        self.state.write().limits = limits;
    }

    /// Changes the lowest address that may be named.
    pub fn set_lowest_address(&self, lowest_address: u64) {
        self.state.write().limits.lowest_address = lowest_address;
    }

    /// Changes how far the stack may grow (RLIMIT_STACK).
    pub fn set_stack_limit(&self, stack_bytes: u64) {
        self.state.write().limits.stack_bytes = stack_bytes;
    }

    /// Who pays for what is brought in from now on.
    pub fn payer(&self) -> Option<Arc<MemoryAccount>> {
        self.state.read().payer.clone()
    }

    /// Has `payer` pay for what is brought in from now on; what is there already stays charged as it is.
    pub fn set_payer(&self, payer: Option<Arc<MemoryAccount>>) {
        let old = std::mem::replace(&mut self.state.write().payer, payer);
        drop(old);
    }

    /// Whether a touch has failed for want of memory since this was asked last.
    pub fn take_shortage(&self) -> bool {
        self.is_short.load(Ordering::Relaxed) && self.is_short.swap(false, Ordering::Relaxed)
    }

    /// Whose address space it is.
    pub fn owner(&self) -> ProcessIdentity {
        self.owner.lock().clone()
    }

    /// Says whose address space it is.
    pub fn set_owner(&self, owner: ProcessIdentity) {
        *self.owner.lock() = owner;
    }

    /// Records that a touch failed for want of memory.
    pub(crate) fn note_shortage(&self) {
        self.is_short.store(true, Ordering::Relaxed);
    }

    /// Bytes in memory now that its end can give back: not the host's own pages of files.
    pub fn freeable_bytes(&self) -> u64 {
        let pages = &self.state.read().pages;
        (pages.len() - pages.host_len()) << PAGE_SHIFT
    }

    /// Most bytes that ever were in memory.
    pub fn max_resident_bytes(&self) -> u64 {
        let state = self.state.read();
        state.peak_pages.max(state.pages.len()) << PAGE_SHIFT
    }

    /// Faults that user code has had.
    pub fn fault_count(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// Counts a fault of user code.
    pub(super) fn count_fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// The platform that it lives on.
    pub(super) fn platform(&self) -> &Arc<dyn Platform> {
        &self.platform
    }

    /// What the lock protects.
    pub(super) fn state(&self) -> &RwLock<State> {
        &self.state
    }

    /// This address space as caches know it.
    pub(super) fn as_mapper(&self) -> Weak<dyn Mapper> {
        self.this.clone()
    }

    /// Takes the lock to change something.
    pub(super) fn edit(&self) -> Edit<'_> {
        self.edit_locked(self.state.write())
    }

    fn edit_locked<'a>(&'a self, state: RwLockWriteGuard<'a, State>) -> Edit<'a> {
        let unmapped = Unmapped { owner: &self.owner, mappings: Vec::new() };
        Edit { manager: self, state, removed: FrameBatch::new(&self.frames), unmapped }
    }
}

impl Drop for MemoryManager {
    fn drop(&mut self) {
        // Someone else keeps the tables: they must not show the frames any more.
        if Arc::strong_count(&self.address_space) > 1 {
            self.address_space.clear();
        }
        let mappings = self.state.get_mut().mappings.take_all();
        drop(Unmapped { owner: &self.owner, mappings });
    }
}

impl Edit<'_> {
    /// The page tables.
    pub(super) fn space(&self) -> &dyn AddressSpace {
        &*self.manager.address_space
    }

    /// Removes all mappings of `pages`, and what they hold.
    pub(super) fn unmap(&mut self, pages: Range<u64>) {
        self.discard(pages.clone(), |_| true);
        let unmapped = self.state.mappings.take(pages);
        unmapped.iter().for_each(Mapping::release_reservation);
        self.unmapped.mappings.extend(unmapped);
    }

    /// Removes the frames of `pages` for which `wanted` holds; the mappings stay.
    pub(super) fn discard(&mut self, pages: Range<u64>, wanted: impl Fn(Entry) -> bool) {
        self.state.peak_pages = self.state.peak_pages.max(self.state.pages.len());
        if let Some(span) = self.state.pages.take(pages, &mut self.removed, |_, entry| wanted(entry)) {
            self.manager.address_space.unmap(virtual_range(&span));
        }
    }

    /// Removes, in one step from page `start` of the address space on, the pages that show `indexes` of a cache. Returns where the
    /// next step begins, if there is one.
    fn discard_cached(
        &mut self,
        cache: u64,
        indexes: &Range<u64>,
        including_private: bool,
        start: u64,
    ) -> Option<u64> {
        let step = self.state.mappings.step_of(&(start..END_PAGE));
        let ranges: Vec<Range<u64>> = self
            .state
            .mappings
            .overlapping(step.clone())
            .filter_map(|mapping| {
                let (behind, first) = mapping.cached(mapping.pages.start)?;
                let shared = intersect(&(first..first.saturating_add(mapping.len())), indexes);
                (behind.id() == cache).then(|| {
                    let from = mapping.pages.start + (shared.start - first);
                    intersect(&(from..from + (shared.end - shared.start)), &step)
                })
            })
            .collect();
        let mut left = STEP_PAGES;
        for pages in ranges {
            let beyond = self.state.pages.range(pages.clone()).nth(left).map(|(page, _)| page);
            let before = self.state.pages.len();
            self.discard(pages.start..beyond.unwrap_or(pages.end), |entry| {
                including_private || !entry.has(EntryFlags::PRIVATE)
            });
            if beyond.is_some() {
                return beyond;
            }
            left = left.saturating_sub((before - self.state.pages.len()) as usize);
        }
        (step.end < END_PAGE).then_some(step.end)
    }
}

impl Mapper for MemoryManager {
    fn unmap_cached(&self, cache: u64, pages: Range<u64>, including_private: bool, pace: &dyn Pace) {
        let mut next = Some(0);
        while let Some(start) = next {
            next = self.edit().discard_cached(cache, &pages, including_private, start);
            if next.is_some() {
                // What others see of the file must be gone in the end, though the caller should be ending.
                let _ = pace.keep_going();
            }
        }
    }

    fn try_unmap_cached(&self, cache: u64) {
        if let Some(state) = self.state.try_write() {
            let mut edit = self.edit_locked(state);
            let mut next = Some(0);
            while let Some(start) = next {
                next = edit.discard_cached(cache, &(0..u64::MAX), false, start);
            }
        }
    }
}
