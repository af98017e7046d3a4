//! mremap(2): making a mapping longer, shorter, or move.

use std::ops::Range;

use linux_raw_sys::general as uapi;

use super::huge_pages::{HUGE_PAGE_BYTES, HUGE_PAGES};
use super::manager::{Edit, MemoryManager};
use super::map::{checked_pages, pages_in};
use super::mapping::{Contents, Mapping, MappingFlags, virtual_range};
use super::policy::MemoryPolicy;
use super::request::MapFlags;
use super::unmapped_area::{self, END_PAGE};
use crate::Errno;
use crate::pace::Pace;
use crate::platform::{Access, PAGE_SHIFT, VirtualAddress};

/// Ranges up to this many pages are mapped at once after a move.
const EAGER_PAGES: u64 = 512;

bitflags::bitflags! {
    /// The flags of mremap(2), with Linux's values.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RemapFlags: u32 {
        /// The mapping may move.
        const MAYMOVE = uapi::MREMAP_MAYMOVE;
        /// It moves to the given address.
        const FIXED = uapi::MREMAP_FIXED;
        /// Its old range stays mapped, empty.
        const DONTUNMAP = uapi::MREMAP_DONTUNMAP;
    }
}

impl MemoryManager {
    /// Changes the size or the place of a mapping, and returns where it is then (`man 2 mremap`).
    ///
    /// # Errors
    /// EINVAL, EFAULT, ENOMEM, EAGAIN, as the manual page has them.
    pub fn mremap(
        &self,
        old_address: VirtualAddress,
        old_len_bytes: u64,
        new_len_bytes: u64,
        flags: RemapFlags,
        new_address: VirtualAddress,
        pace: &dyn Pace,
    ) -> Result<VirtualAddress, Errno> {
        let remapped = loop {
            let outcome = self.edit().remap(old_address, old_len_bytes, new_len_bytes, flags, new_address)?;
            match outcome {
                Outcome::Done(remapped) => break remapped,
                Outcome::Occupied(target) => self.reserve(target, pace)?,
                Outcome::Begun(relocation, remapped) => {
                    self.relocate_in_steps(relocation, pace)?;
                    break remapped;
                }
            }
        };
        let Remapped { pages, is_locked, cut_off } = remapped;
        self.unmap_in_steps(cut_off, pace)?;
        if is_locked {
            // As with mmap, what cannot be had now is no error.
            self.populate_if_there_is_room(pages.clone(), pace);
        }
        Ok(virtual_range(&pages).start)
    }

    /// Replaces what is mapped at `pages` by nothing that could be touched, in steps, and keeps others from mapping there.
    fn reserve(&self, pages: Range<u64>, pace: &dyn Pace) -> Result<(), Errno> {
        self.edit().put_in_place(reservation(pages), pace).map(drop)
    }

    /// Goes on with a relocation to its end.
    ///
    /// # Errors
    /// EFAULT, EPERM: others have unmapped or sealed meanwhile what is left of it, which stays where it is. EINTR from `pace`.
    fn relocate_in_steps(&self, mut relocation: Relocation, pace: &dyn Pace) -> Result<(), Errno> {
        while !relocation.old.is_empty() {
            pace.keep_going()?;
            let step = self.edit().relocate_step(&mut relocation);
            if let Err(error) = step {
                self.unmap_in_steps(relocation.target, pace)?;
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A place that is taken, and cannot be touched.
fn reservation(pages: Range<u64>) -> Mapping {
    Mapping {
        pages,
        protection: Access::empty(),
        max_protection: Access::empty(),
        flags: MappingFlags::NORESERVE,
        contents: Contents::Anonymous,
        policy: MemoryPolicy::default(),
        name: None,
        userfaults: None,
        reservation: None,
    }
}

/// What an attempt to remap has come to.
enum Outcome {
    Done(Remapped),
    /// More is mapped here, where the mapping is to move to, than is unmapped in one step. Nothing has changed.
    Occupied(Range<u64>),
    /// More moves than is moved in one step; what there will be to tell once all has moved.
    Begun(Relocation, Remapped),
}

/// What is still to be moved, and where to.
struct Relocation {
    old: Range<u64>,
    /// Reserved. What is longer than the old place continues it.
    target: Range<u64>,
    keeps_old: bool,
}

/// What has been remapped.
struct Remapped {
    /// Where it is.
    pages: Range<u64>,
    /// Whether it is to be locked in memory.
    is_locked: bool,
    /// What is still to be unmapped.
    cut_off: Range<u64>,
}

impl Edit<'_> {
    fn remap(
        &mut self,
        old_address: VirtualAddress,
        old_len_bytes: u64,
        new_len_bytes: u64,
        flags: RemapFlags,
        new_address: VirtualAddress,
    ) -> Result<Outcome, Errno> {
        let must_move = flags.intersects(RemapFlags::FIXED | RemapFlags::DONTUNMAP);
        let keeps_old = flags.contains(RemapFlags::DONTUNMAP);
        let is_contradictory = must_move && !flags.contains(RemapFlags::MAYMOVE);
        if is_contradictory || keeps_old && old_len_bytes != new_len_bytes || !old_address.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        // As on Linux a length that is too large to be rounded up is 0.
        let pages = |len_bytes| pages_in(len_bytes).unwrap_or(0);
        let (mut old_len, mut new_len) = (pages(old_len_bytes), pages(new_len_bytes));
        if new_len == 0 || new_len > END_PAGE {
            return Err(Errno::EINVAL);
        }
        let start = old_address.0 >> PAGE_SHIFT;
        let mapping = self.state.mappings.find(start).ok_or(Errno::EFAULT)?;
        if mapping.is_huge() {
            (old_len, new_len) = (old_len.next_multiple_of(HUGE_PAGES), new_len.next_multiple_of(HUGE_PAGES));
            let is_aligned = |address: VirtualAddress| address.0.is_multiple_of(HUGE_PAGE_BYTES);
            // What was promised cannot grow.
            if !is_aligned(old_address) || !is_aligned(new_address) || new_len > old_len || keeps_old {
                return Err(Errno::EINVAL);
            }
        }
        let old = start..start.saturating_add(old_len);
        self.check_unsealed(&(start..old.end.max(start + 1)))?;
        // What stays mapped moves to where is asked for or elsewhere, but what is asked for must make sense.
        let asked = must_move.then(|| check_target(&old, new_address, new_len)).transpose()?;
        let target = asked.filter(|_| flags.contains(RemapFlags::FIXED));
        if new_len <= old_len && !must_move {
            if old.end > END_PAGE && new_len < old_len {
                return Err(Errno::EINVAL);
            }
            let cut_off = old.start + new_len..old.end;
            if !cut_off.is_empty() && !self.state.mappings.has_room(cut_off.clone(), 0) {
                return Err(Errno::ENOMEM);
            }
            return Ok(Outcome::Done(Remapped {
                pages: old.start..cut_off.start,
                is_locked: false,
                cut_off,
            }));
        }
        self.grow_or_move(old, new_len, flags, target, new_address)
    }

    /// Has the pages `old` grow or move; `target` is where to, if that is fixed.
    fn grow_or_move(
        &mut self,
        old: Range<u64>,
        new_len: u64,
        flags: RemapFlags,
        target: Option<Range<u64>>,
        new_address: VirtualAddress,
    ) -> Result<Outcome, Errno> {
        let must_move = flags.intersects(RemapFlags::FIXED | RemapFlags::DONTUNMAP);
        let keeps_old = flags.contains(RemapFlags::DONTUNMAP);
        let old_len = old.end - old.start;
        if old.end > END_PAGE {
            return Err(Errno::EFAULT);
        }
        let kept = old.start..old.start + old_len.min(new_len);
        let mapping = self.mapping_for_remap(&kept)?;
        let is_locked = mapping.flags.contains(MappingFlags::LOCKED);
        let is_special = matches!(mapping.contents, Contents::Frames { .. });
        if old_len == 0 && !mapping.is_shared() || is_special && keeps_old {
            return Err(Errno::EINVAL);
        }
        if is_special && new_len > old_len {
            return Err(Errno::EFAULT);
        }
        if new_len > old_len || keeps_old {
            self.check_growth(
                &mapping,
                old.start,
                new_len,
                if keeps_old { new_len } else { new_len - old_len },
            )?;
        }
        if !must_move && old_len > 0 && mapping.pages.end == old.end && self.extend(&mapping, &old, new_len) {
            let pages = old.start..old.start + new_len;
            return Ok(Outcome::Done(Remapped { pages, is_locked, cut_off: 0..0 }));
        }
        if !flags.contains(RemapFlags::MAYMOVE) || !self.state.mappings.has_room(old.clone(), 2) {
            return Err(Errno::ENOMEM);
        }
        let target = self.target_of_move(target, new_address, new_len)?;
        if self.state.step_of(&target).end < target.end {
            return Ok(Outcome::Occupied(target));
        }
        self.unmap(target.clone());
        let remapped = Remapped { pages: target.clone(), is_locked, cut_off: kept.end..old.end };
        if old_len == 0 {
            self.duplicate(mapping, old.start, target);
        } else if self.state.end_of_step(&kept).is_some() {
            self.state.mappings.insert(reservation(target.clone()));
            return Ok(Outcome::Begun(Relocation { old: kept, target, keeps_old }, remapped));
        } else {
            self.relocate(kept, target, keeps_old);
        }
        Ok(Outcome::Done(remapped))
    }

    /// Where `new_len` pages move to: `fixed`, or a place near `wanted`.
    fn target_of_move(
        &self,
        fixed: Option<Range<u64>>,
        wanted: VirtualAddress,
        new_len: u64,
    ) -> Result<Range<u64>, Errno> {
        let target = match fixed {
            Some(target) if target.start << PAGE_SHIFT < self.state.limits.lowest_address => {
                return Err(Errno::EPERM);
            }
            Some(target) => target,
            None => self.place(wanted, new_len, MapFlags::PRIVATE)?,
        };
        self.check_unsealed(&target)?;
        Ok(target)
    }

    /// Moves as much of what is left as is moved in one step.
    fn relocate_step(&mut self, left: &mut Relocation) -> Result<(), Errno> {
        self.mapping_for_remap(&left.old)?;
        self.check_unsealed(&left.old)?;
        self.check_unsealed(&left.target)?;
        let end = self.state.end_of_step(&left.old).unwrap_or(left.old.end);
        let target_end =
            if end == left.old.end { left.target.end } else { left.target.start + (end - left.old.start) };
        let (old, target) = (left.old.start..end, left.target.start..target_end);
        self.unmap(target.clone());
        self.relocate(old, target, left.keeps_old);
        (left.old.start, left.target.start) = (end, target_end);
        Ok(())
    }

    /// The one mapping that holds all of `pages`.
    fn mapping_for_remap(&self, pages: &Range<u64>) -> Result<Mapping, Errno> {
        let mapping = self.state.mappings.find(pages.start).ok_or(Errno::EFAULT)?;
        if mapping.pages.end < pages.end { Err(Errno::EFAULT) } else { Ok(mapping.clone()) }
    }

    fn check_growth(&self, mapping: &Mapping, start: u64, new_len: u64, added: u64) -> Result<(), Errno> {
        if let Some((_, first)) = mapping.cached(start) {
            first.checked_add(new_len).filter(|&end| end < u64::MAX >> PAGE_SHIFT).ok_or(Errno::EINVAL)?;
        }
        self.check_locked(mapping, added)?;
        self.check_commit(mapping, added)?;
        self.check_data(mapping, added)?;
        self.check_room(&(start..start), added)
    }

    /// Makes the mapping longer where it is, if what follows is free.
    fn extend(&mut self, mapping: &Mapping, old: &Range<u64>, new_len: u64) -> bool {
        let tail = old.end..old.start + new_len;
        if tail.end > END_PAGE || !unmapped_area::is_free(&self.state.mappings, tail.clone()) {
            return false;
        }
        let mut added = mapping.clone();
        added.move_start(tail.start);
        added.pages = tail;
        self.state.mappings.insert(added);
        true
    }

    /// Maps the shared pages of `mapping` from `first` on a second time.
    fn duplicate(&mut self, mut mapping: Mapping, first: u64, target: Range<u64>) {
        mapping.move_start(first);
        mapping.pages = target;
        self.state.mappings.insert(mapping);
    }

    /// Moves what `old` maps to the start of `target`, which is free; the rest of the target continues it.
    fn relocate(&mut self, old: Range<u64>, target: Range<u64>, keeps_old: bool) {
        let was_resident = self.state.pages.shift(old.clone(), target.start);
        if was_resident {
            self.space().unmap(virtual_range(&old));
        }
        for mut mapping in self.state.mappings.take(old) {
            if keeps_old {
                let mut left = mapping.clone();
                left.flags.remove(MappingFlags::LOCKED | MappingFlags::LOCKONFAULT);
                self.state.mappings.insert(left);
            }
            mapping.pages = target.clone();
            self.state.mappings.insert(mapping);
        }
        if was_resident && target.end - target.start <= EAGER_PAGES {
            self.map_present(target);
        }
    }
}

/// The pages at `address`, if a mapping may be moved there.
fn check_target(old: &Range<u64>, address: VirtualAddress, len: u64) -> Result<Range<u64>, Errno> {
    let target = checked_pages(address, len << PAGE_SHIFT).ok_or(Errno::EINVAL)?;
    if old.start < target.end && target.start < old.end {
        return Err(Errno::EINVAL);
    }
    Ok(target)
}
