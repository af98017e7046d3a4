//! Linking keys into keyrings, and out of them.

use super::Serial;
use super::key::{Content, Key};
use super::store::{LINK_BYTES, Store};
use crate::Errno;
use crate::time::MonotonicTime;

impl Store {
    /// Links `key` into `ring`, instead of one of the same type and description.
    ///
    /// # Errors
    /// ENOTDIR, EKEYREVOKED, EPERM if the keyring is restricted, EDEADLK, ELOOP, EDQUOT.
    pub(super) fn link(&mut self, ring: Serial, key: Serial, now: MonotonicTime) -> Result<(), Errno> {
        self.check_link(ring, now)?;
        let new = self.get(key)?;
        if let Content::Keyring(_) = new.content {
            self.check_nesting(key, ring)?;
        }
        let (kind, description) = (new.key_type(), new.description.clone());
        match self.position(ring, |old| old.is(kind, &description))? {
            Some(place) => {
                self.hold(key);
                let link = self.get_mut(ring)?.keyring_mut()?.links.get_mut(place);
                if let Some(old) = link.map(|link| std::mem::replace(link, key)) {
                    self.release(old);
                }
            }
            None => {
                let bytes = self.get(ring)?.charged_bytes.saturating_add(LINK_BYTES);
                self.recharge(ring, bytes)?;
                self.hold(key);
                self.get_mut(ring)?.keyring_mut()?.links.push(key);
            }
        }
        Ok(())
    }

    /// Whether keys can be linked into `ring`.
    pub(super) fn check_link(&self, ring: Serial, now: MonotonicTime) -> Result<(), Errno> {
        let key = self.get(ring)?;
        let keyring = key.keyring()?;
        key.validate(now)?;
        if keyring.is_restricted { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Removes the link to `key` from `ring`.
    ///
    /// # Errors
    /// ENOTDIR, ENOENT.
    pub(super) fn unlink(&mut self, ring: Serial, key: Serial) -> Result<(), Errno> {
        let keyring = self.get_mut(ring)?.keyring_mut()?;
        let place = keyring.links.iter().position(|link| *link == key).ok_or(Errno::ENOENT)?;
        keyring.links.remove(place);
        self.settle_links(ring);
        self.release(key);
        Ok(())
    }

    /// Removes all links from `ring`.
    ///
    /// # Errors
    /// ENOTDIR.
    pub(super) fn clear(&mut self, ring: Serial) -> Result<(), Errno> {
        let links = std::mem::take(&mut self.get_mut(ring)?.keyring_mut()?.links);
        self.settle_links(ring);
        for link in links {
            self.release(link);
        }
        Ok(())
    }

    /// The first key directly in `ring` for which `is_wanted` holds.
    pub(super) fn find_in(
        &self,
        ring: Serial,
        is_wanted: impl Fn(&Key) -> bool,
    ) -> Result<Option<Serial>, Errno> {
        let place = self.position(ring, is_wanted)?;
        let links = &self.get(ring)?.keyring()?.links;
        Ok(place.and_then(|place| links.get(place).copied()))
    }

    fn position(&self, ring: Serial, is_wanted: impl Fn(&Key) -> bool) -> Result<Option<usize>, Errno> {
        let links = &self.get(ring)?.keyring()?.links;
        Ok(links.iter().position(|link| self.get(*link).is_ok_and(&is_wanted)))
    }
}
