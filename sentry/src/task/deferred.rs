//! Work that others leave to a task (`task_work_add` of Linux), and operations that a task begins and does not wait for.
//!
//! What is deferred is done by the task's own thread, before it goes on with user code or as it sleeps. An operation that is
//! [attempted](CurrentTask::attempt) never sleeps: where it would have, it has changed nothing, and whoever it is to wait for tells
//! its observer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{CurrentTask, Task};
use crate::Errno;
use crate::cred::Credentials;
use crate::fs::FileDescription;
use crate::wait::{Observer, Registration};

/// Something that a task is to do.
pub(crate) trait DeferredWork: Send + Sync {
    /// Does it. It never sleeps.
    fn run(self: Arc<Self>, task: &mut CurrentTask);

    /// `task` ends, or executes another program if it does not end: there is nothing that it could do any more.
    fn abandon(&self, task: &Task, ends: bool);
}

/// What a task is to do, and who may still ask it to.
#[derive(Default)]
pub(super) struct Deferred {
    has_work: AtomicBool,
    work: Mutex<Vec<Arc<dyn DeferredWork>>>,
    sources: Mutex<Vec<Weak<dyn DeferredWork>>>,
    /// The task does nothing any more.
    is_over: AtomicBool,
}

impl Task {
    /// Has the task do `work` soon: it leaves user code for that, if it `is_urgent`. A sleep goes on afterwards.
    pub(crate) fn defer(&self, work: Arc<dyn DeferredWork>, is_urgent: bool) {
        {
            let mut all = self.deferred.work.lock();
            if !all.iter().any(|other| Arc::ptr_eq(other, &work)) {
                all.push(work);
            }
        }
        self.deferred.has_work.store(true, Ordering::Release);
        self.waiter.wake();
        if is_urgent {
            self.kick();
        }
    }

    /// Has `source` hear of the task's end.
    pub(crate) fn add_work_source(&self, source: &Arc<dyn DeferredWork>) {
        let mut sources = self.deferred.sources.lock();
        let source = Arc::downgrade(source);
        if !sources.iter().any(|other| other.ptr_eq(&source)) {
            sources.retain(|other| other.strong_count() > 0);
            sources.push(source);
        }
    }

    /// Whether something is to be done.
    pub(super) fn has_deferred_work(&self) -> bool {
        self.deferred.has_work.load(Ordering::Acquire)
    }

    /// Whether it still does what is left to it.
    pub(crate) fn takes_work(&self) -> bool {
        !self.deferred.is_over.load(Ordering::Acquire)
    }

    /// The task does nothing any more that was left to it, and nothing at all if it `ends`.
    pub(super) fn abandon_deferred_work(&self, ends: bool) {
        self.deferred.is_over.store(ends, Ordering::Release);
        let sources = std::mem::take(&mut *self.deferred.sources.lock());
        for source in sources.iter().filter_map(Weak::upgrade) {
            source.abandon(self, ends);
        }
        let work = std::mem::take(&mut *self.deferred.work.lock());
        drop(work);
    }
}

/// How an operation that must not sleep is under way.
pub(super) struct Attempted {
    /// Hears of what the operation would have waited for.
    pub(super) observer: Arc<dyn Observer>,
    /// Whether the operation is to wait although the file says that none does (O_NONBLOCK).
    pub(super) waits_always: bool,
    /// Where the observer is registered, once the operation would have slept.
    pub(super) registrations: Option<Vec<Registration>>,
    file: Option<Arc<FileDescription>>,
}

/// What an operation is attempted with.
pub(crate) struct Attempt {
    /// Hears of what the operation would have waited for.
    pub(crate) observer: Arc<dyn Observer>,
    /// Whether the operation is to wait although the file says that none does (O_NONBLOCK).
    pub(crate) waits_always: bool,
    /// What [`Fd::HELD`](crate::fs::Fd::HELD) names.
    pub(crate) file: Option<Arc<FileDescription>>,
    /// As whom it is done, if not as the task itself.
    pub(crate) credentials: Option<Arc<Credentials>>,
}

/// What came of an attempt.
pub(crate) enum Attempting<T> {
    /// It is over.
    Done(T),
    /// It would sleep. The observer hears of changes for as long as these are kept.
    Waits(Vec<Registration>),
}

impl CurrentTask {
    /// Does what has been deferred.
    pub(super) fn run_deferred_work(&mut self) {
        if self.attempted.is_some() || self.is_lent() || !self.task.has_deferred_work() {
            return;
        }
        self.task.deferred.has_work.store(false, Ordering::Release);
        let work = std::mem::take(&mut *self.task.deferred.work.lock());
        for work in work {
            work.run(self);
        }
    }

    /// Does `operation` as far as it goes without sleeping.
    pub(crate) fn attempt<T>(
        &mut self,
        attempt: Attempt,
        operation: impl FnOnce(&mut Self) -> Result<T, Errno>,
    ) -> Attempting<Result<T, Errno>> {
        let Attempt { observer, waits_always, file, credentials } = attempt;
        let attempted = Attempted { observer, waits_always, registrations: None, file };
        let outer = self.attempted.replace(attempted);
        let own = credentials.map(|credentials| self.task.swap_credentials(credentials));
        let restart = self.restart.take();
        let result = operation(self);
        self.restart = restart;
        if let Some(own) = own {
            self.task.swap_credentials(own);
        }
        let attempted = std::mem::replace(&mut self.attempted, outer);
        match (result, attempted.and_then(|attempted| attempted.registrations)) {
            (Err(_), Some(registrations)) => Attempting::Waits(registrations),
            (Err(error), None) if error.is_restart() => Attempting::Done(Err(Errno::EINTR)),
            (result, _) => Attempting::Done(result),
        }
    }

    /// What [`Fd::HELD`](crate::fs::Fd::HELD) names.
    pub(super) fn held_file(&self) -> Option<&Arc<FileDescription>> {
        self.attempted.as_ref().and_then(|attempted| attempted.file.as_ref())
    }

    /// Whether it does what must not sleep.
    pub(crate) fn is_attempting(&self) -> bool {
        self.attempted.is_some()
    }

    /// Whether what is under way waits although its file says that nothing does.
    pub(crate) fn waits_always(&self) -> bool {
        self.attempted.as_ref().is_some_and(|attempted| attempted.waits_always)
    }
}
