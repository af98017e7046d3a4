//! Why the platform could not do what was asked.

use std::io;

use super::GuestMemoryError;
use crate::Errno;

/// Why the platform could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// The page tables of an address space, or of all of them together, have grown as far as they may.
    #[error("page tables are full")]
    TablesFull,
    /// No vCPU can be made, and there is none to share.
    #[error("no vCPU is left")]
    NoVcpu,
    /// A mapping past the end of user memory.
    #[error("a mapping past the end of user memory")]
    OutOfRange,
    /// Memory that ought to be there could not be reached.
    #[error("{attempt}: {source}")]
    Memory {
        /// What was being attempted, for the user's eyes ("reach a vCPU's stack").
        attempt: &'static str,
        /// What is wrong with it.
        #[source]
        source: GuestMemoryError,
    },
    /// The host has no memory for it.
    #[error("{attempt}: the host is out of memory")]
    HostMemory {
        /// What was being attempted.
        attempt: &'static str,
    },
    /// The host refused.
    #[error("{attempt}: {source}")]
    Refused {
        /// What was being attempted ("create a vCPU").
        attempt: &'static str,
        /// The host's answer.
        #[source]
        source: io::Error,
    },
    /// The host did something else than was asked.
    #[error("{attempt}: {reason}")]
    Unexpected {
        /// What was being attempted.
        attempt: &'static str,
        /// What it did.
        reason: String,
    },
}

impl PlatformError {
    /// The host's refusal of `attempt`: a lack of memory is told from everything else.
    pub fn refused(attempt: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::OutOfMemory | io::ErrorKind::StorageFull => Self::HostMemory { attempt },
            _ => Self::Refused { attempt, source },
        }
    }
}

/// What the guest is told of it is a lack of memory; the log has the reason.
impl From<PlatformError> for Errno {
    fn from(error: PlatformError) -> Self {
        log::debug!("ENOMEM: {error}");
        Self::ENOMEM
    }
}
