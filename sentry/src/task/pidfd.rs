//! Process descriptors (`man 2 pidfd_open`).

use std::any::Any;
use std::sync::Arc;

use super::{Task, ThreadGroup};
use crate::Errno;
use crate::fs::anonymous::AnonymousInode;
use crate::fs::{File, Metadata};
use crate::wait::{Events, WaitQueue};

/// A descriptor that stands for a process, whatever becomes of its number.
pub(crate) struct ProcessFile {
    group: Arc<ThreadGroup>,
    leader: Arc<Task>,
    inode: AnonymousInode,
}

impl ProcessFile {
    /// A file that stands for the process led by `leader`.
    pub(crate) fn new(leader: &Arc<Task>) -> Arc<Self> {
        Arc::new(Self { group: leader.group.clone(), leader: leader.clone(), inode: AnonymousInode::new() })
    }

    /// The process.
    pub(crate) fn thread_group(&self) -> &Arc<ThreadGroup> {
        &self.group
    }

    /// Its leader, as it was when the descriptor was made.
    pub(crate) fn leader(&self) -> &Arc<Task> {
        &self.leader
    }
}

impl File for ProcessFile {
    fn readiness(&self) -> Events {
        if self.group.ended.lock().is_some() { Events::IN | Events::RDNORM } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.group.changes)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[pidfd]".into()
    }

    fn descriptor_info(&self) -> String {
        let number = if self.group.ended.lock().is_some() { -1 } else { self.group.number() };
        format!("Pid:\t{number}\nNSpid:\t{number}\n")
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
