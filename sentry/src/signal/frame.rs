//! The frame that a handler runs on: Linux's `struct rt_sigframe`, and the way back, rt_sigreturn(2).
//!
//! From low to high addresses: the return address, `ucontext`, `siginfo`, padding, and the XSAVE area, which
//! ends in a magic number. Its software-defined bytes say how long it is and which features it holds. It is
//! built in one buffer and written at once; reading it back takes one read unless the program moved the XSAVE
//! area.

use super::{Action, ActionFlags, AlternateStack, Handler, SignalInfo, SignalSet, TrapState};
use crate::Errno;
use crate::platform::{Registers, VirtualAddress};

/// Bytes below the stack pointer that belong to the interrupted function (System V ABI, the red zone).
const RED_ZONE_BYTES: u64 = 128;

// Offsets in `struct rt_sigframe`.
const UC_FLAGS: usize = 8;
const UC_STACK: usize = 24;
const UC_MCONTEXT: usize = 48;
const UC_SIGMASK: usize = UC_MCONTEXT + 256;
const INFO: usize = UC_SIGMASK + 8;
const HEADER_BYTES: usize = INFO + SignalInfo::SIZE_BYTES;

// Offsets in `struct sigcontext`, in words; the first 18 are general-purpose registers.
const MC_SEGMENTS: usize = 18;
const MC_ERROR: usize = 19;
const MC_TRAP: usize = 20;
const MC_OLD_MASK: usize = 21;
const MC_CR2: usize = 22;
const MC_FPSTATE: usize = 23;

/// There is an XSAVE area with `_fpx_sw_bytes`.
const UC_FP_XSTATE: u64 = 1;
/// SS in the mcontext is valid, and restored strictly.
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

// The software-defined bytes of the XSAVE area (`struct _fpx_sw_bytes`).
const SW_MAGIC1: usize = 464;
const SW_EXTENDED_SIZE: usize = 468;
const SW_FEATURES: usize = 472;
const SW_XSTATE_SIZE: usize = 480;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
const MAGIC2_BYTES: usize = 4;
/// The legacy area that FXSAVE fills, and the XSAVE header behind it (SDM 1 13.4).
const LEGACY_BYTES: usize = 512;
const XSAVE_HEADER_BYTES: usize = 64;
const XSTATE_BV: usize = LEGACY_BYTES;
/// x87 and SSE.
const LEGACY_FEATURES: u64 = 3;
/// The x87 control word after FNINIT.
const INITIAL_FCW: u16 = 0x037f;
/// Where MXCSR is, and what it is after reset (SDM 1 10.2.3).
const MXCSR: usize = 24;
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
        self.fill_header(&mut bytes, state_address);
        self.fill_extended_state(&mut bytes[state_offset..]);
        let registers = Registers {
            rax: 0,
            rdi: u64::from(self.info.signal.number()),
            rsi: address + INFO as u64,
            rdx: address + UC_FLAGS as u64,
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
        let frame = state_address.checked_sub(HEADER_BYTES as u64).ok_or(Errno::EFAULT)? & !15;
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

    fn fill_header(&self, bytes: &mut [u8], state_address: u64) {
        put_u64(bytes, 0, self.action.restorer.0);
        put_u64(bytes, UC_FLAGS, UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS);
        for (position, word) in self.stack.to_words(self.registers.rsp).into_iter().enumerate() {
            put_u64(bytes, UC_STACK + position * 8, word);
        }
        for (position, register) in general_registers(self.registers).into_iter().enumerate() {
            put_u64(bytes, UC_MCONTEXT + position * 8, register);
        }
        // CS, GS, FS, SS, 16 bits each.
        let segments = u64::from(Registers::USER_CS) | u64::from(Registers::USER_SS) << 48;
        for (word, value) in [
            (MC_SEGMENTS, segments),
            (MC_ERROR, self.trap.error_code),
            (MC_TRAP, self.trap.vector),
            (MC_OLD_MASK, self.mask.bits()),
            (MC_CR2, self.trap.address),
            (MC_FPSTATE, state_address),
        ] {
            put_u64(bytes, UC_MCONTEXT + word * 8, value);
        }
        put_u64(bytes, UC_SIGMASK, self.mask.bits());
        bytes[INFO..HEADER_BYTES].copy_from_slice(&self.info.to_bytes());
    }

    fn fill_extended_state(&self, area: &mut [u8]) {
        let len_bytes = self.extended_state.len();
        area[..len_bytes].copy_from_slice(self.extended_state);
        if len_bytes < LEGACY_BYTES + XSAVE_HEADER_BYTES {
            return;
        }
        put_u32(area, SW_MAGIC1, MAGIC1);
        put_u32(area, SW_EXTENDED_SIZE, (len_bytes + MAGIC2_BYTES) as u32);
        put_u64(area, SW_FEATURES, self.extended_features);
        put_u32(area, SW_XSTATE_SIZE, len_bytes as u32);
        // A handler that edits only the legacy area expects its edits to count.
        let features = get_u64(area, XSTATE_BV) | LEGACY_FEATURES;
        put_u64(area, XSTATE_BV, features);
        put_u32(area, len_bytes, MAGIC2);
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
    /// The alternate stack as `stack_t`; a stack that cannot be set is ignored.
    pub stack: [u64; AlternateStack::WORDS],
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
    let mut bytes = vec![0; HEADER_BYTES + 64 + 16 + state_len_bytes + MAGIC2_BYTES];
    if read(address, &mut bytes).is_err() {
        bytes.truncate(HEADER_BYTES);
        read(address, &mut bytes)?;
    }
    let word = |offset: usize| get_u64(&bytes, offset);
    let mut stack = [0; AlternateStack::WORDS];
    for (position, place) in stack.iter_mut().enumerate() {
        *place = word(UC_STACK + position * 8);
    }
    let state_address = word(UC_MCONTEXT + MC_FPSTATE * 8);
    let extended_state = match state_address {
        0 => None,
        _ => Some(read_extended_state(&bytes, address.0, state_address, state_len_bytes, read)?),
    };
    Ok(RestoredFrame {
        registers: restored_registers(current, &bytes),
        mask: SignalSet::from_bits(word(UC_SIGMASK)).as_blocked_mask(),
        stack,
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
    if get_u32(&area, len_bytes) != MAGIC2 {
        area.truncate(LEGACY_BYTES);
        return Ok(area);
    }
    area.truncate(len_bytes);
    let present = get_u64(&area, XSTATE_BV) & features;
    put_u64(&mut area, XSTATE_BV, present);
    Ok(area)
}

/// Length and features of the area that the software-defined bytes describe; `None` if they describe none, so
/// that only the legacy area counts.
fn described_state(legacy: &[u8], max_len_bytes: usize) -> Option<(usize, u64)> {
    let len_bytes = get_u32(legacy, SW_XSTATE_SIZE) as usize;
    let extended_len_bytes = get_u32(legacy, SW_EXTENDED_SIZE) as usize;
    let is_valid = get_u32(legacy, SW_MAGIC1) == MAGIC1
        && (LEGACY_BYTES + XSAVE_HEADER_BYTES..=max_len_bytes).contains(&len_bytes)
        && len_bytes <= extended_len_bytes;
    is_valid.then(|| (len_bytes, get_u64(legacy, SW_FEATURES)))
}

/// In the order of `struct sigcontext`.
fn general_registers(registers: &Registers) -> [u64; 18] {
    [
        registers.r8,
        registers.r9,
        registers.r10,
        registers.r11,
        registers.r12,
        registers.r13,
        registers.r14,
        registers.r15,
        registers.rdi,
        registers.rsi,
        registers.rbp,
        registers.rbx,
        registers.rdx,
        registers.rax,
        registers.rcx,
        registers.rsp,
        registers.rip,
        registers.rflags,
    ]
}

fn restored_registers(current: &Registers, frame: &[u8]) -> Registers {
    let word = |position: usize| get_u64(frame, UC_MCONTEXT + position * 8);
    Registers {
        r8: word(0),
        r9: word(1),
        r10: word(2),
        r11: word(3),
        r12: word(4),
        r13: word(5),
        r14: word(6),
        r15: word(7),
        rdi: word(8),
        rsi: word(9),
        rbp: word(10),
        rbx: word(11),
        rdx: word(12),
        rax: word(13),
        rcx: word(14),
        rsp: word(15),
        rip: word(16),
        rflags: current.rflags & !Registers::USER_FLAGS | word(17) & Registers::USER_FLAGS,
    }
}

/// The initial extended state (SDM 1 13.6), for a handler or for a frame without an XSAVE area.
pub fn initial_extended_state() -> Vec<u8> {
    let mut area = vec![0; LEGACY_BYTES + XSAVE_HEADER_BYTES];
    area[..2].copy_from_slice(&INITIAL_FCW.to_le_bytes());
    put_u32(&mut area, MXCSR, INITIAL_MXCSR);
    area
}

/// Whether an XSAVE area in standard format holds the initial extended state, so that none has to be set for a handler.
pub fn is_initial_extended_state(area: &[u8]) -> bool {
    let (Some(legacy), Some(header)) =
        (area.get(..LEGACY_BYTES), area.get(LEGACY_BYTES..LEGACY_BYTES + XSAVE_HEADER_BYTES))
    else {
        return false;
    };
    let features = get_u64(header, 0);
    let is_clear = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    // FCW, and then all that FNINIT clears: the other words and the registers.
    let is_x87_initial = features & 1 == 0
        || legacy[..2] == INITIAL_FCW.to_le_bytes()
            && is_clear(&legacy[2..MXCSR])
            && is_clear(&legacy[32..160]);
    let is_mxcsr_initial = features & 6 == 0 || get_u32(legacy, MXCSR) == INITIAL_MXCSR;
    let is_sse_initial = features & 2 == 0 || is_clear(&legacy[160..416]);
    let is_rest_initial =
        features & !LEGACY_FEATURES == 0 || is_clear(&area[LEGACY_BYTES + XSAVE_HEADER_BYTES..]);
    is_x87_initial && is_mxcsr_initial && is_sse_initial && is_rest_initial
}

fn put_u64(bytes: &mut [u8], offset: usize, value: u64) {
    bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
}

fn put_u32(bytes: &mut [u8], offset: usize, value: u32) {
    bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

fn get_u64(bytes: &[u8], offset: usize) -> u64 {
    u64::from(get_u32(bytes, offset)) | u64::from(get_u32(bytes, offset + 4)) << 32
}

fn get_u32(bytes: &[u8], offset: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_le_bytes(value)
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
        area[0..2].copy_from_slice(&[0x7f, 3]);
        area[24..26].copy_from_slice(&[0x80, 0x1f]);
        area[160] = 0x5a;
        area[XSTATE_BV] = 4;
        area[600] = 0xa5;
        area
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
        assert_eq!((area.len(), area[160], area[600], area[XSTATE_BV]), (STATE_BYTES, 0x5a, 0xa5, 7));
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
        let at = |address: u64| get_u64(&frame.bytes, (address - frame.address.0) as usize);
        assert_eq!(at(frame.registers.rsp), 0x40_3000);
        assert_eq!(at(frame.registers.rsi + 16), 0xdead);
        let mcontext = frame.registers.rdx + 40;
        assert_eq!(at(mcontext + 16 * 8), 0x40_1000);
        assert_eq!((at(mcontext + 19 * 8), at(mcontext + 20 * 8), at(mcontext + 22 * 8)), (6, 14, 0xdead));
        let fpstate = at(mcontext + 23 * 8);
        assert_eq!(fpstate % 64, 0);
        assert_eq!(at(fpstate + 464) as u32, MAGIC1);
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
        let stack = AlternateStack::from_words([0x10_0000, 0, 0x4000], 0).unwrap();
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
        small.stack = AlternateStack::from_words([0x10_0000, 0, 1024], 0).unwrap();
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
        put_u64(&mut frame.bytes, UC_MCONTEXT + MC_FPSTATE * 8, 0);
        assert_eq!(restore(&frame).unwrap().extended_state, None);
    }

    #[test]
    fn a_torn_extended_state_counts_as_legacy_only() {
        let (registers, state) = (registers(), state());
        let frame = builder(&registers, &state).build().unwrap();
        let fpstate = frame.bytes.len() - STATE_BYTES - MAGIC2_BYTES;
        for (offset, value) in [
            (fpstate + SW_MAGIC1, 0),
            (fpstate + SW_XSTATE_SIZE, 0x7fff_ffff),
            (fpstate + SW_XSTATE_SIZE, 8),
            (fpstate + STATE_BYTES, 0),
        ] {
            let mut torn = frame.clone();
            put_u32(&mut torn.bytes, offset, value);
            let area = restore(&torn).unwrap().extended_state.unwrap();
            assert_eq!(area.len(), LEGACY_BYTES, "offset {}", offset - fpstate);
        }
    }

    #[test]
    fn a_wild_frame_is_efault() {
        let (registers, state) = (registers(), state());
        let mut frame = builder(&registers, &state).build().unwrap();
        let read = |_: VirtualAddress, _: &mut [u8]| Err(Errno::EFAULT);
        assert_eq!(restore_frame(&registers, STATE_BYTES, read), Err(Errno::EFAULT));
        put_u64(&mut frame.bytes, UC_MCONTEXT + MC_FPSTATE * 8, u64::MAX - 8);
        assert_eq!(restore(&frame), Err(Errno::EFAULT));
    }

    #[test]
    fn sigreturn_cannot_change_system_flags() {
        let (registers, state) = (registers(), state());
        let mut frame = builder(&registers, &state).build().unwrap();
        put_u64(&mut frame.bytes, UC_MCONTEXT + 17 * 8, u64::MAX);
        assert_eq!(restore(&frame).unwrap().registers.rflags, 0x202 | Registers::USER_FLAGS);
    }

    #[test]
    fn whatever_differs_from_reset_is_not_initial() {
        let mut initial = initial_extended_state();
        initial.resize(STATE_BYTES, 0);
        assert!(is_initial_extended_state(&initial));
        put_u64(&mut initial, XSTATE_BV, 7);
        assert!(is_initial_extended_state(&initial));
        // The control words, the x87 tag, stack and pointers, a vector register and its upper half.
        for offset in [0, 2, 4, 8, 24, 32, 160, 600] {
            let mut changed = initial.clone();
            changed[offset] ^= 1;
            assert!(!is_initial_extended_state(&changed), "offset {offset}");
            put_u64(&mut changed, XSTATE_BV, 0);
            assert!(is_initial_extended_state(&changed), "offset {offset} of an absent component");
        }
        assert!(!is_initial_extended_state(&initial[..LEGACY_BYTES]));
    }
}
