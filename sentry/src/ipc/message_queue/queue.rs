//! One System V message queue, and those who wait for it.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{Message, Selection};
use crate::Errno;
use crate::heap::shrink_queue;
use crate::ipc::budget::Charge;
use crate::ipc::permissions::Permissions;
use crate::ipc::registry::Object;
use crate::ipc::{IpcAccess, IpcCaller, now_seconds};
use crate::process_identity::ProcessIdentity;
use crate::wait::{Events, WaitQueue};

/// A System V message queue (`man 7 sysvipc`).
pub struct MessageQueue {
    pub(super) id: i32,
    state: Mutex<State>,
    /// Announces room by [`Events::OUT`].
    room: WaitQueue,
    _charge: Charge,
}

/// What a queue's lock protects.
pub(super) struct State {
    pub(super) permissions: Permissions,
    pub(super) messages: VecDeque<Message>,
    /// Bytes of text in all messages.
    pub(super) bytes: usize,
    pub(super) max_bytes: u64,
    pub(super) sent_seconds: i64,
    pub(super) received_seconds: i64,
    pub(super) changed_seconds: i64,
    pub(super) last_sender: ProcessIdentity,
    pub(super) last_receiver: ProcessIdentity,
    /// Those who wait for a message, in order of arrival.
    receivers: VecDeque<Arc<Receiver>>,
    is_removed: bool,
}

/// What msgrcv(2) asks for.
#[derive(Clone, Copy, Debug)]
pub struct Reception {
    /// Which message.
    pub selection: Selection,
    /// Room for its text, in bytes.
    pub max_bytes: usize,
    /// A longer text is cut (MSG_NOERROR).
    pub truncates: bool,
}

/// One who waits for a message.
struct Receiver {
    reception: Reception,
    process: ProcessIdentity,
    outcome: Mutex<Option<Result<Message, Errno>>>,
    queue: WaitQueue,
}

/// A receiver's place in its queue, until it has a message or is dropped.
pub struct PendingReception {
    home: Arc<MessageQueue>,
    receiver: Arc<Receiver>,
}

/// What came of msgrcv(2).
pub enum Received {
    /// One that msgrcv(2) took.
    Message(Message),
    /// None is there yet.
    Pending(PendingReception),
}

impl PendingReception {
    /// Announces that there is an outcome, by [`Events::IN`].
    pub fn queue(&self) -> &WaitQueue {
        &self.receiver.queue
    }

    /// Takes the outcome, once there is one: EIDRM if the queue is gone, EAGAIN if the call is to be made again.
    pub fn outcome(&self) -> Option<Result<Message, Errno>> {
        self.receiver.outcome.lock().take()
    }

    /// Gives up, unless it is too late: then this is the outcome.
    pub fn cancel(self) -> Option<Result<Message, Errno>> {
        self.leave();
        self.outcome()
    }

    fn leave(&self) {
        self.home.state.lock().receivers.retain(|receiver| !Arc::ptr_eq(receiver, &self.receiver));
    }
}

impl Drop for PendingReception {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Receiver {
    fn finish(&self, outcome: Result<Message, Errno>) {
        *self.outcome.lock() = Some(outcome);
        self.queue.notify(Events::IN);
    }
}

impl Reception {
    fn check_len(&self, message: &Message) -> Result<(), Errno> {
        let fits = self.truncates || message.text().len() <= self.max_bytes;
        if fits { Ok(()) } else { Err(Errno::E2BIG) }
    }
}

impl MessageQueue {
    pub(super) fn new(id: i32, max_bytes: u64, permissions: Permissions, charge: Charge) -> Self {
        let state = State {
            permissions,
            messages: VecDeque::new(),
            bytes: 0,
            max_bytes,
            sent_seconds: 0,
            received_seconds: 0,
            changed_seconds: now_seconds(),
            last_sender: ProcessIdentity::default(),
            last_receiver: ProcessIdentity::default(),
            receivers: VecDeque::new(),
            is_removed: false,
        };
        Self { id, state: Mutex::new(state), room: WaitQueue::default(), _charge: charge }
    }

    /// Announces room, by [`Events::OUT`].
    pub fn room(&self) -> &WaitQueue {
        &self.room
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// msgsnd(2). Takes `message`, if there is room for it.
    ///
    /// # Errors
    /// EACCES, EIDRM; EAGAIN while there is no room.
    pub fn send(&self, message: &mut Option<Message>, caller: &IpcCaller<'_>) -> Result<(), Errno> {
        let mut state = self.state();
        state.permissions.check(IpcAccess::WRITE, caller)?;
        if state.is_removed {
            return Err(Errno::EIDRM);
        }
        let len = message.as_ref().map_or(0, |message| message.text().len());
        let fits = |used: usize, added: usize| used.saturating_add(added) as u64 <= state.max_bytes;
        if !fits(state.bytes, len) || !fits(state.messages.len(), 1) {
            return Err(Errno::EAGAIN);
        }
        let Some(message) = message.take() else { return Ok(()) };
        state.last_sender = caller.process.clone();
        state.sent_seconds = now_seconds();
        if let Some(message) = state.hand_over(message) {
            state.bytes += len;
            state.messages.push_back(message);
        }
        Ok(())
    }

    /// msgrcv(2).
    ///
    /// # Errors
    /// EACCES, EIDRM, E2BIG; ENOMSG if there is no message and `waits` is false; EINVAL and ENOMEM for copies.
    pub fn receive(
        self: &Arc<Self>,
        reception: Reception,
        waits: bool,
        caller: &IpcCaller<'_>,
    ) -> Result<Received, Errno> {
        let mut state = self.state();
        state.permissions.check(IpcAccess::READ, caller)?;
        if state.is_removed {
            return Err(Errno::EIDRM);
        }
        let Some(place) = reception.selection.find(&state.messages) else {
            if !waits {
                return Err(Errno::ENOMSG);
            }
            let receiver = Arc::new(Receiver {
                reception,
                process: caller.process.clone(),
                outcome: Mutex::default(),
                queue: WaitQueue::default(),
            });
            state.receivers.push_back(receiver.clone());
            return Ok(Received::Pending(PendingReception { home: self.clone(), receiver }));
        };
        if let Some(message) = state.messages.get(place) {
            reception.check_len(message)?;
            if let Selection::CopyAt(_) = reception.selection {
                // Copies are not cut.
                let fits = message.text().len() <= reception.max_bytes;
                return if fits { message.copy().map(Received::Message) } else { Err(Errno::EINVAL) };
            }
        }
        let message = state.messages.remove(place).ok_or(Errno::ENOMSG)?;
        shrink_queue(&mut state.messages);
        state.bytes = state.bytes.saturating_sub(message.text().len());
        state.last_receiver = caller.process.clone();
        state.received_seconds = now_seconds();
        drop(state);
        self.room.notify(Events::OUT);
        Ok(Received::Message(message))
    }

    /// Has those who wait look again: EAGAIN for receivers.
    pub(super) fn reconsider(&self, state: &mut State) {
        for receiver in std::mem::take(&mut state.receivers) {
            receiver.finish(Err(Errno::EAGAIN));
        }
        self.room.notify(Events::OUT);
    }

    /// Marks it as removed: who waits gets EIDRM.
    pub(super) fn close(&self) {
        let messages = {
            let mut state = self.state();
            state.is_removed = true;
            for receiver in std::mem::take(&mut state.receivers) {
                receiver.finish(Err(Errno::EIDRM));
            }
            std::mem::take(&mut state.messages)
        };
        self.room.notify(Events::OUT);
        drop(messages);
    }
}

impl State {
    /// Gives `message` to the first who waits for such a one, and has those for whom it is too long fail. Returns it if
    /// nobody takes it.
    fn hand_over(&mut self, message: Message) -> Option<Message> {
        let mut waiting = std::mem::take(&mut self.receivers).into_iter();
        let mut message = Some(message);
        for receiver in waiting.by_ref() {
            let wanted = message.take_if(|message| receiver.reception.selection.accepts(message.kind()));
            match wanted {
                None => self.receivers.push_back(receiver),
                Some(wanted) if receiver.reception.check_len(&wanted).is_err() => {
                    receiver.finish(Err(Errno::E2BIG));
                    message = Some(wanted);
                }
                Some(wanted) => {
                    self.last_receiver = receiver.process.clone();
                    self.received_seconds = now_seconds();
                    receiver.finish(Ok(wanted));
                    break;
                }
            }
        }
        self.receivers.extend(waiting);
        message
    }
}

impl Object for MessageQueue {
    fn id(&self) -> i32 {
        self.id
    }

    fn permissions(&self) -> Permissions {
        self.state().permissions
    }
}
