//! Requests that wait for their file.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Context, Place};
use crate::Errno;
use crate::abi::IoEvent;
use crate::fs::FileDescription;
use crate::time::{Expire, TimerHandle};
use crate::wait::{Events, Observer, Registration};

/// What a request does to its file.
pub(crate) trait Operation: Send {
    /// Does it, if that needs no wait; the event's `res`.
    ///
    /// # Errors
    /// EAGAIN while it would have to wait, and what `res` then says.
    fn attempt(&mut self) -> Result<i64, Errno>;

    /// Does nothing any more; the event's `res`.
    fn cancel(&mut self) -> i64;

    /// What it waits for.
    fn interest(&self) -> Events;
}

/// A request as it was submitted.
pub(crate) struct Submission {
    /// `aio_data`.
    pub(crate) data: u64,
    /// Where its `struct iocb` lies.
    pub(crate) object: u64,
    /// The counter that is told of its end (IOCB_FLAG_RESFD).
    pub(crate) told: Option<Arc<FileDescription>>,
    pub(crate) place: Place,
}

impl Submission {
    /// It is done.
    pub(crate) fn complete(self, result: i64) {
        let Self { data, object, told, place } = self;
        let context = place.context.clone();
        // The event takes the place.
        drop(place);
        context.add_event(IoEvent { data, obj: object, res: result, res2: 0 }, told.as_deref());
    }

    /// Does `operation` on `file`, now or when that is ready.
    pub(crate) fn start(self, file: &Arc<FileDescription>, operation: Box<dyn Operation>) {
        let context = self.place.context.clone();
        let interest = operation.interest();
        let mut state = context.state.lock();
        if state.is_closed {
            // Nobody will ask.
            drop(state);
            return drop(self);
        }
        let id = state.next_id;
        state.next_id += 1;
        let request = Arc::new_cyclic(|this| Request {
            this: this.clone(),
            id,
            object: self.object,
            context: Arc::downgrade(&context),
            work: Mutex::new(Some(Work { submission: self, operation, file: file.clone() })),
            registration: Mutex::default(),
            alarm: Mutex::default(),
        });
        state.waiting.insert(id, request.clone());
        drop(state);
        // What changes from now on is seen; what has changed already, by the attempt.
        let registration = file.file().wait_queue().map(|queue| queue.register(interest, request.clone()));
        *request.registration.lock() = registration;
        request.attempt();
    }
}

struct Work {
    submission: Submission,
    operation: Box<dyn Operation>,
    /// The file is open while the request waits.
    file: Arc<FileDescription>,
}

/// A request that waits.
pub(super) struct Request {
    this: Weak<Self>,
    id: u64,
    object: u64,
    context: Weak<Context>,
    /// Until it is done.
    work: Mutex<Option<Work>>,
    registration: Mutex<Option<Registration>>,
    /// The next attempt.
    alarm: Mutex<Option<TimerHandle>>,
}

impl Request {
    /// Whether it was submitted by the `struct iocb` at `object`.
    pub(super) fn is_of(&self, object: u64) -> bool {
        self.object == object
    }

    fn attempt(&self) {
        let mut work = self.work.lock();
        let Some(under_way) = &mut *work else {
            // It was done before it was in the queue.
            drop(work);
            return self.leave_queue();
        };
        let result = match under_way.operation.attempt() {
            Err(Errno::EAGAIN) => return,
            Ok(value) => value,
            Err(error) => error.as_return_value().cast_signed(),
        };
        let done = work.take();
        drop(work);
        self.finish(done, result);
    }

    /// Ends it without its work; returns whether it had not ended before.
    pub(super) fn cancel(&self) -> bool {
        let mut work = self.work.lock();
        let Some(under_way) = &mut *work else { return false };
        let result = under_way.operation.cancel();
        let cancelled = work.take();
        drop(work);
        self.finish(cancelled, result);
        true
    }

    /// Ends it without an event.
    pub(super) fn abandon(&self) {
        let work = self.work.lock().take();
        self.leave_queue();
        drop(work);
    }

    fn finish(&self, work: Option<Work>, result: i64) {
        self.leave_queue();
        if let Some(context) = self.context.upgrade() {
            let gone = context.state.lock().waiting.remove(&self.id);
            drop(gone);
        }
        if let Some(Work { submission, operation, file }) = work {
            drop(operation);
            submission.complete(result);
            drop(file);
        }
    }

    fn leave_queue(&self) {
        let (registration, alarm) = (self.registration.lock().take(), self.alarm.lock().take());
        drop((registration, alarm));
    }
}

impl Observer for Request {
    fn notify(&self, _events: Events) {
        let Some(context) = self.context.upgrade() else { return };
        // Without the thread of the timers nothing is ever attempted again; it is there once anything has waited.
        let alarm = context.timers.schedule(context.timers.now(), self.this.clone()).ok();
        let old = std::mem::replace(&mut *self.alarm.lock(), alarm);
        drop(old);
    }
}

impl Expire for Request {
    fn expire(&self) {
        self.attempt();
    }
}
