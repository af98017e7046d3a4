//! What mmap(2) is asked for.

use std::sync::Arc;

use linux_raw_sys::general as uapi;

use super::huge_pages::HUGE_PAGES;
use super::{MappedFile, PageCache};
use crate::Errno;
use crate::platform::{Access, VirtualAddress};

/// What user code may do with pages: PROT_READ, PROT_WRITE and PROT_EXEC.
pub type Protection = Access;

bitflags::bitflags! {
    /// The flags of mmap(2), with Linux's values.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MapFlags: u32 {
        /// Stores reach the file or the other processes.
        const SHARED = uapi::MAP_SHARED;
        /// Stores stay private.
        const PRIVATE = uapi::MAP_PRIVATE;
        /// At the address exactly, replacing what is there.
        const FIXED = uapi::MAP_FIXED;
        /// Zeroes, no file.
        const ANONYMOUS = uapi::MAP_ANONYMOUS;
        /// In the second gigabyte.
        const LOW_32BIT = uapi::MAP_32BIT;
        /// A stack that grows downward.
        const GROWSDOWN = uapi::MAP_GROWSDOWN;
        /// Locked in memory.
        const LOCKED = uapi::MAP_LOCKED;
        /// Not held against the memory limit up front.
        const NORESERVE = uapi::MAP_NORESERVE;
        /// Present at once.
        const POPULATE = uapi::MAP_POPULATE;
        /// With POPULATE: only what needs no I/O (Linux then populates nothing).
        const NONBLOCK = uapi::MAP_NONBLOCK;
        /// A thread's stack; means nothing.
        const STACK = uapi::MAP_STACK;
        /// May be thrown away when memory is short. A kind of mapping to Linux, as private and shared ones are, but it is private.
        const DROPPABLE = 1 << 31;
        /// Locked, and read by nobody but the program itself. Not a flag of mmap(2)'s: what the file is.
        const SECRET = 1 << 30;
        /// At the address exactly, or EEXIST.
        const FIXED_NOREPLACE = uapi::MAP_FIXED_NOREPLACE;
    }
}

/// What mmap(2) is asked for.
pub struct MapRequest {
    /// Where; a hint unless the flags say otherwise.
    pub address: VirtualAddress,
    /// Length in bytes; rounded up to pages.
    pub len_bytes: u64,
    /// What user code may do.
    pub protection: Protection,
    /// How.
    pub flags: MapFlags,
    /// What is behind it.
    pub backing: Backing,
}

impl Backing {
    /// What the place and the length of a mapping of it are multiples of, in pages.
    pub(super) fn alignment(&self) -> u64 {
        match self {
            Self::File { cache, .. } if cache.is_huge() => HUGE_PAGES,
            _ => 1,
        }
    }
}

/// What is behind a new mapping.
pub enum Backing {
    /// Nothing: this is what is wrong with the file, which counts after what is wrong with the place.
    Refused(Errno),
    /// Zeroes. If shared, children share it.
    Anonymous,
    /// Pages of a file, from `offset` on.
    File {
        /// Where the file's pages are cached.
        cache: Arc<PageCache>,
        /// Where in the file the mapping begins: bytes, page-aligned.
        offset: u64,
        /// What stays open, and is shown in `/proc/PID/maps`.
        file: Option<Arc<dyn MappedFile>>,
        /// What mprotect may ever allow: without WRITE for a shared mapping of a file that is open for reading only.
        max_protection: Protection,
    },
}
