//! The port's `Context`: one task's execution state, on a vCPU while it runs.

use std::sync::{Arc, Weak};
use std::time::Instant;

use log::error;
use sentry::platform::{
    Access, AddressSpace, CallServer, Context, Exit, Interrupter, InvalidExtendedState, PlatformError,
    Registers, SegmentBases, VirtualAddress,
};

use crate::address_space::{KvmAddressSpace, Space};
use crate::exitless::crossing::Crossing;
use crate::exitless::dispatcher::Dispatcher;
use crate::exitless::economy::Counts;
use crate::exitless::lane::Lane;
use crate::extended::Packed;
use crate::machine::Machine;
use crate::pool::Pool;
use crate::seat::{Loading, Seat, SharedSeat};
use crate::vcpu::{Root, Stop, Vcpu};

/// #UD (SDM 3A 6.15).
const INVALID_OPCODE: u8 = 6;
/// #GP (SDM 3A 6.15).
const GENERAL_PROTECTION: u8 = 13;
/// Faults in a row on a page that the tables permit, after which KVM is told to look again, and after which
/// the sentry is.
const STALE_FAULTS_BEFORE_REFRESH: u32 = 2;
const STALE_FAULTS_MAX: u32 = 8;

/// One task's execution state.
pub(crate) struct KvmContext {
    machine: Arc<Machine>,
    pool: Arc<Pool>,
    seat: SharedSeat,
    /// Where it ran last.
    space: Weak<Space>,
    /// Faults in a row that the tables, and what is rewritten, did not explain.
    stale_faults: u32,
    /// When a call last left the gate.
    last_call: Option<Instant>,
}

impl KvmContext {
    /// Makes the state of a new task. It gets a vCPU when it first runs.
    pub(crate) fn new(machine: Arc<Machine>, pool: Arc<Pool>) -> Self {
        Self {
            machine,
            pool,
            seat: Arc::new(Seat::new()),
            space: Weak::new(),
            stale_faults: 0,
            last_call: None,
        }
    }

    /// Runs on `vcpu` once. `None`: run again.
    fn run_on(
        &mut self,
        mut vcpu: Vcpu,
        space: &Space,
        registers: &mut Registers,
        server: Option<&mut dyn CallServer>,
    ) -> Option<Exit> {
        let Ok((root, rip)) = space.entry_for(vcpu.index(), &self.seat, registers.rip) else {
            self.seat.unload(vcpu, false);
            space.gate.note_left();
            space.start_afresh();
            return None;
        };
        registers.rip = rip;
        let stop = match vcpu.lane().cloned() {
            None => {
                let stop = self.run_vcpu(&mut vcpu, space, root, registers);
                (!self.is_ours(&stop, space, root, registers)).then_some(stop)
            }
            Some(lane) => self.run_lent(&mut vcpu, &lane, space, root, registers, server),
        };
        let (is_kicked, broken) = self.seat.unload(vcpu, matches!(stop, Some(Stop::Kicked)));
        if let Some(vcpu) = broken {
            self.pool.discard(vcpu);
        }
        if let Err(error) = self.pool.surrender(&self.seat) {
            return Some(Exit::Broken(error.to_string()));
        }
        match stop? {
            Stop::Exit(Exit::Fault { address, access }) if self.is_stale(space, address, access) => None,
            Stop::Exit(exit) => Some(exit),
            Stop::Kicked => is_kicked.then_some(Exit::Interrupted),
        }
    }

    /// Runs `vcpu` until user code has left.
    fn run_vcpu(&self, vcpu: &mut Vcpu, space: &Space, root: Root, registers: &mut Registers) -> Stop {
        let watch = self.machine.dispatcher().map(|dispatcher| (dispatcher, Instant::now()));
        let stop = vcpu.run(root, registers);
        self.machine.run_counts().note(&stop);
        if let (Stop::Exit(Exit::Syscall), Some((dispatcher, begun))) = (&stop, watch) {
            dispatcher.economy().note_exit(begun.elapsed());
        }
        self.seat.leave();
        space.gate.note_left();
        stop
    }

    /// The same while calls may be served on `lane`. Whatever stopped the vCPU, the registers are the program's own
    /// afterwards. `None`: it goes on.
    fn run_lent(
        &mut self,
        vcpu: &mut Vcpu,
        lane: &Lane,
        space: &Space,
        root: Root,
        registers: &mut Registers,
        mut server: Option<&mut dyn CallServer>,
    ) -> Option<Stop> {
        let dispatcher = self.machine.dispatcher()?.clone();
        vcpu.prepare_lane(root);
        let (stop, served) = match &mut server {
            Some(server) if root != space.root() => lane.lend(&mut **server, || {
                let _running = dispatcher.enter(lane);
                self.run_vcpu(vcpu, space, root, registers)
            }),
            _ => {
                lane.withdraw();
                (self.run_vcpu(vcpu, space, root, registers), None)
            }
        };
        let is_call = matches!(stop, Stop::Exit(Exit::Syscall));
        let crossing = space.settle_crossing(lane, served, is_call, registers);
        match (crossing, &stop) {
            (Crossing::Outside, Stop::Exit(Exit::Syscall)) => {
                note_trap(&dispatcher, server, space, registers);
            }
            (Crossing::Outside, _) if self.is_ours(&stop, space, root, registers) => return None,
            (Crossing::Call, _) => {
                if lane.is_polled() && lane.is_ignored() {
                    server.into_iter().for_each(CallServer::note_vain_wait);
                }
                self.call_dispatcher(&dispatcher, lane);
            }
            // Nobody may have kicked it: it has unblocked a signal itself, or somebody else's kick has ended the run.
            (Crossing::Settled, Stop::Exit(Exit::Syscall) | Stop::Kicked)
                if served.is_some_and(|served| served.must_stop) =>
            {
                return Some(Stop::Exit(Exit::Interrupted));
            }
            (Crossing::Settled, Stop::Exit(Exit::Syscall)) => return None,
            // A program that steps itself: the instruction that stands there traps in its turn.
            (Crossing::Settled, Stop::Exit(Exit::Exception { .. } | Exit::Fault { .. })) => {
                space.give_up_rewriting();
                return None;
            }
            (Crossing::Forged, Stop::Exit(Exit::Syscall)) => {
                return Some(Stop::Exit(Exit::Exception { vector: GENERAL_PROTECTION, code: 0 }));
            }
            _ => {}
        }
        Some(stop)
    }

    /// A call has left the gate, because nobody polls or nobody looked at it. If another did so lately, they are worth
    /// being polled for.
    fn call_dispatcher(&mut self, dispatcher: &Arc<Dispatcher>, lane: &Lane) {
        let counts = dispatcher.economy().counts();
        Counts::add(&counts.left);
        if lane.is_polled() {
            if !lane.is_ignored() {
                return;
            }
            Counts::add(&counts.ignored);
            // Waiting again would be in vain: a worker says so when it is back.
            lane.tell_polled(false);
        }
        let now = Instant::now();
        let last = self.last_call.replace(now);
        if last.is_some_and(|last| dispatcher.economy().is_frequent(now - last)) {
            dispatcher.call();
        }
    }

    /// See [`Context::run_served`].
    fn run_with(
        &mut self,
        space: &Arc<dyn AddressSpace>,
        registers: &mut Registers,
        mut server: Option<&mut dyn CallServer>,
    ) -> Exit {
        let Some(space) = space.as_any().downcast_ref::<KvmAddressSpace>() else {
            return Exit::Broken("the address space is another platform's".into());
        };
        let space = space.shared();
        space.enlist(&self.seat, &mut self.space);
        if registers.rflags & Registers::TRAP_FLAG != 0 {
            space.give_up_rewriting();
        }
        loop {
            // SYSRETQ and IRETQ to such an address would fault in ring 0 (SDM 2B, "SYSRET" and "IRET"; see `vcpu`).
            if registers.rip >= VirtualAddress::USER_END.0 {
                return Exit::Exception { vector: GENERAL_PROTECTION, code: 0 };
            }
            if space.is_lost() {
                return Exit::Broken("the address space could not be changed".into());
            }
            match self.seat.load(space.root().space, space.gate.is_closed()) {
                Loading::Kicked => return Exit::Interrupted,
                Loading::Closed => space.gate.wait_open(),
                Loading::NeedsVcpu => {
                    if let Err(error) = self.pool.provide(&self.seat) {
                        return Exit::Broken(error.to_string());
                    }
                }
                Loading::Move(vcpu) => self.move_here(vcpu),
                Loading::Go(vcpu) => {
                    let server = server.as_mut().map(|server| &mut **server as &mut dyn CallServer);
                    if let Some(exit) = self.run_on(vcpu, space, registers, server) {
                        return exit;
                    }
                }
            }
        }
    }

    /// Moves the context's vCPU to the calling thread.
    fn move_here(&self, mut vcpu: Vcpu) {
        vcpu.move_here();
        self.seat.put_back(vcpu);
    }

    /// Whether user code has stopped for what was rewritten, and not for what the program does: it is to go on.
    fn is_ours(&mut self, stop: &Stop, space: &Space, root: Root, registers: &Registers) -> bool {
        match stop {
            Stop::Exit(Exit::Exception { vector, .. }) => {
                // What the middle of a site meets: not the trap of a program that is stepped through what was one.
                let is_of_middle = matches!(*vector, INVALID_OPCODE | GENERAL_PROTECTION);
                space.restore_middle(registers.rip)
                    || is_of_middle && space.was_middle(registers.rip) && self.is_worth_another_try()
            }
            Stop::Exit(Exit::Fault { address, .. }) => {
                root == space.root() && space.is_crossing_without_root(registers.rip, *address)
            }
            _ => false,
        }
    }

    /// Whether a stop that may have had a cause which is gone is to be tried again: not for ever.
    fn is_worth_another_try(&mut self) -> bool {
        let is_worth = self.stale_faults < STALE_FAULTS_MAX;
        self.stale_faults = if is_worth { self.stale_faults + 1 } else { 0 };
        is_worth
    }

    /// Whether a fault is a stale translation's, so that the access can be tried again.
    fn is_stale(&mut self, space: &Space, address: VirtualAddress, access: Access) -> bool {
        if !space.permits(address, access) {
            self.stale_faults = 0;
            return false;
        }
        if !self.is_worth_another_try() {
            return false;
        }
        if self.stale_faults > STALE_FAULTS_BEFORE_REFRESH {
            space.refresh(address);
        }
        true
    }
}

impl Context for KvmContext {
    fn run(&mut self, space: &Arc<dyn AddressSpace>, registers: &mut Registers) -> Exit {
        self.run_with(space, registers, None)
    }

    fn run_served(
        &mut self,
        space: &Arc<dyn AddressSpace>,
        registers: &mut Registers,
        server: &mut dyn CallServer,
    ) -> Exit {
        self.run_with(space, registers, Some(server))
    }

    fn interrupter(&self) -> Arc<dyn Interrupter> {
        self.seat.clone()
    }

    fn segment_bases(&mut self) -> SegmentBases {
        let mut state = self.seat.lock();
        match &mut state.vcpu {
            None => state.saved.bases,
            Some(vcpu) => or_default(vcpu.segment_bases()),
        }
    }

    fn set_segment_bases(&mut self, bases: SegmentBases) {
        let bases = SegmentBases { fs: canonical(bases.fs), gs: canonical(bases.gs) };
        let mut state = self.seat.lock();
        match &mut state.vcpu {
            None => state.saved.bases = bases,
            Some(vcpu) => vcpu.set_segment_bases(bases),
        }
    }

    fn extended_state(&mut self) -> Vec<u8> {
        let mut guard = self.seat.lock();
        let state = &mut *guard;
        match (&mut state.vcpu, &state.saved.extended) {
            (Some(vcpu), _) => or_default(vcpu.extended_state()),
            (None, Some(saved)) => saved.bytes(),
            (None, None) => self.machine.extended.initial(),
        }
    }

    fn set_extended_state(&mut self, area: &[u8]) -> Result<(), InvalidExtendedState> {
        let area = self.machine.extended.normalize(area)?;
        let mut state = self.seat.lock();
        match &mut state.vcpu {
            Some(vcpu) => vcpu.set_extended_state(Some(&area)).map_err(|error| {
                error!("{error}");
                InvalidExtendedState
            }),
            None => {
                state.saved.extended = Some(Packed::new(&area));
                Ok(())
            }
        }
    }

    fn sleep(&mut self) {
        self.seat.lock().fall_asleep();
        if let Err(error) = self.pool.surrender(&self.seat) {
            error!("{error}");
        }
    }

    fn wake(&mut self) -> bool {
        let mut seat = self.seat.lock();
        seat.wake();
        seat.vcpu.as_ref().is_some_and(|vcpu| vcpu.is_here() || !self.machine.is_moving_slow())
    }

    fn prepare(&mut self) {
        let has_vcpu = {
            let mut seat = self.seat.lock();
            seat.wake();
            seat.vcpu.is_some()
        };
        if !has_vcpu && let Err(error) = self.pool.provide(&self.seat) {
            // The run fails as well, and ends the task.
            error!("{error}");
        }
        let elsewhere = self.seat.lock().vcpu.take_if(|vcpu| !vcpu.is_here());
        if let Some(vcpu) = elsewhere {
            self.move_here(vcpu);
        }
    }
}

impl Drop for KvmContext {
    fn drop(&mut self) {
        if let Some(space) = self.space.upgrade() {
            space.dismiss(&self.seat);
        }
        self.pool.take_back(&self.seat);
    }
}

/// Has a system call counted that has trapped, where it may pay that later ones do not.
fn note_trap(
    dispatcher: &Dispatcher,
    server: Option<&mut dyn CallServer>,
    space: &Space,
    registers: &Registers,
) {
    if dispatcher.may_poll() || server.is_some_and(|server| is_answered(server, registers.rax)) {
        space.count_trap(registers.rip, registers.rax);
    }
}

/// Whether call `number` has an answer that is told in advance.
fn is_answered(server: &mut dyn CallServer, number: u64) -> bool {
    server.answers().iter().flatten().any(|(answered, _)| u64::from(*answered) == number)
}

/// What a vCPU says of itself. KVM does not refuse that, short of a defect.
fn or_default<T: Default>(result: Result<T, PlatformError>) -> T {
    result.unwrap_or_else(|error| {
        error!("{error}");
        T::default()
    })
}

/// The nearest address that a segment base may hold: entering user code with another would fail (SDM 3C, "Checks
/// on Guest Segment Registers").
const fn canonical(base: u64) -> u64 {
    ((base << 16) as i64 >> 16) as u64
}

#[cfg(test)]
mod tests;
