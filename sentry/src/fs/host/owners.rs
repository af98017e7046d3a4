//! Owners, as the host tells them.
//!
//! In a user namespace Linux gives the number of an owner that it does not map as the overflow user's (`man 7
//! user_namespaces`). vmm, where it is in one of its own, is mapped alone.

use crate::cred::{KernelGid, KernelUid};

/// How the host tells this process of the owners of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostOwners {
    /// As they are.
    #[default]
    Told,
    /// One user and one group are known; all others look alike, and are taken for root: most of an image is root's, and what
    /// is not cannot be told apart.
    Mapped {
        /// The user and the group, by the numbers that they are told by.
        inside: (u32, u32),
        /// And by the host's.
        own: (u32, u32),
    },
}

impl HostOwners {
    /// The owner of a file and its group, by the host's numbers, of which `told` was told.
    pub(in crate::fs) fn of_file(self, told: (u32, u32)) -> (KernelUid, KernelGid) {
        let (uid, gid) = match self {
            Self::Told => told,
            Self::Mapped { inside, own } => {
                (if told.0 == inside.0 { own.0 } else { 0 }, if told.1 == inside.1 { own.1 } else { 0 })
            }
        };
        (KernelUid(uid), KernelGid(gid))
    }
}

#[cfg(test)]
mod tests;
