//! Who may do what with a key (`man 7 keyrings`, "Key access rights").

use crate::cred::{Credentials, KernelGid, KernelUid};

bitflags::bitflags! {
    /// What may be done with a key: six bits each for its possessor, its owner, its group and all others.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Permissions: u32 {
        const POS_VIEW = 0x0100_0000;
        const POS_READ = 0x0200_0000;
        const POS_WRITE = 0x0400_0000;
        const POS_SEARCH = 0x0800_0000;
        const POS_LINK = 0x1000_0000;
        const POS_SETATTR = 0x2000_0000;
        const POS_ALL = 0x3f00_0000;
        const USR_VIEW = 0x0001_0000;
        const USR_READ = 0x0002_0000;
        const USR_LINK = 0x0010_0000;
        const USR_ALL = 0x003f_0000;
        const GRP_ALL = 0x3f00;
        const OTH_ALL = 0x3f;
    }
}

bitflags::bitflags! {
    /// What a caller needs.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Need: u32 {
        /// See type, description and owner.
        const VIEW = 1;
        /// Read the payload, or the list of keys.
        const READ = 2;
        /// Change the payload, or add and remove keys.
        const WRITE = 4;
        /// Find the key, or look into the keyring.
        const SEARCH = 8;
        /// Link to the key.
        const LINK = 0x10;
        /// Change owner, group and permissions.
        const SETATTR = 0x20;
    }
}

/// Whom a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: KernelUid,
    /// Users' own keyrings have none.
    pub(super) gid: Option<KernelGid>,
}

impl Permissions {
    /// What `credentials` may do with a key of `owner`.
    pub(super) fn granted(self, owner: Owner, credentials: &Credentials, is_possessed: bool) -> Need {
        const GROUP_SHIFT: u32 = 8;
        const USER_SHIFT: u32 = 16;
        const POSSESSOR_SHIFT: u32 = 24;
        let bits = self.bits();
        let is_in_group =
            self.intersects(Self::GRP_ALL) && owner.gid.is_some_and(|gid| credentials.is_in_group(gid));
        let by_identity = if owner.uid == credentials.fs_uid {
            bits >> USER_SHIFT
        } else if is_in_group {
            bits >> GROUP_SHIFT
        } else {
            bits
        };
        let by_possession = if is_possessed { bits >> POSSESSOR_SHIFT } else { 0 };
        Need::from_bits_truncate(by_identity | by_possession)
    }
}

#[cfg(test)]
mod tests;
