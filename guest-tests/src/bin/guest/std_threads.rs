//! Threads, locks and thread-local values of the standard library.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, RwLock};
use std::time::Duration;

thread_local! {
    static LOCAL: Cell<usize> = const { Cell::new(7) };
}

pub(crate) fn run() {
    mutex_counts_exactly();
    condition_variable_hands_over();
    barrier_elects_one_leader_a_round();
    thread_locals_are_apart();
    scoped_threads_borrow();
    reader_writer_lock_excludes();
    many_short_threads();
    park_and_unpark();
}

fn mutex_counts_exactly() {
    let counter = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || (0..20_000).for_each(|_| *counter.lock().expect("lock") += 1))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("join"));
    assert_eq!(*counter.lock().expect("lock"), 160_000);
}

fn condition_variable_hands_over() {
    let turn = Arc::new((Mutex::new(0_usize), Condvar::new()));
    let other = Arc::clone(&turn);
    let thread = std::thread::spawn(move || take_turns(&other, 1));
    take_turns(&turn, 0);
    thread.join().expect("join");
    assert_eq!(*turn.0.lock().expect("lock"), 200);
}

/// Advances the counter whenever its parity is ours, 100 times.
fn take_turns(turn: &(Mutex<usize>, Condvar), parity: usize) {
    for _ in 0..100 {
        let guard = turn.0.lock().expect("lock");
        let mut guard = turn.1.wait_while(guard, |value| *value % 2 != parity).expect("wait");
        *guard += 1;
        turn.1.notify_one();
    }
}

fn barrier_elects_one_leader_a_round() {
    let barrier = Barrier::new(4);
    let leaders = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    leaders.fetch_add(usize::from(barrier.wait().is_leader()), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(leaders.into_inner(), 25);
}

fn thread_locals_are_apart() {
    LOCAL.set(1);
    let seen = std::thread::spawn(|| LOCAL.replace(99)).join().expect("join");
    assert_eq!(seen, 7, "a new thread starts with the initial value");
    assert_eq!(LOCAL.get(), 1);
}

fn scoped_threads_borrow() {
    let mut halves = [vec![1_u64; 50_000], vec![2_u64; 50_000]];
    std::thread::scope(|scope| {
        for half in &mut halves {
            scope.spawn(move || half.iter_mut().for_each(|value| *value *= 3));
        }
    });
    assert_eq!(halves.iter().flatten().sum::<u64>(), 50_000 * 9);
}

fn reader_writer_lock_excludes() {
    let pair = RwLock::new((0_u64, 0_u64));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2_000 {
                let mut pair = pair.write().expect("write");
                pair.0 += 1;
                pair.1 += 1;
            }
        });
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let pair = pair.read().expect("read");
                    assert_eq!(pair.0, pair.1);
                }
            });
        }
    });
    assert_eq!(*pair.read().expect("read"), (2_000, 2_000));
}

fn many_short_threads() {
    static ONCE: Once = Once::new();
    let runs = AtomicUsize::new(0);
    let starts = AtomicUsize::new(0);
    for _ in 0..10 {
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    ONCE.call_once(|| _ = runs.fetch_add(1, Ordering::Relaxed));
                    starts.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
    }
    assert_eq!((runs.into_inner(), starts.into_inner()), (1, 200));
}

fn park_and_unpark() {
    let parked = std::thread::spawn(|| {
        std::thread::park();
        std::thread::park_timeout(Duration::from_millis(5));
        "done"
    });
    parked.thread().unpark();
    assert_eq!(parked.join().expect("join"), "done");
}
