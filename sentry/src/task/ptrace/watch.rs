//! Breakpoints of the debug registers, and steps from branch to branch.
//!
//! Not every host lends user code its debug registers: on some they have no effect in a guest, whether the guest or the
//! host sets them. So a task that watches goes on in single steps (SDM 3B 18.3.1.4). Before each, the instruction is decoded
//! for what the processor would notice; after it, the task stops if there was something. As on Linux, what a system call
//! reads or writes is not noticed. Nor is what a gather or scatter instruction touches.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, Register,
};
use linux_raw_sys::general::{TRAP_HWBKPT, TRAP_TRACE};

use super::debug::{DebugRegisters, STEP};
use crate::platform::{Registers, SegmentBases, VirtualAddress};
use crate::signal::{Signal, SignalInfo};
use crate::task::CurrentTask;

/// #DB (SDM 3A 6.15).
const DEBUG_EXCEPTION: u8 = 1;
/// The longest instruction (SDM 2A 2.3.11).
const INSTRUCTION_BYTES: usize = 15;

/// What a task's thread keeps beside the registers.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::task) struct DebugState {
    pub(super) registers: DebugRegisters,
    /// Steps end only where a branch was taken (PTRACE_SINGLEBLOCK).
    pub(super) steps_by_branches: bool,
    foreseen: Foreseen,
}

/// What the next instruction is going to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Foreseen {
    /// The breakpoints that it hits, as bits of DR6.
    hits: u64,
    /// Where it goes on, unless it branches; `None` if it cannot.
    next: Option<u64>,
}

impl CurrentTask {
    /// Whether each instruction must be looked at.
    pub(in crate::task) fn is_watching(&self) -> bool {
        self.debug.registers.is_enabled() || self.is_stepping && self.debug.steps_by_branches
    }

    /// Before user code goes on: whether a breakpoint stops the task here. One that it has been told of does not
    /// (RFLAGS.RF).
    pub(in crate::task) fn stops_at_breakpoint(&mut self) -> bool {
        let hits = self.debug.registers.hits_by_execution(self.registers.rip);
        if hits != 0 && self.registers.rflags & Registers::RESUME_FLAG == 0 {
            self.registers.rflags |= Registers::RESUME_FLAG;
            self.tell_of_debug_exception(hits);
            return true;
        }
        self.debug.foreseen = self.foresee();
        false
    }

    /// After a debug exception that came of stepping: whether the task stops, because it or its tracer asked for one step,
    /// or because the instruction touched what is watched.
    pub(in crate::task) fn stops_after_step(&mut self, has_own_trap_flag: bool) -> bool {
        let foreseen = std::mem::take(&mut self.debug.foreseen);
        let has_branched = foreseen.next.is_some_and(|next| next != self.registers.rip);
        let is_end = has_own_trap_flag || self.is_stepping && (has_branched || !self.debug.steps_by_branches);
        let status = foreseen.hits | if is_end { STEP } else { 0 };
        if status != 0 {
            self.tell_of_debug_exception(status);
        }
        status != 0
    }

    fn tell_of_debug_exception(&mut self, status: u64) {
        self.debug.registers.set_status(status);
        self.trap = self.trap.with_exception(DEBUG_EXCEPTION, 0);
        let code = if status & STEP != 0 { TRAP_TRACE } else { TRAP_HWBKPT };
        self.force_signal(SignalInfo::from_fault(Signal::SIGTRAP, code as i32, self.registers.rip));
    }

    fn foresee(&mut self) -> Foreseen {
        if !self.is_watching() || !self.debug.registers.is_watching_data() && !self.debug.steps_by_branches {
            return Foreseen::default();
        }
        let mut bytes = [0; INSTRUCTION_BYTES];
        let len = self.memory.read_forced(VirtualAddress(self.registers.rip), &mut bytes);
        let bytes = bytes.get(..len).unwrap_or_default();
        let instruction = Decoder::with_ip(64, bytes, self.registers.rip, DecoderOptions::NONE).decode();
        let bases = match instruction.segment_prefix() {
            Register::FS | Register::GS => self.context.segment_bases(),
            _ => SegmentBases::default(),
        };
        Foreseen::new(&instruction, &self.registers, bases, &self.debug.registers)
    }
}

impl Foreseen {
    fn new(
        instruction: &Instruction,
        registers: &Registers,
        bases: SegmentBases,
        watched: &DebugRegisters,
    ) -> Self {
        if instruction.is_invalid() {
            return Self::default();
        }
        let next = (instruction.flow_control() != FlowControl::Next).then(|| instruction.next_ip());
        let is_repeated = instruction.has_rep_prefix() || instruction.has_repne_prefix();
        if is_repeated && instruction.is_string_instruction() && registers.rcx == 0 {
            return Self { hits: 0, next };
        }
        let mut factory = InstructionInfoFactory::new();
        let mut hits = 0;
        for memory in factory.info(instruction).used_memory() {
            let is_write = match memory.access() {
                OpAccess::Read | OpAccess::CondRead => false,
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => true,
                OpAccess::None | OpAccess::NoMemAccess => continue,
            };
            let value = |register: Register, _, _| value_of(register, registers, bases);
            if let Some(address) = memory.virtual_address(0, value) {
                // XSAVE's area has no size of its own; it begins there in any case.
                let len_bytes = memory.memory_size().size().max(1) as u64;
                hits |= watched.hits_by_access(address, len_bytes, is_write);
            }
        }
        Self { hits, next }
    }
}

/// What a register holds that addresses are made of; `None` for a vector's.
fn value_of(register: Register, registers: &Registers, bases: SegmentBases) -> Option<u64> {
    Some(match register.full_register() {
        Register::RAX => registers.rax,
        Register::RBX => registers.rbx,
        Register::RCX => registers.rcx,
        Register::RDX => registers.rdx,
        Register::RSI => registers.rsi,
        Register::RDI => registers.rdi,
        Register::RBP => registers.rbp,
        Register::RSP => registers.rsp,
        Register::R8 => registers.r8,
        Register::R9 => registers.r9,
        Register::R10 => registers.r10,
        Register::R11 => registers.r11,
        Register::R12 => registers.r12,
        Register::R13 => registers.r13,
        Register::R14 => registers.r14,
        Register::R15 => registers.r15,
        Register::FS => bases.fs,
        Register::GS => bases.gs,
        Register::CS | Register::DS | Register::ES | Register::SS => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
