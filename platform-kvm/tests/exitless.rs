//! Calls that are served without an exit are the same calls, once each, and leave nothing behind.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{CODE, Guest, RX, start};
use platform_kvm::{Config, Exitless};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use sentry::platform::{
    AddressSpace, Answers, CallServer, Context, Exit, FrameRun, PAGE_SIZE, Platform, Registers, Reply,
    VirtualAddress, VirtualRange,
};

/// What a call returns, so that user code can tell: `dec %r14` follows, and `ud2` if RAX is anything else.
const ANSWER: u64 = 0x5a5a;
/// The call that user code makes.
const NUMBER: u64 = 39;
const CALLS: u64 = 3000;

/// `syscall; cmp $ANSWER, %rax`.
const CMP: &[u8] = &[0x0f, 0x05, 0x48, 0x3d, 0x5a, 0x5a, 0, 0];
/// `mov $39, %eax; syscall`.
const MOV: &[u8] = &[0xb8, 39, 0, 0, 0, 0x0f, 0x05];
/// `mov $39, %rax; syscall`.
const MOV_LONG: &[u8] = &[0x48, 0xc7, 0xc0, 39, 0, 0, 0, 0x0f, 0x05];

/// `mov $39, %eax`, for windows that lack it.
const SET_NUMBER: &[u8] = &[0xb8, 39, 0, 0, 0, 0x90];
/// `cmp $ANSWER, %rax`.
const CHECK: &[u8] = &[0x48, 0x3d, 0x5a, 0x5a, 0, 0];

/// A program that makes its call R14 times through `window`, and then meets UD2 with R14 = 0.
fn program(window: &[u8]) -> Vec<u8> {
    let mut code = vec![0x90; 8];
    let begin = code.len();
    if window == CMP {
        code.extend(SET_NUMBER);
    }
    code.extend(window);
    if window != CMP {
        // Between them, or SYSCALL and CMP would be the window.
        code.push(0x90);
        code.extend(CHECK);
    }
    code.extend([0x75, 0x05]); // jne over the next two
    code.extend([0x49, 0xff, 0xce]); // dec %r14
    let back = begin as i64 - (code.len() as i64 + 2);
    code.extend([0x75, back as i8 as u8]); // jnz begin
    code.extend([0x0f, 0x0b]); // ud2
    code
}

/// Counts the calls that it serves.
#[derive(Default)]
struct Server {
    served: u64,
    /// Declines every so manieth call.
    declines: u64,
    seen: u64,
}

impl CallServer for Server {
    fn serve(&mut self, number: u64, _arguments: [u64; 6]) -> Reply {
        assert_eq!(number, NUMBER);
        self.seen += 1;
        if self.declines > 0 && self.seen.is_multiple_of(self.declines) {
            return Reply::Decline;
        }
        self.served += 1;
        Reply::Value(ANSWER)
    }
}

struct Run {
    guest: Arc<Guest>,
    space: Arc<dyn AddressSpace>,
    context: Box<dyn Context>,
    registers: Registers,
    server: Server,
    /// Calls that came as exits.
    exits: u64,
}

impl Run {
    fn new(code: &[u8]) -> Self {
        Self::on(Guest::with_config(Config { exitless: Exitless::On, ..Config::default() }), code)
    }

    fn on(guest: Guest, code: &[u8]) -> Self {
        let space = guest.space(code);
        let context = guest.context();
        let registers = Registers { r14: CALLS, ..start() };
        Self { guest: Arc::new(guest), space, context, registers, server: Server::default(), exits: 0 }
    }

    /// Runs until something that is no call.
    fn until_stop(&mut self) -> Exit {
        loop {
            let exit = self.context.run_served(&self.space, &mut self.registers, &mut self.server);
            assert!(self.registers.rip < VirtualAddress::USER_END.0, "{exit:?} {:x?}", self.registers);
            match exit {
                Exit::Syscall => self.serve(),
                exit => return exit,
            }
        }
    }

    /// What the sentry does with a call that comes as an exit.
    fn serve(&mut self) {
        assert_eq!(self.registers.rax, NUMBER);
        assert_eq!(self.registers.rcx, self.registers.rip);
        self.exits += 1;
        self.registers.rax = ANSWER;
        if let Some(syscall) = self.space.take_frequent_call() {
            self.space.rewrite_call(syscall);
        }
    }

    /// The program ended as it should.
    fn check_end(&self, exit: &Exit, code: &[u8]) {
        self.check_end_after(CALLS, exit, code);
    }

    /// The same of one that makes so many calls.
    fn check_end_after(&self, calls: u64, exit: &Exit, code: &[u8]) {
        assert!(matches!(exit, Exit::Exception { vector: 6, .. }), "{exit:?} {:x?}", self.registers);
        assert_eq!(self.registers.rip, CODE + code.len() as u64 - 2, "{:x?}", self.registers);
        assert_eq!(self.registers.r14, 0, "a call was answered wrongly");
        assert_eq!(self.exits + self.server.served, calls, "a call was made twice, or never");
    }
}

#[test]
fn every_window_makes_every_call_once() {
    for window in [CMP, MOV, MOV_LONG] {
        let code = program(window);
        let mut run = Run::new(&code);
        let exit = run.until_stop();
        run.check_end(&exit, &code);
    }
}

#[test]
fn without_being_asked_for_all_calls_are_exits() {
    let code = program(CMP);
    let mut run = Run::on(Guest::new(), &code);
    let exit = run.until_stop();
    run.check_end(&exit, &code);
    assert_eq!(run.exits, CALLS);
}

#[test]
fn declined_calls_come_as_exits() {
    let code = program(CMP);
    let mut run = Run::new(&code);
    run.server.declines = 3;
    let exit = run.until_stop();
    run.check_end(&exit, &code);
}

#[test]
fn kicks_find_the_program_before_or_after_its_call() {
    for window in [CMP, MOV, MOV_LONG] {
        let code = program(window);
        let mut run = Run::new(&code);
        let interrupter = run.context.interrupter();
        let is_over = Arc::new(AtomicBool::new(false));
        let watched = is_over.clone();
        let kicks = std::thread::spawn(move || {
            while !watched.load(Ordering::Relaxed) {
                interrupter.interrupt();
                std::thread::sleep(Duration::from_micros(70));
            }
        });
        let exit = loop {
            match run.until_stop() {
                Exit::Interrupted => {
                    let end = CODE + code.len() as u64;
                    assert!((CODE..end).contains(&run.registers.rip), "{:x?}", run.registers);
                }
                exit => break exit,
            }
        };
        is_over.store(true, Ordering::Relaxed);
        kicks.join().unwrap();
        run.check_end(&exit, &code);
    }
}

#[test]
fn a_jump_into_the_middle_of_a_site_behaves_as_before() {
    for (window, middle, is_call) in [(CMP, 2, false), (MOV, 5, true), (MOV_LONG, 7, true)] {
        let code = program(window);
        let at = code.windows(window.len()).position(|part| part == window).unwrap() as u64;
        let mut run = Run::new(&code);
        let exit = run.until_stop();
        run.check_end(&exit, &code);
        let (exits, served) = (run.exits, run.server.served);
        run.registers = Registers { rip: CODE + at + middle, rax: NUMBER, r14: 1, ..start() };
        if !is_call {
            run.registers.rax = ANSWER;
        }
        let exit = run.until_stop();
        assert!(matches!(exit, Exit::Exception { vector: 6, .. }), "{exit:?}");
        assert_eq!(run.registers.r14, 0);
        assert_eq!(run.exits + run.server.served - exits - served, u64::from(is_call));
    }
}

#[test]
fn user_code_that_jumps_there_itself_finds_the_original() {
    // Once R14 is 0, it jumps to R13.
    for (window, middle) in [(CMP, 2), (MOV, 5)] {
        let mut code = program(window);
        let at = code.windows(window.len()).position(|part| part == window).unwrap() as u64;
        code.truncate(code.len() - 2);
        code.extend([0x49, 0xff, 0xc7]); // inc %r15
        code.extend([0x49, 0x83, 0xff, 0x01]); // cmp $1, %r15
        code.extend([0x75, 0x08]); // jne over the jump
        code.extend([0x49, 0xff, 0xc6]); // inc %r14
        code.extend([0x48, 0x89, 0xd8]); // mov %rbx, %rax
        code.extend([0xff, 0xe5]); // jmp *%rbp
        code.extend([0x0f, 0x0b]); // ud2
        let mut run = Run::new(&code);
        run.registers.rbp = CODE + at + middle;
        run.registers.rbx = if window == CMP { ANSWER } else { NUMBER };
        let exit = run.until_stop();
        assert!(matches!(exit, Exit::Exception { vector: 6, .. }), "{exit:?} {:x?}", run.registers);
        assert_eq!((run.registers.rip, run.registers.r14), (CODE + code.len() as u64 - 2, 0));
        assert_eq!(run.exits + run.server.served, CALLS + u64::from(window == MOV));
    }
}

#[test]
fn the_sentry_and_whoever_changes_the_page_see_the_original() {
    let code = program(CMP);
    let mut run = Run::new(&code);
    let before = run.space.translate(VirtualAddress(CODE));
    run.until_stop();
    assert_eq!(run.space.translate(VirtualAddress(CODE)), before);
    // A page that may be written holds the program as it was.
    let page = VirtualRange::new(VirtualAddress(CODE), PAGE_SIZE).unwrap();
    run.space.protect(page, RX | sentry::platform::Access::WRITE);
    let mut bytes = vec![0; code.len()];
    let frame = run.space.translate(VirtualAddress(CODE)).unwrap().0;
    run.guest.platform.memory().slice(frame, bytes.len()).unwrap().copy_to(&mut bytes[..]);
    assert_eq!(bytes, code);
    let exits = run.exits;
    run.server = Server::default();
    run.registers = Registers { r14: 5, ..start() };
    run.until_stop();
    assert_eq!((run.registers.r14, run.exits - exits, run.server.served), (0, 5, 0));
}

#[test]
fn another_page_in_the_place_is_itself() {
    let code = program(CMP);
    let mut run = Run::new(&code);
    run.until_stop();
    for _ in 0..2 {
        let frame = run.guest.frames(1, PAGE_SIZE);
        run.guest.write(frame, &[0x90, 0x90, 0xcc]); // int3
        run.space.map(VirtualAddress(CODE), &[frame], RX).unwrap();
        run.registers = start();
        let exit = run.until_stop();
        assert!(matches!(exit, Exit::Exception { vector: 3, .. }), "{exit:?}");
    }
}

#[test]
fn a_program_that_is_stepped_makes_the_steps_of_the_original() {
    // SYSCALL itself leaves by its exit, without a step. With MOV one ends in the middle of what was a site.
    let all: [(&[u8], &[u64]); 2] = [
        (CMP, &[1, 2, 3, 4, 5, 6, 7, 8, 0xd, 0xe, 0x16, 0x18, 0x1b, 0x1d]),
        (MOV, &[1, 2, 3, 4, 5, 6, 7, 8, 0xd, 0x10, 0x16, 0x18, 0x1b, 0x1d]),
    ];
    for (window, expected) in all {
        let mut run = Run::new(&program(window));
        run.until_stop();
        run.registers = Registers { r14: 1, rflags: 0x302, ..start() };
        let mut steps = Vec::new();
        loop {
            match run.until_stop() {
                Exit::Exception { vector: 1, .. } => steps.push(run.registers.rip - CODE),
                exit => break assert!(matches!(exit, Exit::Exception { vector: 6, .. }), "{exit:?}"),
            }
        }
        assert_eq!(steps, expected);
    }
}

#[test]
fn two_contexts_of_one_space_make_their_own_calls() {
    let code = program(CMP);
    let mut run = Run::new(&code);
    let mut other = Run { space: run.space.clone(), ..Run::new(&code) };
    other.context = run.guest.context();
    std::thread::scope(|scope| {
        let handle = scope.spawn(|| {
            let exit = other.until_stop();
            other.check_end(&exit, &code);
        });
        let exit = run.until_stop();
        run.check_end(&exit, &code);
        handle.join().unwrap();
    });
}

#[test]
fn a_forged_call_page_harms_nobody_else() {
    // mov $1, 0xffffffffc0090038 (the sequence number), over and over; then to the gate itself, without a record.
    let mut code = program(CMP);
    code.truncate(code.len() - 2);
    code.extend([0x48, 0xff, 0x04, 0x25, 0x38, 0, 0x09, 0xc0]); // incq SEQUENCE
    code.extend([0x49, 0xff, 0xc7]); // inc %r15
    code.extend([0x49, 0x81, 0xff, 0x10, 0x27, 0, 0]); // cmp $10000, %r15
    code.extend([0x75, 0xec]); // jne to incq
    code.extend([0x48, 0xc7, 0x04, 0x25, 0xc0, 0, 0x09, 0xc0, 1, 0, 0, 0]); // movq $1, RECORD
    code.extend([0x48, 0xc7, 0xc0, 0x20, 0, 0x08, 0xc0]); // mov $gate + 32, %rax
    code.extend([0xff, 0xe0]); // jmp *%rax
    let mut run = Run::new(&code);
    let exit = loop {
        match run.context.run_served(&run.space, &mut run.registers, &mut Anything) {
            Exit::Syscall => {
                run.registers.rax = ANSWER;
                if let Some(syscall) = run.space.take_frequent_call() {
                    run.space.rewrite_call(syscall);
                }
            }
            exit => break exit,
        }
    };
    assert!(matches!(exit, Exit::Exception { .. } | Exit::Fault { .. }), "{exit:?}");
    // Others go on.
    let mut other = Run { guest: run.guest, ..Run::new(&program(CMP)) };
    let exit = other.until_stop();
    other.check_end(&exit, &program(CMP));
}

#[test]
fn who_is_to_stop_does_so_although_nobody_kicks() {
    let code = program(CMP);
    let mut run = Run::new(&code);
    let mut stopper = Stopper::default();
    let exit = loop {
        match run.context.run_served(&run.space, &mut run.registers, &mut stopper) {
            Exit::Syscall => run.serve(),
            Exit::Interrupted => stopper.is_to_stop = false,
            exit => break exit,
        }
        assert!(!stopper.is_to_stop, "it made a call first");
    };
    assert!(stopper.served > 0);
    run.server.served = stopper.served;
    run.check_end(&exit, &code);
}

/// Serves calls, and has the context stop after each.
#[derive(Default)]
struct Stopper {
    served: u64,
    is_to_stop: bool,
}

impl CallServer for Stopper {
    fn serve(&mut self, _number: u64, _arguments: [u64; 6]) -> Reply {
        assert!(!self.is_to_stop, "it went on");
        self.is_to_stop = true;
        self.served += 1;
        Reply::ValueAndStop(ANSWER)
    }
}

/// More contexts than vCPUs have lanes: those without make their calls by exits, and see what the others have rewritten.
#[test]
fn contexts_beyond_the_lanes_make_their_own_calls() {
    const CONTEXTS: usize = 18;
    /// Each of these is an exit.
    const FEW_CALLS: u64 = 200;
    let code = program(CMP);
    let first = Run::new(&code);
    let (frame, _) = first.space.translate(VirtualAddress(CODE)).unwrap();
    let text = [FrameRun { start: frame, pages: 1 }];
    let run = |context| Run {
        guest: first.guest.clone(),
        space: first.space.clone(),
        context,
        registers: Registers { r14: FEW_CALLS, ..start() },
        server: Server::default(),
        exits: 0,
    };
    let mut contexts: Vec<_> = (0..CONTEXTS).map(|_| first.guest.context()).collect();
    std::thread::scope(|scope| {
        for context in contexts.drain(..) {
            scope.spawn(|| {
                let mut run = run(context);
                let mut exit = run.until_stop();
                // Whoever has no lane has everything forgotten.
                while matches!(exit, Exit::Fault { address, .. } if address < VirtualAddress::USER_END) {
                    run.space.map(VirtualAddress(CODE), &text, RX).unwrap();
                    exit = run.until_stop();
                }
                run.check_end_after(FEW_CALLS, &exit, &code);
            });
        }
    });
}

/// Whoever is about to enter and whoever waits for all to leave do not wait for each other.
#[test]
fn contexts_enter_while_everything_is_forgotten() {
    const TIMES: usize = 100;
    let code = program(CMP);
    let mut run = Run::new(&code);
    let exit = run.until_stop();
    run.check_end(&exit, &code);
    let (frame, _) = run.space.translate(VirtualAddress(CODE)).unwrap();
    let space = run.space.clone();
    let (is_over, (done, ending)) = (Arc::new(AtomicBool::new(false)), std::sync::mpsc::channel());
    let until = is_over.clone();
    let runner = std::thread::spawn(move || {
        while !until.load(Ordering::SeqCst) {
            run.registers = Registers { r14: 1, ..start() };
            while matches!(run.until_stop(), Exit::Fault { .. }) && !until.load(Ordering::SeqCst) {}
        }
    });
    std::thread::spawn(move || {
        for _ in 0..TIMES {
            space.clear();
            space.map(VirtualAddress(CODE), &[FrameRun { start: frame, pages: 1 }], RX).unwrap();
        }
        done.send(()).unwrap();
    });
    let outcome = ending.recv_timeout(Duration::from_secs(60));
    is_over.store(true, Ordering::SeqCst);
    assert!(outcome.is_ok(), "they wait for each other, or that fails");
    runner.join().unwrap();
}

/// A vCPU that goes from one process to another takes no call along, and makes none up.
#[test]
fn who_gets_a_vcpu_makes_only_calls_of_its_own() {
    const PROCESSES: usize = 60;
    let code = program(CMP);
    let mut run = Run::new(&code);
    run.until_stop();
    let (frame, _) = run.space.translate(VirtualAddress(CODE)).unwrap();
    let mut server = Witness::default();
    for _ in 0..PROCESSES {
        run.space = run.guest.platform.new_address_space().unwrap();
        run.space.map_text(VirtualAddress(CODE), &[FrameRun { start: frame, pages: 1 }]).unwrap();
        // The one before gives its vCPU back.
        run.context = run.guest.context();
        run.registers = Registers { r14: 20, ..start() };
        while matches!(run.context.run_served(&run.space, &mut run.registers, &mut server), Exit::Syscall) {
            run.registers.rax = ANSWER;
        }
        assert_eq!(run.registers.r14, 0);
    }
    assert_eq!(server.others, Vec::<u64>::new(), "calls that nobody made");
}

/// Notes the numbers of calls that are not the program's.
#[derive(Default)]
struct Witness {
    others: Vec<u64>,
}

impl CallServer for Witness {
    fn serve(&mut self, number: u64, _arguments: [u64; 6]) -> Reply {
        if number != NUMBER {
            self.others.push(number);
        }
        Reply::Value(ANSWER)
    }
}

/// Serves whatever comes.
struct Anything;

impl CallServer for Anything {
    fn serve(&mut self, _number: u64, _arguments: [u64; 6]) -> Reply {
        Reply::Value(ANSWER)
    }
}

#[test]
fn a_call_that_takes_long_keeps_nobody_else() {
    let code = program(CMP);
    let mut run = Run::new(&code);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut slow = Slow { is_over: is_over.clone(), has_waited: false, was_in_vain: false };
    let space = run.guest.space(&code);
    let mut context = run.guest.context();
    std::thread::scope(|scope| {
        let handle = scope.spawn(|| {
            let mut registers = Registers { r14: CALLS, ..start() };
            loop {
                match context.run_served(&space, &mut registers, &mut slow) {
                    Exit::Syscall => {
                        registers.rax = ANSWER;
                        if let Some(syscall) = space.take_frequent_call() {
                            space.rewrite_call(syscall);
                        }
                    }
                    exit => break assert!(matches!(exit, Exit::Exception { vector: 6, .. }), "{exit:?}"),
                }
            }
        });
        // All of these end while the other's first call goes on.
        let exit = run.until_stop();
        run.check_end(&exit, &code);
        is_over.store(true, Ordering::SeqCst);
        handle.join().unwrap();
    });
    assert!(!slow.was_in_vain, "the others waited for the one that takes long");
}

/// Takes until the others are done to serve its first call.
struct Slow {
    is_over: Arc<AtomicBool>,
    has_waited: bool,
    was_in_vain: bool,
}

impl CallServer for Slow {
    fn serve(&mut self, _number: u64, _arguments: [u64; 6]) -> Reply {
        if !std::mem::replace(&mut self.has_waited, true) {
            let begun = std::time::Instant::now();
            while !self.is_over.load(Ordering::SeqCst) && !self.was_in_vain {
                self.was_in_vain = begun.elapsed() > Duration::from_secs(30);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Reply::Value(ANSWER)
    }
}

#[test]
fn what_is_told_in_advance_is_neither_served_nor_exits() {
    for window in [CMP, MOV, MOV_LONG] {
        let code = program(window);
        let mut run = Run::new(&code);
        let mut knowing = Knowing(ANSWER, 0);
        let exits = run.exits_with(&mut knowing);
        assert!((1..CALLS).contains(&exits), "{exits}");
        assert_eq!(knowing.1, CALLS - exits);
        // Whoever lends later says what holds now, and without a server nothing is told.
        run.registers = Registers { r14: 5, ..start() };
        knowing.0 = ANSWER + 1;
        let exit = run.context.run_served(&run.space, &mut run.registers, &mut knowing);
        assert!(matches!(exit, Exit::Exception { vector: 6, .. }), "{exit:?}");
        assert_eq!((run.registers.rax, run.registers.r14), (ANSWER + 1, 5));
        run.registers = Registers { r14: 5, ..start() };
        assert!(matches!(run.context.run(&run.space, &mut run.registers), Exit::Syscall));
        assert_eq!(run.registers.rax, NUMBER);
    }
}

#[test]
fn where_nobody_can_poll_answers_in_advance_are_used_and_nothing_else_is_rewritten() {
    // The machine asks how many processors the thread that makes it has.
    let all = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).unwrap());
    sched_setaffinity(None, &one).unwrap();
    for exitless in [Exitless::Auto, Exitless::On] {
        let guest = || Guest::with_config(Config { exitless, ..Config::default() });
        let code = program(CMP);
        let (mut run, mut knowing) = (Run::on(guest(), &code), Knowing(ANSWER, 0));
        let exits = run.exits_with(&mut knowing);
        assert!((1..CALLS).contains(&exits), "{exits}");
        assert_eq!(knowing.1, CALLS - exits);
        let mut run = Run::on(guest(), &code);
        let exit = run.until_stop();
        run.check_end(&exit, &code);
        assert_eq!((run.exits, run.server.seen), (CALLS, 0));
        assert_eq!(run.guest.platform.call_counts().sites, 0);
    }
}

/// Tells an answer in advance, serves nothing, and counts how often the answer was taken.
struct Knowing(u64, u64);

impl CallServer for Knowing {
    fn answers(&mut self) -> Answers {
        let mut answers = Answers::default();
        answers[0] = Some((NUMBER as u8, self.0));
        answers
    }

    fn counts_answers(&self) -> bool {
        true
    }

    fn note_answered(&mut self, number: u64, count: u32) {
        assert_eq!(number, NUMBER);
        self.1 += u64::from(count);
    }

    fn serve(&mut self, _number: u64, _arguments: [u64; 6]) -> Reply {
        Reply::Decline
    }
}

impl Run {
    /// Runs to the end with another server. Returns how many calls came as exits.
    fn exits_with(&mut self, server: &mut dyn CallServer) -> u64 {
        loop {
            match self.context.run_served(&self.space, &mut self.registers, server) {
                Exit::Syscall => self.serve(),
                exit => {
                    assert!(matches!(exit, Exit::Exception { vector: 6, .. }), "{exit:?}");
                    assert_eq!(self.registers.r14, 0, "a call was answered wrongly");
                    return self.exits;
                }
            }
        }
    }
}

#[test]
fn text_that_was_rewritten_is_so_wherever_it_is_mapped() {
    for window in [CMP, MOV, MOV_LONG] {
        let code = program(window);
        let mut run = Run::new(&code);
        run.until_stop();
        let frame = run.space.translate(VirtualAddress(CODE)).unwrap().0;
        let runs = [FrameRun { start: frame, pages: 1 }];
        assert!(run.space.knows_text(&runs));
        // At the same address, and at another.
        for moved in [0, 0x1234_5000] {
            let space = run.guest.platform.new_address_space().unwrap();
            let start = VirtualAddress(CODE + moved);
            space.map_text(start, &runs).unwrap();
            assert_eq!(space.translate(start), Some((frame, RX)));
            let context = run.guest.context();
            let (space, context) =
                (std::mem::replace(&mut run.space, space), std::mem::replace(&mut run.context, context));
            run.registers = Registers { r14: CALLS, rip: CODE + moved, ..run.registers };
            run.exits = 0;
            assert_eq!(run.exits_with(&mut Knowing(ANSWER, 0)), 0, "moved by {moved:#x}");
            assert_eq!(run.registers.rip, CODE + moved + code.len() as u64 - 2);
            (run.space, run.context) = (space, context);
        }
        // What the frame holds later is what is seen.
        run.guest.write(runs[0], &[0x90, 0xcc]);
        run.space = run.guest.platform.new_address_space().unwrap();
        run.space.map_text(VirtualAddress(CODE), &runs).unwrap();
        run.registers = start();
        assert!(matches!(run.until_stop(), Exit::Exception { vector: 3, .. }));
    }
}
