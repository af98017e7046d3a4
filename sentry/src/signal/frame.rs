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
    /// The signal.
    pub info: SignalInfo,
    /// Its action; the handler is a user function.
    pub action: Action,
    /// The mask that sigreturn brings back.
    pub mask: SignalSet,
    /// The alternate stack.
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
            self.action.flags.contains(ActionFlags::ON_STACK) && self.stack.is_enabled() && !is_on_stack;
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
    /// The registers.
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
mod tests {
    use super::*;
    use crate::signal::Signal;

    const STATE_BYTES: usize = 832;
    const FEATURES: u64 = 7;

    fn registers() -> Registers {
        Registers {
            rsp: 0x7fff_0000_1234,
            rip: 0x40_1000,
            rax: 1,
            rbx: 2,
            r15: 15,
            rflags: 0x202 | 1 << 10 | 1,
            ..Registers::default()
        }
    }

    fn state() -> Vec<u8> {
        let mut area = vec![0; STATE_BYTES];
        let head = area_head(&mut area);
        (head.fcw, head.mxcsr, head.xstate_bv) = (INITIAL_FCW, INITIAL_MXCSR, 4);
        area[160] = 0x5a;
        area[600] = 0xa5;
        area
    }

    fn area_head(area: &mut [u8]) -> &mut XsaveHead {
        XsaveHead::mut_from_prefix(area).unwrap().0
    }

    fn head(frame: &SignalFrame) -> SignalFrameHead {
        SignalFrameHead::read_from_prefix(&frame.bytes).unwrap().0
    }

    fn edit(frame: &mut SignalFrame, change: impl FnOnce(&mut SignalFrameHead)) {
        let mut head = head(frame);
        change(&mut head);
        head.write_to_prefix(&mut frame.bytes).unwrap();
    }

    fn builder<'a>(registers: &'a Registers, state: &'a [u8]) -> FrameBuilder<'a> {
        FrameBuilder {
            registers,
            info: SignalInfo::from_fault(Signal::SIGSEGV, 1, 0xdead),
            action: Action {
                handler: Handler::User(VirtualAddress(0x40_2000)),
                flags: ActionFlags::RESTORER,
                restorer: VirtualAddress(0x40_3000),
                mask: SignalSet::EMPTY,
            },
            mask: SignalSet::of(&[Signal::SIGUSR1]),
            stack: AlternateStack::default(),
            trap: TrapState { vector: 14, error_code: 6, address: 0xdead },
            extended_state: state,
            extended_features: FEATURES,
        }
    }

    fn alternate_stack(ss_size: u64) -> AlternateStack {
        let stack = SignalStack { ss_sp: 0x10_0000, ss_size, ..SignalStack::default() };
        AlternateStack::from_user(stack, 0).unwrap()
    }

    /// Memory that holds nothing but the frame.
    fn reader(frame: &SignalFrame) -> impl Fn(VirtualAddress, &mut [u8]) -> Result<(), Errno> {
        move |address, bytes| {
            let start = address.0.checked_sub(frame.address.0).ok_or(Errno::EFAULT)? as usize;
            let source = frame.bytes.get(start..start + bytes.len()).ok_or(Errno::EFAULT)?;
            bytes.copy_from_slice(source);
            Ok(())
        }
    }

    fn restore(frame: &SignalFrame) -> Result<RestoredFrame, Errno> {
        let current = Registers { rsp: frame.registers.rsp + 8, rflags: 0x202, ..Registers::default() };
        restore_frame(&current, STATE_BYTES, reader(frame))
    }

    #[test]
    fn sigreturn_restores_what_the_frame_saved() {
        let (registers, state) = (registers(), state());
        let frame = builder(&registers, &state).build().unwrap();
        let restored = restore(&frame).unwrap();
        assert_eq!(restored.registers, registers);
        assert_eq!(restored.mask, SignalSet::of(&[Signal::SIGUSR1]));
        let area = restored.extended_state.unwrap();
        let (xsave, _) = XsaveHead::read_from_prefix(&area).unwrap();
        assert_eq!((area.len(), area[160], area[600], { xsave.xstate_bv }), (STATE_BYTES, 0x5a, 0xa5, 7));
    }

    #[test]
    fn a_frame_carries_no_byte_but_what_its_fields_say() {
        let registers = Registers { rip: 1, rflags: 2, rsp: 0x7fff_0000_1234, ..Registers::default() };
        let state = vec![0; STATE_BYTES];
        let mut frame = builder(&registers, &state).build().unwrap();
        let (state_start, info) = (frame.bytes.len() - STATE_BYTES - MAGIC2_BYTES, head(&frame).info);
        assert_eq!((info.padding, &info.fields[1..]), (0, &[0; 13][..]));
        edit(&mut frame, |head| {
            let reserved = head.uc_mcontext.reserved;
            assert_eq!((reserved, head.uc_stack.padding), ([0; 8], 0));
            *head = SignalFrameHead::default();
        });
        let area = area_head(&mut frame.bytes[state_start..]);
        assert_eq!({ area.software.padding }, [0; 7]);
        *area = XsaveHead::new_zeroed();
        let end = frame.bytes.len() - MAGIC2_BYTES;
        assert_eq!(frame.bytes[..end], vec![0; end]);
    }

    #[test]
    fn the_handler_starts_as_a_function_of_three_arguments() {
        let (registers, state) = (registers(), state());
        let frame = builder(&registers, &state).build().unwrap();
        assert_eq!(frame.registers.rsp % 16, 8);
        assert_eq!(frame.registers.rsp, frame.address.0);
        assert_eq!(frame.registers.rdi, 11);
        assert_eq!(frame.registers.rip, 0x40_2000);
        assert_eq!(frame.registers.rflags, 0x203);
        let head = head(&frame);
        assert_eq!(head.return_address, 0x40_3000);
        // Linux's layout: `ucontext` is behind the return address, and `siginfo` behind it.
        assert_eq!(frame.registers.rdx - frame.address.0, 8);
        assert_eq!(frame.registers.rsi - frame.registers.rdx, 304);
        assert_eq!(head.info.fields[0], 0xdead);
        let context = head.uc_mcontext;
        assert_eq!((context.rip, context.err, context.trapno, context.cr2), (0x40_1000, 6, 14, 0xdead));
        assert_eq!(context.fpstate % 64, 0);
        let state_start = (context.fpstate - frame.address.0) as usize;
        let (xsave, _) = XsaveHead::read_from_prefix(&frame.bytes[state_start..]).unwrap();
        assert_eq!({ xsave.software }.magic1, MAGIC1);
    }

    #[test]
    fn the_red_zone_is_left_alone() {
        let (registers, state) = (registers(), state());
        let frame = builder(&registers, &state).build().unwrap();
        assert!(frame.address.0 + frame.bytes.len() as u64 <= registers.rsp - 128);
    }

    #[test]
    fn a_handler_on_the_alternate_stack_starts_at_its_top_and_nests_below() {
        let (mut registers, state) = (registers(), state());
        let mut builder_flags = builder(&registers, &state).action;
        builder_flags.flags |= ActionFlags::ON_STACK;
        let stack = alternate_stack(0x4000);
        let first =
            FrameBuilder { action: builder_flags, stack, ..builder(&registers, &state) }.build().unwrap();
        assert!(stack.contains(first.address.0));
        assert!(first.address.0 + first.bytes.len() as u64 > 0x10_4000 - 64);
        registers.rsp = first.registers.rsp;
        let nested =
            FrameBuilder { action: builder_flags, stack, ..builder(&registers, &state) }.build().unwrap();
        assert!(stack.contains(nested.address.0));
        assert!(nested.address.0 + nested.bytes.len() as u64 <= first.address.0 - 128);
    }

    #[test]
    fn an_alternate_stack_that_is_too_small_is_efault() {
        let (registers, state) = (registers(), state());
        let mut small = builder(&registers, &state);
        small.action.flags |= ActionFlags::ON_STACK;
        small.stack = alternate_stack(1024);
        assert_eq!(small.build(), Err(Errno::EFAULT));
    }

    #[test]
    fn a_handler_without_a_restorer_or_a_stack_is_efault() {
        let (mut registers, state) = (registers(), state());
        let mut no_restorer = builder(&registers, &state);
        no_restorer.action.flags = ActionFlags::empty();
        assert_eq!(no_restorer.build(), Err(Errno::EFAULT));
        registers.rsp = 200;
        assert_eq!(builder(&registers, &state).build(), Err(Errno::EFAULT));
    }

    #[test]
    fn a_frame_without_extended_state_restores_the_initial_one() {
        let (registers, state) = (registers(), state());
        let mut frame = builder(&registers, &state).build().unwrap();
        edit(&mut frame, |head| head.uc_mcontext.fpstate = 0);
        assert_eq!(restore(&frame).unwrap().extended_state, None);
    }

    #[test]
    fn a_torn_extended_state_counts_as_legacy_only() {
        let (registers, state) = (registers(), state());
        let frame = builder(&registers, &state).build().unwrap();
        let fpstate = frame.bytes.len() - STATE_BYTES - MAGIC2_BYTES;
        let tears: [fn(&mut [u8]); 4] = [
            |area| area_head(area).software.magic1 = 0,
            |area| area_head(area).software.xstate_size = 0x7fff_ffff,
            |area| area_head(area).software.xstate_size = 8,
            |area| area[STATE_BYTES..].fill(0),
        ];
        for (tear, number) in tears.into_iter().zip(0..) {
            let mut torn = frame.clone();
            tear(&mut torn.bytes[fpstate..]);
            let area = restore(&torn).unwrap().extended_state.unwrap();
            assert_eq!(area.len(), LEGACY_BYTES, "tear {number}");
        }
    }

    #[test]
    fn a_wild_frame_is_efault() {
        let (registers, state) = (registers(), state());
        let mut frame = builder(&registers, &state).build().unwrap();
        let read = |_: VirtualAddress, _: &mut [u8]| Err(Errno::EFAULT);
        assert_eq!(restore_frame(&registers, STATE_BYTES, read), Err(Errno::EFAULT));
        edit(&mut frame, |head| head.uc_mcontext.fpstate = u64::MAX - 8);
        assert_eq!(restore(&frame), Err(Errno::EFAULT));
    }

    #[test]
    fn sigreturn_cannot_change_system_flags() {
        let (registers, state) = (registers(), state());
        let mut frame = builder(&registers, &state).build().unwrap();
        edit(&mut frame, |head| head.uc_mcontext.rflags = u64::MAX);
        assert_eq!(restore(&frame).unwrap().registers.rflags, 0x202 | Registers::USER_FLAGS);
    }

    #[test]
    fn whatever_differs_from_reset_is_not_initial() {
        let mut initial = initial_extended_state();
        initial.resize(STATE_BYTES, 0);
        assert!(is_initial_extended_state(&initial));
        area_head(&mut initial).xstate_bv = 7;
        assert!(is_initial_extended_state(&initial));
        // The control words, the x87 tag, stack and pointers, a vector register and its upper half.
        for offset in [0, 2, 4, 8, 24, 32, 160, 600] {
            let mut changed = initial.clone();
            changed[offset] ^= 1;
            assert!(!is_initial_extended_state(&changed), "offset {offset}");
            area_head(&mut changed).xstate_bv = 0;
            assert!(is_initial_extended_state(&changed), "offset {offset} of an absent component");
        }
        assert!(!is_initial_extended_state(&initial[..LEGACY_BYTES]));
    }
}
