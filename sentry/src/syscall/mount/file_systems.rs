//! The types of file systems that can be mounted, and their options.

use std::sync::Arc;

use crate::Errno;
use crate::cred::{Capabilities, Namespace, UserNamespace};
use crate::fs::mqueue;
use crate::fs::proc::ProcFileSystem;
use crate::fs::pts::PtsFileSystem;
use crate::fs::tmpfs::{self, TmpfsOptions};
use crate::fs::{Dentry, Instance, Mount, MountFlags};
use crate::syscall::place::Scope;
use crate::task::{CurrentTask, TaskSource};

type Make = fn(&CurrentTask, Arc<UserNamespace>, &str) -> Result<Arc<Instance>, Errno>;

/// A type of file system.
pub(super) struct FileSystemType {
    pub(super) name: &'static str,
    /// The user namespace whose administrators may mount it (`man 7 user_namespaces`).
    owner: fn(&CurrentTask) -> Arc<UserNamespace>,
    /// Makes an instance, or finds the one that there is, for this owner and with these options.
    make: Make,
    /// Fails for options that it does not know.
    check: fn(&CurrentTask, &str) -> Result<(), Errno>,
    is_new_each_time: bool,
    /// Whether a less privileged namespace may have it only if it sees the whole of one already.
    must_be_visible: bool,
}

const TYPES: &[FileSystemType] = &[
    FileSystemType {
        name: "cgroup2",
        owner: |task| owner_of(&*task.task().namespaces().cgroup),
        make: cgroup,
        check: |_, options| check_options(options, &["nsdelegate", "memory_recursiveprot"], &[]),
        is_new_each_time: false,
        must_be_visible: false,
    },
    FileSystemType {
        name: "devpts",
        owner: own,
        make: terminals,
        check: |_, options| {
            check_options(options, &["newinstance"], &["gid", "uid", "mode", "ptmxmode", "max"])
        },
        is_new_each_time: true,
        must_be_visible: false,
    },
    FileSystemType {
        name: "mqueue",
        owner: |task| owner_of(&*task.task().ipc_namespace()),
        make: |task, _, _| Ok(mqueue::mount_of(&task.task().ipc_namespace()).instance().clone()),
        check: |_, options| check_options(options, &[], &[]),
        is_new_each_time: false,
        must_be_visible: false,
    },
    FileSystemType {
        name: "proc",
        owner: |task| owner_of(&**task.thread_group().pid_namespace()),
        make: processes,
        check: |_, options| check_options(options, &["hidepid=0", "hidepid=off"], &["gid"]),
        is_new_each_time: true,
        must_be_visible: true,
    },
    FileSystemType {
        name: "ramfs",
        owner: own,
        make: |task, owner, options| memory(task, owner, options, "ramfs"),
        check: |task, options| parse_tmpfs_options(task, options).map(drop),
        is_new_each_time: true,
        must_be_visible: false,
    },
    FileSystemType {
        name: "sysfs",
        owner: |task| owner_of(&*task.task().namespaces().network),
        make: |task, _, _| Ok(task.kernel().file_systems().system.clone()),
        check: |_, options| check_options(options, &[], &[]),
        is_new_each_time: false,
        must_be_visible: true,
    },
    FileSystemType {
        name: "tmpfs",
        owner: own,
        make: |task, owner, options| memory(task, owner, options, "tmpfs"),
        check: |task, options| parse_tmpfs_options(task, options).map(drop),
        is_new_each_time: true,
        must_be_visible: false,
    },
];

impl FileSystemType {
    /// The type called `name`.
    ///
    /// # Errors
    /// ENODEV.
    pub(super) fn find(name: &str) -> Result<&'static Self, Errno> {
        TYPES.iter().find(|kind| kind.name == name).ok_or(Errno::ENODEV)
    }

    /// Whether each mount makes an instance of its own.
    pub(super) fn is_new_each_time(&self) -> bool {
        self.is_new_each_time
    }

    /// Fails for options that it does not know.
    pub(super) fn check_options(&self, task: &CurrentTask, options: &str) -> Result<(), Errno> {
        (self.check)(task, options)
    }

    /// The instance that `task` mounts.
    ///
    /// # Errors
    /// EPERM; EINVAL for options that it does not know; ENOSPC.
    pub(super) fn instance(&self, task: &CurrentTask, options: &str) -> Result<Arc<Instance>, Errno> {
        self.check_options(task, options)?;
        let owner = (self.owner)(task);
        if !task.credentials().has_in(&owner, Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        (self.make)(task, owner, options)
    }

    /// A mount of `instance`, an instance of this type, for the mount namespace of `scope`.
    ///
    /// # Errors
    /// EPERM if it would reveal what is hidden from that.
    pub(super) fn mount(
        &self,
        scope: &Scope,
        instance: Arc<Instance>,
        source: &str,
        flags: MountFlags,
    ) -> Result<Arc<Mount>, Errno> {
        let namespace = &scope.view().namespace;
        let is_privileged = namespace.identity().owner().is_none_or(|owner| owner.level() == 0);
        let mount = Mount::of(namespace.table(), instance, source, flags);
        if self.must_be_visible && !is_privileged {
            let locked = namespace.flags_to_keep(self.name, flags).ok_or(Errno::EPERM)?;
            mount.lock_flags(locked);
        }
        Ok(mount)
    }
}

fn own(task: &CurrentTask) -> Arc<UserNamespace> {
    task.credentials().user_namespace.clone()
}

fn owner_of(namespace: &dyn Namespace) -> Arc<UserNamespace> {
    namespace.identity().owner().cloned().unwrap_or_else(UserNamespace::initial)
}

fn cgroup(task: &CurrentTask, owner: Arc<UserNamespace>, _options: &str) -> Result<Arc<Instance>, Errno> {
    let cgroups = task.kernel().file_systems().cgroups.clone();
    let root = Dentry::new_root(cgroups.root_for(&task.viewer()));
    Ok(Instance::new(cgroups, root, owner))
}

fn terminals(task: &CurrentTask, owner: Arc<UserNamespace>, _options: &str) -> Result<Arc<Instance>, Errno> {
    let terminals = PtsFileSystem::new(task.kernel().terminals().clone());
    let root = Dentry::new_root(terminals.root());
    Ok(Instance::new(terminals, root, owner))
}

fn processes(task: &CurrentTask, owner: Arc<UserNamespace>, _options: &str) -> Result<Arc<Instance>, Errno> {
    let source = TaskSource::new(task.kernel(), task.thread_group().pid_namespace().clone());
    let processes = ProcFileSystem::new(source);
    let root = Dentry::new_root(processes.root());
    Ok(Instance::new(processes, root, owner))
}

fn memory(
    task: &CurrentTask,
    owner: Arc<UserNamespace>,
    options: &str,
    type_name: &'static str,
) -> Result<Arc<Instance>, Errno> {
    let namespace = task.task_fs().namespace();
    let files = namespace.memory_files().ok_or(Errno::ENODEV)?;
    let options = parse_tmpfs_options(task, options)?;
    tmpfs::new_instance(files.resources(), &options, type_name, owner)
}

/// Fails with EINVAL if `options` has one that is neither in `flags` nor has a name in `with_numbers` and a number.
fn check_options(options: &str, flags: &[&str], with_numbers: &[&str]) -> Result<(), Errno> {
    let is_known = |option: &str| match option.split_once('=') {
        _ if flags.contains(&option) => true,
        Some((name, value)) => with_numbers.contains(&name) && value.parse::<u32>().is_ok(),
        None => false,
    };
    if options.split(',').filter(|option| !option.is_empty()).all(is_known) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// The options of `man 5 tmpfs`; whoever mounts it owns the root directory.
fn parse_tmpfs_options(task: &CurrentTask, options: &str) -> Result<TmpfsOptions, Errno> {
    let credentials = task.credentials();
    let defaults =
        TmpfsOptions { uid: credentials.fs_uid, gid: credentials.fs_gid, ..TmpfsOptions::default() };
    defaults.with(options, &credentials.user_namespace)
}
