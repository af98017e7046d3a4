use super::*;

const MS: Duration = Duration::from_millis(1);

fn limited(burst: Duration) -> (Bandwidth, MonotonicTime) {
    let (bandwidth, now) = (Bandwidth::default(), TimerQueue::default().now());
    bandwidth.set_limit(CpuLimit { quota: Some(10 * MS), period: 100 * MS, burst }, now);
    (bandwidth, now)
}

#[test]
fn without_a_limit_nothing_is_counted() {
    let bandwidth = Bandwidth::default();
    assert_eq!(bandwidth.charge(Duration::from_secs(9), TimerQueue::default().now()), None);
    assert_eq!(bandwidth.statistics(TimerQueue::default().now()), BandwidthStatistics::default());
}

#[test]
fn a_used_up_quota_is_there_again_in_the_next_period() {
    let (bandwidth, start) = limited(Duration::ZERO);
    assert_eq!(bandwidth.charge(4 * MS, start), None);
    assert_eq!(bandwidth.charge(6 * MS, start + 20 * MS), Some(start + 100 * MS));
    assert!(!bandwidth.has_time(start + 99 * MS));
    assert!(bandwidth.has_time(start + 100 * MS));
    let statistics = bandwidth.statistics(start + 150 * MS);
    assert_eq!((statistics.periods, statistics.throttled_periods), (1, 1));
    assert_eq!(statistics.throttled_time, 80 * MS);
}

#[test]
fn too_much_is_taken_off_the_periods_to_come() {
    let (bandwidth, start) = limited(Duration::ZERO);
    bandwidth.charge(35 * MS, start + 50 * MS);
    // 25 ms of debt: after three more periods 5 ms are left.
    let end = start + 50 * MS + 100 * MS;
    assert!(!bandwidth.has_time(end + 100 * MS));
    assert!(bandwidth.has_time(end + 200 * MS));
    assert_eq!(bandwidth.charge(4 * MS, end + 200 * MS), None);
    assert!(bandwidth.charge(MS, end + 200 * MS).is_some());
}

#[test]
fn what_is_left_is_lost_beyond_the_burst() {
    let (bandwidth, start) = limited(5 * MS);
    bandwidth.charge(MS, start);
    assert_eq!(bandwidth.charge(14 * MS, start + 100 * MS), None);
    assert!(bandwidth.charge(MS, start + 100 * MS).is_some());
    assert_eq!(bandwidth.statistics(start + 200 * MS).bursts, 1);
}

#[test]
fn a_new_limit_ends_the_wait() {
    let (bandwidth, start) = limited(Duration::ZERO);
    assert!(bandwidth.charge(10 * MS, start).is_some());
    bandwidth.set_limit(CpuLimit::default(), start);
    assert!(bandwidth.has_time(start));
}
