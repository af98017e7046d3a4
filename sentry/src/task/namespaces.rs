//! The namespaces of a task (`man 7 namespaces`), and how clone(2), unshare(2) and setns(2) change them.
//!
//! Three kinds live elsewhere: the user namespace is part of the credentials, the mount namespace of the
//! file-system context, and the PID namespace is the thread group's for as long as it lives.

use std::sync::Arc;

use super::{CloneFlags, PidNamespace, TaskSet};
use crate::Errno;
use crate::cgroup::{Cgroup, CgroupNamespace};
use crate::cred::{Identity, KernelUid, NamespaceKind, UserNamespace};
use crate::ipc::IpcNamespace;
use crate::net::{KernelSockets, NetworkNamespace};
use crate::time::TimeNamespace;
use crate::uts::UtsNamespace;

/// The namespaces of a task that are its own to change.
#[derive(Clone)]
pub struct Namespaces {
    /// Host and domain name.
    pub uts: Arc<UtsNamespace>,
    /// System V IPC and message queues.
    pub ipc: Arc<IpcNamespace>,
    /// Networks and abstract socket names.
    pub network: Arc<NetworkNamespace>,
    /// The root of the control groups.
    pub cgroup: Arc<CgroupNamespace>,
    /// Offsets of clocks.
    pub time: Arc<TimeNamespace>,
    /// The time namespace of children to come.
    pub time_for_children: Arc<TimeNamespace>,
    /// The PID namespace of children to come.
    pub pid_for_children: Arc<PidNamespace>,
}

/// Who asks for new namespaces.
pub(crate) struct NamespaceCreator<'a> {
    /// All tasks.
    pub(crate) tasks: &'a TaskSet,
    /// The user namespace that will own the new ones.
    pub(crate) owner: &'a Arc<UserNamespace>,
    /// The effective user who makes them.
    pub(crate) uid: KernelUid,
    /// The PID namespace that a new one lies in.
    pub(crate) pid_namespace: &'a Arc<PidNamespace>,
    /// The control group that a new control group namespace begins at.
    pub(crate) cgroup: Arc<Cgroup>,
}

impl Namespaces {
    /// Those of the first task.
    pub(crate) fn initial(
        host_name: &[u8],
        user_namespace: &Arc<UserNamespace>,
        tasks: &TaskSet,
        sockets: KernelSockets,
        cgroup_root: &Arc<Cgroup>,
    ) -> Self {
        let identity = |kind| Identity::initial(kind, user_namespace);
        let time = TimeNamespace::initial(identity(NamespaceKind::Time));
        Self {
            uts: UtsNamespace::new(identity(NamespaceKind::Uts), host_name),
            ipc: IpcNamespace::new(identity(NamespaceKind::Ipc), Arc::default()),
            network: NetworkNamespace::new(identity(NamespaceKind::Network), sockets),
            cgroup: CgroupNamespace::new(identity(NamespaceKind::Cgroup), cgroup_root.clone()),
            time_for_children: time.clone(),
            time,
            pid_for_children: tasks.root().clone(),
        }
    }

    /// These, with new ones in the place of those that `flags` names.
    ///
    /// # Errors
    /// ENOSPC if there are too many, EINVAL if a PID namespace is asked for a second time.
    pub(crate) fn unshare(&self, flags: CloneFlags, creator: &NamespaceCreator<'_>) -> Result<Self, Errno> {
        let mut new = self.clone();
        let identity = |kind| Identity::new(kind, creator.owner, creator.uid);
        if flags.contains(CloneFlags::NEWUTS) {
            new.uts = self.uts.duplicate(identity(NamespaceKind::Uts)?);
        }
        if flags.contains(CloneFlags::NEWIPC) {
            new.ipc = IpcNamespace::new(identity(NamespaceKind::Ipc)?, self.ipc.objects().budget().clone());
        }
        if flags.contains(CloneFlags::NEWNET) {
            new.network = self.network.new_beside(identity(NamespaceKind::Network)?);
        }
        if flags.contains(CloneFlags::NEWCGROUP) {
            new.cgroup = CgroupNamespace::new(identity(NamespaceKind::Cgroup)?, creator.cgroup.clone());
        }
        if flags.contains(CloneFlags::NEWTIME) {
            new.time_for_children = self.time_for_children.duplicate(identity(NamespaceKind::Time)?);
        }
        if flags.contains(CloneFlags::NEWPID) {
            if !Arc::ptr_eq(&self.pid_for_children, creator.pid_namespace) {
                return Err(Errno::EINVAL);
            }
            new.pid_for_children =
                creator.tasks.new_pid_namespace(creator.pid_namespace, creator.owner, creator.uid)?;
        }
        Ok(new)
    }
}
