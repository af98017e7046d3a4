//! A block device: a whole disk or a partition of one.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::SECTOR_BYTES;
use super::loop_device::LoopDisk;
use super::pages::DevicePages;
use crate::Errno;
use crate::fs::sleeper::UntilKilled;
use crate::fs::{DeviceNumber, Instance};
use crate::memory::{FrameAllocator, PageCache};
use crate::platform::PAGE_SIZE;

/// Where the bytes of a disk are.
pub(super) trait Disk: Send + Sync {
    /// How many there are.
    fn size_bytes(&self) -> u64;
    /// The smallest part that is read and written at once.
    fn logical_block_bytes(&self) -> u32;
    /// Reads at `offset`, within the disk.
    ///
    /// # Errors
    /// The storage's.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno>;
    /// Writes at `offset`, within the disk.
    ///
    /// # Errors
    /// The storage's.
    fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno>;
    /// Has what was written reach storage.
    ///
    /// # Errors
    /// The storage's.
    fn sync(&self) -> Result<(), Errno>;
    /// Has `bytes` read as zeroes, and take no storage if that can be.
    ///
    /// # Errors
    /// EOPNOTSUPP; the storage's.
    fn discard(&self, bytes: Range<u64>) -> Result<(), Errno>;
    /// Whether the storage itself forbids to write.
    fn is_read_only(&self) -> bool {
        false
    }
    /// Whether its partition table is looked at (`GENHD_FL_NO_PART`).
    fn has_partitions(&self) -> bool {
        true
    }
    /// How many disks lie below it: the file of a loop device may be on one.
    fn depth(&self) -> usize {
        0
    }
    /// Nobody has it open any more.
    fn released(&self) {}
    /// The disk as a loop device.
    fn as_loop(&self) -> Option<&LoopDisk> {
        None
    }
}

/// What has been read and written (`Documentation/admin-guide/iostats`).
#[derive(Debug, Default)]
pub struct Counters {
    reads: AtomicU64,
    read_bytes: AtomicU64,
    writes: AtomicU64,
    written_bytes: AtomicU64,
    discards: AtomicU64,
    discarded_bytes: AtomicU64,
    flushes: AtomicU64,
}

impl Counters {
    fn count(count: &AtomicU64, bytes: &AtomicU64, len_bytes: u64) {
        count.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(len_bytes, Ordering::Relaxed);
    }

    /// The fields of /proc/diskstats behind the name. Nobody measures how long it took.
    pub fn line(&self) -> String {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sectors = |counter: &AtomicU64| get(counter) / SECTOR_BYTES;
        format!(
            "{} 0 {} 0 {} 0 {} 0 0 0 0 {} 0 {} 0 {} 0",
            get(&self.reads),
            sectors(&self.read_bytes),
            get(&self.writes),
            sectors(&self.written_bytes),
            get(&self.discards),
            sectors(&self.discarded_bytes),
            get(&self.flushes),
        )
    }
}

/// A whole disk or a partition of one, in sectors of 512 bytes.
pub struct BlockDevice {
    name: String,
    number: DeviceNumber,
    disk: Arc<dyn Disk>,
    /// Of a partition: its number, and which bytes of the disk it is.
    partition: Option<(u32, Range<u64>)>,
    is_read_only: AtomicBool,
    /// Unit of the buffer cache, in bytes (BLKBSZSET); 0 until it is set.
    soft_block_bytes: AtomicU32,
    openers: Arc<AtomicUsize>,
    own_openers: AtomicUsize,
    /// Which partitions (0 for the whole disk) somebody has for himself. All devices of a disk share it.
    claims: Arc<Mutex<Vec<u32>>>,
    /// Of a whole disk.
    partitions: Mutex<Vec<Arc<BlockDevice>>>,
    counters: Counters,
    /// What is mounted from it.
    instance: Mutex<Weak<Instance>>,
    frames: Arc<FrameAllocator>,
    /// For mappings, once there are any.
    cache: Mutex<Option<Arc<PageCache>>>,
    /// How often the disk has become another one (BLKGETDISKSEQ).
    sequence: AtomicU64,
}

/// A device that somebody has for himself: whoever opened it with O_EXCL, or a mounted file system.
pub struct Claim {
    device: Arc<BlockDevice>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let index = self.device.index();
        self.device.claims.lock().retain(|&claimed| claimed != index);
    }
}

impl BlockDevice {
    pub(super) fn whole(
        name: String,
        number: DeviceNumber,
        disk: Arc<dyn Disk>,
        frames: &Arc<FrameAllocator>,
    ) -> Arc<Self> {
        Arc::new(Self::new(name, number, disk, frames))
    }

    fn new(name: String, number: DeviceNumber, disk: Arc<dyn Disk>, frames: &Arc<FrameAllocator>) -> Self {
        Self {
            name,
            number,
            disk,
            partition: None,
            is_read_only: AtomicBool::new(false),
            soft_block_bytes: AtomicU32::new(0),
            openers: Arc::default(),
            own_openers: AtomicUsize::new(0),
            claims: Arc::default(),
            partitions: Mutex::default(),
            counters: Counters::default(),
            instance: Mutex::default(),
            frames: frames.clone(),
            cache: Mutex::default(),
            sequence: AtomicU64::new(1),
        }
    }

    pub(super) fn part(
        whole: &Arc<Self>,
        number: DeviceNumber,
        index: u32,
        bytes: Range<u64>,
        frames: &Arc<FrameAllocator>,
    ) -> Arc<Self> {
        let separator = if whole.name.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
        let name = format!("{}{separator}{index}", whole.name);
        Arc::new(Self {
            partition: Some((index, bytes)),
            openers: whole.openers.clone(),
            claims: whole.claims.clone(),
            ..Self::new(name, number, whole.disk.clone(), frames)
        })
    }

    /// As in /sys/block.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Major and minor number, as st_rdev tells.
    pub fn number(&self) -> DeviceNumber {
        self.number
    }

    /// Its number among the partitions, and which bytes of the disk it is; `None` for a whole disk.
    pub fn partition(&self) -> Option<(u32, Range<u64>)> {
        self.partition.clone()
    }

    fn index(&self) -> u32 {
        self.partition.as_ref().map_or(0, |(index, _)| *index)
    }

    /// The partitions of a whole disk.
    pub(in crate::fs) fn partitions(&self) -> &Mutex<Vec<Arc<BlockDevice>>> {
        &self.partitions
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The disk as a loop device, if it is the whole of one.
    pub(in crate::fs) fn loop_disk(&self) -> Option<&LoopDisk> {
        if self.partition.is_none() { self.disk.as_loop() } else { None }
    }

    /// How many bytes there are.
    pub fn size_bytes(&self) -> u64 {
        match &self.partition {
            Some((_, bytes)) => bytes.end.min(self.disk.size_bytes()).saturating_sub(bytes.start),
            None => self.disk.size_bytes(),
        }
    }

    /// The smallest part that is read and written at once, in bytes.
    pub fn logical_block_bytes(&self) -> u32 {
        self.disk.logical_block_bytes()
    }

    /// The unit of the buffer cache, in bytes: as large as a page if the device is so many whole ones.
    pub fn soft_block_bytes(&self) -> u32 {
        match self.soft_block_bytes.load(Ordering::Relaxed) {
            0 => {
                let mut bytes = self.logical_block_bytes();
                while u64::from(bytes) < PAGE_SIZE && self.size_bytes() & u64::from(bytes) == 0 {
                    bytes *= 2;
                }
                bytes
            }
            set => set,
        }
    }

    pub(super) fn set_soft_block_bytes(&self, bytes: u32) {
        self.soft_block_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether it must not be written.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::Relaxed) || self.disk.is_read_only()
    }

    pub(super) fn set_read_only(&self, is_read_only: bool) {
        self.is_read_only.store(is_read_only, Ordering::Relaxed);
    }

    /// What has been read and written.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many have the device open; of a whole disk, it or a partition.
    pub fn openers(&self) -> usize {
        let openers = if self.partition.is_none() { &*self.openers } else { &self.own_openers };
        openers.load(Ordering::SeqCst)
    }

    /// Somebody has it open from now on.
    pub(in crate::fs) fn opened(&self) {
        self.openers.fetch_add(1, Ordering::SeqCst);
        self.own_openers.fetch_add(1, Ordering::SeqCst);
    }

    /// Somebody has it open no longer.
    pub(in crate::fs) fn closed(&self) {
        self.own_openers.fetch_sub(1, Ordering::SeqCst);
        if self.openers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.disk.released();
        }
    }

    /// Has it for oneself for as long as the result is kept.
    ///
    /// # Errors
    /// EBUSY: somebody else has it, or the disk that it is of, or a part of it.
    pub fn claim(self: &Arc<Self>) -> Result<Claim, Errno> {
        let index = self.index();
        let mut claims = self.claims.lock();
        let is_taken = |&claimed: &u32| claimed == index || claimed == 0 || index == 0;
        if claims.iter().any(is_taken) {
            return Err(Errno::EBUSY);
        }
        claims.push(index);
        Ok(Claim { device: self.clone() })
    }

    /// What is mounted from it.
    pub fn mounted(&self) -> Option<Arc<Instance>> {
        self.instance.lock().upgrade()
    }

    /// Says what is mounted from it.
    pub fn set_mounted(&self, instance: &Arc<Instance>) {
        *self.instance.lock() = Arc::downgrade(instance);
    }

    /// How many disks lie below it.
    pub fn depth(&self) -> usize {
        self.disk.depth()
    }

    /// How often the disk has become another one.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// The disk has become another one, or has another size.
    pub(super) fn changed(&self) {
        self.sequence.fetch_add(1, Ordering::Relaxed);
        if let Some(cache) = self.cache.lock().clone() {
            cache.source_changed(0..u64::MAX, self.size_bytes());
        }
    }

    /// The bytes of the disk that `len` bytes at `offset` are; cut off at the end.
    fn locate(&self, offset: u64, len: usize) -> (u64, usize) {
        let left = self.size_bytes().saturating_sub(offset);
        let start = self.partition.as_ref().map_or(0, |(_, bytes)| bytes.start);
        (start.saturating_add(offset), len.min(usize::try_from(left).unwrap_or(usize::MAX)))
    }

    /// Reads at `offset`; 0 at the end.
    ///
    /// # Errors
    /// The storage's.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        if let Some(cache) = self.cache.lock().clone() {
            cache.write_back(offset..offset.saturating_add(buffer.len() as u64), &UntilKilled)?;
        }
        self.read_unmapped(buffer, offset)
    }

    pub(super) fn read_unmapped(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let (start, len) = self.locate(offset, buffer.len());
        let Some(buffer) = buffer.get_mut(..len).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let read = self.disk.read_at(buffer, start)?;
        // What a file ends before reads as zeroes.
        if let Some(rest) = buffer.get_mut(read..) {
            rest.fill(0);
        }
        Counters::count(&self.counters.reads, &self.counters.read_bytes, len as u64);
        Ok(len)
    }

    /// Writes at `offset`.
    ///
    /// # Errors
    /// ENOSPC at the end; EPERM: it is read-only; the storage's.
    pub fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        let cache = self.cache.lock().clone();
        if let Some(cache) = &cache {
            cache.write_back(0..u64::MAX, &UntilKilled)?;
        }
        let written = self.write_unmapped(buffer, offset)?;
        if let Some(cache) = &cache {
            cache.source_changed(offset..offset.saturating_add(written as u64), self.size_bytes());
        }
        Ok(written)
    }

    pub(super) fn write_unmapped(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        if self.is_read_only() {
            return Err(Errno::EPERM);
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let (start, len) = self.locate(offset, buffer.len());
        let buffer = buffer.get(..len).filter(|buffer| !buffer.is_empty()).ok_or(Errno::ENOSPC)?;
        let written = self.disk.write_at(buffer, start)?;
        Counters::count(&self.counters.writes, &self.counters.written_bytes, written as u64);
        Ok(written)
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// EIO if the device ends before; the storage's.
    pub fn read_exact(&self, buffer: &mut [u8], offset: u64) -> Result<(), Errno> {
        if self.read_at(buffer, offset)? == buffer.len() { Ok(()) } else { Err(Errno::EIO) }
    }

    /// Writes the whole of `buffer` at `offset`.
    ///
    /// # Errors
    /// As [`Self::write_at`].
    pub fn write_all(&self, buffer: &[u8], offset: u64) -> Result<(), Errno> {
        let mut done = 0;
        while let Some(rest) = buffer.get(done..).filter(|rest| !rest.is_empty()) {
            match self.write_at(rest, offset.saturating_add(done as u64))? {
                0 => return Err(Errno::EIO),
                written => done += written,
            }
        }
        Ok(())
    }

    /// Has `bytes` read as zeroes.
    ///
    /// # Errors
    /// EINVAL: they are not in the device. EPERM: it is read-only. EOPNOTSUPP; the storage's.
    pub(in crate::fs) fn discard(&self, bytes: Range<u64>) -> Result<(), Errno> {
        if self.is_read_only() {
            return Err(Errno::EPERM);
        }
        if bytes.end > self.size_bytes() || bytes.start > bytes.end {
            return Err(Errno::EINVAL);
        }
        let (start, _) = self.locate(bytes.start, 0);
        let len_bytes = bytes.end - bytes.start;
        self.disk.discard(start..start.saturating_add(len_bytes))?;
        Counters::count(&self.counters.discards, &self.counters.discarded_bytes, len_bytes);
        if let Some(cache) = self.cache.lock().clone() {
            cache.source_changed(bytes, self.size_bytes());
        }
        Ok(())
    }

    /// Has what was written reach storage.
    ///
    /// # Errors
    /// The storage's.
    pub fn sync(&self) -> Result<(), Errno> {
        if let Some(cache) = self.cache.lock().clone() {
            cache.write_back(0..u64::MAX, &UntilKilled)?;
        }
        self.counters.flushes.fetch_add(1, Ordering::Relaxed);
        self.disk.sync()
    }

    /// The pages for mappings.
    pub(super) fn page_cache(self: &Arc<Self>) -> Arc<PageCache> {
        let mut cache = self.cache.lock();
        let make = || {
            let source = Box::new(DevicePages(Arc::downgrade(self)));
            PageCache::new(&self.frames, Some(source), self.size_bytes())
        };
        cache.get_or_insert_with(make).clone()
    }
}
