//! Kicks lose nothing, contexts share vCPUs, and nothing that user code does breaks the host's loop.

mod common;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{CODE, Guest, RW, STACK_TOP, start};
use platform_kvm::{Config, KvmPlatform};
use rustix::thread::CpuSet;
use sentry::platform::{Exit, Interrupter, PAGE_SIZE, Platform, Registers, SegmentBases, VirtualAddress};

/// 1: inc %rbx; jmp 1b
const SPIN: [u8; 5] = [0x48, 0xff, 0xc3, 0xeb, 0xfb];

/// Kicks `interrupters` at random moments until told to stop.
fn kick_until(is_done: &AtomicBool, interrupters: &[Arc<dyn Interrupter>]) {
    let mut random = Random::new();
    while !is_done.load(Ordering::SeqCst) {
        for interrupter in interrupters {
            interrupter.interrupt();
        }
        let until = Instant::now() + Duration::from_nanos(random.next() % 80_000);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
}

/// Ends a loop when dropped, be it by a failed assertion.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Numbers that differ from run to run (xorshift).
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = RandomState::new().build_hasher().finish() | 1;
        eprintln!("seed {seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn a_kick_ends_an_endless_loop() {
    let guest = Guest::new();
    let space = guest.space(&SPIN);
    let mut context = guest.context();
    let interrupter = context.interrupter();
    let mut registers = start();
    for _ in 0..50 {
        let (begun, interrupter) = (Instant::now(), interrupter.clone());
        let kicker = thread::spawn(move || {
            thread::sleep(Duration::from_millis(2));
            interrupter.interrupt();
        });
        assert!(matches!(context.run(&space, &mut registers), Exit::Interrupted));
        assert!(begun.elapsed() < Duration::from_secs(1));
        kicker.join().unwrap();
    }
    assert!(registers.rbx > 0);
}

#[test]
fn a_kick_before_the_run_ends_it_once() {
    let guest = Guest::new();
    let space = guest.space(&[0x0f, 0x05]);
    let mut context = guest.context();
    let mut registers = start();
    context.interrupter().interrupt();
    context.interrupter().interrupt();
    assert!(matches!(context.run(&space, &mut registers), Exit::Interrupted));
    assert_eq!(registers, start());
    assert!(matches!(context.run(&space, &mut registers), Exit::Syscall));
}

#[test]
fn kicks_at_random_moments_lose_nothing() {
    // A loop over everything that leaves user code. Each pass counts in a register what it saw happen.
    // 1: inc %r12; syscall; inc %r13; ud2; inc %r14; mov (%rdi), %rbx; inc %r15; int3; inc %rbp; jmp 1b
    let code = [
        0x49, 0xff, 0xc4, 0x0f, 0x05, 0x49, 0xff, 0xc5, 0x0f, 0x0b, 0x49, 0xff, 0xc6, 0x48, 0x8b, 0x1f, 0x49,
        0xff, 0xc7, 0xcc, 0x48, 0xff, 0xc5, 0xeb, 0xe7,
    ];
    let guest = Guest::new();
    let space = guest.space(&code);
    let mut context = guest.context();
    let interrupters = [context.interrupter()];
    let is_done = AtomicBool::new(false);
    let mut kicks = 0;
    thread::scope(|scope| {
        let done = Done(&is_done);
        scope.spawn(|| kick_until(&is_done, &interrupters));
        let mut registers = Registers { rdi: 0x1234_5000, rsi: 0xabcd, ..start() };
        let (mut calls, mut undefined, mut faults, mut breakpoints) = (0, 0, 0, 0);
        let deadline = Instant::now() + Duration::from_secs(4);
        while Instant::now() < deadline {
            match context.run(&space, &mut registers) {
                Exit::Syscall => {
                    calls += 1;
                    assert_eq!(registers.rip, CODE + 5);
                }
                Exit::Exception { vector: 6, .. } => {
                    undefined += 1;
                    assert_eq!(registers.rip, CODE + 8);
                    registers.rip += 2;
                }
                Exit::Fault { address, .. } => {
                    faults += 1;
                    assert_eq!((address.0, registers.rip), (0x1234_5000, CODE + 13));
                    registers.rip += 3;
                }
                Exit::Exception { vector: 3, .. } => {
                    breakpoints += 1;
                    assert_eq!(registers.rip, CODE + 20);
                }
                Exit::Interrupted => kicks += 1,
                other => panic!("{other:?}"),
            }
            assert_eq!((registers.rsi, registers.rsp), (0xabcd, STACK_TOP));
            // What user code counted, and what we saw, in the order in which it happens.
            let order = [
                registers.r12,
                calls,
                registers.r13,
                undefined,
                registers.r14,
                faults,
                registers.r15,
                breakpoints,
                registers.rbp,
            ];
            let is_kept = order.is_sorted_by(|left, right| left >= right) && order[0] - order[8] <= 1;
            assert!(is_kept, "{order:?} at {:#x}", registers.rip);
        }
        drop(done);
        eprintln!("{calls} calls, {kicks} kicks");
        assert!(calls > 100);
    });
    assert!(kicks > 100, "{kicks}");
}

#[test]
fn replaced_registers_survive_kicks() {
    // ud2; syscall
    let guest = Guest::new();
    let space = guest.space(&[0x0f, 0x0b, 0x0f, 0x05]);
    let mut context = guest.context();
    let interrupters = [context.interrupter()];
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let done = Done(&is_done);
        scope.spawn(|| kick_until(&is_done, &interrupters));
        for count in 0..20_000_u64 {
            let is_call = count % 3 == 0;
            let rip = if is_call { CODE + 2 } else { CODE };
            let wanted = Registers { rip, rbx: count, rcx: count + 1, r11: count + 2, ..start() };
            let mut registers = wanted;
            loop {
                match context.run(&space, &mut registers) {
                    Exit::Interrupted => assert_eq!(registers, wanted),
                    Exit::Syscall if is_call => {
                        let rip = CODE + 4;
                        assert_eq!(registers, Registers { rip, rcx: rip, r11: wanted.rflags, ..wanted });
                        break;
                    }
                    Exit::Exception { vector: 6, .. } if !is_call => {
                        assert_eq!(registers, wanted);
                        break;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        drop(done);
    });
}

#[test]
fn fifty_contexts_share_two_vcpus() {
    // movq %rbx, %xmm5; syscall; movq %xmm5, %rax; rdfsbase %rdx; inc %rbx; jmp back to the start
    let code = [
        0x66, 0x48, 0x0f, 0x6e, 0xeb, 0x0f, 0x05, 0x66, 0x48, 0x0f, 0x7e, 0xe8, 0xf3, 0x48, 0x0f, 0xae, 0xc2,
        0x48, 0xff, 0xc3, 0x0f, 0x05, 0xeb, 0xe8,
    ];
    let guest = Guest::with_config(Config { vcpus_max: 2, ..Config::default() });
    let spaces: Vec<_> = (0..5).map(|_| guest.space(&code)).collect();
    thread::scope(|scope| {
        for task in 0..50_u64 {
            let mut context = guest.context();
            let space = &spaces[task as usize % spaces.len()];
            scope.spawn(move || {
                let base = 0x1000_0000 * (task + 1);
                context.set_segment_bases(SegmentBases { fs: base, gs: 0 });
                let mut registers = Registers { rbx: base, ..start() };
                for round in 0..20 {
                    assert!(matches!(context.run(space, &mut registers), Exit::Syscall));
                    if round % 5 == 0 {
                        context.sleep();
                        thread::sleep(Duration::from_micros(50));
                    }
                    assert!(matches!(context.run(space, &mut registers), Exit::Syscall));
                    assert_eq!((registers.rax, registers.rdx), (base + round, base));
                }
            });
        }
    });
}

#[test]
fn a_context_that_has_prepared_goes_into_user_code_at_once() {
    let guest = Guest::with_config(Config { vcpus_max: 1, ..Config::default() });
    let space = guest.space(&[0x0f, 0x05, 0xeb, 0xfc]);
    let [mut first, mut second] = [(); 2].map(|()| guest.context());
    let (mut first_registers, mut second_registers) = (start(), start());
    assert!(!first.wake(), "a new context has no vCPU");
    for _ in 0..3 {
        // Each takes the only vCPU from the other, which sleeps.
        for (context, registers) in [(&mut first, &mut first_registers), (&mut second, &mut second_registers)]
        {
            context.prepare();
            assert!(context.wake());
            assert!(matches!(context.run(&space, registers), Exit::Syscall));
            context.sleep();
        }
        assert!(!first.wake(), "the other has its vCPU");
        assert!(second.wake(), "nobody wanted its vCPU");
        second.sleep();
    }
    // A wish to interrupt ends the wait for a vCPU, and the run that follows.
    second.wake();
    let interrupter = first.interrupter();
    interrupter.interrupt();
    first.prepare();
    assert!(matches!(first.run(&space, &mut first_registers), Exit::Interrupted));
    assert!(matches!(first.run(&space, &mut first_registers), Exit::Syscall));
}

#[test]
fn contexts_that_never_leave_user_code_take_turns() {
    let guest = Guest::with_config(Config { vcpus_max: 2, ..Config::default() });
    let space = guest.space(&SPIN);
    let contexts: Vec<_> = (0..6).map(|_| guest.context()).collect();
    let interrupters: Vec<_> = contexts.iter().map(|context| context.interrupter()).collect();
    thread::scope(|scope| {
        let handles: Vec<_> = contexts
            .into_iter()
            .map(|mut context| {
                let space = &space;
                scope.spawn(move || {
                    let mut registers = start();
                    assert!(matches!(context.run(space, &mut registers), Exit::Interrupted));
                    registers.rbx
                })
            })
            .collect();
        thread::sleep(Duration::from_secs(1));
        for interrupter in &interrupters {
            interrupter.interrupt();
        }
        let counts: Vec<u64> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
        eprintln!("{counts:?}");
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    });
}

#[test]
fn contexts_that_sleep_get_vcpus_beside_many_that_spin_on_one_processor() {
    const SPINNERS: usize = 12;
    const SLEEPERS: usize = 20;
    // syscall; jmp back to the start
    const CALLS: [u8; 4] = [0x0f, 0x05, 0xeb, 0xfc];
    let guest = Guest::with_config(Config { vcpus_max: 2, ..Config::default() });
    let (spinning, calling) = (guest.space(&SPIN), guest.space(&CALLS));
    let spinners: Vec<_> = (0..SPINNERS).map(|_| guest.context()).collect();
    let interrupters: Vec<_> = spinners.iter().map(|context| context.interrupter()).collect();
    thread::scope(|scope| {
        for mut context in spinners {
            let space = &spinning;
            scope.spawn(move || {
                stay_on_one_processor();
                assert!(matches!(context.run(space, &mut start()), Exit::Interrupted));
            });
        }
        let sleepers: Vec<_> = (0..SLEEPERS)
            .map(|_| {
                let (mut context, space) = (guest.context(), &calling);
                scope.spawn(move || {
                    stay_on_one_processor();
                    let mut registers = start();
                    for _ in 0..5 {
                        assert!(matches!(context.run(space, &mut registers), Exit::Syscall));
                        context.sleep();
                        thread::sleep(Duration::from_micros(50));
                    }
                })
            })
            .collect();
        sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
        interrupters.iter().for_each(|interrupter| interrupter.interrupt());
    });
}

/// The calling thread leaves all processors but the first that it may have.
fn stay_on_one_processor() {
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let first = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)).unwrap();
    let mut one = CpuSet::new();
    one.set(first);
    rustix::thread::sched_setaffinity(None, &one).unwrap();
}

#[test]
fn many_contexts_come_and_go() {
    let guest = Guest::with_config(Config { vcpus_max: 4, ..Config::default() });
    let space = guest.space(&[0x0f, 0x05]);
    for _ in 0..200 {
        let mut context = guest.context();
        assert!(matches!(context.run(&space, &mut start()), Exit::Syscall));
    }
    // All of them live, asleep.
    let mut contexts: Vec<_> = (0..3000).map(|_| guest.context()).collect();
    for context in &mut contexts {
        assert!(matches!(context.run(&space, &mut start()), Exit::Syscall));
        context.sleep();
    }
}

#[test]
fn extended_state_is_the_contexts() {
    let guest = Guest::with_config(Config { vcpus_max: 1, ..Config::default() });
    // movq %rbx, %xmm0; syscall; movq %xmm0, %rax; stmxcsr -8(%rsp); mov -8(%rsp), %edx; syscall
    let space = guest.space(&[
        0x66, 0x48, 0x0f, 0x6e, 0xc3, 0x0f, 0x05, 0x66, 0x48, 0x0f, 0x7e, 0xc0, 0x0f, 0xae, 0x5c, 0x24, 0xf8,
        0x8b, 0x54, 0x24, 0xf8, 0x0f, 0x05,
    ]);
    let mut first = guest.context();
    let mut registers = Registers { rbx: 0x1234, ..start() };
    assert!(matches!(first.run(&space, &mut registers), Exit::Syscall));
    let mut area = first.extended_state();
    assert_eq!(area.len(), guest.platform.extended_state_len_bytes());
    assert_eq!(area[160..168], 0x1234_u64.to_le_bytes());
    area[160] = 0x35;
    area[24..28].copy_from_slice(&0x1fa0_u32.to_le_bytes());
    first.set_extended_state(&area).unwrap();
    // A new task on the same vCPU starts afresh.
    let mut second = guest.context();
    let mut others = Registers { rip: CODE + 7, ..start() };
    assert!(matches!(second.run(&space, &mut others), Exit::Syscall));
    assert_eq!((others.rax, others.rdx), (0, 0x1f80));
    assert_eq!(first.extended_state()[160..162], [0x35, 0x12]);
    assert!(matches!(first.run(&space, &mut registers), Exit::Syscall));
    assert_eq!((registers.rax, registers.rdx), (0x1235, 0x1fa0));
    assert!(first.set_extended_state(&[0; 100]).is_err());
    assert!(first.set_extended_state(&[0xff; 576]).is_err());
    first.set_extended_state(&[0; 512]).unwrap();
    registers.rip = CODE + 7;
    assert!(matches!(first.run(&space, &mut registers), Exit::Syscall));
    assert_eq!(registers.rax, 0);
}

#[test]
fn avx_registers_survive_the_loss_of_a_vcpu() {
    if !std::arch::is_x86_feature_detected!("avx2") {
        return;
    }
    let guest = Guest::with_config(Config { vcpus_max: 1, ..Config::default() });
    // vpbroadcastq of %rbx to %ymm3 by way of %xmm3; syscall; vextracti128 $1, %ymm3, %xmm0; movq %xmm0, %rax; syscall
    let space = guest.space(&[
        0x66, 0x48, 0x0f, 0x6e, 0xdb, 0xc4, 0xe2, 0x7d, 0x59, 0xdb, 0x0f, 0x05, 0xc4, 0xe3, 0x7d, 0x39, 0xd8,
        0x01, 0x66, 0x48, 0x0f, 0x7e, 0xc0, 0x0f, 0x05,
    ]);
    let mut tasks: Vec<_> =
        (1..5).map(|task| (guest.context(), Registers { rbx: task * 0x1111, ..start() })).collect();
    for (context, registers) in &mut tasks {
        assert!(matches!(context.run(&space, registers), Exit::Syscall));
    }
    for (context, registers) in &mut tasks {
        assert!(matches!(context.run(&space, registers), Exit::Syscall));
        assert_eq!(registers.rax, registers.rbx);
    }
}

#[test]
fn garbage_never_breaks_the_host() {
    let guest = Guest::new();
    let space = guest.space(&[0]);
    let code = guest.frames(1, PAGE_SIZE);
    let garbage = VirtualAddress(0x50_0000);
    space.map(garbage, &[code], sentry::platform::Access::all()).unwrap();
    space.map(VirtualAddress(0x60_0000), &[guest.frames(16, PAGE_SIZE)], RW).unwrap();
    let mut context = guest.context();
    let interrupter = context.interrupter();
    let runs = AtomicU64::new(0);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let done = Done(&is_done);
        scope.spawn(|| {
            // Gets garbage out of endless loops.
            let mut last = u64::MAX;
            while !is_done.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(2));
                if std::mem::replace(&mut last, runs.load(Ordering::SeqCst)) == last {
                    interrupter.interrupt();
                }
            }
        });
        let mut random = Random::new();
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            let bytes: Vec<u8> = (0..512).flat_map(|_| random.next().to_le_bytes()).collect();
            guest.write(code, &bytes);
            let near = |random: &mut Random| match random.next() % 4 {
                0 => random.next(),
                1 => 0xffff_ff80_0000_0000 + random.next() % 0x1_0000,
                _ => 0x60_0000 + random.next() % 0x1_0000,
            };
            let mut registers = Registers {
                rip: garbage.0 + random.next() % PAGE_SIZE,
                rsp: near(&mut random),
                rax: near(&mut random),
                rcx: near(&mut random),
                rdx: random.next() % 0x40,
                rdi: near(&mut random),
                rsi: near(&mut random),
                r11: random.next(),
                rflags: random.next(),
                ..start()
            };
            if random.next().is_multiple_of(4) {
                context.set_segment_bases(SegmentBases { fs: near(&mut random), gs: near(&mut random) });
            }
            for _ in 0..20 {
                runs.fetch_add(1, Ordering::SeqCst);
                match context.run(&space, &mut registers) {
                    Exit::Broken(reason) => {
                        let at = registers.rip.wrapping_sub(garbage.0) as usize;
                        let code = bytes.get(at..).map(|code| &code[..code.len().min(16)]);
                        panic!("{reason}: {registers:x?}, code {code:x?}")
                    }
                    Exit::Lost => panic!("no file is mapped: {registers:x?}"),
                    Exit::Interrupted => break,
                    Exit::Exception { .. } | Exit::Fault { .. } => {
                        registers.rip = registers.rip.wrapping_add(1)
                    }
                    Exit::Syscall => {}
                }
            }
        }
        drop(done);
        eprintln!("{} runs", runs.load(Ordering::SeqCst));
    });
}

#[test]
fn a_platform_is_made_while_signals_arrive() {
    extern "C" fn on_signal(_: i32, _: *mut libc::siginfo_t, _: *mut std::ffi::c_void) {}
    vmm_sys_util::signal::register_signal_handler(libc::SIGUSR1, on_signal).unwrap();
    let (is_done, target) = (AtomicBool::new(false), rustix::thread::gettid().as_raw_nonzero().get());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                // SAFETY: tgkill(2) takes three numbers; the signal has a handler.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), target, libc::SIGUSR1) };
                // The host needs some time without.
                thread::sleep(Duration::from_micros(50));
            }
        });
        let results: Vec<_> = (0..20)
            .map(|_| KvmPlatform::new(Config { memory_bytes: 64 << 20, vcpus_max: 1, ..Config::default() }))
            .collect();
        is_done.store(true, Ordering::Relaxed);
        for result in results {
            assert!(result.is_ok(), "{:?}", result.err());
        }
    });
}
