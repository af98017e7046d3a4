//! What the file systems may ask of the running task.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use super::{CurrentTask, ProcessFile, SignalSource, Task, Tid};
use crate::Errno;
use crate::cred::{Credentials, Namespace, NamespaceKind};
use crate::fs::nsfs::NamespaceFile;
use crate::fs::signalfd::PendingSignals;
use crate::fs::sleeper::Sleeper;
use crate::fs::terminal::SessionMember;
use crate::fs::{Caller, Fd, FileDescription, OpenFlags, Path, Resolver, TaskFs, Viewer};
use crate::memory::MemoryManager;
use crate::net::{NetworkNamespace, SocketCaller};
use crate::process_identity::ProcessIdentity;
use crate::signal::Signal;
use crate::wait::Waiter;

impl CurrentTask {
    /// Who this task is to the file systems.
    pub fn viewer(&self) -> Viewer {
        Sleeper::viewer(&**self.task())
    }

    /// The numbers, in the root PID namespace, of the task's process group and session.
    fn root_process_group_and_session(&self) -> (Tid, Tid) {
        self.task().root_process_group_and_session()
    }
}

impl Task {
    fn root_process_id(&self) -> i32 {
        let root = self.kernel().tasks().root();
        self.kernel().tasks().group_number(self.thread_group(), root).0
    }

    /// Its process, as terminals know it.
    pub(crate) fn session_member(&self) -> SessionMember {
        SessionMember {
            process_id: self.root_process_id(),
            session_id: self.root_process_group_and_session().1.0,
            association: self.thread_group().terminal_association(),
        }
    }

    fn root_process_group_and_session(&self) -> (Tid, Tid) {
        let tasks = self.kernel().tasks();
        tasks.process_group_and_session(self.thread_group(), tasks.root())
    }
}

impl Sleeper for Task {
    fn viewer(&self) -> Viewer {
        Viewer {
            credentials: self.credentials(),
            process_id: self.root_process_id(),
            thread_id: self.root_tid(),
            session_id: self.root_process_group_and_session().1.0,
            association: self.thread_group().terminal_association(),
        }
    }

    fn find(&self, path: &[u8]) -> Result<Path, Errno> {
        let (view, viewer) = (self.task_fs().view(), Sleeper::viewer(self));
        Resolver::new(&view, &viewer).resolve(&view.working_directory, path, true)
    }

    fn waiter(&self) -> &Arc<Waiter> {
        Task::waiter(self)
    }

    fn rest(&self, deadline: Option<Instant>) {
        self.sleep_once(deadline);
    }

    fn stand_still(&self) {
        Self::stand_still(self);
    }

    fn is_killed(&self) -> bool {
        self.pending_exit().is_some()
    }

    fn is_interrupted(&self) -> bool {
        Task::is_interrupted(self)
    }
}

impl SocketCaller for CurrentTask {
    fn task_fs(&self) -> Arc<TaskFs> {
        CurrentTask::task_fs(self)
    }

    fn viewer(&self) -> Viewer {
        CurrentTask::viewer(self)
    }

    fn network_of_process(&self, number: i32) -> Result<Arc<NetworkNamespace>, Errno> {
        let namespace = self.thread_group().pid_namespace();
        let task = self.kernel().tasks().task(namespace, Tid(number)).ok_or(Errno::ESRCH)?;
        Ok(task.network_namespace())
    }

    fn network_of_descriptor(&self, descriptor: i32) -> Result<Arc<NetworkNamespace>, Errno> {
        let file = self.file(Fd(descriptor))?;
        let file = file.downcast::<NamespaceFile>().ok_or(Errno::EINVAL)?;
        let namespace: Arc<dyn Any + Send + Sync> = file.namespace().clone();
        namespace.downcast().map_err(|_| Errno::EINVAL)
    }
}

impl Caller for CurrentTask {
    fn memory(&self) -> &Arc<MemoryManager> {
        CurrentTask::memory(self)
    }

    fn credentials(&self) -> Arc<Credentials> {
        CurrentTask::credentials(self)
    }

    fn is_interrupted(&self) -> bool {
        self.task().is_interrupted()
    }

    fn process_identity(&self) -> ProcessIdentity {
        self.thread_group().identity()
    }

    fn process_id(&self) -> i32 {
        self.task().root_process_id()
    }

    fn thread_id(&self) -> i32 {
        self.task().root_tid()
    }

    fn pending_signals(&self) -> Option<Arc<dyn PendingSignals>> {
        Some(SignalSource::new(self.task()))
    }

    fn network_namespace(&self) -> Option<Arc<dyn Namespace>> {
        Some(self.task().network_namespace())
    }

    fn may_see_namespace(&self, namespace: &dyn Namespace) -> bool {
        let (user, pid) = (self.credentials().user_namespace.clone(), self.thread_group().pid_namespace());
        let own = match namespace.identity().kind() {
            NamespaceKind::User => user.identity().ino(),
            NamespaceKind::Pid => pid.identity().ino(),
            _ => return true,
        };
        let mut parent = namespace.parent();
        let mut number = namespace.identity().ino();
        while number != own {
            let Some(namespace) = parent else { return false };
            (number, parent) = (namespace.identity().ino(), namespace.parent());
        }
        true
    }

    fn process_group_id(&self) -> i32 {
        self.root_process_group_and_session().0.0
    }

    fn session_id(&self) -> i32 {
        self.root_process_group_and_session().1.0
    }

    fn session_member(&self) -> SessionMember {
        self.task().session_member()
    }

    fn forget_terminal(&self) {
        self.thread_group().set_terminal_association(0);
    }

    fn signal_process_group(&self, process_group_id: i32, signal: i32) {
        let tasks = self.kernel().tasks();
        let Ok(signal) = Signal::new(signal) else { return };
        tasks.signal_process_group(Tid(process_group_id), signal);
    }

    fn is_signal_ignored_or_blocked(&self, signal: i32) -> bool {
        let Ok(signal) = Signal::new(signal) else { return false };
        self.task().signals.lock().mask.contains(signal)
            || self.thread_group().signal_actions().lock().get(signal).ignores(signal)
    }

    fn is_process_group_orphaned(&self) -> bool {
        self.kernel().tasks().is_orphaned(self.thread_group())
    }

    fn install_descriptor(&self, file: Arc<FileDescription>, is_close_on_exec: bool) -> Result<Fd, Errno> {
        let bounds = self.descriptor_bounds();
        self.descriptors().install(file, 0, is_close_on_exec, bounds)
    }

    fn shown_process(&self, process_id: i32) -> i32 {
        let (tasks, namespace) = (self.kernel().tasks(), self.thread_group().pid_namespace());
        if Arc::ptr_eq(tasks.root(), namespace) {
            return process_id;
        }
        let group = tasks.thread_group(tasks.root(), Tid(process_id));
        group.map_or(0, |group| tasks.group_number(&group, namespace).0)
    }

    fn shown_thread(&self, thread_id: i32) -> i32 {
        let (tasks, namespace) = (self.kernel().tasks(), self.thread_group().pid_namespace());
        if Arc::ptr_eq(tasks.root(), namespace) {
            return thread_id;
        }
        let task = tasks.task(tasks.root(), Tid(thread_id));
        task.map_or(0, |task| tasks.number_of(&task, namespace).0)
    }

    fn open_process(&self, process_id: i32) -> Result<Fd, Errno> {
        let (tasks, namespace) = (self.kernel().tasks(), self.thread_group().pid_namespace());
        let group = tasks.thread_group(tasks.root(), Tid(process_id)).ok_or(Errno::ESRCH)?;
        if tasks.group_number(&group, namespace).0 == 0 {
            return Err(Errno::ESRCH);
        }
        let leader = tasks.leader(&group).ok_or(Errno::ESRCH)?;
        let file = FileDescription::new(ProcessFile::of_process(&leader), None, OpenFlags::RDWR);
        Caller::install_descriptor(self, file, true)
    }

    fn file(&self, fd: Fd) -> Result<Arc<FileDescription>, Errno> {
        self.usable_file(fd)
    }
}
