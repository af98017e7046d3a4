//! What a kernel has of file systems: those of which there is one instance, however often it is mounted, and what the others are
//! made from.

use std::sync::{Arc, OnceLock};

use super::cgroup::{CgroupFileSystem, TaskDirectory};
use super::dentry::Dentry;
use super::memory_files::MemoryFiles;
use super::mount::Instance;
use super::sys::SysFileSystem;
use super::terminal::ControllingTerminals;
use super::tmpfs::MemoryResources;
use crate::Errno;
use crate::cgroup::Hierarchy;
use crate::cred::UserNamespace;
use crate::memory::FrameAllocator;

/// The file systems of a kernel.
pub struct FileSystems {
    /// sysfs.
    pub system: Arc<Instance>,
    /// The control groups.
    pub cgroups: Arc<CgroupFileSystem>,
    /// Which terminal controls which session.
    pub terminals: Arc<ControllingTerminals>,
    /// What those that keep files in memory are made from.
    pub memory: MemoryResources,
    memory_files: OnceLock<Arc<MemoryFiles>>,
}

impl FileSystems {
    /// For a machine with so many CPUs and these `frames`, with the groups of `hierarchy`.
    pub fn new(
        cpus: usize,
        frames: &Arc<FrameAllocator>,
        terminals: &Arc<ControllingTerminals>,
        hierarchy: &Arc<Hierarchy>,
        tasks: Arc<dyn TaskDirectory>,
    ) -> Self {
        let system = SysFileSystem::new(cpus);
        let root = Dentry::new_root(system.root());
        Self {
            system: Instance::new(system, root, UserNamespace::initial()),
            cgroups: CgroupFileSystem::new(hierarchy, tasks),
            terminals: terminals.clone(),
            memory: MemoryResources::new(frames.clone()),
            memory_files: OnceLock::new(),
        }
    }

    /// Where files without a mount point are made.
    ///
    /// # Errors
    /// ENOSPC: there is no room even for the directory of the first.
    pub fn memory_files(&self) -> Result<&Arc<MemoryFiles>, Errno> {
        if let Some(files) = self.memory_files.get() {
            return Ok(files);
        }
        let files = MemoryFiles::new(&self.memory)?;
        Ok(self.memory_files.get_or_init(|| files))
    }
}
