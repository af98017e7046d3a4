//! A tracee's debug registers (SDM 3B 18.2), as `u_debugreg` of `struct user` has them.
//!
//! Not every host lends user code its debug registers, so while one is enabled the task goes on in single steps, and
//! after each the sentry looks for what the processor would have noticed: an instruction's address, or a change of the
//! bytes watched. A write that changes nothing, and reads, cannot be seen; watching for reads is refused.

use linux_raw_sys::general::{TRAP_HWBKPT, TRAP_TRACE};

use crate::Errno;
use crate::memory::MemoryManager;
use crate::platform::{Registers, VirtualAddress};
use crate::signal::{Signal, SignalInfo};
use crate::task::CurrentTask;

/// Breakpoints that there are.
const COUNT: usize = 4;
/// DR6.BS: a single step.
const STEP: u64 = 1 << 14;
/// DR7: the local and global enable bits of all.
const ENABLED: u64 = 0xff;

/// DR0 to DR3, DR6 and DR7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DebugRegisters {
    addresses: [u64; COUNT],
    status: u64,
    control: u64,
}

/// What an enabled breakpoint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Execute,
    Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Breakpoint {
    index: usize,
    kind: Kind,
    address: u64,
    len_bytes: usize,
}

impl DebugRegisters {
    /// Register `number`, 0 to 7.
    pub(crate) fn get(&self, number: usize) -> u64 {
        match number {
            6 => self.status,
            7 => self.control,
            _ => self.addresses.get(number).copied().unwrap_or(0),
        }
    }

    /// Sets register `number`.
    ///
    /// # Errors
    /// EIO if there is no such register; EINVAL for an address outside of user memory, or one that its length does not
    /// divide; ENOSPC for a kind that there is not: reads, and I/O.
    pub(crate) fn set(&mut self, number: usize, value: u64) -> Result<(), Errno> {
        let mut new = *self;
        match number {
            6 => new.status = value,
            7 => new.control = value,
            _ => *new.addresses.get_mut(number).ok_or(Errno::EIO)? = value,
        }
        if value >= VirtualAddress::USER_END.0 {
            return Err(Errno::EINVAL);
        }
        for index in 0..COUNT {
            new.breakpoint(index)?;
        }
        *self = new;
        Ok(())
    }

    /// The breakpoint `index`, if it is enabled.
    fn breakpoint(&self, index: usize) -> Result<Option<Breakpoint>, Errno> {
        if self.control >> (index * 2) & 3 == 0 {
            return Ok(None);
        }
        let bits = self.control >> (16 + index * 4) & 0xf;
        let kind = match bits & 3 {
            0 => Kind::Execute,
            1 => Kind::Write,
            _ => return Err(Errno::ENOSPC),
        };
        let len_bytes = match bits >> 2 {
            0 => 1,
            1 => 2,
            2 => 8,
            _ => 4,
        };
        let address = self.addresses.get(index).copied().unwrap_or(0);
        if !address.is_multiple_of(len_bytes as u64) || kind == Kind::Execute && len_bytes != 1 {
            return Err(Errno::EINVAL);
        }
        Ok(Some(Breakpoint { index, kind, address, len_bytes }))
    }

    fn breakpoints(&self) -> impl Iterator<Item = Breakpoint> {
        (0..COUNT).filter_map(|index| self.breakpoint(index).ok().flatten())
    }
}

/// What a task's thread keeps beside the registers.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::task) struct DebugState {
    pub(super) registers: DebugRegisters,
    /// What the watched bytes held when they were looked at last.
    values: [u64; COUNT],
    /// The breakpoint on this instruction has been told of (RFLAGS.RF).
    is_told: bool,
}

impl DebugState {
    /// Looks at all that is watched, and notes in DR6 what has changed. Returns whether something has.
    fn notice_changes(&mut self, memory: &MemoryManager) -> bool {
        let mut has_changed = false;
        let registers = self.registers;
        for breakpoint in registers.breakpoints().filter(|breakpoint| breakpoint.kind == Kind::Write) {
            let mut bytes = [0; 8];
            let watched = bytes.get_mut(..breakpoint.len_bytes).unwrap_or_default();
            memory.read_forced(VirtualAddress(breakpoint.address), watched);
            let value = u64::from_le_bytes(bytes);
            if let Some(old) = self.values.get_mut(breakpoint.index)
                && std::mem::replace(old, value) != value
            {
                self.registers.status |= 1 << breakpoint.index;
                has_changed = true;
            }
        }
        has_changed
    }

    /// Whether there is a breakpoint at `address` that has not been told of; noted in DR6.
    fn notice_instruction(&mut self, address: u64) -> bool {
        let mut is_hit = false;
        let registers = self.registers;
        for breakpoint in registers.breakpoints() {
            if breakpoint.kind == Kind::Execute && breakpoint.address == address && !self.is_told {
                self.registers.status |= 1 << breakpoint.index;
                is_hit = true;
            }
        }
        self.is_told |= is_hit;
        is_hit
    }
}

impl CurrentTask {
    /// Whether a breakpoint is enabled.
    pub(in crate::task) fn is_watching(&self) -> bool {
        self.debug.registers.control & ENABLED != 0 && self.task.is_traced()
    }

    /// Takes over what a tracer set.
    pub(super) fn set_debug_registers(&mut self, registers: DebugRegisters) {
        self.debug.registers = registers;
        if self.is_watching() {
            let status = registers.status;
            self.debug.notice_changes(&self.memory);
            self.debug.registers.status = status;
        }
    }

    /// Before user code goes on: whether a breakpoint stops the task here, or a system call has changed what is watched.
    pub(in crate::task) fn stops_at_breakpoint(&mut self) -> bool {
        let has_changed = self.debug.notice_changes(&self.memory);
        let is_hit = self.debug.notice_instruction(self.registers.rip) || has_changed;
        if is_hit {
            self.force_signal(trap_info(TRAP_HWBKPT, &self.registers));
        }
        is_hit
    }

    /// After a step: whether the task stops, because its tracer asked for one step or because what is watched changed.
    pub(in crate::task) fn stops_after_step(&mut self) -> bool {
        self.debug.is_told = false;
        let has_changed = self.debug.notice_changes(&self.memory);
        if self.is_stepping {
            self.debug.registers.status |= STEP;
            self.force_signal(trap_info(TRAP_TRACE, &self.registers));
        } else if has_changed {
            self.force_signal(trap_info(TRAP_HWBKPT, &self.registers));
        }
        self.is_stepping || has_changed
    }
}

fn trap_info(code: u32, registers: &Registers) -> SignalInfo {
    SignalInfo::from_fault(Signal::SIGTRAP, code as i32, registers.rip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bits_say_what_is_watched() {
        let mut registers = DebugRegisters::default();
        registers.set(0, 0x1000).unwrap();
        registers.set(3, 0x2008).unwrap();
        // DR0: execution. DR3: writes of 8 bytes.
        registers.set(7, 1 | 1 << 6 | 0b1001 << 28).unwrap();
        let points: Vec<_> = registers.breakpoints().collect();
        assert_eq!(points.len(), 2);
        assert_eq!(points[0], Breakpoint { index: 0, kind: Kind::Execute, address: 0x1000, len_bytes: 1 });
        assert_eq!(points[1], Breakpoint { index: 3, kind: Kind::Write, address: 0x2008, len_bytes: 8 });
    }

    #[test]
    fn what_cannot_be_watched_is_refused_and_changes_nothing() {
        let mut registers = DebugRegisters::default();
        registers.set(1, 0x1001).unwrap();
        for (control, error) in [
            (0b11 << 20 | 1 << 2, Errno::ENOSPC),
            (0b10 << 20 | 1 << 2, Errno::ENOSPC),
            (0b1101 << 20 | 1 << 2, Errno::EINVAL),
            (0b0100 << 20 | 1 << 2, Errno::EINVAL),
        ] {
            assert_eq!(registers.set(7, control), Err(error));
            assert_eq!(registers.get(7), 0);
        }
        assert_eq!(registers.set(0, 1 << 63), Err(Errno::EINVAL));
        assert_eq!(registers.set(4, 1), Err(Errno::EIO));
    }

    #[test]
    fn a_breakpoint_is_told_of_once() {
        let mut state = DebugState::default();
        state.registers.set(2, 0x1000).unwrap();
        state.registers.set(7, 1 << 4).unwrap();
        assert!(!state.notice_instruction(0xfff));
        assert!(state.notice_instruction(0x1000));
        assert_eq!(state.registers.get(6), 4);
        assert!(!state.notice_instruction(0x1000));
        state.is_told = false;
        assert!(state.notice_instruction(0x1000));
    }
}
