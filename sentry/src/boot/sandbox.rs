//! A sandbox that has been built and not yet started.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Image;
use super::accounts::{AccountError, Accounts};
use super::description::{Description, HOSTFS, MountPoint, User};
use super::init::{InitError, InitProgram};
use super::join::LaterPrograms;
use super::reaper;
use super::root::{BootError, Builder, mount_root};
use super::volumes::Volumes;
use crate::Errno;
use crate::cgroup::{CpuLimit, Hierarchy};
use crate::cred::{Credentials, Namespace, NamespaceKind};
use crate::fs::dev::TerminalDevices;
use crate::fs::file_systems::FileSystems;
use crate::fs::proc::ProcessSource;
use crate::fs::{
    DescriptorTable, FileKind, FileSystemType, Mount, MountFlags, MountNamespace, MountRequest, MountTable,
    Mounter, Network, Path, Viewer,
};
use crate::host::HostCpus;
use crate::ipc::IpcNamespace;
use crate::kernel::{Kernel, KernelConfig, KernelError};
use crate::limits::Limits;
use crate::memory::FrameAllocator;
use crate::net::tun::TunDriver;
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
    /// There is no such user.
    #[error(transparent)]
    Account(#[from] AccountError),
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
    user: User,
    credentials: Credentials,
    limits: Limits,
    container_id: Option<Vec<u8>>,
    capabilities: Option<BTreeSet<u32>>,
    has_reaper: bool,
}

impl Sandbox {
    /// Builds what `description` says, on `machine`. `image` is what its root names, and `volumes` what its mounts name.
    ///
    /// # Errors
    /// There is no memory for it, the image is in the way of a mount, or a limit makes no sense.
    pub fn new(
        mut description: Description,
        image: Image,
        volumes: Volumes,
        machine: Machine,
    ) -> Result<Self, SandboxError> {
        let limits = description.limits().map_err(SandboxError::Limits)?;
        let Machine { platform, memory_bytes, cpus, dispatcher } = machine;
        let frames = FrameAllocator::new(&platform, memory_bytes);
        let host_name = description.host_name.0.clone();
        let kernel = Kernel::new(KernelConfig { platform, frames, cpus, host_name, dispatcher })?;
        limit(kernel.cgroups(), &description);
        let (path, arguments) = image.command(bytes_of(std::mem::take(&mut description.command)));
        let mounts = mount_all(&kernel, image, volumes, &mut description)?;
        let credentials = description.credentials(kernel.user_namespace());
        Ok(Self {
            mounts,
            kernel,
            path,
            arguments,
            environment: bytes_of(description.environment),
            working_directory: description.working_directory.0,
            user: description.user,
            credentials,
            limits,
            container_id: description.name.map(String::into_bytes),
            capabilities: description.capabilities,
            has_reaper: description.has_reaper,
        })
    }

    /// The kernel that the program runs on; it has no task yet before the start.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// The root file system and what is mounted in it.
    pub fn mounts(&self) -> &Arc<MountNamespace> {
        &self.mounts
    }

    /// Who the first program runs as.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// What programs that join the first one later are to be.
    pub fn later_programs(&self) -> LaterPrograms {
        LaterPrograms {
            environment: self.environment.clone(),
            working_directory: self.working_directory.clone(),
            user: self.user.clone(),
            capabilities: self.capabilities.clone(),
            limits: self.limits.clone(),
            container_id: self.container_id.clone(),
        }
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
            reaper: self.has_reaper.then(|| reaper::PATH.into()),
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

/// Limits all groups together: the root's own limits are not in the guest's reach.
fn limit(hierarchy: &Hierarchy, description: &Description) {
    let root = hierarchy.root();
    root.pids().set_max(description.max_tasks);
    if let Some(millicpus) = description.max_millicpus {
        let usual = CpuLimit::default();
        let quota = usual.period.saturating_mul(millicpus) / 1000;
        hierarchy.set_cpu_limit(root, CpuLimit { quota: Some(quota), ..usual });
    }
}

fn bytes_of(texts: Vec<super::Text>) -> Vec<Vec<u8>> {
    texts.into_iter().map(|text| text.0).collect()
}

/// Mounts all that `description` says, and finds out in the image who its user is.
fn mount_all(
    kernel: &Arc<Kernel>,
    image: Image,
    volumes: Volumes,
    description: &mut Description,
) -> Result<Arc<MountNamespace>, SandboxError> {
    let resources = &kernel.file_systems().memory;
    let terminals = TerminalDevices::new(kernel.terminals().clone());
    resources.specials.register(FileKind::CharacterDevice, 5, terminals);
    TunDriver::register(&resources.specials);
    let builder = mount_root(resources, image, kernel.viewer())?;
    find_user(description, &builder)?;
    description.anonymous_volumes.iter().try_for_each(|path| builder.make_volume(path))?;
    description.name_service.write(&builder)?;
    mount_points(kernel, volumes, description, &builder)?;
    if description.makes_working_directory {
        let path = String::from_utf8_lossy(&description.working_directory.0);
        builder.directories(&path).map_err(BootError::at(&path))?;
    }
    if description.has_reaper {
        reaper::install(resources, &builder).map_err(BootError::at(reaper::PATH))?;
    }
    if description.is_root_read_only {
        builder.forbid_changes().map_err(BootError::at("/"))?;
    }
    Ok(builder.namespace().clone())
}

/// Looks up the user, if it is told by name, and its home directory, if nobody has said.
fn find_user(description: &mut Description, builder: &Builder) -> Result<(), AccountError> {
    let has_home = description.environment.iter().any(|variable| variable.0.starts_with(b"HOME="));
    if has_home && description.user_name.is_none() {
        return Ok(());
    }
    let accounts = Accounts::read(builder);
    if let Some(name) = &description.user_name {
        description.user = accounts.find(name)?;
    }
    if !has_home {
        let home = format!("HOME={}", accounts.home(description.user.uid));
        description.environment.push(home.as_str().into());
    }
    Ok(())
}

fn mount_points(
    kernel: &Arc<Kernel>,
    mut volumes: Volumes,
    description: &Description,
    builder: &Builder,
) -> Result<(), BootError> {
    let resources = &kernel.file_systems().memory;
    for point in &description.mounts {
        let mount = match &*point.file_system {
            HOSTFS => volumes.mount(resources, point, &description.user),
            _ => new_mount(kernel, &resources.mounts, point),
        };
        let mounted = mount.and_then(|mount| builder.mount(&point.target, &mount));
        mounted.map_err(BootError::at(&point.target))?;
    }
    Ok(())
}

fn new_mount(kernel: &Arc<Kernel>, table: &Arc<MountTable>, point: &MountPoint) -> Result<Arc<Mount>, Errno> {
    let name = &*point.file_system;
    let request = MountRequest { options: &point.options, ..MountRequest::default() };
    let instance = FileSystemType::find(name)?.instance(&Booting { kernel }, &request)?;
    let read_only = if point.is_read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    Ok(Mount::of(table, instance, name, usual_flags(name) | read_only))
}

/// What a mount of this type forbids, as systemd mounts it.
fn usual_flags(type_name: &str) -> MountFlags {
    let no_programs = MountFlags::NOSUID | MountFlags::NOEXEC;
    match type_name {
        "tmpfs" => MountFlags::NOSUID | MountFlags::NODEV,
        "devpts" => no_programs,
        _ => no_programs | MountFlags::NODEV | MountFlags::RELATIME,
    }
}

/// The kernel, as it mounts file systems for the first task.
struct Booting<'a> {
    kernel: &'a Arc<Kernel>,
}

impl Mounter for Booting<'_> {
    fn viewer(&self) -> Viewer {
        self.kernel.viewer()
    }

    fn file_systems(&self) -> &FileSystems {
        self.kernel.file_systems()
    }

    fn namespace(&self, _kind: NamespaceKind) -> Option<Arc<dyn Namespace>> {
        // The initial user namespace owns them all, as it does the viewer.
        None
    }

    fn ipc_namespace(&self) -> Arc<IpcNamespace> {
        self.kernel.initial_namespaces().ipc.clone()
    }

    fn network(&self) -> Arc<dyn Network> {
        self.kernel.initial_namespaces().network.clone()
    }

    fn processes(&self) -> Arc<dyn ProcessSource> {
        TaskSource::new(self.kernel, self.kernel.tasks().root().clone())
    }

    fn find(&self, _path: &[u8]) -> Result<Path, Errno> {
        // What the sandbox has of devices holds nothing yet.
        Err(Errno::ENOENT)
    }
}

#[cfg(test)]
mod tests;
