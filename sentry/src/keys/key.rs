//! A key: its type, its attributes and what it holds.

use super::Serial;
use super::permission::{Need, Owner, Permissions};
use crate::Errno;
use crate::cred::Credentials;
use crate::heap::HeapCharge;
use crate::time::MonotonicTime;

/// Longest payload of `user` and `logon` keys, bytes.
const MAX_PAYLOAD_BYTES: usize = 32767;

/// What kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    /// A list of keys.
    Keyring,
    /// Bytes.
    User,
    /// Bytes that only the kernel reads.
    Logon,
}

impl KeyType {
    /// The type called `name`.
    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Keyring, Self::User, Self::Logon].into_iter().find(|kind| kind.name().as_bytes() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::User => "user",
            Self::Logon => "logon",
        }
    }

    /// Checks what a new key of this type is to be called and to hold.
    ///
    /// # Errors
    /// EINVAL.
    pub(super) fn check(self, description: &[u8], payload: &[u8]) -> Result<(), Errno> {
        self.check_payload(payload)?;
        let has_prefix = description.iter().position(|byte| *byte == b':').is_some_and(|colon| colon > 0);
        let is_sound = !description.is_empty() && (self != Self::Logon || has_prefix);
        if is_sound { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Checks what a key of this type is to hold.
    ///
    /// # Errors
    /// EINVAL.
    pub(super) fn check_payload(self, payload: &[u8]) -> Result<(), Errno> {
        let is_sound = match self {
            Self::Keyring => payload.is_empty(),
            Self::User | Self::Logon => (1..=MAX_PAYLOAD_BYTES).contains(&payload.len()),
        };
        if is_sound { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// What may be done with a new key of this type.
    pub(super) fn permissions(self) -> Permissions {
        let all = Permissions::POS_ALL | Permissions::USR_VIEW;
        match self {
            Self::Keyring | Self::User => all,
            Self::Logon => all - Permissions::POS_READ,
        }
    }

    /// What a new key of this type holds.
    pub(super) fn content(self, payload: Vec<u8>) -> Content {
        match self {
            Self::Keyring => Content::Keyring(Keyring::default()),
            Self::User => Content::User(payload),
            Self::Logon => Content::Logon(payload),
        }
    }
}

/// What a key holds.
#[derive(Debug)]
pub(super) enum Content {
    Keyring(Keyring),
    User(Vec<u8>),
    Logon(Vec<u8>),
    /// A request for a key of this type found nobody to make it.
    Missing(KeyType),
}

/// What a keyring holds.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    pub(super) links: Vec<Serial>,
    /// No key can be linked any more (KEYCTL_RESTRICT_KEYRING).
    pub(super) is_restricted: bool,
    /// It is a user's own, made by the kernel: a session keyring of last resort.
    pub(super) is_users: bool,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) content: Content,
    pub(super) description: Box<[u8]>,
    pub(super) owner: Owner,
    pub(super) permissions: Permissions,
    /// The number of the user namespace where its name counts, if it is a keyring.
    pub(super) namespace: u64,
    pub(super) expiry: Option<MonotonicTime>,
    pub(super) revoked: Option<MonotonicTime>,
    pub(super) is_invalidated: bool,
    /// Links to it, and others who keep it.
    pub(super) holders: u32,
    /// Its owner pays for it.
    pub(super) is_in_quota: bool,
    /// What is paid for, bytes.
    pub(super) charged_bytes: u32,
    pub(super) _heap_charge: HeapCharge,
}

impl Key {
    pub(super) fn key_type(&self) -> KeyType {
        match &self.content {
            Content::Keyring(_) => KeyType::Keyring,
            Content::User(_) => KeyType::User,
            Content::Logon(_) => KeyType::Logon,
            Content::Missing(kind) => *kind,
        }
    }

    /// ENOTDIR if it is no keyring.
    pub(super) fn keyring(&self) -> Result<&Keyring, Errno> {
        match &self.content {
            Content::Keyring(keyring) => Ok(keyring),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// As [`Key::keyring`].
    pub(super) fn keyring_mut(&mut self) -> Result<&mut Keyring, Errno> {
        match &mut self.content {
            Content::Keyring(keyring) => Ok(keyring),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn is(&self, kind: KeyType, description: &[u8]) -> bool {
        self.key_type() == kind && *self.description == *description
    }

    pub(super) fn is_expired(&self, now: MonotonicTime) -> bool {
        self.expiry.is_some_and(|expiry| expiry <= now)
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self.content, Content::Missing(_))
    }

    /// Whether the key can still be used: ENOKEY, EKEYREVOKED, EKEYEXPIRED.
    pub(super) fn validate(&self, now: MonotonicTime) -> Result<(), Errno> {
        if self.is_invalidated {
            Err(Errno::ENOKEY)
        } else if self.revoked.is_some() {
            Err(Errno::EKEYREVOKED)
        } else if self.is_expired(now) {
            Err(Errno::EKEYEXPIRED)
        } else {
            Ok(())
        }
    }

    /// EACCES unless `credentials` may do what is needed.
    pub(super) fn check(
        &self,
        need: Need,
        credentials: &Credentials,
        is_possessed: bool,
    ) -> Result<(), Errno> {
        let granted = self.permissions.granted(self.owner, credentials, is_possessed);
        if granted.contains(need) { Ok(()) } else { Err(Errno::EACCES) }
    }
}
