//! /proc/keys and /proc/key-users (`man 7 keyrings`).

use std::time::Duration;

use super::Serial;
use super::caller::{Caller, Found};
use super::key::{Content, Key};
use super::permission::Need;
use super::search::Query;
use super::store::Store;
use crate::cred::{Gid, Uid, UserNamespace};

/// The user and the group that a key shows in `namespace`.
pub(super) fn shown_owner(key: &Key, namespace: &UserNamespace) -> (Uid, Gid) {
    let gid = key.owner.gid.map_or(Gid::OVERFLOW, |gid| namespace.from_kernel_gid(gid));
    (namespace.from_kernel_uid(key.owner.uid), gid)
}

/// The lines of /proc/key-users: the users that `namespace` knows.
pub(super) fn users(store: &Store, namespace: &UserNamespace) -> Vec<u8> {
    let mut text = String::new();
    for (uid, account) in store.accounts.0.iter().filter(|(uid, _)| namespace.maps_uid(**uid)) {
        let (max_keys, max_bytes) = store.limits.of(*uid);
        let uid = namespace.from_kernel_uid(*uid);
        let (keys, quota_keys, quota_bytes) = (account.keys, account.quota_keys, account.quota_bytes);
        text +=
            &format!("{uid:5}: {keys:5} {keys}/{keys} {quota_keys}/{max_keys} {quota_bytes}/{max_bytes}\n");
    }
    text.into_bytes()
}

impl Caller<'_> {
    /// The lines of /proc/keys: the keys that the caller may see, of users that its namespace knows.
    pub(crate) fn list(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let namespace = &self.credentials.user_namespace;
        for (serial, key) in self.store.keys.iter().filter(|(_, key)| namespace.maps_uid(key.owner.uid)) {
            let may_see = |is_possessed| key.check(Need::VIEW, self.credentials, is_possessed).is_ok();
            // Whether it is possessed is asked only if it makes a difference.
            if may_see(false) || may_see(true) && self.possesses(*serial) {
                text.extend(self.line(*serial, key));
            }
        }
        text
    }

    fn possesses(&self, serial: Serial) -> bool {
        matches!(self.search_own(&Query::of_serial(serial)), Ok(Found { is_possessed: true, .. }))
    }

    fn line(&self, serial: Serial, key: &Key) -> Vec<u8> {
        let flag = |is_set, letter| if is_set { letter } else { '-' };
        let flags = [
            'I',
            flag(key.revoked.is_some(), 'R'),
            '-',
            flag(key.is_in_quota, 'Q'),
            '-',
            flag(key.is_missing(), 'N'),
            flag(key.is_invalidated, 'i'),
        ];
        let flags: String = flags.iter().collect();
        let timeout = match key.expiry {
            _ if key.revoked.is_some() => "expd".into(),
            None => "perm".into(),
            Some(expiry) => shown_time(expiry.saturating_duration_since(self.now)),
        };
        let (uid, gid) = shown_owner(key, &self.credentials.user_namespace);
        let kind = key.key_type().name();
        let mut line = format!(
            "{:08x} {flags} {:5} {timeout:>4} {:08x} {uid:5} {gid:5} {kind:<9.9} ",
            serial.0,
            key.holders,
            key.permissions.bits()
        )
        .into_bytes();
        line.extend_from_slice(&key.description);
        let summary = match &key.content {
            Content::Keyring(keyring) if keyring.links.is_empty() => ": empty".into(),
            Content::Keyring(keyring) => format!(": {}", keyring.links.len()),
            Content::User(payload) | Content::Logon(payload) => format!(": {}", payload.len()),
            Content::Missing(_) => String::new(),
        };
        line.extend_from_slice(summary.as_bytes());
        line.push(b'\n');
        line
    }
}

/// A time as /proc/keys tells it.
fn shown_time(left: Duration) -> String {
    const UNITS: [(u64, char); 5] = [(7 * 86400, 'w'), (86400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let unit = UNITS.iter().find(|(unit, _)| seconds >= *unit);
    unit.map_or("expd".into(), |(unit, letter)| format!("{}{letter}", seconds / unit))
}
