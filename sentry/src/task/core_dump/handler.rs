//! A program that takes core dumps by a pipe (`man 5 core`, "Piping core dumps to a program"): as root, in the first
//! namespaces, without a parent.

use std::sync::Arc;

use crate::Errno;
use crate::cred::{Credentials, KernelGid, KernelUid};
use crate::fs::pipe::Pipe;
use crate::fs::{DescriptorBounds, DescriptorTable, FileDescription, OpenFlags, Resolver, TaskFs};
use crate::kernel::Kernel;
use crate::limits::{Limit, Limits, Resource};
use crate::loader::{self, LoadRequest};
use crate::task::{TaskConfig, TaskImage, Tid, UnstartedTask};

/// A handler's own core limit: it leaves no dump that would call it again.
const OWN_CORE_LIMIT: Limit = Limit { soft: 1, hard: 1 };
const ENVIRONMENT: [&[u8]; 2] = [b"HOME=/", b"PATH=/sbin:/bin:/usr/sbin:/usr/bin"];

/// What a handler reads from its standard input.
pub(super) struct Handler {
    /// The write end of the pipe.
    pub(super) input: Arc<FileDescription>,
    pub(super) pipe: Arc<Pipe>,
}

impl Handler {
    /// Starts the program that `arguments` name.
    ///
    /// # Errors
    /// ENOENT: no absolute path. The errors of execve(2), clone(2) and pipe(2).
    pub(super) fn start(kernel: &Arc<Kernel>, arguments: Vec<Vec<u8>>) -> Result<Self, Errno> {
        let path = arguments.first().filter(|path| path.starts_with(b"/")).ok_or(Errno::ENOENT)?.clone();
        let (reader, writer) =
            Pipe::pair(kernel.open_files(), OpenFlags::empty(), KernelUid::ROOT, KernelGid::ROOT)?;
        let descriptors = DescriptorTable::new(kernel.open_files());
        let bounds = DescriptorBounds { limit: 1, is_privileged: true };
        descriptors.install(FileDescription::new(reader, None, OpenFlags::empty()), 0, false, bounds)?;
        let mut limits = Limits::default();
        limits.set(Resource::CORE, OWN_CORE_LIMIT, true)?;
        let pipe = writer.pipe().clone();
        let input = FileDescription::new(writer, None, OpenFlags::WRONLY);
        let task_fs = first_task_fs(kernel)?;
        let image = load(kernel, &task_fs, path, arguments, &limits)?;
        let group = kernel.tasks().new_first_group(limits);
        let credentials = Credentials::root(kernel.user_namespace());
        let config = TaskConfig::without_creator(kernel, group, image, task_fs, descriptors, credentials);
        kernel.tasks().new_task(config).and_then(UnstartedTask::start)?;
        Ok(Self { input, pipe })
    }
}

/// A working directory at the root of the mounts that the first program has.
fn first_task_fs(kernel: &Kernel) -> Result<Arc<TaskFs>, Errno> {
    let tasks = kernel.tasks();
    let init = tasks.task(tasks.root(), Tid::INIT).ok_or(Errno::ESRCH)?;
    Ok(TaskFs::new(init.try_task_fs().ok_or(Errno::ESRCH)?.view().namespace))
}

fn load(
    kernel: &Arc<Kernel>,
    task_fs: &TaskFs,
    path: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    limits: &Limits,
) -> Result<TaskImage, Errno> {
    let (view, viewer) = (task_fs.view(), kernel.viewer());
    let program = loader::load(LoadRequest {
        kernel: &**kernel,
        formats: &kernel.file_systems().binary_formats,
        view: &view,
        viewer: &viewer,
        file: Resolver::new(&view, &viewer).resolve(&view.root, &path, true)?,
        file_name: path,
        is_reachable: true,
        arguments,
        environment: ENVIRONMENT.map(<[u8]>::to_vec).to_vec(),
        stack_limit_bytes: limits.soft(Resource::STACK),
        payer: None,
        allows_new_privileges: true,
        time_namespace: kernel.initial_namespaces().time.clone(),
    })
    .map_err(|error| {
        log::warn!("a core dump is lost: {error}");
        error.errno
    })?;
    Ok(program.into())
}
