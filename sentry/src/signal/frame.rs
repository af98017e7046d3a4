//! The frame that a handler runs on: Linux's `struct rt_sigframe`, and the way back, rt_sigreturn(2).
//!
//! From low to high addresses: the return address, `ucontext`, `siginfo`, padding, and the XSAVE area, which
//! ends in a magic number. Its software-defined bytes say how long it is and which features it holds. It is
//! built in one buffer and written at once; reading it back takes one read unless the program moved the XSAVE
//! area.

use std::mem::offset_of;

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::{Action, ActionFlags, AlternateStack, Handler, SignalInfo, SignalSet, TrapState};
use crate::Errno;
use crate::abi::{FxSoftwareBytes, SigContext, SignalFrameHead, SignalStack, XsaveHead};
use crate::platform::{Registers, VirtualAddress};

/// Bytes below the stack pointer that belong to the interrupted function (System V ABI, the red zone).
const RED_ZONE_BYTES: u64 = 128;

const HEAD_BYTES: usize = size_of::<SignalFrameHead>();

/// There is an XSAVE area with `_fpx_sw_bytes`.
const UC_FP_XSTATE: u64 = 1;
/// SS in the mcontext is valid, and restored strictly.
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

// The software-defined bytes of the XSAVE area are there, and its end is where they say (`asm/sigcontext.h`).
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
const MAGIC2_BYTES: usize = size_of_val(&MAGIC2);
/// The legacy area that FXSAVE fills, and with the XSAVE header behind it (SDM 1 13.4).
const LEGACY_BYTES: usize = offset_of!(XsaveHead, xstate_bv);
const XSAVE_HEAD_BYTES: usize = size_of::<XsaveHead>();
/// x87 and SSE.
const LEGACY_FEATURES: u64 = 3;
/// The x87 control word after FNINIT.
const INITIAL_FCW: u16 = 0x037f;
/// MXCSR after reset (SDM 1 10.2.3).
const INITIAL_MXCSR: u32 = 0x1f80;

/// What a frame is made of.
#[derive(Clone, Copy, Debug)]
pub struct FrameBuilder<'a> {
    /// The task's registers, with its interrupted call settled.
    pub registers: &'a Registers,
    /// Which signal, and what siginfo_t tells of it.
    pub info: SignalInfo,
    /// Its action; the handler is a user function.
    pub action: Action,
    /// The mask that sigreturn brings back.
    pub mask: SignalSet,
    /// What `uc_stack` shows.
    pub stack: AlternateStack,
    /// The task's last exception.
    pub trap: TrapState,
    /// The XSAVE area in standard format.
    pub extended_state: &'a [u8],
    /// The features in it that user code has (XCR0).
    pub extended_features: u64,
}

/// A frame, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalFrame {
    /// Where it goes.
    pub address: VirtualAddress,
    /// What goes there.
    pub bytes: Vec<u8>,
    /// The registers with which the handler starts.
    pub registers: Registers,
}

impl FrameBuilder<'_> {
    /// Lays out the frame.
    ///
    /// # Errors
    /// EFAULT: there is no room on the stack, or no way back from the handler: the task gets SIGSEGV.
    pub fn build(&self) -> Result<SignalFrame, Errno> {
        let Handler::User(handler) = self.action.handler else { return Err(Errno::EINVAL) };
        if !self.action.flags.contains(ActionFlags::RESTORER) {
            return Err(Errno::EFAULT);
        }
        let (address, state_address) = self.place()?;
        let state_offset = (state_address - address) as usize;
        let mut bytes = vec![0; state_offset + self.extended_state.len() + MAGIC2_BYTES];
        bytes[..HEAD_BYTES].copy_from_slice(self.head(state_address).as_bytes());
        self.fill_extended_state(&mut bytes[state_offset..]);
        let registers = Registers {
            rax: 0,
            rdi: u64::from(self.info.signal.number()),
            rsi: address + offset_of!(SignalFrameHead, info) as u64,
            rdx: address + offset_of!(SignalFrameHead, uc_flags) as u64,
            rsp: address,
            rip: handler.0,
            rflags: self.registers.rflags & !HANDLER_CLEARS,
            ..*self.registers
        };
        Ok(SignalFrame { address: VirtualAddress(address), bytes, registers })
    }

    /// Addresses of the frame and of its XSAVE area.
    fn place(&self) -> Result<(u64, u64), Errno> {
        let current = self.registers.rsp;
        let is_on_stack = self.stack.contains(current);
        let enters_stack =
            self.action.flags.contains(ActionFlags::ONSTACK) && self.stack.is_enabled() && !is_on_stack;
        let top = if enters_stack { self.stack.top() } else { current.wrapping_sub(RED_ZONE_BYTES) };
        let state_bytes = (self.extended_state.len() + MAGIC2_BYTES) as u64;
        let state_address = top.checked_sub(state_bytes).ok_or(Errno::EFAULT)? & !63;
        // At a function's entry the stack pointer is 8 below a multiple of 16 (System V ABI).
        let frame = state_address.checked_sub(HEAD_BYTES as u64).ok_or(Errno::EFAULT)? & !15;
        let address = frame.checked_sub(8).ok_or(Errno::EFAULT)?;
        // An alternate stack that is too small must not be overrun.
        if (is_on_stack || enters_stack) && !self.stack_holds(address) {
            return Err(Errno::EFAULT);
        }
        Ok((address, state_address))
    }

    fn stack_holds(&self, address: u64) -> bool {
        address <= self.stack.top() && self.stack.top() - address < self.stack.len_bytes()
    }

    fn head(&self, state_address: u64) -> SignalFrameHead {
        SignalFrameHead {
            return_address: self.action.restorer.0,
            uc_flags: UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
            uc_link: 0,
            uc_stack: self.stack.to_user(self.registers.rsp),
            uc_mcontext: self.machine_context(state_address),
            uc_sigmask: self.mask.bits(),
            info: self.info.to_user(),
        }
    }

    fn machine_context(&self, state_address: u64) -> SigContext {
        let registers = self.registers;
        SigContext {
            r8: registers.r8,
            r9: registers.r9,
            r10: registers.r10,
            r11: registers.r11,
            r12: registers.r12,
            r13: registers.r13,
            r14: registers.r14,
            r15: registers.r15,
            rdi: registers.rdi,
            rsi: registers.rsi,
            rbp: registers.rbp,
            rbx: registers.rbx,
            rdx: registers.rdx,
            rax: registers.rax,
            rcx: registers.rcx,
            rsp: registers.rsp,
            rip: registers.rip,
            rflags: registers.rflags,
            cs: Registers::USER_CS,
            ss: Registers::USER_SS,
            err: self.trap.error_code,
            trapno: self.trap.vector,
            oldmask: self.mask.bits(),
            cr2: self.trap.address,
            fpstate: state_address,
            ..SigContext::default()
        }
    }

    fn fill_extended_state(&self, area: &mut [u8]) {
        let len_bytes = self.extended_state.len();
        let (state, magic2) = area.split_at_mut(len_bytes);
        state.copy_from_slice(self.extended_state);
        let Ok((head, _)) = XsaveHead::mut_from_prefix(state) else { return };
        head.software = FxSoftwareBytes {
            magic1: MAGIC1,
            extended_size: (len_bytes + MAGIC2_BYTES) as u32,
            xfeatures: self.extended_features,
            xstate_size: len_bytes as u32,
            ..FxSoftwareBytes::default()
        };
        // A handler that edits only the legacy area expects its edits to count.
        head.xstate_bv |= LEGACY_FEATURES;
        magic2.copy_from_slice(MAGIC2.as_bytes());
    }
}

/// The flags that are clear when a handler starts: TF, DF, RF.
const HANDLER_CLEARS: u64 = 1 << 8 | 1 << 10 | 1 << 16;

/// What a frame brings back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredFrame {
    /// What the handler left for the program to go on with.
    pub registers: Registers,
    /// The mask of blocked signals.
    pub mask: SignalSet,
    /// The alternate stack; one that cannot be set is ignored.
    pub(crate) stack: SignalStack,
    /// The XSAVE area; `None` for the initial state.
    pub extended_state: Option<Vec<u8>>,
}

/// Reads back the frame that the stack pointer of `current` has just left, with `read` copying from user
/// memory.
/// `state_len_bytes` is the length of the platform's XSAVE area.
///
/// # Errors
/// EFAULT: the frame cannot be read: the task gets SIGSEGV.
pub fn restore_frame(
    current: &Registers,
    state_len_bytes: usize,
    read: impl Fn(VirtualAddress, &mut [u8]) -> Result<(), Errno>,
) -> Result<RestoredFrame, Errno> {
    // The handler's `ret` has popped the return address.
    let address = VirtualAddress(current.rsp.wrapping_sub(8));
    let mut bytes = vec![0; HEAD_BYTES + 64 + 16 + state_len_bytes + MAGIC2_BYTES];
    if read(address, &mut bytes).is_err() {
        bytes.truncate(HEAD_BYTES);
        read(address, &mut bytes)?;
    }
    let (head, _) = SignalFrameHead::read_from_prefix(&bytes).map_err(|_| Errno::EFAULT)?;
    let extended_state = match head.uc_mcontext.fpstate {
        0 => None,
        state_address => Some(read_extended_state(&bytes, address.0, state_address, state_len_bytes, read)?),
    };
    Ok(RestoredFrame {
        registers: restored_registers(current, &head.uc_mcontext),
        mask: SignalSet::from_bits(head.uc_sigmask).as_blocked_mask(),
        stack: head.uc_stack,
        extended_state,
    })
}

/// The XSAVE area at `state_address`: from `frame`, the bytes at `frame_address`, if it lies there.
fn read_extended_state(
    frame: &[u8],
    frame_address: u64,
    state_address: u64,
    max_len_bytes: usize,
    read: impl Fn(VirtualAddress, &mut [u8]) -> Result<(), Errno>,
) -> Result<Vec<u8>, Errno> {
    let in_frame = |len_bytes: usize| {
        let offset = usize::try_from(state_address.checked_sub(frame_address)?).ok()?;
        frame.get(offset..offset.checked_add(len_bytes)?)
    };
    let copy = |len_bytes: usize| match in_frame(len_bytes) {
        Some(bytes) => Ok(bytes.to_vec()),
        None => {
            let mut bytes = vec![0; len_bytes];
            read(VirtualAddress(state_address), &mut bytes).map(|()| bytes)
        }
    };
    let mut legacy = copy(LEGACY_BYTES)?;
    let Some((len_bytes, features)) = described_state(&legacy, max_len_bytes) else { return Ok(legacy) };
    let Ok(mut area) = copy(len_bytes + MAGIC2_BYTES) else {
        return Err(Errno::EFAULT);
    };
    // The legacy area was judged already: what is restored must be what was judged.
    area[..LEGACY_BYTES].swap_with_slice(&mut legacy);
    if area[len_bytes..] != *MAGIC2.as_bytes() {
        area.truncate(LEGACY_BYTES);
        return Ok(area);
    }
    area.truncate(len_bytes);
    if let Ok((head, _)) = XsaveHead::mut_from_prefix(&mut area) {
        head.xstate_bv &= features;
    }
    Ok(area)
}

/// Length and features of the area that the software-defined bytes describe; `None` if they describe none, so
/// that only the legacy area counts.
fn described_state(legacy: &[u8], max_len_bytes: usize) -> Option<(usize, u64)> {
    let (_, software) = FxSoftwareBytes::read_from_suffix(legacy).ok()?;
    let len_bytes = software.xstate_size as usize;
    let is_valid = software.magic1 == MAGIC1
        && (XSAVE_HEAD_BYTES..=max_len_bytes).contains(&len_bytes)
        && software.xstate_size <= software.extended_size;
    is_valid.then_some((len_bytes, software.xfeatures))
}

fn restored_registers(current: &Registers, context: &SigContext) -> Registers {
    Registers {
        r8: context.r8,
        r9: context.r9,
        r10: context.r10,
        r11: context.r11,
        r12: context.r12,
        r13: context.r13,
        r14: context.r14,
        r15: context.r15,
        rdi: context.rdi,
        rsi: context.rsi,
        rbp: context.rbp,
        rbx: context.rbx,
        rdx: context.rdx,
        rax: context.rax,
        rcx: context.rcx,
        rsp: context.rsp,
        rip: context.rip,
        rflags: current.rflags & !Registers::USER_FLAGS | context.rflags & Registers::USER_FLAGS,
    }
}

/// The initial extended state (SDM 1 13.6), for a handler or for a frame without an XSAVE area.
pub fn initial_extended_state() -> Vec<u8> {
    let mut head = XsaveHead::new_zeroed();
    head.fcw = INITIAL_FCW;
    head.mxcsr = INITIAL_MXCSR;
    head.as_bytes().to_vec()
}

/// Whether an XSAVE area in standard format holds the initial extended state, so that none has to be set for a handler.
pub fn is_initial_extended_state(area: &[u8]) -> bool {
    let Ok((&head, rest)) = XsaveHead::ref_from_prefix(area) else { return false };
    let features = head.xstate_bv;
    // FCW, and then all that FNINIT clears: the other words and the registers.
    let is_x87_initial = features & 1 == 0
        || head.fcw == INITIAL_FCW
            && (head.fsw, head.ftw, head.fop, head.fip, head.fdp) == (0, 0, 0, 0, 0)
            && { head.st_space } == [0; 32];
    let is_mxcsr_initial = features & 6 == 0 || head.mxcsr == INITIAL_MXCSR;
    let is_sse_initial = features & 2 == 0 || { head.xmm_space } == [0; 64];
    let is_rest_initial = features & !LEGACY_FEATURES == 0 || rest.iter().all(|byte| *byte == 0);
    is_x87_initial && is_mxcsr_initial && is_sse_initial && is_rest_initial
}

#[cfg(test)]
mod tests;
