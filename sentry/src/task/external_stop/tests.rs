use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::*;
use crate::platform::Exit;
use crate::task::tests::Fixture;
use crate::task::{ExitStatus, UnstartedTask};

const MOMENT: Duration = Duration::from_millis(30);

/// A process whose user code counts, and the count.
fn counting(fixture: &Fixture) -> (UnstartedTask, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counter = count.clone();
    fixture.platform().push_script(Box::new(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        Exit::Interrupted
    }));
    (fixture.unstarted(None), count)
}

fn stands_still(count: &AtomicU64) -> bool {
    let before = count.load(Ordering::Relaxed);
    std::thread::sleep(MOMENT);
    count.load(Ordering::Relaxed) == before
}

fn goes_on(count: &AtomicU64) -> bool {
    let (before, deadline) = (count.load(Ordering::Relaxed), Instant::now() + 300 * MOMENT);
    while count.load(Ordering::Relaxed) == before && Instant::now() < deadline {
        std::thread::yield_now();
    }
    count.load(Ordering::Relaxed) > before
}

fn end(fixture: &Fixture, task: &Arc<Task>) {
    task.thread_group().exit(ExitStatus::Exited(0));
    fixture.tasks().wait_until_all_ended();
}

#[test]
fn nothing_runs_until_the_last_guard_is_dropped() {
    let fixture = Fixture::new();
    let (task, count) = counting(&fixture);
    let task = task.start().unwrap();
    assert!(goes_on(&count));
    let outer = fixture.tasks().stop_all();
    let inner = fixture.tasks().stop_all();
    assert!(stands_still(&count));
    drop(outer);
    assert!(stands_still(&count), "another stop is in force");
    drop(inner);
    assert!(goes_on(&count));
    end(&fixture, &task);
}

#[test]
fn a_task_that_is_made_and_started_during_a_stop_does_not_run() {
    let fixture = Fixture::new();
    let stop = fixture.tasks().stop_all();
    let (task, count) = counting(&fixture);
    let task = task.start().unwrap();
    assert!(stands_still(&count));
    let second = fixture.tasks().stop_all();
    drop((stop, second));
    assert!(goes_on(&count));
    end(&fixture, &task);
}

#[test]
fn a_sleep_that_is_over_during_a_stop_is_completed_after_it() {
    let fixture = Fixture::new();
    let is_done = Arc::new(AtomicBool::new(false));
    let (done, mut calls) = (is_done.clone(), 0);
    fixture.platform().push_script(Box::new(move |_, registers| {
        calls += 1;
        done.store(calls > 1, Ordering::SeqCst);
        registers.rax = match calls {
            1 => linux_raw_sys::general::__NR_poll.into(),
            _ => linux_raw_sys::general::__NR_exit.into(),
        };
        (registers.rdi, registers.rsi) = (0, 0);
        registers.rdx = MOMENT.as_millis() as u64;
        Exit::Syscall
    }));
    let task = fixture.unstarted(None).start().unwrap();
    while !task.is_asleep() {
        std::thread::yield_now();
    }
    let stop = fixture.tasks().stop_all();
    std::thread::sleep(3 * MOMENT);
    assert!(!is_done.load(Ordering::SeqCst));
    drop(stop);
    fixture.tasks().wait_until_all_ended();
    assert!(is_done.load(Ordering::SeqCst));
}

#[test]
fn a_task_that_is_killed_during_a_stop_ends_after_it() {
    let fixture = Fixture::new();
    let (task, _) = counting(&fixture);
    let task = task.start().unwrap();
    let stop = fixture.tasks().stop_all();
    task.thread_group().exit(ExitStatus::Exited(3));
    std::thread::sleep(MOMENT);
    assert_eq!(fixture.tasks().running_count().1, 1);
    assert!(task.memory().is_some(), "it has not begun to end");
    drop(stop);
    fixture.tasks().wait_until_all_ended();
    assert!(task.memory().is_none());
}

#[test]
fn stops_from_many_threads_meet_tasks_that_come_and_go() {
    let fixture = Fixture::new();
    let (init, count) = counting(&fixture);
    let init = init.start().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let stop = fixture.tasks().stop_all();
                    let before = count.load(Ordering::Relaxed);
                    std::thread::yield_now();
                    assert_eq!(count.load(Ordering::Relaxed), before);
                    drop(stop);
                }
            });
        }
        for _ in 0..100 {
            fixture.unstarted(Some(&init)).start().unwrap();
        }
    });
    assert!(goes_on(&count));
    end(&fixture, &init);
}
