use std::time::{Duration, Instant};

use super::*;
use crate::time::{TimeSource, TimerQueue, TimerSetting};

#[derive(Default)]
struct Inbox(Mutex<Vec<SignalInfo>>);

impl SignalTarget for Inbox {
    fn deliver(&self, info: SignalInfo) {
        self.0.lock().push(info);
    }
}

struct Wall(Instant);

impl TimeSource for Wall {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

fn make(listener: Arc<dyn ExpirationListener>) -> Arc<Timer> {
    Timer::new(&Arc::new(TimerQueue::default()), Arc::new(Wall(Instant::now())), listener)
}

#[test]
fn a_timer_sends_its_signal_with_its_value() {
    let (timers, inbox) = (PosixTimers::default(), Arc::new(Inbox::default()));
    let weak: Weak<Inbox> = Arc::downgrade(&inbox);
    let notification = PosixTimerNotification { signal: Signal::SIGRTMIN, value: Some(42), target: weak };
    let id = timers.create(Some(notification), PosixTimerOrigin::default(), 8, make).unwrap();
    let setting = TimerSetting { value: Duration::from_millis(1), interval: Duration::ZERO };
    timers.get(id).unwrap().timer().set(setting, false).unwrap();
    let start = Instant::now();
    while inbox.0.lock().is_empty() && start.elapsed() < Duration::from_secs(5) {
        std::thread::yield_now();
    }
    let expiration = TimerExpiration { id, sequence: 1, overrun: 0, value: 42 };
    assert_eq!(*inbox.0.lock(), [SignalInfo::from_timer(Signal::SIGRTMIN, expiration)]);
}

#[test]
fn timers_are_limited_and_numbers_not_reused() {
    let timers = PosixTimers::default();
    assert_eq!(timers.create(None, PosixTimerOrigin::default(), 2, make), Ok(0));
    assert_eq!(timers.create(None, PosixTimerOrigin::default(), 2, make), Ok(1));
    assert_eq!(timers.create(None, PosixTimerOrigin::default(), 2, make), Err(Errno::EAGAIN));
    timers.delete(0).unwrap();
    assert_eq!(timers.create(None, PosixTimerOrigin::default(), 2, make), Ok(2));
    assert_eq!(timers.delete(0), Err(Errno::EINVAL));
}

#[test]
fn the_overrun_is_that_of_the_signal_last_taken() {
    let timers = PosixTimers::default();
    let id = timers.create(None, PosixTimerOrigin::default(), 2, make).unwrap();
    assert!(timers.signal_was_taken(&TimerExpiration { id, sequence: 0, overrun: 7, value: 0 }));
    assert_eq!(timers.get(id).map(|timer| timer.overrun()), Ok(7));
}

#[test]
fn a_signal_of_a_timer_that_was_set_anew_or_deleted_is_dropped() {
    let timers = PosixTimers::default();
    let id = timers.create(None, PosixTimerOrigin::default(), 2, make).unwrap();
    let old = TimerExpiration { id, sequence: 0, overrun: 7, value: 0 };
    timers.get(id).unwrap().set(TimerSetting::default(), false).unwrap();
    assert!(!timers.signal_was_taken(&old));
    let new = TimerExpiration { sequence: 1, ..old };
    assert!(timers.signal_was_taken(&new));
    timers.delete(id).unwrap();
    assert!(!timers.signal_was_taken(&new));
}
