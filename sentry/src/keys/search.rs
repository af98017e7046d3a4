//! Looking for keys in keyrings, and in the keyrings in them (`man 7 keyrings`, "Searching").

use std::collections::BTreeSet;

use super::Serial;
use super::caller::{Caller, Found};
use super::key::{Key, KeyType};
use super::permission::Need;
use super::store::Store;
use crate::Errno;

/// How many keyrings deep a search goes below the one where it begins.
const MAX_DEPTH: u32 = 6;

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) enum Query<'a> {
    /// This very key, in whatever state.
    Serial(Serial),
    /// A key of this type that is called so, and is of use.
    Name(KeyType, &'a [u8]),
    /// As [`Query::Name`], with expired keys passed over.
    Unexpired(KeyType, &'a [u8]),
}

impl Query<'_> {
    pub(super) fn of_serial(serial: Serial) -> Self {
        Self::Serial(serial)
    }

    fn matches(self, serial: Serial, key: &Key) -> bool {
        match self {
            Self::Serial(wanted) => wanted == serial,
            Self::Name(kind, description) | Self::Unexpired(kind, description) => key.is(kind, description),
        }
    }
}

impl Store {
    /// The keyrings that can be reached from `ring`, nearest first, with the number of steps there; `is_open` tells which ones may be
    /// looked into. Each comes once.
    fn reachable(&self, ring: Serial, max_depth: u32, is_open: impl Fn(&Key) -> bool) -> Vec<(Serial, u32)> {
        let mut seen = BTreeSet::from([ring]);
        let mut reached = vec![(ring, 0)];
        let mut next = 0;
        while let Some(&(serial, depth)) = reached.get(next) {
            next += 1;
            if depth == max_depth {
                continue;
            }
            let Ok(keyring) = self.get(serial).and_then(Key::keyring) else { continue };
            for link in &keyring.links {
                let is_keyring = |key: &Key| key.keyring().is_ok() && is_open(key);
                if self.get(*link).is_ok_and(is_keyring) && seen.insert(*link) {
                    reached.push((*link, depth + 1));
                }
            }
        }
        reached
    }

    /// Whether `ring` may be linked into `into`: EDEADLK if that is in it, ELOOP if it is too deep.
    pub(super) fn check_nesting(&self, ring: Serial, into: Serial) -> Result<(), Errno> {
        let reached = self.reachable(ring, MAX_DEPTH + 1, |_| true);
        if reached.iter().any(|(serial, _)| *serial == into) {
            return Err(Errno::EDEADLK);
        }
        if reached.iter().any(|(_, depth)| *depth > MAX_DEPTH) { Err(Errno::ELOOP) } else { Ok(()) }
    }
}

impl Caller<'_> {
    /// Searches `ring`.
    ///
    /// # Errors
    /// ENOTDIR, EACCES: it is no keyring, or closed to the caller. EAGAIN: there is no such key; else what is wrong with the one that there is.
    pub(super) fn search(&self, ring: Found, query: Query<'_>) -> Result<Found, Errno> {
        self.key(ring)?.keyring()?;
        self.check(ring, Need::SEARCH)?;
        let is_open = |key: &Key| {
            !key.is_invalidated
                && key.revoked.is_none()
                && key.check(Need::SEARCH, self.credentials, ring.is_possessed).is_ok()
        };
        let mut failure = Errno::EAGAIN;
        let mut candidates = vec![ring.serial];
        let reached = self.store.reachable(ring.serial, MAX_DEPTH, is_open);
        for (serial, _) in reached {
            if let Ok(keyring) = self.store.get(serial).and_then(Key::keyring) {
                candidates.extend_from_slice(&keyring.links);
            }
        }
        for serial in candidates {
            let Ok(key) = self.store.get(serial) else { continue };
            if !query.matches(serial, key) {
                continue;
            }
            match self.examine(key, query, ring.is_possessed) {
                Ok(()) => return Ok(Found { serial, is_possessed: ring.is_possessed }),
                Err(Errno::EAGAIN) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Whether a key that matches can be had.
    fn examine(&self, key: &Key, query: Query<'_>, is_possessed: bool) -> Result<(), Errno> {
        if matches!(query, Query::Serial(_)) {
            return key.check(Need::SEARCH, self.credentials, is_possessed);
        }
        if key.is_invalidated || key.revoked.is_some() {
            return Err(Errno::EKEYREVOKED);
        }
        if key.is_expired(self.now) {
            let passes_over = matches!(query, Query::Unexpired(..));
            return Err(if passes_over { Errno::EAGAIN } else { Errno::EKEYEXPIRED });
        }
        key.check(Need::SEARCH, self.credentials, is_possessed)?;
        if key.is_missing() { Err(Errno::ENOKEY) } else { Ok(()) }
    }

    /// Searches the caller's keyrings: the thread's, the process's, and the session's or else the user's.
    ///
    /// # Errors
    /// EAGAIN or ENOKEY if one of them has no such key; else what is wrong with the one that there is.
    pub(super) fn search_own(&self, query: &Query<'_>) -> Result<Found, Errno> {
        let place = (self.namespace(), self.credentials.real_uid);
        let users = || self.store.users.get(&place).map(|keyrings| keyrings.session);
        let session = self.keyrings.session.or_else(users);
        let own = self.keyrings.thread.into_iter().chain(self.keyrings.process).chain(session);
        let (mut absence, mut failure) = (None, Errno::EAGAIN);
        for serial in own {
            match self.search(Found { serial, is_possessed: true }, *query) {
                Ok(found) => return Ok(found),
                Err(error @ (Errno::EAGAIN | Errno::ENOKEY)) => {
                    // A negative answer says more than none.
                    if error == Errno::ENOKEY || absence.is_none() {
                        absence = Some(error);
                    }
                }
                Err(error) => failure = error,
            }
        }
        Err(absence.unwrap_or(failure))
    }
}
