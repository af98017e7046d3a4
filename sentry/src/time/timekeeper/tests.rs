use super::*;

/// A timekeeper that reckons from the counter, if this machine's is fit.
fn running() -> Timekeeper {
    let timekeeper = Timekeeper::default();
    let sample = Sample::take();
    *timekeeper.lines.lock() = Some(Lines { anchor: sample, next_anchor: sample, current: None });
    std::thread::sleep(2 * SHORTEST_BASELINE);
    timekeeper
}

#[test]
fn time_agrees_with_the_host_s() {
    let timekeeper = running();
    for clock in [SystemClock::Monotonic, SystemClock::Realtime, SystemClock::Boottime] {
        let before = host_time(clock.host());
        let time = timekeeper.now(clock);
        let after = host_time(clock.host());
        let tolerance = Duration::from_micros(200);
        assert!(
            time + tolerance >= before && time <= after + tolerance,
            "{clock:?}: {before:?} {time:?} {after:?}"
        );
    }
}

#[test]
fn monotonic_time_never_steps_back_across_lines() {
    let timekeeper = running();
    let mut last = Duration::ZERO;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(200) {
        let now = timekeeper.now(SystemClock::Monotonic);
        assert!(now >= last, "{now:?} after {last:?}");
        last = now;
    }
}

#[test]
fn a_line_that_is_ahead_is_followed_by_a_flatter_one() {
    let timekeeper = running();
    timekeeper.now(SystemClock::Monotonic);
    let mut lines = timekeeper.lines.lock();
    let lines = lines.as_mut().unwrap();
    let ahead_ns = 1_000_000;
    let current = lines.current.as_mut().unwrap();
    current.monotonic.base_ns += ahead_ns;
    let before = *current;
    lines.refresh();
    let after = lines.current.unwrap();
    let tsc = after.base_tsc;
    assert!(Some(after.monotonic.base_ns) >= before.extrapolated_ns(SystemClock::Monotonic, tsc));
    assert!(after.monotonic.slope < before.monotonic.slope);
}
