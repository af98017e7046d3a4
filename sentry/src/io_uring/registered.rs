//! What user code registers with a ring: files, buffers, groups of buffers, personalities and restrictions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::Errno;
use crate::cred::Credentials;
use crate::fs::FileDescription;
use crate::heap::HeapCharge;
use crate::platform::VirtualAddress;

/// What a registered file or buffer takes.
pub(crate) const RESOURCE_BYTES: usize = 64;
/// What a group takes, in as many of these.
const GROUP_RESOURCES: usize = 4;
/// Personalities that a ring has at most; Linux allows as many as there are numbers.
const MAX_PERSONALITIES: usize = 0xffff;

/// A buffer of user memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// Where it begins.
    pub(crate) address: u64,
    /// How long it is.
    pub(crate) len_bytes: u64,
}

impl Buffer {
    /// Whether `len_bytes` at `address` are in it.
    pub(crate) fn holds(self, address: u64, len_bytes: u64) -> bool {
        let end = address.checked_add(len_bytes);
        address >= self.address && end.is_some_and(|end| end <= self.address.saturating_add(self.len_bytes))
    }
}

/// A buffer that a request was given from a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Picked {
    /// Its number.
    pub(crate) id: u16,
    /// Where it is.
    pub(crate) buffer: Buffer,
}

/// Buffers that requests are given (IOSQE_BUFFER_SELECT).
pub(crate) enum Group {
    /// By IORING_OP_PROVIDE_BUFFERS.
    Provided(VecDeque<Picked>, HeapCharge),
    /// By a ring in user memory (IORING_REGISTER_PBUF_RING).
    Ring {
        /// Where that is.
        address: VirtualAddress,
        /// One less than its entries, a power of two.
        mask: u16,
        /// Entries that have been taken.
        head: u16,
    },
}

/// What may be done with a ring (IORING_REGISTER_RESTRICTIONS).
#[derive(Clone, Debug, Default)]
pub(crate) struct Restrictions {
    /// `IORING_REGISTER_*` that are allowed.
    pub(crate) registrations: u64,
    /// `IORING_OP_*` that are allowed.
    pub(crate) operations: u64,
    /// `IOSQE_*` that are allowed.
    pub(crate) allowed_flags: u8,
    /// `IOSQE_*` that there must be.
    pub(crate) required_flags: u8,
}

/// All that is registered with a ring.
#[derive(Default)]
pub(crate) struct Registered {
    /// The files, by number; `None` for a free place.
    pub(crate) files: Option<Vec<Option<Arc<FileDescription>>>>,
    /// Numbers that a file gets which names none of its own.
    pub(crate) file_range: (usize, usize),
    /// The buffers, by number.
    pub(crate) buffers: Option<Vec<Option<Buffer>>>,
    /// Groups of buffers, by number.
    pub(crate) groups: BTreeMap<u16, Group>,
    personalities: BTreeMap<u16, Arc<Credentials>>,
    /// What may be done.
    pub(crate) restrictions: Option<Restrictions>,
    /// What all of it takes.
    pub(crate) charge: HeapCharge,
}

impl Registered {
    /// Charges for the files, the buffers and the groups that there are, and `more`.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn charge(&mut self, more: usize) -> Result<(), Errno> {
        let files = self.files.as_ref().map_or(0, Vec::len);
        let buffers = self.buffers.as_ref().map_or(0, Vec::len);
        let groups = self.groups.len() * GROUP_RESOURCES;
        self.charge.resize((files + buffers + groups + self.personalities.len() + more) * RESOURCE_BYTES)
    }

    /// Fails if a group numbered `number` could not be paid for, and pays for it if there is none yet.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn charge_group(&mut self, number: u16) -> Result<(), Errno> {
        if self.groups.contains_key(&number) { Ok(()) } else { self.charge(GROUP_RESOURCES) }
    }

    /// The file with number `index`.
    pub(crate) fn file(&self, index: u32) -> Option<Arc<FileDescription>> {
        self.files.as_ref()?.get(usize::try_from(index).ok()?)?.clone()
    }

    /// Puts `file` at `index`. Returns what was there.
    ///
    /// # Errors
    /// ENXIO: no files are registered. EINVAL: there is no such place.
    pub(crate) fn set_file(
        &mut self,
        index: u32,
        file: Option<Arc<FileDescription>>,
    ) -> Result<Option<Arc<FileDescription>>, Errno> {
        let files = self.files.as_mut().ok_or(Errno::ENXIO)?;
        let place =
            usize::try_from(index).ok().and_then(|index| files.get_mut(index)).ok_or(Errno::EINVAL)?;
        Ok(std::mem::replace(place, file))
    }

    /// Puts `file` into a free place, and returns its number.
    ///
    /// # Errors
    /// ENFILE: there is none.
    pub(crate) fn add_file(&mut self, file: Arc<FileDescription>) -> Result<u32, Errno> {
        let (start, end) = self.file_range;
        let files = self.files.as_mut().ok_or(Errno::ENFILE)?;
        let end = end.min(files.len());
        let range = files.get_mut(start..end).ok_or(Errno::ENFILE)?;
        let index = range.iter().position(Option::is_none).ok_or(Errno::ENFILE)?;
        if let Some(place) = range.get_mut(index) {
            *place = Some(file);
        }
        u32::try_from(start + index).map_err(|_| Errno::ENFILE)
    }

    /// Has requests be done as `credentials`, by the number that is returned.
    ///
    /// # Errors
    /// ENOMEM, ENOSPC.
    pub(crate) fn add_personality(&mut self, credentials: Arc<Credentials>) -> Result<u16, Errno> {
        if self.personalities.len() >= MAX_PERSONALITIES {
            return Err(Errno::ENOSPC);
        }
        self.charge(1)?;
        let mut number = 1;
        while self.personalities.contains_key(&number) {
            number += 1;
        }
        self.personalities.insert(number, credentials);
        Ok(number)
    }

    /// Whom the number stands for.
    pub(crate) fn personality(&self, number: u16) -> Option<Arc<Credentials>> {
        self.personalities.get(&number).cloned()
    }

    /// Nobody acts as the one whom the number stands for any more.
    pub(crate) fn remove_personality(&mut self, number: u16) -> Option<Arc<Credentials>> {
        self.personalities.remove(&number)
    }
}
