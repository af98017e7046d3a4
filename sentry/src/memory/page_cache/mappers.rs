//! Who maps a file.
//!
//! A cache counts the mappings of it by address space, so that it reaches them when the file shrinks, and
//! those that may write, since a file that is sealed against writing has none.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Weak};

use super::PageCache;
use crate::Errno;
use crate::pace::Pace;

/// A file that so many address spaces have mapped is worth memory of its own.
const MANY_MAPPERS: usize = 8;

/// An address space that maps pages of caches.
pub(in crate::memory) trait Mapper: Send + Sync {
    /// Unmaps `pages` of the cache with id `cache`; the private copies of them too if `including_private`. It does so in steps, at
    /// `pace`, but to the end, whatever that says.
    fn unmap_cached(&self, cache: u64, pages: Range<u64>, including_private: bool, pace: &dyn Pace);

    /// Unmaps all pages of the cache, but no private copies, unless a lock is taken.
    fn try_unmap_cached(&self, cache: u64);
}

/// The mappers of one cache, by id.
#[derive(Default)]
pub(super) struct Mappers {
    by_id: BTreeMap<u64, Entry>,
    /// Mappings that may write to the file.
    writable: usize,
    forbids_writable: bool,
    /// How many address spaces have begun to map the file.
    ever: usize,
}

struct Entry {
    mapper: Weak<dyn Mapper>,
    mappings: usize,
}

impl Mappers {
    /// Whether nobody maps the file.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Those that are still there.
    pub(super) fn live(&self) -> Vec<Arc<dyn Mapper>> {
        self.by_id.values().filter_map(|entry| entry.mapper.upgrade()).collect()
    }

    fn add(&mut self, id: u64, mapper: Weak<dyn Mapper>, is_writable: bool) {
        let entry = self.by_id.entry(id).or_insert(Entry { mapper, mappings: 0 });
        self.ever += usize::from(entry.mappings == 0);
        entry.mappings += 1;
        self.writable += usize::from(is_writable);
    }

    /// Returns whether this was the last one that may write.
    fn remove(&mut self, id: u64, is_writable: bool) -> bool {
        self.writable -= usize::from(is_writable);
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.mappings -= 1;
            if entry.mappings == 0 {
                self.by_id.remove(&id);
            }
        }
        is_writable && self.writable == 0
    }
}

impl PageCache {
    /// Forbids mappings that may write to the file from now on, those that exist being left if `leaves_existing`
    /// (F_SEAL_FUTURE_WRITE, F_SEAL_WRITE).
    ///
    /// # Errors
    /// EBUSY if there are some.
    pub fn forbid_writable_mappings(&self, leaves_existing: bool) -> Result<(), Errno> {
        let mut mappers = self.mappers.lock();
        if mappers.writable > 0 && !leaves_existing {
            return Err(Errno::EBUSY);
        }
        mappers.forbids_writable = true;
        Ok(())
    }

    /// Whether there are mappings that may write to the file.
    pub(super) fn has_writable_mappings(&self) -> bool {
        self.mappers.lock().writable > 0
    }

    /// How many mappings of the file there are, in all address spaces.
    pub fn mapping_count(&self) -> usize {
        self.mappers.lock().by_id.values().map(|entry| entry.mappings).sum()
    }

    /// Counts one more mapping by `mapper`, which writes to the file if `is_writable`: then it asks afterwards that copies be
    /// [taken back](PageCache::take_back_copies).
    ///
    /// # Errors
    /// EPERM: such mappings are forbidden.
    pub(in crate::memory) fn attach(
        self: &Arc<Self>,
        mapper_id: u64,
        mapper: Weak<dyn Mapper>,
        is_writable: bool,
    ) -> Result<Attachment, Errno> {
        if is_writable || self.mappers.lock().ever >= MANY_MAPPERS {
            self.keep_own_pages();
        }
        let mut mappers = self.mappers.lock();
        if is_writable && mappers.forbids_writable {
            return Err(Errno::EPERM);
        }
        mappers.add(mapper_id, mapper, is_writable);
        Ok(Attachment { cache: self.clone(), mapper_id, is_writable })
    }
}

/// One mapping's place among the mappers of its cache; dropping it leaves.
pub(in crate::memory) struct Attachment {
    cache: Arc<PageCache>,
    mapper_id: u64,
    is_writable: bool,
}

impl Attachment {
    pub(in crate::memory) fn cache(&self) -> &Arc<PageCache> {
        &self.cache
    }

    /// The place of a mapping like this one in another address space.
    pub(in crate::memory) fn inherited(&self, mapper_id: u64, mapper: Weak<dyn Mapper>) -> Self {
        self.cache.mappers.lock().add(mapper_id, mapper, self.is_writable);
        Self { cache: self.cache.clone(), mapper_id, is_writable: self.is_writable }
    }
}

impl Clone for Attachment {
    fn clone(&self) -> Self {
        let mut mappers = self.cache.mappers.lock();
        // Its own entry is there, with the mapper.
        if let Some(entry) = mappers.by_id.get_mut(&self.mapper_id) {
            entry.mappings += 1;
            mappers.writable += usize::from(self.is_writable);
        }
        Self { cache: self.cache.clone(), mapper_id: self.mapper_id, is_writable: self.is_writable }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let was_last_writable = self.cache.mappers.lock().remove(self.mapper_id, self.is_writable);
        if was_last_writable {
            self.cache.write_back_unmapped();
        }
    }
}
