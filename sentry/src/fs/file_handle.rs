//! File handles (`man 2 name_to_handle_at`): names of files that outlive their paths.
//!
//! A handle is an inode number and a number of the file system's own. Whoever asks for one has the file's dentry kept, so that it
//! is found again though nobody uses it: in a bounded number, beyond which the oldest handles become stale.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use super::dentry::Dentry;
use super::inode::Inode;
use super::mount::Mount;
use super::path::Path;
use crate::Errno;
use crate::heap::HeapCharge;

/// Handles of one file system that lead to files that nobody uses.
const MAX_KEPT: usize = 16 * 1024;
/// What a handle takes beside the dentry.
const HANDLE_BYTES: usize = 128;
/// Length of a handle in bytes: two numbers.
const HANDLE_LEN: usize = 12;
/// The type of handles with 32 bits for a generation and 64 for an inode, as of tmpfs.
const KIND_OPENABLE: i32 = 1;
/// The type of those that tell files apart and cannot be opened (`FILEID_INO64_GEN`).
const KIND_IDENTITY: i32 = 0x81;

/// A name of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileHandle {
    /// What the bytes mean.
    pub kind: i32,
    /// Four or more bytes.
    pub bytes: [u8; HANDLE_LEN],
}

impl FileHandle {
    /// Of the file at `path`, which open_by_handle_at(2) will find.
    ///
    /// # Errors
    /// EOPNOTSUPP: its file system has no such handles. ENOMEM.
    pub fn of(path: &Path) -> Result<Self, Errno> {
        let generation = path.mount.file_system().handle_generation().ok_or(Errno::EOPNOTSUPP)?;
        let number = path.inode().metadata()?.inode;
        path.dentry.keep_for_handle(number)?;
        let [g, n] = [&generation.to_le_bytes()[..], &number.to_le_bytes()];
        Ok(Self { kind: KIND_OPENABLE, bytes: joined(g, n) })
    }

    /// Of file `number` of the file system of `dentry`, to tell it from others: the same as [`FileHandle::of`] where there are
    /// handles.
    pub(super) fn identity(dentry: &Dentry, number: u64) -> Self {
        let number = number.to_le_bytes();
        match dentry.file_system_identity().generation {
            Some(generation) => {
                Self { kind: KIND_OPENABLE, bytes: joined(&generation.to_le_bytes(), &number) }
            }
            None => Self { kind: KIND_IDENTITY, bytes: joined(&number, &[0; 4]) },
        }
    }

    /// As [`FileHandle::of`], of any file, to tell it from others.
    ///
    /// # Errors
    /// The file system's.
    pub fn identity_of(path: &Path) -> Result<Self, Errno> {
        Ok(Self::identity(&path.dentry, path.inode().metadata()?.inode))
    }

    /// The file that it names, as seen through `mount`.
    ///
    /// # Errors
    /// ESTALE: there is none, or no longer.
    pub fn find(bytes: &[u8], mount: &Arc<Mount>) -> Result<Path, Errno> {
        let generation = mount.file_system().handle_generation().ok_or(Errno::ESTALE)?;
        let (own, number) = bytes.split_first_chunk::<4>().ok_or(Errno::ESTALE)?;
        let number = number.first_chunk::<8>().ok_or(Errno::ESTALE)?;
        // As on tmpfs, the type does not matter.
        if u32::from_le_bytes(*own) != generation {
            return Err(Errno::ESTALE);
        }
        let dentry = mount.root().find_by_handle(u64::from_le_bytes(*number)).ok_or(Errno::ESTALE)?;
        Ok(Path::new(mount.clone(), dentry))
    }
}

fn joined(one: &[u8], other: &[u8]) -> [u8; HANDLE_LEN] {
    let mut bytes = [0; HANDLE_LEN];
    bytes.iter_mut().zip(one.iter().chain(other)).for_each(|(place, byte)| *place = *byte);
    bytes
}

/// The files of a file system that have handles, by inode number.
#[derive(Default)]
pub(super) struct HandleTable {
    known: HashMap<u64, Known>,
    order: VecDeque<u64>,
}

struct Known {
    dentry: Weak<Dentry>,
    /// The file may have other names.
    inode: Weak<dyn Inode>,
    _heap_charge: HeapCharge,
}

impl HandleTable {
    /// Enters the file, and yields dentries that need not be kept any more.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn enter(&mut self, number: u64, dentry: &Arc<Dentry>) -> Result<Vec<Arc<Dentry>>, Errno> {
        let known = Known {
            dentry: Arc::downgrade(dentry),
            inode: Arc::downgrade(dentry.inode()),
            _heap_charge: HeapCharge::new(HANDLE_BYTES)?,
        };
        if self.known.insert(number, known).is_none() {
            self.order.push_back(number);
        }
        let mut released = Vec::new();
        while self.order.len() > MAX_KEPT {
            let oldest = self.order.pop_front().and_then(|number| self.known.remove(&number));
            released.extend(oldest.and_then(|oldest| oldest.dentry.upgrade()));
        }
        Ok(released)
    }

    /// The dentry of file `number`, if it still has that name, or one without a name if it has another.
    pub(super) fn find(&self, number: u64) -> Option<Arc<Dentry>> {
        let known = self.known.get(&number)?;
        if let Some(dentry) = known.dentry.upgrade().filter(|dentry| !dentry.is_deleted()) {
            return Some(dentry);
        }
        let inode = known.inode.upgrade()?;
        let has_name = inode.metadata().is_ok_and(|metadata| metadata.links != 0);
        has_name.then(|| Dentry::new_foreign(inode, b"/"))
    }

    /// All that are kept; the table is empty then.
    pub(super) fn take(&mut self) -> Vec<Arc<Dentry>> {
        self.order.clear();
        self.known.drain().filter_map(|(_, known)| known.dentry.upgrade()).collect()
    }
}
