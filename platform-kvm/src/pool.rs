//! All vCPUs, and who has them.
//!
//! A context keeps its vCPU until another needs one and none is free. Then the first that sleeps loses its
//! own, or one that has had its slice: at once if it is not in user code, else after a nudge. Until then
//! newcomers wait in line, and only the first of them acts.
//!
//! # Why nobody waits for ever
//!
//! - Who joins the line looks at the holders once more afterwards. A context that sleeps or leaves user code puts its vCPU
//!   into its seat, and then looks for a line. Both looks are sequentially consistent: one of the two sees the other, and the
//!   vCPU changes hands.
//! - The first in line never waits without a time-out. It looks again after [`SHORT_WAIT`] or once a slice ends, so that
//!   a missed vCPU, as of a seat whose lock was taken at the moment, costs that time and no more.
//! - Who is not first waits for whoever is to leave the line, which wakes the new first, on all paths: with a vCPU, with an
//!   error, or kicked.
//! - A context in user code that has had its slice is nudged, [`NUDGES`] at a time and others each time: the host may
//!   have more threads to run than processors, and a nudge works once the thread runs. Out of user code the context
//!   surrenders its vCPU before it can enter again.
//! - A stolen context that runs finds no vCPU and joins the line like any other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use log::debug;
use parking_lot::{Mutex, MutexGuard};
use sentry::platform::PlatformError;

use crate::kick::own_thread;
use crate::machine::Machine;
use crate::seat::{Seat, SeatState, SharedSeat};
use crate::vcpu::Vcpu;

/// How long a context has its vCPU before it must give it to another that waits.
const SLICE: Duration = Duration::from_millis(4);
/// The same where moving a vCPU to another thread takes many milliseconds.
const LONG_SLICE: Duration = Duration::from_millis(60);
/// How long the first in line waits for a context that it has nudged, at least.
const SHORT_WAIT: Duration = Duration::from_micros(500);
/// How much longer than a look at the holders it waits for the next.
const LOOKS_APART: u32 = 8;
/// Contexts that are nudged at once: the host may not be running the first.
const NUDGES: usize = 4;
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

/// What a look at the holders has found.
struct Survey {
    /// One that can be stolen, and its vCPU's number.
    victim: Option<(usize, SharedSeat)>,
    /// Some that have had their slices and are in user code.
    due: Vec<SharedSeat>,
    /// When to look again.
    wait: Duration,
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
            let begun = Instant::now();
            let mut patience = PATIENCE;
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
                    return Err(PlatformError::NoVcpu);
                }
                let survey = state.survey(self.slice());
                if let Some((index, victim)) = &survey.victim
                    && let Some(victim_state) = victim.try_lock()
                    && victim_state.can_be_stolen(self.slice())
                {
                    self.leave_line(&mut state, seat);
                    state.set_holder(*index, Some(seat));
                    drop(state);
                    return self.steal(*index, victim, victim_state, seat);
                }
                if is_in_line {
                    survey.due.iter().for_each(|seat| seat.nudge());
                }
                // A look at many holders takes long: others want the lock, too.
                patience = survey.wait.max(begun.elapsed() * LOOKS_APART);
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
        let thread = own_thread();
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

    /// Takes vCPU `index` from `victim`, which is not in user code, for `seat`. What lives in it is saved and loaded without
    /// the pool's lock: each takes longer than all else. The victim's own lock keeps the victim out meanwhile.
    fn steal(
        &self,
        index: usize,
        victim: &SharedSeat,
        mut victim_state: MutexGuard<'_, SeatState>,
        seat: &SharedSeat,
    ) -> Result<(), PlatformError> {
        let taken = victim_state.take_vcpu();
        drop(victim_state);
        match taken {
            Ok(Some(vcpu)) => seat.lock().put_vcpu(vcpu),
            Ok(None) => Err(PlatformError::NoVcpu),
            Err(error) => {
                self.state.lock().set_holder(index, Some(victim));
                Err(error)
            }
        }
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
}

impl PoolState {
    /// Looks for a context to take a vCPU from: the first that sleeps, else one that has had its slice.
    fn survey(&mut self, slice: Duration) -> Survey {
        let (mut longest, mut fallback, mut due) = (Duration::ZERO, None, Vec::new());
        let count = self.holders.len();
        for index in (1..=count).map(|step| (self.hand + step) % count) {
            let Some(Some(holder)) = self.holders.get(index) else { continue };
            // Whoever has the lock is about to run, or is being stolen.
            let Some(state) = holder.try_lock() else { continue };
            match state.slice_used() {
                None if state.vcpu.is_some() => {
                    drop(state);
                    let victim = Some((index, holder.clone()));
                    self.hand = index;
                    return Survey { victim, due: Vec::new(), wait: SHORT_WAIT };
                }
                None => {}
                Some(used) if used < slice => longest = longest.max(used),
                Some(_) if state.vcpu.is_some() => {
                    fallback.get_or_insert_with(|| (index, holder.clone()));
                }
                Some(_) if due.len() < NUDGES => due.push((index, holder.clone())),
                Some(_) => {}
            }
        }
        if let Some((index, _)) = fallback.as_ref().or(due.last()) {
            self.hand = *index;
        }
        let wait = if due.is_empty() { (slice - longest).max(SHORT_WAIT) } else { SHORT_WAIT };
        Survey { victim: fallback, due: due.into_iter().map(|(_, seat)| seat).collect(), wait }
    }

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
