//! Credentials: who a task is and what it may do (`man 7 credentials`, `man 7 capabilities`).

use std::sync::Arc;

use crate::Errno;
use crate::namespace::UserNamespace;

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
        /// chroot.
        const SYS_CHROOT = 1 << 18;
        /// Trace any process.
        const SYS_PTRACE = 1 << 19;
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
        /// Set file capabilities.
        const SETFCAP = 1 << 31;
        /// Choose process numbers, among others.
        const CHECKPOINT_RESTORE = 1 << 40;
        /// Everything that Linux knows (through CAP_CHECKPOINT_RESTORE, 40).
        const ALL = (1 << 41) - 1;
    }
}

/// What a task may do and as whom. Immutable: a change makes a new value, which the task swaps in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Real user ID.
    pub real_uid: u32,
    /// Effective user ID.
    pub effective_uid: u32,
    /// Saved set-user-ID.
    pub saved_uid: u32,
    /// User ID for file access.
    pub fs_uid: u32,
    /// Real group ID.
    pub real_gid: u32,
    /// Effective group ID.
    pub effective_gid: u32,
    /// Saved set-group-ID.
    pub saved_gid: u32,
    /// Group ID for file access.
    pub fs_gid: u32,
    /// Supplementary groups, at most 65,536.
    pub groups: Arc<[u32]>,
    /// Permitted capabilities.
    pub permitted: Capabilities,
    /// Effective capabilities.
    pub effective: Capabilities,
    /// Inheritable capabilities.
    pub inheritable: Capabilities,
    /// The bounding set.
    pub bounding: Capabilities,
    /// Ambient capabilities.
    pub ambient: Capabilities,
    /// `SECBIT_*` flags (`man 7 capabilities`).
    pub securebits: u32,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privs: bool,
    /// The user namespace in which the capabilities hold.
    pub user_namespace: Arc<UserNamespace>,
}

impl Credentials {
    /// Root with every capability.
    pub fn root() -> Self {
        Self { effective: Capabilities::ALL, permitted: Capabilities::ALL, ..Self::of_user(0, 0) }
    }

    /// A user and group with no capability, and no supplementary group.
    pub fn of_user(uid: u32, gid: u32) -> Self {
        Self {
            real_uid: uid,
            effective_uid: uid,
            saved_uid: uid,
            fs_uid: uid,
            real_gid: gid,
            effective_gid: gid,
            saved_gid: gid,
            fs_gid: gid,
            groups: Arc::new([]),
            permitted: Capabilities::empty(),
            effective: Capabilities::empty(),
            inheritable: Capabilities::empty(),
            bounding: Capabilities::ALL,
            ambient: Capabilities::empty(),
            securebits: 0,
            no_new_privs: false,
            user_namespace: UserNamespace::initial(),
        }
    }

    /// Whether all of `capabilities` are effective in the initial user namespace.
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

    /// Those of the first task of a new user namespace within the own one: with every capability there
    /// (`man 7 user_namespaces`).
    ///
    /// # Errors
    /// ENOSPC: too deep, or too many.
    pub fn in_new_namespace(&self) -> Result<Self, Errno> {
        let namespace = UserNamespace::new(&self.user_namespace, self.effective_uid, self.effective_gid)?;
        Ok(self.in_namespace(namespace))
    }

    /// Those of a task that enters `namespace`: with every capability there.
    pub fn in_namespace(&self, namespace: Arc<UserNamespace>) -> Self {
        Self {
            permitted: Capabilities::ALL,
            effective: Capabilities::ALL,
            inheritable: Capabilities::empty(),
            bounding: Capabilities::ALL,
            ambient: Capabilities::empty(),
            securebits: 0,
            user_namespace: namespace,
            ..self.clone()
        }
    }

    /// Whether `gid` is the file-access group or a supplementary one.
    pub fn is_in_group(&self, gid: u32) -> bool {
        self.fs_gid == gid || self.groups.contains(&gid)
    }
}
