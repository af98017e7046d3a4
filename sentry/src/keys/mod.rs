//! Keys and keyrings (`man 7 keyrings`): what keyctl(2), add_key(2) and request_key(2) work on.
//!
//! All keys are in one [`Keys`], under one lock: keyrings refer to keys by [`Serial`], and a key lives as long as keyrings,
//! tasks or the registers of users' keyrings hold it. What a task holds is its [`TaskKeyrings`]: its session, process and thread
//! keyring. Everything that a task does goes through a [`Caller`], made by [`Keys::with`]: that knows whose keyrings
//! are searched, which keys the task thereby possesses, and what the permissions of a key give it.
//!
//! The types are `keyring`, `user` and `logon`. Nobody makes keys on request: there is no upcall to a program. How
//! much there may be is limited by each user's quota, and for all users together by [`MAX_KEYS`] and
//! [`MAX_BYTES`].

mod caller;
mod key;
mod links;
mod operations;
mod permission;
mod quota;
mod report;
mod request;
mod search;
mod store;
mod task_keyrings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::Mutex;

pub(crate) use caller::Caller;
pub(crate) use key::KeyType;
pub(crate) use operations::Restriction;
pub use quota::KeyLimit;
use store::Store;
pub use task_keyrings::TaskKeyrings;

use crate::cred::{Credentials, UserNamespace};
use crate::time::Timekeeper;

/// Keys that there may be, whoever has them.
pub const MAX_KEYS: usize = 1 << 18;
/// Bytes of descriptions, payloads and links that there may be, whoever has them.
pub const MAX_BYTES: u64 = 64 << 20;

/// A key's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Serial(pub(crate) i32);

/// All keys of a kernel.
pub struct Keys {
    store: Mutex<Store>,
    /// What expiry is reckoned by.
    timekeeper: Arc<Timekeeper>,
}

impl Keys {
    /// No keys.
    pub fn new(timekeeper: &Arc<Timekeeper>) -> Arc<Self> {
        Arc::new(Self { store: Mutex::default(), timekeeper: timekeeper.clone() })
    }

    /// Has a task do something with keys. The lock of all keys is held meanwhile.
    pub(crate) fn with<R>(
        &self,
        keyrings: &mut TaskKeyrings,
        credentials: &Credentials,
        action: impl FnOnce(&mut Caller<'_>) -> R,
    ) -> R {
        let now = self.timekeeper.monotonic();
        let mut store = self.store.lock();
        store.collect(now);
        action(&mut Caller { store: &mut store, keyrings, credentials, now })
    }

    /// One of the settings in /proc/sys/kernel/keys.
    pub fn limit(&self, limit: KeyLimit) -> u32 {
        self.store.lock().limits.get(limit)
    }

    /// Changes one of the settings in /proc/sys/kernel/keys.
    pub fn set_limit(&self, limit: KeyLimit, value: u32) {
        self.store.lock().limits.set(limit, value);
    }

    /// The lines of /proc/key-users for who is in `namespace`.
    pub fn users(&self, namespace: &UserNamespace) -> Vec<u8> {
        report::users(&self.store.lock(), namespace)
    }
}
