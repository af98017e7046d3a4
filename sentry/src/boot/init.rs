//! The first program: found in the image, loaded and started.

use std::borrow::Cow;
use std::sync::Arc;

use super::accounts::AccountError;
use crate::Errno;
use crate::cred::Credentials;
use crate::fs::{self, DescriptorTable, FsView, MountNamespace, Path, Resolver, TaskFs, Viewer};
use crate::kernel::Kernel;
use crate::limits::{Limits, Resource};
use crate::loader::{self, LoadError, LoadRequest, LoadedProgram};
use crate::task::{Namespaces, Task, TaskConfig, TaskImage, UnstartedTask};
use crate::time::TimeNamespace;

/// Where programs are searched if the environment has no PATH (glibc's `_CS_PATH`).
const DEFAULT_SEARCH_PATH: &[u8] = b"/bin:/usr/bin";

/// The program that a sandbox runs first.
pub struct InitProgram {
    /// The program: a path, or a name without a slash, which is searched in PATH.
    pub path: Vec<u8>,
    /// Its arguments, its own name first.
    pub arguments: Vec<Vec<u8>>,
    /// Its environment, `NAME=value` each.
    pub environment: Vec<Vec<u8>>,
    /// The init that it is a child of: the path of an executable that takes the program's path and its arguments.
    pub reaper: Option<Vec<u8>>,
    /// Where the program starts: its mount namespace.
    pub mounts: Arc<MountNamespace>,
    /// Absolute path that the program starts in.
    pub working_directory: Vec<u8>,
    /// What it starts with open: 0, 1 and 2 are its standard streams.
    pub descriptors: Arc<DescriptorTable>,
    /// Who it is.
    pub credentials: Credentials,
    /// Its resource limits.
    pub limits: Limits,
    /// The id of the container that it begins: its tasks live in a control group of that name. Without one they begin in the
    /// root's.
    pub container_id: Option<Vec<u8>>,
}

/// Why the first program does not run.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The working directory is not one.
    #[error("working directory {path}: {reason}", path = path.escape_ascii())]
    WorkingDirectory {
        /// What was given.
        path: Vec<u8>,
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// There is no such program.
    #[error("'{path}': not found in the image; the command is looked up inside it", path = path.escape_ascii())]
    NotFound {
        /// What was given.
        path: Vec<u8>,
    },
    /// The program cannot be loaded.
    #[error("cannot execute {path}: {reason}", path = path.escape_ascii())]
    Program {
        /// What was given.
        path: Vec<u8>,
        /// What is wrong with it.
        reason: LoadError,
    },
    /// There is no room for the task.
    #[error("cannot make the task: {0}")]
    Task(Errno),
    /// There is no such user.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// What it would run beside is ending.
    #[error("the sandbox is ending")]
    Ending,
}

impl InitProgram {
    /// Loads the program and starts it in `kernel`.
    ///
    /// # Errors
    /// The program or its working directory is not there, or cannot be used.
    pub fn start(self, kernel: &Arc<Kernel>) -> Result<Arc<Task>, InitError> {
        let task = self.make(kernel, kernel.initial_namespaces().clone())?;
        task.start().map_err(InitError::Task)
    }

    /// Loads the program and makes its task, in these namespaces.
    ///
    /// # Errors
    /// As [`InitProgram::start`].
    pub(super) fn make(
        self,
        kernel: &Arc<Kernel>,
        namespaces: Namespaces,
    ) -> Result<UnstartedTask, InitError> {
        let viewer = Viewer {
            credentials: Arc::new(self.credentials.clone()),
            process_id: 1,
            thread_id: 1,
            session_id: 1,
            association: 0,
        };
        let task_fs = TaskFs::new(self.mounts.clone());
        task_fs.set_working_directory(self.find_working_directory(&task_fs.view(), &viewer)?);
        let program = self.load(kernel, &task_fs.view(), &viewer, namespaces.time.clone())?;
        let (credentials, _) = loader::credentials_after_exec(&self.credentials, program.grants, true);
        let group = kernel.tasks().new_first_group(self.limits.clone());
        let image = TaskImage::from(program);
        let config = TaskConfig {
            container_id: self.container_id.map(Arc::from),
            namespaces,
            ..TaskConfig::without_creator(kernel, group, image, task_fs, self.descriptors, credentials)
        };
        kernel.tasks().new_task(config).map_err(InitError::Task)
    }

    fn find_working_directory(&self, view: &FsView, viewer: &Viewer) -> Result<Path, InitError> {
        let in_directory = |errno: Errno| InitError::WorkingDirectory {
            path: self.working_directory.clone(),
            reason: match errno {
                Errno::ENOENT => "it does not exist in the image".into(),
                Errno::ENOTDIR => "it is not a directory".into(),
                errno => LoadError::from(errno).reason,
            },
        };
        let resolver = Resolver::new(view, viewer);
        let directory = resolver.resolve(&view.root, &self.working_directory, true).map_err(in_directory)?;
        if directory.is_directory() { Ok(directory) } else { Err(in_directory(Errno::ENOTDIR)) }
    }

    fn load(
        &self,
        kernel: &Arc<Kernel>,
        view: &FsView,
        viewer: &Viewer,
        time_namespace: Arc<TimeNamespace>,
    ) -> Result<LoadedProgram, InitError> {
        let (mut file, mut file_name) = find_program(view, viewer, &self.path, &self.environment)?;
        let mut arguments = self.arguments.clone();
        if let Some(reaper) = &self.reaper {
            arguments = [vec![b"init".to_vec(), file_name], arguments].concat();
            (file, file_name) = find_program(view, viewer, reaper, &self.environment)?;
        }
        loader::load(LoadRequest {
            kernel: &**kernel,
            formats: &kernel.file_systems().binary_formats,
            view,
            viewer,
            file,
            file_name: file_name.clone(),
            is_reachable: true,
            arguments,
            environment: self.environment.clone(),
            stack_limit_bytes: self.limits.soft(Resource::STACK),
            payer: None,
            allows_new_privileges: true,
            time_namespace,
        })
        .map_err(|reason| InitError::Program { path: file_name, reason })
    }
}

/// Finds the program called `name`: a name without a slash is searched in the environment's PATH (`man 3 execvp`).
fn find_program(
    view: &FsView,
    viewer: &Viewer,
    name: &[u8],
    environment: &[Vec<u8>],
) -> Result<(Path, Vec<u8>), InitError> {
    let resolver = Resolver::new(view, viewer);
    let search_path = environment.iter().find_map(|variable| variable.strip_prefix(b"PATH="));
    let candidates: Vec<Vec<u8>> = if name.is_empty() {
        Vec::new()
    } else if name.contains(&b'/') {
        vec![name.to_vec()]
    } else {
        let directories = search_path.unwrap_or(DEFAULT_SEARCH_PATH).split(|byte| *byte == b':');
        directories
            .map(
                |directory| {
                    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
                },
            )
            .collect()
    };
    let mut refused = None;
    for candidate in candidates {
        match resolver.resolve(&view.working_directory, &candidate, true) {
            Ok(file) if file.check_access(fs::Access::EXECUTE, &viewer.credentials).is_ok() => {
                return Ok((file, candidate));
            }
            Ok(_) => refused = refused.or(Some((candidate, Errno::EACCES))),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(error) => refused = refused.or(Some((candidate, error))),
        }
    }
    Err(match refused {
        Some((path, errno)) => InitError::Program { path, reason: errno.into() },
        None => InitError::NotFound { path: name.to_vec() },
    })
}
