//! A task that uses keys: how it names them, which ones it possesses, and what it may do.

use super::permission::{Need, Owner, Permissions};
use super::search::Query;
use super::store::{NewKey, Payment, Store, UserKeyrings};
use super::task_keyrings::{TaskKeyrings, new_thread_keyring};
use super::{Serial, key::Key};
use crate::Errno;
use crate::cred::{Credentials, KernelUid, Namespace};
use crate::time::MonotonicTime;

/// A task while it does something with keys.
pub(crate) struct Caller<'a> {
    pub(super) store: &'a mut Store,
    pub(super) keyrings: &'a mut TaskKeyrings,
    pub(super) credentials: &'a Credentials,
    pub(super) now: MonotonicTime,
}

/// A key that was named, and whether the caller possesses it: it is in one of the caller's keyrings, or is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) serial: Serial,
    pub(super) is_possessed: bool,
}

/// How a key is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// The key must be of use.
    Plain,
    /// As [`Lookup::Plain`]; a task's own keyring is made if the task has none.
    Create,
    /// As [`Lookup::Create`], and a request's negative answer is as good as a key.
    CreatePartial,
    /// As [`Lookup::Plain`], and a request's negative answer is as good as a key.
    Partial,
}

impl Lookup {
    fn creates(self) -> bool {
        matches!(self, Self::Create | Self::CreatePartial)
    }

    fn is_partial(self) -> bool {
        matches!(self, Self::Partial | Self::CreatePartial)
    }
}

/// The numbers that stand for a task's own keyrings (`man 2 keyctl`).
mod special {
    pub(super) const THREAD: i32 = -1;
    pub(super) const PROCESS: i32 = -2;
    pub(super) const SESSION: i32 = -3;
    pub(super) const USER: i32 = -4;
    pub(super) const USER_SESSION: i32 = -5;
    pub(super) const REQUEST_AUTHORITY: i32 = -7;
    pub(super) const REQUESTOR: i32 = -8;
}

impl<'a> NewKey<'a> {
    /// A keyring for a task itself: it is made whatever the quota says.
    pub(super) fn of_task(description: &'a [u8], credentials: &Credentials) -> Self {
        let owner = Owner { uid: credentials.fs_uid, gid: Some(credentials.fs_gid) };
        let permissions = Permissions::POS_ALL | Permissions::USR_VIEW;
        Self { payment: Payment::Overrun, ..Self::keyring(description, owner, permissions) }
    }
}

impl Caller<'_> {
    /// The key that `id` names, if the caller may do what is needed.
    ///
    /// # Errors
    /// EINVAL, ENOKEY, EKEYREVOKED, EKEYEXPIRED, EACCES; those of making a keyring.
    pub(super) fn look_up(&mut self, id: i32, lookup: Lookup, need: Need) -> Result<Found, Errno> {
        let found = self.find(id, lookup.creates())?;
        let key = self.store.get(found.serial)?;
        key.validate(self.now)?;
        if key.is_missing() && !lookup.is_partial() {
            return Err(Errno::ENOKEY);
        }
        self.check(found, need)?;
        Ok(found)
    }

    /// The key that `id` names, whatever its state and its permissions are.
    pub(super) fn find(&mut self, id: i32, creates: bool) -> Result<Found, Errno> {
        let own = |serial| Found { serial, is_possessed: true };
        match id {
            special::THREAD => self.thread_keyring(creates).map(own),
            special::PROCESS => self.process_keyring(creates).map(own),
            special::SESSION => self.session_keyring(creates).map(own),
            special::USER => Ok(own(self.user_keyrings()?.user)),
            special::USER_SESSION => Ok(own(self.user_keyrings()?.session)),
            // Nobody makes keys on behalf of others.
            special::REQUEST_AUTHORITY | special::REQUESTOR => Err(Errno::ENOKEY),
            ..1 => Err(Errno::EINVAL),
            _ => {
                let serial = Serial(id);
                self.store.get(serial)?;
                let is_possessed = self.search_own(&Query::of_serial(serial)).is_ok();
                Ok(Found { serial, is_possessed })
            }
        }
    }

    /// EACCES unless the caller may do what is needed.
    pub(super) fn check(&self, found: Found, need: Need) -> Result<(), Errno> {
        self.store.get(found.serial)?.check(need, self.credentials, found.is_possessed)
    }

    /// A key that was looked up.
    pub(super) fn key(&self, found: Found) -> Result<&Key, Errno> {
        self.store.get(found.serial)
    }

    pub(super) fn owner(&self) -> Owner {
        Owner { uid: self.credentials.fs_uid, gid: Some(self.credentials.fs_gid) }
    }

    pub(super) fn namespace(&self) -> u64 {
        self.credentials.user_namespace.identity().ino()
    }

    fn thread_keyring(&mut self, creates: bool) -> Result<Serial, Errno> {
        match self.keyrings.thread {
            Some(serial) => Ok(serial),
            None if creates => {
                let serial = new_thread_keyring(self.store, self.credentials)?;
                self.store.hold(serial);
                Ok(*self.keyrings.thread.insert(serial))
            }
            None => Err(Errno::ENOKEY),
        }
    }

    fn process_keyring(&mut self, creates: bool) -> Result<Serial, Errno> {
        match self.keyrings.process {
            Some(serial) => Ok(serial),
            None if creates => {
                let serial = self.store.insert(NewKey::of_task(b"_pid", self.credentials))?;
                self.store.hold(serial);
                Ok(*self.keyrings.process.insert(serial))
            }
            None => Err(Errno::ENOKEY),
        }
    }

    /// There always is one: who has none gets the user's.
    fn session_keyring(&mut self, creates: bool) -> Result<Serial, Errno> {
        if let Some(serial) = self.keyrings.session {
            let is_users = self.store.get(serial)?.keyring().is_ok_and(|keyring| keyring.is_users);
            if !is_users || !creates {
                return Ok(serial);
            }
        }
        let users = self.user_keyrings()?.session;
        if creates {
            return self.join_session(None);
        }
        self.set_session(users);
        Ok(users)
    }

    /// Has the caller's session keyring be another.
    pub(super) fn set_session(&mut self, serial: Serial) {
        self.store.hold(serial);
        if let Some(old) = self.keyrings.session.replace(serial) {
            self.store.release(old);
        }
    }

    /// The keyrings of the caller's user, which are made when they are first asked for.
    pub(super) fn user_keyrings(&mut self) -> Result<UserKeyrings, Errno> {
        let uid = self.credentials.real_uid;
        let place = (self.namespace(), uid);
        if let Some(keyrings) = self.store.users.get(&place) {
            return Ok(*keyrings);
        }
        let owner = Owner { uid, gid: None };
        let permissions = (Permissions::POS_ALL - Permissions::POS_SETATTR) | Permissions::USR_ALL;
        let make = |store: &mut Store, name: String| {
            let serial = store.insert(NewKey::keyring(name.as_bytes(), owner, permissions))?;
            store.get_mut(serial)?.keyring_mut()?.is_users = true;
            store.hold(serial);
            Ok::<_, Errno>(serial)
        };
        let shown = self.credentials.user_namespace.from_kernel_uid(uid);
        let user = make(self.store, format!("_uid.{shown}"))?;
        let session = make(self.store, format!("_uid_ses.{shown}"))
            .and_then(|session| self.store.link(session, user, self.now).map(|()| session))
            .inspect_err(|_| self.store.release(user))?;
        let keyrings = UserKeyrings { user, session };
        self.store.users.insert(place, keyrings);
        Ok(keyrings)
    }

    /// The caller's persistent keyring, or that of `uid`: made if there is none, and kept for some time from now on.
    pub(super) fn persistent_keyring(&mut self, uid: KernelUid) -> Result<Serial, Errno> {
        let place = (self.namespace(), uid);
        let serial = match self.store.persistent.get(&place) {
            Some(serial) => *serial,
            None => {
                let permissions = (Permissions::POS_ALL - Permissions::POS_SETATTR)
                    | Permissions::USR_VIEW
                    | Permissions::USR_READ;
                let name = format!("_persistent.{}", self.credentials.user_namespace.from_kernel_uid(uid));
                let owner = Owner { uid, gid: None };
                let new =
                    NewKey { payment: Payment::Free, ..NewKey::keyring(name.as_bytes(), owner, permissions) };
                let serial = self.store.insert(new)?;
                self.store.hold(serial);
                self.store.persistent.insert(place, serial);
                serial
            }
        };
        Ok(serial)
    }
}
