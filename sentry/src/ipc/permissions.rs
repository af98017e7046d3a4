//! Who may do what to a System V object (`man 7 sysvipc`, "ipc_perm").

use super::IpcCaller;
use crate::Errno;
use crate::cred::{Capabilities, Gid, KernelGid, KernelUid, Uid, UserNamespace};

/// The mode bits that the calls set: read and write, for owner, group and others.
const MODE_BITS: u32 = 0o777;

bitflags::bitflags! {
    /// What is asked for, in the bits of one class of a mode.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct IpcAccess: u32 {
        /// Execute: shmat(2) with SHM_EXEC.
        const EXECUTE = 0o1;
        /// Alter.
        const WRITE = 0o2;
        /// Look at.
        const READ = 0o4;
    }
}

impl IpcAccess {
    /// What the low nine bits of the flags of a `get` call ask for, whichever class they are written in.
    pub(super) fn of_flags(flags: u32) -> Self {
        Self::from_bits_truncate((flags >> 6 | flags >> 3 | flags) & 0o7)
    }
}

/// `struct ipc_perm`, with ids that are the kernel's unless it is to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions<User = KernelUid, Group = KernelGid> {
    /// The key; IPC_PRIVATE (0) if it has none.
    pub key: i32,
    /// Owner.
    pub uid: User,
    /// Owner's group.
    pub gid: Group,
    /// `cuid`, which IPC_SET does not change.
    pub creator_uid: User,
    /// Creator's group.
    pub creator_gid: Group,
    /// Nine mode bits, and those that each kind of object adds.
    pub mode: u32,
    /// How often the object's index has been around.
    pub sequence: u16,
}

/// What IPC_SET may change of [`Permissions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermissionChange {
    /// New owner; `None` if the caller's namespace does not know them.
    pub uid: Option<KernelUid>,
    /// New group.
    pub gid: Option<KernelGid>,
    /// New mode; only its nine low bits count.
    pub mode: u32,
}

impl Permissions {
    /// Those of an object that `caller` makes.
    pub(super) fn new(key: i32, flags: u32, sequence: u16, caller: &IpcCaller<'_>) -> Self {
        let (uid, gid) = (caller.credentials.effective_uid, caller.credentials.effective_gid);
        Self { key, uid, gid, creator_uid: uid, creator_gid: gid, mode: flags & MODE_BITS, sequence }
    }

    /// These, with users and groups as `namespace` numbers them.
    pub fn shown_in(&self, namespace: &UserNamespace) -> Permissions<Uid, Gid> {
        Permissions {
            uid: namespace.from_kernel_uid(self.uid),
            gid: namespace.from_kernel_gid(self.gid),
            creator_uid: namespace.from_kernel_uid(self.creator_uid),
            creator_gid: namespace.from_kernel_gid(self.creator_gid),
            key: self.key,
            mode: self.mode,
            sequence: self.sequence,
        }
    }

    /// Fails unless `caller` may do `access`.
    ///
    /// # Errors
    /// EACCES.
    pub(super) fn check(&self, access: IpcAccess, caller: &IpcCaller<'_>) -> Result<(), Errno> {
        let credentials = caller.credentials;
        let shift = if self.is_owned_by(credentials.effective_uid) {
            6
        } else if credentials.is_in_group(self.creator_gid) || credentials.is_in_group(self.gid) {
            3
        } else {
            0
        };
        let granted = IpcAccess::from_bits_truncate(self.mode >> shift & 0o7);
        let is_allowed = granted.contains(access) || caller.has(Capabilities::IPC_OWNER);
        if is_allowed { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Fails unless `caller` may remove the object or change its owner.
    ///
    /// # Errors
    /// EPERM.
    pub(super) fn check_owner(&self, caller: &IpcCaller<'_>) -> Result<(), Errno> {
        let is_allowed =
            self.is_owned_by(caller.credentials.effective_uid) || caller.has(Capabilities::SYS_ADMIN);
        if is_allowed { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Whether `uid` owns or made the object.
    pub(super) fn is_owned_by(&self, uid: KernelUid) -> bool {
        uid == self.uid || uid == self.creator_uid
    }

    /// IPC_SET.
    ///
    /// # Errors
    /// EINVAL if an id is none.
    pub(super) fn change(&mut self, change: PermissionChange) -> Result<(), Errno> {
        (self.uid, self.gid) = change.uid.zip(change.gid).ok_or(Errno::EINVAL)?;
        self.mode = self.mode & !MODE_BITS | change.mode & MODE_BITS;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
