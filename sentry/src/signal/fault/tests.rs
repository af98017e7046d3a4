use super::*;

#[test]
fn exceptions_become_linux_s_signals() {
    for (vector, signal, code, address) in [
        (0, Signal::SIGFPE, 1, 0x40),
        (1, Signal::SIGTRAP, 1, 0x40),
        (3, Signal::SIGTRAP, 0x80, 0),
        (4, Signal::SIGSEGV, 0x80, 0),
        (6, Signal::SIGILL, 2, 0x40),
        (12, Signal::SIGBUS, 0x80, 0),
        (13, Signal::SIGSEGV, 0x80, 0),
        (17, Signal::SIGBUS, 1, 0),
    ] {
        let registers = Registers { rip: 0x40, ..Registers::default() };
        let info = exception_signal(vector, &registers, Vec::new);
        assert_eq!((info.signal, info.code), (signal, code), "vector {vector}");
        assert_eq!(info.to_user().fields[0], address, "vector {vector}");
    }
}

#[test]
fn a_debug_exception_with_the_trap_flag_is_a_step() {
    let registers = Registers { rflags: 0x302, ..Registers::default() };
    assert_eq!(exception_signal(1, &registers, Vec::new).code, TRAP_TRACE as i32);
}

#[test]
fn only_unmasked_floating_point_exceptions_count() {
    let mut area = vec![0; 512];
    // Division by zero and inexact raised; inexact masked.
    (area[24], area[25]) = (0x24, 0x10);
    assert_eq!(exception_signal(19, &Registers::default(), || area.clone()).code, FPE_FLTDIV as i32);
    // Overflow raised and unmasked in the x87 unit.
    (area[0], area[2]) = (0x37, 0x09);
    assert_eq!(exception_signal(16, &Registers::default(), || area.clone()).code, FPE_FLTOVF as i32);
}

#[test]
fn a_software_interrupt_is_a_protection_fault_everywhere() {
    assert_eq!(normalized_exception(6, 0, [0xcd, 0x55]), (13, 0x55 << 3 | 2));
    assert_eq!(normalized_exception(6, 0, [0x0f, 0x0b]), (6, 0));
    assert_eq!(normalized_exception(13, 7, [0xcd, 0x55]), (13, 7));
}

#[test]
fn page_faults_say_what_was_wrong() {
    for (kind, signal, code) in [
        (FaultKind::NotMapped, Signal::SIGSEGV, 1),
        (FaultKind::Denied, Signal::SIGSEGV, 2),
        (FaultKind::NoBackingStore, Signal::SIGBUS, 2),
    ] {
        assert_eq!(fault_signal(kind, VirtualAddress(9)), SignalInfo::from_fault(signal, code, 9));
    }
    let trap = TrapState::of_page_fault(VirtualAddress(9), Access::WRITE, true);
    assert_eq!((trap.vector, trap.error_code, trap.address), (14, 7, 9));
}
