//! What is done in steps, and what others may do between them.

use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::Errno;
use crate::pace::{Pace, Unhurried};
use crate::platform::fake::FakePlatform;
use crate::platform::{Access, PAGE_SIZE, Platform, VirtualAddress};

const MIB: u64 = 1 << 20;
/// Mappings that no step could deal with at once.
const MANY: u64 = 5000;
const MANY_BYTES: u64 = MANY * 2 * PAGE_SIZE;

/// Does something between two steps, and is wanted as often as it says.
struct Between<F> {
    steps: Cell<usize>,
    wanted: Cell<usize>,
    does: F,
}

impl<F: Fn(usize) -> Result<(), Errno>> Between<F> {
    fn new(wanted: usize, does: F) -> Self {
        Self { steps: Cell::new(0), wanted: Cell::new(wanted), does }
    }
}

impl<F: Fn(usize) -> Result<(), Errno>> Pace for Between<F> {
    fn keep_going(&self) -> Result<(), Errno> {
        self.steps.set(self.steps.get() + 1);
        (self.does)(self.steps.get())
    }

    fn is_wanted(&self) -> bool {
        let left = self.wanted.get();
        self.wanted.set(left.saturating_sub(1));
        left > 0
    }
}

fn new_memory() -> Arc<MemoryManager> {
    let platform: Arc<dyn Platform> = FakePlatform::new(256 * MIB).unwrap();
    MemoryManager::new(&platform, &FrameAllocator::new(&platform, 128 * MIB)).unwrap()
}

fn request(address: VirtualAddress, len_bytes: u64, flags: MapFlags) -> MapRequest {
    let protection = Protection::READ | Protection::WRITE;
    MapRequest { address, len_bytes, protection, flags, backing: Backing::Anonymous }
}

/// Many mappings beside each other.
fn map_many(memory: &MemoryManager) -> VirtualAddress {
    let start =
        memory.mmap(request(VirtualAddress::NULL, MANY_BYTES, MapFlags::PRIVATE), &Unhurried).unwrap();
    for index in 0..MANY {
        let page = VirtualAddress(start.0 + index * 2 * PAGE_SIZE);
        memory.madvise(page, PAGE_SIZE, linux_raw_sys::general::MADV_DONTDUMP, &Unhurried).unwrap();
    }
    assert!(memory.mappings().len() as u64 >= 2 * MANY - 1);
    start
}

fn replaced_in(memory: &MemoryManager, pace: &dyn Pace) -> Result<VirtualAddress, Errno> {
    let start = map_many(memory);
    memory.mmap(request(start, MANY_BYTES, MapFlags::PRIVATE | MapFlags::FIXED), pace)
}

#[test]
fn nothing_is_free_in_a_range_that_is_being_replaced() {
    let memory = new_memory();
    let pages = MANY_BYTES / PAGE_SIZE;
    let pace = Between::new(0, |_| {
        assert_eq!(memory.sizes().total_pages, pages);
        Ok(())
    });
    replaced_in(&memory, &pace).unwrap();
    assert!(pace.steps.get() >= 9, "{}", pace.steps.get());
    assert_eq!(memory.mappings().len(), 1);
}

#[test]
fn who_is_ending_replaces_no_more() {
    let memory = new_memory();
    let ending = Between::new(0, |step| if step == 3 { Err(Errno::EINTR) } else { Ok(()) });
    assert_eq!(replaced_in(&memory, &ending), Err(Errno::EINTR));
    assert_eq!(memory.sizes().total_pages, MANY_BYTES / PAGE_SIZE);
    assert!(memory.mappings().len() as u64 > MANY);
}

#[test]
fn what_is_mapped_behind_an_unmapping_stays() {
    let memory = new_memory();
    let start = map_many(&memory);
    let pace = Between::new(0, |step| {
        if step == 2 {
            let fixed = MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE;
            assert_eq!(memory.mmap(request(start, PAGE_SIZE, fixed), &Unhurried), Ok(start));
        }
        Ok(())
    });
    memory.munmap(start, MANY_BYTES, &pace).unwrap();
    assert!(pace.steps.get() >= 9, "{}", pace.steps.get());
    assert_eq!(memory.sizes().total_pages, 1);
}

#[test]
fn a_mapping_moves_onto_many_and_leaves_many_behind() {
    let memory = new_memory();
    let (target, source) = (map_many(&memory), map_many(&memory));
    let single =
        memory.mmap(request(VirtualAddress::NULL, PAGE_SIZE, MapFlags::PRIVATE), &Unhurried).unwrap();
    memory.write_object(single, &7_u8).unwrap();
    let pace = Between::new(0, |_| Ok(()));
    let flags = RemapFlags::MAYMOVE | RemapFlags::FIXED;
    assert_eq!(memory.mremap(single, PAGE_SIZE, MANY_BYTES, flags, target, &pace), Ok(target));
    assert!(pace.steps.get() >= 9, "{}", pace.steps.get());
    assert_eq!(memory.read_object(target), Ok(7_u8));
    let none = RemapFlags::empty();
    assert_eq!(memory.mremap(source, MANY_BYTES, PAGE_SIZE, none, VirtualAddress::NULL, &pace), Ok(source));
    assert_eq!(memory.sizes().total_pages, MANY_BYTES / PAGE_SIZE + 1);
    // An error leaves everything as it was.
    let unmapped = VirtualAddress(source.0 + PAGE_SIZE);
    let error = memory.mremap(unmapped, MANY_BYTES, PAGE_SIZE, none, VirtualAddress::NULL, &pace);
    assert_eq!(error, Err(Errno::EFAULT));
}

#[test]
fn a_copy_begins_again_until_it_is_whole() {
    let memory = new_memory();
    let many = map_many(&memory);
    let start = memory
        .mmap(request(VirtualAddress::NULL, 32 * MIB, MapFlags::PRIVATE | MapFlags::POPULATE), &Unhurried)
        .unwrap();
    let last = VirtualAddress(start.0 + 32 * MIB - 1);
    [many, start, last].into_iter().for_each(|place| memory.write_object(place, &1_u8).unwrap());
    let free_before = memory.frames().statistics().free_bytes;
    for wanted in [1, 40, 1000] {
        let pace = Between::new(wanted, |_| Ok(()));
        let child = memory.fork(&pace).unwrap();
        assert!(pace.steps.get() > 0);
        assert!(memory.address_space().translate(start).is_none_or(|(_, may)| !may.contains(Access::WRITE)));
        [many, start, last].into_iter().for_each(|place| assert_eq!(child.read_object(place), Ok(1_u8)));
        assert_eq!(child.sizes(), MemorySizes { locked_pages: 0, ..memory.sizes() });
        memory.write_object(last, &2_u8).unwrap();
        assert_eq!(child.read_object(last), Ok(1_u8));
        memory.write_object(last, &1_u8).unwrap();
    }
    let ending = Between::new(1000, |_| Err(Errno::EINTR));
    assert!(memory.fork(&ending).is_err_and(|error| error == Errno::EINTR));
    assert_eq!(memory.frames().statistics().free_bytes, free_before);
}

#[test]
fn flags_of_many_change_in_steps() {
    let memory = new_memory();
    let start = map_many(&memory);
    let pace = Between::new(0, |_| Ok(()));
    memory.set_limits(MemoryLimits { locked_bytes: u64::MAX, ..MemoryLimits::default() });
    memory.mlock(start, MANY_BYTES, true, &pace).unwrap();
    assert_eq!(memory.sizes().locked_pages, MANY_BYTES / PAGE_SIZE);
    memory.munlock(start, MANY_BYTES, &pace).unwrap();
    memory.mlockall(true, false, true, &pace).unwrap();
    memory.munlockall(&pace).unwrap();
    assert_eq!(memory.sizes().locked_pages, 0);
    assert!(pace.steps.get() >= 36, "{}", pace.steps.get());
    memory.mseal(start, MANY_BYTES, &pace).unwrap();
    assert_eq!(memory.munmap(start, MANY_BYTES, &pace), Err(Errno::EPERM));
}

/// Writes its place into every page.
fn mark_pages(memory: &MemoryManager, start: VirtualAddress, len_bytes: u64) {
    for offset in (0..len_bytes).step_by(PAGE_SIZE as usize) {
        memory.write_object(VirtualAddress(start.0 + offset), &(offset | 1)).unwrap();
    }
}

fn assert_marked(memory: &MemoryManager, start: VirtualAddress, len_bytes: u64) {
    for offset in (0..len_bytes).step_by(PAGE_SIZE as usize) {
        assert_eq!(memory.read_object(VirtualAddress(start.0 + offset)), Ok(offset | 1));
    }
}

#[test]
fn much_moves_in_steps_and_nobody_gets_between() {
    let memory = new_memory();
    let len_bytes = 80 * MIB;
    let start = memory.mmap(request(VirtualAddress::NULL, len_bytes, MapFlags::PRIVATE), &Unhurried).unwrap();
    mark_pages(&memory, start, len_bytes);
    let total = memory.sizes().total_pages;
    let target = VirtualAddress(start.0 - 1024 * MIB + 5 * PAGE_SIZE);
    let pace = Between::new(0, |_| {
        let other = request(target, PAGE_SIZE, MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE);
        assert_eq!(memory.mmap(other, &Unhurried), Err(Errno::EEXIST));
        Ok(())
    });
    let flags = RemapFlags::MAYMOVE | RemapFlags::FIXED;
    assert_eq!(memory.mremap(start, len_bytes, 2 * len_bytes, flags, target, &pace), Ok(target));
    assert!(pace.steps.get() >= 2, "{}", pace.steps.get());
    assert_marked(&memory, target, len_bytes);
    assert_eq!(memory.mappings().len(), 1);
    assert_eq!(memory.sizes().total_pages, 2 * total);
    assert_eq!(memory.read_object::<u64>(start), Err(Errno::EFAULT));
}

#[test]
fn what_others_have_unmapped_meanwhile_does_not_move() {
    let memory = new_memory();
    let len_bytes = 80 * MIB;
    let start = memory.mmap(request(VirtualAddress::NULL, len_bytes, MapFlags::PRIVATE), &Unhurried).unwrap();
    mark_pages(&memory, start, len_bytes);
    let pace = Between::new(0, |step| match step {
        2 => memory.munmap(VirtualAddress(start.0 + len_bytes - PAGE_SIZE), PAGE_SIZE, &Unhurried),
        _ => Ok(()),
    });
    let (flags, target) = (RemapFlags::MAYMOVE | RemapFlags::FIXED, VirtualAddress(start.0 - 1024 * MIB));
    assert_eq!(memory.mremap(start, len_bytes, 2 * len_bytes, flags, target, &pace), Err(Errno::EFAULT));
    // Nothing of the place that was reserved is left but what has moved.
    assert_eq!(memory.sizes().total_pages, len_bytes / PAGE_SIZE - 1);
    assert_eq!(memory.sizes().resident_pages, len_bytes / PAGE_SIZE - 1);
}

#[test]
fn a_file_that_shrinks_is_unmapped_in_steps_and_freed_later() {
    let memory = new_memory();
    let (frames, len_bytes) = (memory.frames(), 96 * MIB);
    let free = frames.statistics().free_bytes;
    let cache = PageCache::new(frames, None, len_bytes);
    let (file, offset) = (None, 0);
    let backing = Backing::File { cache: cache.clone(), offset, file, max_protection: Protection::all() };
    let shared = MapRequest { backing, ..request(VirtualAddress::NULL, len_bytes, MapFlags::SHARED) };
    let start = memory.mmap(shared, &Unhurried).unwrap();
    mark_pages(&memory, start, len_bytes);
    // Who is ending does it to the end all the same.
    let pace = Between::new(0, |_| Err(Errno::EINTR));
    cache.resize(PAGE_SIZE + 1, &pace).unwrap();
    assert!(pace.steps.get() >= 2, "{}", pace.steps.get());
    assert_eq!((cache.pages(), memory.sizes().resident_pages), (2, 2));
    assert_eq!(frames.statistics().free_bytes, free - 2 * PAGE_SIZE);
    assert_eq!(memory.read_object(start), Ok(1_u64));
    assert_eq!(memory.read_object::<u64>(VirtualAddress(start.0 + 2 * PAGE_SIZE)), Err(Errno::EFAULT));
    // What has been left is there for who wants it, and goes in steps.
    let other = PageCache::new(frames, None, len_bytes);
    other.allocate(0, len_bytes, None, &|| false).unwrap();
    drop(other);
    let pace = Between::new(0, |_| Ok(()));
    frames.free_leftovers(&pace).unwrap();
    assert!(pace.steps.get() >= 5, "{}", pace.steps.get());
    assert_eq!(frames.statistics().free_bytes, free - 2 * PAGE_SIZE);
}

#[test]
fn a_hole_is_punched_in_steps() {
    let memory = new_memory();
    let len_bytes = 96 * MIB;
    let cache = PageCache::new(memory.frames(), None, len_bytes);
    cache.allocate(0, len_bytes, None, &|| false).unwrap();
    let pace = Between::new(0, |step| if step == 3 { Err(Errno::EINTR) } else { Ok(()) });
    assert_eq!(cache.punch_hole(0, len_bytes, &pace), Err(Errno::EINTR));
    assert!((1..len_bytes / PAGE_SIZE).contains(&cache.pages()), "{}", cache.pages());
    cache.punch_hole(0, len_bytes, &Unhurried).unwrap();
    assert_eq!(cache.pages(), 0);
}
