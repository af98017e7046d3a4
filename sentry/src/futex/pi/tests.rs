use super::super::table::tests::Word;
use super::*;

fn setup() -> (FutexTable<u32>, Arc<Word>) {
    (FutexTable::default(), Arc::new(Word::default()))
}

fn lock<'a>(table: &'a FutexTable<u32>, word: &Arc<Word>, own: u32) -> Result<Acquisition<'a, u32>, Errno> {
    table.lock_pi(1, word.clone(), own, Some(Arc::default()), |tid| tid < 100)
}

fn queued<'a>(table: &'a FutexTable<u32>, word: &Arc<Word>, own: u32) -> PiWaiter<'a, u32> {
    match lock(table, word, own) {
        Ok(Acquisition::Queued(waiter)) => waiter,
        _ => panic!("{own} did not queue"),
    }
}

#[test]
fn a_free_lock_is_taken_and_given_back() {
    let (table, word) = setup();
    assert!(matches!(lock(&table, &word, 7), Ok(Acquisition::Acquired)));
    assert_eq!(word.load(), Ok(7));
    assert_eq!(lock(&table, &word, 7).err(), Some(Errno::EDEADLK));
    assert_eq!(table.unlock_pi(&1, &*word, 8), Err(Errno::EPERM));
    assert_eq!(table.unlock_pi(&1, &*word, 7), Ok(()));
    assert_eq!(word.load(), Ok(0));
}

#[test]
fn unlocking_hands_the_lock_to_the_first_in_the_queue() {
    let (table, word) = setup();
    word.0.store(7, Ordering::SeqCst);
    let (first, second) = (queued(&table, &word, 8), queued(&table, &word, 9));
    assert_eq!(word.load(), Ok(7 | FUTEX_WAITERS));
    table.unlock_pi(&1, &*word, 7).unwrap();
    assert!(first.is_owner() && !second.is_owner());
    assert_eq!(word.load(), Ok(8 | FUTEX_WAITERS));
    table.unlock_pi(&1, &*word, 8).unwrap();
    assert!(second.is_owner());
    assert_eq!(word.load(), Ok(9));
}

#[test]
fn an_attempt_does_not_queue_and_a_missing_owner_is_esrch() {
    let (table, word) = setup();
    word.0.store(7, Ordering::SeqCst);
    assert_eq!(table.lock_pi(1, word.clone(), 8, None, |_| true).err(), Some(Errno::EAGAIN));
    word.0.store(100, Ordering::SeqCst);
    assert_eq!(lock(&table, &word, 8).err(), Some(Errno::ESRCH));
}

#[test]
fn the_lock_of_a_thread_that_ends_goes_to_who_waits() {
    let (table, word) = setup();
    word.0.store(7, Ordering::SeqCst);
    let waiter = queued(&table, &word, 8);
    table.release_pi_locks(6);
    assert!(!waiter.is_owner());
    table.release_pi_locks(7);
    assert!(waiter.is_owner());
    assert_eq!(word.load(), Ok(8 | FUTEX_OWNER_DIED));
}

#[test]
fn one_who_gives_up_is_not_handed_the_lock() {
    let (table, word) = setup();
    word.0.store(7, Ordering::SeqCst);
    drop(queued(&table, &word, 8));
    table.unlock_pi(&1, &*word, 7).unwrap();
    assert_eq!(word.load(), Ok(0));
    assert_eq!(table.pi_waiters.load(Ordering::SeqCst), 0);
}
