use super::*;

#[test]
fn scattered_touches_bring_in_their_group_only() {
    let mut streams = Streams::default();
    for page in [100, 1000, 5000] {
        let window = streams.window(page, &(0..10_000), 16, MAX_WINDOW);
        assert!(window.contains(&page) && window.end - window.start == 16);
    }
    assert_eq!(streams.window(7003, &(7001..7010), 16, MAX_WINDOW), 7001..7008);
}

#[test]
fn sequences_widen_until_whole_large_pages_come_in() {
    let (mut streams, mut page, mut faults) = (Streams::default(), 3, 0);
    while page < 16384 {
        let window = streams.window(page, &(3..16384), 16, MAX_WINDOW);
        assert_eq!(window.start, if page == 3 { 3 } else { page });
        page = window.end;
        faults += 1;
    }
    assert!(faults < 26, "{faults} faults");
}

#[test]
fn sequences_may_go_downward() {
    let (mut streams, mut page, mut faults) = (Streams::default(), 16383, 0);
    loop {
        let window = streams.window(page, &(0..16384), 16, MAX_WINDOW);
        assert!(window.contains(&page));
        faults += 1;
        match window.start.checked_sub(1) {
            Some(next) => page = next,
            None => break,
        }
    }
    assert!(faults < 26, "{faults} faults");
}
