//! Waiting within an operation of a file system, for one who answers in his own time: a process that serves it.
//!
//! Other operations begin anew when what they wait for has come ([`File`](super::File)). What is asked of a server cannot be
//! begun anew, since it may have been done. So the calling thread waits where it is, and only the end of its task cuts that short.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Path, Viewer};
use crate::Errno;
use crate::pace::Pace;
use crate::wait::{Events, WaitQueue, Waiter};

/// A task whose thread can wait.
pub trait Sleeper: Send + Sync {
    /// Who it is.
    fn viewer(&self) -> Viewer;
    /// What `path` names to it.
    ///
    /// # Errors
    /// Those of path resolution.
    fn find(&self, path: &[u8]) -> Result<Path, Errno>;
    /// What wakes it.
    fn waiter(&self) -> &Arc<Waiter>;
    /// Sleeps until woken, or until `deadline`.
    fn rest(&self, deadline: Option<Instant>);
    /// Stands still while it is to: for who is in the midst of something long, with no lock held.
    fn stand_still(&self);
    /// Whether it is about to end.
    fn is_killed(&self) -> bool;
    /// Whether a signal, or something else, is to be dealt with first.
    fn is_interrupted(&self) -> bool;
}

/// Whose calls a thread serves.
#[derive(Clone)]
enum Served {
    Nobody,
    /// Those of its own task.
    Own(Arc<dyn Sleeper>),
    /// Those of a task whose own thread is in user code: nothing may sleep.
    Lent {
        sleeper: Arc<dyn Sleeper>,
        would_sleep: bool,
    },
}

thread_local! {
    static SERVED: RefCell<Served> = const { RefCell::new(Served::Nobody) };
}

/// The calling thread serves a task until this is dropped.
#[must_use = "nobody can sleep on the thread once this is dropped"]
pub struct Serving {
    before: Served,
    /// It belongs to its thread.
    _thread: PhantomData<*const ()>,
}

fn replace(served: Served) -> Served {
    SERVED.with(|place| std::mem::replace(&mut *place.borrow_mut(), served))
}

fn serve(served: Served) -> Serving {
    Serving { before: replace(served), _thread: PhantomData }
}

/// The calling thread is that of the task `sleeper`.
pub fn serve_own(sleeper: Arc<dyn Sleeper>) -> Serving {
    serve(Served::Own(sleeper))
}

/// The calling thread serves a call of `sleeper` that its own thread makes if it would have to sleep.
pub fn serve_lent(sleeper: Arc<dyn Sleeper>) -> Serving {
    serve(Served::Lent { sleeper, would_sleep: false })
}

impl Serving {
    /// Whether something would have slept.
    pub fn would_have_slept(&self) -> bool {
        SERVED.with(|place| matches!(*place.borrow(), Served::Lent { would_sleep: true, .. }))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(replace(std::mem::replace(&mut self.before, Served::Nobody)));
    }
}

fn served() -> Served {
    SERVED.try_with(|place| place.borrow().clone()).unwrap_or(Served::Nobody)
}

/// Who is served; `None` if the sentry works for itself.
pub fn viewer() -> Option<Viewer> {
    match served() {
        Served::Nobody => None,
        Served::Own(sleeper) | Served::Lent { sleeper, .. } => Some(sleeper.viewer()),
    }
}

/// What `path` names to who is served.
///
/// # Errors
/// ENOENT: nobody is. And those of path resolution.
pub(super) fn find(path: &[u8]) -> Result<Path, Errno> {
    match served() {
        Served::Nobody => Err(Errno::ENOENT),
        Served::Own(sleeper) | Served::Lent { sleeper, .. } => sleeper.find(path),
    }
}

/// Whether the calling thread may sleep now. If it is not the task's own, the call is made again by that.
pub fn may_sleep() -> bool {
    SERVED.with(|place| match &mut *place.borrow_mut() {
        Served::Nobody => false,
        Served::Own(_) => true,
        Served::Lent { would_sleep, .. } => {
            *would_sleep = true;
            false
        }
    })
}

/// The pace of the task whose calls the thread serves: for long operations that are not told who wants them. With no lock held.
#[derive(Clone, Copy, Debug)]
pub struct ServedPace;

impl Pace for ServedPace {
    fn keep_going(&self) -> Result<(), Errno> {
        let sleeper = match served() {
            Served::Nobody => return Ok(()),
            // Its own thread stands still as soon as this call is over.
            Served::Lent { sleeper, .. } => sleeper,
            Served::Own(sleeper) => {
                sleeper.stand_still();
                sleeper
            }
        };
        if sleeper.is_killed() { Err(Errno::EINTR) } else { Ok(()) }
    }

    fn is_wanted(&self) -> bool {
        match served() {
            Served::Nobody => false,
            Served::Own(sleeper) | Served::Lent { sleeper, .. } => sleeper.is_killed(),
        }
    }
}

/// The same for who may hold a lock: it goes on until the task is to end.
#[derive(Clone, Copy, Debug)]
pub struct UntilKilled;

impl Pace for UntilKilled {
    fn keep_going(&self) -> Result<(), Errno> {
        if self.is_wanted() { Err(Errno::EINTR) } else { Ok(()) }
    }

    fn is_wanted(&self) -> bool {
        ServedPace.is_wanted()
    }
}

/// Waits until `ready` yields something; it is asked anew each time that `queue` announces readiness. `interrupted` is called once
/// a signal waits for the task.
///
/// # Errors
/// EINTR: the task is about to end, or cannot sleep here.
pub fn wait<T>(
    queue: &WaitQueue,
    mut ready: impl FnMut() -> Option<T>,
    interrupted: impl FnOnce(),
) -> Result<T, Errno> {
    let Served::Own(sleeper) = served() else { return ready().ok_or(Errno::EINTR) };
    let _registration = queue.register(Events::IN, sleeper.waiter().clone());
    let mut interrupted = Some(interrupted);
    loop {
        if let Some(value) = ready() {
            return Ok(value);
        }
        if sleeper.is_killed() {
            return Err(Errno::EINTR);
        }
        if sleeper.is_interrupted()
            && let Some(interrupted) = interrupted.take()
        {
            interrupted();
        }
        sleeper.rest(None);
    }
}

/// Waits until `attempt` yields something that another thread has, which may sleep itself and tells nobody.
pub(super) fn wait_for_lock<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let (shortest, longest) = (Duration::from_micros(100), Duration::from_millis(10));
    let mut pause = shortest;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        match served() {
            Served::Own(sleeper) => sleeper.rest(Some(Instant::now() + pause)),
            Served::Nobody | Served::Lent { .. } => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(longest);
    }
}
