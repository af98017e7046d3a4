//! A program that joins a sandbox that runs: in the namespaces and the control group of the first one, and nobody's child.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::accounts::Accounts;
use super::description::{Text, User};
use super::init::{InitError, InitProgram};
use super::root::Builder;
use crate::fs::pts::HeldTerminal;
use crate::fs::{DescriptorTable, FsView, MountNamespace, TaskFs};
use crate::kernel::Kernel;
use crate::limits::Limits;
use crate::task::{Namespaces, Task};

/// What is to run beside the first program. What is left out is as the first program had it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Joining {
    /// The program and its arguments.
    pub command: Vec<Text>,
    /// `NAME=value` each, in the place of the first program's; a name alone takes the variable away.
    pub environment: Vec<Text>,
    /// Absolute path inside; that of the first process where there is none.
    pub working_directory: Option<Text>,
    /// Who it runs as: `USER[:GROUP]`, each a number or a name in the image's passwd or group.
    pub user: Option<String>,
}

/// What the first program was, as far as later ones are like it.
#[derive(Clone, Debug)]
pub struct LaterPrograms {
    pub(super) environment: Vec<Vec<u8>>,
    pub(super) working_directory: Vec<u8>,
    pub(super) user: User,
    pub(super) capabilities: Option<BTreeSet<u32>>,
    pub(super) limits: Limits,
    pub(super) container_id: Option<Vec<u8>>,
}

impl LaterPrograms {
    /// Finds out what `joining` is to be beside `first`, as the sandbox is now.
    ///
    /// # Errors
    /// There is no such user, or `first` has ended.
    pub fn prepare(&self, joining: Joining, first: &Arc<Task>) -> Result<PreparedProgram, InitError> {
        let kernel = first.kernel().clone();
        let mounts = first.try_task_fs().ok_or(InitError::Ending)?.namespace();
        let namespaces = Namespaces {
            pid_for_children: first.thread_group().pid_namespace().clone(),
            ..first.try_namespaces().ok_or(InitError::Ending)?
        };
        let mut environment = self.environment.clone();
        let mut user = self.user.clone();
        if let Some(text) = &joining.user {
            let accounts = Accounts::read(&Builder::new(mounts.clone(), kernel.viewer()));
            user = accounts.find(text)?;
            set_variable(&mut environment, format!("HOME={}", accounts.home(user.uid)).into_bytes());
        }
        joining.environment.into_iter().for_each(|variable| set_variable(&mut environment, variable.0));
        let arguments: Vec<Vec<u8>> = joining.command.into_iter().map(|word| word.0).collect();
        let program = InitProgram {
            path: arguments.first().cloned().unwrap_or_default(),
            arguments,
            environment,
            reaper: None,
            mounts,
            working_directory: joining
                .working_directory
                .map_or_else(|| self.working_directory.clone(), |text| text.0),
            descriptors: DescriptorTable::new(kernel.open_files()),
            credentials: user.credentials(self.capabilities.as_ref(), kernel.user_namespace()),
            limits: self.limits.clone(),
            container_id: self.container_id.clone(),
        };
        Ok(PreparedProgram { kernel, first: first.clone(), namespaces, program, user })
    }
}

/// A program that joins a sandbox, as soon as it has descriptors.
pub struct PreparedProgram {
    kernel: Arc<Kernel>,
    first: Arc<Task>,
    namespaces: Namespaces,
    program: InitProgram,
    user: User,
}

impl PreparedProgram {
    /// Who it runs as.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The mount namespace that the program joins.
    pub fn mounts(&self) -> &Arc<MountNamespace> {
        &self.program.mounts
    }

    /// Where its paths begin.
    pub fn view(&self) -> FsView {
        TaskFs::new(self.program.mounts.clone()).view()
    }

    /// Starts it, with `descriptors` open, and with `terminal` in control of its session.
    ///
    /// # Errors
    /// The program or its working directory is not there, or cannot be used; the sandbox is ending.
    pub fn start(
        self,
        descriptors: Arc<DescriptorTable>,
        terminal: Option<&HeldTerminal>,
    ) -> Result<Arc<Task>, InitError> {
        let Self { kernel, first, namespaces, program, .. } = self;
        let ended = |error| if first.try_task_fs().is_none() { InitError::Ending } else { error };
        let task = InitProgram { descriptors, ..program }.make(&kernel, namespaces).map_err(ended)?;
        if let Some(terminal) = terminal {
            terminal.control_session(task.task().root_tid()).map_err(InitError::Task)?;
        }
        task.start().map_err(InitError::Task).map_err(ended)
    }
}

/// Puts `NAME=value` into `environment`, or takes `NAME` out.
fn set_variable(environment: &mut Vec<Vec<u8>>, variable: Vec<u8>) {
    let name = variable.split(|byte| *byte == b'=').next().unwrap_or_default();
    let is_it = |other: &Vec<u8>| other.split(|byte| *byte == b'=').next() == Some(name);
    environment.retain(|other| !is_it(other));
    if variable.contains(&b'=') {
        environment.push(variable);
    }
}
