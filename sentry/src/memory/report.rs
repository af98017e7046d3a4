//! What `/proc/PID/maps`, `smaps` and `statm` tell of an address space.

use std::sync::Arc;

use super::MappedFile;
use super::manager::{MemoryManager, State};
use super::mapping::{Contents, Mapping, MappingFlags};
use super::policy::MemoryPolicy;
use super::request::Protection;
use super::table::EntryFlags;
use super::unmapped_area::END_PAGE;
use crate::platform::{PAGE_SHIFT, VirtualAddress, VirtualRange};

/// One mapping, as `/proc/PID/smaps` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingInfo {
    /// The addresses.
    pub range: VirtualRange,
    /// What user code may do.
    pub protection: Protection,
    /// What mprotect may ever allow.
    pub max_protection: Protection,
    /// All else that it is.
    pub flags: MappingFlags,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Major and minor number of the file's device.
    pub device: (u32, u32),
    /// The file's inode number.
    pub inode: u64,
    /// The file's path, or a name in brackets; empty for plain anonymous memory.
    pub name: Vec<u8>,
    /// Pages in memory.
    pub resident_pages: u64,
    /// Those of them that are the process's own.
    pub private_pages: u64,
    /// Those of them that no other process has.
    pub exclusive_pages: u64,
    /// Where its memory is to come from.
    pub policy: MemoryPolicy,
}

/// What is behind a page, as `/proc/PID/pagemap` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// Nothing in memory.
    Absent,
    /// Memory of the process's own.
    Own {
        /// No other process has it.
        is_exclusive: bool,
    },
    /// A page of a file, or of shared anonymous memory.
    Cached,
}

/// What code at an address is.
#[derive(Clone)]
pub enum CodePlace {
    /// A file's.
    File {
        /// The file.
        file: Arc<dyn MappedFile>,
        /// Bytes from its beginning.
        offset: u64,
    },
    /// What the kernel gives every process.
    Given {
        /// Its name, in brackets.
        name: &'static str,
        /// Bytes from its beginning.
        offset: u64,
    },
    /// In memory that no file is behind.
    Anonymous,
}

/// Sizes of an address space in pages, as `/proc/PID/statm` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemorySizes {
    /// All mappings.
    pub total_pages: u64,
    /// The most that those ever were.
    pub peak_total_pages: u64,
    /// Of page tables, about.
    pub table_pages: u64,
    /// In memory.
    pub resident_pages: u64,
    /// In memory, and the process's own: anonymous, or copied from a file.
    pub private_pages: u64,
    /// Pages that mlock(2) holds.
    pub locked_pages: u64,
    /// Code: what may be executed and not written.
    pub code_pages: u64,
    /// Data: what is private and may be written, without the stack.
    pub data_pages: u64,
    /// The stack.
    pub stack_pages: u64,
    /// Most that ever was in memory.
    pub peak_resident_pages: u64,
    /// Of huge pages, which count as nothing else.
    pub huge_pages: u64,
}

impl MappingInfo {
    /// Whether `next` goes on where this ends and is another mapping only because one of them is a guard or poisoned: to Linux they are one.
    fn is_parted_by_guards(&self, next: &Self) -> bool {
        let len_bytes = self.range.end.0.saturating_sub(self.range.start.0);
        let goes_on = self.inode == 0 || self.offset.wrapping_add(len_bytes) == next.offset;
        (self.flags | next.flags).intersects(MappingFlags::OF_PAGES)
            && self.range.end == next.range.start
            && self.flags | MappingFlags::OF_PAGES == next.flags | MappingFlags::OF_PAGES
            && (self.protection, self.max_protection) == (next.protection, next.max_protection)
            && (self.device, self.inode, self.policy) == (next.device, next.inode, next.policy)
            && self.name == next.name
            && goes_on
    }

    /// Adds what `next` has.
    fn take_in(&mut self, next: &Self) {
        self.range.end = next.range.end;
        self.flags |= next.flags;
        self.resident_pages += next.resident_pages;
        self.private_pages += next.private_pages;
        self.exclusive_pages += next.exclusive_pages;
    }
}

impl MemoryManager {
    /// All mappings, by address.
    pub fn mappings(&self) -> Vec<MappingInfo> {
        self.mappings_from(VirtualAddress::NULL, usize::MAX)
    }

    /// The first `max_count` mappings that end past `address`.
    pub fn mappings_from(&self, address: VirtualAddress, max_count: usize) -> Vec<MappingInfo> {
        let mut described = {
            let state = self.state().read();
            let mut described: Vec<(MappingInfo, Option<Arc<dyn MappedFile>>)> = Vec::new();
            for mapping in state.mappings.overlapping(address.0 >> PAGE_SHIFT..END_PAGE) {
                let (info, file) = state.describe(mapping);
                let is_full = described.len() == max_count;
                match described.last_mut() {
                    Some((before, _)) if before.is_parted_by_guards(&info) => before.take_in(&info),
                    _ if is_full => break,
                    _ => described.push((info, file)),
                }
            }
            described
        };
        // Files have locks of their own: they are asked with none held here.
        for (info, file) in &mut described {
            if let Some(file) = file {
                (info.device, info.inode, info.name) = (file.device(), file.inode(), file.path());
            }
        }
        described.into_iter().map(|(info, _)| info).collect()
    }

    /// What the code at `address` is; `None` if nothing there may be executed.
    pub fn code_at(&self, address: VirtualAddress) -> Option<CodePlace> {
        let page = address.0 >> PAGE_SHIFT;
        let state = self.state().read();
        let mapping = state.mappings.find(page)?;
        if !mapping.protection.contains(Protection::EXECUTE) {
            return None;
        }
        let inside = ((page - mapping.pages.start) << PAGE_SHIFT) + address.page_offset();
        Some(match &mapping.contents {
            Contents::Frames { name, first, .. } => {
                CodePlace::Given { name, offset: (first << PAGE_SHIFT) + inside }
            }
            Contents::Cache { first, file: Some(file), .. } => {
                CodePlace::File { file: file.clone(), offset: (first << PAGE_SHIFT) + inside }
            }
            Contents::Cache { file: None, .. } | Contents::Anonymous => CodePlace::Anonymous,
        })
    }

    /// The first pages of `range` that are in memory and lie together, at most `max_pages` of them; `None` if there are none.
    pub fn first_present(&self, range: VirtualRange, max_pages: u64) -> Option<VirtualRange> {
        let state = self.state().read();
        let mut present = state.pages.range(range.start.0 >> PAGE_SHIFT..range.end.0 >> PAGE_SHIFT);
        let (first, _) = present.next()?;
        let mut end = first + 1;
        while end - first < max_pages && present.next().is_some_and(|(page, _)| page == end) {
            end += 1;
        }
        Some(VirtualRange {
            start: VirtualAddress(first << PAGE_SHIFT),
            end: VirtualAddress(end << PAGE_SHIFT),
        })
    }

    /// What is behind each of `pages` now.
    pub fn page_states(&self, pages: std::ops::Range<u64>) -> Vec<PageState> {
        let state = self.state().read();
        let state_of = |page| match state.pages.get(page) {
            None => PageState::Absent,
            Some(entry) if entry.has(EntryFlags::PRIVATE) => {
                PageState::Own { is_exclusive: entry.has(EntryFlags::EXCLUSIVE) }
            }
            Some(_) => PageState::Cached,
        };
        pages.map(state_of).collect()
    }

    /// How large everything is.
    pub fn sizes(&self) -> MemorySizes {
        let state = self.state().read();
        let sum = |is_wanted: &dyn Fn(&Mapping) -> bool| {
            state.mappings.iter().filter(|mapping| is_wanted(mapping)).map(Mapping::len).sum()
        };
        let is_stack = |mapping: &Mapping| mapping.flags.contains(MappingFlags::GROWSDOWN);
        let huge: Vec<_> = state.mappings.iter().filter(|mapping| mapping.is_huge()).collect();
        let entries = huge.iter().flat_map(|mapping| state.pages.range(mapping.pages.clone()));
        let (mut huge_pages, mut private_huge_pages) = (0, 0);
        for (_, entry) in entries {
            huge_pages += 1;
            private_huge_pages += u64::from(entry.has(EntryFlags::PRIVATE));
        }
        MemorySizes {
            huge_pages,
            total_pages: state.mappings.total_pages(),
            peak_total_pages: state.mappings.peak_pages(),
            table_pages: state.pages.translation_pages(),
            resident_pages: state.pages.len() - huge_pages,
            private_pages: state.pages.marked_len() - private_huge_pages,
            locked_pages: state.mappings.locked_pages(),
            code_pages: sum(&|mapping| {
                mapping.protection.contains(Protection::EXECUTE)
                    && !mapping.protection.contains(Protection::WRITE)
            }),
            data_pages: sum(&|mapping| mapping.is_private_writable() && !is_stack(mapping)),
            stack_pages: sum(&is_stack),
            peak_resident_pages: state.peak_pages.max(state.pages.len()),
        }
    }
}

impl State {
    fn describe(&self, mapping: &Mapping) -> (MappingInfo, Option<Arc<dyn MappedFile>>) {
        let (mut resident_pages, mut private_pages, mut exclusive_pages) = (0, 0, 0);
        for (_, entry) in self.pages.range(mapping.pages.clone()) {
            resident_pages += 1;
            private_pages += u64::from(entry.has(EntryFlags::PRIVATE));
            exclusive_pages += u64::from(entry.has(EntryFlags::PRIVATE) && entry.has(EntryFlags::EXCLUSIVE));
        }
        let mut info = MappingInfo {
            range: mapping.range(),
            protection: mapping.protection,
            max_protection: mapping.max_protection,
            flags: mapping.flags,
            offset: 0,
            device: (0, 0),
            inode: 0,
            name: Vec::new(),
            resident_pages,
            private_pages,
            exclusive_pages,
            policy: mapping.policy,
        };
        let mut behind = None;
        match &mapping.contents {
            Contents::Anonymous => {
                info.name = match (self.name_of_anonymous(mapping), &mapping.name) {
                    (b"", Some(name)) => [b"[anon:", &**name, b"]"].concat(),
                    (own, _) => own.to_vec(),
                }
            }
            Contents::Frames { name, .. } => info.name = name.as_bytes().to_vec(),
            Contents::Cache { attachment, first, file } => {
                info.offset = first << PAGE_SHIFT;
                // What Linux calls shared anonymous memory; a file's own name comes later.
                (info.device, info.inode) = ((0, 1), attachment.cache().id());
                info.name = match &mapping.name {
                    Some(name) => [b"[anon_shmem:", &**name, b"]"].concat(),
                    None => b"/dev/zero (deleted)".to_vec(),
                };
                behind = file.clone();
            }
        }
        (info, behind)
    }

    fn name_of_anonymous(&self, mapping: &Mapping) -> &'static [u8] {
        let range = mapping.range();
        let layout = &self.layout;
        if range.contains(layout.strings.stack_start) {
            b"[stack]"
        } else if range.start < layout.brk && range.end > layout.brk_start {
            b"[heap]"
        } else {
            b""
        }
    }
}
