use super::*;

const fn extent(inside: u32, outside: u32, count: u32) -> Extent {
    Extent { inside, outside, count }
}

#[test]
fn numbers_outside_of_every_range_have_no_counterpart() {
    let map = IdMap::new(vec![extent(0, 1000, 1), extent(1, 100_000, 65_536)]);
    for (inside, outside) in [(0, 1000), (1, 100_000), (65_536, 165_535)] {
        assert_eq!(map.to_kernel(inside), Some(outside));
        assert_eq!(map.to_own(outside), Some(inside));
    }
    assert_eq!((map.to_kernel(65_537), map.to_kernel(NO_ID)), (None, None));
    assert_eq!([0, 999, 1001, 99_999, 165_536, NO_ID].map(|id| map.to_own(id)), [None; 6]);
    assert_eq!(IdMap::identity().to_kernel(NO_ID), None);
    assert_eq!(IdMap::identity().to_kernel(NO_ID - 1), Some(NO_ID - 1));
}

#[test]
fn a_nested_range_lies_in_one_range_of_the_map_around_it() {
    let map = IdMap::new(vec![extent(0, 1000, 1), extent(1, 1001, 1), extent(2, 5000, 10)]);
    assert_eq!(map.nest(&[extent(7, 3, 4)]).unwrap().extents(), [extent(7, 5001, 4)]);
    assert_eq!(map.nest(&[extent(0, 0, 2)]), Err(Errno::EPERM));
    assert_eq!(map.nest(&[extent(0, 11, 2)]), Err(Errno::EPERM));
    assert_eq!(map.nest(&[extent(0, 2, 1), extent(1, 12, 1)]), Err(Errno::EPERM));
}

#[test]
fn map_lines_are_three_numbers() {
    assert_eq!(parse(b"  0 1000\t1 \n1 2000 5"), Ok(vec![extent(0, 1000, 1), extent(1, 2000, 5)]));
    assert_eq!(parse(b"0 0 4294967295\n"), Ok(vec![extent(0, 0, u32::MAX)]));
    for text in [
        &b""[..],
        b"\n",
        b"0 0",
        b"0 0 0",
        b"0 0 1 1",
        b"0 0 1x",
        b"-1 0 1",
        b"0 0 1\n\n",
        b"1 0 4294967295",
        b"4294967295 0 1",
        b"0 0 2\n1 9 1",
        b"0 0 2\n9 1 1",
    ] {
        assert_eq!(parse(text), Err(Errno::EINVAL), "{}", text.escape_ascii());
    }
}

#[test]
fn a_map_has_at_most_340_lines() {
    let lines = |count: u32| (0..count).map(|id| format!("{id} {id} 1\n")).collect::<String>();
    assert_eq!(parse(lines(340).as_bytes()).map(|extents| extents.len()), Ok(340));
    assert_eq!(parse(lines(341).as_bytes()), Err(Errno::EINVAL));
}

#[test]
fn long_maps_are_shown_sorted() {
    let extents: Vec<_> = (0..6).rev().map(|id| extent(id, id, 1)).collect();
    assert_eq!(IdMap::new(extents.clone()).extents()[0], extent(0, 0, 1));
    assert_eq!(IdMap::new(extents[..5].to_vec()).extents()[0], extent(5, 5, 1));
}
