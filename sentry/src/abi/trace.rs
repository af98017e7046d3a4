//! Structures of ptrace(2) (`linux/ptrace.h`).

use linux_raw_sys::ptrace as uapi;

use super::{same_layout, structures};

structures! {
    /// `struct ptrace_peeksiginfo_args`.
    PeeksiginfoArgs {
        off: u64,
        flags: u32,
        nr: i32,
    }

    /// `struct ptrace_rseq_configuration`.
    RseqConfiguration {
        rseq_abi_pointer: u64,
        rseq_abi_size: u32,
        signature: u32,
        flags: u32,
        pad: u32,
    }

    /// `struct ptrace_syscall_info`.
    PtraceSyscallInfo {
        op: u8,
        padding: [u8; 3],
        arch: u32,
        instruction_pointer: u64,
        stack_pointer: u64,
        /// At an entry the number and the six arguments; at an exit the result, and a byte that is 1 for an error.
        words: [u64; 7],
    }
}

same_layout! { PeeksiginfoArgs, uapi::ptrace_peeksiginfo_args: off flags nr }
same_layout! {
    RseqConfiguration, uapi::ptrace_rseq_configuration: rseq_abi_pointer rseq_abi_size signature flags pad
}
