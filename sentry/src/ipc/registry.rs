//! Identifiers and keys of one kind of System V object.
//!
//! An identifier is an index and a sequence number. Indexes are given out in a circle, and the sequence number moves on
//! each time around, so that an identifier is not given again soon after its object was removed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::permissions::{IpcAccess, Permissions};
use super::{IPC_PRIVATE, IpcCaller};
use crate::Errno;

/// Objects of one kind that a namespace can have at all (Linux's `IPCMNI`).
pub(super) const MAX_OBJECTS: u32 = 32_768;
const INDEX_BITS: u32 = 15;
const MAX_SEQUENCE: u16 = (i32::MAX as u32 >> INDEX_BITS) as u16;
/// Indexes go around in a circle of at least this many.
const MIN_CIRCLE: u32 = 64;

bitflags::bitflags! {
    /// What a `get` call is told beside the mode.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct GetFlags: u32 {
        /// Make the object if there is none.
        const CREAT = 0o1000;
        /// Fail if there is one.
        const EXCL = 0o2000;
    }
}

/// An object with an identifier.
pub(super) trait Object {
    /// Its identifier.
    fn id(&self) -> i32;

    /// Who may do what to it.
    fn permissions(&self) -> Permissions;
}

/// A place for a new object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    index: u32,
    pub(super) sequence: u16,
    /// Asked for by [`Registry::set_next_id`], out of turn.
    is_wanted: bool,
}

impl Place {
    /// The identifier of the object in this place.
    pub(super) fn id(self) -> i32 {
        (u32::from(self.sequence) << INDEX_BITS | self.index).cast_signed()
    }
}

/// The objects of one kind.
pub(super) struct Registry<T> {
    by_index: BTreeMap<u32, Arc<T>>,
    by_key: HashMap<i32, u32>,
    last_index: Option<u32>,
    sequence: u16,
    next_id: Option<i32>,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            by_index: BTreeMap::new(),
            by_key: HashMap::new(),
            last_index: None,
            sequence: 0,
            next_id: None,
        }
    }
}

/// What a `get` call comes to.
pub(super) enum Found<T> {
    /// The object of that key.
    Existing(Arc<T>),
    /// A new one is to be made.
    Missing,
}

impl<T: Object> Registry<T> {
    /// Finds the object of `key` for a `get` call with `flags`; `check` is asked whether it is large enough.
    ///
    /// # Errors
    /// ENOENT, EEXIST, EACCES, or the one of `check`.
    pub(super) fn open(
        &self,
        key: i32,
        flags: u32,
        caller: &IpcCaller<'_>,
        check: impl FnOnce(&T) -> Result<(), Errno>,
    ) -> Result<Found<T>, Errno> {
        let wanted = GetFlags::from_bits_truncate(flags);
        let existing = if key == IPC_PRIVATE { None } else { self.by_key.get(&key) };
        let Some(object) = existing.and_then(|index| self.by_index.get(index)) else {
            let may_create = key == IPC_PRIVATE || wanted.contains(GetFlags::CREAT);
            return if may_create { Ok(Found::Missing) } else { Err(Errno::ENOENT) };
        };
        if wanted.contains(GetFlags::CREAT | GetFlags::EXCL) {
            return Err(Errno::EEXIST);
        }
        check(object)?;
        object.permissions().check(IpcAccess::of_flags(flags), caller)?;
        Ok(Found::Existing(object.clone()))
    }

    /// Finds a place for one more object.
    ///
    /// # Errors
    /// ENOSPC: there are `limit` already.
    pub(super) fn place(&self, limit: u32) -> Result<Place, Errno> {
        let in_use = u32::try_from(self.by_index.len()).unwrap_or(u32::MAX);
        if in_use >= limit.min(MAX_OBJECTS) {
            return Err(Errno::ENOSPC);
        }
        if let Some(wanted) = self.next_id {
            let wanted = wanted.cast_unsigned();
            let index = self.first_free(wanted & (MAX_OBJECTS - 1)..MAX_OBJECTS).ok_or(Errno::ENOSPC)?;
            let sequence = u16::try_from(wanted >> INDEX_BITS).map_err(|_| Errno::EINVAL)?;
            return Ok(Place { index, sequence, is_wanted: true });
        }
        let circle = (in_use.saturating_mul(3) / 2).clamp(MIN_CIRCLE, MAX_OBJECTS).max(in_use + 1);
        let start = self.last_index.map_or(0, |last| last + 1);
        let index =
            self.first_free(start..circle).or_else(|| self.first_free(0..circle)).ok_or(Errno::ENOSPC)?;
        let has_wrapped = self.last_index.is_some_and(|last| index <= last);
        let sequence = match (has_wrapped, self.sequence) {
            (false, sequence) => sequence,
            (true, MAX_SEQUENCE..) => 0,
            (true, sequence) => sequence + 1,
        };
        Ok(Place { index, sequence, is_wanted: false })
    }

    fn first_free(&self, indexes: std::ops::Range<u32>) -> Option<u32> {
        let mut next = indexes.start;
        if next >= indexes.end {
            return None;
        }
        for &index in self.by_index.range(indexes.clone()).map(|(index, _)| index) {
            if index > next {
                break;
            }
            next = index + 1;
        }
        (next < indexes.end).then_some(next)
    }

    /// Puts `object` into its place.
    pub(super) fn insert(&mut self, place: Place, object: Arc<T>) {
        let key = object.permissions().key;
        if key != IPC_PRIVATE {
            self.by_key.insert(key, place.index);
        }
        if place.is_wanted {
            self.next_id = None;
        } else {
            self.last_index = Some(place.index);
            self.sequence = place.sequence;
        }
        self.by_index.insert(place.index, object);
    }

    /// The object with this identifier.
    ///
    /// # Errors
    /// EINVAL.
    pub(super) fn get(&self, id: i32) -> Result<Arc<T>, Errno> {
        self.at_index(id).ok().filter(|object| object.id() == id).ok_or(Errno::EINVAL)
    }

    /// The object with the index of `id`, whatever its sequence number: what the `*_STAT` commands ask for.
    ///
    /// # Errors
    /// EINVAL.
    pub(super) fn at_index(&self, id: i32) -> Result<Arc<T>, Errno> {
        let id = u32::try_from(id).map_err(|_| Errno::EINVAL)?;
        self.by_index.get(&(id & (MAX_OBJECTS - 1))).cloned().ok_or(Errno::EINVAL)
    }

    /// Removes the object with this identifier, and its key.
    pub(super) fn remove(&mut self, id: i32) -> Option<Arc<T>> {
        let object = self.get(id).ok()?;
        self.forget_key(object.permissions().key, id);
        self.by_index.remove(&(id.cast_unsigned() & (MAX_OBJECTS - 1)))
    }

    /// Has `key` name nothing any more, if it names `id`.
    pub(super) fn forget_key(&mut self, key: i32, id: i32) {
        let index = id.cast_unsigned() & (MAX_OBJECTS - 1);
        if key != IPC_PRIVATE && self.by_key.get(&key) == Some(&index) {
            self.by_key.remove(&key);
        }
    }

    /// The identifier that the next object is to have, or one near it (`/proc/sys/kernel/msg_next_id` and kin).
    pub(super) fn next_id(&self) -> Option<i32> {
        self.next_id
    }

    /// Sets that; `None` leaves the choice to the kernel again.
    pub(super) fn set_next_id(&mut self, id: Option<i32>) {
        self.next_id = id;
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_index.len()
    }

    /// All of them, by index.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.by_index.values()
    }

    /// The highest index in use; 0 if there is none.
    pub(super) fn highest_index(&self) -> usize {
        self.by_index.last_key_value().map_or(0, |(index, _)| *index as usize)
    }
}

#[cfg(test)]
mod tests;
