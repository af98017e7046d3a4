use super::*;

fn record(owner: u64, start: u64, end: u64, is_exclusive: bool) -> RecordLock {
    RecordLock { start, end, is_exclusive, owner: LockOwner::Process { table: owner, process_id: 1 } }
}

#[test]
fn unlocking_the_middle_splits_a_record_lock() {
    let locks = FileLocks::default();
    locks.lock_record(record(1, 0, 100, true)).unwrap();
    locks.unlock_record(record(1, 0, 0, false).owner, 40, 60).unwrap();
    assert_eq!(locks.lock_record(record(2, 39, 41, false)), Err(Errno::EAGAIN));
    assert_eq!(locks.lock_record(record(2, 40, 60, true)), Ok(()));
    assert_eq!(locks.find_conflict(&record(2, 0, u64::MAX, true)), Some(record(1, 0, 40, true)));
}

#[test]
fn neighbours_join_and_shared_locks_coexist() {
    let locks = FileLocks::default();
    locks.lock_record(record(1, 0, 10, false)).unwrap();
    locks.lock_record(record(1, 10, 20, false)).unwrap();
    locks.lock_record(record(2, 5, 15, false)).unwrap();
    assert_eq!(locks.records().len(), 2);
    assert_eq!(locks.lock_record(record(1, 0, 20, true)), Err(Errno::EAGAIN));
    locks.release(record(2, 0, 0, false).owner);
    assert_eq!(locks.lock_record(record(1, 0, 20, true)), Ok(()));
    assert_eq!(locks.records(), [record(1, 0, 20, true)]);
}

#[test]
fn what_is_held_of_a_range_is_told_part_by_part() {
    let locks = FileLocks::default();
    locks.lock_record(record(1, 0, 20, false)).unwrap();
    locks.lock_record(record(2, 10, 30, false)).unwrap();
    locks.lock_record(record(1, 40, 50, true)).unwrap();
    let own = locks.own.lock();
    let holds = own.as_ref().unwrap().holds(5, 60);
    assert_eq!(
        holds,
        [
            (5, 10, Some(false)),
            (10, 20, Some(false)),
            (20, 30, Some(false)),
            (30, 40, None),
            (40, 50, Some(true)),
            (50, 60, None),
        ]
    );
}

#[test]
fn flock_converts_and_excludes() {
    let locks = FileLocks::default();
    locks.lock_whole(1, false).unwrap();
    locks.lock_whole(2, false).unwrap();
    assert_eq!(locks.lock_whole(1, true), Err(Errno::EAGAIN));
    assert_eq!(locks.lock_whole(2, true), Ok(()), "the failed conversion lost the lock of 1");
    locks.unlock_whole(2);
    assert_eq!(locks.lock_whole(1, true), Ok(()));
}
