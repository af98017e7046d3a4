//! Page tables: four levels, made of pages that are handed out once.
//!
//! What a shadow MMU allows us (KVM `mmu.rst`; it never sees the host's writes):
//!
//! - An entry may go from absent to present freely: the miss makes KVM read it.
//! - A lowest-level entry may change in any way, if KVM then forgets the translations to the old frame.
//! - An entry of a page directory, once present, has a shadow page behind it that KVM does not question
//!   again; if that no longer fits, some host kernels even stop (a BUG in `pte_list_remove`). Making it something
//!   else (a table for a large page, another large page) is *structural*: it needs a purge of the whole space
//!   while no vCPU runs in it. [`Tables::is_structural`] tells beforehand.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use sentry::platform::{
    Access, FrameRun, GuestAddress, PAGE_SIZE, PlatformError, VirtualAddress, VirtualRange,
};

use crate::chunks::{CHUNK_PAGES, Chunk, Chunks, FurtherChunk};
use crate::flush::FlushList;
use crate::ioctl::in_bounds;
use crate::kernel::Kernel;
use crate::layout::{CALL_PAGE, GATE_CODE, GATE_PDPT_INDEX, KERNEL_PML4_INDEX, RECORDS, entry};
use crate::pieces::{Piece, Pieces};

/// Bytes that an entry of a page directory covers.
pub(crate) const LARGE_PAGE: u64 = 2 << 20;
/// Pages in a large page, and entries in a table.
pub(crate) const ENTRIES: u64 = 512;
/// The level of the lowest tables, and that of page directories.
const LOWEST: u32 = 1;
const DIRECTORY: u32 = 2;

/// One address space's page tables.
#[derive(Debug)]
pub(crate) struct Tables {
    /// What the tables are made of; the first page of the first is the PML4.
    chunks: Vec<Chunk>,
    /// The rights to those beyond the first.
    further: Vec<FurtherChunk>,
    /// Pages handed out of the last chunk.
    used_pages: u64,
    /// Page-directory entries that once were large pages, by their guest-physical address: KVM may still have
    /// a shadow page for what they mapped.
    former_large: HashMap<u64, u64>,
    /// Roots beside the PML4, whose last entry is their vCPU's own; the others are the PML4's.
    gate_roots: Vec<GateRoot>,
}

/// A root for one vCPU (see `exitless`).
#[derive(Debug)]
struct GateRoot {
    vcpu: usize,
    /// Guest-physical addresses of its PML4 and of the page table of the gate.
    pml4: u64,
    table: u64,
}

/// Where a new chunk comes from, ready to be used by the guest.
pub(crate) trait Grow {
    /// All table memory.
    fn chunks(&self) -> &Chunks;

    /// Takes a chunk and shows it to the guest.
    fn grow(&self) -> Result<Chunk, PlatformError>;
}

impl Tables {
    /// Makes empty tables.
    pub(crate) fn new(source: &impl Grow) -> Result<Self, PlatformError> {
        let chunk = source.grow()?;
        let (further, former_large, gate_roots) = Default::default();
        let tables = Self { chunks: vec![chunk], further, used_pages: 1, former_large, gate_roots };
        tables.init_root(source)?;
        Ok(tables)
    }

    /// Guest-physical address of the PML4. It never changes.
    pub(crate) fn root(&self, source: &impl Grow) -> GuestAddress {
        self.chunks.first().map_or(GuestAddress(0), |chunk| source.chunks().start(chunk))
    }

    /// What they are made of; nothing once [`Tables::take_chunks`] has taken it, and then they hold nothing any more.
    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Forgets everything. The caller purges what is left before a vCPU runs. Returns the chunks that are no
    /// longer needed, with the pages used of each.
    pub(crate) fn reset(&mut self, source: &impl Grow) -> Result<Vec<(Chunk, u64)>, PlatformError> {
        let mut surplus = self.take_chunks();
        let (first, first_used) = surplus.swap_remove(0);
        let zeroed = in_bounds(source.chunks().zero(&first, first_used));
        self.chunks.push(first);
        self.used_pages = 1;
        zeroed?;
        self.init_root(source)?;
        Ok(surplus)
    }

    /// Takes all chunks, with the pages used of each.
    pub(crate) fn take_chunks(&mut self) -> Vec<(Chunk, u64)> {
        self.former_large.clear();
        self.gate_roots.clear();
        self.further.clear();
        let last = self.chunks.len().saturating_sub(1);
        let used = |index| if index == last { self.used_pages } else { CHUNK_PAGES };
        std::mem::take(&mut self.chunks)
            .into_iter()
            .enumerate()
            .map(|(index, chunk)| (chunk, used(index)))
            .collect()
    }

    /// The slots were purged: KVM has forgotten what former large pages were.
    pub(crate) fn on_purge(&mut self) {
        self.former_large.clear();
    }

    /// Whether a change of `len_bytes` from `start` on changes a present entry of a page directory, so that it
    /// must happen within a purge. `runs` is what is to be mapped; empty for unmapping and protecting.
    pub(crate) fn is_structural(
        &self,
        source: &impl Grow,
        start: VirtualAddress,
        len_bytes: u64,
        runs: &[FrameRun],
    ) -> Result<bool, PlatformError> {
        // Unmapping and protecting change whole large pages freely: only the ends of the range can cut one.
        let last = Pieces::new(start, len_bytes, &[]).last_piece();
        let ends = Pieces::new(start, len_bytes, &[]).next().into_iter().chain(last);
        let pieces: Box<dyn Iterator<Item = Piece<'_>>> =
            if runs.is_empty() { Box::new(ends) } else { Box::new(Pieces::new(start, len_bytes, runs)) };
        for piece in pieces {
            let Some(directory_entry) = self.find(source, piece.start, DIRECTORY)? else { continue };
            let value = self.word(source, directory_entry)?.load(Ordering::Relaxed);
            let frame = piece.large_frame();
            let is_large = value & entry::PRESENT != 0 && value & entry::LARGE != 0;
            let is_changed = if is_large {
                if runs.is_empty() { piece.pages < ENTRIES } else { frame != Some(value & entry::ADDRESS) }
            } else {
                let former = self.former_large.get(&directory_entry);
                !runs.is_empty() && former.is_some_and(|former| frame != Some(*former))
            };
            if is_changed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Maps `runs` from `start` on. Frames that are no longer mapped, or with less access, go to `flush`.
    pub(crate) fn map(
        &mut self,
        source: &impl Grow,
        start: VirtualAddress,
        runs: &[FrameRun],
        access: Access,
        flush: &mut FlushList,
    ) -> Result<(), PlatformError> {
        let len_bytes = runs.iter().map(|run| run.pages as u64 * PAGE_SIZE).sum();
        let flags = flags(access);
        if flags == 0 {
            let range = VirtualRange::new(start, len_bytes).ok_or(PlatformError::OutOfRange)?;
            return self.unmap(source, range, flush);
        }
        for piece in Pieces::new(start, len_bytes, runs) {
            let directory_entry = self.find_or_make(source, piece.start, DIRECTORY)?;
            let value = self.word(source, directory_entry)?.load(Ordering::Relaxed);
            let is_table = value & entry::PRESENT != 0 && value & entry::LARGE == 0;
            match piece.large_frame() {
                Some(frame) if !is_table => {
                    self.replace(source, directory_entry, frame | flags | entry::LARGE, LARGE_PAGE, flush)?;
                }
                _ => self.map_small(source, &piece, flags, flush)?,
            }
        }
        Ok(())
    }

    /// Removes the translations of a range.
    pub(crate) fn unmap(
        &mut self,
        source: &impl Grow,
        range: VirtualRange,
        flush: &mut FlushList,
    ) -> Result<(), PlatformError> {
        self.change(source, range, flush, |_| 0)
    }

    /// Sets the access of the translations of a range.
    pub(crate) fn protect(
        &mut self,
        source: &impl Grow,
        range: VirtualRange,
        access: Access,
        flush: &mut FlushList,
    ) -> Result<(), PlatformError> {
        let flags = flags(access);
        let keep = entry::ADDRESS | entry::LARGE;
        self.change(source, range, flush, |old| if access.is_empty() { 0 } else { old & keep | flags })
    }

    /// The translation of an address.
    pub(crate) fn translate(
        &self,
        source: &impl Grow,
        address: VirtualAddress,
    ) -> Option<(GuestAddress, Access)> {
        if address.0 >= VirtualAddress::USER_END.0 {
            return None;
        }
        let directory_entry = self.find(source, address, DIRECTORY).ok()??;
        let mut value = self.word(source, directory_entry).ok()?.load(Ordering::Relaxed);
        let mut span = LARGE_PAGE;
        if value & entry::LARGE == 0 {
            let lowest = self.find(source, address, LOWEST).ok()??;
            value = self.word(source, lowest).ok()?.load(Ordering::Relaxed);
            span = PAGE_SIZE;
        }
        if value & entry::PRESENT == 0 {
            return None;
        }
        let mut access = Access::READ;
        access.set(Access::WRITE, value & entry::WRITABLE != 0);
        access.set(Access::EXECUTE, value & entry::NO_EXECUTE == 0);
        Some((GuestAddress(value & entry::ADDRESS | address.0 & (span - 1)), access))
    }

    fn map_small(
        &mut self,
        source: &impl Grow,
        piece: &Piece<'_>,
        flags: u64,
        flush: &mut FlushList,
    ) -> Result<(), PlatformError> {
        let first = self.find_or_make(source, piece.start, LOWEST)?;
        for (index, frame) in piece.frames().enumerate() {
            self.replace(source, first + index as u64 * 8, frame | flags, PAGE_SIZE, flush)?;
        }
        Ok(())
    }

    /// Puts `new` of each old entry in place of the entries of `range` that are present.
    fn change(
        &mut self,
        source: &impl Grow,
        range: VirtualRange,
        flush: &mut FlushList,
        new: impl Fn(u64) -> u64,
    ) -> Result<(), PlatformError> {
        let mut start = range.start;
        while start < range.end {
            let end = next_boundary(start, LARGE_PAGE).min(range.end.0);
            let pages = (end - start.0).div_ceil(PAGE_SIZE);
            let Some(directory_entry) = self.find(source, start, DIRECTORY)? else {
                // Nothing below a missing directory: 1 GiB or more at once.
                start = VirtualAddress(self.next_present(source, start, range.end.0)?);
                continue;
            };
            let value = self.word(source, directory_entry)?.load(Ordering::Relaxed);
            if value & (entry::PRESENT | entry::LARGE) == entry::PRESENT | entry::LARGE {
                if pages == ENTRIES {
                    self.replace(source, directory_entry, new(value), LARGE_PAGE, flush)?;
                    start = VirtualAddress(end);
                    continue;
                }
                self.split(source, directory_entry)?;
            }
            if let Some(first) = self.find(source, start, LOWEST)? {
                for index in 0..pages {
                    let address = first + index * 8;
                    let old = self.word(source, address)?.load(Ordering::Relaxed);
                    if old & entry::PRESENT != 0 {
                        self.replace(source, address, new(old), PAGE_SIZE, flush)?;
                    }
                }
            }
            start = VirtualAddress(end);
        }
        Ok(())
    }

    /// The first address from `start` on, at most `end`, that has a page directory.
    fn next_present(
        &self,
        source: &impl Grow,
        start: VirtualAddress,
        end: u64,
    ) -> Result<u64, PlatformError> {
        let mut next = start.0;
        while next < end && self.find(source, VirtualAddress(next), DIRECTORY)?.is_none() {
            let has_upper = self.find(source, VirtualAddress(next), 3)?.is_some();
            next = next_boundary(VirtualAddress(next), if has_upper { 1 << 30 } else { 1 << 39 });
        }
        Ok(next.min(end))
    }

    /// Makes a table of small pages from a large one. Structural: the purge that follows flushes.
    fn split(&mut self, source: &impl Grow, directory_entry: u64) -> Result<(), PlatformError> {
        let large = self.word(source, directory_entry)?.load(Ordering::Relaxed);
        let table = self.take_page(source)?;
        let small = large & !entry::LARGE;
        for index in 0..ENTRIES {
            self.word(source, table + index * 8)?.store(small + index * PAGE_SIZE, Ordering::Relaxed);
        }
        self.word(source, directory_entry)?.store(table | entry::TABLE, Ordering::Release);
        Ok(())
    }

    /// Writes an entry that covers `span` bytes, and notes the old frame if it loses access.
    fn replace(
        &mut self,
        source: &impl Grow,
        address: u64,
        new: u64,
        span: u64,
        flush: &mut FlushList,
    ) -> Result<(), PlatformError> {
        let old = self.word(source, address)?.swap(new, Ordering::AcqRel);
        if old & entry::PRESENT == 0 {
            return Ok(());
        }
        if span == LARGE_PAGE && new & entry::PRESENT == 0 {
            self.former_large.insert(address, old & entry::ADDRESS);
        }
        let has_moved = (old ^ new) & entry::ADDRESS != 0;
        let has_lost =
            old & !new & (entry::PRESENT | entry::WRITABLE) != 0 || new & !old & entry::NO_EXECUTE != 0;
        if has_moved || has_lost {
            flush.push(old & entry::ADDRESS, span);
        }
        Ok(())
    }

    /// The guest-physical address of the entry for `address` in the table of `level`, if that table exists.
    fn find(
        &self,
        source: &impl Grow,
        address: VirtualAddress,
        level: u32,
    ) -> Result<Option<u64>, PlatformError> {
        if self.chunks.is_empty() {
            return Ok(None);
        }
        let mut table = self.root(source).0;
        for upper in (level + 1..=4).rev() {
            let value = self.word(source, table + index(address, upper) * 8)?.load(Ordering::Acquire);
            if value & entry::PRESENT == 0 || value & entry::LARGE != 0 {
                return Ok(None);
            }
            table = value & entry::ADDRESS;
        }
        Ok(Some(table + index(address, level) * 8))
    }

    /// The same, making the tables on the way. A large page on the way is split.
    fn find_or_make(
        &mut self,
        source: &impl Grow,
        address: VirtualAddress,
        level: u32,
    ) -> Result<u64, PlatformError> {
        let mut table = self.root(source).0;
        for upper in (level + 1..=4).rev() {
            let slot = table + index(address, upper) * 8;
            let mut value = self.word(source, slot)?.load(Ordering::Acquire);
            if value & entry::PRESENT == 0 {
                value = self.take_page(source)? | entry::TABLE;
                self.word(source, slot)?.store(value, Ordering::Release);
                if upper == 4 {
                    self.share_with_gate_roots(source, index(address, upper), value)?;
                }
            } else if value & entry::LARGE != 0 {
                self.split(source, slot)?;
                value = self.word(source, slot)?.load(Ordering::Acquire);
            }
            table = value & entry::ADDRESS;
        }
        Ok(table + index(address, level) * 8)
    }

    /// The root of vCPU `vcpu` with its call page at `call_page` and the given pages of records, by their numbers; made if
    /// it is not there yet. `gate` is the page of the gate's code. All are guest-physical.
    pub(crate) fn gate_root(
        &mut self,
        source: &impl Grow,
        vcpu: usize,
        gate: u64,
        call_page: u64,
        records: &BTreeMap<u64, u64>,
    ) -> Result<GuestAddress, PlatformError> {
        if let Some(root) = self.gate_roots.iter().find(|root| root.vcpu == vcpu) {
            return Ok(GuestAddress(root.pml4));
        }
        let pml4 = self.take_page(source)?;
        let (pointers, directory, table) =
            (self.take_page(source)?, self.take_page(source)?, self.take_page(source)?);
        for index in 0..KERNEL_PML4_INDEX {
            let value = self.word(source, self.root(source).0 + index * 8)?.load(Ordering::Relaxed);
            self.word(source, pml4 + index * 8)?.store(value, Ordering::Relaxed);
        }
        self.gate_roots.push(GateRoot { vcpu, pml4, table });
        let put = |address: u64, value: u64| {
            self.word(source, address)?.store(value, Ordering::Release);
            Ok::<(), PlatformError>(())
        };
        put(pml4 + KERNEL_PML4_INDEX * 8, pointers | entry::TABLE)?;
        put(pointers, Kernel::directory_entry())?;
        put(pointers + GATE_PDPT_INDEX * 8, directory | entry::TABLE)?;
        put(directory, table | entry::TABLE)?;
        put(gate_entry(table, GATE_CODE), gate | flags(Access::EXECUTE))?;
        put(gate_entry(table, CALL_PAGE), call_page | flags(Access::WRITE))?;
        for (number, page) in records {
            put(gate_entry(table, RECORDS + number * PAGE_SIZE), page | flags(Access::EXECUTE))?;
        }
        Ok(GuestAddress(pml4))
    }

    /// Maps page `number` of the records in all roots that exist.
    pub(crate) fn map_records(
        &self,
        source: &impl Grow,
        number: u64,
        page: u64,
    ) -> Result<(), PlatformError> {
        for root in &self.gate_roots {
            let address = gate_entry(root.table, RECORDS + number * PAGE_SIZE);
            self.word(source, address)?.store(page | flags(Access::EXECUTE), Ordering::Release);
        }
        Ok(())
    }

    /// Whether an address is mapped by a small page.
    pub(crate) fn is_small(&self, source: &impl Grow, address: VirtualAddress) -> bool {
        matches!(self.find(source, address, LOWEST), Ok(Some(_)))
    }

    fn share_with_gate_roots(&self, source: &impl Grow, index: u64, value: u64) -> Result<(), PlatformError> {
        for root in &self.gate_roots {
            self.word(source, root.pml4 + index * 8)?.store(value, Ordering::Release);
        }
        Ok(())
    }

    /// Takes a page that was never used since the last purge.
    pub(crate) fn take_page(&mut self, source: &impl Grow) -> Result<u64, PlatformError> {
        if self.used_pages == CHUNK_PAGES {
            if self.chunks.len() == CHUNKS_MAX {
                return Err(PlatformError::TablesFull);
            }
            let further = source.chunks().allow_further()?;
            self.chunks.push(source.grow()?);
            self.further.push(further);
            self.used_pages = 0;
        }
        let chunk = self.chunks.last().ok_or(PlatformError::TablesFull)?;
        let page = source.chunks().start(chunk).0 + self.used_pages * PAGE_SIZE;
        self.used_pages += 1;
        Ok(page)
    }

    fn init_root(&self, source: &impl Grow) -> Result<(), PlatformError> {
        let root = self.root(source).0;
        self.word(source, root + KERNEL_PML4_INDEX * 8)?.store(Kernel::pml4_entry(), Ordering::Relaxed);
        Ok(())
    }

    fn word<'a>(&self, source: &'a impl Grow, address: u64) -> Result<&'a AtomicU64, PlatformError> {
        in_bounds(source.chunks().memory().atomic(GuestAddress(address)))
    }
}

/// Chunks of one address space at most: tables for 8 GiB of small pages. Then it starts afresh.
const CHUNKS_MAX: usize = 64;

/// The bits of an entry for some access; absent for none.
fn flags(access: Access) -> u64 {
    if access.is_empty() {
        return 0;
    }
    let mut flags = entry::PRESENT | entry::USER | entry::ACCESSED | entry::DIRTY;
    if access.contains(Access::WRITE) {
        flags |= entry::WRITABLE;
    }
    if !access.contains(Access::EXECUTE) {
        flags |= entry::NO_EXECUTE;
    }
    flags
}

/// The entry of the gate's page table for an address of `exitless`.
const fn gate_entry(table: u64, address: u64) -> u64 {
    table + index(VirtualAddress(address), LOWEST) * 8
}

/// The index of an address in a table of some level.
const fn index(address: VirtualAddress, level: u32) -> u64 {
    address.0 >> (12 + 9 * (level - 1)) & (ENTRIES - 1)
}

/// The next multiple of `span` above `start`.
pub(crate) const fn next_boundary(start: VirtualAddress, span: u64) -> u64 {
    (start.0 & !(span - 1)) + span
}

#[cfg(test)]
mod tests;
