use super::*;
use crate::cred::Uid;

const LIMIT: u64 = 4;

fn kill(signal: Signal, pid: i32) -> SignalInfo {
    SignalInfo::from_kill(signal, pid, Uid::ROOT)
}

fn queued(signal: Signal, value: u64) -> SignalInfo {
    let detail = SignalDetail::Queue { pid: 1, uid: Uid(0), value };
    SignalInfo { signal, errno: 0, code: -1, detail }
}

#[test]
fn a_standard_signal_is_pending_once() {
    let mut pending = PendingSignals::default();
    assert_eq!(pending.enqueue(kill(Signal::SIGUSR1, 1), LIMIT), Ok(Enqueued::New));
    assert_eq!(pending.enqueue(kill(Signal::SIGUSR1, 2), LIMIT), Ok(Enqueued::Merged));
    assert_eq!(pending.dequeue(SignalSet::ALL), Some(kill(Signal::SIGUSR1, 1)));
    assert_eq!(pending.dequeue(SignalSet::ALL), None);
}

#[test]
fn real_time_signals_queue_in_order() {
    let mut pending = PendingSignals::default();
    for value in 0..3 {
        pending.enqueue(queued(Signal::SIGRTMIN, value), LIMIT).unwrap();
    }
    let values: Vec<_> = std::iter::from_fn(|| pending.dequeue(SignalSet::ALL)?.value()).collect();
    assert_eq!(values, [0, 1, 2]);
    assert!(pending.is_empty());
}

#[test]
fn exceptions_come_first_and_then_the_lowest_number() {
    let mut pending = PendingSignals::default();
    for signal in [Signal::SIGRTMIN, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGSEGV] {
        pending.enqueue(kill(signal, 1), LIMIT).unwrap();
    }
    let mut taken = Vec::new();
    while let Some(info) = pending.dequeue(!SignalSet::of(&[Signal::SIGTERM])) {
        taken.push(info.signal);
    }
    assert_eq!(taken, [Signal::SIGSEGV, Signal::SIGHUP, Signal::SIGRTMIN]);
    assert_eq!(pending.set(), SignalSet::of(&[Signal::SIGTERM]));
}

#[test]
fn a_full_queue_refuses_sigqueue_and_keeps_other_signals_without_information() {
    let mut pending = PendingSignals::default();
    for value in 0..LIMIT {
        pending.enqueue(queued(Signal::SIGRTMAX, value), LIMIT).unwrap();
    }
    assert_eq!(pending.enqueue(queued(Signal::SIGRTMIN, 9), LIMIT), Err(Errno::EAGAIN));
    assert_eq!(pending.enqueue(queued(Signal::SIGUSR1, 7), LIMIT), Ok(Enqueued::New));
    assert_eq!(pending.dequeue(SignalSet::ALL), Some(kill(Signal::SIGUSR1, 0)));
    assert_eq!(pending.enqueue(kill(Signal::SIGRTMIN, 7), LIMIT), Ok(Enqueued::New));
    assert_eq!(pending.dequeue(SignalSet::ALL), Some(kill(Signal::SIGRTMIN, 0)));
    assert_eq!(pending.enqueue(kill(Signal::SIGKILL, 7), LIMIT), Ok(Enqueued::New));
    assert_eq!(pending.dequeue(SignalSet::of(&[Signal::SIGKILL])), Some(kill(Signal::SIGKILL, 7)));
}

#[test]
fn a_timer_that_is_pending_counts_overruns() {
    let mut pending = PendingSignals::default();
    let timer = |id, overrun| {
        SignalInfo::from_timer(Signal::SIGRTMIN, TimerExpiration { id, sequence: 1, overrun, value: 0 })
    };
    for info in [timer(1, 0), timer(2, 0), timer(1, 4), timer(1, 0)] {
        pending.enqueue(info, LIMIT).unwrap();
    }
    assert_eq!(pending.dequeue(SignalSet::ALL), Some(timer(1, 6)));
    assert_eq!(pending.dequeue(SignalSet::ALL), Some(timer(2, 0)));
    assert!(pending.is_empty());
}

#[test]
fn discarded_signals_are_gone() {
    let mut pending = PendingSignals::default();
    pending.enqueue(kill(Signal::SIGTSTP, 1), LIMIT).unwrap();
    pending.enqueue(kill(Signal::SIGCONT, 1), LIMIT).unwrap();
    pending.discard(SignalSet::STOP);
    assert_eq!(pending.set(), SignalSet::of(&[Signal::SIGCONT]));
    assert_eq!(pending.len(), 1);
}
