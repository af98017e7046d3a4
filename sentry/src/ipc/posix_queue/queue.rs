//! One POSIX message queue, and those who wait for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Notification, NotificationKind, QueueAttributes, QueueNode};
use crate::Errno;
use crate::cred::KernelUid;
use crate::ipc::IpcBudget;
use crate::ipc::Message;
use crate::ipc::budget::Charge;
use crate::limits::MessageQueueCharge;
use crate::process_identity::ProcessIdentity;
use crate::wait::{Events, WaitQueue};

/// A message queue. Open files hold it; its name may be gone.
pub struct PosixQueue {
    attributes: QueueAttributes,
    node: Arc<dyn QueueNode>,
    state: Mutex<State>,
    /// Messages ([`Events::IN`]) and room ([`Events::OUT`]).
    events: WaitQueue,
    charge: Charge,
    _user_charge: Option<MessageQueueCharge>,
}

struct State {
    /// By priority, each in order of arrival.
    messages: BTreeMap<i64, VecDeque<Message>>,
    count: usize,
    bytes: usize,
    /// Those who wait for a message, in order of arrival.
    receivers: VecDeque<Arc<Receiver>>,
    notification: Option<Notification>,
}

/// One who waits for a message.
#[derive(Default)]
struct Receiver {
    message: Mutex<Option<Message>>,
    queue: WaitQueue,
}

/// A receiver's place in its queue, until it has a message or is dropped.
pub struct PendingPosixReception {
    home: Arc<PosixQueue>,
    receiver: Arc<Receiver>,
}

/// What came of mq_receive(3).
pub enum PosixReceived {
    /// One that mq_receive(3) took.
    Message(Message),
    /// None is there yet.
    Pending(PendingPosixReception),
}

/// What a queue's file says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PosixQueueStatus {
    /// mq_curmsgs: how many wait in it.
    pub messages: usize,
    /// Bytes in those.
    pub bytes: usize,
    /// How the registered process is told, and its number in the root PID namespace.
    pub notification: Option<(NotificationKind, i32)>,
}

impl PendingPosixReception {
    /// Announces a message, by [`Events::IN`].
    pub fn queue(&self) -> &WaitQueue {
        &self.receiver.queue
    }

    /// Takes the message, once there is one.
    pub fn message(&self) -> Option<Message> {
        self.receiver.message.lock().take()
    }

    /// Gives up, unless it is too late: then this is the message.
    pub fn cancel(self) -> Option<Message> {
        self.leave();
        self.message()
    }

    fn leave(&self) {
        self.home.state.lock().receivers.retain(|receiver| !Arc::ptr_eq(receiver, &self.receiver));
    }
}

impl Drop for PendingPosixReception {
    fn drop(&mut self) {
        self.leave();
    }
}

impl PosixQueue {
    pub(super) fn new(
        attributes: QueueAttributes,
        node: Arc<dyn QueueNode>,
        charge: Charge,
        user_charge: Option<MessageQueueCharge>,
    ) -> Arc<Self> {
        let state = State {
            messages: BTreeMap::new(),
            count: 0,
            bytes: 0,
            receivers: VecDeque::new(),
            notification: None,
        };
        let (events, state) = (WaitQueue::default(), Mutex::new(state));
        Arc::new(Self { attributes, node, state, events, charge, _user_charge: user_charge })
    }

    /// How much it may hold.
    pub fn attributes(&self) -> QueueAttributes {
        self.attributes
    }

    /// What its messages are charged to.
    pub fn budget(&self) -> &Arc<IpcBudget> {
        self.charge.budget()
    }

    /// Announces messages, by [`Events::IN`], and room, by [`Events::OUT`].
    pub fn events(&self) -> &WaitQueue {
        &self.events
    }

    /// What can be done now without waiting.
    pub fn readiness(&self) -> Events {
        let count = self.state.lock().count;
        let mut ready = Events::empty();
        ready.set(Events::IN | Events::RDNORM, count > 0);
        ready.set(Events::OUT | Events::WRNORM, count < self.attributes.max_messages);
        ready
    }

    /// What its file says.
    pub fn status(&self) -> PosixQueueStatus {
        const ROOT_PID_NAMESPACE: u64 = 0;
        let state = self.state.lock();
        let describe = |notification: &Notification| {
            (notification.kind, notification.owner.number_in(ROOT_PID_NAMESPACE))
        };
        PosixQueueStatus {
            messages: state.count,
            bytes: state.bytes,
            notification: state.notification.as_ref().map(describe),
        }
    }

    /// Its file.
    pub fn node(&self) -> &Arc<dyn QueueNode> {
        &self.node
    }

    /// mq_send(3) by `sender` of user `uid`. Takes `message`, whose type is its priority, if there is room.
    ///
    /// # Errors
    /// EAGAIN while there is no room.
    pub fn send(
        &self,
        message: &mut Option<Message>,
        sender: &ProcessIdentity,
        uid: KernelUid,
    ) -> Result<(), Errno> {
        let notification = {
            let mut state = self.state.lock();
            if state.count >= self.attributes.max_messages {
                return Err(Errno::EAGAIN);
            }
            let Some(message) = message.take() else { return Ok(()) };
            self.node.touched();
            if let Some(receiver) = state.receivers.pop_front() {
                *receiver.message.lock() = Some(message);
                receiver.queue.notify(Events::IN);
                return Ok(());
            }
            state.count += 1;
            state.bytes += message.text().len();
            state.messages.entry(message.kind()).or_default().push_back(message);
            // Only what comes to an empty queue is news.
            if state.count == 1 { state.notification.take() } else { None }
        };
        self.events.notify(Events::IN | Events::RDNORM);
        if let Some(notification) = notification {
            notification.send(sender, uid);
        }
        Ok(())
    }

    /// mq_receive(3): the oldest message of the highest priority.
    ///
    /// # Errors
    /// EAGAIN if there is none and `waits` is false.
    pub fn receive(self: &Arc<Self>, waits: bool) -> Result<PosixReceived, Errno> {
        let mut state = self.state.lock();
        let Some(message) = state.take_first() else {
            if !waits {
                return Err(Errno::EAGAIN);
            }
            let receiver = Arc::<Receiver>::default();
            state.receivers.push_back(receiver.clone());
            return Ok(PosixReceived::Pending(PendingPosixReception { home: self.clone(), receiver }));
        };
        self.node.touched();
        drop(state);
        self.events.notify(Events::OUT | Events::WRNORM);
        Ok(PosixReceived::Message(message))
    }

    /// mq_notify(3): registers a process.
    ///
    /// # Errors
    /// EBUSY if one is registered already.
    pub fn register(&self, mut notification: Notification) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.notification.is_some() {
            return Err(Errno::EBUSY);
        }
        notification.begin();
        state.notification = Some(notification);
        self.node.touched();
        Ok(())
    }

    /// mq_notify(3) without an event: ends the registration of `owner`, if it has one.
    pub fn unregister(&self, owner: &ProcessIdentity) {
        let mut state = self.state.lock();
        let removed = state.notification.take_if(|notification| notification.owner == *owner);
        drop(state);
        drop(removed);
    }

    /// The queue has been closed through the descriptor table with this id: a registration that was made through it
    /// ends.
    pub fn closed_through(&self, table: u64) {
        let removed = self.state.lock().notification.take_if(|notification| notification.table == table);
        drop(removed);
    }
}

impl State {
    fn take_first(&mut self) -> Option<Message> {
        let mut highest = self.messages.last_entry()?;
        let message = highest.get_mut().pop_front();
        if highest.get().is_empty() {
            highest.remove();
        }
        let message = message?;
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(message.text().len());
        Some(message)
    }
}
