//! What a group knows of a task, and what a task holds of its group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::hierarchy::{Hierarchy, State};
use super::node::{Cgroup, FileOwner};
use super::pids::PidsCharge;
use crate::Errno;

/// A task: its process first, so that the tasks of a process are neighbours. Neither number is ever used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey {
    /// The thread group's id, which no later one has.
    pub process: u64,
    /// The task's id, which no later one has.
    pub task: u64,
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuUsage {
    /// In user code.
    pub user: Duration,
    /// In system calls.
    pub system: Duration,
}

/// A task, as its group deals with it. Only [`Member::cpu_usage`] is called with a lock of the hierarchy's state held.
pub trait Member: Send + Sync {
    /// Kills the process.
    fn kill(&self);
    /// Whether the process is ending.
    fn is_dying(&self) -> bool;
    /// Has the task look whether it is to be frozen.
    fn interrupt(&self);
    /// Has the task leave user code, if it is there, and enter it again.
    fn kick(&self);
    /// Has `cgroup` pay for the memory that the process brings in from now on.
    fn set_payer(&self, cgroup: &Cgroup);
    /// How much would be gained by the end of the process, in pages, if `total_pages` are all that there are; `None` if it
    /// must not be killed.
    fn badness(&self, total_pages: u64) -> Option<i64>;
    /// Processor time used until now. Locks nothing.
    fn cpu_usage(&self) -> CpuUsage;
}

/// A group in which a task is about to be made: charged for it, and not to be removed.
#[must_use = "dropping a reservation takes the charge back"]
pub struct Reservation {
    pub(super) hierarchy: Arc<Hierarchy>,
    pub(super) cgroup: Arc<Cgroup>,
    /// `None` once the reservation has ended.
    pub(super) charge: Option<PidsCharge>,
    /// The task that makes the new one: where it is, the new one will be, unless a group was asked for.
    pub(super) creator: Option<MemberKey>,
    /// How often the creator's group had been killed.
    pub(super) kills: u64,
}

impl Reservation {
    /// The group that is charged.
    pub fn cgroup(&self) -> &Arc<Cgroup> {
        &self.cgroup
    }

    /// Lets the group be removed again, and hands the charge out; `None` if that has been done.
    pub(super) fn end(&mut self, state: &mut State) -> Option<PidsCharge> {
        let charge = self.charge.take()?;
        if let Ok(node) = state.node_mut(&self.cgroup) {
            node.reservations -= 1;
        }
        Some(charge)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.charge.is_some() {
            let hierarchy = self.hierarchy.clone();
            let charge = self.end(&mut hierarchy.state.lock());
            drop(charge);
        }
    }
}

/// The group of a container whose first task is about to be made; dropping it removes the group again, if it was made for
/// that.
#[must_use = "dropping a new group removes it"]
pub struct NewCgroup {
    hierarchy: Arc<Hierarchy>,
    cgroup: Arc<Cgroup>,
    is_to_go: bool,
}

impl NewCgroup {
    /// Makes the group called `name` in the root, unless it is there.
    ///
    /// # Errors
    /// As [`Hierarchy::create`].
    pub fn make(hierarchy: &Arc<Hierarchy>, name: &[u8], owner: FileOwner) -> Result<Self, Errno> {
        let (cgroup, is_to_go) = hierarchy.find_or_create(name, owner)?;
        Ok(Self { hierarchy: hierarchy.clone(), cgroup, is_to_go })
    }

    /// The group.
    pub fn cgroup(&self) -> &Arc<Cgroup> {
        &self.cgroup
    }

    /// Leaves the group there.
    pub fn keep(mut self) {
        self.is_to_go = false;
    }
}

impl Drop for NewCgroup {
    fn drop(&mut self) {
        if self.is_to_go
            && let Err(error) = self.hierarchy.remove(self.hierarchy.root(), self.cgroup.name())
        {
            log::debug!("the group of a container that did not begin stays: {error:?}");
        }
    }
}

/// A living task's place in a group; dropping it takes the task out.
#[must_use = "dropping a membership takes the task out of its group"]
pub struct Membership {
    pub(super) hierarchy: Arc<Hierarchy>,
    pub(super) key: MemberKey,
    pub(super) freezer: Arc<AtomicBool>,
    /// What the group has been told last.
    pub(super) is_frozen: bool,
    pub(super) has_ended: bool,
}

impl Membership {
    /// Whether the task is to stand still.
    pub fn is_to_freeze(&self) -> bool {
        self.freezer.load(Ordering::Acquire)
    }

    /// Records whether the task stands still.
    pub fn set_frozen(&mut self, is_frozen: bool) {
        if std::mem::replace(&mut self.is_frozen, is_frozen) != is_frozen {
            self.hierarchy.set_frozen(self.key, is_frozen);
        }
    }

    /// The group.
    pub fn cgroup(&self) -> Arc<Cgroup> {
        self.hierarchy.cgroup_of(self.key)
    }

    /// Ends the membership of a task that has exited; the charge stays until it is reaped.
    pub fn leave(mut self) -> Option<PidsCharge> {
        self.end()
    }

    fn end(&mut self) -> Option<PidsCharge> {
        let has_ended = std::mem::replace(&mut self.has_ended, true);
        if has_ended { None } else { self.hierarchy.leave(self.key) }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // The charge, if `leave` has not handed it out, goes with this.
        drop(self.end());
    }
}
