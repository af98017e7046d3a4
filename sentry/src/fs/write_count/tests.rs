use super::*;

#[test]
fn writers_and_deniers_exclude_one_another_and_are_many_each() {
    let count = WriteCount::default();
    assert!(count.try_move(1) && count.try_move(1));
    assert!(!count.try_move(-1));
    count.0.store(0, Ordering::Relaxed);
    assert!(count.try_move(-1) && count.try_move(-1));
    assert!(!count.try_move(1));
}

#[test]
fn a_count_never_turns_around() {
    let count = WriteCount(AtomicI32::new(i32::MAX));
    assert!(!count.try_move(1));
    count.0.store(i32::MIN, Ordering::Relaxed);
    assert!(!count.try_move(-1));
}
