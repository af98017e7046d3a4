use super::*;

#[test]
fn syscall_info_has_linux_s_layout() {
    let mut info = SyscallInfo { instruction_pointer: 1, stack_pointer: 2, phase: SyscallPhase::None };
    assert_eq!(encode_syscall_info(&info).1, 24);
    info.phase = SyscallPhase::Entry { number: 59, arguments: [1, 2, 3, 4, 5, 6] };
    let (encoded, len) = encode_syscall_info(&info);
    let bytes = encoded.as_bytes();
    assert_eq!((len, bytes[0], bytes[8], bytes[16], bytes[24], bytes[72]), (80, 1, 1, 2, 59, 6));
    info.phase = SyscallPhase::Exit { result: -2 };
    let (encoded, len) = encode_syscall_info(&info);
    assert_eq!((len, encoded.as_bytes()[0], encoded.as_bytes()[32]), (33, 2, 1));
}

#[test]
fn only_signals_can_be_injected() {
    let signal_of = |number| signal_of(UserPointer::new(number));
    assert_eq!(signal_of(0), Ok(None));
    assert_eq!(signal_of(10), Ok(Some(Signal::SIGUSR1)));
    assert_eq!(signal_of(65), Err(Errno::EIO));
    assert_eq!(signal_of(u64::MAX), Err(Errno::EIO));
}
