//! What keyctl(2) and add_key(2) do.

use std::time::Duration;

use super::Serial;
use super::caller::{Caller, Found, Lookup};
use super::key::{Content, Key, KeyType};
use super::permission::{Need, Permissions};
use super::quota::KeyLimit;
use super::search::Query;
use super::store::{NewKey, Payment, Store};
use crate::Errno;
use crate::cred::{Capabilities, KernelGid, KernelUid};

/// What KEYCTL_RESTRICT_KEYRING asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restriction<'a> {
    /// No key can be linked any more.
    Closed,
    /// A rule of a key type.
    ByType(&'a [u8]),
}

/// Keyrings.
impl Caller<'_> {
    /// KEYCTL_GET_KEYRING_ID: the number behind `id`.
    pub(crate) fn keyring_serial(&mut self, id: i32, creates: bool) -> Result<Serial, Errno> {
        let lookup = if creates { Lookup::Create } else { Lookup::Plain };
        Ok(self.look_up(id, lookup, Need::SEARCH)?.serial)
    }

    /// KEYCTL_JOIN_SESSION_KEYRING: begins a session with a new keyring, or with the one of that name that the caller may search. 0 is the one
    /// that the caller has already.
    ///
    /// # Errors
    /// EDQUOT, ENOMEM.
    pub(crate) fn join_session(&mut self, name: Option<&[u8]>) -> Result<Serial, Errno> {
        let own = Permissions::POS_ALL | Permissions::USR_VIEW | Permissions::USR_READ;
        let (description, permissions) = match name {
            None => (&b"_ses"[..], own),
            Some(name) => (name, own | Permissions::USR_LINK),
        };
        let existing = name.and_then(|name| self.named_keyring(name));
        let serial = match existing {
            Some(serial) => serial,
            None => {
                // The first session comes whatever the quota says.
                let is_first = name.is_none() && self.keyrings.session.is_none();
                let payment = if is_first { Payment::Overrun } else { Payment::Quota };
                let namespace = self.namespace();
                let new = NewKey::keyring(description, self.owner(), permissions);
                self.store.insert(NewKey { namespace, payment, ..new })?
            }
        };
        if self.keyrings.session == Some(serial) {
            return Ok(Serial(0));
        }
        self.set_session(serial);
        Ok(serial)
    }

    /// The keyring called `name` that everybody like the caller may search.
    fn named_keyring(&self, name: &[u8]) -> Option<Serial> {
        let namespace = self.namespace();
        let is_wanted = |key: &Key| {
            key.is(KeyType::Keyring, name)
                && key.namespace == namespace
                && key.validate(self.now).is_ok()
                && key.check(Need::SEARCH, self.credentials, false).is_ok()
        };
        self.store.keys.iter().find(|(_, key)| is_wanted(key)).map(|(serial, _)| *serial)
    }

    /// KEYCTL_CLEAR.
    pub(crate) fn clear(&mut self, id: i32) -> Result<(), Errno> {
        let ring = self.look_up(id, Lookup::Create, Need::WRITE)?;
        self.store.clear(ring.serial)
    }

    /// KEYCTL_LINK.
    pub(crate) fn link(&mut self, id: i32, ring: i32) -> Result<(), Errno> {
        let ring = self.look_up(ring, Lookup::Create, Need::WRITE)?;
        let key = self.look_up(id, Lookup::Create, Need::LINK)?;
        self.store.link(ring.serial, key.serial, self.now)
    }

    /// KEYCTL_UNLINK. Whoever may change the keyring may, whatever the key says.
    pub(crate) fn unlink(&mut self, id: i32, ring: i32) -> Result<(), Errno> {
        let ring = self.look_up(ring, Lookup::Plain, Need::WRITE)?;
        let key = self.find(id, false)?;
        self.store.unlink(ring.serial, key.serial)
    }

    /// KEYCTL_MOVE. With `is_exclusive` it displaces nothing.
    pub(crate) fn move_key(&mut self, id: i32, from: i32, to: i32, is_exclusive: bool) -> Result<(), Errno> {
        let key = self.look_up(id, Lookup::Create, Need::LINK)?.serial;
        let from = self.look_up(from, Lookup::Plain, Need::WRITE)?.serial;
        let to = self.look_up(to, Lookup::Create, Need::WRITE)?.serial;
        if from == to {
            return Ok(());
        }
        self.store.get(to)?.keyring()?;
        let is_linked = self.store.find_in(from, |_| true)?.is_some()
            && self.store.get(from)?.keyring()?.links.contains(&key);
        if !is_linked {
            return Err(Errno::ENOENT);
        }
        if is_exclusive {
            let moved = self.store.get(key)?;
            let (kind, description) = (moved.key_type(), moved.description.clone());
            if self.store.find_in(to, |old| old.is(kind, &description))?.is_some() {
                return Err(Errno::EEXIST);
            }
        }
        self.store.link(to, key, self.now)?;
        self.store.unlink(from, key)
    }

    /// KEYCTL_SEARCH. What is found is linked into `destination`, unless that is 0.
    pub(crate) fn search_for(
        &mut self,
        ring: i32,
        kind: Option<KeyType>,
        description: &[u8],
        destination: i32,
    ) -> Result<Serial, Errno> {
        let ring = self.look_up(ring, Lookup::Plain, Need::SEARCH)?;
        let destination = self.destination(destination)?;
        let kind = kind.ok_or(Errno::ENOKEY)?;
        let found = self.search(ring, Query::Name(kind, description)).map_err(|error| match error {
            Errno::EAGAIN => Errno::ENOKEY,
            error => error,
        })?;
        if let Some(destination) = destination {
            self.check(found, Need::LINK)?;
            self.store.link(destination.serial, found.serial, self.now)?;
        }
        Ok(found.serial)
    }

    /// A keyring to link to; 0 is none.
    pub(super) fn destination(&mut self, id: i32) -> Result<Option<Found>, Errno> {
        match id {
            0 => Ok(None),
            _ => self.look_up(id, Lookup::Create, Need::WRITE).map(Some),
        }
    }

    /// KEYCTL_RESTRICT_KEYRING.
    pub(crate) fn restrict(&mut self, id: i32, restriction: Restriction<'_>) -> Result<(), Errno> {
        let ring = self.look_up(id, Lookup::Plain, Need::SETATTR)?;
        let keyring = self.store.get_mut(ring.serial)?.keyring_mut()?;
        match restriction {
            // No type that there is has rules.
            Restriction::ByType(name) if KeyType::from_name(name).is_some() => Err(Errno::ENOENT),
            Restriction::ByType(_) => Err(Errno::ENOKEY),
            Restriction::Closed if keyring.is_restricted => Err(Errno::EEXIST),
            Restriction::Closed => {
                keyring.is_restricted = true;
                Ok(())
            }
        }
    }

    /// KEYCTL_GET_PERSISTENT: links the persistent keyring of `uid`, or of the caller's user, into `destination`.
    pub(crate) fn persistent(&mut self, uid: Option<KernelUid>, destination: i32) -> Result<Serial, Errno> {
        let own = [self.credentials.real_uid, self.credentials.effective_uid];
        let uid = uid.unwrap_or(own[0]);
        if !own.contains(&uid) && !self.credentials.has_in_own(Capabilities::SETUID) {
            return Err(Errno::EPERM);
        }
        let destination = self.look_up(destination, Lookup::Create, Need::WRITE)?;
        self.key(destination)?.keyring()?;
        let serial = self.persistent_keyring(uid)?;
        self.store.link(destination.serial, serial, self.now)?;
        let expiry = self.now + self.store.limits.seconds(KeyLimit::PersistentExpiry);
        self.store.get_mut(serial)?.expiry = Some(expiry);
        self.store.collect_after(expiry);
        Ok(serial)
    }
}

/// Keys.
impl Caller<'_> {
    /// add_key(2): makes a key, or changes the one of that name, in `ring`.
    ///
    /// # Errors
    /// ENODEV for a type that there is not; EINVAL, EACCES, EDQUOT, ENOTDIR, EPERM.
    pub(crate) fn add(
        &mut self,
        kind: Option<KeyType>,
        description: &[u8],
        payload: Vec<u8>,
        ring: i32,
    ) -> Result<Serial, Errno> {
        let ring = self.look_up(ring, Lookup::Create, Need::WRITE)?;
        let kind = kind.ok_or(Errno::ENODEV)?;
        self.key(ring)?.keyring()?;
        kind.check(description, &payload)?;
        self.store.check_link(ring.serial, self.now)?;
        let now = self.now;
        let is_usable = |key: &Key| key.is(kind, description) && key.validate(now).is_ok();
        if kind != KeyType::Keyring
            && let Some(serial) = self.store.find_in(ring.serial, is_usable)?
        {
            self.check(Found { serial, is_possessed: ring.is_possessed }, Need::WRITE)?;
            self.replace_payload(serial, kind, payload)?;
            return Ok(serial);
        }
        self.insert_into(ring, kind, description, kind.content(payload))
    }

    /// Makes a key in `ring`.
    pub(super) fn insert_into(
        &mut self,
        ring: Found,
        kind: KeyType,
        description: &[u8],
        content: Content,
    ) -> Result<Serial, Errno> {
        let serial = self.store.insert(NewKey {
            content,
            description,
            owner: self.owner(),
            permissions: kind.permissions(),
            namespace: self.namespace(),
            payment: Payment::Quota,
        })?;
        if let Err(error) = self.store.link(ring.serial, serial, self.now) {
            self.store.discard(serial);
            return Err(error);
        }
        Ok(serial)
    }

    /// A key that gets a payload has no timeout any more.
    fn replace_payload(&mut self, serial: Serial, kind: KeyType, payload: Vec<u8>) -> Result<(), Errno> {
        self.store.set_content(serial, kind, payload)?;
        self.store.get_mut(serial)?.expiry = None;
        Ok(())
    }

    /// KEYCTL_UPDATE.
    pub(crate) fn update(&mut self, id: i32, payload: Vec<u8>) -> Result<(), Errno> {
        let found = self.look_up(id, Lookup::Plain, Need::WRITE)?;
        let kind = self.key(found)?.key_type();
        if kind == KeyType::Keyring {
            return Err(Errno::EOPNOTSUPP);
        }
        kind.check_payload(&payload)?;
        self.replace_payload(found.serial, kind, payload)
    }

    /// KEYCTL_REVOKE.
    pub(crate) fn revoke(&mut self, id: i32) -> Result<(), Errno> {
        let found = match self.look_up(id, Lookup::Plain, Need::WRITE) {
            Err(Errno::EACCES) => self.look_up(id, Lookup::Plain, Need::SETATTR)?,
            result => result?,
        };
        let now = self.now;
        let key = self.store.get_mut(found.serial)?;
        key.revoked = Some(now);
        match key.key_type() {
            KeyType::Keyring => self.store.clear(found.serial)?,
            kind => self.store.set_content(found.serial, kind, Vec::new())?,
        }
        self.store.collect_after(now);
        Ok(())
    }

    /// KEYCTL_INVALIDATE: the key is gone at once.
    pub(crate) fn invalidate(&mut self, id: i32) -> Result<(), Errno> {
        let found = self.look_up(id, Lookup::Plain, Need::SEARCH)?;
        self.store.get_mut(found.serial)?.is_invalidated = true;
        self.store.unlink_everywhere(&[found.serial]);
        Ok(())
    }

    /// KEYCTL_DESCRIBE: `type;uid;gid;permissions;description`, and NUL.
    pub(crate) fn describe(&mut self, id: i32) -> Result<Vec<u8>, Errno> {
        let found = self.look_up(id, Lookup::Partial, Need::VIEW)?;
        let key = self.key(found)?;
        let name = key.key_type().name();
        let (uid, gid) = super::report::shown_owner(key, &self.credentials.user_namespace);
        let mut text = format!("{name};{uid};{gid};{:08x};", key.permissions.bits()).into_bytes();
        text.extend_from_slice(&key.description);
        text.push(0);
        Ok(text)
    }

    /// KEYCTL_READ: the payload, or the numbers of a keyring's keys. Who possesses the key may read it, too.
    ///
    /// # Errors
    /// EINVAL if a keyring is read into a buffer of `room_bytes`, which is not a whole number of keys; EOPNOTSUPP, EACCES.
    pub(crate) fn read(&mut self, id: i32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
        let found = self.find(id, false).map_err(|_| Errno::ENOKEY)?;
        if self.check(found, Need::READ).is_err() && !found.is_possessed {
            return Err(Errno::EACCES);
        }
        let key = self.key(found)?;
        key.validate(self.now)?;
        match &key.content {
            Content::Keyring(_) if !room_bytes.is_multiple_of(size_of::<i32>()) => Err(Errno::EINVAL),
            Content::Keyring(keyring) => {
                Ok(keyring.links.iter().flat_map(|link| link.0.to_ne_bytes()).collect())
            }
            Content::User(payload) => Ok(payload.clone()),
            Content::Logon(_) => Err(Errno::EOPNOTSUPP),
            Content::Missing(_) => Err(Errno::ENOKEY),
        }
    }

    /// KEYCTL_SETPERM.
    pub(crate) fn set_permissions(&mut self, id: i32, permissions: u32) -> Result<(), Errno> {
        const ALL: u32 = 0x3f3f_3f3f;
        if permissions & !ALL != 0 {
            return Err(Errno::EINVAL);
        }
        let found = self.look_up(id, Lookup::CreatePartial, Need::SETATTR)?;
        let is_owner = self.key(found)?.owner.uid == self.credentials.fs_uid;
        if !is_owner && !self.credentials.has(Capabilities::SYS_ADMIN) {
            return Err(Errno::EACCES);
        }
        self.store.get_mut(found.serial)?.permissions = Permissions::from_bits_retain(permissions);
        Ok(())
    }

    /// KEYCTL_CHOWN.
    pub(crate) fn change_owner(
        &mut self,
        id: i32,
        uid: Option<KernelUid>,
        gid: Option<KernelGid>,
    ) -> Result<(), Errno> {
        if uid.is_none() && gid.is_none() {
            return Ok(());
        }
        let found = self.look_up(id, Lookup::CreatePartial, Need::SETATTR)?;
        let owner = self.key(found)?.owner;
        let changes_user = uid.is_some_and(|uid| uid != owner.uid);
        let is_foreign = |gid: KernelGid| Some(gid) != owner.gid && !self.credentials.is_in_group(gid);
        let needs_privilege = changes_user || gid.is_some_and(is_foreign);
        if needs_privilege && !self.credentials.has(Capabilities::SYS_ADMIN) {
            return Err(Errno::EACCES);
        }
        if let Some(uid) = uid {
            self.store.set_owner(found.serial, uid)?;
        }
        if gid.is_some() {
            self.store.get_mut(found.serial)?.owner.gid = gid;
        }
        Ok(())
    }

    /// KEYCTL_SET_TIMEOUT; 0 is never.
    pub(crate) fn set_timeout(&mut self, id: i32, seconds: u32) -> Result<(), Errno> {
        let found = self.look_up(id, Lookup::CreatePartial, Need::SETATTR)?;
        self.expire_in(found.serial, (seconds != 0).then(|| Duration::from_secs(seconds.into())))
    }

    pub(super) fn expire_in(&mut self, serial: Serial, time: Option<Duration>) -> Result<(), Errno> {
        let expiry = time.map(|time| self.now + time);
        self.store.get_mut(serial)?.expiry = expiry;
        if let Some(expiry) = expiry {
            self.store.collect_after(expiry);
        }
        Ok(())
    }

    /// KEYCTL_GET_SECURITY. There is no security module: the label is empty.
    pub(crate) fn check_viewable(&mut self, id: i32) -> Result<(), Errno> {
        match self.look_up(id, Lookup::Partial, Need::VIEW) {
            // One who is to make the key might look at it all the same; nobody is.
            Err(Errno::EACCES) => Err(Errno::ENOKEY),
            result => result.map(|_| ()),
        }
    }

    /// The session keyring, to be given to another task.
    pub(super) fn session_to_hand_on(&mut self) -> Result<Serial, Errno> {
        const SESSION: i32 = -3;
        Ok(self.look_up(SESSION, Lookup::Plain, Need::LINK)?.serial)
    }
}

impl Store {
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.accounts.0.is_empty()
    }
}
