//! What a task does that finds no memory.
//!
//! Pages of files are given up first, then a process is killed: not the one that happened to ask, but the one whose end gains
//! most (`proc(5)`, oom_score_adj). What wanted the memory is tried again afterwards, an instruction and a system call alike.
//! An instruction that finds what it needs given up again each time counts as one that finds no memory.

use std::time::{Duration, Instant};

use super::CurrentTask;
use crate::Errno;
use crate::cgroup::Relief;
use crate::memory::{FaultError, Served};
use crate::platform::Registers;

/// How long a task waits for memory that the end of another process will free.
const SHORTAGE_WAIT: Duration = Duration::from_millis(10);
/// So many faults that cost others their pages an instruction may have. It needs fewer pages by far.
const MAX_COSTLY_FAULTS: u32 = 24;

/// Tells an instruction that gets on from one that does not.
#[derive(Default)]
pub(super) struct Standstill {
    registers: Registers,
    costly_faults: u32,
}

impl Standstill {
    /// Counts a fault that cost others their pages. Returns whether the instruction has had too many.
    fn count(&mut self, registers: &Registers) -> bool {
        if self.registers != *registers {
            *self = Self { registers: *registers, costly_faults: 0 };
        }
        self.costly_faults += 1;
        self.costly_faults > MAX_COSTLY_FAULTS
    }
}

/// Whether a call says by `error` that what it makes cannot be paid for.
pub(super) fn is_refusal_of_heap(error: Errno) -> bool {
    let refusals = [
        Errno::EAGAIN,
        Errno::EDQUOT,
        Errno::EMFILE,
        Errno::ENFILE,
        Errno::ENOBUFS,
        Errno::ENOLCK,
        Errno::ENOMEM,
        Errno::ENOSPC,
    ];
    refusals.contains(&error)
}

impl CurrentTask {
    /// Whether the instruction that did not get on, for a reason that others may have ended meanwhile, is to be tried again.
    pub(super) fn may_get_on(&mut self) -> bool {
        !self.standstill.count(&self.registers)
    }

    /// Whether a fault of user code that was served so leaves it hope to get on: a shortage has been dealt with if there was
    /// one, and the instruction is to be tried again.
    pub(super) fn gets_on_after(&mut self, fault: Result<Served, FaultError>) -> Result<(), FaultError> {
        let error = match fault {
            Ok(Served { has_reclaimed: false, .. }) => return Ok(()),
            Ok(Served { has_reclaimed: true, .. }) => None,
            Err(FaultError::OutOfMemory) => Some(FaultError::OutOfMemory),
            Err(error) => return Err(error),
        };
        let is_stuck = self.standstill.count(&self.registers);
        if error.is_none() && !is_stuck {
            return Ok(());
        }
        let pages = self.task.heap().take_shortage();
        if self.relieve_shortage(pages, !is_stuck) {
            if is_stuck {
                self.standstill = Standstill::default();
            }
            return Ok(());
        }
        error.map_or(Ok(()), Err)
    }

    /// Serves system call `number` by `serve`, and again as long as it found no memory and there is hope.
    pub(super) fn serve_despite_shortage(
        &mut self,
        number: u64,
        serve: impl Fn(&mut Self) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        for attempt in 0.. {
            let result = serve(self);
            let pages = self.task.heap().take_shortage();
            // What a call does as well without, such as to remember a name, nobody is killed for.
            let is_heap_short = pages > 0 && result.is_err_and(is_refusal_of_heap);
            let is_served =
                !is_heap_short && !matches!(result, Err(Errno::EFAULT | Errno::ENOMEM | Errno::EAGAIN));
            if !self.memory.take_shortage() && !is_heap_short {
                return result;
            }
            let has_hope = self.relieve_shortage(pages, attempt < MAX_COSTLY_FAULTS);
            // rt_sigreturn and exit leave no call to be tried again.
            let is_over = self.syscall_number != Some(number) || self.state != super::run::State::Syscall;
            if is_served || !has_hope || is_over || self.task.is_interrupted() {
                return result;
            }
        }
        Err(Errno::ENOMEM)
    }

    /// Whether user memory that the task has touched on its own behalf, in vain, may be touched again: there was no memory, and a
    /// shortage has been dealt with.
    pub(super) fn may_touch_again(&mut self) -> bool {
        if !self.memory.take_shortage() {
            return false;
        }
        let is_stuck = self.standstill.count(&self.registers);
        let has_hope = self.relieve_shortage(0, !is_stuck);
        if is_stuck && has_hope {
            self.standstill = Standstill::default();
        }
        has_hope
    }

    /// Makes room in all of memory, or in the task's control group if it has less than `pages` left, and waits for it a moment.
    /// Returns whether what wanted the memory may be tried again.
    fn relieve_shortage(&mut self, pages: u64, may_reclaim: bool) -> bool {
        self.memory.take_shortage();
        let payer = self.memory.payer();
        let kernel = self.kernel().clone();
        match kernel.cgroups().relieve(payer.as_ref(), pages.max(1), may_reclaim) {
            Relief::Room => true,
            Relief::Awaited => {
                // Ends early if this task is the one that must end, or is wanted for something else.
                let _ = self.block::<()>(&[], Some(Instant::now() + SHORTAGE_WAIT), || None);
                true
            }
            Relief::Impossible => false,
        }
    }
}

#[cfg(test)]
mod tests;
