//! The port's `AddressSpace`.
//!
//! Two ways lead to "no vCPU uses the old translation": forgetting the translations to single frames, which
//! needs nobody's help, and purging the tables' slots, which needs every vCPU out of the space. The second is
//! for structural changes and for long lists. See `tables` for what must be one or the other.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sentry::platform::{
    Access, AddressSpace, FrameRun, GuestAddress, PAGE_SIZE, PlatformError, VirtualAddress, VirtualRange,
};

use crate::exitless::rewrite;
use crate::exitless::sites::{RewrittenPage, Sites};
use crate::flush::FlushList;
use crate::gate::Gate;
use crate::machine::Machine;
use crate::seat::SharedSeat;
use crate::tables::Tables;
use crate::vcpu::Root;

/// One set of page tables.
pub(crate) struct KvmAddressSpace {
    shared: Arc<Space>,
}

/// What a context remembers of the space that it last ran in.
pub(crate) struct Space {
    pub(crate) machine: Arc<Machine>,
    root: Root,
    pub(crate) gate: Gate,
    pub(crate) state: Mutex<SpaceState>,
    /// There are rewritten call sites, or were: to be read without the lock.
    pub(crate) has_sites: AtomicBool,
    /// A SYSCALL instruction that traps often; 0 if there is none.
    pub(crate) frequent_call: AtomicU64,
    /// KVM would not forget something, or nobody uses it any more: nobody may run here.
    is_lost: AtomicBool,
    /// The contexts that may be running here, by their addresses.
    members: Mutex<BTreeMap<usize, SharedSeat>>,
}

/// The tables, and what `exitless` has put into them.
pub(crate) struct SpaceState {
    pub(crate) tables: Tables,
    pub(crate) sites: Sites,
}

/// A change of the tables.
type Change<'a> = &'a mut dyn FnMut(&mut Tables, &mut FlushList) -> Result<(), PlatformError>;

impl KvmAddressSpace {
    /// Makes an empty address space.
    pub(crate) fn new(machine: Arc<Machine>) -> Result<Self, PlatformError> {
        let tables = Tables::new(&*machine)?;
        let root = Root { space: machine.new_space_number(), address: tables.root(&*machine) };
        let shared = Space {
            machine,
            root,
            gate: Gate::default(),
            state: Mutex::new(SpaceState { tables, sites: Sites::default() }),
            has_sites: AtomicBool::new(false),
            frequent_call: AtomicU64::new(0),
            is_lost: AtomicBool::new(false),
            members: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What contexts share of it.
    pub(crate) fn shared(&self) -> &Arc<Space> {
        &self.shared
    }
}

impl Space {
    /// What a vCPU loads.
    pub(crate) fn root(&self) -> Root {
        self.root
    }

    /// Whether nobody may run here any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    /// A context is about to run here, after having run in `last`.
    pub(crate) fn enlist(self: &Arc<Self>, seat: &SharedSeat, last: &mut Weak<Self>) {
        if std::ptr::eq(last.as_ptr(), Arc::as_ptr(self)) {
            return;
        }
        if let Some(last) = last.upgrade() {
            last.dismiss(seat);
        }
        self.members.lock().insert(Arc::as_ptr(seat).addr(), seat.clone());
        *last = Arc::downgrade(self);
    }

    /// A context will not run here any more.
    pub(crate) fn dismiss(&self, seat: &SharedSeat) {
        self.members.lock().remove(&Arc::as_ptr(seat).addr());
    }

    /// Whether the tables permit an access, so that a fault there was stale.
    pub(crate) fn permits(&self, address: VirtualAddress, access: Access) -> bool {
        let translation = self.state.lock().tables.translate(&*self.machine, address);
        translation.is_some_and(|(_, permitted)| permitted.contains(access))
    }

    /// Makes KVM read the translation of one address afresh.
    pub(crate) fn refresh(&self, address: VirtualAddress) {
        let state = self.state.lock();
        if let Some((frame, _)) = state.tables.translate(&*self.machine, address) {
            let mut flush = FlushList::default();
            flush.push(frame.0 & !(PAGE_SIZE - 1), PAGE_SIZE);
            if let Err(error) = self.machine.flush(&flush) {
                log::warn!("a stale translation stays: {error}");
            }
        }
    }

    /// Makes a change of `len_bytes` from `start` on and does what must follow.
    fn change(
        &self,
        start: VirtualAddress,
        len_bytes: u64,
        runs: &[FrameRun],
        change: Change<'_>,
    ) -> Result<(), PlatformError> {
        let mut state = self.state.lock();
        self.change_locked(&mut state.tables, start, len_bytes, runs, change)
    }

    /// The same with the lock held.
    pub(crate) fn change_locked(
        &self,
        tables: &mut Tables,
        start: VirtualAddress,
        len_bytes: u64,
        runs: &[FrameRun],
        change: Change<'_>,
    ) -> Result<(), PlatformError> {
        if tables.chunks().is_empty() {
            return Ok(());
        }
        let mut flush = FlushList::default();
        if tables.is_structural(&*self.machine, start, len_bytes, runs)? {
            return self.purge(tables, |tables| change(tables, &mut flush));
        }
        let result = change(tables, &mut flush);
        if flush.is_too_long() || self.machine.flush(&flush).is_err() {
            self.purge(tables, |_| Ok(()))?;
        }
        result
    }

    /// Makes a change while no vCPU is here, then makes KVM forget the whole space.
    fn purge<T>(
        &self,
        tables: &mut Tables,
        change: impl FnOnce(&mut Tables) -> Result<T, PlatformError>,
    ) -> Result<T, PlatformError> {
        let members: Vec<_> = self.members.lock().values().cloned().collect();
        self.gate.closed(self.root.space, &members, || {
            let result = change(tables);
            self.machine.purge(tables.chunks())?;
            tables.on_purge();
            result
        })
    }

    /// Forgets everything.
    pub(crate) fn clear(&self, state: &mut SpaceState) -> Result<(), PlatformError> {
        if state.tables.chunks().is_empty() {
            return Ok(());
        }
        let copies = state.sites.reset();
        let surplus = self.purge(&mut state.tables, |tables| tables.reset(&*self.machine))?;
        drop(copies);
        for (chunk, used_pages) in surplus {
            self.machine.release(chunk, used_pages);
        }
        Ok(())
    }

    /// Maps `runs`, with some pages in place of others as `choose` says; if there is no room for that, as they are. What
    /// `choose` says is no longer shown is kept until it is not.
    fn map_chosen(
        &self,
        start: VirtualAddress,
        runs: &[FrameRun],
        access: Access,
        choose: impl FnOnce(&mut SpaceState) -> (Vec<FrameRun>, Vec<RewrittenPage>),
    ) -> Result<(), PlatformError> {
        let pages: u64 = runs.iter().map(|run| run.pages as u64).sum();
        let len_bytes = pages.saturating_mul(PAGE_SIZE);
        let mut state = self.state.lock();
        let map = |state: &mut SpaceState, runs: &[FrameRun]| {
            let mut map = |tables: &mut Tables, flush: &mut FlushList| {
                tables.map(&*self.machine, start, runs, access, flush)
            };
            self.change_locked(&mut state.tables, start, len_bytes, runs, &mut map)
        };
        if state.tables.chunks().is_empty() {
            return Ok(());
        }
        let (chosen, _copies) = choose(&mut state);
        match map(&mut state, &chosen) {
            // It may start afresh, without copies.
            Err(PlatformError::TablesFull | PlatformError::HostMemory { .. }) => {
                self.clear(&mut state)?;
                map(&mut state, runs)
            }
            result => result,
        }
    }

    /// Sees to it that a change that cannot be refused has happened: if it failed, everything is forgotten, and
    /// if that fails, nobody runs here again.
    pub(crate) fn settle(&self, result: Result<(), PlatformError>) {
        let Err(error) = result else { return };
        log::debug!("an address space starts afresh: {error}");
        if let Err(error) = self.clear(&mut self.state.lock()) {
            log::error!("an address space is lost: {error}");
            self.is_lost.store(true, Ordering::SeqCst);
            for member in self.members.lock().values() {
                member.nudge();
            }
        }
    }
}

impl Space {
    /// Gives the tables up. Translations to what they showed may live on in KVM, but none that a vCPU can use: whoever runs
    /// next loads another root, and the chunks go to another space only after KVM has forgotten them.
    fn abandon(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
        let mut state = self.state.lock();
        let _copies = state.sites.reset();
        for (chunk, used_pages) in state.tables.take_chunks() {
            self.machine.release(chunk, used_pages);
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        for (chunk, used_pages) in self.state.get_mut().tables.take_chunks() {
            self.machine.release(chunk, used_pages);
        }
    }
}

impl AddressSpace for KvmAddressSpace {
    fn map(&self, start: VirtualAddress, runs: &[FrameRun], access: Access) -> Result<(), PlatformError> {
        let keep = |state: &mut SpaceState| rewrite::keep_copies(&mut state.sites, start, runs, access);
        self.shared.map_chosen(start, runs, access, keep)
    }

    fn knows_text(&self, runs: &[FrameRun]) -> bool {
        // Where nobody polls, a way to the gate costs more than it saves.
        let machine = &self.shared.machine;
        machine.dispatcher().is_some_and(|dispatcher| dispatcher.is_likely_to_poll())
            && machine.patches().has_any(runs)
    }

    fn map_text(&self, start: VirtualAddress, runs: &[FrameRun]) -> Result<(), PlatformError> {
        let space = &*self.shared;
        let adopt = |state: &mut SpaceState| space.adopt_copies(state, start, runs);
        space.map_chosen(start, runs, rewrite::TEXT_ACCESS, adopt)
    }

    fn unmap(&self, range: VirtualRange) {
        let space = &*self.shared;
        let _copies = space.forget_copies(range);
        let mut unmap =
            |tables: &mut Tables, flush: &mut FlushList| tables.unmap(&*space.machine, range, flush);
        let result = space.change(range.start, range.len_bytes(), &[], &mut unmap);
        space.settle(result);
    }

    fn protect(&self, range: VirtualRange, access: Access) {
        let space = &*self.shared;
        if access != rewrite::TEXT_ACCESS {
            space.restore(range);
        }
        let mut protect = |tables: &mut Tables, flush: &mut FlushList| {
            tables.protect(&*space.machine, range, access, flush)
        };
        let result = space.change(range.start, range.len_bytes(), &[], &mut protect);
        space.settle(result);
    }

    fn take_frequent_call(&self) -> Option<VirtualAddress> {
        self.shared.take_frequent_call()
    }

    fn rewrite_call(&self, syscall: VirtualAddress) {
        if let Err(error) = self.shared.rewrite_call(syscall) {
            log::debug!("a call stays as it is: {error}");
        }
    }

    fn clear(&self) {
        let result = self.shared.clear(&mut self.shared.state.lock());
        self.shared.settle(result);
    }

    fn abandon(&self) {
        self.shared.abandon();
    }

    fn translate(&self, address: VirtualAddress) -> Option<(GuestAddress, Access)> {
        self.shared.translate(address)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
