//! Guest memory: one reservation of anonymous host memory, that the platform shows to the guest piece by piece.
//!
//! Parts of it may be mapped from files of the host instead ([`GuestMemory::map_file`]).

mod loss;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous};
use vm_memory::{AtomicInteger, GuestAddress, VolatileMemory, VolatileSlice};

use super::PAGE_SIZE;
use loss::LossGuard;
pub use loss::losses;

/// Host and guest addresses are equal modulo this, so that a huge host page can back a large guest page.
const ALIGNMENT: u64 = 2 << 20;

/// The guest's memory. Host pages appear at the first touch and never go to the disk.
///
/// It is reached through volatile slices only: the guest may write at any time, so nothing here ever hands
/// out a Rust reference to a byte of it.
#[derive(Debug)]
pub struct GuestMemory {
    /// Set once parts may be mapped from files. Dropped before the mapping that it looks after.
    guard: OnceLock<LossGuard>,
    region: vm_memory::MmapRegion,
    /// Offset in `region` of the first byte of guest memory.
    pad_bytes: usize,
    start: GuestAddress,
    len_bytes: u64,
}

/// Why guest memory could not be made or reached.
#[derive(Debug, thiserror::Error)]
pub enum GuestMemoryError {
    /// The host would not reserve the address space.
    #[error(
        "reserve {len_bytes} bytes of address space for the guest: {reason} (`ulimit -v`, `ulimit -d` and the sysctl \
         vm.overcommit_memory=2 bound it)"
    )]
    Reserve {
        /// What was asked for.
        len_bytes: u64,
        /// The host's answer.
        reason: String,
    },
    /// A range that is not guest memory.
    #[error("{len_bytes} bytes at {start:#x} are not guest memory")]
    OutOfBounds {
        /// Guest-physical start.
        start: u64,
        /// Length.
        len_bytes: usize,
    },
    /// The host has no memory for the range.
    #[error("populate guest memory: {0}")]
    Populate(#[from] io::Error),
}

impl GuestMemory {
    /// Reserves `len_bytes` of guest memory, shown to the guest from `start` on. Both are multiples of 2 MiB.
    ///
    /// # Errors
    /// The host would not reserve the address space, or the lengths overflow.
    pub fn new(start: GuestAddress, len_bytes: u64) -> Result<Self, GuestMemoryError> {
        let refused = |reason: String| GuestMemoryError::Reserve { len_bytes, reason };
        if !start.0.is_multiple_of(ALIGNMENT) || !len_bytes.is_multiple_of(ALIGNMENT) {
            return Err(refused("not a multiple of 2 MiB".into()));
        }
        let reserved = len_bytes
            .checked_add(ALIGNMENT)
            .and_then(|len| usize::try_from(len).ok())
            .ok_or_else(|| refused("too large".into()))?;
        let region = vm_memory::MmapRegion::new(reserved).map_err(|error| refused(error.to_string()))?;
        let address = region.as_ptr() as u64;
        let pad_bytes = (address.next_multiple_of(ALIGNMENT) - address) as usize;
        Ok(Self { guard: OnceLock::new(), region, pad_bytes, start, len_bytes })
    }

    /// Guest-physical address of the first byte.
    pub fn start(&self) -> GuestAddress {
        self.start
    }

    /// Length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The host address of the first byte: for the platform, which shows it to the guest.
    pub fn host_start(&self) -> *mut u8 {
        self.region.as_ptr().wrapping_add(self.pad_bytes)
    }

    /// The bytes of `len_bytes` of guest memory from `start` on.
    ///
    /// # Errors
    /// The range is not guest memory.
    pub fn slice(
        &self,
        start: GuestAddress,
        len_bytes: usize,
    ) -> Result<VolatileSlice<'_>, GuestMemoryError> {
        let error = || GuestMemoryError::OutOfBounds { start: start.0, len_bytes };
        let offset = start.0.checked_sub(self.start.0).ok_or_else(error)?;
        let end = offset.checked_add(len_bytes as u64).ok_or_else(error)?;
        if end > self.len_bytes {
            return Err(error());
        }
        self.region.get_slice(self.pad_bytes + offset as usize, len_bytes).map_err(|_| error())
    }

    /// The integer at `address`, for atomic access: futex words, page-table entries.
    ///
    /// # Errors
    /// The integer is not (wholly) in guest memory, or not aligned.
    pub fn atomic<T: AtomicInteger>(&self, address: GuestAddress) -> Result<&T, GuestMemoryError> {
        let len_bytes = size_of::<T>();
        let error = || GuestMemoryError::OutOfBounds { start: address.0, len_bytes };
        let offset = address.0.checked_sub(self.start.0).ok_or_else(error)?;
        let end = offset.checked_add(len_bytes as u64).ok_or_else(error)?;
        if end > self.len_bytes {
            return Err(error());
        }
        self.region.get_atomic_ref(self.pad_bytes + offset as usize).map_err(|_| error())
    }

    /// Has the host back `len_bytes` from `start` on with memory now, in huge pages where they fit.
    ///
    /// # Errors
    /// The range is not guest memory, or the host has none left.
    pub fn populate(&self, start: GuestAddress, len_bytes: usize) -> Result<(), GuestMemoryError> {
        let slice = self.slice(start, len_bytes)?;
        let address = slice.ptr_guard_mut().as_ptr().cast();
        if len_bytes as u64 >= ALIGNMENT {
            // A host without huge pages refuses the advice: small pages do as well.
            // SAFETY: the range lies in our own mapping; the advice changes no contents.
            let _ = unsafe { madvise(address, len_bytes, Advice::LinuxHugepage) };
        }
        self.populate_as_is(start, len_bytes)
    }

    /// The same in pages as the range was made to have: small ones after [`GuestMemory::make_fine`].
    ///
    /// # Errors
    /// The range is not guest memory, or the host has none left.
    pub fn populate_as_is(&self, start: GuestAddress, len_bytes: usize) -> Result<(), GuestMemoryError> {
        let slice = self.slice(start, len_bytes)?;
        // SAFETY: the range lies in our own mapping; populating changes no contents.
        unsafe { madvise(slice.ptr_guard_mut().as_ptr().cast(), len_bytes, Advice::LinuxPopulateWrite) }
            .map_err(io::Error::from)?;
        Ok(())
    }

    /// Has the host back a range in small pages, of which it can change a single one's protection at no cost to the others, once
    /// that is [populated](Self::populate_as_is) or touched. The range is made of whole pieces of 2 MiB.
    ///
    /// With a mapping that a huge page fits into, Linux prepares to split one wherever a part of the mapping is changed, and
    /// tells whoever follows the page tables (KVM) that all 2 MiB change. So each half of a piece is a mapping of its own.
    ///
    /// # Errors
    /// The range is not guest memory.
    pub fn make_fine(&self, start: GuestAddress, len_bytes: usize) -> Result<(), GuestMemoryError> {
        let slice = self.slice(start, len_bytes)?;
        for offset in (0..len_bytes).step_by(ALIGNMENT as usize) {
            let half = slice.subslice(offset, ALIGNMENT as usize / 2);
            let half = half.map_err(|_| GuestMemoryError::OutOfBounds { start: start.0, len_bytes })?;
            // A host without huge pages, or with no mapping left, refuses the advice: it works as well, if slower.
            // SAFETY: the range lies in our own mapping; the advice changes no contents.
            let _ =
                unsafe { madvise(half.ptr_guard_mut().as_ptr().cast(), half.len(), Advice::LinuxNoHugepage) };
        }
        Ok(())
    }

    /// Gives the pages of the range back to the host; they read as zero afterwards. The range is page-aligned.
    ///
    /// # Errors
    /// The range is not guest memory, or is not made of pages.
    pub fn discard(&self, start: GuestAddress, len_bytes: usize) -> Result<(), GuestMemoryError> {
        let slice = self.slice(start, len_bytes)?;
        if !start.0.is_multiple_of(PAGE_SIZE) || !(len_bytes as u64).is_multiple_of(PAGE_SIZE) {
            return Err(GuestMemoryError::OutOfBounds { start: start.0, len_bytes });
        }
        // SAFETY: the range lies in our own private anonymous mapping, which holds no Rust object: every
        // access to it is volatile and expects the guest's changes.
        unsafe { madvise(slice.ptr_guard_mut().as_ptr().cast(), len_bytes, Advice::LinuxDontNeed) }
            .map_err(io::Error::from)?;
        Ok(())
    }

    /// Has parts of the memory be mapped from files from now on. The process gets a handler for SIGBUS, so that it survives
    /// touching what a file has no longer: it then reads zeroes ([`losses`] counts that). Only one guest memory of a process
    /// can have such parts.
    ///
    /// # Errors
    /// Another one has, or the host refuses the handler.
    pub fn allow_files(&self) -> io::Result<()> {
        let guard = LossGuard::new(self.host_start() as usize, self.len_bytes)?;
        self.guard.set(guard).map_err(|_| io::Error::from(io::ErrorKind::AlreadyExists))
    }

    /// Whether parts may be mapped from files.
    pub fn allows_files(&self) -> bool {
        self.guard.get().is_some()
    }

    /// Has the range show `file` from `offset` on, both made of whole pages, as the host caches it. Nothing that is done to
    /// the range changes the file, and user code must not write there. Where the file ends before a page, a touch of user code
    /// fails.
    ///
    /// # Errors
    /// Files are not [allowed](Self::allow_files), the range is not guest memory, or the host refuses.
    pub fn map_file(
        &self,
        start: GuestAddress,
        len_bytes: usize,
        file: BorrowedFd<'_>,
        offset: u64,
    ) -> Result<(), GuestMemoryError> {
        let slice = self.slice(start, len_bytes)?;
        if !self.allows_files() {
            return Err(io::Error::from(io::ErrorKind::Unsupported).into());
        }
        let address = slice.ptr_guard_mut().as_ptr().cast();
        // Writable, so that KVM forgets translations as it does elsewhere; private, so that the file stays as it is.
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: the range lies in our own mapping, which holds no Rust object: every access to it is volatile and expects
        // other contents at any time.
        unsafe { mmap(address, len_bytes, ProtFlags::READ | ProtFlags::WRITE, flags, file, offset) }
            .map_err(io::Error::from)?;
        Ok(())
    }

    /// Has the range, made of whole pages, be as it was at first: no file is mapped there.
    ///
    /// # Errors
    /// The range is not guest memory, or the host refuses.
    pub fn unmap_files(&self, start: GuestAddress, len_bytes: usize) -> Result<(), GuestMemoryError> {
        let slice = self.slice(start, len_bytes)?;
        let address = slice.ptr_guard_mut().as_ptr().cast();
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: as in `map_file`.
        unsafe { mmap_anonymous(address, len_bytes, ProtFlags::READ | ProtFlags::WRITE, flags) }
            .map_err(io::Error::from)?;
        Ok(())
    }

    /// Whether the host cannot show the page at `start`: the file that is mapped there ends before it.
    pub fn is_lost(&self, start: GuestAddress) -> bool {
        let Ok(slice) = self.slice(start, PAGE_SIZE as usize) else { return true };
        // SAFETY: the page lies in our own mapping; populating changes no contents.
        let populated = unsafe {
            madvise(slice.ptr_guard_mut().as_ptr().cast(), PAGE_SIZE as usize, Advice::LinuxPopulateRead)
        };
        populated == Err(rustix::io::Errno::FAULT)
    }
}

#[cfg(test)]
mod tests;
