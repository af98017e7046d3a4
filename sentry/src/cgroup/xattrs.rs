//! The extended attributes of a group's directory and files, which programs mark their groups with (`man 7 xattr`).

use std::collections::BTreeMap;

use crate::Errno;
use crate::heap::HeapCharge;

/// What the attributes of a group that anybody may set take together at most, and how many there are of one file
/// (`KERNFS_USER_XATTR_SIZE_LIMIT`, `KERNFS_MAX_USER_XATTRS`).
const MAX_USER_BYTES: usize = 128 << 10;
const MAX_USER_ATTRIBUTES: usize = 128;
/// What an attribute takes beside its name and value.
const ATTRIBUTE_BYTES: usize = 160;

/// A file of the group; `None` for its directory.
type File = Option<&'static str>;

/// The attributes of a group.
#[derive(Default)]
pub(super) struct Xattrs {
    values: BTreeMap<(File, Vec<u8>), Vec<u8>>,
    heap_charge: HeapCharge,
}

impl Xattrs {
    /// The value of `name`.
    ///
    /// # Errors
    /// ENODATA.
    pub(super) fn get(&self, file: File, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.values.get(&(file, name.to_vec())).cloned().ok_or(Errno::ENODATA)
    }

    /// The names of all.
    pub(super) fn names(&self, file: File) -> Vec<Vec<u8>> {
        self.values.keys().filter(|(of, _)| *of == file).map(|(_, name)| name.clone()).collect()
    }

    /// Sets `name`; `must_exist` is `Some(false)` for XATTR_CREATE, `Some(true)` for XATTR_REPLACE.
    ///
    /// # Errors
    /// EEXIST, ENODATA; ENOSPC; ENOMEM.
    pub(super) fn set(
        &mut self,
        file: File,
        name: &[u8],
        value: &[u8],
        must_exist: Option<bool>,
    ) -> Result<(), Errno> {
        let key = (file, name.to_vec());
        match (must_exist, self.values.contains_key(&key)) {
            (Some(false), true) => return Err(Errno::EEXIST),
            (Some(true), false) => return Err(Errno::ENODATA),
            _ => {}
        }
        let old_len = self.values.get(&key).map_or(0, Vec::len);
        if is_user(name) {
            let users = self.values.iter().filter(|((_, name), _)| is_user(name));
            let total: usize = users.clone().map(|(_, value)| value.len()).sum();
            let count = users.filter(|((of, _), _)| *of == file).count();
            let is_new = !self.values.contains_key(&key);
            if total - old_len + value.len() > MAX_USER_BYTES || is_new && count >= MAX_USER_ATTRIBUTES {
                return Err(Errno::ENOSPC);
            }
        }
        let others = self.bytes() - self.values.get(&key).map_or(0, |old| bytes_of(name, old));
        self.heap_charge.resize(others + bytes_of(name, value))?;
        self.values.insert(key, value.to_vec());
        Ok(())
    }

    /// Removes `name`.
    ///
    /// # Errors
    /// ENODATA.
    pub(super) fn remove(&mut self, file: File, name: &[u8]) -> Result<(), Errno> {
        self.values.remove(&(file, name.to_vec())).ok_or(Errno::ENODATA)?;
        self.heap_charge.resize(self.bytes())
    }

    fn bytes(&self) -> usize {
        self.values.iter().map(|((_, name), value)| bytes_of(name, value)).sum()
    }
}

fn is_user(name: &[u8]) -> bool {
    name.starts_with(b"user.")
}

fn bytes_of(name: &[u8], value: &[u8]) -> usize {
    ATTRIBUTE_BYTES + name.len() + value.len()
}
