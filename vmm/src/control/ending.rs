//! The end of a sandbox, and those outside who hear of it.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the process stays to tell them.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of the end.
#[derive(Default)]
pub(crate) struct Ending {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    status: Option<u8>,
    /// Those who are still to be told something.
    listeners: usize,
}

/// Somebody who is still to be told something.
pub(crate) struct Listener<'a>(&'a Ending);

impl Ending {
    /// Has the end wait for a while until the listener is dropped.
    pub(crate) fn listen(&self) -> Listener<'_> {
        self.lock().listeners += 1;
        Listener(self)
    }

    /// The sandbox has ended with `status`: returns once everybody has been told, or has had the time for it.
    pub(crate) fn come(&self, status: u8) {
        let mut state = self.lock();
        state.status = Some(status);
        self.changed.notify_all();
        // Whether the time was enough makes no difference now.
        let _ = self.changed.wait_timeout_while(state, PATIENCE, |state| state.listeners > 0);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener<'_> {
    /// Waits for the end, and returns the status.
    pub(crate) fn status(&self) -> u8 {
        let mut state = self.0.lock();
        loop {
            match state.status {
                Some(status) => return status,
                None => state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Listener<'_> {
    /// The status, if the end comes in that time.
    pub(crate) fn status_within(&self, time: Duration) -> Option<u8> {
        let state = self.0.lock();
        let waited = self.0.changed.wait_timeout_while(state, time, |state| state.status.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.status
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.0.lock().listeners -= 1;
        self.0.changed.notify_all();
    }
}
