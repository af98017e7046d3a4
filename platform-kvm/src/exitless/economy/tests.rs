use super::*;

fn economy(exit: Duration) -> Economy {
    let economy = Economy::new(false);
    economy.note_exit(exit);
    economy
}

#[test]
fn the_shortest_exit_counts() {
    let economy = economy(Duration::from_micros(10));
    economy.note_exit(Duration::from_secs(1));
    assert!(economy.is_frequent(Duration::from_micros(79)));
    assert!(!economy.is_frequent(Duration::from_micros(80)));
    economy.note_exit(Duration::from_micros(1));
    assert!(!economy.is_frequent(Duration::from_micros(8)));
}

#[test]
fn polling_that_saves_too_little_ends() {
    let economy = economy(Duration::from_micros(10));
    // Every call is worth 40 µs of polling.
    for (served, wanted) in [(1, Verdict::DoesNotPay), (49, Verdict::DoesNotPay)] {
        let mut phase = Phase::begin(&economy);
        let now = phase.begun + PERIOD;
        assert_eq!(phase.judge(served, now), wanted, "{served} calls");
    }
}

#[test]
fn without_requests_it_is_over() {
    let economy = economy(Duration::from_micros(10));
    let mut phase = Phase::begin(&economy);
    let begun = phase.begun;
    assert_eq!(phase.judge(100, begun + IDLE_MAX), Verdict::GoOn);
    assert_eq!(phase.judge(0, begun + IDLE_MAX + IDLE_MAX / 2), Verdict::GoOn);
    assert_eq!(phase.judge(0, begun + IDLE_MAX * 2), Verdict::Over);
    assert!(phase.has_paid());
    let mut phase = Phase::begin(&economy);
    let begun = phase.begun;
    assert_eq!(phase.judge(1, begun), Verdict::GoOn);
    assert_eq!(phase.judge(0, begun + IDLE_MAX), Verdict::Over);
    assert!(!phase.has_paid(), "one exit was saved by 150 µs");
}

#[test]
fn a_worker_without_a_processor_ends() {
    let economy = economy(Duration::from_micros(10));
    let mut phase = Phase::begin(&economy);
    // The clock of the thread has not moved by so much.
    let now = phase.begun + PERIOD * 1000;
    assert_eq!(phase.judge(u64::MAX / (40_000), now), Verdict::DoesNotPay);
}
