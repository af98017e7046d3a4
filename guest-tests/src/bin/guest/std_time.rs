//! Clocks of the standard library: they advance, never go back, and agree across threads.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) fn run() {
    instants_never_go_back();
    sleeping_takes_its_time();
    instants_agree_across_threads();
    the_date_is_plausible();
}

fn instants_never_go_back() {
    let mut last = Instant::now();
    for _ in 0..100_000 {
        let now = Instant::now();
        assert!(now >= last);
        last = now;
    }
}

fn sleeping_takes_its_time() {
    for milliseconds in [1, 20, 50] {
        let asked = Duration::from_millis(milliseconds);
        let started = Instant::now();
        std::thread::sleep(asked);
        let slept = started.elapsed();
        assert!(slept >= asked, "slept {slept:?} of {asked:?}");
        assert!(slept < asked + Duration::from_secs(2), "slept {slept:?} of {asked:?}");
    }
}

fn instants_agree_across_threads() {
    for _ in 0..50 {
        let before = Instant::now();
        let between = std::thread::spawn(Instant::now).join().expect("join");
        assert!(before <= between && between <= Instant::now());
    }
}

fn the_date_is_plausible() {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    assert!(since_epoch > Duration::from_secs(1_700_000_000), "the clock says {since_epoch:?} after 1970");
}
