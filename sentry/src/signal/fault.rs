//! Exceptions of the processor as signals (SDM 3A 6.15; `man 2 sigaction` for the codes).

use linux_raw_sys::general::{
    BUS_ADRALN, BUS_ADRERR, FPE_FLTDIV, FPE_FLTINV, FPE_FLTOVF, FPE_FLTRES, FPE_FLTUND, FPE_INTDIV,
    ILL_ILLOPN, SEGV_ACCERR, SEGV_MAPERR, TRAP_BRKPT, TRAP_TRACE,
};

use super::{Signal, SignalInfo};
use crate::platform::{Access, Registers, VirtualAddress};

/// Exception vectors (SDM 3A table 6-1).
mod vector {
    pub(super) const DIVIDE_ERROR: u8 = 0;
    pub(super) const DEBUG: u8 = 1;
    pub(super) const BREAKPOINT: u8 = 3;
    pub(super) const INVALID_OPCODE: u8 = 6;
    pub(super) const SEGMENT_NOT_PRESENT: u8 = 11;
    pub(super) const STACK_FAULT: u8 = 12;
    pub(super) const GENERAL_PROTECTION: u8 = 13;
    pub(super) const PAGE_FAULT: u8 = 14;
    pub(super) const X87_FAULT: u8 = 16;
    pub(super) const ALIGNMENT_CHECK: u8 = 17;
    pub(super) const SIMD_FAULT: u8 = 19;
}

/// What a handler finds in its mcontext about the task's last exception.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrapState {
    /// `REG_TRAPNO`: the vector.
    pub vector: u64,
    /// `REG_ERR`: the error code.
    pub error_code: u64,
    /// `REG_CR2`: the address of the last page fault.
    pub address: u64,
}

impl TrapState {
    /// After a page fault in user mode.
    pub fn of_page_fault(address: VirtualAddress, access: Access, is_mapped: bool) -> Self {
        // Error code bits (SDM 3A 4.7): present, write, user, instruction fetch.
        // Of what lies beyond user memory nothing is told: it counts as present.
        let error_code = u64::from(is_mapped || address >= VirtualAddress::USER_END)
            | u64::from(access.contains(Access::WRITE)) << 1
            | 1 << 2
            | u64::from(access.contains(Access::EXECUTE)) << 4;
        Self { vector: vector::PAGE_FAULT.into(), error_code, address: address.0 }
    }

    /// After any other exception: CR2 stays.
    pub fn with_exception(self, vector: u8, error_code: u32) -> Self {
        Self { vector: vector.into(), error_code: error_code.into(), ..self }
    }
}

/// Why a page fault could not be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing is mapped there.
    NotMapped,
    /// The mapping forbids the access.
    Denied,
    /// The mapping's file ends before the page, or could not be read.
    NoBackingStore,
}

/// The signal for a page fault at `address`.
pub fn fault_signal(kind: FaultKind, address: VirtualAddress) -> SignalInfo {
    let (signal, code) = match kind {
        FaultKind::NotMapped => (Signal::SIGSEGV, SEGV_MAPERR),
        FaultKind::Denied => (Signal::SIGSEGV, SEGV_ACCERR),
        FaultKind::NoBackingStore => (Signal::SIGBUS, BUS_ADRERR),
    };
    SignalInfo::from_fault(signal, code as i32, address.0)
}

/// The exception as a processor with a full IDT raises it. For `INT n` of a gate that user code may not use
/// that is #GP with the gate in its error code; hosts without such gates raise #UD. `instruction` is what
/// lies at the exception.
pub fn normalized_exception(vector: u8, code: u32, instruction: [u8; 2]) -> (u8, u32) {
    const INT: u8 = 0xcd;
    /// Error code bits (SDM 3A 6.13): the index above 3 bits, of which bit 1 says IDT.
    const IDT: u32 = 1 << 1;
    match (vector, instruction) {
        (vector::INVALID_OPCODE, [INT, gate]) => (vector::GENERAL_PROTECTION, u32::from(gate) << 3 | IDT),
        _ => (vector, code),
    }
}

/// The signal for an exception other than a page fault, raised with these `registers`. `extended_state` is
/// the task's XSAVE area, asked for only by floating-point exceptions.
pub fn exception_signal(
    vector: u8,
    registers: &Registers,
    extended_state: impl FnOnce() -> Vec<u8>,
) -> SignalInfo {
    const TRAP_FLAG: u64 = 1 << 8;
    let at = |signal, code: u32| SignalInfo::from_fault(signal, code as i32, registers.rip);
    match vector {
        vector::DIVIDE_ERROR => at(Signal::SIGFPE, FPE_INTDIV),
        vector::DEBUG if registers.rflags & TRAP_FLAG != 0 => at(Signal::SIGTRAP, TRAP_TRACE),
        // INT1: user code has no debug registers.
        vector::DEBUG => at(Signal::SIGTRAP, TRAP_BRKPT),
        vector::BREAKPOINT => SignalInfo::from_kernel(Signal::SIGTRAP),
        vector::INVALID_OPCODE => at(Signal::SIGILL, ILL_ILLOPN),
        vector::SEGMENT_NOT_PRESENT | vector::STACK_FAULT => SignalInfo::from_kernel(Signal::SIGBUS),
        vector::X87_FAULT => at(Signal::SIGFPE, x87_code(&extended_state())),
        vector::ALIGNMENT_CHECK => SignalInfo::from_fault(Signal::SIGBUS, BUS_ADRALN as i32, 0),
        vector::SIMD_FAULT => at(Signal::SIGFPE, simd_code(&extended_state())),
        _ => SignalInfo::from_kernel(Signal::SIGSEGV),
    }
}

/// The unmasked exceptions in the x87 status word (SDM 1 8.1.3).
fn x87_code(area: &[u8]) -> u32 {
    let word = |start: usize| match area.get(start..start + 2) {
        Some(&[low, high]) => u16::from_le_bytes([low, high]),
        _ => 0,
    };
    floating_point_code(word(2) & !word(0))
}

/// The unmasked exceptions in MXCSR (SDM 1 10.2.3).
fn simd_code(area: &[u8]) -> u32 {
    let mxcsr = match area.get(24..26) {
        Some(&[low, high]) => u16::from_le_bytes([low, high]),
        _ => 0,
    };
    floating_point_code(mxcsr & !(mxcsr >> 7))
}

/// The code for exception flags in the order that x87 and SSE share. Invalid beats all, as on Linux.
fn floating_point_code(flags: u16) -> u32 {
    const CODES: [(u16, u32); 6] = [
        (0x01, FPE_FLTINV),
        (0x04, FPE_FLTDIV),
        (0x08, FPE_FLTOVF),
        (0x02, FPE_FLTUND),
        (0x10, FPE_FLTUND),
        (0x20, FPE_FLTRES),
    ];
    CODES.iter().find(|(flag, _)| flags & flag != 0).map_or(0, |(_, code)| *code)
}

#[cfg(test)]
mod tests;
