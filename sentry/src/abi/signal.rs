//! Structures about signals (`asm-generic/siginfo.h`, `asm/sigcontext.h`, `asm/ucontext.h`, `linux/signalfd.h`).

use linux_raw_sys::general as uapi;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{same_layout, structures};

structures! {
    /// `siginfo_t` (`man 2 sigaction`): a header, and a union that the code tells the form of.
    Siginfo {
        si_signo: i32,
        si_errno: i32,
        si_code: i32,
        padding: u32,
        /// What Linux calls `_sifields`.
        fields: [u64; 14],
    }

    /// `struct signalfd_siginfo` (`man 2 signalfd`).
    SignalfdSiginfo {
        ssi_signo: u32,
        ssi_errno: i32,
        ssi_code: i32,
        ssi_pid: i32,
        ssi_uid: u32,
        ssi_fd: i32,
        ssi_tid: i32,
        ssi_band: u32,
        ssi_overrun: i32,
        ssi_trapno: u32,
        ssi_status: i32,
        ssi_int: u32,
        ssi_ptr: u64,
        ssi_utime: i64,
        ssi_stime: i64,
        ssi_addr: u64,
        ssi_addr_lsb: u16,
        padding: u16,
        ssi_syscall: i32,
        ssi_call_addr: u64,
        ssi_arch: u32,
        other_padding: [u32; 7],
    }

    /// `struct sigevent` (`man 3type sigevent`).
    SignalEvent {
        sigev_value: u64,
        sigev_signo: i32,
        sigev_notify: u32,
        sigev_notify_thread_id: i32,
        padding: [u32; 11],
    }

    /// `stack_t` (`man 2 sigaltstack`).
    SignalStack {
        ss_sp: u64,
        ss_flags: u32,
        padding: u32,
        ss_size: u64,
    }

    /// `struct sigcontext`, the machine context of a signal frame.
    SigContext {
        r8: u64,
        r9: u64,
        r10: u64,
        r11: u64,
        r12: u64,
        r13: u64,
        r14: u64,
        r15: u64,
        rdi: u64,
        rsi: u64,
        rbp: u64,
        rbx: u64,
        rdx: u64,
        rax: u64,
        rcx: u64,
        rsp: u64,
        rip: u64,
        rflags: u64,
        cs: u16,
        gs: u16,
        fs: u16,
        ss: u16,
        err: u64,
        trapno: u64,
        oldmask: u64,
        cr2: u64,
        /// Address of the XSAVE area, 0 for the initial state.
        fpstate: u64,
        reserved: [u64; 8],
    }

    /// `struct rt_sigframe` up to the padding before the XSAVE area: the return address, `struct ucontext`, `siginfo_t`.
    SignalFrameHead {
        return_address: u64,
        uc_flags: u64,
        uc_link: u64,
        uc_stack: SignalStack,
        uc_mcontext: SigContext,
        uc_sigmask: u64,
        info: Siginfo,
    }

    /// `struct _fpx_sw_bytes`: what software says of an XSAVE area, in its legacy part.
    FxSoftwareBytes {
        magic1: u32,
        extended_size: u32,
        xfeatures: u64,
        xstate_size: u32,
        padding: [u32; 7],
    }
}

same_layout! { Siginfo, uapi::siginfo: }
same_layout! { SignalEvent, uapi::sigevent: sigev_value sigev_signo }
same_layout! { SignalStack, uapi::sigaltstack: ss_sp ss_flags ss_size }

/// The start of an XSAVE area: the legacy part that FXSAVE fills, then the XSAVE header (SDM 1 13.4). Areas lie in
/// buffers of bytes, so it needs no alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C, packed)]
pub(crate) struct XsaveHead {
    pub(crate) fcw: u16,
    pub(crate) fsw: u16,
    pub(crate) ftw: u16,
    pub(crate) fop: u16,
    pub(crate) fip: u64,
    pub(crate) fdp: u64,
    pub(crate) mxcsr: u32,
    pub(crate) mxcsr_mask: u32,
    pub(crate) st_space: [u32; 32],
    pub(crate) xmm_space: [u32; 64],
    pub(crate) reserved: [u32; 12],
    pub(crate) software: FxSoftwareBytes,
    pub(crate) xstate_bv: u64,
    pub(crate) xcomp_bv: u64,
    pub(crate) header_reserved: [u64; 6],
}
