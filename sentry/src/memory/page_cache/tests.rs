//! Files as their readers and writers see them.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use super::*;
use crate::platform::fake::FakePlatform;
use crate::platform::{Platform, losses};

const PAGE: usize = PAGE_SIZE as usize;

struct Pattern(u64);

impl PageSource for Pattern {
    fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno> {
        let len = self.0.saturating_sub(offset).min(destination.len() as u64);
        let bytes: Vec<u8> = (offset..offset + len).map(byte_at).collect();
        destination.copy_from(&bytes);
        Ok(())
    }
}

fn byte_at(position: u64) -> u8 {
    (position / 7 + position / PAGE_SIZE) as u8 | 1
}

fn frames(limit_bytes: u64) -> Arc<FrameAllocator> {
    let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
    FrameAllocator::new(&platform, limit_bytes)
}

fn sourced(limit_bytes: u64, size: u64) -> Arc<PageCache> {
    PageCache::new(&frames(limit_bytes), Some(Box::new(Pattern(size))), size)
}

fn contents(cache: &PageCache) -> Vec<u8> {
    let mut bytes = vec![0xee; cache.size() as usize + 10];
    let count = cache.read_at(&mut bytes, 0, None).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn a_file_reads_as_its_source_until_it_is_written() {
    let size = 40 * PAGE_SIZE + 100;
    let cache = sourced(16 << 20, size);
    let mut expected: Vec<u8> = (0..size).map(byte_at).collect();
    assert_eq!(contents(&cache), expected);
    assert_eq!(cache.write_at(&[0; 5000], 10_000, None), Ok(5000));
    expected[10_000..15_000].fill(0);
    assert_eq!(contents(&cache), expected);
}

#[test]
fn partial_writes_to_absent_pages_keep_the_rest() {
    let size = 3 * PAGE_SIZE;
    let cache = sourced(16 << 20, size);
    let mut expected: Vec<u8> = (0..size).map(byte_at).collect();
    cache.write_at(&[1, 2, 3], PAGE_SIZE - 1, None).unwrap();
    expected[PAGE - 1..PAGE + 2].copy_from_slice(&[1, 2, 3]);
    assert_eq!(contents(&cache), expected);
}

#[test]
fn what_was_cut_off_reads_as_zero_when_the_file_grows_again() {
    let cache = sourced(16 << 20, 3 * PAGE_SIZE);
    cache.resize(PAGE_SIZE + 10, &Unhurried).unwrap();
    cache.resize(3 * PAGE_SIZE, &Unhurried).unwrap();
    let mut expected: Vec<u8> = (0..PAGE_SIZE + 10).map(byte_at).collect();
    expected.resize(3 * PAGE, 0);
    assert_eq!(contents(&cache), expected);
}

#[test]
fn holes_take_no_memory_and_are_found() {
    let cache = PageCache::new(&frames(16 << 20), None, 0);
    cache.write_at(b"x", 100 * PAGE_SIZE, None).unwrap();
    assert_eq!((cache.pages(), cache.size()), (1, 100 * PAGE_SIZE + 1));
    assert_eq!(cache.next_data(0), Some(100 * PAGE_SIZE));
    assert_eq!(cache.next_hole(0), Some(0));
    assert_eq!(cache.next_hole(100 * PAGE_SIZE), Some(100 * PAGE_SIZE + 1));
    assert_eq!(cache.next_data(100 * PAGE_SIZE + 1), None);
    cache.punch_hole(0, u64::MAX, &Unhurried).unwrap();
    assert_eq!((cache.next_data(0), cache.next_hole(100 * PAGE_SIZE + 1)), (None, None));
}

#[test]
fn punched_holes_of_a_source_are_zero() {
    let size = 6 * PAGE_SIZE;
    let cache = sourced(16 << 20, size);
    let mut expected: Vec<u8> = (0..size).map(byte_at).collect();
    for range in [100..PAGE + 7, 3 * PAGE..5 * PAGE, 5 * PAGE + 1..5 * PAGE + 2] {
        cache.punch_hole(range.start as u64, range.len() as u64, &Unhurried).unwrap();
        expected[range].fill(0);
    }
    assert_eq!(contents(&cache), expected);
}

#[test]
fn clean_pages_make_room_when_memory_is_short() {
    let frames = frames(2 << 20);
    let size = 8 << 20;
    let cache = PageCache::new(&frames, Some(Box::new(Pattern(size))), size);
    cache.write_at(&[0; 10], 5000, None).unwrap();
    let mut expected: Vec<u8> = (0..size).map(byte_at).collect();
    expected[5000..5010].fill(0);
    assert_eq!(contents(&cache), expected);
    assert_eq!(contents(&cache), expected);
}

#[test]
fn memory_runs_out_as_a_short_write() {
    let cache = PageCache::new(&frames(2 << 20), None, 0);
    assert_eq!(cache.write_at(&vec![1; 3 << 20], 0, None), Ok(2 << 20));
    assert_eq!(cache.write_at(&[1], 3 << 20, None), Err(Errno::ENOMEM));
    assert_eq!(cache.write_at(&[1], u64::MAX, None), Err(Errno::EFBIG));
}

#[test]
fn nobody_shows_copies_of_pages_that_are_being_written() {
    /// Counts how often it is told to unmap.
    #[derive(Default)]
    struct Counter(std::sync::atomic::AtomicUsize);

    impl Mapper for Counter {
        fn unmap_cached(
            &self,
            _cache: u64,
            _pages: std::ops::Range<u64>,
            _including_private: bool,
            _pace: &dyn Pace,
        ) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }

        fn try_unmap_cached(&self, _cache: u64) {}
    }

    let cache = sourced(1 << 20, 3 * PAGE_SIZE);
    let counter = Arc::new(Counter::default());
    let count = || counter.0.load(std::sync::atomic::Ordering::Relaxed);
    let mapper: std::sync::Weak<Counter> = Arc::downgrade(&counter);
    let _mapping = cache.attach(1, mapper.clone(), false).unwrap();
    cache.write_at(b"x", 0, None).unwrap();
    assert_eq!(count(), 0, "there were none");
    assert!(cache.allows_copies());
    cache.write_at(b"x", 0, None).unwrap();
    assert_eq!(count(), 1);
    cache.write_at(b"x", 0, None).unwrap();
    assert_eq!(count(), 1, "they are gone");
    let writing = cache.begin_write();
    assert!(!cache.allows_copies());
    drop(writing);
    type Change = fn(&PageCache, u64) -> Result<(), Errno>;
    let changes: [Change; 2] =
        [|cache, at| cache.resize(at, &Unhurried), |cache, at| cache.punch_hole(at, PAGE_SIZE, &Unhurried)];
    for change in changes {
        assert!(cache.allows_copies());
        let before = count();
        change(&cache, 2 * PAGE_SIZE - 9).unwrap();
        assert!(count() > before);
    }
    let writable = cache.attach(1, mapper, true).unwrap();
    assert!(!cache.allows_copies());
    drop(writable);
    assert!(cache.allows_copies());
}

/// A file of the host.
struct OfHost(Arc<OwnedFd>);

impl PageSource for OfHost {
    fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno> {
        let read = |portion: &mut [u8], position| Ok(rustix::io::pread(&self.0, portion, position)?);
        fill_by_reads(offset, destination, read).map(drop)
    }

    fn host_extent(&self) -> Option<HostExtent> {
        Some(HostExtent { file: self.0.clone(), start: 0 })
    }
}

/// A file of `expected` bytes, and its cache with all pages in it.
fn shown(frames: &Arc<FrameAllocator>, expected: &[u8]) -> (File, Arc<PageCache>) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(expected).unwrap();
    let source = OfHost(Arc::new(file.try_clone().unwrap().into()));
    let cache = PageCache::new(frames, Some(Box::new(source)), expected.len() as u64);
    cache.populate(3, 0..64, None).unwrap();
    (file, cache)
}

/// One test, since a process has one such memory.
#[test]
fn pages_of_the_host_are_shown_until_somebody_writes() {
    let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
    platform.memory().allow_files().unwrap();
    let frames = FrameAllocator::new(&platform, 8 << 20);
    let size = 40 * PAGE_SIZE + 100;
    let mut expected: Vec<u8> = (0..size).map(byte_at).collect();
    let free = frames.free_frames();

    let (_, cache) = shown(&frames, &expected);
    assert_eq!((cache.pages(), frames.free_frames(), frames.statistics().cached_bytes), (41, free, 0));
    assert_eq!(contents(&cache), expected);
    cache.write_at(b"x", 5000, None).unwrap();
    expected[5000] = b'x';
    assert_eq!(contents(&cache), expected);
    assert_eq!(free - frames.free_frames(), cache.pages(), "all pages are the cache's own");
    assert!(!cache.cut_off_lost());
    expected[5000] = byte_at(5000);
    drop(cache);
    assert_eq!(frames.free_frames(), free);

    // What the host's file loses is cut off.
    let (file, cache) = shown(&frames, &expected);
    assert!(!cache.cut_off_lost());
    file.set_len(PAGE_SIZE + 10).unwrap();
    assert!(cache.cut_off_lost());
    assert_eq!(contents(&cache), expected[..PAGE + 10]);
    assert!(!cache.cut_off_lost());

    // Who touches that before it is known reads zeroes, and can tell.
    let (file, cache) = shown(&frames, &expected);
    file.set_len(PAGE_SIZE).unwrap();
    let before = losses();
    assert!(contents(&cache)[PAGE..].iter().all(|&byte| byte == 0));
    assert!(losses() > before);
    assert!(cache.cut_off_lost());
    assert_eq!(cache.size(), PAGE_SIZE);
}
