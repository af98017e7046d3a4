//! Memory: frames, address spaces, the page cache.
//!
//! A [`FrameAllocator`] hands out the frames of guest memory, counted by reference. A [`PageCache`] holds the
//! pages of one file (or of one shared anonymous mapping). A [`MemoryManager`] is one address space: its
//! mappings, and a table of the frames that they hold now. That table is the truth; the platform's
//! [`AddressSpace`](crate::platform::AddressSpace) is a cache of it, filled by faults and emptied before a
//! frame may be used for anything else. So a frame is freed or shared only after `unmap` or `protect` has
//! returned, and a translation is never wrong, only absent.
//!
//! # Locks, in the order in which they are taken
//!
//! 1. the state of a [`MemoryManager`] (a parent's before its new child's; never two others at once),
//! 2. the state of a [`PageCache`] (never two at once; reclaiming memory only tries),
//! 3. the list of a cache's mappers,
//! 4. the allocator's growth, then its state, then the list of its accounts.
//!
//! What starts in a cache and must reach its mappings (truncation) therefore lets go of the cache first. Host
//! files are read with none of these locks held.

mod account;
mod advice;
mod allocator;
mod atomic;
mod commit;
mod copy;
mod fault;
mod fork;
mod frame;
mod frame_words;
mod gaps;
mod huge_pages;
mod layout;
mod lock;
mod manager;
mod map;
mod mapping;
mod mappings;
mod mm_flags;
#[cfg(test)]
mod model_tests;
mod name;
mod page_cache;
mod policy;
mod remap;
mod remap_file;
mod report;
mod request;
mod rewrite;
mod seal;
#[cfg(test)]
mod step_tests;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod unmapped_area;
mod userfault;

pub use account::{FrameUse, MemoryAccount, MemoryEvents};
pub use allocator::{FrameAllocator, MemoryStatistics};
pub use atomic::FutexKey;
pub use fault::{FaultError, FaultKind, Served};
pub use frame::{Frame, PagePart};
pub use huge_pages::{HUGE_PAGE_BYTES, HugePageCounts, HugeQuota};
pub use layout::{Layout, StringsLayout};
pub use manager::{MemoryLimits, MemoryManager};
pub use map::Growth;
pub use mapping::{MappedFile, MappingFlags};
pub use mm_flags::MmFlags;
pub use name::MAX_NAME_BYTES as MAX_MAPPING_NAME_BYTES;
pub use page_cache::{HostExtent, PageBudget, PageCache, PageSource, fill_by_reads};
pub use policy::{MemoryPolicy, NodeMask, RequestedMode};
pub use remap::RemapFlags;
pub use report::{CodePlace, MappingInfo, MemorySizes, PageState};
pub use request::{Backing, MapFlags, MapRequest, Protection};
pub use userfault::{FaultHandler, UserFault, UserfaultModes};
