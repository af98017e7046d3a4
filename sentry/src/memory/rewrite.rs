//! Letting the platform rewrite call sites.

use super::manager::MemoryManager;
use super::table::EntryFlags;
use crate::platform::{PAGE_SHIFT, VirtualAddress};

impl MemoryManager {
    /// Lets the platform show user code a copy of the page of the SYSCALL instruction at `syscall`, in which its calls take a
    /// shorter way: if it is text of a file that nobody can change through a mapping. Whoever writes to the file, or changes
    /// anything about the page here, finds the copy gone before.
    pub fn rewrite_call(&self, syscall: VirtualAddress) {
        let edit = self.edit();
        let page = syscall.0 >> PAGE_SHIFT;
        let Some(mapping) = edit.state.mappings.find(page) else { return };
        let Some((cache, _)) = mapping.cached(page) else { return };
        let is_of_file = edit.state.pages.get(page).is_some_and(|entry| !entry.has(EntryFlags::PRIVATE));
        if mapping.is_text() && is_of_file && cache.allows_copies() {
            edit.space().rewrite_call(syscall);
        }
    }
}
