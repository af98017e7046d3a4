//! Names that the server has said will lead where they do for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::inode::FuseInode;
use super::wire::Validity;
use crate::heap::HeapCharge;
use crate::time::MonotonicTime;

/// The most that are known at a time.
const MAX_KNOWN: usize = 4096;

/// What one takes beside its name, which is there twice.
const NAME_BYTES: usize = 192;

/// A directory's number and a name in it.
type Key = (u64, Vec<u8>);

/// Names, and where they lead.
#[derive(Default)]
pub(super) struct KnownNames {
    known: HashMap<Key, (Arc<FuseInode>, MonotonicTime)>,
    /// The oldest first, with what all copies of each name take. Some are known no more.
    order: VecDeque<(Key, HeapCharge)>,
}

/// The moment until which something holds that is told at `now`; `None` if it holds no longer than it takes to tell.
pub(super) fn end_of(validity: Validity, now: MonotonicTime) -> Option<MonotonicTime> {
    /// Longer is for ever.
    const MAX_SECONDS: u64 = 365 * 24 * 60 * 60;
    let length = Duration::new(validity.seconds.min(MAX_SECONDS), validity.nanoseconds.min(999_999_999));
    (!length.is_zero()).then(|| now + length)
}

impl KnownNames {
    /// Where a name leads, if that is still known at `now`.
    pub(super) fn find(&self, directory: u64, name: &[u8], now: MonotonicTime) -> Option<Arc<FuseInode>> {
        let (inode, end) = self.known.get(&(directory, name.to_vec()))?;
        (now < *end).then(|| inode.clone())
    }

    /// Remembers a name, if that can be paid for, and returns what is forgotten for that, to be dropped with no lock held.
    pub(super) fn insert(
        &mut self,
        directory: u64,
        name: &[u8],
        inode: &Arc<FuseInode>,
        end: MonotonicTime,
    ) -> Vec<Arc<FuseInode>> {
        let Ok(charge) = HeapCharge::new(NAME_BYTES + 2 * name.len()) else { return Vec::new() };
        let key = (directory, name.to_vec());
        let mut forgotten = Vec::new();
        match self.known.insert(key.clone(), (inode.clone(), end)) {
            Some((old, _)) => forgotten.push(old),
            None => self.order.push_back((key, charge)),
        }
        while self.known.len() > MAX_KNOWN || self.order.len() > 2 * MAX_KNOWN {
            let Some((oldest, _)) = self.order.pop_front() else { break };
            forgotten.extend(self.known.remove(&oldest).map(|(inode, _)| inode));
        }
        forgotten
    }

    /// Forgets a name. What it led to is to be dropped with no lock held.
    pub(super) fn remove(&mut self, directory: u64, name: &[u8]) -> Option<Arc<FuseInode>> {
        self.known.remove(&(directory, name.to_vec())).map(|(inode, _)| inode)
    }
}
