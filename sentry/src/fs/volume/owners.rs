//! Whose the files are inside.

use crate::cred::{KernelGid, KernelUid};
use crate::fs::host::HostOwners;

/// How the host tells of owners, and which of them are others inside: a user and a group of the host may change places with
/// the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerMap {
    told: HostOwners,
    user: (u32, u32),
    group: (u32, u32),
}

impl OwnerMap {
    /// Everybody is who he is on the host, of whom it tells so.
    pub fn new(told: HostOwners) -> Self {
        Self { told, user: (0, 0), group: (0, 0) }
    }

    /// What belongs to the process's user and group on the host belongs to `guest` inside, and the other way round.
    pub fn with_caller_as(self, guest: (u32, u32)) -> Self {
        let host = match self.told {
            HostOwners::Told => (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            HostOwners::Mapped { own, .. } => own,
        };
        Self { user: (host.0, guest.0), group: (host.1, guest.1), ..self }
    }

    /// A file's owner and group inside, of which the host tells `told`.
    pub(super) fn inside(&self, told: (u32, u32)) -> (KernelUid, KernelGid) {
        let (KernelUid(user), KernelGid(group)) = self.told.of_file(told);
        (KernelUid(swapped(self.user, user)), KernelGid(swapped(self.group, group)))
    }

    /// The number to give to the host for a user inside.
    pub(super) fn user_to_tell(&self, KernelUid(user): KernelUid) -> u32 {
        let user = swapped(self.user, user);
        match self.told {
            HostOwners::Mapped { inside, own } if user == own.0 => inside.0,
            _ => user,
        }
    }

    /// The number to give to the host for a group inside.
    pub(super) fn group_to_tell(&self, KernelGid(group): KernelGid) -> u32 {
        let group = swapped(self.group, group);
        match self.told {
            HostOwners::Mapped { inside, own } if group == own.1 => inside.1,
            _ => group,
        }
    }
}

fn swapped((host, guest): (u32, u32), id: u32) -> u32 {
    if id == host {
        guest
    } else if id == guest {
        host
    } else {
        id
    }
}

#[cfg(test)]
mod tests;
