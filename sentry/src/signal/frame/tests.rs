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
    builder_flags.flags |= ActionFlags::ONSTACK;
    let stack = alternate_stack(0x4000);
    let first = FrameBuilder { action: builder_flags, stack, ..builder(&registers, &state) }.build().unwrap();
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
    small.action.flags |= ActionFlags::ONSTACK;
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
