//! Process descriptors (`man 2 pidfd_open`).

use std::any::Any;
use std::sync::Arc;

use super::{Task, ThreadGroup};
use crate::Errno;
use crate::fs::anonymous::{AnonymousInode, NamelessFileSystem};
use crate::fs::{File, LongText, Metadata, Splicing};
use crate::wait::{Events, WaitQueue};

/// A descriptor that stands for a process, or one thread of it, whatever becomes of its number.
pub(crate) struct ProcessFile {
    group: Arc<ThreadGroup>,
    task: Arc<Task>,
    is_of_thread: bool,
    inode: AnonymousInode,
}

impl ProcessFile {
    /// A file that stands for the process led by `leader`.
    pub(crate) fn of_process(leader: &Arc<Task>) -> Arc<Self> {
        Self::new(leader, false)
    }

    /// A file that stands for this one thread (PIDFD_THREAD).
    pub(crate) fn of_thread(task: &Arc<Task>) -> Arc<Self> {
        Self::new(task, true)
    }

    fn new(task: &Arc<Task>, is_of_thread: bool) -> Arc<Self> {
        // The first thread has the process's number.
        let is_first = !is_of_thread || task.tid() == task.group.tgid();
        let inode = AnonymousInode::of_process(match is_first {
            true => 2 * task.group.id().0 + 1,
            false => 2 * task.id.0 + 2,
        });
        let (group, task) = (task.group.clone(), task.clone());
        Arc::new(Self { group, task, is_of_thread, inode })
    }

    /// Whether it stands for one thread.
    pub(crate) fn is_of_thread(&self) -> bool {
        self.is_of_thread
    }

    fn has_ended(&self) -> bool {
        if self.is_of_thread { self.task.memory().is_none() } else { self.group.ended.lock().is_some() }
    }

    /// Whether it has ended, and whoever had to hear of it has: it stands for nothing any more.
    pub(crate) fn is_reaped(&self) -> bool {
        match self.is_of_thread {
            true => self.task.is_reaped(),
            // Another thread may have taken the leader's place in execve.
            false => self.has_ended() && self.group.is_reaped(),
        }
    }

    /// The process.
    pub(crate) fn thread_group(&self) -> &Arc<ThreadGroup> {
        &self.group
    }

    /// The process's leader now, which execve may have made another one; `None` for a thread's descriptor, and once it is
    /// reaped.
    pub(crate) fn leader(&self) -> Option<Arc<Task>> {
        if self.is_of_thread { None } else { self.task.kernel.tasks().leader(&self.group) }
    }

    /// The thread, or the process's leader as it was when the descriptor was made.
    pub(crate) fn task(&self) -> &Arc<Task> {
        &self.task
    }
}

impl File for ProcessFile {
    fn readiness(&self) -> Events {
        match (self.has_ended(), self.is_reaped()) {
            (_, true) => Events::IN | Events::RDNORM | Events::HUP,
            (true, false) => Events::IN | Events::RDNORM,
            (false, false) => Events::empty(),
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.group.changes)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn nameless_file_system(&self) -> Option<NamelessFileSystem> {
        Some(NamelessFileSystem::OF_PROCESSES)
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[pidfd]".into()
    }

    fn descriptor_info(&self, text: &mut LongText) -> Result<(), Errno> {
        let number = match self.is_reaped() {
            true => -1,
            false if self.is_of_thread => self.task.tid(),
            false => self.group.tgid(),
        };
        text.push(format!("Pid:\t{number}\nNSpid:\t{number}\n"))
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
