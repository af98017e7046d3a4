//! One mapping: a range of pages with one protection and one thing behind it.

use std::ops::Range;
use std::sync::Arc;

use super::Frame;
use super::huge_pages::{HUGE_PAGES, HugeReservation};
use super::page_cache::{Attachment, PageCache};
use super::policy::MemoryPolicy;
use super::userfault::Registration;
use crate::platform::{Access, PAGE_SHIFT, VirtualAddress, VirtualRange};
use crate::process_identity::ProcessIdentity;

bitflags::bitflags! {
    /// What a mapping is beside its protection.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct MappingFlags: u32 {
        /// Stores reach the file, or the other processes that map it (MAP_SHARED).
        const SHARED = 1 << 0;
        /// A stack: grows downward at a touch just below it (MAP_GROWSDOWN).
        const GROWSDOWN = 1 << 1;
        /// Not held against the memory limit up front (MAP_NORESERVE).
        const NORESERVE = 1 << 2;
        /// Kept in memory (`man 2 mlock`).
        const LOCKED = 1 << 3;
        /// Locked, but pages appear only when touched (MLOCK_ONFAULT).
        const LOCKONFAULT = 1 << 4;
        /// A child does not get it (MADV_DONTFORK).
        const DONTCOPY = 1 << 5;
        /// A child finds zeroes in it (MADV_WIPEONFORK).
        const WIPEONFORK = 1 << 6;
        /// Left out of core dumps (MADV_DONTDUMP).
        const DONTDUMP = 1 << 7;
        /// Read in sequence (MADV_SEQUENTIAL).
        const SEQ_READ = 1 << 8;
        /// Read in no order (MADV_RANDOM).
        const RAND_READ = 1 << 9;
        /// Huge pages wanted (MADV_HUGEPAGE).
        const HUGEPAGE = 1 << 10;
        /// Huge pages not wanted (MADV_NOHUGEPAGE).
        const NOHUGEPAGE = 1 << 11;
        /// May be merged with equal pages (MADV_MERGEABLE).
        const MERGEABLE = 1 << 12;
        /// Stays as it is (`man 2 mseal`).
        const SEALED = 1 << 13;
        /// May be thrown away when memory is short (MAP_DROPPABLE).
        const DROPPABLE = 1 << 14;
        /// May not be touched, whatever its protection (MADV_GUARD_INSTALL).
        const GUARD = 1 << 15;
        /// Nobody but the program itself reads it (`man 2 memfd_secret`).
        const SECRET = 1 << 16;
        /// What it held is lost: touches fail as those of broken memory (UFFDIO_POISON).
        const POISONED = 1 << 17;
        /// Of huge pages (MAP_HUGETLB, hugetlbfs).
        const HUGETLB = 1 << 18;
        /// To Linux these are of pages, not of mappings.
        const OF_PAGES = Self::GUARD.bits() | Self::POISONED.bits();
    }
}

/// The file behind a mapping, as far as memory cares; it stays open while it is mapped.
pub trait MappedFile: Send + Sync {
    /// Its path, as `/proc/PID/maps` shows it.
    fn path(&self) -> Vec<u8>;

    /// Major and minor number of its device.
    fn device(&self) -> (u32, u32);

    /// Its inode number.
    fn inode(&self) -> u64;

    /// Whether it is a System V shared memory segment: what shmdt(2) looks for.
    fn is_segment(&self) -> bool {
        false
    }

    /// The copy that `process` has just made of its address space maps the segment, too. Called with no lock of the
    /// memory room held.
    fn inherited(&self, _process: &ProcessIdentity) {}

    /// A mapping of the segment by `process` is gone. Called with no lock of the memory room held.
    fn unmapped(&self, _process: &ProcessIdentity) {}
}

/// What is behind a mapping.
#[derive(Clone)]
pub(super) enum Contents {
    /// Zeroes.
    Anonymous,
    /// A file, or memory shared with children.
    Cache {
        /// The pages.
        attachment: Attachment,
        /// Number in the cache of the mapping's first page.
        first: u64,
        /// `None` for shared anonymous memory.
        file: Option<Arc<dyn MappedFile>>,
    },
    /// Given frames: the vDSO.
    Frames {
        /// All of them.
        frames: Arc<[Frame]>,
        /// Which of them is the mapping's first page.
        first: u64,
        /// As `/proc/PID/maps` shows it.
        name: &'static str,
    },
}

/// A range of pages with one protection and one thing behind it.
#[derive(Clone)]
pub(super) struct Mapping {
    pub(super) pages: Range<u64>,
    /// What user code may do.
    pub(super) protection: Access,
    /// What mprotect may ever allow.
    pub(super) max_protection: Access,
    /// All else.
    pub(super) flags: MappingFlags,
    /// What is behind it.
    pub(super) contents: Contents,
    /// Where its memory is to come from.
    pub(super) policy: MemoryPolicy,
    /// What the program calls it (PR_SET_VMA_ANON_NAME).
    pub(super) name: Option<Arc<[u8]>>,
    /// Who hears of touches of what is not there (`man 2 userfaultfd`).
    pub(super) userfaults: Option<Registration>,
    /// What it has of the pool of huge pages, if it is private and of these.
    pub(super) reservation: Option<Arc<HugeReservation>>,
}

impl Mapping {
    /// Length in pages.
    pub(super) fn len(&self) -> u64 {
        self.pages.end - self.pages.start
    }

    fn has_reservation_of(&self, other: &Self) -> bool {
        match (&self.reservation, &other.reservation) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }

    /// The addresses.
    pub(super) fn range(&self) -> VirtualRange {
        virtual_range(&self.pages)
    }

    /// The file behind it, if it has one.
    pub(super) fn file(&self) -> Option<&Arc<dyn MappedFile>> {
        match &self.contents {
            Contents::Cache { file, .. } => file.as_ref(),
            _ => None,
        }
    }

    /// Whether its pages are huge ones.
    pub(super) fn is_huge(&self) -> bool {
        self.flags.contains(MappingFlags::HUGETLB)
    }

    /// Whether it cannot be cut at `page`, which is inside: there are whole huge pages.
    pub(super) fn is_indivisible_at(&self, page: u64) -> bool {
        self.is_huge() && !page.is_multiple_of(HUGE_PAGES)
    }

    /// It is mapped no more, and needs nothing of what was reserved for it.
    pub(super) fn release_reservation(&self) {
        let (Some(reservation), Some((_, first))) = (&self.reservation, self.cached(self.pages.start)) else {
            return;
        };
        reservation.release(first / HUGE_PAGES..(first + self.len()).div_ceil(HUGE_PAGES));
    }

    /// Whether no touch of it is ever served.
    pub(super) fn is_guard(&self) -> bool {
        self.flags.contains(MappingFlags::GUARD)
    }

    /// Whether all of it is as broken memory.
    pub(super) fn is_poisoned(&self) -> bool {
        self.flags.contains(MappingFlags::POISONED)
    }

    /// Whether stores are seen by others who map the same.
    pub(super) fn is_shared(&self) -> bool {
        self.flags.contains(MappingFlags::SHARED)
    }

    /// Whether pages of it become the process's own when written.
    pub(super) fn is_private_writable(&self) -> bool {
        !self.is_shared() && self.protection.contains(Access::WRITE)
    }

    /// Whether its pages are promised to the process alone.
    pub(super) fn is_promised(&self) -> bool {
        self.is_private_writable() && !self.flags.contains(MappingFlags::NORESERVE)
    }

    /// Whether the page at the same place in another process may be written to through this mapping.
    pub(super) fn may_share_writes(&self) -> bool {
        self.is_shared() && self.max_protection.contains(Access::WRITE)
    }

    /// Whether it is noted which pages are written through it, since their source takes changes back and no others.
    pub(super) fn notes_writes(&self) -> bool {
        match &self.contents {
            Contents::Cache { attachment, .. } => self.is_shared() && attachment.cache().takes_changes(),
            _ => false,
        }
    }

    /// The cache behind it, and the number there of `page`.
    pub(super) fn cached(&self, page: u64) -> Option<(&Arc<PageCache>, u64)> {
        match &self.contents {
            Contents::Cache { attachment, first, .. } => {
                Some((attachment.cache(), first + (page - self.pages.start)))
            }
            _ => None,
        }
    }

    /// Whether its pages, but for those that are private, are text of a file that user code does not change here.
    pub(super) fn is_text(&self) -> bool {
        let is_of_cache = matches!(self.contents, Contents::Cache { .. });
        is_of_cache && !self.is_shared() && self.protection == Access::READ | Access::EXECUTE
    }

    /// What user code may do with a page of the mapping, as the hardware understands it: on x86 a page that
    /// may be written or executed may be read.
    pub(super) fn access(&self, is_exclusive: bool) -> Access {
        if self.protection.is_empty() {
            return Access::empty();
        }
        let mut access = self.protection | Access::READ;
        if !is_exclusive && (!self.is_shared() || self.notes_writes()) {
            access.remove(Access::WRITE);
        }
        access
    }

    /// Cuts off what lies from `page` on, which is inside.
    pub(super) fn split_off(&mut self, page: u64) -> Self {
        let mut tail = self.clone();
        tail.move_start(page);
        self.pages.end = page;
        tail
    }

    /// Makes the mapping begin at `page`, what is behind it staying where it is.
    pub(super) fn move_start(&mut self, page: u64) {
        let old_start = std::mem::replace(&mut self.pages.start, page);
        if let Contents::Cache { first, .. } | Contents::Frames { first, .. } = &mut self.contents {
            *first = first.wrapping_add(page.wrapping_sub(old_start));
        }
    }

    /// Whether `next` begins where this ends and differs in nothing else, so that they can be one.
    pub(super) fn continues_in(&self, next: &Self) -> bool {
        self.pages.end == next.pages.start
            && self.protection == next.protection
            && self.max_protection == next.max_protection
            && self.flags == next.flags
            && self.policy == next.policy
            && self.name == next.name
            && self.userfaults == next.userfaults
            && self.has_reservation_of(next)
            && match (&self.contents, &next.contents) {
                (Contents::Anonymous, Contents::Anonymous) => true,
                (
                    Contents::Cache { attachment, first, file },
                    Contents::Cache { attachment: next_attachment, first: next_first, file: next_file },
                ) => {
                    Arc::ptr_eq(attachment.cache(), next_attachment.cache())
                        && first + self.len() == *next_first
                        && match (file, next_file) {
                            (Some(file), Some(next_file)) => Arc::ptr_eq(file, next_file),
                            (None, None) => true,
                            _ => false,
                        }
                }
                (
                    Contents::Frames { frames, first, .. },
                    Contents::Frames { frames: next_frames, first: next_first, .. },
                ) => Arc::ptr_eq(frames, next_frames) && first + self.len() == *next_first,
                _ => false,
            }
    }
}

/// The addresses of `pages`.
pub(super) fn virtual_range(pages: &Range<u64>) -> VirtualRange {
    VirtualRange {
        start: VirtualAddress(pages.start << PAGE_SHIFT),
        end: VirtualAddress(pages.end << PAGE_SHIFT),
    }
}

/// What two ranges of pages share; empty if nothing.
pub(super) fn intersect(one: &Range<u64>, other: &Range<u64>) -> Range<u64> {
    let start = one.start.max(other.start);
    start..one.end.min(other.end).max(start)
}
