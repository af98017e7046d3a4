//! Credentials: who a task is and what it may do (`man 7 credentials`, `man 7 capabilities`).

use std::sync::Arc;

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
        }
    }

    /// Whether all of `capabilities` are effective.
    pub fn has(&self, capabilities: Capabilities) -> bool {
        self.effective.contains(capabilities)
    }

    /// Whether `gid` is the file-access group or a supplementary one.
    pub fn is_in_group(&self, gid: u32) -> bool {
        self.fs_gid == gid || self.groups.contains(&gid)
    }
}
