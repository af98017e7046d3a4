//! request_key(2): finding a key in the caller's keyrings.
//!
//! Where Linux would run `/sbin/request-key` to make a key that is not there, nobody is asked: it is as on a system that has
//! no such program. The answer, that there is none, is kept for a minute.

use std::time::Duration;

use super::Serial;
use super::caller::{Caller, Found};
use super::key::{Content, KeyType};
use super::permission::Need;
use super::search::Query;
use super::task_keyrings::RequestDestination;
use crate::Errno;

/// How long a negative answer is kept.
const NEGATIVE_TIMEOUT: Duration = Duration::from_secs(60);

impl RequestDestination {
    /// KEY_REQKEY_DEFL_DEFAULT: the first keyring that the task has.
    const DEFAULT: i32 = 0;
    const THREAD: i32 = 1;
    const PROCESS: i32 = 2;
    const SESSION: i32 = 3;
    const USER: i32 = 4;
    const USER_SESSION: i32 = 5;
    /// The keyring of who asked first. Nobody asks on behalf of others.
    const REQUESTOR: i32 = 7;
}

impl Caller<'_> {
    /// Finds a key, and links it into `destination` unless that is 0. With `asks` others would be asked to make it.
    ///
    /// # Errors
    /// ENOKEY: there is none; ENOENT: and nobody to make it. Those of searching and linking.
    pub(crate) fn request(
        &mut self,
        kind: Option<KeyType>,
        description: &[u8],
        asks: bool,
        destination: i32,
    ) -> Result<Serial, Errno> {
        let destination = self.destination(destination)?;
        let kind = kind.ok_or(Errno::ENOKEY)?;
        match self.search_own(&Query::Unexpired(kind, description)) {
            Ok(found) => {
                if let Some(destination) = destination {
                    self.check(found, Need::LINK)?;
                    self.store.link(destination.serial, found.serial, self.now)?;
                }
                Ok(found.serial)
            }
            Err(Errno::EAGAIN) if asks => {
                self.note_missing(kind, description, destination)?;
                Err(Errno::ENOENT)
            }
            Err(Errno::EAGAIN) => Err(Errno::ENOKEY),
            Err(error) => Err(error),
        }
    }

    /// Keeps the answer that there is no such key.
    fn note_missing(
        &mut self,
        kind: KeyType,
        description: &[u8],
        destination: Option<Found>,
    ) -> Result<(), Errno> {
        let ring = match destination {
            Some(ring) => ring,
            None => self.default_destination()?,
        };
        let serial = self.insert_into(ring, kind, description, Content::Missing(kind))?;
        self.expire_in(serial, Some(NEGATIVE_TIMEOUT))
    }

    fn default_destination(&mut self) -> Result<Found, Errno> {
        let own = |serial| Ok(Found { serial, is_possessed: true });
        let keyrings = &self.keyrings;
        let chosen = match keyrings.request_destination.0 {
            RequestDestination::THREAD => keyrings.thread,
            RequestDestination::PROCESS => keyrings.process,
            RequestDestination::SESSION => keyrings.session,
            RequestDestination::USER => Some(self.user_keyrings()?.user),
            RequestDestination::USER_SESSION => None,
            _ => keyrings.thread.or(keyrings.process).or(keyrings.session),
        };
        match chosen {
            Some(serial) => own(serial),
            None => own(self.user_keyrings()?.session),
        }
    }

    /// KEYCTL_SET_REQKEY_KEYRING; -1 changes nothing. Returns what it was.
    ///
    /// # Errors
    /// EINVAL; those of making a keyring.
    pub(crate) fn set_request_destination(&mut self, destination: i32) -> Result<i32, Errno> {
        const NO_CHANGE: i32 = -1;
        const THREAD_KEYRING: i32 = -1;
        const PROCESS_KEYRING: i32 = -2;
        let old = self.keyrings.request_destination.0;
        match destination {
            NO_CHANGE => return Ok(old),
            RequestDestination::THREAD => {
                self.find(THREAD_KEYRING, true)?;
            }
            RequestDestination::PROCESS => {
                self.find(PROCESS_KEYRING, true)?;
            }
            RequestDestination::DEFAULT
            | RequestDestination::SESSION
            | RequestDestination::USER
            | RequestDestination::USER_SESSION
            | RequestDestination::REQUESTOR => {}
            _ => return Err(Errno::EINVAL),
        }
        self.keyrings.request_destination = RequestDestination(destination);
        Ok(old)
    }
}
