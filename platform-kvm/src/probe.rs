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
mod tests;
