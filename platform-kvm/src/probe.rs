//! How this host delivers traps.
//!
//! Most hosts enter ring 0 upon SYSCALL, as the processor does (SDM 3A 6.8.8, "Fast System Calls in 64-Bit Mode").
//! Some shadow-paging hosts without hardware virtualisation jump to LSTAR and stay in ring 3. The first vCPU runs a
//! few instructions in ring 3, we look at where it stops, and let it go on once:
//!
//! | | the first stop | the second stop |
//! |---|---|---|
//! | `RDTSC; SYSCALL` | the stub's `out`, in ring 0 or 3 | |
//! | the stub's SYSRETQ | | in ring 0, user code goes on; in ring 3, #GP at the stub |
//! | `UD2` | | #UD at its own address |
//!
//! If the guest's TSC is not the host's, its offset is set to zero, and the instructions run once more to see that it is
//! now.
//!
//! The choice is a pure function of what was seen, never of a host's name. What fits no known host is refused.

use std::fmt;

use crate::kernel::{Frame, OUT_LEN, PROBE_UD2, USER_STUB};
use crate::layout::{EXCEPTION_PORT, SYSCALL_PORT};

/// #UD and #GP (SDM 3A 6.15).
const UNDEFINED_INSTRUCTION: u16 = 6;
const GENERAL_PROTECTION: u16 = 13;

/// Where the probe's vCPU stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The port that was written, if KVM_RUN ended with a port being written.
    pub port: Option<u16>,
    /// RIP at the exit.
    pub rip: u64,
    /// The privilege level at the exit: the low bits of CS.
    pub privilege: u8,
    /// KVM_RUN's answer, for the user's eyes.
    pub description: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rip, privilege, description, .. } = self;
        write!(f, "{description} at RIP {rip:#x} in ring {privilege}")
    }
}

/// What RDTSC said in the guest, and to the host before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TscReading {
    /// The host's, before the guest ran.
    pub before: u64,
    /// The guest's.
    pub guest: u64,
    /// The host's, afterwards.
    pub after: u64,
}

impl TscReading {
    /// Whether the guest reads the host's counter.
    pub fn is_the_hosts(&self) -> bool {
        (self.before..=self.after).contains(&self.guest)
    }
}

impl fmt::Display for TscReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} between {:#x} and {:#x} of the host", self.guest, self.before, self.after)
    }
}

/// What the probe's instructions led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// After SYSCALL.
    pub syscall: Stop,
    /// After that, without anything being changed.
    pub exception: Stop,
    /// Where user code was, by the frame on the stack of ring 0 at the second stop.
    pub interrupted_rip: u64,
    /// The privilege level in that frame.
    pub interrupted_privilege: u8,
    /// The time-stamp counters, when SYSCALL was made.
    pub tsc: TscReading,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { syscall, exception, interrupted_rip, interrupted_privilege, .. } = self;
        write!(f, "{syscall}; then {exception}, for RIP {interrupted_rip:#x} in ring {interrupted_privilege}")
    }
}

impl Outcome {
    /// Puts together what was seen.
    pub(crate) fn new(syscall: Stop, exception: Stop, frame: Frame, tsc: TscReading) -> Self {
        let interrupted_privilege = (frame.cs & 3) as u8;
        Self { syscall, exception, interrupted_rip: frame.rip, interrupted_privilege, tsc }
    }
}

/// Where SYSCALL arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyscallEntry {
    /// In ring 0, as the processor does it.
    Ring0,
    /// At LSTAR, but still in ring 3.
    Ring3,
}

/// What was chosen for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Where SYSCALL arrives.
    pub(crate) entry: SyscallEntry,
    /// vCPUs start with a TSC of their own, whose offset is to be taken away.
    pub(crate) must_set_tsc: bool,
}

impl Choice {
    /// Chooses from what the probe saw; `None` if that is something unknown.
    pub(crate) fn of(outcome: &Outcome) -> Option<Self> {
        let Outcome { syscall, exception, interrupted_rip, interrupted_privilege, tsc } = outcome;
        let is_in_stub = (USER_STUB..=USER_STUB + OUT_LEN).contains(&syscall.rip);
        if syscall.port != Some(SYSCALL_PORT) || !is_in_stub {
            return None;
        }
        // An exception reaches ring 0, with a frame that tells where ring 3 was.
        if exception.privilege != 0 || *interrupted_privilege != 3 {
            return None;
        }
        let vector = exception.port.and_then(|port| port.checked_sub(EXCEPTION_PORT));
        let entry = match (syscall.privilege, vector, *interrupted_rip) {
            (0, Some(UNDEFINED_INSTRUCTION), PROBE_UD2) => SyscallEntry::Ring0,
            (3, Some(GENERAL_PROTECTION), rip) if rip == USER_STUB + OUT_LEN => SyscallEntry::Ring3,
            _ => return None,
        };
        Some(Self { entry, must_set_tsc: !tsc.is_the_hosts() })
    }
}

#[cfg(test)]
mod tests {
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
            (
                "SVM, shadow paging (npt=0), Linux 6.1",
                svm(tsc(0x3_1901_2877, 0x28d_b7f2, 0x3_1aea_0fff)),
                ring_0,
            ),
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
}
