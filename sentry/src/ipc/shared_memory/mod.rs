//! System V shared memory (`man 2 shmget`, `man 2 shmop`, `man 2 shmctl`).
//!
//! A segment is the page cache of a file without a name; attaching it maps that file. How often it is attached is how many
//! mappings its cache has, so fork, exec and exit count by themselves. As on Linux, mappings are counted, not calls of
//! shmat(2): a segment in two pieces counts twice.

mod segment;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::general::{MAP_HUGE_MASK, MAP_HUGE_SHIFT};
use parking_lot::Mutex;

use self::segment::{DESTROYED, LOCKED, Segment};
use super::budget::{Charge, OBJECT_BYTES};
use super::registry::{Found, Object, Registry};
use super::{
    IPC_PRIVATE, IpcAccess, IpcCaller, IpcLimit, IpcLimits, Lookup, PermissionChange, Permissions,
    now_seconds,
};
use crate::Errno;
use crate::cred::Capabilities;
use crate::memory::{
    Backing, FrameAllocator, HUGE_PAGE_BYTES, MapFlags, MapRequest, MemoryManager, PageCache, Protection,
};
use crate::pace::Unhurried;
use crate::platform::{PAGE_SHIFT, PAGE_SIZE, VirtualAddress};

pub use self::segment::SegmentStatus;

/// Of shmget(2): huge pages.
const HUGE_PAGES: u32 = 0o4000;
/// Of shmget(2): not held against the memory limit up front.
const NO_RESERVE: u32 = 0o10000;
/// The largest file.
const MAX_SIZE: u64 = i64::MAX as u64;

bitflags::bitflags! {
    /// The flags of shmat(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct AttachFlags: u32 {
        /// Read only.
        const RDONLY = 0o10000;
        /// Round the address down.
        const RND = 0o20000;
        /// Replace what is mapped there.
        const REMAP = 0o40000;
        /// Contents may be executed.
        const EXEC = 0o100000;
    }
}

/// The segments of a namespace.
#[derive(Default)]
pub struct SharedMemory {
    table: Mutex<Table>,
    /// Segments go with their last user (`shm_rmid_forced`).
    forces_removal: AtomicBool,
}

#[derive(Default)]
struct Table {
    segments: Registry<Segment>,
    total_pages: u64,
    /// What living tasks have made, by their serial numbers.
    made_by: HashMap<u64, BTreeSet<i32>>,
}

/// What all segments take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedMemoryUsage {
    /// How many there are.
    pub segments: usize,
    /// Pages of all segments, touched or not.
    pub total_pages: u64,
    /// Those in memory.
    pub resident_pages: u64,
    /// The highest index in use, which SHM_INFO returns.
    pub highest_index: usize,
}

impl SharedMemory {
    /// The identifier that the next segment is to have, or one near it; `None`: as the kernel chooses.
    pub fn next_id(&self) -> Option<i32> {
        self.table.lock().segments.next_id()
    }

    /// Sets that, for one segment (`/proc/sys/kernel/*_next_id`).
    pub fn set_next_id(&self, id: Option<i32>) {
        self.table.lock().segments.set_next_id(id);
    }

    /// shmget(2): the identifier of the segment of `key`, made if `flags` say so. `task` is the caller's serial number.
    ///
    /// # Errors
    /// EINVAL, ENOENT, EEXIST, EACCES, ENOSPC, ENOMEM, EPERM, as the manual page has them.
    pub fn get(
        self: &Arc<Self>,
        (key, size_bytes, flags): (i32, u64, u32),
        limits: &IpcLimits,
        frames: &Arc<FrameAllocator>,
        caller: &IpcCaller<'_>,
        task: u64,
    ) -> Result<i32, Errno> {
        let mut table = self.table.lock();
        let is_large_enough =
            |segment: &Segment| if size_bytes > segment.size_bytes { Err(Errno::EINVAL) } else { Ok(()) };
        if let Found::Existing(segment) = table.segments.open(key, flags, caller, is_large_enough)? {
            return Ok(segment.id);
        }
        let pages = check_size(size_bytes, table.total_pages, limits)?;
        check_backing(pages, flags, frames)?;
        let charge = Charge::new(caller.budget, OBJECT_BYTES)?;
        let place = table.segments.place(limits.get(IpcLimit::Segments).try_into().unwrap_or(u32::MAX))?;
        let cache = cache_of(size_bytes, flags, frames)?;
        let segment = Arc::new(Segment::new(
            place.id(),
            size_bytes,
            cache,
            Permissions::new(key, flags, place.sequence, caller),
            (caller.process.clone(), task),
            (Arc::downgrade(self), charge),
        ));
        table.segments.insert(place, segment);
        table.total_pages += pages;
        table.made_by.entry(task).or_default().insert(place.id());
        Ok(place.id())
    }

    /// shmat(2): maps a segment into `memory`, and returns where.
    ///
    /// # Errors
    /// EINVAL, EACCES, EIDRM, ENOMEM, EPERM, as the manual page has them.
    pub fn attach(
        &self,
        id: i32,
        address: VirtualAddress,
        flags: AttachFlags,
        memory: &MemoryManager,
        caller: &IpcCaller<'_>,
    ) -> Result<VirtualAddress, Errno> {
        let (address, map_flags) = placement(address, flags)?;
        let mut access = IpcAccess::READ;
        let mut protection = Protection::READ;
        let mut max_protection = Protection::all();
        if flags.contains(AttachFlags::RDONLY) {
            max_protection.remove(Protection::WRITE);
        } else {
            access |= IpcAccess::WRITE;
            protection |= Protection::WRITE;
        }
        if flags.contains(AttachFlags::EXEC) {
            access |= IpcAccess::EXECUTE;
            protection |= Protection::EXECUTE;
        }
        let segment = {
            let table = self.table.lock();
            let segment = table.segments.get(id)?;
            let mut state = segment.state();
            state.permissions.check(access, caller)?;
            state.attaching += 1;
            drop(state);
            segment
        };
        let backing = Backing::File {
            cache: segment.cache.clone(),
            offset: 0,
            file: Some(segment.clone()),
            max_protection,
        };
        let len_bytes = segment.size_bytes;
        let is_beyond = address.0.checked_add(len_bytes).is_none() && !flags.contains(AttachFlags::REMAP);
        let request = MapRequest { address, len_bytes, protection, flags: map_flags, backing };
        let mapped = if is_beyond { Err(Errno::EINVAL) } else { memory.mmap(request, &Unhurried) };
        if mapped.is_ok() {
            segment.note_attached(caller.process);
        }
        segment.state().attaching -= 1;
        self.settle(&segment);
        // The range is taken (`man 2 shmat`, EINVAL).
        mapped.map_err(|error| if error == Errno::EEXIST { Errno::EINVAL } else { error })
    }

    /// shmctl(2) with IPC_STAT, SHM_STAT or SHM_STAT_ANY.
    ///
    /// # Errors
    /// EINVAL, EACCES.
    pub fn status(&self, id: i32, lookup: Lookup, caller: &IpcCaller<'_>) -> Result<SegmentStatus, Errno> {
        let segment = {
            let table = self.table.lock();
            if lookup == Lookup::Id { table.segments.get(id)? } else { table.segments.at_index(id)? }
        };
        if lookup != Lookup::AnyIndex {
            segment.permissions().check(IpcAccess::READ, caller)?;
        }
        Ok(segment.status())
    }

    /// Every segment, by index: /proc/sysvipc/shm.
    pub fn statuses(&self) -> Vec<SegmentStatus> {
        let segments: Vec<_> = self.table.lock().segments.iter().cloned().collect();
        segments.iter().map(|segment| segment.status()).collect()
    }

    /// What all segments take.
    pub fn usage(&self) -> SharedMemoryUsage {
        let table = self.table.lock();
        SharedMemoryUsage {
            segments: table.segments.len(),
            total_pages: table.total_pages,
            resident_pages: table.segments.iter().map(|segment| segment.cache.pages()).sum(),
            highest_index: table.segments.highest_index(),
        }
    }

    /// shmctl(2) with IPC_SET.
    ///
    /// # Errors
    /// EINVAL, EPERM.
    pub fn change(&self, id: i32, change: PermissionChange, caller: &IpcCaller<'_>) -> Result<(), Errno> {
        let segment = self.table.lock().segments.get(id)?;
        let mut state = segment.state();
        state.permissions.check_owner(caller)?;
        state.permissions.change(change)?;
        state.changed_seconds = now_seconds();
        Ok(())
    }

    /// shmctl(2) with IPC_RMID: the segment goes with its last attachment.
    ///
    /// # Errors
    /// EINVAL, EPERM.
    pub fn remove(&self, id: i32, caller: &IpcCaller<'_>) -> Result<(), Errno> {
        let segment = {
            let mut table = self.table.lock();
            let segment = table.segments.get(id)?;
            let mut state = segment.state();
            state.permissions.check_owner(caller)?;
            state.permissions.mode |= DESTROYED;
            let key = std::mem::replace(&mut state.permissions.key, IPC_PRIVATE);
            drop(state);
            table.segments.forget_key(key, id);
            segment
        };
        self.settle(&segment);
        Ok(())
    }

    /// shmctl(2) with SHM_LOCK and SHM_UNLOCK. `limit_bytes` is the caller's RLIMIT_MEMLOCK. Guest memory is never swapped
    /// out: the lock is only remembered.
    ///
    /// # Errors
    /// EINVAL, EPERM, ENOMEM.
    pub fn set_locked(
        &self,
        id: i32,
        is_locked: bool,
        limit_bytes: u64,
        caller: &IpcCaller<'_>,
    ) -> Result<(), Errno> {
        let segment = self.table.lock().segments.get(id)?;
        let mut state = segment.state();
        if !caller.has(Capabilities::IPC_LOCK) {
            let is_owner = state.permissions.is_owned_by(caller.credentials.effective_uid);
            if !is_owner || is_locked && limit_bytes == 0 {
                return Err(Errno::EPERM);
            }
            if is_locked && segment.size_bytes > limit_bytes {
                return Err(Errno::ENOMEM);
            }
        }
        let mode = &mut state.permissions.mode;
        *mode = if is_locked { *mode | LOCKED } else { *mode & !LOCKED };
        Ok(())
    }

    /// `kernel.shm_rmid_forced`.
    pub fn forces_removal(&self) -> bool {
        self.forces_removal.load(Ordering::Relaxed)
    }

    /// Sets `kernel.shm_rmid_forced`: segments that nobody attaches and whose makers have ended go at once.
    pub fn set_forces_removal(&self, forces_removal: bool) {
        self.forces_removal.store(forces_removal, Ordering::Relaxed);
        if forces_removal {
            let segments: Vec<_> = self.table.lock().segments.iter().cloned().collect();
            for segment in segments {
                if segment.state().creating_task.is_none() {
                    self.settle(&segment);
                }
            }
        }
    }

    /// A task has ended, or left the namespace: what it made has no maker any more.
    pub fn creator_left(&self, task: u64) {
        let segments: Vec<_> = {
            let mut table = self.table.lock();
            let Some(made) = table.made_by.remove(&task) else { return };
            made.into_iter().filter_map(|id| table.segments.get(id).ok()).collect()
        };
        for segment in segments {
            segment.state().creating_task = None;
            self.settle(&segment);
        }
    }

    /// Removes `segment` if nothing maps it and it is to go.
    fn settle(&self, segment: &Segment) {
        let mut table = self.table.lock();
        let state = segment.state();
        let must_go = state.permissions.mode & DESTROYED != 0 || self.forces_removal();
        if !must_go || segment.attachments(&state) > 0 {
            return;
        }
        let maker = state.creating_task;
        drop(state);
        let Some(removed) = table.segments.remove(segment.id) else { return };
        table.total_pages = table.total_pages.saturating_sub(removed.pages());
        if let Some(maker) = maker
            && let Some(made) = table.made_by.get_mut(&maker)
        {
            made.remove(&segment.id);
            if made.is_empty() {
                table.made_by.remove(&maker);
            }
        }
        drop(table);
        drop(removed);
    }
}

/// Where shmat(2) is to map a segment, and how.
fn placement(address: VirtualAddress, flags: AttachFlags) -> Result<(VirtualAddress, MapFlags), Errno> {
    let is_remap = flags.contains(AttachFlags::REMAP);
    if address.is_null() {
        return if is_remap { Err(Errno::EINVAL) } else { Ok((address, MapFlags::SHARED)) };
    }
    let mut address = address;
    if !address.is_page_aligned() {
        if !flags.contains(AttachFlags::RND) {
            return Err(Errno::EINVAL);
        }
        address = VirtualAddress(address.0 & !(PAGE_SIZE - 1));
        if address.is_null() && is_remap {
            return Err(Errno::EINVAL);
        }
    }
    let fixed = if is_remap { MapFlags::FIXED } else { MapFlags::FIXED_NOREPLACE };
    Ok((address, MapFlags::SHARED | fixed))
}

/// Checks a new segment's size, and returns its pages.
fn check_size(size_bytes: u64, total_pages: u64, limits: &IpcLimits) -> Result<u64, Errno> {
    if size_bytes == 0 || size_bytes > limits.get(IpcLimit::SegmentBytes) {
        return Err(Errno::EINVAL);
    }
    let pages = size_bytes.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::ENOSPC)? >> PAGE_SHIFT;
    let total = total_pages.checked_add(pages).ok_or(Errno::ENOSPC)?;
    if total > limits.get(IpcLimit::SegmentPages) { Err(Errno::ENOSPC) } else { Ok(pages) }
}

/// The pages of a new segment, with those promised that are huge.
fn cache_of(size_bytes: u64, flags: u32, frames: &Arc<FrameAllocator>) -> Result<Arc<PageCache>, Errno> {
    if flags & HUGE_PAGES == 0 {
        return Ok(PageCache::new(frames, None, size_bytes));
    }
    let size_bytes = size_bytes.checked_next_multiple_of(HUGE_PAGE_BYTES).ok_or(Errno::ENOMEM)?;
    let cache = PageCache::new_huge(frames, size_bytes, None);
    if flags & NO_RESERVE == 0 {
        cache.reserve_huge(0..size_bytes >> PAGE_SHIFT)?;
    }
    Ok(cache)
}

/// Refuses a segment that can never be in memory, as Linux's heuristic overcommit does.
fn check_backing(pages: u64, flags: u32, frames: &FrameAllocator) -> Result<(), Errno> {
    if flags & HUGE_PAGES != 0 {
        // Of 2 MiB, or the usual size, which that is; of 1 GiB none are ever set aside.
        return match flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK {
            0 | 21 => Ok(()),
            30 => Err(Errno::ENOMEM),
            _ => Err(Errno::EINVAL),
        };
    }
    if pages > MAX_SIZE >> PAGE_SHIFT {
        return Err(Errno::EINVAL);
    }
    let is_reserved = flags & NO_RESERVE == 0;
    if is_reserved && pages > frames.statistics().total_bytes >> PAGE_SHIFT {
        Err(Errno::ENOMEM)
    } else {
        Ok(())
    }
}
