//! Freezing and killing whole groups.
//!
//! A group is to freeze if that is written to its cgroup.freeze or to that of a group around it. Its tasks then
//! stand still when they come by, and say so; once all have, the group is frozen.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::hierarchy::{Hierarchy, State};
use super::member::{Member, MemberKey};
use super::node::Cgroup;
use super::{CgroupKind, GroupEvents};
use crate::Errno;

impl Hierarchy {
    /// Whether `cgroup` itself is set to freeze.
    pub fn freezes(&self, cgroup: &Cgroup) -> bool {
        self.state.lock().node(cgroup).is_ok_and(|node| node.freezes)
    }

    /// Has all tasks in `cgroup` and below it stand still, or go on if no group around says otherwise.
    ///
    /// # Errors
    /// ENODEV if it has been removed.
    pub fn set_freezes(&self, cgroup: &Arc<Cgroup>, freezes: bool) -> Result<(), Errno> {
        let mut affected = Vec::new();
        {
            let mut state = self.state.lock();
            state.node_mut(cgroup)?.freezes = freezes;
            let groups: Vec<_> =
                state.groups_below(cgroup).into_iter().map(|node| node.cgroup.clone()).collect();
            // Children first: a group is frozen once those below it are.
            for group in groups.iter().rev() {
                let is_to_freeze = state.is_to_freeze(group);
                let members = state.node(group)?.members.clone();
                for member in members.iter().filter_map(|key| state.members.get(key)) {
                    if member.freezer.swap(is_to_freeze, Ordering::AcqRel) != is_to_freeze {
                        affected.push(member.member.clone());
                    }
                }
                state.announce(group);
            }
        }
        affected.iter().for_each(|member| member.interrupt());
        Ok(())
    }

    /// Records that a task stands still, or goes on.
    pub(super) fn set_frozen(&self, key: MemberKey, is_frozen: bool) {
        let mut state = self.state.lock();
        let Some(member) = state.members.get_mut(&key) else { return };
        if std::mem::replace(&mut member.is_frozen, is_frozen) == is_frozen {
            return;
        }
        let Some(cgroup) = state.cgroup_of(Some(key)) else { return };
        for ancestor in cgroup.with_ancestors() {
            if let Ok(node) = state.node_mut(ancestor) {
                if is_frozen {
                    node.frozen += 1;
                } else {
                    node.frozen -= 1;
                }
            }
        }
        state.announce(&cgroup);
    }

    /// Kills every process in `cgroup` and below it; one that is being made there meanwhile does not live either.
    ///
    /// # Errors
    /// EOPNOTSUPP for a threaded group, ENODEV if it has been removed.
    pub fn kill(&self, cgroup: &Arc<Cgroup>) -> Result<(), Errno> {
        let members: Vec<Arc<dyn Member>> = {
            let state = self.state.lock();
            if state.kind(cgroup)? == CgroupKind::Threaded {
                return Err(Errno::EOPNOTSUPP);
            }
            for node in state.groups_below(cgroup) {
                node.cgroup.kills.fetch_add(1, Ordering::AcqRel);
            }
            let keys = state.members_below(cgroup);
            keys.iter().filter_map(|key| state.members.get(key)).map(|node| node.member.clone()).collect()
        };
        members.iter().for_each(|member| member.kill());
        Ok(())
    }
}

impl State {
    /// Whether tasks of `cgroup` are to stand still.
    pub(super) fn is_to_freeze(&self, cgroup: &Arc<Cgroup>) -> bool {
        cgroup.with_ancestors().any(|level| self.node(level).is_ok_and(|node| node.freezes))
    }

    pub(super) fn group_events(&self, cgroup: &Cgroup) -> GroupEvents {
        let Ok(node) = self.node(cgroup) else { return GroupEvents::default() };
        GroupEvents {
            is_populated: node.population > 0,
            is_frozen: node.frozen == node.population && self.is_to_freeze(&node.cgroup),
        }
    }

    /// Announces what has changed of `cgroup` and those around it.
    pub(super) fn announce(&mut self, cgroup: &Arc<Cgroup>) {
        for level in cgroup.with_ancestors() {
            let events = self.group_events(level);
            if let Ok(node) = self.node_mut(level)
                && std::mem::replace(&mut node.announced, events) != events
            {
                level.events.announce();
            }
        }
    }
}
