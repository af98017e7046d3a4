use super::*;

#[test]
fn what_is_written_is_read_back() {
    let none = ClockOffsets::default();
    let text = "monotonic           0         0\nboottime            0         0\n";
    assert_eq!(none.to_text(), text);
    let set = none.parse_changes("1 100000 500\nboottime\t-5 7 more\n").unwrap();
    assert_eq!(set.monotonic.parts(), (100_000, 500));
    assert_eq!(set.boottime.parts(), (-5, 7));
    assert_eq!(none.parse_changes(text), Ok(none));
}

#[test]
fn nonsense_is_refused() {
    for (text, errno) in [
        ("", Errno::EINVAL),
        ("\n", Errno::EINVAL),
        ("monotonic 1", Errno::EINVAL),
        ("0 0 0", Errno::EINVAL),
        ("monotonic 0 -1", Errno::EINVAL),
        ("monotonic 0 1000000000", Errno::EINVAL),
        ("1 5 0\n\n7 1 0", Errno::EINVAL),
        ("monotonic 9223372037 0", Errno::ERANGE),
    ] {
        assert_eq!(ClockOffsets::default().parse_changes(text), Err(errno), "{text:?}");
    }
}

#[test]
fn a_clock_neither_shows_times_before_its_start_nor_too_late_ones() {
    let now = |_| Duration::from_secs(100);
    let with = |seconds| {
        let monotonic = ClockOffset::new(seconds, 0).unwrap();
        ClockOffsets { monotonic, ..ClockOffsets::default() }.check(now)
    };
    assert_eq!(with(-100), Ok(()));
    assert_eq!(with(-101), Err(Errno::ERANGE));
    assert_eq!(with(4_611_685_918), Ok(()));
    assert_eq!(with(4_611_685_919), Err(Errno::ERANGE));
}

#[test]
fn shown_and_machine_are_inverse() {
    for seconds in [-50, 0, 50] {
        let offset = ClockOffset::new(seconds, 3).unwrap();
        let time = Duration::from_secs(100);
        assert_eq!(offset.machine(offset.shown(time)), time);
    }
}
