//! Sets as those who operate on them see them.

use super::*;
use crate::cred::Credentials;
use crate::ipc::with_caller;

fn as_root<T>(call: impl FnOnce(&IpcCaller<'_>) -> T) -> T {
    with_caller(&Credentials::test_root(), call)
}

fn set_of(semaphores: &Semaphores, len: i32) -> i32 {
    as_root(|caller| semaphores.get((0, len, 0o600), &IpcLimits::default(), caller)).unwrap()
}

fn operation(semaphore: u16, change: i16) -> SemaphoreOperation {
    SemaphoreOperation { semaphore, change, is_nonblocking: false, has_undo: false }
}

fn operate(
    semaphores: &Semaphores,
    id: i32,
    operations: &[SemaphoreOperation],
    undo_list: Option<&UndoList>,
) -> Result<SemaphoreOutcome, Errno> {
    let to_user = |operation: &SemaphoreOperation| {
        let undo = if operation.has_undo { 0x1000 } else { 0 };
        [operation.semaphore, operation.change.cast_unsigned(), undo]
    };
    let read = || Ok(operations.iter().map(to_user).collect());
    let operations = SemaphoreOperations::new(&Default::default(), operations.len(), read).unwrap();
    as_root(|caller| semaphores.operate(id, operations, undo_list, caller))
}

fn pending(outcome: Result<SemaphoreOutcome, Errno>) -> PendingOperation {
    match outcome {
        Ok(SemaphoreOutcome::Pending(pending)) => pending,
        Ok(SemaphoreOutcome::Done) => panic!("done at once"),
        Err(error) => panic!("{error}"),
    }
}

fn values(semaphores: &Semaphores, id: i32) -> Vec<u16> {
    as_root(|caller| semaphores.values(id, caller)).unwrap()
}

#[test]
fn operations_are_done_all_or_none() {
    let semaphores = Semaphores::default();
    let id = set_of(&semaphores, 2);
    let waits = pending(operate(&semaphores, id, &[operation(0, 3), operation(1, -1)], None));
    assert_eq!(values(&semaphores, id), [0, 0]);
    assert!(waits.outcome().is_none());
    assert!(matches!(operate(&semaphores, id, &[operation(1, 1)], None), Ok(SemaphoreOutcome::Done)));
    assert_eq!(waits.outcome(), Some(Ok(())));
    assert_eq!(values(&semaphores, id), [3, 0]);
    let beyond = operate(&semaphores, id, &[operation(1, 5), operation(0, 32_767)], None);
    assert_eq!(beyond.err(), Some(Errno::ERANGE));
    assert_eq!(values(&semaphores, id), [3, 0]);
}

#[test]
fn what_one_waiter_does_lets_the_next_go_on() {
    let semaphores = Semaphores::default();
    let id = set_of(&semaphores, 3);
    let third = pending(operate(&semaphores, id, &[operation(2, -1)], None));
    let second = pending(operate(&semaphores, id, &[operation(1, -1), operation(2, 1)], None));
    let first = pending(operate(&semaphores, id, &[operation(0, -1), operation(1, 1)], None));
    assert!(operate(&semaphores, id, &[operation(0, 1)], None).is_ok());
    assert_eq!([first, second, third].map(|waiter| waiter.outcome()), [Some(Ok(())); 3]);
    assert_eq!(values(&semaphores, id), [0; 3]);
}

#[test]
fn who_gives_up_is_counted_no_more_and_changes_nothing() {
    let semaphores = Semaphores::default();
    let id = set_of(&semaphores, 1);
    let waits = pending(operate(&semaphores, id, &[operation(0, -1)], None));
    let counted = || as_root(|caller| semaphores.semaphore(id, 0, caller)).unwrap().waiting_for_more;
    assert_eq!(counted(), 1);
    assert!(waits.cancel().is_none());
    assert_eq!(counted(), 0);
    assert!(operate(&semaphores, id, &[operation(0, 1)], None).is_ok());
    assert_eq!(values(&semaphores, id), [1]);
}

#[test]
fn removal_is_eidrm_to_waiters_and_einval_to_others() {
    let semaphores = Semaphores::default();
    let id = set_of(&semaphores, 1);
    let waits = pending(operate(&semaphores, id, &[operation(0, -1)], None));
    as_root(|caller| semaphores.remove(id, caller)).unwrap();
    assert_eq!(waits.outcome(), Some(Err(Errno::EIDRM)));
    assert_eq!(operate(&semaphores, id, &[operation(0, 1)], None).err(), Some(Errno::EINVAL));
    assert_eq!(semaphores.usage(), SemaphoreUsage { sets: 0, semaphores: 0, highest_index: 0 });
}

#[test]
fn the_last_task_of_a_list_takes_its_operations_back() {
    let semaphores = Semaphores::default();
    let id = set_of(&semaphores, 2);
    let list = UndoList::new(&Default::default());
    let with_undo = |change| SemaphoreOperation { has_undo: true, ..operation(0, change) };
    assert!(operate(&semaphores, id, &[with_undo(5), operation(1, 1)], Some(&list)).is_ok());
    assert!(operate(&semaphores, id, &[with_undo(-1)], Some(&list)).is_ok());
    let process = ProcessIdentity::new([(0, 9)]);
    list.clone().leave(&process);
    assert_eq!(values(&semaphores, id), [4, 1]);
    list.leave(&process);
    assert_eq!(values(&semaphores, id), [0, 1]);
    let last = as_root(|caller| semaphores.semaphore(id, 0, caller)).unwrap().process;
    assert_eq!(last.number_in(0), 9);
}

#[test]
fn setting_a_value_forgets_what_was_to_be_taken_back() {
    let semaphores = Semaphores::default();
    let id = set_of(&semaphores, 1);
    let list = UndoList::new(&Default::default());
    let adding = SemaphoreOperation { has_undo: true, ..operation(0, 5) };
    assert!(operate(&semaphores, id, &[adding], Some(&list)).is_ok());
    as_root(|caller| semaphores.set_value(id, 0, 7, caller)).unwrap();
    list.leave(&ProcessIdentity::default());
    assert_eq!(values(&semaphores, id), [7]);
}

#[test]
fn the_limit_of_all_semaphores_is_enospc() {
    let semaphores = Semaphores::default();
    let mut limits = IpcLimits::default();
    limits.set_semaphores(&[10, 15]).unwrap();
    let get = |len| as_root(|caller| semaphores.get((0, len, 0o600), &limits, caller));
    assert_eq!(get(11), Err(Errno::EINVAL));
    assert!(get(10).is_ok());
    assert_eq!(get(6), Err(Errno::ENOSPC));
    assert!(get(5).is_ok());
}
