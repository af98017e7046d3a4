//! Queues as senders and receivers see them.

use super::*;
use crate::cred::{Credentials, KernelGid, KernelUid};
use crate::ipc::with_caller;

fn as_root<T>(call: impl FnOnce(&IpcCaller<'_>) -> T) -> T {
    with_caller(&Credentials::test_root(), call)
}

fn new_queue(queues: &MessageQueues) -> Arc<MessageQueue> {
    let id = as_root(|caller| queues.get((0, 0o600), &IpcLimits::default(), caller)).unwrap();
    queues.find(id).unwrap()
}

fn send(queue: &MessageQueue, kind: i64, text: &[u8]) -> Result<(), Errno> {
    let message = Message::new(&Default::default(), kind, text.len(), |bytes| {
        bytes.copy_from_slice(text);
        Ok(())
    });
    let mut message = Some(message.unwrap());
    as_root(|caller| queue.send(&mut message, caller))
}

fn receive(queue: &Arc<MessageQueue>, selection: Selection, max_bytes: usize) -> Result<Received, Errno> {
    let reception = Reception { selection, max_bytes, truncates: false };
    as_root(|caller| queue.receive(reception, true, caller))
}

fn text(received: Result<Received, Errno>) -> Vec<u8> {
    match received {
        Ok(Received::Message(message)) => message.text().to_vec(),
        Ok(Received::Pending(_)) => panic!("nothing there"),
        Err(error) => panic!("{error}"),
    }
}

fn pending(received: Result<Received, Errno>) -> PendingReception {
    match received {
        Ok(Received::Pending(pending)) => pending,
        Ok(Received::Message(message)) => panic!("{message:?}"),
        Err(error) => panic!("{error}"),
    }
}

fn outcome(pending: &PendingReception) -> Option<Result<Vec<u8>, Errno>> {
    pending.outcome().map(|outcome| outcome.map(|message| message.text().to_vec()))
}

#[test]
fn a_message_goes_to_the_first_who_waits_for_its_type() {
    let queues = MessageQueues::default();
    let queue = new_queue(&queues);
    let second = pending(receive(&queue, Selection::Type(2), 10));
    let any = pending(receive(&queue, Selection::Any, 10));
    let late = pending(receive(&queue, Selection::AtMost(5), 10));
    send(&queue, 3, b"three").unwrap();
    send(&queue, 2, b"two").unwrap();
    assert_eq!(outcome(&any), Some(Ok(b"three".to_vec())));
    assert_eq!(outcome(&second), Some(Ok(b"two".to_vec())));
    assert_eq!(outcome(&late), None);
    assert!(late.cancel().is_none());
    send(&queue, 1, b"one").unwrap();
    assert_eq!(queues.usage(), MessageUsage { queues: 1, messages: 1, bytes: 3, highest_index: 0 });
    assert_eq!(text(receive(&queue, Selection::Any, 3)), b"one");
}

#[test]
fn who_has_too_little_room_fails_and_the_message_stays() {
    let queues = MessageQueues::default();
    let queue = new_queue(&queues);
    let small = pending(receive(&queue, Selection::Any, 2));
    send(&queue, 1, b"long").unwrap();
    assert_eq!(outcome(&small), Some(Err(Errno::E2BIG)));
    assert!(matches!(receive(&queue, Selection::Any, 2), Err(Errno::E2BIG)));
    assert_eq!(text(receive(&queue, Selection::CopyAt(0), 4)), b"long");
    assert_eq!(text(receive(&queue, Selection::Any, 4)), b"long");
}

#[test]
fn a_full_queue_keeps_nothing_of_what_does_not_fit() {
    let queues = MessageQueues::default();
    let queue = new_queue(&queues);
    send(&queue, 1, &[0; 16_384]).unwrap();
    assert_eq!(send(&queue, 1, b"x"), Err(Errno::EAGAIN));
    assert_eq!(queues.usage().bytes, 16_384);
    assert_eq!(text(receive(&queue, Selection::Any, 16_384)).len(), 16_384);
    send(&queue, 1, b"x").unwrap();
}

#[test]
fn removal_is_eidrm_to_waiters_and_einval_to_others() {
    let queues = MessageQueues::default();
    let queue = new_queue(&queues);
    let waits = pending(receive(&queue, Selection::Any, 2));
    as_root(|caller| queues.remove(0, caller)).unwrap();
    assert_eq!(outcome(&waits), Some(Err(Errno::EIDRM)));
    assert_eq!(send(&queue, 1, b"x"), Err(Errno::EIDRM));
    assert!(matches!(queues.find(0), Err(Errno::EINVAL)));
}

#[test]
fn a_change_has_waiters_look_again_and_more_bytes_are_for_the_privileged() {
    let queues = MessageQueues::default();
    let queue = new_queue(&queues);
    let waits = pending(receive(&queue, Selection::Any, 2));
    let permissions = PermissionChange { uid: Some(KernelUid(5)), gid: Some(KernelGid(5)), mode: 0o600 };
    let change = |max_bytes, credentials: &Credentials| {
        let change = QueueChange { permissions, max_bytes };
        with_caller(credentials, |caller| queues.change(0, change, &IpcLimits::default(), caller))
    };
    assert_eq!(change(100_000, &Credentials::test_root()), Ok(()));
    assert_eq!(outcome(&waits), Some(Err(Errno::EAGAIN)));
    assert_eq!(change(100_000, &Credentials::test_user(5, 5)), Err(Errno::EPERM));
    assert_eq!(change(10, &Credentials::test_user(5, 5)), Ok(()));
    assert_eq!(change(10, &Credentials::test_user(6, 6)), Err(Errno::EPERM));
}
