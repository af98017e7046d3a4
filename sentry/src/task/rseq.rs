//! Restartable sequences (rseq(2), linux/rseq.h).
//!
//! A task registers an area in its memory. The sentry keeps the CPU number there true, and the area's `rseq_cs` points
//! to a description of the critical section that the task may be in: if the task is preempted, migrated or sent
//! to a signal handler inside it, it goes on at the section's abort address instead.
//!
//! What a preemption is, and why nobody else runs with the same number between two of them, is told in
//! [`virtual_cpus`](crate::virtual_cpus). A task without an area takes no part in it.

use std::time::Duration;

use super::CurrentTask;
use super::run::State;
use crate::Errno;
use crate::abi::RSEQ_ALIGNMENT;
use crate::memory::MemoryManager;
use crate::platform::VirtualAddress;
use crate::signal::{Signal, SignalInfo};
use crate::virtual_cpus::{Claim, CpuRequest, Grant, HEAD_START, SLICE, SLICE_AGAINST_WOKEN, Ticket};

/// Length of the first version's area, the least that can be registered.
const ORIGINAL_BYTES: u32 = 32;

/// Offsets in `struct rseq`.
const CPU_ID_START: u64 = 0;
const CPU_ID: u64 = 4;
const CRITICAL_SECTION: u64 = 8;
const FLAGS: u64 = 16;
const NODE_ID: u64 = 20;
const CONCURRENCY_ID: u64 = 24;

/// What `cpu_id` holds in an area that is not registered (RSEQ_CPU_ID_UNINITIALIZED).
const CPU_ID_UNINITIALIZED: u32 = u32::MAX;

/// A registered area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RseqArea {
    /// Where it is.
    pub address: VirtualAddress,
    /// How long it is, bytes.
    pub len_bytes: u32,
    /// What stands before every abort address.
    pub signature: u32,
}

impl RseqArea {
    /// Checks what is to be registered.
    ///
    /// # Errors
    /// EINVAL for a length or an alignment that no version has; EFAULT outside of user memory.
    pub fn new(address: VirtualAddress, len_bytes: u32, signature: u32) -> Result<Self, Errno> {
        if len_bytes < ORIGINAL_BYTES || !address.0.is_multiple_of(u64::from(RSEQ_ALIGNMENT)) {
            return Err(Errno::EINVAL);
        }
        let end = address.0.checked_add(len_bytes.into());
        if end.is_none_or(|end| end > VirtualAddress::USER_END.0) {
            return Err(Errno::EFAULT);
        }
        Ok(Self { address, len_bytes, signature })
    }

    const fn field(&self, offset: u64) -> VirtualAddress {
        VirtualAddress(self.address.0 + offset)
    }

    fn write_numbers(&self, memory: &MemoryManager, numbers: Numbers) -> Result<(), Errno> {
        memory.write_object(self.field(CPU_ID_START), &numbers.cpu_start)?;
        memory.write_object(self.field(CPU_ID), &numbers.cpu)?;
        memory.write_object(self.field(NODE_ID), &numbers.node)?;
        memory.write_object(self.field(CONCURRENCY_ID), &numbers.concurrency_id)
    }

    /// Where user code at `instruction` has to go on, if it is in a critical section. The area forgets the section.
    ///
    /// # Errors
    /// EFAULT, EINVAL: the area or the section cannot be read, or makes no sense.
    fn abort(
        &self,
        memory: &MemoryManager,
        instruction: VirtualAddress,
    ) -> Result<Option<VirtualAddress>, Errno> {
        let pointer = memory.read_object::<u64>(self.field(CRITICAL_SECTION))?;
        if pointer == 0 {
            return Ok(None);
        }
        let section = CriticalSection::from_words(memory.read_object(VirtualAddress(pointer))?)?;
        let signature = memory.read_object::<u32>(VirtualAddress(section.abort_address.wrapping_sub(4)))?;
        if signature != self.signature {
            return Err(Errno::EINVAL);
        }
        let is_inside = section.contains(instruction.0);
        if is_inside && (section.flags != 0 || memory.read_object::<u32>(self.field(FLAGS))? != 0) {
            return Err(Errno::EINVAL);
        }
        memory.write_object(self.field(CRITICAL_SECTION), &0u64)?;
        Ok(is_inside.then_some(VirtualAddress(section.abort_address)))
    }
}

/// What the sentry writes into an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    cpu_start: u32,
    cpu: u32,
    /// There is one node.
    node: u32,
    concurrency_id: u32,
}

impl Numbers {
    const UNREGISTERED: Self = Self { cpu_start: 0, cpu: CPU_ID_UNINITIALIZED, node: 0, concurrency_id: 0 };

    fn of(grant: Grant) -> Self {
        Self { cpu_start: grant.cpu(), cpu: grant.cpu(), node: 0, concurrency_id: grant.concurrency_id() }
    }
}

/// `struct rseq_cs`.
#[derive(Clone, Copy, Debug)]
struct CriticalSection {
    version: u32,
    flags: u32,
    start: u64,
    post_commit_offset: u64,
    abort_address: u64,
}

impl CriticalSection {
    /// Decodes what user memory holds: two words of 32 bits, and three of 64.
    fn from_words(
        [version_and_flags, start, post_commit_offset, abort_address]: [u64; 4],
    ) -> Result<Self, Errno> {
        let (version, flags) = (version_and_flags as u32, (version_and_flags >> 32) as u32);
        let section = Self { version, flags, start, post_commit_offset, abort_address };
        section.check()?;
        Ok(section)
    }

    /// EINVAL: not a section of version 0 in user memory whose abort address is outside of it.
    fn check(&self) -> Result<(), Errno> {
        let is_user = |address: u64| address < VirtualAddress::USER_END.0;
        let end = self.start.checked_add(self.post_commit_offset);
        let is_sound = self.version == 0
            && is_user(self.start)
            && end.is_some_and(is_user)
            && is_user(self.abort_address)
            && !self.contains(self.abort_address);
        if is_sound { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn contains(&self, instruction: u64) -> bool {
        instruction.wrapping_sub(self.start) < self.post_commit_offset
    }
}

/// The task's own side of its registration.
#[derive(Default)]
pub(super) struct RseqState {
    area: Option<RseqArea>,
    /// The grant that the area shows; `None` if it shows none.
    shown: Option<Grant>,
    ticket: Ticket,
    /// The task sleeps, or has slept, since it last had a number.
    has_slept: bool,
}

impl RseqState {
    /// A new task's, with the area that it inherits.
    pub(super) fn new(area: Option<RseqArea>) -> Self {
        Self { area, ..Self::default() }
    }
}

impl CurrentTask {
    /// The area that the task has registered.
    pub(crate) fn rseq_area(&self) -> Option<RseqArea> {
        self.rseq.area
    }

    /// Registers `area`, which is filled before user code goes on.
    ///
    /// # Errors
    /// EINVAL if another is registered; EPERM if this one is, with another signature; EBUSY if just this one is; EFAULT.
    pub(crate) fn register_rseq(&mut self, area: RseqArea) -> Result<(), Errno> {
        if let Some(registered) = self.rseq.area {
            if (registered.address, registered.len_bytes) != (area.address, area.len_bytes) {
                return Err(Errno::EINVAL);
            }
            let is_same = registered.signature == area.signature;
            return Err(if is_same { Errno::EBUSY } else { Errno::EPERM });
        }
        // What an earlier owner of the memory left there would be taken for a section.
        if self.memory.read_object::<u64>(area.field(CRITICAL_SECTION))? != 0 {
            self.memory.write_object(area.field(CRITICAL_SECTION), &0u64)?;
        }
        self.set_rseq_area(Some(area));
        Ok(())
    }

    /// Takes the registration of `area` back.
    ///
    /// # Errors
    /// EINVAL if this is not the area that is registered; EPERM for a wrong signature; EFAULT.
    pub(crate) fn unregister_rseq(&mut self, area: RseqArea) -> Result<(), Errno> {
        let registered = self.rseq.area.ok_or(Errno::EINVAL)?;
        if (registered.address, registered.len_bytes) != (area.address, area.len_bytes) {
            return Err(Errno::EINVAL);
        }
        if registered.signature != area.signature {
            return Err(Errno::EPERM);
        }
        registered.write_numbers(&self.memory, Numbers::UNREGISTERED)?;
        self.forget_rseq();
        Ok(())
    }

    /// The task has no area any more: execve(2), exit.
    pub(super) fn forget_rseq(&mut self) {
        self.memory.virtual_cpus().withdraw(&self.rseq.ticket);
        self.memory.virtual_cpus().release(&self.task.sched_entity);
        self.set_rseq_area(None);
    }

    fn set_rseq_area(&mut self, area: Option<RseqArea>) {
        self.rseq = RseqState::new(area);
        *self.task.rseq_area.lock() = area;
    }

    /// Whether the task was shown the number of its CPU, and runs on none but that.
    pub(crate) fn has_cpu_number(&self) -> bool {
        self.rseq.shown.is_some()
    }

    /// The number of the CPU that the task runs on (`man 2 getcpu`).
    pub(crate) fn cpu_number(&self) -> u32 {
        match self.rseq.shown {
            Some(grant) => grant.cpu(),
            None => u32::try_from(self.kernel().cpus().current()).unwrap_or(0),
        }
    }

    /// The task is about to sleep: others may have its CPU number.
    pub(super) fn fall_asleep(&mut self) {
        if self.rseq.area.is_some() {
            self.rseq.has_slept = true;
            self.memory.virtual_cpus().release(&self.task.sched_entity);
        }
        self.context.sleep();
    }

    /// Before user code: gets the task a CPU number, and aborts the critical section if the task had to get a new one.
    /// [`CurrentTask::leave_user_code`] follows.
    ///
    /// # Errors
    /// The state to go to instead.
    pub(super) fn enter_user_code(&mut self) -> Result<(), State> {
        let Some(area) = self.rseq.area else { return Ok(()) };
        self.follow_host_cpu();
        let grant = loop {
            match self.task.sched_entity.enter() {
                Some(grant) => break grant,
                None => self.claim_cpu()?,
            }
        };
        self.rseq.ticket = Ticket::default();
        if self.rseq.shown == Some(grant) {
            return Ok(());
        }
        let (old, new) = (self.rseq.shown.map(Numbers::of), Numbers::of(grant));
        self.rseq.shown = Some(grant);
        self.rseq.has_slept = false;
        let shown = self.abort_critical_section().and_then(|()| match old {
            Some(old) if old == new => Ok(()),
            _ => area.write_numbers(&self.memory, new),
        });
        shown.map_err(|_| {
            self.leave_user_code();
            if self.may_touch_again() {
                self.rseq.shown = None;
                return State::App;
            }
            self.force_signal(SignalInfo::from_kernel(Signal::SIGSEGV));
            State::Interrupt
        })
    }

    /// After user code.
    pub(super) fn leave_user_code(&self) {
        if self.rseq.area.is_some() {
            self.task.sched_entity.leave();
        }
    }

    /// If the task is in a critical section, user code goes on where that is aborted.
    ///
    /// # Errors
    /// EFAULT, EINVAL: what the area says makes no sense; SIGSEGV is due.
    pub(super) fn abort_critical_section(&mut self) -> Result<(), Errno> {
        if let Some(area) = self.rseq.area
            && let Some(address) = area.abort(&self.memory, VirtualAddress(self.registers.rip))?
        {
            self.registers.rip = address.0;
        }
        Ok(())
    }

    /// Aborts the critical sections of all other tasks of the address space, or of the one that runs with CPU number `cpu`, before it
    /// returns (`man 2 membarrier`, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ).
    pub(crate) fn abort_critical_sections(&mut self, cpu: Option<u32>) {
        /// How long a task may take to come out of user code before it is looked at again.
        const PAUSE: Duration = Duration::from_micros(20);
        let cpus = self.memory.virtual_cpus();
        for other in cpus.recall_others(&self.task.sched_entity, cpu) {
            while !other.is_out() {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// The host may have moved the thread: if the number of the CPU where it is now is free, the task takes that.
    fn follow_host_cpu(&mut self) {
        let Some(shown) = self.rseq.shown else { return };
        let host = self.host_cpu();
        if shown.cpu() != host && self.task.allowed_cpus().0 >> host & 1 == 1 {
            self.memory.virtual_cpus().move_to(&self.task.sched_entity, host);
        }
    }

    /// The host's CPU, as one of the guest's 64 at most.
    fn host_cpu(&self) -> u32 {
        (self.kernel().cpus().current() & 63) as u32
    }

    /// Waits until the entity has a number, and can make use of it at once.
    fn claim_cpu(&mut self) -> Result<(), State> {
        self.wait_for_cpu(true)?;
        if !self.context.wake() {
            // A vCPU may take long to come. Others have the number meanwhile; then this task's turn is before theirs.
            self.memory.virtual_cpus().pass_on(&self.task.sched_entity);
            self.context.prepare();
            self.wait_for_cpu(false)?;
        }
        Ok(())
    }

    /// Waits until the entity has a number. With `is_asleep`, others may have the vCPU meanwhile.
    fn wait_for_cpu(&mut self, mut is_asleep: bool) -> Result<(), State> {
        loop {
            let request = self.cpu_request();
            let memory = self.memory.clone();
            let claim = memory.virtual_cpus().claim(&self.task.sched_entity, request, &mut self.rseq.ticket);
            let Claim::Wait(deadline) = claim else { return Ok(()) };
            if self.task.is_interrupted() {
                memory.virtual_cpus().withdraw(&self.rseq.ticket);
                return Err(State::Interrupt);
            }
            if std::mem::take(&mut is_asleep) {
                self.context.sleep();
            }
            self.rest(deadline);
        }
    }

    fn cpu_request(&self) -> CpuRequest {
        let all = super::CpuSet::first(self.kernel().cpu_count()).0;
        let allowed = self.task.allowed_cpus().0 & all;
        let (patience, head_start) =
            if self.rseq.has_slept { (SLICE_AGAINST_WOKEN, HEAD_START) } else { (SLICE, Duration::ZERO) };
        CpuRequest {
            allowed: if allowed == 0 { all } else { allowed },
            preferred: self.host_cpu(),
            patience,
            head_start,
        }
    }
}

#[cfg(test)]
mod tests;
