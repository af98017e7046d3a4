//! Queues as senders and receivers see them.

use std::sync::Weak;

use super::*;
use crate::cred::{KernelUid, Uid, UserNamespace};
use crate::ipc::Message;
use crate::process_identity::ProcessIdentity;
use crate::signal::{Signal, SignalDetail, SignalInfo, SignalTarget};
use crate::wait::Events;

const SENDER: i32 = 40;

/// The file of a queue that no file system shows.
struct NoFile;

impl QueueNode for NoFile {
    fn ino(&self) -> u64 {
        2
    }

    fn touched(&self) {}

    fn unlinked(&self) {}
}

fn creation(max_messages: usize) -> QueueCreation {
    QueueCreation {
        attributes: QueueAttributes { max_messages, message_bytes: 10 },
        node: Arc::new(NoFile),
        user_charge: None,
        is_privileged: false,
    }
}

fn new_queue(max_messages: usize) -> Arc<PosixQueue> {
    PosixQueues::default()
        .create(b"queue", creation(max_messages), &IpcLimits::default(), &Arc::default())
        .unwrap()
}

fn send(queue: &PosixQueue, text: &[u8], priority: i64) -> Result<(), Errno> {
    let message = Message::new(queue.budget(), priority, text.len(), |bytes| {
        bytes.copy_from_slice(text);
        Ok(())
    });
    queue.send(&mut Some(message.unwrap()), &ProcessIdentity::new([(0, SENDER)]), KernelUid(7))
}

fn receive(queue: &Arc<PosixQueue>) -> Result<(Vec<u8>, i64), Errno> {
    match queue.receive(false)? {
        PosixReceived::Message(message) => Ok((message.text().to_vec(), message.kind())),
        PosixReceived::Pending(_) => panic!("waits, though it was not to"),
    }
}

fn pending(queue: &Arc<PosixQueue>) -> PendingPosixReception {
    match queue.receive(true) {
        Ok(PosixReceived::Pending(pending)) => pending,
        _ => panic!("nothing was to be there"),
    }
}

/// Remembers the signals that it gets.
#[derive(Default)]
struct Process(Mutex<Vec<SignalInfo>>);

impl SignalTarget for Process {
    fn deliver(&self, info: SignalInfo) {
        self.0.lock().push(info);
    }
}

fn notification(process: &Arc<Process>, number: i32) -> Notification {
    let weak: Weak<Process> = Arc::downgrade(process);
    Notification {
        kind: NotificationKind::Signal(Some(Signal::SIGUSR1), 5),
        owner: ProcessIdentity::new([(0, number)]),
        target: weak,
        pid_namespace: 0,
        user_namespace: UserNamespace::initial(),
        table: 1000,
        cookie: None,
    }
}

#[test]
fn higher_priorities_come_first_and_equal_ones_in_order() {
    let queue = new_queue(4);
    for (text, priority) in [(b"a", 1), (b"b", 9), (b"c", 1)] {
        send(&queue, text, priority).unwrap();
    }
    let received: Vec<_> = (0..3).map(|_| receive(&queue).unwrap()).collect();
    assert_eq!(received, [(b"b".to_vec(), 9), (b"a".to_vec(), 1), (b"c".to_vec(), 1)]);
    assert_eq!(receive(&queue), Err(Errno::EAGAIN));
}

#[test]
fn a_full_queue_is_eagain_and_readiness_tells() {
    let queue = new_queue(1);
    assert_eq!(queue.readiness() & (Events::IN | Events::OUT), Events::OUT);
    send(&queue, b"x", 0).unwrap();
    assert_eq!(queue.readiness() & (Events::IN | Events::OUT), Events::IN);
    assert_eq!(send(&queue, b"y", 0), Err(Errno::EAGAIN));
    assert_eq!(queue.status().bytes, 1);
}

#[test]
fn who_waits_gets_the_message_and_nobody_is_told() {
    let (queue, process) = (new_queue(2), Arc::<Process>::default());
    queue.register(notification(&process, 1)).unwrap();
    let (first, second) = (pending(&queue), pending(&queue));
    send(&queue, b"x", 3).unwrap();
    assert_eq!(first.message().map(|message| message.kind()), Some(3));
    assert!(second.cancel().is_none());
    assert!(process.0.lock().is_empty());
    send(&queue, b"y", 0).unwrap();
    assert_eq!(process.0.lock().len(), 1);
}

#[test]
fn a_registration_is_for_one_message_to_an_empty_queue() {
    let (queue, process) = (new_queue(4), Arc::<Process>::default());
    queue.register(notification(&process, 1)).unwrap();
    assert_eq!(queue.register(notification(&process, 2)), Err(Errno::EBUSY));
    send(&queue, b"x", 0).unwrap();
    send(&queue, b"y", 0).unwrap();
    let detail = SignalDetail::Queue { pid: SENDER, uid: Uid(7), value: 5 };
    let expected = SignalInfo { signal: Signal::SIGUSR1, errno: 0, code: -3, detail };
    assert_eq!(*process.0.lock(), [expected]);
    assert_eq!(queue.status().notification, None);
}

#[test]
fn a_registration_ends_with_its_owner_or_the_table_that_closes_the_queue() {
    let (queue, process) = (new_queue(4), Arc::<Process>::default());
    queue.register(notification(&process, 1)).unwrap();
    queue.unregister(&ProcessIdentity::new([(0, 2)]));
    queue.closed_through(999);
    assert!(queue.status().notification.is_some());
    queue.closed_through(1000);
    assert!(queue.status().notification.is_none());
    queue.register(notification(&process, 1)).unwrap();
    queue.unregister(&ProcessIdentity::new([(0, 1)]));
    assert!(queue.status().notification.is_none());
}

#[test]
fn names_are_unique_and_limited() {
    let (queues, mut limits) = (PosixQueues::default(), IpcLimits::default());
    limits.set(IpcLimit::PosixQueues, 1).unwrap();
    let create = |name: &[u8], is_privileged| {
        let creation = QueueCreation { is_privileged, ..creation(1) };
        queues.create(name, creation, &limits, &Arc::default()).map(drop)
    };
    assert_eq!(create(b"a", false), Ok(()));
    assert_eq!(create(b"a", false), Err(Errno::EEXIST));
    assert_eq!(create(b"b", false), Err(Errno::ENOSPC));
    assert_eq!(create(b"b", true), Ok(()));
    queues.remove(b"a").unwrap();
    assert_eq!(queues.remove(b"a"), Err(Errno::ENOENT));
    assert_eq!(queues.list(), [(2, b"b".to_vec())]);
}

#[test]
fn attributes_are_limited_as_their_maker_is() {
    let limits = IpcLimits::default();
    for (messages, bytes, is_privileged, is_valid) in [
        (10, 8192, false, true),
        (11, 8192, false, false),
        (10, 8193, false, false),
        (65_536, 16 << 20, true, true),
        (65_537, 1, true, false),
        (0, 1, true, false),
        (1, -1, true, false),
    ] {
        let checked = QueueAttributes::checked(messages, bytes, &limits, is_privileged);
        assert_eq!(checked.is_ok(), is_valid, "{messages} messages of {bytes} bytes");
    }
    let attributes = QueueAttributes { max_messages: 10, message_bytes: 8 };
    assert_eq!(attributes.charged_bytes(), 10 * 8 + 20 * 48);
}
