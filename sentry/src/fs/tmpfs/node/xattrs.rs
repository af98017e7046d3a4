//! Extended attributes of a file in memory.

use std::collections::BTreeMap;

use crate::Errno;
use crate::heap::HeapCharge;

/// What an attribute takes beside its name and value.
const ATTRIBUTE_BYTES: usize = 192;

/// The attributes of a file, by name.
#[derive(Default)]
pub(super) struct Xattrs {
    by_name: BTreeMap<Vec<u8>, Vec<u8>>,
    heap_charge: HeapCharge,
}

fn bytes_of(name: &[u8], value: &[u8]) -> usize {
    ATTRIBUTE_BYTES + name.len() + value.len()
}

impl Xattrs {
    /// Those that a layer below has.
    pub(super) fn of_lower(xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        let len = xattrs.iter().map(|(name, value)| bytes_of(name, value)).sum();
        Self { by_name: xattrs.into_iter().collect(), heap_charge: HeapCharge::forced(len) }
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Vec<u8>> {
        self.by_name.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.by_name.iter()
    }

    /// Sets one, and returns its old value.
    ///
    /// # Errors
    /// ENOSPC: it cannot be paid for.
    pub(super) fn insert(&mut self, name: &[u8], value: Vec<u8>) -> Result<Option<Vec<u8>>, Errno> {
        let old_bytes = self.by_name.get(name).map_or(0, |old| bytes_of(name, old));
        let all_bytes = self.heap_charge.len_bytes() - old_bytes + bytes_of(name, &value);
        self.heap_charge.resize(all_bytes).map_err(|_| Errno::ENOSPC)?;
        Ok(self.by_name.insert(name.to_vec(), value))
    }

    /// Removes one, and returns its value.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let value = self.by_name.remove(name)?;
        self.heap_charge.force(self.heap_charge.len_bytes() - bytes_of(name, &value));
        Some(value)
    }

    /// Bytes of names and values.
    pub(super) fn kept_bytes(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}
