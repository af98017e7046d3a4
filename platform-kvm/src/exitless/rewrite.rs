//! Showing user code copies of pages in which call sites are rewritten (see [`patches`](super::patches)).
//!
//! The translation to a copy is as good as the original's: whoever changes that finds the original there first
//! ([`Space::restore`]), and who maps the same frame in the same way again leaves the copy where it is ([`keep_copies`]). Text
//! that nobody changes is shown rewritten as soon as it is mapped, if another address space has had it rewritten
//! ([`Space::adopt_copies`]).

use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use sentry::platform::{
    Access, FrameRun, GuestAddress, PAGE_SIZE, PlatformError, Registers, VirtualAddress, VirtualRange,
};

use super::crossing::{Crossing, settle};
use super::economy::Counts;
use super::lane::{LANES_MAX, Lane, Served};
use super::patches::{Patch, read_page, write};
use super::sites::{RewrittenPage, Site, Sites, record_address, record_at};
use crate::address_space::{Space, SpaceState};
use crate::flush::FlushList;
use crate::kernel::Kernel;
use crate::layout::RECORDS;
use crate::seat::Seat;
use crate::tables::{Grow as _, Tables};
use crate::vcpu::Root;

/// The access that pages of text have.
pub(crate) const TEXT_ACCESS: Access = Access::READ.union(Access::EXECUTE);

impl Space {
    /// Counts the trap of a SYSCALL, the instruction before `after`, with `number`.
    pub(crate) fn count_trap(&self, after: u64, number: u64) {
        let syscall = VirtualAddress(after.wrapping_sub(2));
        let SpaceState { tables, sites } = &mut *self.state.lock();
        if !sites.may_rewrite(syscall.0) {
            return;
        }
        let page = syscall.0 & !(PAGE_SIZE - 1);
        let frame = match sites.pages.get(&page) {
            Some(rewritten) => rewritten.original,
            None => match tables.translate(&*self.machine, VirtualAddress(page)) {
                Some((frame, TEXT_ACCESS)) => frame.0,
                _ => return,
            },
        };
        if self.machine.patches().count(frame + syscall.0 % PAGE_SIZE) {
            sites.set_due(syscall.0, number);
            self.frequent_call.store(syscall.0, Ordering::Relaxed);
        }
    }

    /// See the port.
    pub(crate) fn take_frequent_call(&self) -> Option<VirtualAddress> {
        let is_there = self.frequent_call.load(Ordering::Relaxed) != 0;
        let call = if is_there { self.frequent_call.swap(0, Ordering::Relaxed) } else { 0 };
        (call != 0).then_some(VirtualAddress(call))
    }

    /// Rewrites the SYSCALL at `syscall`, if that is possible.
    pub(crate) fn rewrite_call(&self, syscall: VirtualAddress) -> Result<(), PlatformError> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(number) = state.sites.take_number(syscall.0) else { return Ok(()) };
        let page = VirtualAddress(syscall.0 & !(PAGE_SIZE - 1));
        let original = match state.sites.pages.get(&page.0) {
            Some(rewritten) => rewritten.original,
            None => match state.tables.translate(&*self.machine, page) {
                Some((frame, TEXT_ACCESS)) if state.tables.is_small(&*self.machine, page) => frame.0,
                _ => return Ok(()),
            },
        };
        let bytes = read_page(self.machine.memory(), original)?;
        let patch = match Site::find(&bytes, syscall.0 - page.0, number) {
            Some(site) => self.machine.patches().with_site(&*self.machine, original, &bytes, site)?,
            None => None,
        };
        let Some(patch) = patch.filter(|patch| state.sites.may_add_all(patch, page.0)) else {
            state.sites.refuse(syscall.0);
            return Ok(());
        };
        self.write_records(state, page.0, &patch)?;
        let _former = state.sites.drop_page(page.0);
        let copy = patch.copy();
        state.sites.add_page(page.0, original, patch);
        self.has_sites.store(true, Ordering::SeqCst);
        if let Err(error) = self.show(&mut state.tables, page, copy) {
            let cleared = self.clear(state);
            drop(guard);
            self.settle(cleared);
            return Err(error);
        }
        if let Some(dispatcher) = self.machine.dispatcher() {
            Counts::add(&dispatcher.economy().counts().sites);
        }
        Ok(())
    }

    /// Makes the records of `patch`, which is to be shown at `page`: [`Sites::may_add_all`] says that it may be.
    fn write_records(&self, state: &mut SpaceState, page: u64, patch: &Patch) -> Result<(), PlatformError> {
        patch.sites_at(page).try_for_each(|(index, site)| self.write_record(state, index, &site))
    }

    /// The copy of `frame` that is to be shown at `page`, with its records made.
    fn adopt_copy_of(&self, state: &mut SpaceState, page: u64, frame: u64) -> Option<u64> {
        let patch = self.machine.patches().find(self.machine.memory(), frame).ok()??;
        if !state.sites.may_add_all(&patch, page) || self.write_records(state, page, &patch).is_err() {
            return None;
        }
        let copy = patch.copy();
        state.sites.add_page(page, frame, patch);
        self.has_sites.store(true, Ordering::SeqCst);
        Some(copy)
    }

    /// The runs with which `runs` of text are to be mapped from `start` on, so that all that is known to be rewritten is, and
    /// what is no longer shown.
    pub(crate) fn adopt_copies(
        &self,
        state: &mut SpaceState,
        start: VirtualAddress,
        runs: &[FrameRun],
    ) -> (Vec<FrameRun>, Vec<RewrittenPage>) {
        let (mut result, mut dropped, mut address) = (Vec::new(), Vec::new(), start.0);
        for frame in runs.iter().flat_map(frames) {
            let copy = match state.sites.pages.get(&address) {
                Some(page) if page.original == frame => Some(page.patch.copy()),
                _ => {
                    dropped.extend(state.sites.drop_page(address));
                    self.adopt_copy_of(state, address, frame)
                }
            };
            append(&mut result, copy.unwrap_or(frame));
            address += PAGE_SIZE;
        }
        (result, dropped)
    }

    /// Shows the originals of `range` again. That must not fail: else nothing is shown.
    pub(crate) fn restore(&self, range: VirtualRange) {
        if !self.has_sites.load(Ordering::SeqCst) {
            return;
        }
        let mut state = self.state.lock();
        for page in state.sites.pages_in(range) {
            let Some(rewritten) = state.sites.drop_page(page) else { continue };
            let shown = self.show(&mut state.tables, VirtualAddress(page), rewritten.original);
            if let Err(error) = shown {
                log::debug!("an address space starts afresh: {error}");
                let cleared = self.clear(&mut state);
                drop(state);
                return self.settle(cleared);
            }
        }
    }

    /// Shows all originals, and rewrites nothing more: for programs that are stepped.
    pub(crate) fn give_up_rewriting(&self) {
        if self.machine.dispatcher().is_none() {
            return;
        }
        self.state.lock().sites.is_given_up = true;
        let all = VirtualRange::new(VirtualAddress(0), VirtualAddress::USER_END.0);
        if let Some(all) = all {
            self.restore(all);
        }
    }

    /// If `rip` is in the middle of a site, shows its page's original for good. Returns whether it did.
    pub(crate) fn restore_middle(&self, rip: u64) -> bool {
        if !self.has_sites.load(Ordering::SeqCst) {
            return false;
        }
        let Some(site) = self.state.lock().sites.around(rip).map(|(_, site)| site) else { return false };
        if rip == site.start {
            return false;
        }
        self.state.lock().sites.refuse(site.syscall);
        if let Some(page) = VirtualRange::new(VirtualAddress(rip & !(PAGE_SIZE - 1)), PAGE_SIZE) {
            self.restore(page);
        }
        true
    }

    /// Whether `rip` is in the middle of what was a site: another thread may have restored it since its exception.
    pub(crate) fn was_middle(&self, rip: u64) -> bool {
        self.machine.dispatcher().is_some() && self.state.lock().sites.was_middle(rip)
    }

    /// The pages of `range` are going: what was shown there, which must be kept until they are gone.
    pub(crate) fn forget_copies(&self, range: VirtualRange) -> Vec<RewrittenPage> {
        if !self.has_sites.load(Ordering::SeqCst) {
            return Vec::new();
        }
        let mut state = self.state.lock();
        let pages = state.sites.pages_in(range);
        pages.into_iter().filter_map(|page| state.sites.drop_page(page)).collect()
    }

    /// The translation as the sentry made it.
    pub(crate) fn translate(&self, address: VirtualAddress) -> Option<(GuestAddress, Access)> {
        let state = self.state.lock();
        let (frame, access) = state.tables.translate(&*self.machine, address)?;
        let page = address.0 & !(PAGE_SIZE - 1);
        let frame = match state.sites.pages.get(&page) {
            Some(rewritten) => GuestAddress(rewritten.original + (address.0 - page)),
            None => frame,
        };
        Some((frame, access))
    }

    /// What vCPU `vcpu`, on which `seat` has been loaded, loads, and where user code that is to go on at `rip` does. With
    /// rewritten sites the root is one of the vCPU's own.
    ///
    /// # Errors
    /// There is no room for one, or the vCPU has no lane: [`Space::start_afresh`] does without.
    pub(crate) fn entry_for(&self, vcpu: usize, seat: &Seat, rip: u64) -> Result<(Root, u64), PlatformError> {
        let root = self.root();
        if !self.has_sites.load(Ordering::SeqCst) {
            return Ok((root, rip));
        }
        if vcpu >= LANES_MAX {
            return Err(PlatformError::NoVcpu);
        }
        let call_page = self.machine.kernel().call_page(vcpu as u64).0;
        let SpaceState { tables, sites } = &mut *self.lock_for_entry(seat);
        let records = &sites.record_pages;
        let address = tables.gate_root(&*self.machine, vcpu, Kernel::gate_page(), call_page, records)?;
        Ok((Root { address, ..root }, sites.moved_to(rip).unwrap_or(rip)))
    }

    /// The state, for a context that is about to enter. Who has it may be waiting for all contexts to leave: so this one has
    /// left while it waits.
    fn lock_for_entry(&self, seat: &Seat) -> MutexGuard<'_, SpaceState> {
        if let Some(state) = self.state.try_lock() {
            return state;
        }
        seat.step_back();
        self.gate.note_left();
        let state = self.state.lock();
        seat.step_in(self.root().space);
        state
    }

    /// Forgets all translations, and rewrites nothing more.
    pub(crate) fn start_afresh(&self) {
        let mut state = self.state.lock();
        state.sites.is_given_up = true;
        self.has_sites.store(false, Ordering::SeqCst);
        let cleared = self.clear(&mut state);
        drop(state);
        self.settle(cleared);
    }

    /// Puts the program that stopped with `registers` to a place of its own: see [`settle`].
    pub(crate) fn settle_crossing(
        &self,
        lane: &Lane,
        served: Option<Served>,
        is_call: bool,
        registers: &mut Registers,
    ) -> Crossing {
        if registers.rip < VirtualAddress::USER_END.0 {
            return Crossing::Outside;
        }
        let state = self.state.lock();
        settle(self.machine.kernel().gate(), &state.sites, lane.page(), served, is_call, registers)
    }

    /// Whether a fault at `address` comes of a site that was rewritten while the vCPU had the root without records. It may
    /// have been restored since.
    pub(crate) fn is_crossing_without_root(&self, rip: u64, address: VirtualAddress) -> bool {
        let state = self.state.lock();
        let site = record_at(address.0).and_then(|(index, _)| state.sites.get(index));
        site.is_some_and(|site| site.start == rip)
    }

    /// Writes a site's record, on a page that all roots have.
    fn write_record(&self, state: &mut SpaceState, index: usize, site: &Site) -> Result<(), PlatformError> {
        let address = record_address(index);
        let number = (address - RECORDS) / PAGE_SIZE;
        let page = match state.sites.record_pages.get(&number) {
            Some(page) => *page,
            None => {
                let page = state.tables.take_page(&*self.machine)?;
                state.tables.map_records(&*self.machine, number, page)?;
                state.sites.record_pages.insert(number, page);
                page
            }
        };
        write(self.machine.chunks().memory(), page + address % PAGE_SIZE, &site.record(index))
    }

    /// Maps `frame` at `page`, where another was, for text.
    fn show(&self, tables: &mut Tables, page: VirtualAddress, frame: u64) -> Result<(), PlatformError> {
        let run = [FrameRun { start: GuestAddress(frame), pages: 1 }];
        let mut map = |tables: &mut Tables, flush: &mut FlushList| {
            tables.map(&*self.machine, page, &run, TEXT_ACCESS, flush)
        };
        self.change_locked(tables, page, PAGE_SIZE, &run, &mut map)
    }
}

/// The runs with which `runs` are to be mapped from `start` on: pages that are rewritten, and are mapped as before, keep
/// their copies. The copies of the others are forgotten; they must be kept until they are no longer mapped.
pub(crate) fn keep_copies(
    sites: &mut Sites,
    start: VirtualAddress,
    runs: &[FrameRun],
    access: Access,
) -> (Vec<FrameRun>, Vec<RewrittenPage>) {
    let pages: u64 = runs.iter().map(|run| run.pages as u64).sum();
    let range = VirtualRange::new(start, pages.saturating_mul(PAGE_SIZE));
    let rewritten = range.map(|range| sites.pages_in(range)).unwrap_or_default();
    if rewritten.is_empty() {
        return (runs.to_vec(), Vec::new());
    }
    let (mut result, mut dropped, mut address) = (Vec::new(), Vec::new(), start.0);
    for frame in runs.iter().flat_map(frames) {
        let copy = sites.pages.get(&address).map(|page| (page.original, page.patch.copy()));
        let shown = match copy {
            Some((original, copy)) if original == frame && access == TEXT_ACCESS => copy,
            Some(_) => {
                dropped.extend(sites.drop_page(address));
                frame
            }
            None => frame,
        };
        append(&mut result, shown);
        address += PAGE_SIZE;
    }
    (result, dropped)
}

/// The frames of a run.
fn frames(run: &FrameRun) -> impl Iterator<Item = u64> {
    let start = run.start.0;
    (0..run.pages as u64).map(move |page| start + page * PAGE_SIZE)
}

fn append(runs: &mut Vec<FrameRun>, frame: u64) {
    match runs.last_mut() {
        Some(last) if last.start.0 + last.pages as u64 * PAGE_SIZE == frame => last.pages += 1,
        _ => runs.push(FrameRun { start: GuestAddress(frame), pages: 1 }),
    }
}
