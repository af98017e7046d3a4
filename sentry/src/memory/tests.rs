//! What user code may expect of its memory, on a platform without a machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::general as uapi;
use vm_memory::VolatileSlice;

use super::*;
use crate::Errno;
use crate::pace::Unhurried;
use crate::platform::fake::FakePlatform;
use crate::platform::{Access, PAGE_SIZE, Platform, VirtualAddress};
use crate::settings::KernelNumber;

const MIB: u64 = 1 << 20;
const READ_WRITE: Protection = Protection::READ.union(Protection::WRITE);

/// A machine with one process.
struct Fixture {
    frames: Arc<FrameAllocator>,
    memory: Arc<MemoryManager>,
}

impl Fixture {
    fn new() -> Self {
        Self::with_limit(128 * MIB)
    }

    fn with_limit(limit_bytes: u64) -> Self {
        let platform: Arc<dyn Platform> = FakePlatform::new(256 * MIB).unwrap();
        let frames = FrameAllocator::new(&platform, limit_bytes);
        let memory = MemoryManager::new(&platform, &frames).unwrap();
        Self { frames, memory }
    }

    fn map(&self, len_bytes: u64, flags: MapFlags) -> VirtualAddress {
        self.memory.mmap(anonymous(VirtualAddress::NULL, len_bytes, flags), &Unhurried).unwrap()
    }

    fn map_at(&self, address: u64, len_bytes: u64) -> Result<VirtualAddress, Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        self.memory.mmap(anonymous(VirtualAddress(address), len_bytes, flags), &Unhurried)
    }

    fn map_file(&self, cache: &Arc<PageCache>, len_bytes: u64, flags: MapFlags) -> VirtualAddress {
        let backing =
            Backing::File { cache: cache.clone(), offset: 0, file: None, max_protection: Protection::all() };
        let request = MapRequest { backing, ..anonymous(VirtualAddress::NULL, len_bytes, flags) };
        self.memory.mmap(request, &Unhurried).unwrap()
    }

    fn layout(&self) -> Vec<(u64, u64, Protection)> {
        let mappings = self.memory.mappings().into_iter();
        mappings.map(|mapping| (mapping.range.start.0, mapping.range.end.0, mapping.protection)).collect()
    }
}

fn anonymous(address: VirtualAddress, len_bytes: u64, flags: MapFlags) -> MapRequest {
    MapRequest { address, len_bytes, protection: READ_WRITE, flags, backing: Backing::Anonymous }
}

/// Faults at `address` as user code would, if the page tables do not allow the access. Returns whether it did.
fn touch(memory: &MemoryManager, address: u64, access: Access) -> Result<bool, FaultError> {
    let address = VirtualAddress(address);
    if memory.address_space().translate(address).is_some_and(|(_, allowed)| allowed.contains(access)) {
        return Ok(false);
    }
    memory.handle_fault(address, access).map(|_| true)
}

/// A file whose pages all hold their number.
struct Numbers;

impl PageSource for Numbers {
    fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno> {
        for start in (0..destination.len()).step_by(PAGE_SIZE as usize) {
            let number = (offset + start as u64) / PAGE_SIZE;
            destination.subslice(start, 8).unwrap().copy_from(&number.to_ne_bytes());
        }
        Ok(())
    }
}

/// A file that cannot be read.
struct Broken;

impl PageSource for Broken {
    fn fill(&self, _offset: u64, _destination: VolatileSlice<'_>) -> Result<(), Errno> {
        Err(Errno::EIO)
    }
}

#[test]
fn mappings_fill_the_space_below_the_stack_from_the_top() {
    let fixture = Fixture::new();
    let first = fixture.map(PAGE_SIZE, MapFlags::PRIVATE);
    let second = fixture.map(3 * PAGE_SIZE, MapFlags::PRIVATE);
    assert_eq!(first.0, 0x7fff_f7ff_f000 - PAGE_SIZE);
    assert_eq!(second.0, first.0 - 3 * PAGE_SIZE);
    let low = fixture.map(PAGE_SIZE, MapFlags::PRIVATE | MapFlags::LOW_32BIT);
    assert_eq!(low.0, 1 << 30);
    assert_eq!(fixture.layout().len(), 2);
}

#[test]
fn hints_are_honoured_where_there_is_room() {
    let fixture = Fixture::new();
    let hint = VirtualAddress(0x1234_5678);
    let request = || anonymous(hint, PAGE_SIZE, MapFlags::PRIVATE);
    assert_eq!(fixture.memory.mmap(request(), &Unhurried), Ok(hint.page_up().unwrap()));
    assert_ne!(fixture.memory.mmap(request(), &Unhurried), Ok(hint.page_up().unwrap()));
}

#[test]
fn wrong_requests_are_refused_as_linux_does() {
    let fixture = Fixture::with_limit(16 * MIB);
    let ask = |address: u64, len_bytes, flags| {
        fixture
            .memory
            .mmap(anonymous(VirtualAddress(address), len_bytes, MapFlags::PRIVATE | flags), &Unhurried)
    };
    let none = MapFlags::empty();
    assert_eq!(ask(0, 0, none), Err(Errno::EINVAL));
    assert_eq!(ask(0, u64::MAX, none), Err(Errno::ENOMEM));
    assert_eq!(ask(0, 1 << 47, MapFlags::NORESERVE), Err(Errno::ENOMEM));
    assert_eq!(ask(0x10_0001, 1, MapFlags::FIXED), Err(Errno::EINVAL));
    assert_eq!(ask(0x1000, 1, MapFlags::FIXED), Err(Errno::EPERM));
    assert_eq!(ask(VirtualAddress::USER_END.0, 1, MapFlags::FIXED), Err(Errno::ENOMEM));
    assert!(ask(0x10_0000, 1, MapFlags::FIXED_NOREPLACE).is_ok());
    assert_eq!(ask(0x10_0000, 1, MapFlags::FIXED_NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(ask(0, 17 * MIB, none), Err(Errno::ENOMEM));
    assert!(ask(0, 17 * MIB, MapFlags::NORESERVE).is_ok());
}

#[test]
fn as_much_is_promised_as_the_settings_say() {
    let fixture = Fixture::with_limit(16 * MIB);
    let ask = |len_bytes, flags| {
        let request = anonymous(VirtualAddress::NULL, len_bytes, MapFlags::PRIVATE | flags);
        fixture.memory.mmap(request, &Unhurried)
    };
    let frames = fixture.memory.frames().clone();
    let set = |number, value| frames.settings().set(number, value).unwrap();
    let before = frames.committed();
    let start = ask(MIB, MapFlags::empty()).unwrap();
    assert_eq!(frames.committed(), before + MIB / PAGE_SIZE);
    fixture.memory.munmap(start, MIB, &Unhurried).unwrap();
    assert_eq!(frames.committed(), before);

    set(KernelNumber::OvercommitMemory, 1);
    assert!(ask(1 << 40, MapFlags::empty()).is_ok());
    set(KernelNumber::OvercommitMemory, 2);
    assert_eq!(ask(PAGE_SIZE, MapFlags::NORESERVE), Err(Errno::ENOMEM));
    assert_eq!(fixture.memory.fork(&Unhurried).map(drop), Err(Errno::ENOMEM));
    set(KernelNumber::OvercommitKbytes, 1 << 32);
    assert!(ask(PAGE_SIZE, MapFlags::NORESERVE).is_ok());
    drop(fixture);
    assert_eq!(frames.committed(), before);
}

#[test]
fn munmap_in_the_middle_splits_a_mapping() {
    let fixture = Fixture::new();
    fixture.map_at(0x10_0000, 3 * PAGE_SIZE).unwrap();
    touch(&fixture.memory, 0x10_1000, Access::WRITE).unwrap();
    fixture.memory.munmap(VirtualAddress(0x10_1000), 1, &Unhurried).unwrap();
    assert_eq!(fixture.layout(), [(0x10_0000, 0x10_1000, READ_WRITE), (0x10_2000, 0x10_3000, READ_WRITE)]);
    assert_eq!(touch(&fixture.memory, 0x10_1000, Access::READ), Err(FaultError::Unmapped));
    assert_eq!(fixture.memory.munmap(VirtualAddress(0x10_0001), 1, &Unhurried), Err(Errno::EINVAL));
    assert_eq!(fixture.memory.munmap(VirtualAddress(0x10_0000), 0, &Unhurried), Err(Errno::EINVAL));
}

#[test]
fn there_are_at_most_65530_mappings() {
    let fixture = Fixture::new();
    fixture
        .memory
        .mmap(
            anonymous(
                VirtualAddress(0x100_0000),
                600 * MIB,
                MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
            ),
            &Unhurried,
        )
        .unwrap();
    let mut outcome = Ok(());
    let mut splits = 0;
    while outcome.is_ok() {
        let address = VirtualAddress(0x100_0000 + (2 * splits + 1) * PAGE_SIZE);
        outcome = fixture.memory.mprotect(address, PAGE_SIZE, Protection::READ);
        splits += 1;
    }
    assert_eq!(outcome, Err(Errno::ENOMEM));
    assert!((65_528..=65_530).contains(&fixture.layout().len()));
}

#[test]
fn protection_beyond_the_file_s_is_refused_where_it_begins() {
    let fixture = Fixture::new();
    let cache = PageCache::new(&fixture.frames, None, 4 * PAGE_SIZE);
    let backing = Backing::File { cache, offset: 0, file: None, max_protection: Protection::READ };
    fixture.map_at(0x10_0000, 4 * PAGE_SIZE).unwrap();
    let request = MapRequest {
        backing,
        protection: Protection::READ,
        ..anonymous(VirtualAddress(0x10_2000), PAGE_SIZE, MapFlags::SHARED | MapFlags::FIXED)
    };
    fixture.memory.mmap(request, &Unhurried).unwrap();
    let start = VirtualAddress(0x10_0000);
    let outcome = fixture.memory.mprotect(start, 4 * PAGE_SIZE, Protection::all());
    assert_eq!(outcome, Err(Errno::EACCES));
    assert_eq!(fixture.layout()[0], (0x10_0000, 0x10_2000, Protection::all()));
    assert_eq!(fixture.layout()[2], (0x10_3000, 0x10_4000, READ_WRITE));
}

#[test]
fn the_heap_grows_and_shrinks_until_something_is_in_the_way() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    memory.set_brk_start(VirtualAddress(0x10_0800)).unwrap();
    let start = VirtualAddress(0x10_1000);
    assert_eq!(memory.brk(VirtualAddress::NULL, &Unhurried), start);
    assert_eq!(memory.brk(VirtualAddress(0x12_0010), &Unhurried), VirtualAddress(0x12_0010));
    memory.write_object(VirtualAddress(0x12_0000), &7u64).unwrap();
    assert_eq!(memory.brk(VirtualAddress(0x11_0000), &Unhurried), VirtualAddress(0x11_0000));
    assert_eq!(memory.brk(VirtualAddress(0x12_0010), &Unhurried), VirtualAddress(0x12_0010));
    assert_eq!(memory.read_object::<u64>(VirtualAddress(0x12_0000)), Ok(0));
    assert_eq!(memory.mappings()[0].name, b"[heap]");
    fixture.map_at(0x13_0000, PAGE_SIZE).unwrap();
    assert_eq!(memory.brk(VirtualAddress(0x13_0001), &Unhurried), VirtualAddress(0x12_0010));
    memory.set_limits(MemoryLimits { data_bytes: 0x2_0000, ..MemoryLimits::default() });
    assert_eq!(memory.brk(VirtualAddress(0x12_2000), &Unhurried), VirtualAddress(0x12_0010));
}

#[test]
fn limits_on_the_address_space_and_on_data_are_enomem() {
    let fixture = Fixture::new();
    let limits = MemoryLimits { address_space_bytes: 64 << 10, ..MemoryLimits::default() };
    fixture.memory.set_limits(limits);
    fixture.map_at(0x10_0000, 64 << 10).unwrap();
    assert_eq!(fixture.map_at(0x20_0000, 1), Err(Errno::ENOMEM));
    assert!(fixture.map_at(0x10_0000, 64 << 10).is_ok());
    fixture.memory.set_limits(MemoryLimits { data_bytes: 64 << 10, ..MemoryLimits::default() });
    assert_eq!(fixture.map_at(0x20_0000, 1), Err(Errno::ENOMEM));
}

#[test]
fn stacks_grow_to_their_limit_and_keep_their_distance() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    let (top, limit) = (0x7000_0000, MIB);
    memory.set_stack_limit(limit);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::GROWSDOWN;
    memory.mmap(anonymous(VirtualAddress(top - PAGE_SIZE), PAGE_SIZE, flags), &Unhurried).unwrap();
    let mut faults = 0;
    for page in 1..=limit / PAGE_SIZE {
        faults += u64::from(touch(memory, top - page * PAGE_SIZE, Access::WRITE).unwrap());
    }
    assert!(faults < 20, "{faults} faults");
    assert_eq!(touch(memory, top - limit - 1, Access::WRITE), Err(FaultError::Unmapped));

    let other_top = 0x6000_0000;
    memory.mmap(anonymous(VirtualAddress(other_top - PAGE_SIZE), PAGE_SIZE, flags), &Unhurried).unwrap();
    fixture.map_at(other_top - (512 << 10), PAGE_SIZE).unwrap();
    assert_eq!(touch(memory, other_top - (256 << 10), Access::READ), Err(FaultError::Unmapped));
}

#[test]
fn faults_say_what_is_wrong() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    let read_only = fixture.map(PAGE_SIZE, MapFlags::PRIVATE);
    memory.mprotect(read_only, PAGE_SIZE, Protection::READ).unwrap();
    assert_eq!(touch(memory, read_only.0, Access::READ), Ok(false));
    assert_eq!(touch(memory, read_only.0, Access::WRITE), Err(FaultError::Denied));
    assert_eq!(touch(memory, read_only.0, Access::EXECUTE), Err(FaultError::Denied));
    let file = PageCache::new(&fixture.frames, Some(Box::new(Numbers)), PAGE_SIZE + 1);
    let mapped = fixture.map_file(&file, 3 * PAGE_SIZE, MapFlags::SHARED);
    assert_eq!(touch(memory, mapped.0 + PAGE_SIZE, Access::WRITE), Ok(true));
    assert_eq!(touch(memory, mapped.0 + 2 * PAGE_SIZE, Access::READ), Err(FaultError::PastEnd));
    let broken = PageCache::new(&fixture.frames, Some(Box::new(Broken)), PAGE_SIZE);
    let mapped = fixture.map_file(&broken, PAGE_SIZE, MapFlags::PRIVATE);
    assert_eq!(touch(memory, mapped.0, Access::READ), Err(FaultError::Io(Errno::EIO)));
    assert_eq!(memory.read_object::<u8>(mapped), Err(Errno::EFAULT));
}

#[test]
fn exhausted_memory_is_a_fault_and_mapped_clean_pages_make_room() {
    let fixture = Fixture::with_limit(4 * MIB);
    let memory = &fixture.memory;
    let file = PageCache::new(&fixture.frames, Some(Box::new(Numbers)), 16 * MIB);
    let mapped = fixture.map_file(&file, 16 * MIB, MapFlags::PRIVATE);
    for number in 0..16 * MIB / PAGE_SIZE {
        let address = mapped.0 + number * PAGE_SIZE;
        touch(memory, address, Access::READ).unwrap();
        assert_eq!(memory.read_object::<u64>(VirtualAddress(address)), Ok(number));
    }
    let heap = fixture.map(4 * MIB, MapFlags::PRIVATE | MapFlags::NORESERVE);
    let more = fixture.map(4 * MIB, MapFlags::PRIVATE | MapFlags::NORESERVE);
    // A 64th stays with the file.
    let touch_all = |start: VirtualAddress| {
        (0..1024 - 16).try_for_each(|page| touch(memory, start.0 + page * PAGE_SIZE, Access::WRITE).map(drop))
    };
    assert_eq!(touch_all(heap), Ok(()));
    let request = anonymous(VirtualAddress::NULL, PAGE_SIZE, MapFlags::PRIVATE);
    assert_eq!(memory.mmap(request, &Unhurried), Err(Errno::ENOMEM));
    assert_eq!(touch_all(more), Err(FaultError::OutOfMemory));
    assert_eq!(memory.write_object(more, &1u8), Err(Errno::EFAULT));
}

#[test]
fn what_is_cut_off_a_file_faults_in_its_mappings() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    let file = PageCache::new(&fixture.frames, None, 4 * PAGE_SIZE);
    let shared = fixture.map_file(&file, 4 * PAGE_SIZE, MapFlags::SHARED);
    let private = fixture.map_file(&file, 4 * PAGE_SIZE, MapFlags::PRIVATE);
    for page in 0..4 {
        memory.write_object(VirtualAddress(shared.0 + page * PAGE_SIZE), &(page + 1)).unwrap();
        memory.write_object(VirtualAddress(private.0 + page * PAGE_SIZE), &(page + 9)).unwrap();
    }
    file.resize(PAGE_SIZE + 4, &Unhurried).unwrap();
    for start in [shared, private] {
        assert_eq!(touch(memory, start.0 + 2 * PAGE_SIZE, Access::READ), Err(FaultError::PastEnd));
    }
    file.resize(4 * PAGE_SIZE, &Unhurried).unwrap();
    assert_eq!(memory.read_object::<u64>(VirtualAddress(private.0 + PAGE_SIZE)), Ok(10));
    assert_eq!(memory.read_object::<u64>(VirtualAddress(private.0 + 2 * PAGE_SIZE)), Ok(0));
    assert_eq!(memory.read_object::<u64>(VirtualAddress(shared.0 + PAGE_SIZE)), Ok(2));
    assert_eq!(memory.read_object::<u64>(VirtualAddress(shared.0 + 3 * PAGE_SIZE)), Ok(0));
}

#[test]
fn reads_writes_and_mappings_of_a_file_agree() {
    let fixture = Fixture::new();
    let file = PageCache::new(&fixture.frames, Some(Box::new(Numbers)), 4 * PAGE_SIZE);
    let shared = fixture.map_file(&file, 4 * PAGE_SIZE, MapFlags::SHARED);
    let place = VirtualAddress(shared.0 + 2 * PAGE_SIZE);
    fixture.memory.write_object(place, &77u64).unwrap();
    let mut bytes = [0; 8];
    file.read_at(&mut bytes, 2 * PAGE_SIZE, None).unwrap();
    assert_eq!(u64::from_ne_bytes(bytes), 77);
    file.write_at(&78u64.to_ne_bytes(), 2 * PAGE_SIZE, None).unwrap();
    assert_eq!(fixture.memory.read_object::<u64>(place), Ok(78));
    assert_eq!(fixture.memory.madvise(shared, 4 * PAGE_SIZE, uapi::MADV_REMOVE, &Unhurried), Ok(()));
    assert_eq!(fixture.memory.read_object::<u64>(place), Ok(0));
}

#[test]
fn a_child_inherits_what_it_should() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    let places: Vec<_> = (0..4).map(|index| VirtualAddress(0x10_0000 * (index + 1))).collect();
    let [private, shared, dropped, wiped] = places[..] else { unreachable!() };
    let flags = |kind| kind | MapFlags::FIXED;
    for (place, kind) in [
        (private, MapFlags::PRIVATE),
        (shared, MapFlags::SHARED),
        (dropped, MapFlags::PRIVATE),
        (wiped, MapFlags::PRIVATE),
    ] {
        memory.mmap(anonymous(place, PAGE_SIZE, flags(kind)), &Unhurried).unwrap();
        memory.write_object(place, &1u8).unwrap();
    }
    memory.madvise(dropped, PAGE_SIZE, uapi::MADV_DONTFORK, &Unhurried).unwrap();
    memory.madvise(wiped, PAGE_SIZE, uapi::MADV_WIPEONFORK, &Unhurried).unwrap();
    memory.mlock(private, PAGE_SIZE, false, &Unhurried).unwrap();
    let child = memory.fork(&Unhurried).unwrap();
    [private, shared].into_iter().for_each(|place| memory.write_object(place, &2u8).unwrap());
    assert_eq!(child.read_object(private), Ok(1u8));
    assert_eq!(child.read_object(shared), Ok(2u8));
    assert_eq!(child.read_object::<u8>(dropped), Err(Errno::EFAULT));
    assert_eq!(child.read_object(wiped), Ok(0u8));
    assert_eq!(child.sizes().locked_pages, 0);
}

#[test]
fn large_sets_are_shared_until_they_are_written() {
    let fixture = Fixture::new();
    let start = fixture.map(16 * MIB, MapFlags::PRIVATE | MapFlags::POPULATE);
    let used_before = fixture.frames.statistics().free_bytes;
    let child = fixture.memory.fork(&Unhurried).unwrap();
    assert!(used_before - fixture.frames.statistics().free_bytes < MIB);
    touch(&child, start.0, Access::WRITE).unwrap();
    assert!(used_before - fixture.frames.statistics().free_bytes < MIB);
    drop(child);
    assert_eq!(fixture.frames.statistics().free_bytes, used_before);
    assert_eq!(touch(&fixture.memory, start.0, Access::WRITE), Ok(true));
    assert_eq!(fixture.frames.statistics().free_bytes, used_before);
}

#[test]
fn sequential_touches_cost_few_faults_and_scattered_ones_little_memory() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    let start = fixture.map(64 * MIB, MapFlags::PRIVATE);
    for address in (start.0..start.0 + 64 * MIB).step_by(PAGE_SIZE as usize) {
        touch(memory, address, Access::WRITE).unwrap();
    }
    assert!(memory.fault_count() < 40, "{} faults", memory.fault_count());
    memory.munmap(start, 64 * MIB, &Unhurried).unwrap();

    let start = fixture.map(1 << 40, MapFlags::PRIVATE | MapFlags::NORESERVE);
    let before = memory.freeable_bytes();
    for index in 0..100 {
        touch(memory, start.0 + index * (1 << 30), Access::WRITE).unwrap();
    }
    assert!(memory.freeable_bytes() - before <= 100 * 16 * PAGE_SIZE);
}

#[test]
fn small_mappings_need_no_fault_at_all() {
    let fixture = Fixture::new();
    let start = fixture.map(64 << 10, MapFlags::PRIVATE);
    for address in (start.0..start.0 + (64 << 10)).step_by(PAGE_SIZE as usize) {
        assert_eq!(touch(&fixture.memory, address, Access::WRITE), Ok(false));
    }
}

#[test]
fn locks_are_bounded_and_keep_pages() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    memory.set_limits(MemoryLimits { locked_bytes: 4 * PAGE_SIZE, ..MemoryLimits::default() });
    let start = fixture.map(8 * MIB, MapFlags::PRIVATE);
    memory.mlock(start, 4 * PAGE_SIZE, false, &Unhurried).unwrap();
    assert_eq!(memory.mincore(start, 5), Ok(vec![1, 1, 1, 1, 0]));
    assert_eq!(memory.mlock(start, 4 * PAGE_SIZE, false, &Unhurried), Ok(()));
    assert_eq!(memory.mlock(start, 5 * PAGE_SIZE, false, &Unhurried), Err(Errno::ENOMEM));
    assert_eq!(memory.madvise(start, PAGE_SIZE, uapi::MADV_DONTNEED, &Unhurried), Err(Errno::EINVAL));
    assert_eq!(memory.msync(start, PAGE_SIZE, uapi::MS_INVALIDATE, &Unhurried), Err(Errno::EBUSY));
    let locked = anonymous(VirtualAddress::NULL, PAGE_SIZE, MapFlags::PRIVATE | MapFlags::LOCKED);
    assert_eq!(memory.mmap(locked, &Unhurried), Err(Errno::EAGAIN));
    memory.munlock(start, 4 * PAGE_SIZE, &Unhurried).unwrap();
    assert_eq!(memory.madvise(start, 4 * PAGE_SIZE, uapi::MADV_DONTNEED, &Unhurried), Ok(()));
    assert_eq!(memory.mincore(start, 1), Ok(vec![0]));
    memory.mlockall(false, true, false, &Unhurried).unwrap();
    let future = fixture.map(PAGE_SIZE, MapFlags::PRIVATE);
    assert_eq!(memory.sizes().locked_pages, 1);
    memory.munlockall(&Unhurried).unwrap();
    assert_eq!(memory.sizes().locked_pages, 0);
    assert_eq!(memory.mincore(future, 1), Ok(vec![1]));
}

#[test]
fn mremap_keeps_contents_and_follows_the_rules() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    let start = VirtualAddress(0x10_0000);
    fixture.map_at(start.0, 2 * PAGE_SIZE).unwrap();
    memory.write_object(start, &5u8).unwrap();
    let none = RemapFlags::empty();
    let grow =
        |len: u64, flags| memory.mremap(start, 2 * PAGE_SIZE, len, flags, VirtualAddress::NULL, &Unhurried);
    assert_eq!(grow(4 * PAGE_SIZE, none), Ok(start));
    fixture.map_at(start.0 + 4 * PAGE_SIZE, PAGE_SIZE).unwrap();
    memory.mprotect(VirtualAddress(start.0 + 4 * PAGE_SIZE), PAGE_SIZE, Protection::READ).unwrap();
    let resize =
        |len: u64, flags| memory.mremap(start, 4 * PAGE_SIZE, len, flags, VirtualAddress::NULL, &Unhurried);
    assert_eq!(resize(8 * PAGE_SIZE, none), Err(Errno::ENOMEM));
    assert_eq!(resize(0, none), Err(Errno::EINVAL));
    assert_eq!(resize(8 * PAGE_SIZE, RemapFlags::FIXED), Err(Errno::EINVAL));
    let moved = resize(8 * PAGE_SIZE, RemapFlags::MAYMOVE).unwrap();
    assert_ne!(moved, start);
    assert_eq!(memory.read_object(moved), Ok(5u8));
    assert_eq!(memory.read_object::<u8>(start), Err(Errno::EFAULT));
    let copy = memory.mremap(moved, 0, PAGE_SIZE, RemapFlags::MAYMOVE, VirtualAddress::NULL, &Unhurried);
    assert_eq!(copy, Err(Errno::EINVAL));
    let shared = fixture.map(2 * PAGE_SIZE, MapFlags::SHARED);
    let twin = memory
        .mremap(shared, 0, 2 * PAGE_SIZE, RemapFlags::MAYMOVE, VirtualAddress::NULL, &Unhurried)
        .unwrap();
    memory.write_object(shared, &6u8).unwrap();
    assert_eq!(memory.read_object(twin), Ok(6u8));
}

#[test]
fn strings_end_at_their_nul_or_the_limit() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    fixture.map_at(0x10_0000, PAGE_SIZE).unwrap();
    let place = VirtualAddress(0x10_0000 + PAGE_SIZE - 4);
    memory.write_bytes(place, b"abc\0").unwrap();
    assert_eq!(memory.read_c_string(place, 4096), Ok(b"abc".to_vec()));
    assert_eq!(memory.read_c_string(place, 3), Err(Errno::ENAMETOOLONG));
    memory.write_bytes(place, b"abcd").unwrap();
    assert_eq!(memory.read_c_string(place, 4096), Err(Errno::EFAULT));
    assert_eq!(memory.read_partial(place, &mut [0; 8]), 4);
    assert_eq!(memory.write_partial(place, &[0; 8]), 4);
    assert_eq!(memory.read_bytes(VirtualAddress(u64::MAX - 2), &mut [0; 8]), Err(Errno::EFAULT));
}

#[test]
fn futex_words_are_known_by_what_they_share() {
    let fixture = Fixture::new();
    let (private, shared) =
        (fixture.map(PAGE_SIZE, MapFlags::PRIVATE), fixture.map(PAGE_SIZE, MapFlags::SHARED));
    let child = fixture.memory.fork(&Unhurried).unwrap();
    let keys = |place, is_private| {
        (fixture.memory.futex_key(place, is_private).unwrap(), child.futex_key(place, is_private).unwrap())
    };
    let (ours, theirs) = keys(shared, false);
    assert_eq!(ours, theirs);
    for (place, is_private) in [(private, false), (private, true), (shared, true)] {
        let (ours, theirs) = keys(place, is_private);
        assert_ne!(ours, theirs);
    }
    let odd = VirtualAddress(private.0 + 2);
    assert_eq!(fixture.memory.futex_key(odd, true), Err(Errno::EINVAL));
    assert_eq!(fixture.memory.update_u32(private, |value| Some(value + 5)), Ok(0));
    assert_eq!(fixture.memory.compare_exchange_u32(private, 5, 6), Ok(Ok(5)));
    assert_eq!(fixture.memory.compare_exchange_u32(private, 5, 7), Ok(Err(6)));
    assert_eq!(fixture.memory.load_u32(private), Ok(6));
    assert_eq!(child.load_u32(private), Ok(0));
}

#[test]
fn given_frames_are_shown_but_never_changed() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    let frames: Arc<[Frame]> = (0..2).map(|_| fixture.frames.allocate().unwrap()).collect();
    frames[1].slice().copy_from(b"vdso");
    let protection = Protection::READ | Protection::EXECUTE;
    let start = memory.map_special(&frames, &[Protection::READ, protection], "[vdso]").unwrap();
    let second = VirtualAddress(start.0 + PAGE_SIZE);
    assert_eq!(memory.read_object(second), Ok(*b"vdso"));
    assert_eq!(memory.write_object(second, b"x"), Err(Errno::EFAULT));
    assert_eq!(memory.write_forced(second, b"x"), 1);
    assert_eq!(memory.read_object(second), Ok(*b"xdso"));
    assert_eq!(memory.fork(&Unhurried).unwrap().read_object(second), Ok(*b"xdso"));
    let mut bytes = [0; 4];
    frames[1].slice().copy_to(&mut bytes);
    assert_eq!(&bytes, b"vdso");
    assert_eq!(memory.mappings()[0].name, b"[vdso]");
}

#[test]
fn threads_that_map_fault_fork_and_truncate_at_once_leave_nothing_behind() {
    let fixture = Fixture::with_limit(32 * MIB);
    let file = PageCache::new(&fixture.frames, Some(Box::new(Numbers)), 64 * PAGE_SIZE);
    let shared = fixture.map_file(&file, 64 * PAGE_SIZE, MapFlags::SHARED);
    let private = fixture.map_file(&file, 64 * PAGE_SIZE, MapFlags::PRIVATE);
    let heap = fixture.map(4 * MIB, MapFlags::PRIVATE);
    let is_over = AtomicBool::new(false);
    let (memory, file) = (&fixture.memory, &file);
    let repeat = |work: &dyn Fn(u64)| {
        let mut round = 0;
        while !is_over.load(Ordering::Relaxed) {
            work(round);
            round += 1;
        }
    };
    std::thread::scope(|scope| {
        for start in [shared, private, heap] {
            scope.spawn(move || {
                repeat(&|round| {
                    let address = start.0 + round * 7 % 64 * PAGE_SIZE;
                    let access = if round % 3 == 0 { Access::WRITE } else { Access::READ };
                    match touch(memory, address, access) {
                        Ok(_) | Err(FaultError::PastEnd) => {}
                        Err(error) => panic!("{error}"),
                    }
                    let _ = memory.write_object(VirtualAddress(address), &round);
                });
            });
        }
        scope.spawn(move || repeat(&|round| file.resize((round * 13 % 65) * PAGE_SIZE, &Unhurried).unwrap()));
        scope.spawn(move || {
            repeat(&|round| {
                let child = memory.fork_copying((round % 2 * 512) as usize, &Unhurried).unwrap().unwrap();
                touch(&child, heap.0, Access::WRITE).unwrap();
            });
        });
        scope.spawn(move || {
            repeat(&|_| {
                let start =
                    memory.mmap(anonymous(VirtualAddress::NULL, MIB, MapFlags::PRIVATE), &Unhurried).unwrap();
                touch(memory, start.0, Access::WRITE).unwrap();
                memory.munmap(start, MIB, &Unhurried).unwrap();
                memory.madvise(heap, MIB, uapi::MADV_DONTNEED, &Unhurried).unwrap();
            });
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
        is_over.store(true, Ordering::Relaxed);
    });
    let Fixture { frames, memory } = fixture;
    drop(memory);
    file.resize(0, &Unhurried).unwrap();
    assert_eq!(frames.statistics().free_bytes, 32 * MIB);
}

#[test]
fn what_can_never_be_in_memory_is_not_locked_there() {
    let fixture = Fixture::new();
    let memory = &fixture.memory;
    memory.set_limits(MemoryLimits { locked_bytes: u64::MAX, ..MemoryLimits::default() });
    let huge = 1 << 45;
    let start = fixture.map(huge, MapFlags::PRIVATE | MapFlags::NORESERVE);
    let free_before = fixture.frames.statistics().free_bytes;
    assert_eq!(memory.mlock(start, huge, false, &Unhurried), Err(Errno::EAGAIN));
    assert_eq!(memory.madvise(start, huge, uapi::MADV_POPULATE_WRITE, &Unhurried), Err(Errno::ENOMEM));
    assert_eq!(memory.mlockall(true, false, false, &Unhurried), Ok(()));
    let populated = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::POPULATE;
    fixture.map(huge, populated);
    assert!(free_before - fixture.frames.statistics().free_bytes < MIB);
    assert!(!memory.take_shortage());
    assert_eq!(memory.mlock(start, huge, true, &Unhurried), Ok(()));
}

#[test]
fn a_shortage_leaves_pages_of_files_their_share() {
    let fixture = Fixture::with_limit(64 * MIB);
    let memory = &fixture.memory;
    let cache = PageCache::new(&fixture.frames, Some(Box::new(Numbers)), 8 * MIB);
    let file = fixture.map_file(&cache, 8 * MIB, MapFlags::PRIVATE);
    let cached = || (0..8 * MIB / PAGE_SIZE).filter(|index| cache.is_resident(*index)).count() as u64;
    for address in (file.0..file.0 + 8 * MIB).step_by(PAGE_SIZE as usize) {
        touch(memory, address, Access::READ).unwrap();
    }
    let start = fixture.map(64 * MIB, MapFlags::PRIVATE);
    let touches = (start.0..start.0 + 64 * MIB).step_by(PAGE_SIZE as usize);
    let refused = touches.map(|address| touch(memory, address, Access::WRITE)).find_map(Result::err);
    assert_eq!(refused, Some(FaultError::OutOfMemory));
    assert!((MIB / PAGE_SIZE..2 * MIB / PAGE_SIZE).contains(&cached()), "{}", cached());
    assert!(memory.take_shortage());
}
