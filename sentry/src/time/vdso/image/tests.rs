use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;
use std::time::Duration;

use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
use rustix::time::{ClockId, clock_gettime};

use super::*;
use crate::memory::FrameAllocator;
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;
use crate::time::vdso::VvarPage;
use crate::time::{SystemClock, Timekeeper};

/// The vDSO mapped into this process, with a copy of a page of data.
struct Mapped {
    code: *mut u8,
}

impl Mapped {
    fn new(vvar: &[u8]) -> Self {
        // SAFETY: a fresh mapping, filled and never unmapped.
        let start = unsafe {
            let flags = MapFlags::PRIVATE;
            let address =
                mmap_anonymous(std::ptr::null_mut(), 8192, ProtFlags::READ | ProtFlags::WRITE, flags);
            let start = address.unwrap().cast::<u8>();
            start.copy_from_nonoverlapping(vvar.as_ptr(), 4096);
            start.add(4096).copy_from_nonoverlapping(vdso_image().as_ptr(), CODE_BYTES);
            mprotect(start.add(4096).cast(), CODE_BYTES, MprotectFlags::READ | MprotectFlags::EXEC).unwrap();
            start
        };
        Self { code: start.wrapping_add(4096) }
    }

    /// Looks `name` up as a dynamic linker does.
    fn symbol(&self, name: &str) -> *const c_void {
        let image = vdso_image();
        let word =
            |place: u64| u32::from_le_bytes(image[place as usize..place as usize + 4].try_into().unwrap());
        let table: HashMap<elf::DynamicTag, u64> = dynamic_section(&image).into_iter().collect();
        let (hash, strings, symbols) = (table[&elf::DT_HASH], table[&elf::DT_STRTAB], table[&elf::DT_SYMTAB]);
        let buckets = u64::from(word(hash));
        let mut index = word(hash + 8 + u64::from(elf::hash(name.as_bytes())) % buckets * 4);
        loop {
            assert_ne!(index, 0, "no symbol {name}");
            let symbol = symbols + u64::from(index) * size_of::<elf::Sym64<Endianness>>() as u64;
            let string = &image[(strings + u64::from(word(symbol))) as usize..];
            if string.starts_with(name.as_bytes()) && string[name.len()] == 0 {
                return self.code.wrapping_add(word(symbol + 8) as usize).cast();
            }
            index = word(hash + 8 + (buckets + u64::from(index)) * 4);
        }
    }

    fn clock_gettime(&self, clock: i32) -> Duration {
        // SAFETY: the symbol has this type.
        let function: extern "C" fn(i32, *mut [i64; 2]) -> i32 =
            unsafe { std::mem::transmute(self.symbol("__vdso_clock_gettime")) };
        let mut time = [0; 2];
        assert_eq!(function(clock, &mut time), 0);
        Duration::new(time[0] as u64, time[1] as u32)
    }
}

fn dynamic_section(image: &[u8]) -> Vec<(elf::DynamicTag, u64)> {
    let file = ElfFile64::<object::Endianness>::parse(image).unwrap();
    let endian = file.endian();
    let segments = file.elf_header().program_headers(endian, image).unwrap();
    let dynamic = segments.iter().find_map(|segment| segment.dynamic(endian, image).unwrap()).unwrap();
    dynamic.iter().map(|entry| (entry.d_tag.get(endian), entry.d_val.get(endian))).collect()
}

/// A data page that a timekeeper has filled, or left empty.
fn vvar(is_filled: bool) -> Vec<u8> {
    let platform: Arc<dyn Platform> = FakePlatform::new(2 << 20).unwrap();
    let frame = FrameAllocator::new(&platform, 2 << 20).allocate().unwrap();
    let timekeeper = Timekeeper::default();
    timekeeper.publish(VvarPage::new(frame.clone()), crate::host::HostCpus::of_this_thread().count());
    if is_filled {
        std::thread::sleep(Duration::from_millis(200));
        timekeeper.now(SystemClock::Monotonic);
    }
    let mut bytes = vec![0; 4096];
    frame.slice().copy_to(&mut bytes[..]);
    bytes
}

fn host(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn times_agree_with_the_host_s_with_and_without_lines() {
    const TOLERANCE: Duration = Duration::from_micros(200);
    for is_filled in [false, true] {
        let vdso = Mapped::new(&vvar(is_filled));
        for (number, clock) in [
            (0, ClockId::Realtime),
            (1, ClockId::Monotonic),
            (4, ClockId::MonotonicRaw),
            (7, ClockId::Boottime),
        ] {
            let (before, time, after) = (host(clock), vdso.clock_gettime(number), host(clock));
            assert!(
                before <= time + TOLERANCE && time <= after + TOLERANCE,
                "clock {number}, filled: {is_filled}: {before:?} {time:?} {after:?}"
            );
        }
    }
}

#[test]
fn reading_takes_no_system_call_while_lines_are_valid() {
    let vdso = Mapped::new(&vvar(true));
    let thread_time = || host(ClockId::ThreadCPUTime);
    let start = thread_time();
    for _ in 0..10_000 {
        vdso.clock_gettime(1);
    }
    // The process's own look-up of the symbol is most of this; a system call in a sandbox would be far
    // more.
    assert!(thread_time() - start < Duration::from_secs(2));
}

#[test]
fn the_other_functions_answer() {
    let vdso = Mapped::new(&vvar(true));
    // SAFETY: the symbols have these types.
    let (gettimeofday, time, getcpu, getres) = unsafe {
        (
            std::mem::transmute::<*const c_void, extern "C" fn(*mut [i64; 2], *mut [i32; 2]) -> i32>(
                vdso.symbol("__vdso_gettimeofday"),
            ),
            std::mem::transmute::<*const c_void, extern "C" fn(*mut i64) -> i64>(vdso.symbol("__vdso_time")),
            std::mem::transmute::<*const c_void, extern "C" fn(*mut u32, *mut u32) -> i32>(
                vdso.symbol("__vdso_getcpu"),
            ),
            std::mem::transmute::<*const c_void, extern "C" fn(i32, *mut [i64; 2]) -> i32>(
                vdso.symbol("__vdso_clock_getres"),
            ),
        )
    };
    let now = host(ClockId::Realtime);
    let (mut value, mut zone) = ([0; 2], [9; 2]);
    assert_eq!(gettimeofday(&mut value, &mut zone), 0);
    let got = Duration::new(value[0] as u64, value[1] as u32 * 1000);
    assert!(got + Duration::from_millis(1) >= now && got < now + Duration::from_secs(5));
    assert_eq!(zone, [0, 0]);
    let mut seconds = 0;
    assert_eq!(time(&mut seconds), seconds);
    assert!(seconds.abs_diff(now.as_secs() as i64) <= 5);
    let (mut cpu, mut node) = (u32::MAX, u32::MAX);
    assert_eq!(getcpu(&mut cpu, &mut node), 0);
    assert!(cpu < 4096 && node != u32::MAX);
    let mut resolution = [9; 2];
    assert_eq!(getres(1, &mut resolution), 0);
    assert_eq!(resolution, [0, 1]);
}

#[test]
fn the_image_is_a_shared_object_that_a_loader_understands() {
    let image = vdso_image();
    assert_eq!(image.len(), CODE_BYTES);
    let tags: Vec<elf::DynamicTag> = dynamic_section(&image).into_iter().map(|(tag, _)| tag).collect();
    for tag in [elf::DT_SONAME, elf::DT_HASH, elf::DT_STRTAB, elf::DT_SYMTAB, elf::DT_VERSYM, elf::DT_VERDEF]
    {
        assert!(tags.contains(&tag), "tag {tag:#x}");
    }
}
