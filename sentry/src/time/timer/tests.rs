use std::time::Instant;

use std::sync::mpsc;

use super::*;

struct Wall(Instant);

impl TimeSource for Wall {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

struct Note(mpsc::Sender<u64>);

impl ExpirationListener for Note {
    fn expired(&self, expirations: u64, _sequence: u32) {
        let _ = self.0.send(expirations);
    }
}

fn timer() -> (Arc<Timer>, mpsc::Receiver<u64>) {
    let (sender, receiver) = mpsc::channel();
    let queue = Arc::new(TimerQueue::default());
    (Timer::new(&queue, Arc::new(Wall(Instant::now())), Arc::new(Note(sender))), receiver)
}

const LONG: Duration = Duration::from_secs(5);

#[test]
fn a_one_shot_timer_expires_once_and_is_then_disarmed() {
    let (timer, receiver) = timer();
    timer.set(TimerSetting { value: Duration::from_millis(5), interval: Duration::ZERO }, false).unwrap();
    assert_eq!(receiver.recv_timeout(LONG), Ok(1));
    assert_eq!(timer.get(), TimerSetting::default());
    assert!(receiver.recv_timeout(Duration::from_millis(20)).is_err());
}

#[test]
fn an_interval_counts_every_expiration_and_does_not_drift() {
    let (timer, receiver) = timer();
    let millisecond = Duration::from_millis(1);
    let start = Instant::now();
    timer.set(TimerSetting { value: millisecond, interval: millisecond }, false).unwrap();
    let mut expirations = 0;
    while expirations < 50 {
        expirations += receiver.recv_timeout(LONG).unwrap();
    }
    assert!(start.elapsed() >= 50 * millisecond);
    assert_eq!(timer.get().interval, millisecond);
    timer.set(TimerSetting::default(), false).unwrap();
    assert_eq!(timer.get(), TimerSetting::default());
}

#[test]
fn a_tiny_interval_is_announced_in_bundles() {
    let (timer, receiver) = timer();
    let tiny = Duration::from_nanos(1);
    timer.set(TimerSetting { value: tiny, interval: tiny }, false).unwrap();
    receiver.recv_timeout(LONG).unwrap();
    let second = receiver.recv_timeout(LONG).unwrap();
    assert!(second > 10_000, "{second}");
}

#[test]
fn setting_again_tells_what_was_left() {
    let (timer, _receiver) = timer();
    let minute = Duration::from_secs(60);
    timer.set(TimerSetting { value: minute, interval: minute }, false).unwrap();
    let old = timer.set(TimerSetting::default(), false).unwrap();
    assert!(old.value <= minute && old.value > Duration::from_secs(50));
    assert_eq!(old.interval, minute);
}

#[test]
fn an_absolute_time_in_the_past_expires_at_once() {
    let (timer, receiver) = timer();
    let tick = Duration::from_nanos(1);
    timer.set(TimerSetting { value: tick, interval: Duration::ZERO }, true).unwrap();
    assert_eq!(receiver.recv_timeout(LONG), Ok(1));
}
