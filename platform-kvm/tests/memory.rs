//! What is no longer mapped is no longer reached, whatever the host's MMU remembers.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use common::{Guest, RW, RX, start};
use sentry::platform::{
    Access, AddressSpace, Context, Exit, FrameRun, GuestAddress, PAGE_SIZE, Platform, Registers,
    VirtualAddress, VirtualRange,
};

const DATA: u64 = 0x1000_0000;
const LARGE: u64 = 2 << 20;

/// mov (%rdi), %rax; syscall
const LOAD: [u8; 5] = [0x48, 0x8b, 0x07, 0x0f, 0x05];
/// mov %rsi, (%rdi); syscall
const STORE: [u8; 5] = [0x48, 0x89, 0x37, 0x0f, 0x05];

/// One context that loads and stores where it is told.
struct Prober {
    space: Arc<dyn AddressSpace>,
    context: Box<dyn Context>,
}

impl Prober {
    fn new(guest: &Guest) -> Self {
        let mut code = LOAD.to_vec();
        code.resize(0x10, 0x90);
        code.extend(STORE);
        Self { space: guest.space(&code), context: guest.context() }
    }

    /// `None` for a page fault.
    fn load(&mut self, address: u64) -> Option<u64> {
        let mut registers = Registers { rdi: address, ..start() };
        self.finish(address, Access::READ, &mut registers).then_some(registers.rax)
    }

    /// Whether it went through.
    fn store(&mut self, address: u64, value: u64) -> bool {
        let mut registers = Registers { rdi: address, rsi: value, ..start() };
        registers.rip += 0x10;
        self.finish(address, Access::WRITE, &mut registers)
    }

    fn finish(&mut self, wanted: u64, kind: Access, registers: &mut Registers) -> bool {
        match self.context.run(&self.space, registers) {
            Exit::Syscall => true,
            Exit::Fault { address, access } if address.0 == wanted && access == kind => false,
            other => panic!("{wanted:#x}: {other:?}"),
        }
    }
}

fn range(start: u64, len_bytes: u64) -> VirtualRange {
    VirtualRange::new(VirtualAddress(start), len_bytes).unwrap()
}

fn read_u64(guest: &Guest, frame: FrameRun) -> u64 {
    let word: &AtomicU64 = guest.platform.memory().atomic(frame.start).unwrap();
    word.load(Ordering::SeqCst)
}

fn page(run: FrameRun, index: u64) -> FrameRun {
    FrameRun { start: GuestAddress(run.start.0 + index * PAGE_SIZE), pages: 1 }
}

#[test]
fn single_pages_change_at_once() {
    let guest = Guest::new();
    let mut prober = Prober::new(&guest);
    let frames = guest.frames(3, PAGE_SIZE);
    for index in 0..3 {
        guest.write(page(frames, index), &(0x1111 * (index + 1)).to_le_bytes());
    }
    let map = |prober: &Prober, index, access| {
        prober.space.map(VirtualAddress(DATA), &[page(frames, index)], access).unwrap();
    };
    for _ in 0..3 {
        map(&prober, 0, RW);
        assert_eq!(prober.load(DATA), Some(0x1111));
        assert!(prober.store(DATA, 0x1111));
        map(&prober, 1, RW);
        assert_eq!(prober.load(DATA), Some(0x2222));
        assert!(prober.store(DATA, 0x2222));
        prober.space.protect(range(DATA, PAGE_SIZE), Access::READ);
        assert!(!prober.store(DATA, 1));
        assert_eq!(prober.load(DATA), Some(0x2222));
        prober.space.protect(range(DATA, PAGE_SIZE), RW);
        assert!(prober.store(DATA, 0x2222));
        map(&prober, 1, Access::READ);
        assert!(!prober.store(DATA, 1));
        map(&prober, 2, RW);
        assert!(prober.store(DATA, 0x3333));
        prober.space.unmap(range(DATA, PAGE_SIZE));
        assert_eq!(prober.load(DATA), None);
        assert!(!prober.store(DATA, 1));
        map(&prober, 2, RW);
        assert_eq!(prober.load(DATA), Some(0x3333));
        prober.space.clear();
        assert_eq!(prober.space.translate(VirtualAddress(DATA)), None);
        let Exit::Fault { .. } = prober.context.run(&prober.space, &mut start()) else {
            panic!("code remains")
        };
        prober = Prober { space: Prober::new(&guest).space, ..prober };
    }
}

#[test]
fn execution_can_be_taken_and_given() {
    let guest = Guest::new();
    let space = guest.space(&LOAD);
    let mut context = guest.context();
    let code = range(common::CODE, PAGE_SIZE);
    let mut run =
        |space: &Arc<dyn AddressSpace>| context.run(space, &mut Registers { rdi: common::CODE, ..start() });
    assert!(matches!(run(&space), Exit::Syscall));
    space.protect(code, RW);
    assert!(matches!(run(&space), Exit::Fault { access: Access::EXECUTE, .. }));
    space.protect(code, RX);
    assert!(matches!(run(&space), Exit::Syscall));
}

#[test]
fn neighbours_that_a_fault_brought_along_go_too() {
    let guest = Guest::new();
    let mut prober = Prober::new(&guest);
    let frames = guest.frames(16, PAGE_SIZE);
    prober.space.map(VirtualAddress(DATA), &[frames], RW).unwrap();
    assert!(prober.load(DATA).is_some());
    prober.space.protect(range(DATA, 8 * PAGE_SIZE), Access::READ);
    prober.space.unmap(range(DATA + 8 * PAGE_SIZE, 8 * PAGE_SIZE));
    for index in 0..16 {
        let address = DATA + index * PAGE_SIZE;
        assert!(!prober.store(address, 1), "page {index}");
        assert_eq!(prober.load(address).is_some(), index < 8, "page {index}");
    }
}

#[test]
fn scattered_changes_beyond_the_flush_limit_take_effect() {
    let guest = Guest::new();
    let mut prober = Prober::new(&guest);
    let frames = guest.frames(512, PAGE_SIZE);
    let backwards: Vec<FrameRun> = (0..256).map(|index| page(frames, 510 - 2 * index)).collect();
    prober.space.map(VirtualAddress(DATA), &backwards, RW).unwrap();
    for index in 0..256 {
        assert!(prober.store(DATA + index * PAGE_SIZE, index));
    }
    prober.space.protect(range(DATA, 256 * PAGE_SIZE), Access::READ);
    for index in 0..256 {
        assert!(!prober.store(DATA + index * PAGE_SIZE, 7), "page {index}");
        assert_eq!(prober.load(DATA + index * PAGE_SIZE), Some(index));
    }
    prober.space.unmap(range(DATA, 256 * PAGE_SIZE));
    for index in 0..256 {
        assert_eq!(prober.load(DATA + index * PAGE_SIZE), None, "page {index}");
    }
}

#[test]
fn large_pages_split_and_come_and_go() {
    let guest = Guest::new();
    let mut prober = Prober::new(&guest);
    // The second is made of small host pages, so that the host's MMU splits it.
    for is_huge in [true, false] {
        let run = guest.frames(1024, LARGE);
        if !is_huge {
            for index in (0..1024).step_by(2) {
                let frame = page(run, index);
                guest.platform.memory().discard(frame.start, PAGE_SIZE as usize).unwrap();
            }
            for index in 0..1024 {
                guest.write(page(run, index), &[0]);
            }
        }
        let first = FrameRun { pages: 512, ..run };
        let second = FrameRun { start: GuestAddress(run.start.0 + LARGE), pages: 512 };
        guest.write(page(first, 3), &11_u64.to_le_bytes());
        guest.write(page(second, 3), &22_u64.to_le_bytes());
        let inside = DATA + 3 * PAGE_SIZE;

        prober.space.map(VirtualAddress(DATA), &[first], RW).unwrap();
        assert_eq!(prober.load(inside), Some(11));
        // Another large page in its place.
        prober.space.map(VirtualAddress(DATA), &[second], RW).unwrap();
        assert_eq!(prober.load(inside), Some(22));
        // Write protection of all, then of one page.
        prober.space.protect(range(DATA, LARGE), Access::READ);
        assert!(!prober.store(inside, 1));
        prober.space.protect(range(DATA, LARGE), RW);
        assert!(prober.store(inside, 22));
        prober.space.protect(range(inside, PAGE_SIZE), Access::READ);
        assert!(!prober.store(inside, 1));
        assert!(prober.store(inside + PAGE_SIZE, 1));
        // A hole.
        prober.space.unmap(range(inside, PAGE_SIZE));
        for offset in [0, PAGE_SIZE, 5 * PAGE_SIZE] {
            assert!(prober.load(inside + offset - 2 * PAGE_SIZE).is_some());
        }
        assert_eq!(prober.load(inside), None);
        // Away, and back as what it was not.
        prober.space.unmap(range(DATA, LARGE));
        assert_eq!(prober.load(inside + PAGE_SIZE), None);
        prober.space.map(VirtualAddress(DATA), &[first], RW).unwrap();
        assert_eq!(prober.load(inside), Some(11));
        prober.space.unmap(range(DATA, LARGE));

        let elsewhere = DATA + 16 * LARGE + u64::from(is_huge) * LARGE;
        prober.space.map(VirtualAddress(elsewhere), &[first], RW).unwrap();
        assert_eq!(prober.load(elsewhere + 3 * PAGE_SIZE), Some(11));
        prober.space.unmap(range(elsewhere, LARGE));
        prober.space.map(VirtualAddress(elsewhere + 3 * PAGE_SIZE), &[page(second, 3)], RW).unwrap();
        assert_eq!(prober.load(elsewhere + 3 * PAGE_SIZE), Some(22));
        for index in (0..512).filter(|index| *index != 3) {
            assert_eq!(prober.load(elsewhere + index * PAGE_SIZE), None, "page {index}");
        }
    }
}

#[test]
fn a_new_space_does_not_show_a_dead_ones_memory() {
    let guest = Guest::new();
    let secret = guest.frames(1, PAGE_SIZE);
    guest.write(secret, &0x5ec7e7_u64.to_le_bytes());
    let mut context = guest.context();
    for _ in 0..20 {
        let dead = guest.space(&LOAD);
        dead.map(VirtualAddress(DATA), &[secret], RW).unwrap();
        let mut registers = Registers { rdi: DATA, ..start() };
        assert!(matches!(context.run(&dead, &mut registers), Exit::Syscall));
        assert_eq!(registers.rax, 0x5ec7e7);
        drop(dead);
        let fresh = guest.space(&LOAD);
        let mut registers = Registers { rdi: DATA, ..start() };
        let exit = context.run(&fresh, &mut registers);
        assert!(matches!(exit, Exit::Fault { .. }), "{exit:?}");
    }
}

#[test]
fn an_abandoned_space_shows_nothing_and_disturbs_nobody() {
    let guest = Guest::new();
    let frames = guest.frames(2, PAGE_SIZE);
    guest.write(page(frames, 0), &0x1111_u64.to_le_bytes());
    guest.write(page(frames, 1), &0x2222_u64.to_le_bytes());
    let mut survivor = Prober::new(&guest);
    survivor.space.map(VirtualAddress(DATA), &[frames], RW).unwrap();
    // More than are ready, so that tables come back from the dead.
    for _ in 0..40 {
        let mut dying = Prober::new(&guest);
        dying.space.map(VirtualAddress(DATA), &[page(frames, 1)], RW).unwrap();
        assert_eq!(dying.load(DATA + PAGE_SIZE), None);
        assert_eq!(dying.load(DATA), Some(0x2222));
        dying.space.abandon();
        assert_eq!(survivor.load(DATA), Some(0x1111));
        assert!(survivor.store(DATA + PAGE_SIZE, 0x2222));
        assert!(matches!(dying.context.run(&dying.space, &mut start()), Exit::Broken(_)));
        // Changes that come late are of no consequence.
        dying.space.map(VirtualAddress(DATA), &[frames], RW).unwrap();
        dying.space.protect(range(DATA, PAGE_SIZE), Access::READ);
        dying.space.unmap(range(0, VirtualAddress::USER_END.0));
        dying.space.clear();
        dying.space.abandon();
        assert_eq!(dying.space.translate(VirtualAddress(DATA)), None);
    }
}

#[test]
fn tables_that_would_grow_without_bound_start_afresh() {
    let guest = Guest::new();
    let mut prober = Prober::new(&guest);
    let frame = guest.frames(1, PAGE_SIZE);
    for index in 1..5000_u64 {
        prober.space.map(VirtualAddress(index << 30), &[frame], RW).unwrap();
    }
    assert_eq!(prober.space.translate(VirtualAddress(1 << 30)), None);
    assert_eq!(prober.space.translate(VirtualAddress(common::CODE)), None);
    prober.space = Prober::new(&guest).space;
    prober.space.map(VirtualAddress(DATA), &[frame], RW).unwrap();
    assert!(prober.load(DATA).is_some());
}

/// Runs `body` while other threads run contexts that write to the page at [`DATA`] again and again.
fn with_writers(guest: &Guest, prober: &Prober, body: impl FnOnce()) {
    let is_done = AtomicBool::new(false);
    let contexts: Vec<_> = (0..2).map(|_| guest.context()).collect();
    let interrupters: Vec<_> = contexts.iter().map(|context| context.interrupter()).collect();
    // 1: mov %rsi, (%rdi); jmp 1b
    let code = guest.frames(1, PAGE_SIZE);
    guest.write(code, &[0x48, 0x89, 0x37, 0xeb, 0xfb]);
    const WRITER: u64 = 0x50_0000;
    prober.space.map(VirtualAddress(WRITER), &[code], RX).unwrap();
    thread::scope(|scope| {
        for mut context in contexts {
            let (space, is_done) = (prober.space.clone(), &is_done);
            scope.spawn(move || {
                let mut registers = Registers { rip: WRITER, rdi: DATA, rsi: 0xbad, ..start() };
                while !is_done.load(Ordering::SeqCst) {
                    match context.run(&space, &mut registers) {
                        Exit::Fault { .. } | Exit::Interrupted => {}
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        is_done.store(true, Ordering::SeqCst);
        for interrupter in interrupters {
            interrupter.interrupt();
        }
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn running_contexts_lose_what_others_take_away() {
    let guest = Guest::new();
    let prober = Prober::new(&guest);
    let frames = guest.frames(2, PAGE_SIZE);
    let (frame, other) = (page(frames, 0), page(frames, 1));
    let data = range(DATA, PAGE_SIZE);
    let assert_untouched = |what: &str, frame| {
        guest.write(frame, &0_u64.to_le_bytes());
        for _ in 0..200 {
            assert_eq!(read_u64(&guest, frame), 0, "{what}");
            std::hint::spin_loop();
        }
    };
    let wait_until_written = |frame| {
        guest.write(frame, &0_u64.to_le_bytes());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while read_u64(&guest, frame) == 0 {
            assert!(std::time::Instant::now() < deadline, "nobody writes");
            thread::yield_now();
        }
    };
    with_writers(&guest, &prober, || {
        for _ in 0..60 {
            prober.space.map(VirtualAddress(DATA), &[frame], RW).unwrap();
            wait_until_written(frame);
            prober.space.protect(data, Access::READ);
            assert_untouched("protect", frame);
            prober.space.protect(data, RW);
            wait_until_written(frame);
            prober.space.map(VirtualAddress(DATA), &[other], RW).unwrap();
            assert_untouched("map", frame);
            wait_until_written(other);
            prober.space.unmap(data);
            assert_untouched("unmap", other);
        }
    });
}

#[test]
fn running_contexts_lose_pieces_of_large_pages() {
    let guest = Guest::new();
    let prober = Prober::new(&guest);
    let run = guest.frames(512, LARGE);
    with_writers(&guest, &prober, || {
        for _ in 0..20 {
            prober.space.map(VirtualAddress(DATA), &[run], RW).unwrap();
            thread::sleep(std::time::Duration::from_millis(1));
            prober.space.unmap(range(DATA, PAGE_SIZE));
            guest.write(run, &0_u64.to_le_bytes());
            for _ in 0..200 {
                assert_eq!(read_u64(&guest, run), 0);
            }
            prober.space.unmap(range(DATA, LARGE));
        }
    });
}

#[test]
fn the_sentry_can_write_while_translations_go() {
    let guest = Guest::new();
    let prober = Prober::new(&guest);
    let frames = guest.frames(4, PAGE_SIZE);
    prober.space.map(VirtualAddress(DATA), &[frames], RW).unwrap();
    with_writers(&guest, &prober, || {
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let (guest, is_done) = (&guest, &is_done);
            scope.spawn(move || {
                while !is_done.load(Ordering::SeqCst) {
                    guest.write(frames, &[1; 4096]);
                    read_u64(guest, page(frames, 2));
                }
            });
            for _ in 0..2000 {
                prober.space.protect(range(DATA, 4 * PAGE_SIZE), Access::READ);
                prober.space.protect(range(DATA, 4 * PAGE_SIZE), RW);
            }
            is_done.store(true, Ordering::SeqCst);
        });
    });
}
