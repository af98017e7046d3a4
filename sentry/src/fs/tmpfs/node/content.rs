//! What a regular file holds: pages in a cache, or the file below until it is changed, and the seals on them.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use super::{Body, Node};
use crate::Errno;
use crate::fs::lower::LowerPages;
use crate::memory::{HUGE_PAGE_BYTES, MemoryAccount, PageCache};

/// The contents of a regular file.
pub(super) struct Data {
    /// Made when it is first mapped or written.
    pub(super) cache: OnceLock<Arc<PageCache>>,
    /// Length of the file below.
    pub(super) lower_size: u64,
    /// Whether the pages may differ from the file below: reads then go to the cache.
    pub(super) is_own: AtomicBool,
    /// Counts changes, as far as they come through calls.
    version: AtomicU64,
    /// Somebody may have changed the pages through a mapping.
    is_mapped: AtomicBool,
    /// Held while data is appended.
    append: Mutex<()>,
    /// `F_SEAL_*`: what may not be done any more.
    seals: AtomicU32,
}

/// Who may execute a file, of its mode.
const EXECUTE: u32 = 0o111;

impl Data {
    pub(super) fn new(lower_size: u64, is_own: bool) -> Self {
        Self {
            cache: OnceLock::new(),
            lower_size,
            is_own: AtomicBool::new(is_own),
            version: AtomicU64::new(1),
            is_mapped: AtomicBool::new(false),
            append: Mutex::new(()),
            seals: AtomicU32::new(uapi::F_SEAL_SEAL),
        }
    }

    /// What differs from the layer below, with a number that tells it from earlier contents.
    pub(super) fn changed(&self) -> (Option<Arc<PageCache>>, u64) {
        if self.is_mapped.load(Ordering::Acquire) {
            self.version.fetch_add(1, Ordering::AcqRel);
        }
        let version = self.version.load(Ordering::Acquire);
        let is_own = self.is_own.load(Ordering::Acquire);
        (self.cache.get().filter(|_| is_own).cloned(), version)
    }

    pub(super) fn is_sealed(&self, seals: u32) -> bool {
        self.seals.load(Ordering::Acquire) & seals != 0
    }

    /// Fails if a seal forbids to write up to `end`.
    pub(super) fn check_write_seals(&self, end: u64) -> Result<(), Errno> {
        let is_forbidden = self.is_sealed(uapi::F_SEAL_WRITE | uapi::F_SEAL_FUTURE_WRITE)
            || self.is_sealed(uapi::F_SEAL_GROW) && end > self.size();
        if is_forbidden { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Fails if a seal forbids to change the length.
    pub(super) fn check_resize_seals(&self, size: u64) -> Result<(), Errno> {
        let old = self.size();
        let is_forbidden = size < old && self.is_sealed(uapi::F_SEAL_SHRINK)
            || size > old && self.is_sealed(uapi::F_SEAL_GROW);
        if is_forbidden { Err(Errno::EPERM) } else { Ok(()) }
    }

    pub(super) fn size(&self) -> u64 {
        self.cache.get().map_or(self.lower_size, |cache| cache.size())
    }
}

impl Node {
    pub(super) fn data(&self) -> Result<&Data, Errno> {
        match &self.body {
            Body::Regular(data) => Ok(data),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The pages of a regular file. With `for_change` they may come to differ from the file below.
    pub(in crate::fs::tmpfs) fn page_cache(&self, for_change: bool) -> Result<Arc<PageCache>, Errno> {
        let data = self.data()?;
        if for_change {
            self.begin_change()?;
        }
        let make = || {
            if let Some(huge) = &self.volume.huge {
                return PageCache::new_huge(&self.volume.frames, data.lower_size, huge.quota.clone());
            }
            let pages = self.lower.as_ref().map(|lower| Box::new(LowerPages(lower.file.clone())) as _);
            let budget = self.volume.usage.clone();
            PageCache::with_budget(&self.volume.frames, pages, data.lower_size, Some(budget))
        };
        let cache = data.cache.get_or_init(make).clone();
        if for_change {
            data.is_own.store(true, Ordering::Release);
            data.version.fetch_add(1, Ordering::AcqRel);
        }
        Ok(cache)
    }

    /// The same for mappings, by which contents change without a call.
    pub(in crate::fs::tmpfs) fn mapped_pages(&self, for_change: bool) -> Result<Arc<PageCache>, Errno> {
        if for_change {
            self.data()?.is_mapped.store(true, Ordering::Release);
        }
        self.page_cache(for_change)
    }

    /// Fails if a file of huge pages would end within one.
    pub(super) fn check_whole_pages(&self, size: u64) -> Result<(), Errno> {
        let is_whole = self.volume.huge.is_none() || size.is_multiple_of(HUGE_PAGE_BYTES);
        if is_whole { Ok(()) } else { Err(Errno::EINVAL) }
    }

    pub(in crate::fs::tmpfs) fn read_data(
        &self,
        buffer: &mut [u8],
        offset: u64,
        payer: Option<&Arc<MemoryAccount>>,
    ) -> Result<usize, Errno> {
        let data = self.data()?;
        if let (Some(lower), false) = (&self.lower, data.is_own.load(Ordering::Acquire)) {
            let left = usize::try_from(data.lower_size.saturating_sub(offset)).unwrap_or(usize::MAX);
            let len = buffer.len().min(left);
            return match buffer.get_mut(..len) {
                Some(buffer) if !buffer.is_empty() => lower.file.read_at(buffer, offset),
                _ => Ok(0),
            };
        }
        match data.cache.get() {
            Some(cache) => cache.read_at(buffer, offset, payer),
            None => Ok(0),
        }
    }

    pub(in crate::fs::tmpfs) fn perform_write(
        &self,
        buffer: &[u8],
        offset: u64,
        payer: Option<&Arc<MemoryAccount>>,
    ) -> Result<usize, Errno> {
        let data = self.data()?;
        if buffer.is_empty() {
            return Ok(0);
        }
        self.check_contents_mutable()?;
        data.check_write_seals(offset.saturating_add(buffer.len() as u64))?;
        let written = self.page_cache(true)?.write_at(buffer, offset, payer)?;
        self.stamp_modified();
        Ok(written)
    }

    pub(in crate::fs::tmpfs) fn append_data(
        &self,
        buffer: &[u8],
        payer: Option<&Arc<MemoryAccount>>,
    ) -> Result<(usize, u64), Errno> {
        let data = self.data()?;
        if buffer.is_empty() {
            return Ok((0, data.size()));
        }
        self.check_contents_mutable()?;
        let cache = self.page_cache(true)?;
        let _appending = data.append.lock();
        let offset = cache.size();
        data.check_write_seals(offset.saturating_add(buffer.len() as u64))?;
        let written = cache.write_at(buffer, offset, payer)?;
        self.stamp_modified();
        Ok((written, offset + written as u64))
    }

    /// Fails if a seal forbids fallocate(2) up to `end`.
    pub(in crate::fs::tmpfs) fn check_allocate_seals(&self, end: u64, makes_hole: bool) -> Result<(), Errno> {
        let data = self.data()?;
        if makes_hole { data.check_write_seals(0) } else { data.check_resize_seals(end.max(data.size())) }
    }

    /// Fails if a seal forbids shared writable mappings.
    pub(in crate::fs::tmpfs) fn check_mapping_seals(&self) -> Result<(), Errno> {
        self.data()?.check_write_seals(0)
    }

    /// Fails if a seal keeps who may execute the file as it is (F_SEAL_EXEC), and `permissions` say otherwise.
    pub(in crate::fs::tmpfs) fn check_executable_seal(&self, permissions: u32) -> Result<(), Errno> {
        let Body::Regular(data) = &self.body else { return Ok(()) };
        let is_sealed = data.seals.load(Ordering::Acquire) & uapi::F_SEAL_EXEC != 0;
        let changed = self.attributes.lock().permissions ^ permissions;
        if is_sealed && changed & EXECUTE != 0 { Err(Errno::EPERM) } else { Ok(()) }
    }

    pub(in crate::fs::tmpfs) fn seals(&self) -> Result<u32, Errno> {
        Ok(self.data().map_err(|_| Errno::EINVAL)?.seals.load(Ordering::Acquire))
    }

    /// The contents of what stays executable stay as they are.
    fn implied_seals(&self, seals: u32) -> u32 {
        let is_executable = self.attributes.lock().permissions & EXECUTE != 0;
        if seals & uapi::F_SEAL_EXEC == 0 || !is_executable {
            return 0;
        }
        uapi::F_SEAL_SHRINK | uapi::F_SEAL_GROW | uapi::F_SEAL_WRITE | uapi::F_SEAL_FUTURE_WRITE
    }

    pub(in crate::fs::tmpfs) fn add_seals(&self, seals: u32) -> Result<(), Errno> {
        let data = self.data().map_err(|_| Errno::EINVAL)?;
        if data.seals.load(Ordering::Acquire) & uapi::F_SEAL_SEAL != 0 {
            return Err(Errno::EPERM);
        }
        let seals = seals | self.implied_seals(seals);
        if seals & (uapi::F_SEAL_WRITE | uapi::F_SEAL_FUTURE_WRITE) != 0 {
            let leaves_existing = seals & uapi::F_SEAL_WRITE == 0;
            self.page_cache(true)?.forbid_writable_mappings(leaves_existing)?;
        }
        let add = |old: u32| (old & uapi::F_SEAL_SEAL == 0).then_some(old | seals);
        data.seals.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).map(drop).map_err(|_| Errno::EPERM)
    }

    pub(in crate::fs::tmpfs) fn set_seals(&self, seals: u32) -> Result<(), Errno> {
        self.data()?.seals.store(seals, Ordering::Release);
        Ok(())
    }

    pub(in crate::fs::tmpfs) fn size(&self) -> u64 {
        match &self.body {
            Body::Regular(data) => data.size(),
            Body::Symlink(text) => text.len() as u64,
            Body::Directory(_) => 4096,
            Body::Device(_) | Body::Endpoint => 0,
        }
    }
}
