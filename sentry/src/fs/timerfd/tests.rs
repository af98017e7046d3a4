use std::time::Instant;

use super::*;

/// A clock that stands until it is moved.
#[derive(Default)]
struct Clock(Mutex<Duration>);

impl TimeSource for Clock {
    fn now(&self) -> Duration {
        *self.0.lock()
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn read(file: &TimerFile) -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    file.read_at(&mut bytes, 0).map(|_| u64::from_ne_bytes(bytes))
}

#[test]
fn a_periodic_timer_counts_every_expiration_since_the_last_read() {
    let clock = Arc::new(Clock::default());
    *clock.0.lock() = seconds(100);
    let file = TimerFile::new(1, clock.clone(), &Arc::default(), &OpenFiles::default());
    let old = file.set(TimerSetting { interval: seconds(2), value: seconds(3) }, false, 0);
    assert_eq!(old, Ok(TimerSetting::default()));
    assert_eq!(read(&file), Err(Errno::EAGAIN));
    *clock.0.lock() = seconds(108);
    assert_eq!(file.setting(), TimerSetting { interval: seconds(2), value: seconds(1) });
    assert_eq!(read(&file), Ok(3));
    assert_eq!(read(&file), Err(Errno::EAGAIN));
}

#[test]
fn an_expiration_wakes_who_waits_once_the_clock_shows_it() {
    let clock = Arc::new(Clock::default());
    let file = TimerFile::new(1, clock.clone(), &Arc::default(), &OpenFiles::default());
    let waiter = Arc::new(crate::wait::Waiter::default());
    let _registration = file.wait_queue().unwrap().register(Events::IN, waiter.clone());
    let value = Duration::from_millis(1);
    file.set(TimerSetting { interval: Duration::ZERO, value }, false, 0).unwrap();
    assert!(!waiter.sleep(Some(Instant::now() + 5 * value)), "the clock still shows zero");
    *clock.0.lock() = value;
    assert!(waiter.sleep(Some(Instant::now() + seconds(10))));
}

#[test]
fn an_absolute_time_in_the_past_expires_at_once_and_setting_again_forgets_it() {
    let clock = Arc::new(Clock::default());
    *clock.0.lock() = seconds(100);
    let file = TimerFile::new(1, clock, &Arc::default(), &OpenFiles::default());
    file.set(TimerSetting { interval: Duration::ZERO, value: seconds(5) }, true, 1).unwrap();
    assert!(file.readiness().contains(Events::IN));
    assert_eq!(file.set(TimerSetting::default(), false, 0), Ok(TimerSetting::default()));
    assert_eq!(read(&file), Err(Errno::EAGAIN));
}
