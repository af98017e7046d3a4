//! How this host delivers SYSCALL.
//!
//! Most hosts enter ring 0 as the processor does (SDM 3A 5.8.8). Some shadow-paging hosts without hardware
//! virtualisation jump to LSTAR and stay in ring 3. The first vCPU executes one SYSCALL and we look; the
//! choice is made on what was seen, never on a host's name.

use std::fmt;

use crate::kernel::{OUT_LEN, USER_STUB};
use crate::layout::SYSCALL_PORT;

/// What the probe's SYSCALL led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The port that was written, if KVM_RUN ended with a port being written.
    pub port: Option<u16>,
    /// RIP at the exit.
    pub rip: u64,
    /// The privilege level at the exit: the low bits of CS.
    pub privilege: u8,
    /// KVM_RUN's answer, for the user's eyes.
    pub description: String,
    /// The guest's TSC was between the host's before and after.
    pub is_tsc_the_hosts: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rip, privilege, description, .. } = self;
        write!(f, "{description} at RIP {rip:#x} in ring {privilege}")
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

impl SyscallEntry {
    /// Chooses from what the probe saw; `None` if that is something unknown.
    pub(crate) fn choose(outcome: &Outcome) -> Option<Self> {
        let is_in_stub = (USER_STUB..=USER_STUB + OUT_LEN).contains(&outcome.rip);
        match outcome.privilege {
            _ if outcome.port != Some(SYSCALL_PORT) || !is_in_stub => None,
            0 => Some(Self::Ring0),
            3 => Some(Self::Ring3),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome {
            port: Some(SYSCALL_PORT),
            rip: USER_STUB,
            privilege: 0,
            description: String::new(),
            is_tsc_the_hosts: true,
        }
    }

    #[test]
    fn the_privilege_in_the_stub_decides() {
        assert_eq!(SyscallEntry::choose(&outcome()), Some(SyscallEntry::Ring0));
        let after_out = Outcome { rip: USER_STUB + OUT_LEN, privilege: 3, ..outcome() };
        assert_eq!(SyscallEntry::choose(&after_out), Some(SyscallEntry::Ring3));
    }

    #[test]
    fn anything_else_is_refused() {
        for unknown in [
            Outcome { port: None, ..outcome() },
            Outcome { port: Some(SYSCALL_PORT + 1), ..outcome() },
            Outcome { rip: 0x1000, ..outcome() },
            Outcome { privilege: 1, ..outcome() },
        ] {
            assert_eq!(SyscallEntry::choose(&unknown), None, "{unknown}");
        }
    }
}
