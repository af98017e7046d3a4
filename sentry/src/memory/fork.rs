//! A copy of an address space for fork(2).
//!
//! What the parent alone may write is copied at once if it is little: that costs less than taking the right to write
//! away from the parent and giving it back fault by fault. If it is much, both share it until one of them writes.

use std::sync::Arc;

use super::MemoryAccount;
use super::account::FrameUse;
use super::allocator::CHUNK_FRAMES;
use super::commit::Overcommit;
use super::fault::map_resident;
use super::frame::{FrameBatch, FrameNumber, FrameSpan};
use super::manager::{MemoryManager, State};
use super::mapping::{Contents, Mapping, MappingFlags};
use super::table::{Entry, EntryFlags};
use crate::Errno;
use crate::pace::{Pace, Unhurried};
use crate::process_identity::ProcessIdentity;

/// Most pages that are copied at once.
const MAX_COPIED_PAGES: usize = 512;
/// Most pages that the child's tables begin with.
const MAX_MAPPED_PAGES: u64 = 1024;

/// What is copied between two looks at whether the caller is wanted elsewhere: mappings, and pages.
const STEP_MAPPINGS: usize = 256;
const STEP_PAGES: usize = 4096;
/// How often a copy begins again for the sake of others; then it is made to its end.
const MAX_RESTARTS: usize = 8;

impl MemoryManager {
    /// Makes the address space of a child.
    ///
    /// While other threads of the parent run, the copy is no snapshot of one moment; Linux's is not quite one either. But nothing is
    /// mapped or unmapped while it is made: if the caller is wanted elsewhere in its midst, it is thrown away and made anew.
    ///
    /// # Errors
    /// ENOMEM; EINTR from `pace`.
    pub fn fork(&self, pace: &dyn Pace) -> Result<Arc<Self>, Errno> {
        for _ in 0..MAX_RESTARTS {
            if let Some(child) = self.fork_copying(MAX_COPIED_PAGES, pace)? {
                return Ok(child);
            }
            pace.keep_going()?;
        }
        self.fork_copying(MAX_COPIED_PAGES, &Unhurried)?.ok_or(Errno::EINTR)
    }

    /// As [`Self::fork`], sharing what is more than `max_copied_pages`; `None` if the caller is wanted elsewhere.
    pub(super) fn fork_copying(
        &self,
        max_copied_pages: usize,
        pace: &dyn Pace,
    ) -> Result<Option<Arc<Self>>, Errno> {
        let child = Self::new(self.platform(), self.frames())?;
        child.add_barriers(self.barriers());
        child.inherit_mm_flags(self);
        let mut edit = self.edit();
        let parent = &mut *edit.state;
        parent.mappings.check_copy()?;
        if self.frames().overcommit() == Overcommit::Never {
            self.frames().check_promise(parent.mappings.promised_pages())?;
        }
        // Let go after the locks.
        let mut displaced = FrameBatch::new(self.frames());
        {
            let mut state = child.state().write();
            state.limits = parent.limits;
            state.layout = parent.layout.clone();
            state.payer = parent.payer.clone();
            for (count, mapping) in parent.mappings.iter().filter(|mapping| is_inherited(mapping)).enumerate()
            {
                if count % STEP_MAPPINGS == STEP_MAPPINGS - 1 && pace.is_wanted() {
                    return Ok(None);
                }
                state.mappings.insert(copy_of(mapping, &child));
            }
            let exclusive = exclusive_pages(parent, max_copied_pages);
            let copies = exclusive.and_then(|count| allocate(self, parent.payer.as_deref(), count));
            let was_copied = copies.is_some();
            let copies = copies.unwrap_or_default().into_iter().flat_map(FrameSpan::numbers);
            let is_whole = self.give_pages(parent, &mut state, copies, &mut displaced, pace);
            let has_huge = parent.mappings.iter().any(|mapping| mapping.reservation.is_some());
            if !was_copied || !is_whole || has_huge {
                // Nobody may write any more to what is shared now, before either side goes on.
                self.address_space().clear();
            }
            if !is_whole {
                return Ok(None);
            }
            if state.pages.len() <= MAX_MAPPED_PAGES {
                child.map_all(&state);
            }
        }
        drop(edit);
        child.announce_inherited(&self.owner());
        Ok(Some(child))
    }

    /// Gives the child the pages that are the parent's own, those that only the parent has as long as there are `copies` for them
    /// and shared from then on; and the cache's if they are few. Returns whether it has come to the end.
    fn give_pages(
        &self,
        parent: &mut State,
        child: &mut State,
        copies: impl Iterator<Item = FrameNumber>,
        displaced: &mut FrameBatch,
        pace: &dyn Pace,
    ) -> bool {
        let mut copies = copies.peekable();
        let with_cached = parent.pages.len() <= MAX_MAPPED_PAGES;
        let both = EntryFlags::PRIVATE | EntryFlags::EXCLUSIVE;
        let mappings = parent.mappings.iter().filter(|mapping| has_contents_for_child(mapping));
        let ranges: Vec<_> = mappings.map(|mapping| (mapping.pages.clone(), mapping.is_huge())).collect();
        let mut since_look = 0;
        for (mut pages, is_huge) in ranges {
            loop {
                let entries: Vec<_> = parent.pages.range(pages.clone()).take(STEP_PAGES).collect();
                for &(page, entry) in &entries {
                    let given = if entry.has_all(both) {
                        if let Some(copy) = copies.next_if(|_| !is_huge) {
                            self.frames().copy(entry.number(), copy);
                            child.pages.insert(page, Entry::new(copy, both), displaced);
                            continue;
                        }
                        parent.pages.set_flags(page, EntryFlags::PRIVATE);
                        entry.with(EntryFlags::PRIVATE)
                    } else if entry.has(EntryFlags::PRIVATE) || with_cached {
                        entry
                    } else {
                        continue;
                    };
                    self.frames().retain(given.number());
                    child.pages.insert(page, given, displaced);
                }
                since_look += entries.len();
                if since_look >= STEP_PAGES {
                    since_look = 0;
                    if pace.is_wanted() {
                        copies.for_each(|copy| displaced.push(copy));
                        return false;
                    }
                }
                match entries.last() {
                    Some(&(last, _)) if entries.len() == STEP_PAGES => pages.start = last + 1,
                    _ => break,
                }
            }
        }
        true
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
        userfaults: None,
        reservation: mapping.reservation.as_ref().map(|reservation| reservation.inherited()),
    }
}

/// How many pages only the parent has; `None` if they are more than `max`.
fn exclusive_pages(parent: &State, max: usize) -> Option<usize> {
    let both = EntryFlags::PRIVATE | EntryFlags::EXCLUSIVE;
    let mappings = parent.mappings.iter().filter(|mapping| has_contents_for_child(mapping));
    let exclusive = mappings
        .filter(|mapping| !mapping.is_huge())
        .flat_map(|mapping| parent.pages.range(mapping.pages.clone()))
        .filter(|(_, entry)| entry.has_all(both));
    Some(exclusive.take(max + 1).count()).filter(|&count| count <= max)
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
