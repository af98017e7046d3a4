//! Many tasks at once that make, end, kill, stop and wait for each other, on the fake platform.
//!
//! User code is a random series of system calls. From outside, one thread kills and stops at random, and others have
//! the whole set stand still and then check every invariant. A watcher ends the test
//! if threads wait for each other's locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use linux_raw_sys::general as uapi;

use super::tests::Fixture;
use super::{ExitStatus, Task, UnstartedTask};
use crate::cred::{Credentials, KernelUid};
use crate::platform::fake::Script;
use crate::platform::{Exit, Registers};
use crate::signal::{Signal, SignalInfo};

/// How many tasks are made in all, and how many there may be at once.
const CREATED: u64 = 4000;
const ALIVE: usize = 120;
const DEADLINE: Duration = Duration::from_secs(60);

/// Numbers without a pattern (Marsaglia, "Xorshift RNGs").
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// What all tasks share.
struct Arena {
    fixture: Fixture,
    seed: AtomicU64,
    is_over: AtomicBool,
    calls: AtomicUsize,
}

const THREAD: u32 = uapi::CLONE_VM
    | uapi::CLONE_FS
    | uapi::CLONE_FILES
    | uapi::CLONE_SIGHAND
    | uapi::CLONE_SYSVSEM
    | uapi::CLONE_THREAD;
const PROCESS: u32 = uapi::SIGCHLD;

impl Arena {
    fn new() -> Arc<Self> {
        let arena = Arc::new(Self {
            fixture: Fixture::new(),
            seed: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
        });
        let weak = Arc::downgrade(&arena);
        arena.fixture.platform().set_default_script(Box::new(move || {
            let Some(arena) = weak.upgrade() else { return Box::new(|_, _| Exit::Interrupted) };
            let seed = arena.seed.fetch_add(1, Ordering::Relaxed);
            arena.script(seed)
        }));
        arena
    }

    fn created(&self) -> u64 {
        self.fixture.tasks().created_count()
    }

    fn may_create(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
            && self.created() < CREATED
            && self.fixture.tasks().task_count() < ALIVE
    }

    /// The user code of one task. The first waits for children, for as long as there is anything to do.
    fn script(self: &Arc<Self>, seed: u64) -> Script {
        let arena = Arc::downgrade(self);
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        Box::new(move |_, registers| {
            let Some(arena) = arena.upgrade() else { return Exit::Interrupted };
            arena.calls.fetch_add(1, Ordering::Relaxed);
            let (number, arguments) =
                if seed == 0 { arena.call_of_init(&mut random) } else { arena.call(&mut random) };
            registers.rax = number.into();
            [registers.rdi, registers.rsi, registers.rdx, registers.r10] = arguments;
            [registers.r8, registers.r9] = [0; 2];
            Exit::Syscall
        })
    }

    fn call_of_init(&self, random: &mut Random) -> (u32, [u64; 4]) {
        match random.below(4) {
            0 if self.may_create() => clone(PROCESS),
            1 => (uapi::__NR_poll, [0, 0, 1, 0]),
            _ => wait(uapi::WNOHANG),
        }
    }

    fn call(&self, random: &mut Random) -> (u32, [u64; 4]) {
        let pid = 2 + random.below(self.created().max(1));
        match random.below(100) {
            0..15 if self.may_create() => clone(PROCESS),
            15..28 if self.may_create() => clone(THREAD),
            28..31 if self.may_create() => clone(PROCESS | uapi::CLONE_VM | uapi::CLONE_VFORK),
            31..34 if self.may_create() => clone(PROCESS | uapi::CLONE_PARENT),
            34..36 if self.may_create() => clone(PROCESS | uapi::CLONE_NEWPID),
            36..38 => (uapi::__NR_kill, [0, random.one_of(&[uapi::SIGCONT, uapi::SIGCHLD]).into(), 0, 0]),
            38..46 => {
                let signal = random.one_of(&[
                    uapi::SIGKILL,
                    uapi::SIGUSR1,
                    uapi::SIGSTOP,
                    uapi::SIGCONT,
                    uapi::SIGCHLD,
                ]);
                (uapi::__NR_kill, [pid, signal.into(), 0, 0])
            }
            46..50 => (uapi::__NR_tkill, [pid, uapi::SIGCONT.into(), 0, 0]),
            50..70 => wait(uapi::WNOHANG),
            70..74 => wait(0),
            74..77 => (uapi::__NR_setpgid, [0, 0, 0, 0]),
            77..79 => (uapi::__NR_setsid, [0; 4]),
            79..81 => (uapi::__NR_prctl, [linux_raw_sys::prctl::PR_SET_CHILD_SUBREAPER.into(), 1, 0, 0]),
            81..83 => (uapi::__NR_prctl, [linux_raw_sys::prctl::PR_SET_PDEATHSIG.into(), 9, 0, 0]),
            83..88 => (uapi::__NR_poll, [0, 0, random.below(3), 0]),
            88..95 => (uapi::__NR_exit, [random.below(256), 0, 0, 0]),
            95..98 => (uapi::__NR_exit_group, [random.below(256), 0, 0, 0]),
            _ => (uapi::__NR_sched_yield, [0; 4]),
        }
    }

    /// Has everything stand still and checks what must be true then.
    fn check_at_rest(&self) {
        let _stop = self.fixture.tasks().stop_all();
        self.check();
        self.check_nothing_runs();
    }

    /// Nothing runs. The threads of tasks that ended just before are gone a moment later.
    fn check_nothing_runs(&self) {
        let tasks = self.fixture.tasks();
        let running = || {
            let groups = tasks.thread_groups(tasks.root());
            let of_groups: usize = groups.iter().map(|(_, group)| group.threads.running()).sum();
            (tasks.threads.running(), of_groups)
        };
        let begun = Instant::now();
        while running() != (0, 0) {
            assert!(begun.elapsed() < DEADLINE, "threads run during a stop: {:?}", running());
            std::thread::yield_now();
        }
    }

    fn check(&self) {
        self.fixture.tasks().check();
        let tasks = self.fixture.tasks().task_count() as u64;
        assert_eq!(
            self.fixture.kernel().users().counters(KernelUid::ROOT).processes(),
            tasks,
            "charges of the user"
        );
        let cgroups = self.fixture.kernel().cgroups();
        assert_eq!(cgroups.root().pids().current(), tasks, "charges of the control group");
    }

    /// Kills or stops a process other than the first.
    fn disturb(&self, random: &mut Random) {
        let tasks = self.fixture.tasks();
        let groups = tasks.thread_groups(tasks.root());
        let others = groups.get(1..).unwrap_or_default();
        if others.is_empty() {
            return;
        }
        let (_, group) = &others[random.below(others.len() as u64) as usize];
        group.send_signal(SignalInfo::from_kernel(random.one_of(&[
            Signal::SIGKILL,
            Signal::SIGSTOP,
            Signal::SIGCONT,
        ])));
    }
}

fn clone(flags: u32) -> (u32, [u64; 4]) {
    (uapi::__NR_clone, [flags.into(), 0, 0, 0])
}

fn wait(options: u32) -> (u32, [u64; 4]) {
    (uapi::__NR_wait4, [u64::MAX, 0, (options | uapi::__WALL).into(), 0])
}

fn start_first_task(arena: &Arena) -> Arc<Task> {
    let fixture = &arena.fixture;
    let mut config = fixture.config(None, fixture.new_group(fixture.tasks().root()));
    config.credentials = Arc::new(Credentials::test_root());
    config.user_counters = fixture.kernel().users().counters(KernelUid::ROOT);
    config.image.registers = Registers::default();
    fixture.tasks().new_task(config).and_then(UnstartedTask::start).unwrap()
}

#[test]
fn tasks_that_make_end_kill_stop_and_wait_for_each_other_keep_every_invariant() {
    let arena = Arena::new();
    let init = start_first_task(&arena);
    let begun = Instant::now();
    let goes_on = || arena.created() < CREATED && begun.elapsed() < DEADLINE;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while goes_on() {
                    arena.check_at_rest();
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        scope.spawn(|| {
            let mut random = Random(7);
            while goes_on() {
                arena.disturb(&mut random);
                std::thread::sleep(Duration::from_micros(200));
            }
        });
    });
    arena.is_over.store(true, Ordering::Relaxed);
    arena.check_at_rest();
    assert!(arena.created() > CREATED / 4, "only {} tasks were made", arena.created());
    init.thread_group().exit(ExitStatus::Exited(0));
    arena.fixture.tasks().wait_until_all_ended();
    arena.check();
    assert_eq!(arena.fixture.tasks().task_count(), 0, "somebody has not been reaped");
    assert_eq!(arena.fixture.tasks().threads.live(), 0);
    assert_eq!((init.thread_group().threads.live(), init.thread_group().threads.running()), (0, 0));
}
