use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn numbers_go_up_and_wrap_past_init() {
    let mut allocator = TidAllocator::new();
    for expected in 1..=Tid::MAX.0 {
        assert_eq!(allocator.allocate(Tid::MAX), Ok(Tid(expected)));
    }
    assert_eq!(allocator.allocate(Tid::MAX), Err(Errno::EAGAIN));
    for freed in [1, 40_000, 3] {
        allocator.release(Tid(freed));
    }
    assert_eq!(allocator.allocate(Tid::MAX), Ok(Tid(3)));
    assert_eq!(allocator.allocate(Tid::MAX), Ok(Tid(40_000)));
    assert_eq!(allocator.allocate(Tid::MAX), Err(Errno::EAGAIN), "init's number is not given again");
}

#[test]
fn a_number_stays_in_use_until_its_last_holder_is_gone() {
    let mut allocator = TidAllocator::new();
    let tid = allocator.allocate(Tid::MAX).unwrap();
    allocator.hold(tid);
    allocator.release(tid);
    assert_eq!(allocator.allocate_exactly(tid), Err(Errno::EEXIST));
    allocator.release(tid);
    assert_eq!(allocator.allocate_exactly(tid), Ok(()));
}

proptest! {
    #[test]
    fn the_next_free_number_is_the_one_a_search_would_find(taken in prop::collection::btree_set(1usize..66_000, 0..300), start in 1usize..66_000) {
        let mut allocator = TidAllocator::new();
        let taken: BTreeSet<usize> = taken.into_iter().filter(|&number| number <= Tid::MAX.0 as usize).collect();
        for &number in &taken {
            allocator.hold(Tid(number as i32));
        }
        let expected = (start..=Tid::MAX.0 as usize).find(|number| !taken.contains(number));
        prop_assert_eq!(allocator.next_free(start), expected);
    }
}

#[test]
fn numbers_go_on_from_where_one_says_and_wrap_at_the_end() {
    let mut allocator = TidAllocator::new();
    assert_eq!(allocator.allocate(Tid::MAX), Ok(Tid(1)));
    allocator.set_last(Tid(400));
    assert_eq!(allocator.allocate(Tid(402)), Ok(Tid(401)));
    assert_eq!(allocator.allocate(Tid(402)), Ok(Tid(402)));
    let wrapped = allocator.allocate(Tid(402)).unwrap();
    assert!(wrapped.0 < 401, "{wrapped}");
    allocator.set_last(Tid(i32::MAX));
    assert!(allocator.allocate(Tid::MAX).unwrap() > wrapped);
}
