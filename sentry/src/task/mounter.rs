//! What a running task sees of the kernel when it mounts a file system.

use std::sync::Arc;

use super::{CurrentTask, TaskSource};
use crate::Errno;
use crate::cred::{Namespace, NamespaceKind};
use crate::fs::file_systems::FileSystems;
use crate::fs::proc::ProcessSource;
use crate::fs::{Fd, FileDescription, Mounter, Network, Path, Resolver, Viewer};
use crate::ipc::IpcNamespace;

impl Mounter for CurrentTask {
    fn viewer(&self) -> Viewer {
        CurrentTask::viewer(self)
    }

    fn file_systems(&self) -> &FileSystems {
        self.kernel().file_systems()
    }

    fn namespace(&self, kind: NamespaceKind) -> Option<Arc<dyn Namespace>> {
        self.task().namespace(kind)
    }

    fn ipc_namespace(&self) -> Arc<IpcNamespace> {
        self.task().ipc_namespace()
    }

    fn network(&self) -> Arc<dyn Network> {
        self.task().network_namespace()
    }

    fn processes(&self) -> Arc<dyn ProcessSource> {
        TaskSource::new(self.kernel(), self.thread_group().pid_namespace().clone())
    }

    fn descriptor(&self, fd: Fd) -> Result<Arc<FileDescription>, Errno> {
        self.usable_file(fd)
    }

    fn find(&self, path: &[u8]) -> Result<Path, Errno> {
        let (view, viewer) = (self.task_fs().view(), CurrentTask::viewer(self));
        Resolver::new(&view, &viewer).resolve(&view.working_directory, path, true)
    }
}
