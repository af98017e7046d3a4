//! What each user's keys may amount to (`man 7 keyrings`, /proc/sys/kernel/keys).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Errno;
use crate::cred::KernelUid;

/// A setting in /proc/sys/kernel/keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLimit {
    /// Seconds until what is expired or revoked goes (`gc_delay`).
    CollectionDelay,
    /// Bytes of a user (`maxbytes`).
    Bytes,
    /// Keys of a user (`maxkeys`).
    Keys,
    /// Seconds that a persistent keyring is kept (`persistent_keyring_expiry`).
    PersistentExpiry,
    /// Bytes of the root user (`root_maxbytes`).
    RootBytes,
    /// Keys of the root user (`root_maxkeys`).
    RootKeys,
}

/// The settings.
#[derive(Debug)]
pub(super) struct Limits([u32; 6]);

impl Default for Limits {
    fn default() -> Self {
        Self([300, 20_000, 200, 259_200, 25_000_000, 1_000_000])
    }
}

impl Limits {
    pub(super) fn get(&self, limit: KeyLimit) -> u32 {
        self.0[limit as usize]
    }

    pub(super) fn set(&mut self, limit: KeyLimit, value: u32) {
        self.0[limit as usize] = value;
    }

    pub(super) fn seconds(&self, limit: KeyLimit) -> Duration {
        Duration::from_secs(self.get(limit).into())
    }

    /// Keys and bytes that `uid` may have.
    pub(super) fn of(&self, uid: KernelUid) -> (u32, u32) {
        let (keys, bytes) = match uid {
            KernelUid::ROOT => (KeyLimit::RootKeys, KeyLimit::RootBytes),
            _ => (KeyLimit::Keys, KeyLimit::Bytes),
        };
        (self.get(keys), self.get(bytes))
    }
}

/// What a user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// All keys.
    pub(super) keys: u32,
    /// Keys that count.
    pub(super) quota_keys: u32,
    /// Bytes that count.
    pub(super) quota_bytes: u32,
}

/// All users' accounts. Those without keys are not kept.
#[derive(Debug, Default)]
pub(super) struct Accounts(pub(super) BTreeMap<KernelUid, Account>);

impl Accounts {
    /// Charges `uid` for keys and bytes.
    ///
    /// # Errors
    /// EDQUOT, with nothing charged; never with `may_overrun`.
    pub(super) fn charge(
        &mut self,
        limits: &Limits,
        uid: KernelUid,
        keys: u32,
        bytes: u32,
        may_overrun: bool,
    ) -> Result<(), Errno> {
        let account = self.0.get(&uid).copied().unwrap_or_default();
        let (max_keys, max_bytes) = limits.of(uid);
        let quota_keys = account.quota_keys.saturating_add(keys);
        let quota_bytes = account.quota_bytes.saturating_add(bytes);
        if !may_overrun && (quota_keys > max_keys || quota_bytes > max_bytes) {
            return Err(Errno::EDQUOT);
        }
        self.0.insert(uid, Account { quota_keys, quota_bytes, ..account });
        Ok(())
    }

    /// Takes back what [`Accounts::charge`] did.
    pub(super) fn uncharge(&mut self, uid: KernelUid, keys: u32, bytes: u32) {
        if let Some(account) = self.0.get_mut(&uid) {
            account.quota_keys = account.quota_keys.saturating_sub(keys);
            account.quota_bytes = account.quota_bytes.saturating_sub(bytes);
        }
    }

    pub(super) fn count(&mut self, uid: KernelUid) {
        let account = self.0.entry(uid).or_default();
        account.keys = account.keys.saturating_add(1);
    }

    pub(super) fn discount(&mut self, uid: KernelUid) {
        if let Some(account) = self.0.get_mut(&uid) {
            account.keys = account.keys.saturating_sub(1);
            if account.keys == 0 {
                self.0.remove(&uid);
            }
        }
    }
}
