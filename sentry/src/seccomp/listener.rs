//! Calls that wait for what another process says of them (`man 2 seccomp_unotify`).
//!
//! A filter that was installed with SECCOMP_FILTER_FLAG_NEW_LISTENER has a [`Listener`]. A call that it answers with
//! SECCOMP_RET_USER_NOTIF is posted there, received by a supervisor, and answered; meanwhile the supervisor may have
//! descriptors added to the caller, which the caller's own thread does. The supervisor has a [`ListenerFile`]: with that
//! closed, or with no task left that has the filter, nobody waits any more.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Errno;
use crate::abi::SeccompData;
use crate::fs::anonymous::AnonymousInode;
use crate::fs::{Fd, File, FileDescription, Metadata, OpenFiles, Splicing};
use crate::wait::{Events, WaitQueue};

/// What a supervisor says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The call is made after all.
    Continue,
    /// The call is not made; this is what the caller finds in `rax`.
    Result(i64),
}

/// A descriptor that a supervisor adds to the caller (`struct seccomp_notif_addfd`).
#[derive(Clone)]
pub(crate) struct Addition {
    pub(crate) file: Arc<FileDescription>,
    /// Where; else at the lowest free descriptor.
    pub(crate) at: Option<Fd>,
    pub(crate) is_close_on_exec: bool,
    /// The descriptor is the call's result, too (SECCOMP_ADDFD_FLAG_SEND).
    pub(crate) answers: bool,
}

/// What the caller has to do next.
pub(crate) enum Step {
    Answered(Answer),
    Add(u64, Addition),
}

/// A call, as a supervisor receives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posted {
    pub(crate) id: u64,
    /// The calling thread, as the root PID namespace numbers it.
    pub(crate) thread_id: i32,
    pub(crate) call: SeccompData,
}

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Posted,
    Received,
    Answered(Answer),
}

struct Notification {
    thread_id: i32,
    call: SeccompData,
    stage: Stage,
    /// Additions that the caller has not made yet, by number.
    additions: VecDeque<(u64, Addition)>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    last_addition: u64,
    notifications: BTreeMap<u64, Notification>,
    /// What became of the additions that somebody waits for: the caller may be gone by then.
    added: BTreeMap<u64, Option<Result<Fd, Errno>>>,
    /// The supervisor has closed its descriptor.
    is_closed: bool,
    /// No task has the filter any more.
    is_abandoned: bool,
}

/// The calls that wait at a filter.
#[derive(Default)]
pub(crate) struct Listener {
    /// Once a call has been received, only a fatal signal ends its wait (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV).
    is_killable_only: bool,
    state: Mutex<State>,
    /// Tells supervisors: calls to receive (IN) and to answer (OUT), additions made (PRI), the end (HUP).
    queue: WaitQueue,
    /// Tells callers that there is a step for one of them.
    steps: WaitQueue,
}

impl Listener {
    /// One without calls.
    pub(crate) fn new(is_killable_only: bool) -> Self {
        Self { is_killable_only, ..Self::default() }
    }

    /// Whether only a fatal signal ends the wait of a call that has been received.
    pub(crate) fn is_killable_only(&self) -> bool {
        self.is_killable_only
    }

    /// Whether nobody listens any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Where supervisors wait.
    pub(crate) fn queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// Where callers wait.
    pub(crate) fn steps(&self) -> &WaitQueue {
        &self.steps
    }

    /// Posts a call; returns its id.
    ///
    /// # Errors
    /// ENOSYS: nobody listens.
    pub(crate) fn post(&self, thread_id: i32, call: SeccompData) -> Result<u64, Errno> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Errno::ENOSYS);
        }
        state.last_id += 1;
        let id = state.last_id;
        let notification = Notification { thread_id, call, stage: Stage::Posted, additions: VecDeque::new() };
        state.notifications.insert(id, notification);
        drop(state);
        self.queue.notify(Events::IN | Events::RDNORM);
        Ok(id)
    }

    /// What the caller of `id` has to do next; `None` while it has to wait.
    pub(crate) fn next_step(&self, id: u64) -> Option<Step> {
        let mut state = self.state.lock();
        // A call is taken away by its own caller alone.
        let notification = state.notifications.get_mut(&id)?;
        if let Some((number, addition)) = notification.additions.pop_front() {
            return Some(Step::Add(number, addition));
        }
        match notification.stage {
            Stage::Answered(answer) => Some(Step::Answered(answer)),
            Stage::Posted | Stage::Received => None,
        }
    }

    /// The caller of `id` has made an addition, or could not. If it `answers`, that is the answer.
    pub(crate) fn set_added(&self, id: u64, number: u64, result: Result<Fd, Errno>, answers: bool) {
        let mut state = self.state.lock();
        state.set_added(number, result);
        if let Some(notification) = state.notifications.get_mut(&id)
            && let Ok(fd) = result
            && answers
            && notification.stage == Stage::Received
        {
            notification.stage = Stage::Answered(Answer::Result(fd.0.into()));
        }
        drop(state);
        self.queue.notify(Events::PRI);
    }

    /// The caller of `id` waits no longer. Who waits for an addition hears that it has gone.
    pub(crate) fn withdraw(&self, id: u64) {
        let mut state = self.state.lock();
        let gone = state.notifications.remove(&id);
        for (number, _) in gone.iter().flat_map(|gone| &gone.additions) {
            state.set_added(*number, Err(Errno::ESRCH));
        }
        drop(state);
        drop(gone);
        self.queue.notify(Events::PRI);
    }

    /// Whether a supervisor has received the call.
    pub(crate) fn is_received(&self, id: u64) -> bool {
        let state = self.state.lock();
        state.notifications.get(&id).is_some_and(|notification| notification.stage != Stage::Posted)
    }

    /// Receives the oldest call that nobody has received.
    ///
    /// # Errors
    /// EAGAIN while there is none. ENOENT: there will be none.
    pub(crate) fn receive(&self) -> Result<Posted, Errno> {
        let mut state = self.state.lock();
        let is_abandoned = state.is_abandoned;
        let mut posted = state.notifications.iter_mut().filter(|(_, other)| other.stage == Stage::Posted);
        let Some((id, notification)) = posted.next() else {
            return Err(if is_abandoned { Errno::ENOENT } else { Errno::EAGAIN });
        };
        notification.stage = Stage::Received;
        let received = Posted { id: *id, thread_id: notification.thread_id, call: notification.call };
        drop(state);
        self.queue.notify(Events::OUT | Events::WRNORM);
        Ok(received)
    }

    /// A received call could not be told: it is to be received again.
    pub(crate) fn take_back(&self, id: u64) {
        let mut state = self.state.lock();
        if let Some(notification) = state.notifications.get_mut(&id)
            && notification.stage == Stage::Received
        {
            notification.stage = Stage::Posted;
        }
        drop(state);
        self.queue.notify(Events::IN | Events::RDNORM);
    }

    /// Whether the call is still there, received and not answered.
    ///
    /// # Errors
    /// ENOENT.
    pub(crate) fn check_id(&self, id: u64) -> Result<(), Errno> {
        self.state.lock().received(id, Errno::ENOENT).map(|_| ())
    }

    /// Answers a call.
    ///
    /// # Errors
    /// ENOENT: there is no such call. EINPROGRESS: it has been answered, or has not been received.
    pub(crate) fn answer(&self, id: u64, answer: Answer) -> Result<(), Errno> {
        self.state.lock().received(id, Errno::EINPROGRESS)?.stage = Stage::Answered(answer);
        self.steps.notify(Events::IN);
        Ok(())
    }

    /// Asks the caller of `id` to add a descriptor; returns the addition's number.
    ///
    /// # Errors
    /// As [`Listener::answer`]. EBUSY: another addition of the call has not been made, and this one would answer it.
    pub(crate) fn add(&self, id: u64, addition: Addition) -> Result<u64, Errno> {
        let mut state = self.state.lock();
        state.last_addition += 1;
        let number = state.last_addition;
        let notification = state.received(id, Errno::EINPROGRESS)?;
        if addition.answers && !notification.additions.is_empty() {
            return Err(Errno::EBUSY);
        }
        notification.additions.push_back((number, addition));
        state.added.insert(number, None);
        drop(state);
        self.steps.notify(Events::IN);
        Ok(number)
    }

    /// What became of an addition; `None` while the caller has not made it.
    pub(crate) fn take_added(&self, number: u64) -> Option<Result<Fd, Errno>> {
        let mut state = self.state.lock();
        let result = state.added.get(&number).copied().flatten()?;
        state.added.remove(&number);
        Some(result)
    }

    /// Who asked for an addition waits for it no longer. What it has become, if it was made already.
    pub(crate) fn cancel_addition(&self, id: u64, number: u64) -> Option<Result<Fd, Errno>> {
        let mut state = self.state.lock();
        if let Some(notification) = state.notifications.get_mut(&id) {
            notification.additions.retain(|(other, _)| *other != number);
        }
        state.added.remove(&number).flatten()
    }

    /// No task has the filter any more.
    pub(super) fn abandon(&self) {
        self.state.lock().is_abandoned = true;
        self.queue.notify(Events::HUP);
    }

    fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let mut dropped = Vec::new();
        for notification in state.notifications.values_mut() {
            dropped.extend(notification.additions.drain(..));
            if !matches!(notification.stage, Stage::Answered(_)) {
                let refused = Errno::ENOSYS.as_return_value().cast_signed();
                notification.stage = Stage::Answered(Answer::Result(refused));
            }
        }
        drop(state);
        drop(dropped);
        self.steps.notify(Events::IN);
    }

    fn readiness(&self) -> Events {
        let state = self.state.lock();
        let mut events = if state.is_abandoned { Events::HUP } else { Events::empty() };
        for notification in state.notifications.values() {
            match notification.stage {
                Stage::Posted => events |= Events::IN | Events::RDNORM,
                Stage::Received => events |= Events::OUT | Events::WRNORM,
                Stage::Answered(_) => {}
            }
        }
        events
    }
}

impl State {
    fn set_added(&mut self, number: u64, result: Result<Fd, Errno>) {
        if let Some(place) = self.added.get_mut(&number) {
            *place = Some(result);
        }
    }

    /// A call that has been received and not answered; `otherwise` if it is there in another stage.
    fn received(&mut self, id: u64, otherwise: Errno) -> Result<&mut Notification, Errno> {
        let notification = self.notifications.get_mut(&id).ok_or(Errno::ENOENT)?;
        if notification.stage == Stage::Received { Ok(notification) } else { Err(otherwise) }
    }
}

/// A supervisor's end.
pub(crate) struct ListenerFile {
    listener: Arc<Listener>,
    inode: AnonymousInode,
}

impl ListenerFile {
    /// The end of `listener`, one of `files`: with it the listener closes.
    pub(crate) fn new(listener: Arc<Listener>, files: &OpenFiles) -> Arc<Self> {
        Arc::new(Self { listener, inode: AnonymousInode::new(files) })
    }

    /// What it listens to.
    pub(crate) fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }
}

impl Drop for ListenerFile {
    fn drop(&mut self) {
        self.listener.close();
    }
}

impl File for ListenerFile {
    fn is_prompt(&self) -> bool {
        false
    }

    fn readiness(&self) -> Events {
        self.listener.readiness()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.listener.queue)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:seccomp notify".into()
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
