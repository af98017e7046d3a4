//! Time namespaces (`man 7 time_namespaces`).
//!
//! The offsets can be set until the first task enters; from then on they are settled, and the namespace has a page of the
//! vDSO's data of its own, in which the clocks are shifted. A task enters the namespace of its children to come as it
//! executes a program, and a new task unless it shares its maker's memory: an address space shows one namespace's page.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{ClockOffsets, ShiftedVvar};
use crate::Errno;
use crate::cred::{Identity, Namespace};
use crate::memory::Frame;

/// How the monotonic clocks of some tasks differ from the machine's.
pub struct TimeNamespace {
    identity: Identity,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    offsets: ClockOffsets,
    is_settled: bool,
    /// Once it is settled, if a clock is shifted.
    vdso: Option<ShiftedVdso>,
}

/// The vDSO with a data page whose clocks are shifted.
#[derive(Clone)]
pub(crate) struct ShiftedVdso {
    /// The data page and the code.
    pub(crate) frames: Arc<[Frame]>,
    /// Keeps the data page up to date.
    pub(crate) _vvar: Arc<ShiftedVvar>,
}

impl TimeNamespace {
    /// A namespace whose clocks are the machine's, and stay so.
    pub fn initial(identity: Identity) -> Arc<Self> {
        let state = State { is_settled: true, ..State::default() };
        Arc::new(Self { identity, state: Mutex::new(state) })
    }

    /// A namespace whose clocks are those of this one, until they are set.
    pub fn duplicate(&self, identity: Identity) -> Arc<Self> {
        let state = State { offsets: self.offsets(), ..State::default() };
        Arc::new(Self { identity, state: Mutex::new(state) })
    }

    /// How far its clocks are ahead of the machine's.
    pub fn offsets(&self) -> ClockOffsets {
        self.state.lock().offsets
    }

    /// Changes the offsets.
    ///
    /// # Errors
    /// EACCES: a task is or was in the namespace.
    pub fn set_offsets(&self, offsets: ClockOffsets) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.is_settled {
            return Err(Errno::EACCES);
        }
        state.offsets = offsets;
        Ok(())
    }

    /// Settles the offsets: a task enters. Returns the vDSO if it is not the machine's; `make` makes it the first time.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn settle(
        &self,
        make: impl FnOnce(ClockOffsets) -> Result<ShiftedVdso, Errno>,
    ) -> Result<Option<ShiftedVdso>, Errno> {
        let mut state = self.state.lock();
        if !state.is_settled && state.offsets != ClockOffsets::default() {
            state.vdso = Some(make(state.offsets)?);
        }
        state.is_settled = true;
        Ok(state.vdso.clone())
    }
}

impl Namespace for TimeNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}

#[cfg(test)]
mod tests;
