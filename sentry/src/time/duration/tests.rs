use super::*;

#[test]
fn only_normal_times_are_durations() {
    for (time, is_valid) in [
        ([0, 0], true),
        ([1, 999_999_999], true),
        ([0, NANOSECONDS], false),
        ([0, -1], false),
        ([-1, 0], false),
    ] {
        assert_eq!(duration_from_timespec(time).is_ok(), is_valid, "{time:?}");
    }
    assert_eq!(duration_from_timeval([0, MICROSECONDS]), Err(Errno::EINVAL));
    assert_eq!(duration_from_timeval([2, 5]), Ok(Duration::new(2, 5000)));
}

#[test]
fn the_longest_time_does_not_overflow() {
    let longest = duration_from_timespec([i64::MAX, 999_999_999]).unwrap();
    assert!(i64::try_from(longest.as_nanos()).is_ok());
}
