//! The registers that user code and the sentry share.

/// The general-purpose registers, instruction pointer and flags of a task in user mode.
///
/// Segment registers are fixed (Linux's `__USER_CS` 0x33 and `__USER_DS` 0x2b); the bases of FS and GS are
/// reached through [`Context`](super::Context), since reading them costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Accumulator; the system call's number and result.
    pub rax: u64,
    /// RBX.
    pub rbx: u64,
    /// RCX.
    pub rcx: u64,
    /// RDX.
    pub rdx: u64,
    /// RSI.
    pub rsi: u64,
    /// RDI.
    pub rdi: u64,
    /// RBP.
    pub rbp: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// R8.
    pub r8: u64,
    /// R9.
    pub r9: u64,
    /// R10.
    pub r10: u64,
    /// R11.
    pub r11: u64,
    /// R12.
    pub r12: u64,
    /// R13.
    pub r13: u64,
    /// R14.
    pub r14: u64,
    /// R15.
    pub r15: u64,
    /// Instruction pointer.
    pub rip: u64,
    /// RFLAGS. Only the bits of [`Registers::USER_FLAGS`] are the user's; the platform fixes the others.
    pub rflags: u64,
}

impl Registers {
    /// The RFLAGS bits that user code may choose: CF, PF, AF, ZF, SF, TF, DF, OF, RF, AC (Linux's `FIX_EFLAGS`).
    pub const USER_FLAGS: u64 = 0x50dd5 & !(1 << 9);
    /// TF: a debug exception after each instruction (SDM 3A 2.3).
    pub const TRAP_FLAG: u64 = 1 << 8;
    /// RF: an instruction breakpoint has been told of (SDM 3B 18.3.1.1).
    pub const RESUME_FLAG: u64 = 1 << 16;
    /// The selector of user code (Linux's `__USER_CS`).
    pub const USER_CS: u16 = 0x33;
    /// The selector of user data and stack (Linux's `__USER_DS`).
    pub const USER_SS: u16 = 0x2b;

    /// The six arguments of a system call.
    pub fn syscall_arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }
}

/// The bases of FS and GS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentBases {
    /// Base of FS: thread-local storage.
    pub fs: u64,
    /// Base of GS.
    pub gs: u64,
}
