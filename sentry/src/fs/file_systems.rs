//! The file systems of which there is one instance, however often it is mounted.

use std::sync::Arc;

use super::cgroup::{CgroupFileSystem, TaskDirectory};
use super::dentry::Dentry;
use super::mount::Instance;
use super::sys::SysFileSystem;
use crate::cgroup::Hierarchy;
use crate::cred::UserNamespace;

/// Those file systems.
pub struct FileSystems {
    /// sysfs.
    pub system: Arc<Instance>,
    /// The control groups.
    pub cgroups: Arc<CgroupFileSystem>,
}

impl FileSystems {
    /// For a machine with so many CPUs, with the groups of `hierarchy`.
    pub fn new(cpus: usize, hierarchy: &Arc<Hierarchy>, tasks: Arc<dyn TaskDirectory>) -> Self {
        let system = SysFileSystem::new(cpus);
        let root = Dentry::new_root(system.root());
        Self {
            system: Instance::new(system, root, UserNamespace::initial()),
            cgroups: CgroupFileSystem::new(hierarchy, tasks),
        }
    }
}
