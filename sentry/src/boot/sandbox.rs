//! A sandbox that has been built and not yet started.

use std::sync::Arc;

use super::Image;
use super::description::{Description, FileSystemKind, MountPoint};
use super::init::{InitError, InitProgram};
use super::root::{BootError, mount_root};
use crate::Errno;
use crate::cred::Credentials;
use crate::fs::dev::TerminalDevices;
use crate::fs::proc::ProcFileSystem;
use crate::fs::pts::PtsFileSystem;
use crate::fs::tmpfs::{self, MemoryResources, TmpfsOptions};
use crate::fs::{Dentry, DescriptorTable, FileKind, Mount, MountFlags, MountNamespace, Viewer};
use crate::host::HostCpus;
use crate::kernel::{Kernel, KernelConfig, KernelError};
use crate::limits::Limits;
use crate::memory::FrameAllocator;
use crate::platform::Platform;
use crate::task::{Dispatcher, Task, TaskSource};

/// What a sandbox runs on.
pub struct Machine {
    /// The microVM.
    pub platform: Arc<dyn Platform>,
    /// The size of its memory.
    pub memory_bytes: u64,
    /// The host's CPUs that the guest gets.
    pub cpus: HostCpus,
    /// Who serves system calls.
    pub dispatcher: Arc<dyn Dispatcher>,
}

/// Why a sandbox cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// There is no kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The root file system cannot be put together.
    #[error("the image cannot be mounted")]
    Root(#[from] BootError),
    /// A resource limit makes no sense.
    #[error("resource limits: {0}")]
    Limits(Errno),
}

/// A kernel without tasks, a root file system, and the program that will run in them.
pub struct Sandbox {
    kernel: Arc<Kernel>,
    mounts: Arc<MountNamespace>,
    path: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
    working_directory: Vec<u8>,
    credentials: Credentials,
    limits: Limits,
    container_id: Option<Vec<u8>>,
}

impl Sandbox {
    /// Builds what `description` says, on `machine`. `image` is what its root names.
    ///
    /// # Errors
    /// There is no memory for it, the image is in the way of a mount, or a limit makes no sense.
    pub fn new(description: Description, image: Image, machine: Machine) -> Result<Self, SandboxError> {
        let (credentials, limits) = (description.credentials(), description.limits());
        let limits = limits.map_err(SandboxError::Limits)?;
        let Machine { platform, memory_bytes, cpus, dispatcher } = machine;
        let frames = FrameAllocator::new(&platform, memory_bytes);
        let host_name = description.host_name.0;
        let kernel = Kernel::new(KernelConfig { platform, frames, cpus, host_name, dispatcher })?;
        let (path, arguments) = image.command(bytes_of(description.command));
        Ok(Self {
            mounts: mount_all(&kernel, image, &description.mounts)?,
            kernel,
            path,
            arguments,
            environment: bytes_of(description.environment),
            working_directory: description.working_directory.0,
            credentials,
            limits,
            container_id: description.name.map(String::into_bytes),
        })
    }

    /// The kernel.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// The root file system and what is mounted in it.
    pub fn mounts(&self) -> &Arc<MountNamespace> {
        &self.mounts
    }

    /// Starts the first program, with `descriptors` open.
    ///
    /// # Errors
    /// The program or its working directory is not there, or cannot be used.
    pub fn start(self, descriptors: Arc<DescriptorTable>) -> Result<Arc<Task>, InitError> {
        let Self { kernel, mounts, path, arguments, environment, .. } = self;
        let init = InitProgram {
            path,
            arguments,
            environment,
            mounts,
            working_directory: self.working_directory,
            descriptors,
            credentials: self.credentials,
            limits: self.limits,
            container_id: self.container_id,
        };
        init.start(&kernel)
    }
}

fn bytes_of(texts: Vec<super::Text>) -> Vec<Vec<u8>> {
    texts.into_iter().map(|text| text.0).collect()
}

fn mount_all(
    kernel: &Arc<Kernel>,
    image: Image,
    points: &[MountPoint],
) -> Result<Arc<MountNamespace>, BootError> {
    let resources = MemoryResources::new(kernel.frames().clone());
    let terminals = TerminalDevices::new(kernel.terminals().clone());
    resources.specials.register(FileKind::CharacterDevice, 5, terminals);
    let mounts: Result<Vec<_>, BootError> = points
        .iter()
        .map(|point| {
            let mount = new_mount(kernel, &resources, point);
            Ok((point.target.clone(), mount.map_err(BootError::at(&point.target))?))
        })
        .collect();
    mount_root(&resources, image, &mounts?)
}

fn new_mount(
    kernel: &Arc<Kernel>,
    resources: &MemoryResources,
    point: &MountPoint,
) -> Result<Arc<Mount>, Errno> {
    let read_only = if point.is_read_only { MountFlags::READ_ONLY } else { MountFlags::empty() };
    let no_programs = read_only | MountFlags::NO_SUID | MountFlags::NO_EXEC;
    let quiet = no_programs | MountFlags::NO_DEVICES | MountFlags::RELATIVE_ACCESS_TIME;
    let table = &resources.mounts;
    Ok(match point.file_system {
        FileSystemKind::Proc => {
            let proc = ProcFileSystem::new(TaskSource::new(kernel, kernel.tasks().root().clone()));
            let root = Dentry::new_root(proc.root());
            Mount::new(table, proc, root, "proc", quiet)
        }
        FileSystemKind::Sysfs => Mount::of(table, kernel.file_systems().system.clone(), "sysfs", quiet),
        FileSystemKind::Cgroup2 => {
            let cgroups = kernel.file_systems().cgroups.clone();
            let root = Dentry::new_root(cgroups.root_for(&Viewer::kernel()));
            Mount::new(table, cgroups, root, "cgroup2", quiet)
        }
        FileSystemKind::Devpts => {
            let pts = PtsFileSystem::new(kernel.terminals().clone());
            let root = Dentry::new_root(pts.root());
            Mount::new(table, pts, root, "devpts", no_programs)
        }
        FileSystemKind::Tmpfs => tmpfs::new_mount(
            resources,
            &TmpfsOptions::default(),
            "tmpfs",
            read_only | MountFlags::NO_SUID | MountFlags::NO_DEVICES,
        )?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Resolver, TaskFs};
    use crate::platform::fake::FakePlatform;
    use crate::syscall::Table;

    fn build(description: Description) -> Result<Sandbox, SandboxError> {
        let image = tempfile::tempdir().unwrap();
        let platform: Arc<dyn Platform> = FakePlatform::new(64 << 20).unwrap();
        let (cpus, dispatcher) = (HostCpus::of_this_thread(), Arc::new(Table));
        let machine = Machine { platform, memory_bytes: 64 << 20, cpus, dispatcher };
        Sandbox::new(description, Image::open(image.path()).unwrap(), machine)
    }

    #[test]
    fn a_sandbox_has_the_mounts_that_are_described() {
        let extra =
            MountPoint { target: "/data".into(), file_system: FileSystemKind::Tmpfs, is_read_only: true };
        let mounts = MountPoint::usual().into_iter().chain([extra]).collect();
        let sandbox = build(Description { mounts, ..Description::default() }).unwrap();
        let (view, viewer) = (TaskFs::new(sandbox.mounts().clone()).view(), Viewer::kernel());
        for (path, kind) in [("/proc", "proc"), ("/sys/fs/cgroup", "cgroup2"), ("/data", "tmpfs")] {
            let found = Resolver::new(&view, &viewer).resolve(&view.root, path.as_bytes(), true).unwrap();
            assert_eq!(found.mount.instance().file_system().type_name(), kind, "{path}");
            assert_eq!(found.mount.flags().contains(MountFlags::READ_ONLY), path == "/data", "{path}");
        }
    }

    #[test]
    fn a_program_that_the_image_lacks_is_named() {
        let command = vec!["nonesuch".into()];
        let sandbox = build(Description { command, ..Description::default() }).unwrap();
        let files = sandbox.kernel().open_files().clone();
        assert!(
            matches!(sandbox.start(DescriptorTable::new(&files)), Err(InitError::NotFound { path }) if path == b"nonesuch")
        );
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        let resource_limits = vec![super::super::ResourceLimit { resource: 99, soft: 1, hard: 1 }];
        let built = build(Description { resource_limits, ..Description::default() });
        assert!(matches!(built.err(), Some(SandboxError::Limits(Errno::EINVAL))));
    }
}
