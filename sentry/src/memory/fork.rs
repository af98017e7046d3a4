//! A copy of an address space for fork(2).
//!
//! What the parent alone may write is copied at once if it is little: that costs less than taking the right to write
//! away from the parent and giving it back fault by fault. If it is much, both share it until one of them writes.

use std::sync::Arc;

use super::MemoryAccount;
use super::account::FrameUse;
use super::allocator::CHUNK_FRAMES;
use super::fault::map_resident;
use super::frame::{FrameBatch, FrameSpan};
use super::manager::{MemoryManager, State};
use super::mapping::{Contents, Mapping, MappingFlags};
use super::table::{Entry, EntryFlags};
use crate::Errno;
use crate::process_identity::ProcessIdentity;

/// Most pages that are copied at once.
const MAX_COPIED_PAGES: usize = 512;
/// Most pages that the child's tables begin with.
const MAX_MAPPED_PAGES: u64 = 1024;

impl MemoryManager {
    /// Makes the address space of a child.
    ///
    /// While other threads of the parent run, the copy is no snapshot of one moment; Linux's is not quite one either.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn fork(&self) -> Result<Arc<Self>, Errno> {
        self.fork_copying(MAX_COPIED_PAGES)
    }

    /// As [`Self::fork`], sharing what is more than `max_copied_pages`.
    pub(super) fn fork_copying(&self, max_copied_pages: usize) -> Result<Arc<Self>, Errno> {
        let child = Self::new(self.platform(), self.frames())?;
        child.add_barriers(self.barriers());
        child.inherit_mm_flags(self);
        let mut edit = self.edit();
        let parent = &mut *edit.state;
        parent.mappings.check_copy()?;
        let mut displaced = FrameBatch::new(self.frames());
        {
            let mut state = child.state().write();
            state.limits = parent.limits;
            state.layout = parent.layout.clone();
            state.payer = parent.payer.clone();
            for mapping in parent.mappings.iter().filter(|mapping| is_inherited(mapping)) {
                state.mappings.insert(copy_of(mapping, &child));
            }
            let exclusive = exclusive_pages(parent);
            let copies = if exclusive.len() <= max_copied_pages {
                allocate(self, parent.payer.as_deref(), exclusive.len())
            } else {
                None
            };
            let was_copied = copies.is_some();
            let mut copies = copies.unwrap_or_default().into_iter().flat_map(FrameSpan::numbers);
            for (page, entry) in exclusive {
                let both = EntryFlags::PRIVATE | EntryFlags::EXCLUSIVE;
                match copies.next() {
                    Some(copy) => {
                        self.frames().copy(entry.number(), copy);
                        state.pages.insert(page, Entry::new(copy, both), &mut displaced);
                    }
                    None => {
                        parent.pages.set_flags(page, EntryFlags::PRIVATE);
                        self.frames().retain(entry.number());
                        state.pages.insert(
                            page,
                            Entry::new(entry.number(), EntryFlags::PRIVATE),
                            &mut displaced,
                        );
                    }
                }
            }
            self.share_rest(parent, &mut state, &mut displaced);
            if !was_copied {
                // Nobody may write any more to what is shared now, before either side goes on.
                self.address_space().clear();
            }
            if state.pages.len() <= MAX_MAPPED_PAGES {
                child.map_all(&state);
            }
        }
        drop(edit);
        child.announce_inherited(&self.owner());
        Ok(child)
    }

    /// Tells the segments behind the mappings that this copy, made by `process`, maps them too.
    fn announce_inherited(&self, process: &ProcessIdentity) {
        let files: Vec<_> = {
            let state = self.state().read();
            let segments = state.mappings.iter().filter_map(Mapping::file).filter(|file| file.is_segment());
            segments.cloned().collect()
        };
        for file in files {
            file.inherited(process);
        }
    }

    /// Gives the child the pages that need no copy now: shared already, or the cache's if they are few.
    fn share_rest(&self, parent: &State, child: &mut State, displaced: &mut FrameBatch) {
        let with_cached = parent.pages.len() <= MAX_MAPPED_PAGES;
        for mapping in parent.mappings.iter().filter(|mapping| has_contents_for_child(mapping)) {
            for (page, entry) in parent.pages.range(mapping.pages.clone()) {
                let is_wanted = if entry.has(EntryFlags::PRIVATE) {
                    child.pages.get(page).is_none()
                } else {
                    with_cached
                };
                if is_wanted {
                    self.frames().retain(entry.number());
                    child.pages.insert(page, entry, displaced);
                }
            }
        }
    }

    fn map_all(&self, state: &State) {
        for mapping in state.mappings.iter() {
            let pages = mapping.pages.clone();
            // What is not mapped now is mapped at the touch.
            let _ = map_resident(&**self.address_space(), self.frames(), mapping, &state.pages, pages);
        }
    }
}

fn is_inherited(mapping: &Mapping) -> bool {
    !mapping.flags.contains(MappingFlags::DONTCOPY)
}

fn has_contents_for_child(mapping: &Mapping) -> bool {
    is_inherited(mapping) && !mapping.flags.contains(MappingFlags::WIPEONFORK)
}

/// The child's mapping. Locks are not inherited (`man 2 mlock`).
fn copy_of(mapping: &Mapping, child: &MemoryManager) -> Mapping {
    let contents = match &mapping.contents {
        Contents::Cache { attachment, first, file } => Contents::Cache {
            attachment: attachment.inherited(child.id(), child.as_mapper()),
            first: *first,
            file: file.clone(),
        },
        other => other.clone(),
    };
    Mapping {
        pages: mapping.pages.clone(),
        protection: mapping.protection,
        max_protection: mapping.max_protection,
        flags: mapping.flags - (MappingFlags::LOCKED | MappingFlags::LOCKONFAULT),
        contents,
        policy: mapping.policy,
        name: mapping.name.clone(),
    }
}

/// The pages that only the parent has.
fn exclusive_pages(parent: &State) -> Vec<(u64, Entry)> {
    let mappings = parent.mappings.iter().filter(|mapping| has_contents_for_child(mapping));
    mappings
        .flat_map(|mapping| parent.pages.range(mapping.pages.clone()))
        .filter(|(_, entry)| entry.has(EntryFlags::PRIVATE) && entry.has(EntryFlags::EXCLUSIVE))
        .collect()
}

/// Frames for `count` copies, or none at all.
fn allocate(manager: &MemoryManager, payer: Option<&MemoryAccount>, count: usize) -> Option<Vec<FrameSpan>> {
    let mut spans: Vec<FrameSpan> = Vec::new();
    let mut left = count;
    while left > 0 {
        match manager.frames().allocate_span_for(payer, FrameUse::Anonymous, left.min(CHUNK_FRAMES - 1)) {
            Ok(span) => {
                left -= span.count;
                spans.push(span);
            }
            Err(_) => {
                let numbers: Vec<_> = spans.into_iter().flat_map(FrameSpan::numbers).collect();
                manager.frames().release(&numbers);
                return None;
            }
        }
    }
    Some(spans)
}
