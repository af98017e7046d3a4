//! The keyrings that a task has: its session's, its process's and its own (`man 7 session-keyring`, `man 7 process-keyring`,
//! `man 7 thread-keyring`).

use std::sync::Arc;

use super::caller::Caller;
use super::store::{NewKey, Store};
use super::{Keys, Serial};
use crate::Errno;
use crate::cred::{Credentials, KernelUid};

/// Where request_key(2) puts what was made for it, unless told (KEYCTL_SET_REQKEY_KEYRING).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestDestination(pub(crate) i32);

/// What a task holds. Dropping it lets the keyrings go.
pub struct TaskKeyrings {
    keys: Arc<Keys>,
    pub(super) session: Option<Serial>,
    pub(super) process: Option<Serial>,
    pub(super) thread: Option<Serial>,
    pub(super) request_destination: RequestDestination,
}

impl TaskKeyrings {
    /// Those of a task that has none.
    pub fn new(keys: &Arc<Keys>) -> Self {
        Self {
            keys: keys.clone(),
            session: None,
            process: None,
            thread: None,
            request_destination: RequestDestination::default(),
        }
    }

    /// What a new thread of the process has: the session's and the process's, and an own one if this task has one.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn for_thread(&self, credentials: &Credentials) -> Result<Self, Errno> {
        let mut store = self.keys.store.lock();
        let thread = match self.thread {
            Some(_) => Some(new_thread_keyring(&mut store, credentials)?),
            None => None,
        };
        let held = self.session.into_iter().chain(self.process).chain(thread);
        held.for_each(|serial| store.hold(serial));
        Ok(Self { keys: self.keys.clone(), thread, ..*self })
    }

    /// What a new process has: the session's alone.
    pub(crate) fn for_process(&self) -> Self {
        let mut store = self.keys.store.lock();
        self.session.into_iter().for_each(|serial| store.hold(serial));
        Self { keys: self.keys.clone(), process: None, thread: None, ..*self }
    }

    /// A new program begins: only the session's stays.
    pub(crate) fn begin_program(&mut self) {
        let mut store = self.keys.store.lock();
        for serial in [self.process.take(), self.thread.take()].into_iter().flatten() {
            store.release(serial);
        }
    }

    /// The task acts for another user: its own keyring becomes that user's.
    pub(crate) fn change_user(&mut self, uid: KernelUid) {
        if let Some(serial) = self.thread {
            // Who cannot pay for it does without.
            let _ = self.keys.store.lock().set_owner(serial, uid);
        }
    }

    /// Replaces the session keyring by that of `other`, as long as both users are `uid` (KEYCTL_SESSION_TO_PARENT).
    ///
    /// # Errors
    /// EPERM.
    pub(crate) fn take_session(&mut self, session: &HeldKey, uid: KernelUid) -> Result<(), Errno> {
        let mut store = self.keys.store.lock();
        let is_own = |store: &Store, serial| store.get(serial).is_ok_and(|key| key.owner.uid == uid);
        if !is_own(&store, session.serial) || self.session.is_some_and(|old| !is_own(&store, old)) {
            return Err(Errno::EPERM);
        }
        store.hold(session.serial);
        if let Some(old) = self.session.replace(session.serial) {
            store.release(old);
        }
        Ok(())
    }
}

impl Drop for TaskKeyrings {
    fn drop(&mut self) {
        if self.session.is_some() || self.process.is_some() || self.thread.is_some() {
            let mut store = self.keys.store.lock();
            for serial in [self.session, self.process, self.thread].into_iter().flatten() {
                store.release(serial);
            }
        }
    }
}

/// Makes a keyring for a thread; nobody holds it yet.
pub(super) fn new_thread_keyring(store: &mut Store, credentials: &Credentials) -> Result<Serial, Errno> {
    store.insert(NewKey::of_task(b"_tid", credentials))
}

/// A key that is kept.
pub(crate) struct HeldKey {
    keys: Arc<Keys>,
    serial: Serial,
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        self.keys.store.lock().release(self.serial);
    }
}

impl Caller<'_> {
    /// The session keyring, kept.
    ///
    /// # Errors
    /// ENOKEY if there is none; EACCES if it cannot be linked to.
    pub(crate) fn hold_session(&mut self) -> Result<HeldKey, Errno> {
        let serial = self.session_to_hand_on()?;
        self.store.hold(serial);
        Ok(HeldKey { keys: self.keyrings.keys.clone(), serial })
    }
}
