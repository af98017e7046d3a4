//! All vCPUs, and who has them.
//!
//! A context keeps its vCPU until another needs one and none is free. Then the first that sleeps loses its
//! own, or one that has had its slice: at once if it is not in user code, else after a nudge. Until then
//! newcomers wait in line, and only the first of them acts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use log::debug;
use parking_lot::{Mutex, MutexGuard};
use rustix::thread::gettid;
use sentry::platform::PlatformError;

use crate::machine::Machine;
use crate::seat::{Seat, SharedSeat};
use crate::vcpu::Vcpu;

/// How long a context has its vCPU before it must give it to another that waits.
const SLICE: Duration = Duration::from_millis(4);
/// The same where moving a vCPU to another thread takes many milliseconds.
const LONG_SLICE: Duration = Duration::from_millis(60);
/// How long those wait who are not first in line. They are woken when they are, or kicked.
const PATIENCE: Duration = Duration::from_secs(1);

/// All vCPUs of a machine.
pub(crate) struct Pool {
    machine: Arc<Machine>,
    state: Mutex<PoolState>,
    /// Length of the line, to be read without the lock.
    waiting: AtomicUsize,
}

struct PoolState {
    /// vCPUs that nobody has.
    idle: Vec<Vcpu>,
    /// vCPUs that were made; the numbers of broken ones are not used again.
    made: usize,
    /// vCPUs that are broken.
    discarded: usize,
    /// How many may be made. Lowered if the host refuses more.
    limit: usize,
    /// Who has each vCPU, by its number.
    holders: Vec<Option<SharedSeat>>,
    /// Where the search for a victim goes on.
    hand: usize,
    line: VecDeque<Waiter>,
}

/// What came of looking for a context to take a vCPU from.
enum Robbery<'a> {
    /// The seat has a vCPU.
    Done,
    /// There is none now.
    Nobody(MutexGuard<'a, PoolState>),
}

struct Waiter {
    seat: SharedSeat,
    thread: Thread,
}

impl Pool {
    /// A pool with one vCPU.
    pub(crate) fn new(machine: Arc<Machine>, first: Vcpu) -> Self {
        let limit = machine.vcpus_max();
        let state = PoolState {
            idle: vec![first],
            made: 1,
            discarded: 0,
            limit,
            holders: vec![None],
            hand: 0,
            line: VecDeque::new(),
        };
        Self { machine, state: Mutex::new(state), waiting: AtomicUsize::new(0) }
    }

    /// Gives a seat without a vCPU one. Returns early, without, if an interrupter kicks the seat.
    pub(crate) fn provide(&self, seat: &SharedSeat) -> Result<(), PlatformError> {
        let mut is_in_line = false;
        loop {
            let mut state = self.state.lock();
            let is_next = match state.line.front() {
                None => true,
                Some(first) => Arc::ptr_eq(&first.seat, seat),
            };
            if is_next {
                if let Some(vcpu) = self.spare(&mut state) {
                    self.leave_line(&mut state, seat);
                    state.set_holder(vcpu.index(), Some(seat));
                    drop(state);
                    return seat.lock().put_vcpu(vcpu);
                }
                if state.discarded == state.made {
                    self.leave_line(&mut state, seat);
                    return Err(no_vcpu());
                }
                state = match self.rob(state, seat)? {
                    Robbery::Done => return Ok(()),
                    Robbery::Nobody(state) => state,
                };
            }
            if !is_in_line {
                state.line.push_back(Waiter { seat: seat.clone(), thread: thread::current() });
                self.waiting.store(state.line.len(), Ordering::SeqCst);
                seat.lock().set_waiter(Some(thread::current()));
                is_in_line = true;
                // Look again: a context may have left user code before it could see the line.
                continue;
            }
            if seat.lock().is_kicked() {
                self.leave_line(&mut state, seat);
                return Ok(());
            }
            let patience = if is_next { self.nudge(&state) } else { PATIENCE };
            drop(state);
            thread::park_timeout(patience);
        }
    }

    /// Whether somebody waits for a vCPU.
    fn has_line(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Gives the vCPU of a context that is not in user code to whoever is first in line, if anybody is and the
    /// context sleeps or has had its slice.
    pub(crate) fn surrender(&self, seat: &Seat) -> Result<(), PlatformError> {
        if !self.has_line() {
            return Ok(());
        }
        let mut state = self.state.lock();
        let mut seat = seat.lock();
        if seat.slice_used().is_none_or(|used| used >= self.slice())
            && let Some(vcpu) = seat.take_vcpu()?
        {
            state.put_idle(vcpu);
        }
        Ok(())
    }

    /// Takes the vCPU of a context that has ended.
    pub(crate) fn take_back(&self, seat: &Seat) {
        let mut state = self.state.lock();
        let Some(vcpu) = seat.lock().vcpu.take() else { return };
        state.put_idle(vcpu);
    }

    /// Drops a vCPU that can no longer run.
    pub(crate) fn discard(&self, vcpu: Vcpu) {
        let mut state = self.state.lock();
        state.set_holder(vcpu.index(), None);
        state.discarded += 1;
    }

    /// Takes an idle vCPU, or makes one.
    fn spare(&self, state: &mut PoolState) -> Option<Vcpu> {
        let thread = gettid();
        if let Some(own) = state.idle.iter().rposition(|vcpu| vcpu.thread() == Some(thread)) {
            return Some(state.idle.swap_remove(own));
        }
        if self.machine.is_moving_slow()
            && let Some(vcpu) = self.make(state)
        {
            return Some(vcpu);
        }
        state.idle.pop().or_else(|| self.make(state))
    }

    /// Takes a vCPU from a context that is not in user code, for `seat`. What lives in it is saved and loaded without
    /// the pool's lock: each takes longer than all else. The victim's own lock keeps the victim out meanwhile.
    fn rob<'a>(
        &'a self,
        mut state: MutexGuard<'a, PoolState>,
        seat: &SharedSeat,
    ) -> Result<Robbery<'a>, PlatformError> {
        for must_sleep in [true, false] {
            for _ in 0..state.holders.len() {
                state.hand = (state.hand + 1) % state.holders.len();
                let hand = state.hand;
                let Some(Some(holder)) = state.holders.get(hand).cloned() else { continue };
                // Whoever has the lock is about to run, or is being robbed.
                let Some(mut victim) = holder.try_lock() else { continue };
                let is_due = match victim.slice_used() {
                    None => true,
                    Some(used) => !must_sleep && used >= self.slice(),
                };
                if is_due && victim.vcpu.is_some() {
                    self.leave_line(&mut state, seat);
                    state.set_holder(hand, Some(seat));
                    drop(state);
                    let taken = victim.take_vcpu();
                    drop(victim);
                    return match taken {
                        Ok(Some(vcpu)) => seat.lock().put_vcpu(vcpu).map(|()| Robbery::Done),
                        Ok(None) => Err(no_vcpu()),
                        Err(error) => {
                            self.state.lock().set_holder(hand, Some(&holder));
                            Err(error)
                        }
                    };
                }
            }
        }
        Ok(Robbery::Nobody(state))
    }

    /// Makes a vCPU, if there may be more.
    fn make(&self, state: &mut PoolState) -> Option<Vcpu> {
        if state.made == state.limit {
            return None;
        }
        match self.machine.new_vcpu(state.made) {
            Ok(vcpu) => {
                state.made += 1;
                state.holders.push(None);
                Some(vcpu)
            }
            Err(error) => {
                debug!("no more than {} vCPUs: {error}", state.made);
                state.limit = state.made;
                None
            }
        }
    }

    fn slice(&self) -> Duration {
        if self.machine.is_moving_slow() { LONG_SLICE } else { SLICE }
    }

    fn leave_line(&self, state: &mut PoolState, seat: &SharedSeat) {
        seat.lock().set_waiter(None);
        state.line.retain(|waiter| !Arc::ptr_eq(&waiter.seat, seat));
        self.waiting.store(state.line.len(), Ordering::SeqCst);
        if let Some(first) = state.line.front() {
            first.thread.unpark();
        }
    }

    /// Gets a context that has had its slice out of user code, so that it surrenders its vCPU. Returns how long
    /// to wait.
    fn nudge(&self, state: &PoolState) -> Duration {
        let slice = self.slice();
        let used = |seat: &SharedSeat| seat.lock().slice_used().unwrap_or(slice);
        let Some((used, seat)) =
            state.holders.iter().flatten().map(|seat| (used(seat), seat)).max_by_key(|(used, _)| *used)
        else {
            return SLICE;
        };
        if used >= slice {
            seat.nudge();
        }
        slice.saturating_sub(used).max(SLICE / 8)
    }
}

impl PoolState {
    fn put_idle(&mut self, vcpu: Vcpu) {
        self.set_holder(vcpu.index(), None);
        self.idle.push(vcpu);
        if let Some(first) = self.line.front() {
            first.thread.unpark();
        }
    }

    fn set_holder(&mut self, index: usize, seat: Option<&SharedSeat>) {
        if let Some(holder) = self.holders.get_mut(index) {
            *holder = seat.cloned();
        }
    }
}

fn no_vcpu() -> PlatformError {
    PlatformError { attempt: "find a vCPU", source: std::io::ErrorKind::OutOfMemory.into() }
}
