use super::*;

#[test]
fn adjacent_ranges_are_one() {
    let mut list = FlushList::default();
    list.push(0x2000, 0x1000);
    list.push(0x3000, 0x1000);
    list.push(0x1000, 0x1000);
    assert_eq!(list.ranges(), std::slice::from_ref(&(0x1000..0x4000)));
}

#[test]
fn scattered_ranges_overflow() {
    let mut list = FlushList::default();
    for index in 0..=RANGES_MAX as u64 {
        assert!(!list.is_too_long());
        list.push(index * 0x2000, 0x1000);
    }
    assert!(list.is_too_long());
}
