//! Whom the signals of O_ASYNC files go to (`man 2 fcntl`, F_SETOWN).

use std::sync::{Arc, Weak};

use linux_raw_sys::general::{POLL_IN, SI_SIGIO};

use super::{CurrentTask, Task, ThreadGroup, Tid};
use crate::cred::KernelUid;
use crate::fs::async_io::{Readiness, SignalTarget};
use crate::kernel::Kernel;
use crate::landlock::{Domain, Scopes};
use crate::process_identity::ProcessIdentity;
use crate::signal::{Signal, SignalDetail, SignalInfo};

/// Whom an owner names.
enum Whom {
    Thread(Weak<Task>),
    Process(Weak<ThreadGroup>),
    /// The group with this number in the root PID namespace.
    ProcessGroup(Weak<Kernel>, Tid),
}

/// Somebody who hears of readiness, with the identity of who said so: they must be allowed to send that signal.
pub(crate) struct IoSignalTarget {
    whom: Whom,
    real_uid: KernelUid,
    effective_uid: KernelUid,
    landlock: Option<Arc<Domain>>,
    process: ProcessIdentity,
}

impl CurrentTask {
    /// The thread that the caller calls `tid`.
    pub(crate) fn io_signals_to_thread(&self, tid: Tid) -> Option<Arc<dyn SignalTarget>> {
        let namespace = self.thread_group().pid_namespace();
        let task = self.kernel().tasks().task(namespace, tid)?;
        Some(self.io_signals_to(Whom::Thread(Arc::downgrade(&task))))
    }

    /// The process that the caller calls `tid`.
    pub(crate) fn io_signals_to_process(&self, tid: Tid) -> Option<Arc<dyn SignalTarget>> {
        let namespace = self.thread_group().pid_namespace();
        let group = self.kernel().tasks().thread_group(namespace, tid)?;
        Some(self.io_signals_to(Whom::Process(Arc::downgrade(&group))))
    }

    /// The process group that the caller calls `tid`.
    pub(crate) fn io_signals_to_process_group(&self, tid: Tid) -> Option<Arc<dyn SignalTarget>> {
        let tasks = self.kernel().tasks();
        let members = tasks.process_group(self.thread_group().pid_namespace(), tid)?;
        let number = tasks.process_group_and_session(members.first()?, tasks.root()).0;
        Some(self.io_signals_to(Whom::ProcessGroup(Arc::downgrade(self.kernel()), number)))
    }

    fn io_signals_to(&self, whom: Whom) -> Arc<dyn SignalTarget> {
        let credentials = self.credentials();
        let (real_uid, effective_uid) = (credentials.real_uid, credentials.effective_uid);
        let (landlock, process) = (credentials.landlock.clone(), self.thread_group().identity());
        Arc::new(IoSignalTarget { whom, real_uid, effective_uid, landlock, process })
    }
}

impl IoSignalTarget {
    /// Whether who set the owner may signal `receiver` (`sigio_perm` of fs/fcntl.c).
    fn may_signal(&self, receiver: &Task) -> bool {
        let is_own = receiver.thread_group().identity() == self.process;
        let receiver = receiver.credentials();
        let leaves = |domain: &Arc<Domain>| domain.is_scoped_from(receiver.landlock.as_ref(), Scopes::SIGNAL);
        if !is_own && self.landlock.as_ref().is_some_and(leaves) {
            return false;
        }
        let senders = [self.real_uid, self.effective_uid];
        self.effective_uid == KernelUid::ROOT
            || senders.contains(&receiver.real_uid)
            || senders.contains(&receiver.saved_uid)
    }

    fn send_to_process(&self, group: &ThreadGroup, info: SignalInfo) {
        if group.first_task().is_some_and(|task| self.may_signal(&task))
            && group.try_send_signal(info).is_err()
        {
            group.send_signal(SignalInfo::from_kernel(Signal::SIGIO));
        }
    }

    fn send_to_thread(&self, task: &Task, info: SignalInfo) {
        if self.may_signal(task) && task.try_send_signal(info).is_err() {
            task.send_signal(SignalInfo::from_kernel(Signal::SIGIO));
        }
    }
}

impl SignalTarget for IoSignalTarget {
    fn send(&self, signal: i32, readiness: Readiness) {
        self.send_info(signal_info(signal, readiness));
    }

    fn send_urgent(&self) {
        self.send_info(SignalInfo::from_kernel(Signal::SIGURG));
    }
}

impl IoSignalTarget {
    fn send_info(&self, info: SignalInfo) {
        match &self.whom {
            Whom::Thread(task) => {
                if let Some(task) = task.upgrade() {
                    self.send_to_thread(&task, info);
                }
            }
            Whom::Process(group) => {
                if let Some(group) = group.upgrade() {
                    self.send_to_process(&group, info);
                }
            }
            Whom::ProcessGroup(kernel, number) => {
                let Some(kernel) = kernel.upgrade() else { return };
                let tasks = kernel.tasks();
                tasks.broadcast(|| {
                    for group in tasks.process_group(tasks.root(), *number).unwrap_or_default() {
                        self.send_to_process(&group, info);
                    }
                });
            }
        }
    }
}

/// SIGIO says nothing; a signal that F_SETSIG chose says what has happened to which descriptor.
fn signal_info(signal: i32, readiness: Readiness) -> SignalInfo {
    let Ok(signal) = Signal::new(signal) else { return SignalInfo::from_kernel(Signal::SIGIO) };
    let detail = SignalDetail::Poll { band: readiness.band, fd: readiness.fd.0 };
    let mut info = SignalInfo { signal, errno: 0, code: readiness.code, detail };
    // Signals whose codes mean something else say only where they come from.
    if signal != Signal::SIGIO && signal.has_own_codes() {
        info.code = SI_SIGIO;
    }
    debug_assert!(info.code >= POLL_IN as i32 || info.code == SI_SIGIO);
    info
}
