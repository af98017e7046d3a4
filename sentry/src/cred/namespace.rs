//! Namespaces (`man 7 namespaces`): what a task sees of the system's names, addresses and clocks.
//!
//! Every namespace has an [`Identity`]: its kind, its number, which is the inode number that /proc/PID/ns shows, and
//! the user namespace that owns it, whose capabilities govern it. The namespaces themselves live in the rooms of what they are about;
//! only the user namespace is part of credentials. Which ones a task is in is in its [`Namespaces`](crate::task::Namespaces).

use std::any::Any;
use std::sync::Arc;

use linux_raw_sys::general as uapi;

use super::{KernelUid, UserNamespace};
use crate::Errno;
use crate::heap::HeapCharge;

/// What a namespace is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NamespaceKind {
    /// The root of the control groups (`man 7 cgroup_namespaces`).
    Cgroup,
    /// System V IPC and POSIX message queues (`man 7 ipc_namespaces`).
    Ipc,
    /// Mounts (`man 7 mount_namespaces`).
    Mount,
    /// Devices, addresses, ports and abstract socket names (`man 7 network_namespaces`).
    Network,
    /// Process numbers (`man 7 pid_namespaces`).
    Pid,
    /// Offsets of the monotonic clocks (`man 7 time_namespaces`).
    Time,
    /// User and group numbers, and capabilities (`man 7 user_namespaces`).
    User,
    /// Host and domain name (`man 7 uts_namespaces`).
    Uts,
}

impl NamespaceKind {
    /// How many kinds there are.
    pub(crate) const COUNT: usize = 8;

    /// Every kind.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Cgroup, Self::Ipc, Self::Mount, Self::Network, Self::Pid, Self::Time, Self::User, Self::Uts];

    /// Its name in /proc/PID/ns.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Mount => "mnt",
            Self::Network => "net",
            Self::Pid => "pid",
            Self::Time => "time",
            Self::User => "user",
            Self::Uts => "uts",
        }
    }

    /// `CLONE_NEW*`.
    pub fn flag(self) -> u32 {
        match self {
            Self::Cgroup => uapi::CLONE_NEWCGROUP,
            Self::Ipc => uapi::CLONE_NEWIPC,
            Self::Mount => uapi::CLONE_NEWNS,
            Self::Network => uapi::CLONE_NEWNET,
            Self::Pid => uapi::CLONE_NEWPID,
            Self::Time => uapi::CLONE_NEWTIME,
            Self::User => uapi::CLONE_NEWUSER,
            Self::Uts => uapi::CLONE_NEWUTS,
        }
    }

    /// What one takes, when there is nothing in it yet.
    fn heap_bytes(self) -> usize {
        match self {
            // Links, addresses, routes and settings.
            Self::Network => 32 << 10,
            // Maps of users and groups, each in three orders.
            Self::User => 40 << 10,
            _ => 4 << 10,
        }
    }

    /// The number of the first namespace of this kind, as Linux has it (`PROC_*_INIT_INO`).
    fn initial_number(self) -> u64 {
        match self {
            Self::Time => 0xEFFF_FFFA,
            Self::Cgroup => 0xEFFF_FFFB,
            Self::Pid => 0xEFFF_FFFC,
            Self::User => 0xEFFF_FFFD,
            Self::Uts => 0xEFFF_FFFE,
            Self::Ipc => 0xEFFF_FFFF,
            Self::Mount => 0xF000_0000,
            Self::Network => 0xF000_0001,
        }
    }
}

/// What all namespaces have.
#[derive(Debug)]
pub struct Identity {
    kind: NamespaceKind,
    ino: u64,
    /// `None` for the initial user namespace alone.
    owner: Option<Arc<UserNamespace>>,
    /// Whom it is charged to: the effective user of who made it.
    charged_uid: Option<KernelUid>,
    _heap_charge: HeapCharge,
}

impl Identity {
    /// Of the namespace of this kind that the first task is in, as in `owner`, the initial user namespace.
    pub fn initial(kind: NamespaceKind, owner: &Arc<UserNamespace>) -> Self {
        Self {
            kind,
            ino: kind.initial_number(),
            owner: Some(owner.clone()),
            charged_uid: None,
            _heap_charge: HeapCharge::default(),
        }
    }

    /// Of the initial user namespace.
    pub(super) fn initial_user() -> Self {
        let kind = NamespaceKind::User;
        Self {
            kind,
            ino: kind.initial_number(),
            owner: None,
            charged_uid: None,
            _heap_charge: HeapCharge::default(),
        }
    }

    /// Of a new namespace, owned by `owner` and made by the effective user `uid`: charged to this user there, and to
    /// the makers of `owner` and its ancestors around them, until it is dropped.
    ///
    /// # Errors
    /// ENOSPC: one of them has as many as one may have (`man 7 namespaces`, /proc/sys/user). ENOMEM.
    pub fn new(kind: NamespaceKind, owner: &Arc<UserNamespace>, uid: KernelUid) -> Result<Self, Errno> {
        let _heap_charge = HeapCharge::new(kind.heap_bytes())?;
        owner.charge(kind, uid)?;
        let ino = owner.new_namespace_number();
        Ok(Self { kind, ino, owner: Some(owner.clone()), charged_uid: Some(uid), _heap_charge })
    }

    /// What the namespace is about.
    pub fn kind(&self) -> NamespaceKind {
        self.kind
    }

    /// Whether it is the one that the first task is in.
    pub fn is_initial(&self) -> bool {
        self.charged_uid.is_none()
    }

    /// Its inode number.
    pub fn ino(&self) -> u64 {
        self.ino
    }

    /// The user namespace that owns it; of a user namespace, its parent. `None` for the initial user namespace.
    pub fn owner(&self) -> Option<&Arc<UserNamespace>> {
        self.owner.as_ref()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        if let (Some(owner), Some(uid)) = (&self.owner, self.charged_uid) {
            owner.uncharge(self.kind, uid);
        }
    }
}

/// A namespace of any kind, as /proc/PID/ns hands it out.
pub trait Namespace: Any + Send + Sync {
    /// Its kind, number and owner.
    fn identity(&self) -> &Identity;

    /// The namespace around it; `None` for the outermost and for kinds that do not nest.
    fn parent(&self) -> Option<Arc<dyn Namespace>> {
        None
    }
}
