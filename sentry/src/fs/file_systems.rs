//! What a kernel has of file systems: those of which there is one instance, however often it is mounted, and what the others are
//! made from.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::binfmt_misc::BinaryFormats;
use super::cgroup::{CgroupFileSystem, TaskDirectory};
use super::fuse::FuseConnections;
use super::memory_files::MemoryFiles;
use super::metadata::DeviceNumber;
use super::open_files::OpenFiles;
use super::single::SingleInstances;
use super::terminal::ControllingTerminals;
use super::tmpfs::MemoryResources;
use crate::Errno;
use crate::cgroup::Hierarchy;
use crate::cred::UserNamespace;
use crate::memory::FrameAllocator;

/// Device numbers for file systems without a device: `0:N`, each N once.
#[derive(Debug)]
pub struct AnonymousDevices {
    next_minor: AtomicU32,
}

impl Default for AnonymousDevices {
    fn default() -> Self {
        // Those below are of file systems that are always there.
        Self { next_minor: AtomicU32::new(20) }
    }
}

impl AnonymousDevices {
    /// The number of a new file system.
    pub(super) fn take(&self) -> DeviceNumber {
        /// Bits of a minor number.
        const MINOR_MASK: u32 = 0xf_ffff;
        DeviceNumber::new(0, self.next_minor.fetch_add(1, Ordering::Relaxed) & MINOR_MASK)
    }
}

/// The file systems of a kernel.
pub struct FileSystems {
    /// How many CPUs the machine has.
    pub cpus: usize,
    /// The control groups.
    pub cgroups: Arc<CgroupFileSystem>,
    /// Which terminal controls which session.
    pub terminals: Arc<ControllingTerminals>,
    /// What those that keep files in memory are made from.
    pub memory: MemoryResources,
    /// The formats of programs that interpreters run.
    pub binary_formats: Arc<BinaryFormats>,
    /// The file systems that processes serve.
    pub(super) fuse: Arc<FuseConnections>,
    /// Those of which there is one that has no other home.
    pub(super) singles: SingleInstances,
    memory_files: OnceLock<Arc<MemoryFiles>>,
}

impl FileSystems {
    /// For a machine with so many CPUs and these `frames`, with the groups of `hierarchy`.
    pub fn new(
        cpus: usize,
        frames: &Arc<FrameAllocator>,
        open_files: &Arc<OpenFiles>,
        user_namespace: &Arc<UserNamespace>,
        terminals: &Arc<ControllingTerminals>,
        hierarchy: &Arc<Hierarchy>,
        tasks: Arc<dyn TaskDirectory>,
    ) -> Self {
        let memory = MemoryResources::new(frames.clone(), open_files, user_namespace);
        Self {
            cpus,
            cgroups: CgroupFileSystem::new(hierarchy, tasks, memory.devices.take()),
            terminals: terminals.clone(),
            memory,
            binary_formats: Arc::default(),
            fuse: Arc::default(),
            singles: SingleInstances::default(),
            memory_files: OnceLock::new(),
        }
    }

    /// Device numbers for further file systems.
    pub(super) fn devices(&self) -> &AnonymousDevices {
        &self.memory.devices
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
