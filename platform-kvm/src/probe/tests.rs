use super::*;

fn stop(port: u16, rip: u64, privilege: u8) -> Stop {
    Stop { port: Some(port), rip, privilege, description: format!("a write to port {port:#x}") }
}

fn tsc(before: u64, guest: u64, after: u64) -> TscReading {
    TscReading { before, guest, after }
}

/// PVM: shadow paging, without VMX or SVM.
fn pvm() -> Outcome {
    Outcome {
        syscall: stop(0x10, 0xffff_ff80_0000_5002, 3),
        exception: stop(0x2d, 0xffff_ff80_0000_41d2, 0),
        interrupted_rip: 0xffff_ff80_0000_5002,
        interrupted_privilege: 3,
        tsc: tsc(0x52c1_5991_7dce, 0x52c1_5996_707e, 0x52c1_5997_94b0),
    }
}

/// SVM without NRIP-save.
fn svm(tsc: TscReading) -> Outcome {
    Outcome {
        syscall: stop(0x10, 0xffff_ff80_0000_5000, 0),
        exception: stop(0x26, 0xffff_ff80_0000_4162, 0),
        interrupted_rip: 0xffff_ff80_0000_502b,
        interrupted_privilege: 3,
        tsc,
    }
}

fn svm_nested() -> Outcome {
    svm(tsc(0x3_994a_3879, 0x32b_dd18, 0x3_9a6c_6b35))
}

#[test]
fn the_recorded_hosts_are_known() {
    let ring_3 = Choice { entry: SyscallEntry::Ring3, must_set_tsc: false };
    let ring_0 = Choice { entry: SyscallEntry::Ring0, must_set_tsc: true };
    // What `vmm doctor` said on each: how SVM pages makes no difference here.
    for (host, outcome, choice) in [
        ("PVM, Linux 6.18", pvm(), ring_3),
        ("SVM, nested paging, Linux 6.1", svm_nested(), ring_0),
        ("SVM, nested paging, Linux 6.12", svm(tsc(0x4_fdec_a54e, 0x82d_5278, 0x5_011b_ad46)), ring_0),
        ("SVM, shadow paging (npt=0), Linux 6.1", svm(tsc(0x3_1901_2877, 0x28d_b7f2, 0x3_1aea_0fff)), ring_0),
        (
            "SVM, shadow paging (npt=0), Linux 6.12",
            svm(tsc(0x4_bd73_300c, 0x66c_2a7c, 0x4_c13b_71ca)),
            ring_0,
        ),
    ] {
        assert_eq!(Choice::of(&outcome), Some(choice), "{host}");
    }
}

#[test]
fn rip_may_be_before_or_after_the_port_s_instruction() {
    for rip in [USER_STUB, USER_STUB + OUT_LEN] {
        let outcome = Outcome { syscall: stop(0x10, rip, 0), ..svm_nested() };
        assert!(Choice::of(&outcome).is_some(), "{outcome}");
    }
}

#[test]
fn anything_else_is_refused() {
    let silent = |stop: Stop| Stop { port: None, description: "Shutdown".into(), ..stop };
    for unknown in [
        // No such stop, another port, another place.
        Outcome { syscall: silent(pvm().syscall), ..pvm() },
        Outcome { syscall: stop(0x11, USER_STUB, 0), ..svm_nested() },
        Outcome { syscall: stop(0x10, 0x1000, 0), ..svm_nested() },
        Outcome { syscall: stop(0x10, USER_STUB, 1), ..svm_nested() },
        // The two stops contradict each other.
        Outcome { syscall: pvm().syscall, ..svm_nested() },
        Outcome { syscall: svm_nested().syscall, ..pvm() },
        // An exception that does not come, that stays in ring 3, or whose frame is another's.
        Outcome { exception: silent(pvm().exception), ..pvm() },
        Outcome { exception: silent(svm_nested().exception), ..svm_nested() },
        Outcome { exception: stop(0x2d, 0xffff_ff80_0000_41d2, 3), ..pvm() },
        Outcome { exception: stop(0x2e, 0xffff_ff80_0000_41e2, 0), ..svm_nested() },
        Outcome { interrupted_rip: 0, ..svm_nested() },
        Outcome { interrupted_rip: 0, ..pvm() },
        Outcome { interrupted_privilege: 0, ..svm_nested() },
    ] {
        assert_eq!(Choice::of(&unknown), None, "{unknown}");
    }
}

#[test]
fn a_refusal_shows_the_outcome() {
    let outcome = Outcome { interrupted_rip: 0x77, ..svm_nested() };
    let message = crate::Error::UnknownTrap(Box::new(outcome)).to_string();
    for part in ["a write to port 0x10 at RIP 0xffffff8000005000 in ring 0", "for RIP 0x77 in ring 3"] {
        assert!(message.contains(part), "{message}");
    }
    let message = crate::Error::UnknownTsc(svm_nested().tsc).to_string();
    assert!(message.ends_with("0x32bdd18 between 0x3994a3879 and 0x39a6c6b35 of the host"), "{message}");
}
