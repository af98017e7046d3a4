use std::mem::offset_of;

use super::*;

/// A value all of whose bytes are ones.
fn ones<T: UserObject>() -> T {
    let mut value = T::new_zeroed();
    value.as_mut_bytes().fill(0xff);
    value
}

/// Where bytes are zero.
fn gaps(value: &impl UserObject) -> Vec<usize> {
    let bytes = value.as_bytes().iter().enumerate();
    bytes.filter(|(_, byte)| **byte == 0).map(|(offset, _)| offset).collect()
}

#[test]
fn the_gaps_of_a_flock_are_fields() {
    let full = Flock { l_type: -1, l_whence: -1, l_start: -1, l_len: -1, l_pid: -1, ..Flock::default() };
    assert_eq!(gaps(&full), [4, 5, 6, 7, 28, 29, 30, 31]);
}

#[test]
fn the_gaps_of_a_stat_are_fields() {
    let clean = Stat::default();
    let full = Stat { padding: clean.padding, unused: clean.unused, ..ones() };
    assert_eq!(gaps(&full), (36..40).chain(120..144).collect::<Vec<_>>());
}

#[test]
fn the_gap_of_a_siginfo_is_a_field() {
    let full = Siginfo { padding: 0, ..ones() };
    assert_eq!(gaps(&full), [12, 13, 14, 15]);
}

#[test]
fn the_gaps_of_a_signal_frame_are_fields() {
    let full = SignalFrameHead {
        uc_stack: SignalStack { padding: 0, ..ones() },
        uc_mcontext: SigContext { reserved: [0; 8], ..ones() },
        info: Siginfo { padding: 0, ..ones() },
        ..ones()
    };
    let stack = offset_of!(SignalFrameHead, uc_stack) + offset_of!(SignalStack, padding);
    let context = offset_of!(SignalFrameHead, uc_mcontext) + offset_of!(SigContext, reserved);
    let info = offset_of!(SignalFrameHead, info) + offset_of!(Siginfo, padding);
    let expected = (stack..stack + 4).chain(context..context + 64).chain(info..info + 4);
    assert_eq!(gaps(&full), expected.collect::<Vec<_>>());
}
