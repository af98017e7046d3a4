//! Where profiles of this process's sandbox come from.

use std::fs::File;
use std::sync::Arc;

use sentry::fs::MountNamespace;
use sentry::kernel::Kernel;
use sentry::profile::Options;
use sentry::profile::data::Profile;
use sentry::task::ProfileImages;

use super::ProfileFile;

/// A sandbox that can be profiled.
#[derive(Clone)]
pub(crate) struct ProfileSource {
    kernel: Arc<Kernel>,
    mounts: Arc<MountNamespace>,
    command: Vec<String>,
    own: Arc<OwnProgram>,
}

/// The program that this process runs, for the names of its functions.
#[derive(Debug)]
pub(crate) struct OwnProgram(Option<File>);

impl OwnProgram {
    /// Opens it, and has the process answer the signal that asks for stacks: before there is a jail, and a second thread.
    pub(crate) fn open() -> Arc<Self> {
        if let Err(error) = sentry::profile::install_handler() {
            log::warn!("profiles have no stacks of the sentry: {error}");
        }
        Arc::new(Self(File::open("/proc/self/exe").ok()))
    }
}

impl ProfileSource {
    /// The sandbox of `kernel`, whose files are in `mounts` and whose program is `command`.
    pub(crate) fn new(
        kernel: &Arc<Kernel>,
        mounts: &Arc<MountNamespace>,
        command: &[String],
        own: &Arc<OwnProgram>,
    ) -> Self {
        Self { kernel: kernel.clone(), mounts: mounts.clone(), command: command.to_vec(), own: own.clone() }
    }

    /// Begins to record.
    ///
    /// # Errors
    /// There is a recording already, or the host has no thread left.
    pub(crate) fn begin(&self, hz: u32) -> anyhow::Result<()> {
        let options = Options { hz, command: self.command.clone() };
        Ok(self.kernel.profiler().begin(&self.kernel, options)?)
    }

    /// Ends the recording, if there is one, and writes the profile to `file`.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn write(&self, file: ProfileFile) -> anyhow::Result<()> {
        self.end().map_or(Ok(()), |profile| file.write(&profile))
    }

    /// Ends the recording; `None` if there is none.
    pub(crate) fn end(&self) -> Option<Profile> {
        let own = self.own.0.as_ref().and_then(|file| file.try_clone().ok());
        let images = ProfileImages::new(&self.mounts, self.kernel.viewer(), own);
        self.kernel.profiler().end(&self.kernel, &images)
    }
}
