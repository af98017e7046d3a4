//! Who uses a file: what a file system learns of tasks, which live above it.

use std::sync::Arc;

use super::signalfd::PendingSignals;
use super::terminal::SessionMember;
use super::{Fd, FileDescription};
use crate::Errno;
use crate::cred::{Credentials, Namespace};
use crate::memory::MemoryManager;
use crate::pace::Pace;
use crate::process_identity::ProcessIdentity;

/// What a file operation may ask of the task that calls it.
pub trait Caller: Pace {
    /// The caller's memory, for operations whose arguments hold pointers (ioctl).
    fn memory(&self) -> &Arc<MemoryManager>;
    /// The caller's credentials.
    fn credentials(&self) -> Arc<Credentials>;
    /// The caller's thread group, as the root PID namespace numbers it.
    fn process_id(&self) -> i32;
    /// The caller's process, for those that remember who it was: nobody unless it is a task.
    fn process_identity(&self) -> ProcessIdentity {
        ProcessIdentity::default()
    }
    /// The calling task, numbered so.
    fn thread_id(&self) -> i32;
    /// The caller's pending signals, for signalfds; `None` for a caller that is no task.
    fn pending_signals(&self) -> Option<Arc<dyn PendingSignals>> {
        None
    }
    /// Whether `namespace` is the caller's own or lies within it: what is outside cannot be reached from inside.
    fn may_see_namespace(&self, _namespace: &dyn Namespace) -> bool {
        false
    }
    /// The caller's network namespace, for devices that make links; `None` for a caller that is no task.
    fn network_namespace(&self) -> Option<Arc<dyn Namespace>> {
        None
    }
    /// The caller's process group, numbered so.
    fn process_group_id(&self) -> i32;
    /// The caller's session, numbered so.
    fn session_id(&self) -> i32;
    /// The caller's process, as terminals know it.
    fn session_member(&self) -> SessionMember;
    /// Has the caller's process, which leads no session, be without a terminal.
    fn forget_terminal(&self);
    /// Sends `signal` to each process of the process group numbered so.
    fn signal_process_group(&self, process_group_id: i32, signal: i32);
    /// Whether something waits for the caller to come out of a long operation.
    fn is_interrupted(&self) -> bool {
        false
    }
    /// Whether the caller ignores or blocks `signal` (terminals ask for SIGTTIN and SIGTTOU).
    fn is_signal_ignored_or_blocked(&self, signal: i32) -> bool;
    /// Whether the caller's process group is orphaned.
    fn is_process_group_orphaned(&self) -> bool;
    /// Installs `file` at the caller's lowest free descriptor (SCM_RIGHTS, TIOCGPTPEER).
    ///
    /// # Errors
    /// EMFILE.
    fn install_descriptor(&self, file: Arc<FileDescription>, is_close_on_exec: bool) -> Result<Fd, Errno>;

    /// What the caller calls a process that the root PID namespace numbers so; 0 if it does not see it.
    fn shown_process(&self, process_id: i32) -> i32 {
        process_id
    }

    /// The same for a thread.
    fn shown_thread(&self, thread_id: i32) -> i32 {
        thread_id
    }

    /// Installs a descriptor of the process that the root PID namespace numbers so (`man 2 pidfd_open`).
    ///
    /// # Errors
    /// ESRCH: it is gone, or the caller does not see it. EMFILE.
    fn open_process(&self, _process_id: i32) -> Result<Fd, Errno> {
        Err(Errno::ESRCH)
    }

    /// The file that the caller's descriptor `fd` refers to, unless that is a mere handle on a path.
    ///
    /// # Errors
    /// EBADF.
    fn file(&self, _fd: Fd) -> Result<Arc<FileDescription>, Errno> {
        Err(Errno::EBADF)
    }
}
