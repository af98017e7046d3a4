//! unshare(2) and setns(2): a running task changes what it shares and which namespaces it is in.
//!
//! Both build the whole change first, and make it only once nothing can fail any more.

use std::any::Any;
use std::sync::Arc;

use super::{CloneFlags, CurrentTask, NamespaceCreator, Namespaces, PidNamespace, Task, check_access};
use crate::Errno;
use crate::cgroup::CgroupNamespace;
use crate::cred::{Capabilities, Credentials, Identity, Namespace, NamespaceKind, UserNamespace};
use crate::fs::{MountNamespace, TaskFs};
use crate::ipc::IpcNamespace;
use crate::net::NetworkNamespace;
use crate::time::TimeNamespace;
use crate::uts::UtsNamespace;

/// What a change of namespaces leads to.
struct Change {
    credentials: Arc<Credentials>,
    namespaces: Namespaces,
    mounts: Option<Arc<MountNamespace>>,
}

impl CloneFlags {
    /// The namespaces that only CAP_SYS_ADMIN makes.
    pub(super) const NEW_NAMESPACES: Self = Self::NEWNS
        .union(Self::NEWCGROUP)
        .union(Self::NEWIPC)
        .union(Self::NEWNET)
        .union(Self::NEWPID)
        .union(Self::NEWTIME)
        .union(Self::NEWUTS);

    /// What unshare(2) knows.
    const UNSHARABLE: Self = Self::NEW_NAMESPACES
        .union(Self::NEWUSER)
        .union(Self::THREAD)
        .union(Self::SIGHAND)
        .union(Self::VM)
        .union(Self::FS)
        .union(Self::FILES)
        .union(Self::SYSVSEM);

    /// With what unsharing these implies (`man 2 unshare`).
    fn with_implied(mut self) -> Self {
        let implications = [
            (Self::NEWUSER, Self::THREAD | Self::FS),
            (Self::VM, Self::SIGHAND),
            (Self::SIGHAND, Self::THREAD),
            (Self::NEWNS, Self::FS),
        ];
        for (flag, implied) in implications {
            if self.contains(flag) {
                self.insert(implied);
            }
        }
        self
    }
}

impl CurrentTask {
    /// unshare(2).
    ///
    /// # Errors
    /// EINVAL for flags that are unknown or that a task with threads may not have, EPERM, ENOSPC, ENOMEM.
    pub(crate) fn unshare(&mut self, flags: CloneFlags) -> Result<(), Errno> {
        if !CloneFlags::UNSHARABLE.contains(flags) {
            return Err(Errno::EINVAL);
        }
        let flags = flags.with_implied();
        self.check_shares_nothing(flags)?;
        let credentials = self.credentials_for(flags)?;
        let namespaces = self.unshared_namespaces(flags, &credentials)?;
        let task_fs = match mount_identity(flags, &credentials)? {
            Some(identity) => Some(self.task_fs().in_new_namespace(identity)?),
            None => flags.contains(CloneFlags::FS).then(|| self.task_fs().duplicate()),
        };
        if flags.contains(CloneFlags::FILES) {
            self.task().unshare_descriptors()?;
        }
        if let Some(task_fs) = task_fs {
            self.task().set_task_fs(task_fs);
        }
        if flags.contains(CloneFlags::SYSVSEM) {
            self.task().leave_undo_list();
        }
        self.task().set_namespaces(namespaces);
        if flags.contains(CloneFlags::NEWUSER) {
            self.task().set_credentials(Credentials::clone(&credentials));
        }
        Ok(())
    }

    /// Fails if the task shares what it cannot stop sharing.
    fn check_shares_nothing(&self, flags: CloneFlags) -> Result<(), Errno> {
        let group = self.thread_group();
        // The group's own reference, and the one asked for here.
        let shares_actions = || Arc::strong_count(&group.signal_actions()) > 2;
        let is_shared = flags.contains(CloneFlags::THREAD) && self.has_threads()
            || flags.intersects(CloneFlags::SIGHAND | CloneFlags::VM) && shares_actions()
            || flags.contains(CloneFlags::VM) && self.shares(Task::memory);
        if is_shared { Err(Errno::EINVAL) } else { Ok(()) }
    }

    fn has_threads(&self) -> bool {
        self.thread_group().live_tasks().len() > 1
    }

    /// Whether another task has the same `part`.
    fn shares<T>(&self, part: impl Fn(&Task) -> Option<Arc<T>>) -> bool {
        let Some(own) = part(self.task()) else { return false };
        self.kernel()
            .tasks()
            .any_other(self.task(), |task| part(task).is_some_and(|other| Arc::ptr_eq(&own, &other)))
    }

    /// The credentials that new namespaces are made with: with NEWUSER, those of the first task of a new user
    /// namespace.
    ///
    /// # Errors
    /// EPERM if the capability is missing, or the task is in a changed root; those of
    /// [`Credentials::in_new_namespace`].
    pub(super) fn credentials_for(&self, flags: CloneFlags) -> Result<Arc<Credentials>, Errno> {
        let own = self.credentials();
        let credentials = if flags.contains(CloneFlags::NEWUSER) {
            if self.task_fs().view().is_chrooted() {
                return Err(Errno::EPERM);
            }
            Arc::new(own.in_new_namespace()?)
        } else {
            own
        };
        if flags.intersects(CloneFlags::NEW_NAMESPACES) && !credentials.has_in_own(Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        Ok(credentials)
    }

    /// The task's namespaces, with new ones for `flags`, owned by the user namespace of `credentials`.
    pub(super) fn unshared_namespaces(
        &self,
        flags: CloneFlags,
        credentials: &Credentials,
    ) -> Result<Namespaces, Errno> {
        let creator = NamespaceCreator {
            tasks: self.kernel().tasks(),
            owner: &credentials.user_namespace,
            uid: credentials.effective_uid,
            pid_namespace: self.thread_group().pid_namespace(),
            cgroup: self.task().cgroup(),
        };
        self.task().namespaces().unshare(flags, &creator)
    }

    /// setns(2) with a file of /proc/PID/ns.
    ///
    /// # Errors
    /// EPERM, EINVAL, EUSERS (`man 2 setns`).
    pub(crate) fn enter_namespace(&mut self, namespace: &Arc<dyn Namespace>) -> Result<(), Errno> {
        let mut change = self.no_change();
        self.plan_to_enter(&mut change, namespace)?;
        self.make(change)
    }

    /// setns(2) with a pidfd: moves to those namespaces of `target` whose kinds `flags` names.
    ///
    /// # Errors
    /// ESRCH if it has exited; EPERM, EINVAL, EUSERS (`man 2 setns`).
    pub(crate) fn enter_namespaces_of(&mut self, target: &Arc<Task>, flags: CloneFlags) -> Result<(), Errno> {
        if target.memory().is_none() {
            return Err(Errno::ESRCH);
        }
        check_access(self.task(), target)?;
        let mut change = self.no_change();
        // The user namespace first: what it allows counts for the others.
        const ORDER: [NamespaceKind; NamespaceKind::COUNT] = [
            NamespaceKind::User,
            NamespaceKind::Mount,
            NamespaceKind::Uts,
            NamespaceKind::Ipc,
            NamespaceKind::Pid,
            NamespaceKind::Cgroup,
            NamespaceKind::Network,
            NamespaceKind::Time,
        ];
        for kind in ORDER {
            if flags.bits() & u64::from(kind.flag()) != 0 {
                let namespace = target.namespace(kind).ok_or(Errno::ESRCH)?;
                self.plan_to_enter(&mut change, &namespace)?;
            }
        }
        self.make(change)
    }

    fn no_change(&self) -> Change {
        Change { credentials: self.credentials(), namespaces: self.task().namespaces(), mounts: None }
    }

    fn make(&self, change: Change) -> Result<(), Errno> {
        // The only thing that can fail: the clocks of another time namespace take a page.
        if !Arc::ptr_eq(&change.namespaces.time, &self.task().namespaces().time) {
            self.kernel().switch_vdso(self.memory(), &change.namespaces.time)?;
        }
        self.task().set_namespaces(change.namespaces);
        if let Some(mounts) = change.mounts {
            self.task_fs().enter_namespace(mounts);
        }
        if !Arc::ptr_eq(&change.credentials, &self.credentials()) {
            self.task().set_credentials(Credentials::clone(&change.credentials));
        }
        Ok(())
    }

    /// Adds to `change` that the task is in `namespace`.
    fn plan_to_enter(&self, change: &mut Change, namespace: &Arc<dyn Namespace>) -> Result<(), Errno> {
        let kind = namespace.identity().kind();
        if kind == NamespaceKind::User {
            return self.plan_to_enter_user(change, &downcast(namespace)?);
        }
        let credentials = &change.credentials;
        let wanted = match kind {
            NamespaceKind::Mount => Capabilities::SYS_ADMIN | Capabilities::SYS_CHROOT,
            _ => Capabilities::SYS_ADMIN,
        };
        let owner = namespace.identity().owner().ok_or(Errno::EINVAL)?;
        if !credentials.has_in(owner, Capabilities::SYS_ADMIN) || !credentials.has_in_own(wanted) {
            return Err(Errno::EPERM);
        }
        let new = &mut change.namespaces;
        match kind {
            NamespaceKind::Cgroup => new.cgroup = downcast::<CgroupNamespace>(namespace)?,
            NamespaceKind::Ipc => new.ipc = downcast::<IpcNamespace>(namespace)?,
            NamespaceKind::Network => new.network = downcast::<NetworkNamespace>(namespace)?,
            NamespaceKind::Uts => new.uts = downcast::<UtsNamespace>(namespace)?,
            NamespaceKind::Mount => {
                if self.shares(Task::try_task_fs) {
                    return Err(Errno::EINVAL);
                }
                change.mounts = Some(downcast::<MountNamespace>(namespace)?);
            }
            NamespaceKind::Pid => {
                let target = downcast::<PidNamespace>(namespace)?;
                let own = self.thread_group().pid_namespace();
                if !target.with_ancestors().any(|ancestor| Arc::ptr_eq(ancestor, own)) {
                    return Err(Errno::EINVAL);
                }
                new.pid_for_children = target;
            }
            NamespaceKind::Time => {
                if self.has_threads() || self.shares(Task::memory) {
                    return Err(Errno::EUSERS);
                }
                new.time = downcast::<TimeNamespace>(namespace)?;
                new.time_for_children = new.time.clone();
            }
            NamespaceKind::User => {}
        }
        Ok(())
    }

    fn plan_to_enter_user(&self, change: &mut Change, target: &Arc<UserNamespace>) -> Result<(), Errno> {
        let credentials = &change.credentials;
        if *credentials.user_namespace == **target || self.has_threads() || self.shares(Task::try_task_fs) {
            return Err(Errno::EINVAL);
        }
        if !credentials.has_in(target, Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        change.credentials = Arc::new(credentials.in_namespace(target.clone()));
        Ok(())
    }
}

impl Task {
    /// Its namespace of this kind; `None` if it has exited, and no longer has one.
    pub(crate) fn namespace(&self, kind: NamespaceKind) -> Option<Arc<dyn Namespace>> {
        Some(match kind {
            NamespaceKind::Cgroup => self.try_namespaces()?.cgroup,
            NamespaceKind::Ipc => self.try_namespaces()?.ipc,
            NamespaceKind::Mount => self.try_task_fs()?.namespace(),
            NamespaceKind::Network => self.try_namespaces()?.network,
            NamespaceKind::Pid => self.group.pid_namespace().clone(),
            NamespaceKind::Time => self.try_namespaces()?.time,
            NamespaceKind::User => self.credentials().user_namespace.clone(),
            NamespaceKind::Uts => self.try_namespaces()?.uts,
        })
    }

    /// Replaces where its paths begin.
    fn set_task_fs(&self, new: Arc<TaskFs>) {
        let mut resources = self.resources.lock();
        let old = resources.as_mut().map(|resources| std::mem::replace(&mut resources.task_fs, new));
        drop(resources);
        drop(old);
    }
}

/// The identity of a new mount namespace, if `flags` ask for one.
pub(super) fn mount_identity(
    flags: CloneFlags,
    credentials: &Credentials,
) -> Result<Option<Identity>, Errno> {
    let is_wanted = flags.contains(CloneFlags::NEWNS);
    let identity =
        || Identity::new(NamespaceKind::Mount, &credentials.user_namespace, credentials.effective_uid);
    is_wanted.then(identity).transpose()
}

/// The namespace as its own type.
fn downcast<T: Any + Send + Sync>(namespace: &Arc<dyn Namespace>) -> Result<Arc<T>, Errno> {
    let any: Arc<dyn Any + Send + Sync> = namespace.clone();
    any.downcast().map_err(|_| Errno::EINVAL)
}
