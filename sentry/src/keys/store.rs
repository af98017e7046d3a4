//! All keys: how they come, what holds them, what they cost, and how they go.

use std::collections::BTreeMap;

use super::key::{Content, Key, KeyType, Keyring};
use super::permission::{Owner, Permissions};
use super::quota::{Accounts, KeyLimit, Limits};
use super::{MAX_BYTES, MAX_KEYS, Serial};
use crate::Errno;
use crate::cred::KernelUid;
use crate::heap::HeapCharge;
use crate::time::MonotonicTime;

/// What a key takes beside its description and its payload.
const KEY_BYTES: usize = 512;

/// What a keyring's owner pays for a link, bytes.
pub(super) const LINK_BYTES: u32 = 4;

/// All keys.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) keys: BTreeMap<Serial, Key>,
    pub(super) accounts: Accounts,
    pub(super) limits: Limits,
    /// The keyrings that users have, by user namespace and user; both are held.
    pub(super) users: BTreeMap<(u64, KernelUid), UserKeyrings>,
    /// The persistent keyrings, likewise.
    pub(super) persistent: BTreeMap<(u64, KernelUid), Serial>,
    /// When the next key that is of no use any more may go.
    next_collection: Option<MonotonicTime>,
    total_bytes: u64,
}

/// A user's keyring and default session keyring (`man 7 user-keyring`, `man 7 user-session-keyring`).
#[derive(Clone, Copy, Debug)]
pub(super) struct UserKeyrings {
    pub(super) user: Serial,
    pub(super) session: Serial,
}

/// Who pays for a new key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payment {
    /// Its owner, within the quota.
    Quota,
    /// Its owner, even beyond the quota.
    Overrun,
    /// Nobody.
    Free,
}

/// A key to be made.
pub(super) struct NewKey<'a> {
    pub(super) content: Content,
    pub(super) description: &'a [u8],
    pub(super) owner: Owner,
    pub(super) permissions: Permissions,
    pub(super) namespace: u64,
    pub(super) payment: Payment,
}

impl<'a> NewKey<'a> {
    pub(super) fn keyring(description: &'a [u8], owner: Owner, permissions: Permissions) -> Self {
        Self {
            content: Content::Keyring(Keyring::default()),
            description,
            owner,
            permissions,
            namespace: 0,
            payment: Payment::Quota,
        }
    }
}

impl Store {
    /// The key with this number.
    ///
    /// # Errors
    /// ENOKEY.
    pub(super) fn get(&self, serial: Serial) -> Result<&Key, Errno> {
        self.keys.get(&serial).ok_or(Errno::ENOKEY)
    }

    /// As [`Store::get`].
    pub(super) fn get_mut(&mut self, serial: Serial) -> Result<&mut Key, Errno> {
        self.keys.get_mut(&serial).ok_or(Errno::ENOKEY)
    }

    /// Makes a key that nobody holds yet.
    ///
    /// # Errors
    /// EDQUOT; ENOMEM if there are too many.
    pub(super) fn insert(&mut self, new: NewKey<'_>) -> Result<Serial, Errno> {
        if self.keys.len() >= MAX_KEYS {
            return Err(Errno::ENOMEM);
        }
        let payload_bytes = match &new.content {
            Content::User(payload) | Content::Logon(payload) => payload.len(),
            Content::Keyring(_) | Content::Missing(_) => 0,
        };
        let bytes = u32::try_from(new.description.len() + 1 + payload_bytes).map_err(|_| Errno::EINVAL)?;
        let heap_charge = HeapCharge::new(KEY_BYTES + bytes as usize)?;
        self.reserve(bytes)?;
        let is_in_quota = new.payment != Payment::Free;
        let uid = new.owner.uid;
        if is_in_quota {
            let may_overrun = new.payment == Payment::Overrun;
            let charged = self.accounts.charge(&self.limits, uid, 1, bytes, may_overrun);
            charged.inspect_err(|_| self.total_bytes -= u64::from(bytes))?;
        }
        self.accounts.count(uid);
        let serial = self.unused_serial();
        let key = Key {
            content: new.content,
            description: new.description.into(),
            owner: new.owner,
            permissions: new.permissions,
            namespace: new.namespace,
            expiry: None,
            revoked: None,
            is_invalidated: false,
            holders: 0,
            is_in_quota,
            charged_bytes: bytes,
            _heap_charge: heap_charge,
        };
        self.keys.insert(serial, key);
        Ok(serial)
    }

    /// Random, as on Linux, so that nothing is to be read from it. Never one that is small.
    fn unused_serial(&self) -> Serial {
        const LOWEST: i32 = 3;
        loop {
            let mut bytes = [0; 4];
            crate::host::fill_random(&mut bytes);
            let serial = Serial(i32::from_le_bytes(bytes) & i32::MAX);
            if serial.0 >= LOWEST && !self.keys.contains_key(&serial) {
                return serial;
            }
        }
    }

    fn reserve(&mut self, bytes: u32) -> Result<(), Errno> {
        let total = self.total_bytes + u64::from(bytes);
        if total > MAX_BYTES {
            return Err(Errno::ENOMEM);
        }
        self.total_bytes = total;
        Ok(())
    }

    /// Has the key's owner pay for `bytes` instead of what it paid for.
    ///
    /// # Errors
    /// EDQUOT, ENOMEM; nothing has changed.
    pub(super) fn recharge(&mut self, serial: Serial, bytes: u32) -> Result<(), Errno> {
        let key = self.get(serial)?;
        let (old, uid, is_in_quota) = (key.charged_bytes, key.owner.uid, key.is_in_quota);
        if let Some(more) = bytes.checked_sub(old) {
            self.reserve(more)?;
            if is_in_quota {
                let charged = self.accounts.charge(&self.limits, uid, 0, more, false);
                charged.inspect_err(|_| self.total_bytes -= u64::from(more))?;
            }
        } else {
            let less = old - bytes;
            self.total_bytes -= u64::from(less);
            if is_in_quota {
                self.accounts.uncharge(uid, 0, less);
            }
        }
        self.get_mut(serial)?.charged_bytes = bytes;
        Ok(())
    }

    /// Keeps a key.
    pub(super) fn hold(&mut self, serial: Serial) {
        if let Some(key) = self.keys.get_mut(&serial) {
            key.holders = key.holders.saturating_add(1);
        }
    }

    /// Lets a key go that was held.
    pub(super) fn release(&mut self, serial: Serial) {
        let mut released = vec![serial];
        while let Some(serial) = released.pop() {
            let Some(key) = self.keys.get_mut(&serial) else { continue };
            key.holders = key.holders.saturating_sub(1);
            released.extend(self.remove_if_unheld(serial));
        }
    }

    /// Lets a key go that nobody came to hold.
    pub(super) fn discard(&mut self, serial: Serial) {
        for link in self.remove_if_unheld(serial) {
            self.release(link);
        }
    }

    /// Removes a key that nobody holds. Returns what it held.
    fn remove_if_unheld(&mut self, serial: Serial) -> Vec<Serial> {
        if self.keys.get(&serial).is_none_or(|key| key.holders > 0) {
            return Vec::new();
        }
        let Some(key) = self.keys.remove(&serial) else { return Vec::new() };
        self.total_bytes -= u64::from(key.charged_bytes);
        if key.is_in_quota {
            self.accounts.uncharge(key.owner.uid, 1, key.charged_bytes);
        }
        self.accounts.discount(key.owner.uid);
        match key.content {
            Content::Keyring(keyring) => keyring.links,
            Content::User(_) | Content::Logon(_) | Content::Missing(_) => Vec::new(),
        }
    }

    /// Replaces what a key holds.
    ///
    /// # Errors
    /// EDQUOT, ENOMEM.
    pub(super) fn set_content(
        &mut self,
        serial: Serial,
        kind: KeyType,
        payload: Vec<u8>,
    ) -> Result<(), Errno> {
        let description_bytes = self.get(serial)?.description.len() + 1;
        let bytes = u32::try_from(description_bytes + payload.len()).map_err(|_| Errno::EINVAL)?;
        self.recharge(serial, bytes)?;
        self.get_mut(serial)?.content = kind.content(payload);
        Ok(())
    }

    /// Has the key's owner be another, who pays for it within the quota.
    ///
    /// # Errors
    /// EDQUOT.
    pub(super) fn set_owner(&mut self, serial: Serial, uid: KernelUid) -> Result<(), Errno> {
        let key = self.get(serial)?;
        let (old, bytes, is_in_quota) = (key.owner.uid, key.charged_bytes, key.is_in_quota);
        if old == uid {
            return Ok(());
        }
        if is_in_quota {
            self.accounts.charge(&self.limits, uid, 1, bytes, false)?;
            self.accounts.uncharge(old, 1, bytes);
        }
        self.accounts.count(uid);
        self.accounts.discount(old);
        self.get_mut(serial)?.owner.uid = uid;
        Ok(())
    }

    /// Notes that a key is of no use from `end` on, and goes some time later.
    pub(super) fn collect_after(&mut self, end: MonotonicTime) {
        let due = end + self.limits.seconds(KeyLimit::CollectionDelay);
        self.next_collection = Some(self.next_collection.map_or(due, |next| next.min(due)));
    }

    /// Unlinks keys that have long been expired or revoked.
    pub(super) fn collect(&mut self, now: MonotonicTime) {
        if self.next_collection.is_none_or(|due| now < due) {
            return;
        }
        self.next_collection = None;
        let delay = self.limits.seconds(KeyLimit::CollectionDelay);
        let mut useless = Vec::new();
        let mut next = None;
        for (serial, key) in &self.keys {
            let Some(due) = key.revoked.into_iter().chain(key.expiry).map(|end| end + delay).min() else {
                continue;
            };
            if due <= now {
                useless.push(*serial);
            } else {
                next = Some(next.map_or(due, |next: MonotonicTime| next.min(due)));
            }
        }
        self.next_collection = next;
        self.unlink_everywhere(&useless);
    }

    /// Removes all links to `serials`, which are sorted.
    pub(super) fn unlink_everywhere(&mut self, serials: &[Serial]) {
        let is_gone = |serial: &Serial| serials.binary_search(serial).is_ok();
        let mut released = Vec::new();
        let mut shrunk = Vec::new();
        for (ring, key) in &mut self.keys {
            let Content::Keyring(keyring) = &mut key.content else { continue };
            let before = keyring.links.len();
            released.extend(keyring.links.extract_if(.., |link| is_gone(link)));
            if keyring.links.len() < before {
                shrunk.push(*ring);
            }
        }
        for ring in shrunk {
            self.settle_links(ring);
        }
        self.persistent.retain(|_, serial| {
            let goes = is_gone(serial);
            released.extend(goes.then_some(*serial));
            !goes
        });
        for serial in released {
            self.release(serial);
        }
    }

    /// Has the owner of a keyring that has shrunk pay for the links that are left.
    pub(super) fn settle_links(&mut self, ring: Serial) {
        let Ok(key) = self.get(ring) else { return };
        let Ok(keyring) = key.keyring() else { return };
        let bytes = key.description.len() + 1 + keyring.links.len() * LINK_BYTES as usize;
        // Less than before: it cannot fail.
        let _ = self.recharge(ring, u32::try_from(bytes).unwrap_or(u32::MAX));
    }
}
