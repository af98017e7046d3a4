use std::fs::File;
use std::sync::Arc;

use super::data::{Dispatch, Named};
use super::symbols::{Origin, names};
use super::*;
use crate::host::{HOST_CALL_KINDS, HostCall};
use crate::memory::FaultKind;

/// No files at all, but for the program that runs the tests.
struct OwnProgram;

impl ImageSource for OwnProgram {
    fn open_guest(&self, _path: &[u8]) -> Option<Box<dyn ReadSeek>> {
        None
    }

    fn open_own(&self) -> Option<Box<dyn ReadSeek>> {
        Some(Box::new(File::open("/proc/self/exe").ok()?))
    }
}

fn recording() -> Arc<Recording> {
    Recording::new(Options { hz: 100, command: vec!["program".into(), "argument".into()] })
}

fn lap(user_ns: u64, handler_ns: u64) -> Lap {
    Lap { user_ns, crossing_ns: 10, handler_ns, asleep_ns: 0, is_error: handler_ns == 7 }
}

const NO_CALLS: [u32; HOST_CALL_KINDS] = [0; HOST_CALL_KINDS];

#[test]
fn calls_are_counted_by_who_served_them_and_the_dear_ones_come_first() {
    let recording = recording();
    let task = recording.add_task(5, 5);
    let (read, getpid) = (ExitKind::of_call(0), ExitKind::of_call(39));
    let mut host_calls = NO_CALLS;
    host_calls[HostCall::ReadAt as usize] = 2;
    for time in 1..=100 {
        recording.add(&task, read, Way::Exit, &lap(time, time * 1000), &host_calls);
    }
    recording.add(&task, getpid, Way::Exit, &lap(1, 7), &NO_CALLS);
    recording.add(&task, getpid, Way::Dispatcher, &lap(1, 5), &NO_CALLS);
    recording.note_handed_back(39);
    recording.add_answered(&task, 39, 5);
    let profile = recording.summary(Dispatch::default(), &OwnProgram);
    let [read, getpid] = &profile.calls[..] else { panic!("{:?}", profile.calls) };
    assert_eq!((&*read.name, read.count, read.by_exit, read.errors), ("read", 100, 100, 0));
    assert_eq!(read.times.handler.total_ns, 5_050_000);
    let near = |time: u64, wanted: u64| time.abs_diff(wanted) <= wanted / 100;
    assert!(near(read.times.handler.p50_ns, 50_000) && near(read.times.handler.p99_ns, 99_000));
    assert!(near(read.times.handler.max_ns, 100_000));
    assert_eq!(read.times.handler.buckets.iter().map(|(_, count)| count).sum::<u64>(), 100);
    assert_eq!(read.host_calls, [Named { name: "pread".into(), count: 200 }]);
    assert_eq!((&*getpid.name, getpid.by_exit, getpid.by_dispatcher), ("getpid", 1, 1));
    assert_eq!((getpid.by_page, getpid.count, getpid.times.handler.count), (5, 7, 2));
    assert_eq!((getpid.errors, getpid.handed_back), (1, 1));
    let [exit] = &profile.exits[..] else { panic!("{:?}", profile.exits) };
    assert_eq!((&*exit.kind, exit.count), ("system call", 101));
    let [task] = &profile.tasks[..] else { panic!("{:?}", profile.tasks) };
    assert_eq!(task.calls.iter().map(|call| call.count).collect::<Vec<_>>(), [100, 7]);
    assert_eq!(task.times.handler_ns, 5_050_012);
}

#[test]
fn other_exits_have_their_kinds() {
    let recording = recording();
    let task = recording.add_task(1, 1);
    for kind in [ExitKind::Fault(FaultKind::Copied), ExitKind::Exception(14), ExitKind::Interruption] {
        recording.add(&task, kind, Way::Exit, &lap(1, 1), &NO_CALLS);
    }
    let profile = recording.summary(Dispatch::default(), &OwnProgram);
    let kinds: Vec<_> = profile.exits.iter().map(|exit| &*exit.kind).collect();
    assert_eq!(kinds, ["page fault: copy on write", "exception 14", "interruption"]);
    assert!(profile.calls.is_empty());
}

#[test]
fn what_a_guest_makes_more_of_is_bounded() {
    let recording = recording();
    for tid in 1..=1100 {
        let task = recording.add_task(tid, tid);
        for number in 0..if tid == 1 { 300 } else { 1 } {
            recording.add(&task, ExitKind::of_call(number), Way::Exit, &lap(1, 1), &NO_CALLS);
        }
    }
    let task = recording.add_task(1, 1);
    for time in 0..20_000 {
        recording.note_event(&task, 1, 1, EventKind::Exec(vec![b'x'; 4096]));
        recording.note_point(Point { user_ns: time, ..Point::default() });
        recording.image((0, 0, time), || b"/file".to_vec());
        recording.label(&format!("label {time}"));
    }
    for stack in 0..1 << 16 {
        let frames = (0..40).map(|frame| Frame::Host(stack << 16 | frame)).collect();
        recording.add_stack(frames, 1);
    }
    let profile = recording.summary(Dispatch::default(), &OwnProgram);
    assert_eq!((profile.tasks.len(), profile.lost.tasks), (1025, 77));
    assert!(profile.tasks.iter().all(|task| task.calls.len() <= 129));
    assert_eq!(profile.tasks[0].calls.iter().map(|call| call.count).sum::<u64>(), 300);
    assert_eq!(profile.calls.iter().map(|call| call.count).sum::<u64>(), 1399);
    assert_eq!(profile.timeline.len() as u64 + profile.lost.events, 20_000);
    assert!(profile.timeline.len() <= 16_384 && profile.timeline[0].detail.len() == 256);
    assert!(profile.points.len() <= 512 && profile.points.last().unwrap().user_ns == 19_999);
    assert!(profile.lost.samples > 0);
}

#[inline(never)]
fn a_place_to_be_found(stacks: &HostStacks) {
    request(stacks, rustix::thread::gettid().as_raw_nonzero().get(), 42);
    std::hint::black_box(stacks);
}

#[test]
fn a_thread_s_own_stack_is_taken_by_a_signal_and_named() {
    install_handler().unwrap();
    let stacks = Arc::new(HostStacks::default());
    stacks.attach();
    for _ in 0..9 {
        a_place_to_be_found(&stacks);
    }
    assert!(!stacks.has_room());
    let recording = recording();
    let label = recording.label("sys_read");
    let mut weights = Vec::new();
    stacks.drain(|addresses, weight_ns| {
        let inner = addresses.into_iter().rev().map(Frame::Host);
        recording.add_stack([label].into_iter().chain(inner).collect(), weight_ns);
        weights.push(weight_ns);
    });
    assert_eq!(weights, [42; 4]);
    HostStacks::detach();
    a_place_to_be_found(&stacks);
    assert!(!stacks.is_filled(), "a thread that has detached takes no stack");
    let profile = recording.summary(Dispatch::default(), &OwnProgram);
    let found = profile
        .stacks
        .iter()
        .any(|stack| stack.frames.starts_with("sys_read;") && stack.frames.contains("a_place_to_be_found"));
    assert!(found, "{:?}", profile.stacks);
}

#[test]
fn symbols_are_found_by_the_place_in_the_file_and_damaged_files_have_none() {
    let program = std::fs::read("/proc/self/exe").unwrap();
    unsafe extern "C" {
        static __ehdr_start: u8;
    }
    let base = (&raw const __ehdr_start) as u64;
    let place = a_place_to_be_found as *const () as u64 - base;
    let found = names(std::io::Cursor::new(&program), &[place, u64::MAX], Origin::Image);
    assert!(found[0].as_ref().is_some_and(|name| name.ends_with("a_place_to_be_found")), "{found:?}");
    assert_eq!(found[1], None);
    for len in [0, 10, 64, 1000, program.len() / 2] {
        assert_eq!(names(std::io::Cursor::new(&program[..len]), &[place], Origin::File), [None]);
    }
}

#[test]
fn a_sample_waits_for_who_leaves_user_code_often() {
    let record = TaskRecord::new(1, 1, 0);
    assert!(record.leaves_soon());
    (0..64).for_each(|_| record.note_stay(1_000_000));
    assert!(!record.leaves_soon());
    (0..64).for_each(|_| record.note_stay(20_000));
    assert!(record.leaves_soon());
    assert!(!record.want_guest_stack(5));
    assert!(record.want_guest_stack(6), "it is overdue");
    assert_eq!((record.take_wanted(), record.take_wanted()), (11, 0));
}
