//! A context's place: the vCPU that it has, or what was saved of it, and the kicks that it is owed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use sentry::platform::{Interrupter, PlatformError, SegmentBases};

use crate::exitless::lane::Lane;
use crate::extended::Packed;
use crate::kick::{Kick, own_thread};
use crate::vcpu::Vcpu;

/// A context's place.
pub(crate) struct Seat {
    state: Mutex<SeatState>,
}

/// What a seat holds.
pub(crate) struct SeatState {
    /// The context's vCPU, unless it has none or is running on it.
    pub(crate) vcpu: Option<Vcpu>,
    /// What was saved when the vCPU was taken. Of no meaning while there is one.
    pub(crate) saved: Saved,
    /// Set while the context's thread is in user code.
    running: Option<Running>,
    /// An interrupter's wish that no run has reported yet.
    is_kicked: bool,
    /// The context's task sleeps.
    is_asleep: bool,
    /// When the context's slice began: it got its vCPU, or that was ready for it.
    seated_at: Instant,
    /// The context's thread, while it waits for a vCPU.
    waiter: Option<Thread>,
}

/// The state that lives in a vCPU and that registers do not hold.
#[derive(Default)]
pub(crate) struct Saved {
    pub(crate) bases: SegmentBases,
    /// `None`: that of a new task.
    pub(crate) extended: Option<Packed>,
}

struct Running {
    kick: Kick,
    /// `None`: it waits for whoever changes its space.
    space: Option<u64>,
    lane: Option<Arc<Lane>>,
}

/// What [`Seat::load`] says.
pub(crate) enum Loading {
    /// Run now, on this vCPU; [`Seat::unload`] follows.
    Go(Vcpu),
    /// The vCPU must move to the calling thread first; [`Seat::put_back`] follows.
    Move(Vcpu),
    /// An interrupter was first.
    Kicked,
    /// There is no vCPU here.
    NeedsVcpu,
    /// The address space is being purged.
    Closed,
}

impl Seat {
    /// The seat of a new context.
    pub(crate) fn new() -> Self {
        let state = SeatState {
            vcpu: None,
            saved: Saved::default(),
            running: None,
            is_kicked: false,
            is_asleep: false,
            seated_at: Instant::now(),
            waiter: None,
        };
        Self { state: Mutex::new(state) }
    }

    /// The state. Lock order: last, after the pool's and the gate's.
    pub(crate) fn lock(&self) -> MutexGuard<'_, SeatState> {
        self.state.lock()
    }

    /// The state, if nobody else has it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, SeatState>> {
        self.state.try_lock()
    }

    /// Takes the vCPU and notes that the calling thread runs it in `space`.
    pub(crate) fn load(&self, space: u64, is_closed: &AtomicBool) -> Loading {
        let mut state = self.state.lock();
        state.is_asleep = false;
        if std::mem::take(&mut state.is_kicked) {
            return Loading::Kicked;
        }
        // Read under the lock: whoever closes a gate looks at the seats afterwards.
        if is_closed.load(Ordering::SeqCst) {
            return Loading::Closed;
        }
        let Some(mut vcpu) = state.vcpu.take() else { return Loading::NeedsVcpu };
        let thread = own_thread();
        if vcpu.thread() != Some(thread) {
            return Loading::Move(vcpu);
        }
        // SAFETY: `unload`, which the same thread calls, removes the value before it gives the vCPU up.
        let kick = unsafe { vcpu.kick(thread) };
        state.running = Some(Running { kick, space: Some(space), lane: vcpu.lane().cloned() });
        Loading::Go(vcpu)
    }

    /// Puts a vCPU back that has moved. The context's slice begins.
    pub(crate) fn put_back(&self, vcpu: Vcpu) {
        let mut state = self.state.lock();
        state.vcpu = Some(vcpu);
        state.seated_at = Instant::now();
    }

    /// Between [`Seat::load`] and user code: the context is in no space until it steps in, and can be kicked.
    pub(crate) fn step_back(&self) {
        self.set_space(None);
    }

    /// The context enters `space`. Whoever may close that space's gate is kept out by the caller meanwhile.
    pub(crate) fn step_in(&self, space: u64) {
        self.set_space(Some(space));
    }

    fn set_space(&self, space: Option<u64>) {
        if let Some(running) = &mut self.state.lock().running {
            running.space = space;
        }
    }

    /// The context is out of user code. Its vCPU is its own until [`Seat::unload`].
    pub(crate) fn leave(&self) {
        self.state.lock().running = None;
    }

    /// Ends what [`Seat::load`] began: puts the vCPU back, unless it is broken. Returns whether an interrupter
    /// wants the run to end; with `takes_kick`, that is reported and done with.
    pub(crate) fn unload(&self, vcpu: Vcpu, takes_kick: bool) -> (bool, Option<Vcpu>) {
        let mut state = self.state.lock();
        state.running = None;
        let is_kicked = state.is_kicked;
        if takes_kick {
            state.is_kicked = false;
        }
        if vcpu.is_broken() {
            return (is_kicked, Some(vcpu));
        }
        state.vcpu = Some(vcpu);
        (is_kicked, None)
    }

    /// Whether the context is in user code in `space`.
    pub(crate) fn is_running_in(&self, space: u64) -> bool {
        self.state.lock().running.as_ref().is_some_and(|running| running.space == Some(space))
    }

    /// Makes the context come out of user code for a moment, without its sentry noticing.
    pub(crate) fn nudge(&self) {
        if let Some(running) = &self.state.lock().running {
            running.kick.send();
        }
    }
}

impl SeatState {
    /// Whether an interrupter wants the next run to end.
    pub(crate) fn is_kicked(&self) -> bool {
        self.is_kicked
    }

    /// How much of its slice the context has had; `None` if it sleeps, so that it needs none.
    pub(crate) fn slice_used(&self) -> Option<Duration> {
        (!self.is_asleep).then(|| self.seated_at.elapsed())
    }

    /// Whether another may have the vCPU: it is not in use, and the context sleeps or has had its slice.
    pub(crate) fn can_be_stolen(&self, slice: Duration) -> bool {
        self.vcpu.is_some() && self.slice_used().is_none_or(|used| used >= slice)
    }

    /// The context's task sleeps, until it runs again.
    pub(crate) fn fall_asleep(&mut self) {
        self.is_asleep = true;
    }

    /// The context's task sleeps no more. If it has a vCPU, its slice begins.
    pub(crate) fn wake(&mut self) {
        if std::mem::take(&mut self.is_asleep) {
            self.seated_at = Instant::now();
        }
    }

    /// Notes which thread waits for a vCPU, so that an interrupter wakes it.
    pub(crate) fn set_waiter(&mut self, waiter: Option<Thread>) {
        self.waiter = waiter;
    }

    /// Takes the vCPU from a context that does not need it now.
    pub(crate) fn take_vcpu(&mut self) -> Result<Option<Vcpu>, PlatformError> {
        let Some(mut vcpu) = self.vcpu.take() else { return Ok(None) };
        let saved = vcpu.segment_bases().and_then(|bases| {
            let extended = Some(Packed::new(&vcpu.extended_state()?));
            Ok(Saved { bases, extended })
        });
        match saved {
            Ok(saved) => {
                self.saved = saved;
                Ok(Some(vcpu))
            }
            Err(error) => {
                self.vcpu = Some(vcpu);
                Err(error)
            }
        }
    }

    /// Puts the context on a vCPU.
    pub(crate) fn put_vcpu(&mut self, mut vcpu: Vcpu) -> Result<(), PlatformError> {
        let extended = self.saved.extended.as_ref().map(Packed::bytes);
        vcpu.set_extended_state(extended.as_deref())?;
        vcpu.set_segment_bases(self.saved.bases);
        self.vcpu = Some(vcpu);
        self.saved = Saved::default();
        self.seated_at = Instant::now();
        Ok(())
    }
}

/// The handle that other threads hold.
impl Interrupter for Seat {
    fn interrupt(&self) {
        let mut state = self.state.lock();
        state.is_kicked = true;
        if let Some(running) = &state.running {
            running.kick.send();
        }
        if let Some(waiter) = &state.waiter {
            waiter.unpark();
        }
    }

    fn withdraw_answer(&self, number: u8) {
        // If it is told again before it runs, the interruption comes before it can ask.
        if let Some(lane) = self.state.lock().running.as_ref().and_then(|running| running.lane.as_ref()) {
            lane.withdraw_answer(number);
        }
        self.interrupt();
    }
}

/// A seat that several hold.
pub(crate) type SharedSeat = Arc<Seat>;
