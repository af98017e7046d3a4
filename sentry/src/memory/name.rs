//! Names of anonymous mappings (`man 2 PR_SET_VMA`).

use std::sync::Arc;

use super::manager::MemoryManager;
use super::map::wrapping_pages;
use super::mapping::Contents;
use crate::Errno;
use crate::platform::VirtualAddress;

/// Bytes of a name with its final zero (`ANON_VMA_NAME_MAX_LEN`).
pub const MAX_NAME_BYTES: usize = 80;

impl MemoryManager {
    /// Names the anonymous mappings of a range, as /proc/PID/maps then shows them; none takes their names away.
    ///
    /// # Errors
    /// EINVAL: not at a page, past the end, or a name that would break a line of maps; EBADF: a file is mapped there; ENOMEM: a
    /// part is not mapped, all else having got its name, or there are too many mappings.
    pub fn set_name(
        &self,
        address: VirtualAddress,
        len_bytes: u64,
        name: Option<&[u8]>,
    ) -> Result<(), Errno> {
        if name.is_some_and(|name| name.len() >= MAX_NAME_BYTES || !name.iter().all(is_allowed)) {
            return Err(Errno::EINVAL);
        }
        let pages = wrapping_pages(address, len_bytes).ok_or(Errno::EINVAL)?;
        if !address.is_page_aligned() || len_bytes > 0 && pages.is_empty() {
            return Err(Errno::EINVAL);
        }
        if pages.is_empty() {
            return Ok(());
        }
        let name: Option<Arc<[u8]>> = name.map(Arc::from);
        let mut edit = self.edit();
        let mappings = &mut edit.state.mappings;
        if !mappings.has_room(pages.clone(), 0) {
            return Err(Errno::ENOMEM);
        }
        let is_other = |contents: &Contents| {
            matches!(contents, Contents::Frames { .. } | Contents::Cache { file: Some(_), .. })
        };
        let other = mappings.overlapping(pages.clone()).find(|mapping| is_other(&mapping.contents));
        let end = other.map_or(pages.end, |mapping| mapping.pages.start.max(pages.start));
        let has_other = end < pages.end;
        mappings.update(pages.start..end, |mapping| mapping.name.clone_from(&name));
        if has_other {
            return Err(Errno::EBADF);
        }
        if mappings.covers(pages) { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}

/// Printable, and nothing that maps, or a shell that reads it, gives a meaning.
fn is_allowed(byte: &u8) -> bool {
    (byte.is_ascii_graphic() || *byte == b' ') && !b"\\`$[]".contains(byte)
}
