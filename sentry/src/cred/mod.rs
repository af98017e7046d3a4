//! Credentials: who a task is and what it may do (`man 7 credentials`, `man 7 capabilities`), and the user namespaces in which that
//! counts.

mod groups;
mod ids;
mod namespace;
mod user_map;
mod user_namespace;

use std::sync::Arc;

pub use groups::Groups;
pub use ids::{Gid, KernelGid, KernelUid, Uid};
pub use namespace::{Identity, Namespace, NamespaceKind};
use user_map::OVERFLOW_ID;
pub use user_namespace::{IdKind, UserNamespace};

use crate::Errno;
use crate::landlock::Domain;

bitflags::bitflags! {
    /// A set of capabilities, bit N for capability number N.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
    pub struct Capabilities: u64 {
        /// Change file ownership.
        const CHOWN = 1 << 0;
        /// Bypass permission checks on files.
        const DAC_OVERRIDE = 1 << 1;
        /// Bypass read permission checks.
        const DAC_READ_SEARCH = 1 << 2;
        /// Bypass checks that want the file's owner.
        const FOWNER = 1 << 3;
        /// Keep set-ID bits when a file changes.
        const FSETID = 1 << 4;
        /// Send signals to anybody.
        const KILL = 1 << 5;
        /// Change group IDs at will.
        const SETGID = 1 << 6;
        /// Change user IDs at will.
        const SETUID = 1 << 7;
        /// Change capability sets.
        const SETPCAP = 1 << 8;
        /// Change the immutable and append-only flags of files.
        const LINUX_IMMUTABLE = 1 << 9;
        /// Bind low ports.
        const NET_BIND_SERVICE = 1 << 10;
        /// Administer the network.
        const NET_ADMIN = 1 << 12;
        /// Raw sockets.
        const NET_RAW = 1 << 13;
        /// Lock memory.
        const IPC_LOCK = 1 << 14;
        /// Bypass IPC ownership checks.
        const IPC_OWNER = 1 << 15;
        /// Use hardware directly.
        const SYS_RAWIO = 1 << 17;
        /// chroot(2), and joining a mount namespace.
        const SYS_CHROOT = 1 << 18;
        /// Trace any process.
        const SYS_PTRACE = 1 << 19;
        /// Have ended processes put down (`man 2 acct`).
        const SYS_PACCT = 1 << 20;
        /// Administer the system.
        const SYS_ADMIN = 1 << 21;
        /// Reboot.
        const SYS_BOOT = 1 << 22;
        /// Raise priorities.
        const SYS_NICE = 1 << 23;
        /// Exceed resource limits.
        const SYS_RESOURCE = 1 << 24;
        /// Set the clock.
        const SYS_TIME = 1 << 25;
        /// Configure terminals.
        const SYS_TTY_CONFIG = 1 << 26;
        /// Make device nodes.
        const MKNOD = 1 << 27;
        /// Take leases on any files.
        const LEASE = 1 << 28;
        /// Set file capabilities.
        const SETFCAP = 1 << 31;
        /// Override mandatory access control.
        const MAC_OVERRIDE = 1 << 32;
        /// Read the kernel's log, and set what the console shows of it.
        const SYSLOG = 1 << 34;
        /// Wake the machine.
        const WAKE_ALARM = 1 << 35;
        /// Count what others do.
        const PERFMON = 1 << 38;
        /// Choose process numbers, among others.
        const CHECKPOINT_RESTORE = 1 << 40;
        /// Everything that Linux knows (through CAP_CHECKPOINT_RESTORE, 40).
        const ALL = (1 << 41) - 1;
    }
}

impl Capabilities {
    /// Those that come and go with the user for file access (`man 2 setfsuid`, `man 7 capabilities`).
    const OF_FILES: Self = Self::CHOWN
        .union(Self::DAC_OVERRIDE)
        .union(Self::DAC_READ_SEARCH)
        .union(Self::FOWNER)
        .union(Self::FSETID)
        .union(Self::LINUX_IMMUTABLE)
        .union(Self::MKNOD)
        .union(Self::MAC_OVERRIDE);
}

bitflags::bitflags! {
    /// `SECBIT_*`: how users and capabilities go together. The bit after each locks it (`man 7 capabilities`, "The
    /// securebits flags").
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct SecureBits: u32 {
        /// The root user gets no capabilities from execve(2).
        const NOROOT = 1 << 0;
        /// Locks it.
        const NOROOT_LOCKED = 1 << 1;
        /// Capabilities do not change with users.
        const NO_SETUID_FIXUP = 1 << 2;
        /// Locks it.
        const NO_SETUID_FIXUP_LOCKED = 1 << 3;
        /// Permitted capabilities stay when no user is root any more.
        const KEEP_CAPS = 1 << 4;
        /// Locks it.
        const KEEP_CAPS_LOCKED = 1 << 5;
        /// No ambient capability can be added.
        const NO_CAP_AMBIENT_RAISE = 1 << 6;
        /// Locks it.
        const NO_CAP_AMBIENT_RAISE_LOCKED = 1 << 7;
    }
}

impl SecureBits {
    const LOCKS: Self = Self::NOROOT_LOCKED
        .union(Self::NO_SETUID_FIXUP_LOCKED)
        .union(Self::KEEP_CAPS_LOCKED)
        .union(Self::NO_CAP_AMBIENT_RAISE_LOCKED);

    /// Whether they may become `new`: nothing that is locked changes, and no lock opens.
    pub fn may_become(self, new: Self) -> bool {
        let locks = self & Self::LOCKS;
        let locked = Self::from_bits_truncate(locks.bits() >> 1);
        !(self ^ new).intersects(locked) && new.contains(locks)
    }
}

/// What a task may do and as whom. Immutable: a change makes a new value, which the task swaps in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Real user ID.
    pub real_uid: KernelUid,
    /// Effective user ID.
    pub effective_uid: KernelUid,
    /// Saved set-user-ID.
    pub saved_uid: KernelUid,
    /// User ID for file access.
    pub fs_uid: KernelUid,
    /// Real group ID.
    pub real_gid: KernelGid,
    /// Effective group ID.
    pub effective_gid: KernelGid,
    /// Saved set-group-ID.
    pub saved_gid: KernelGid,
    /// Group ID for file access.
    pub fs_gid: KernelGid,
    /// Supplementary groups, at most 65,536.
    pub groups: Groups,
    /// What may become effective (`man 7 capabilities`).
    pub permitted: Capabilities,
    /// What checks look at.
    pub effective: Capabilities,
    /// What execve(2) keeps if the file inherits it.
    pub inheritable: Capabilities,
    /// The bounding set.
    pub bounding: Capabilities,
    /// What execve(2) keeps for a file without capabilities.
    pub ambient: Capabilities,
    /// How users and capabilities go together.
    pub securebits: SecureBits,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privs: bool,
    /// The user namespace in which the capabilities hold.
    pub user_namespace: Arc<UserNamespace>,
    /// What it has been restricted to (`man 7 landlock`).
    pub landlock: Option<Arc<Domain>>,
}

impl Credentials {
    /// Root with every capability in `user_namespace`, the initial one of the kernel.
    pub fn root(user_namespace: &Arc<UserNamespace>) -> Self {
        let (effective, permitted) = (Capabilities::ALL, Capabilities::ALL);
        Self { effective, permitted, ..Self::of_user(KernelUid::ROOT, KernelGid::ROOT, user_namespace) }
    }

    /// A user and group of `user_namespace`, the initial one of the kernel, with no capability and no supplementary group.
    pub fn of_user(uid: KernelUid, gid: KernelGid, user_namespace: &Arc<UserNamespace>) -> Self {
        Self {
            real_uid: uid,
            effective_uid: uid,
            saved_uid: uid,
            fs_uid: uid,
            real_gid: gid,
            effective_gid: gid,
            saved_gid: gid,
            fs_gid: gid,
            groups: Groups::default(),
            permitted: Capabilities::empty(),
            effective: Capabilities::empty(),
            inheritable: Capabilities::empty(),
            bounding: Capabilities::ALL,
            ambient: Capabilities::empty(),
            securebits: SecureBits::empty(),
            no_new_privs: false,
            user_namespace: user_namespace.clone(),
            landlock: None,
        }
    }

    /// Whether all of `capabilities` are effective in the initial user namespace: for what concerns the whole system,
    /// and no namespace of it.
    pub fn has(&self, capabilities: Capabilities) -> bool {
        self.user_namespace.level() == 0 && self.effective.contains(capabilities)
    }

    /// Whether all of `capabilities` are effective in the task's own user namespace.
    pub fn has_in_own(&self, capabilities: Capabilities) -> bool {
        self.effective.contains(capabilities)
    }

    /// Whether all of `capabilities` are effective in `namespace` (`man 7 user_namespaces`): they are if they are
    /// effective in it or in one around it, and whoever made a namespace has them all there from the one around it.
    pub fn has_in(&self, namespace: &UserNamespace, capabilities: Capabilities) -> bool {
        let own = &*self.user_namespace;
        let mut current = namespace;
        while current.level() > own.level() {
            let Some(parent) = current.parent() else { return false };
            if **parent == *own && current.owner_uid() == self.effective_uid {
                return true;
            }
            current = parent;
        }
        current == own && self.has_in_own(capabilities)
    }

    /// Whether all of `capabilities` are effective towards `namespace`: in the user namespace that owns it.
    pub fn has_over_namespace(&self, namespace: &dyn Namespace, capabilities: Capabilities) -> bool {
        namespace.identity().owner().is_some_and(|owner| self.has_in(owner, capabilities))
    }

    /// Whether all of `capabilities` are effective towards a file of `uid` and `gid`: in the own user namespace, if that
    /// has numbers for both (`man 7 user_namespaces`, "Capabilities").
    pub fn has_over(&self, uid: KernelUid, gid: KernelGid, capabilities: Capabilities) -> bool {
        let own = &self.user_namespace;
        self.has_in_own(capabilities) && own.maps_uid(uid) && own.maps_gid(gid)
    }

    /// Whether `old` could have done all that these can do: they hold no more capabilities in the same namespace, or
    /// the namespace that they are in is one that `old` made.
    pub fn are_within(&self, old: &Self) -> bool {
        if self.user_namespace == old.user_namespace {
            return old.permitted.contains(self.permitted);
        }
        self.user_namespace.with_ancestors().any(|namespace| {
            namespace.parent() == Some(&old.user_namespace) && namespace.owner_uid() == old.effective_uid
        })
    }

    /// Those of the first task of a new user namespace within the own one: with every capability there
    /// (`man 7 user_namespaces`).
    ///
    /// # Errors
    /// ENOSPC: too deep, or too many. EPERM: without numbers in the own namespace.
    pub fn in_new_namespace(&self) -> Result<Self, Errno> {
        Ok(self.in_namespace(UserNamespace::new(self)?))
    }

    /// Those of a task that enters `namespace`: with every capability there.
    pub fn in_namespace(&self, namespace: Arc<UserNamespace>) -> Self {
        Self {
            permitted: Capabilities::ALL,
            effective: Capabilities::ALL,
            inheritable: Capabilities::empty(),
            bounding: Capabilities::ALL,
            ambient: Capabilities::empty(),
            securebits: SecureBits::empty(),
            user_namespace: namespace,
            ..self.clone()
        }
    }

    /// Whether one of real, effective and saved user is the root of the namespace, whose number is `root`.
    fn has_root(&self, root: Option<KernelUid>) -> bool {
        root.is_some_and(|root| [self.real_uid, self.effective_uid, self.saved_uid].contains(&root))
    }

    /// Adjusts the capabilities after a change of users from those of `old` (`man 7 capabilities`, "Effect of user ID
    /// changes on capabilities").
    pub fn adjust_to_user_change(&mut self, old: &Self) {
        if old.securebits.contains(SecureBits::NO_SETUID_FIXUP) {
            return;
        }
        let root = old.user_namespace.root_uid();
        if old.has_root(root) && !self.has_root(root) {
            if !old.securebits.contains(SecureBits::KEEP_CAPS) {
                self.permitted = Capabilities::empty();
                self.effective = Capabilities::empty();
            }
            self.ambient = Capabilities::empty();
        }
        match (root == Some(old.effective_uid), root == Some(self.effective_uid)) {
            (true, false) => self.effective = Capabilities::empty(),
            (false, true) => self.effective = self.permitted,
            _ => {}
        }
    }

    /// Adjusts the capabilities after a change of the user for file access.
    pub fn adjust_to_fs_user_change(&mut self, old: &Self) {
        if old.securebits.contains(SecureBits::NO_SETUID_FIXUP) {
            return;
        }
        let root = old.user_namespace.root_uid();
        match (root == Some(old.fs_uid), root == Some(self.fs_uid)) {
            (true, false) => self.effective.remove(Capabilities::OF_FILES),
            (false, true) => self.effective.insert(self.permitted & Capabilities::OF_FILES),
            _ => {}
        }
    }

    /// Whether `gid` is the file-access group or a supplementary one.
    pub fn is_in_group(&self, gid: KernelGid) -> bool {
        self.fs_gid == gid || self.groups.contains(&gid)
    }
}

#[cfg(test)]
impl Credentials {
    /// Root with every capability, in an initial user namespace of its own.
    pub(crate) fn test_root() -> Self {
        Self::root(&UserNamespace::initial())
    }

    /// A user and group with no capability, in an initial user namespace of their own.
    pub(crate) fn test_user(uid: u32, gid: u32) -> Self {
        Self::of_user(KernelUid(uid), KernelGid(gid), &UserNamespace::initial())
    }
}
