//! Which controllers a group has, what kind of group it is, and so what may be in it.
//!
//! A group that has controllers for its children takes no processes itself, unless it is the root or only threads
//! compete in it (`man 7 cgroups`, "Cgroups v2 'no internal processes' rule" and "Thread mode").

use std::fmt;
use std::sync::Arc;

use super::hierarchy::{Hierarchy, State};
use super::node::Cgroup;
use super::{Controllers, CpuLimit};
use crate::Errno;

/// What cgroup.type tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupKind {
    /// Whole processes are in it.
    Domain,
    /// Likewise, and threads of them are in the threaded groups below it.
    ThreadedDomain,
    /// Nothing can be in it: it lies below a threaded group, and is none.
    InvalidDomain,
    /// Single threads are in it.
    Threaded,
}

impl fmt::Display for CgroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Domain => "domain",
            Self::ThreadedDomain => "domain threaded",
            Self::InvalidDomain => "domain invalid",
            Self::Threaded => "threaded",
        })
    }
}

impl Hierarchy {
    /// What kind of group `cgroup` is.
    ///
    /// # Errors
    /// ENODEV if it has been removed.
    pub fn kind(&self, cgroup: &Arc<Cgroup>) -> Result<CgroupKind, Errno> {
        self.state.lock().kind(cgroup)
    }

    /// Makes `cgroup` threaded.
    ///
    /// # Errors
    /// EOPNOTSUPP: there are processes in it, or domain controllers in it or beside it.
    pub fn make_threaded(&self, cgroup: &Arc<Cgroup>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let node = state.node(cgroup)?;
        if node.is_threaded {
            return Ok(());
        }
        let has_domain_controllers = !node.subtree_control.domain().is_empty();
        let parent = cgroup.parent.as_ref().ok_or(Errno::EOPNOTSUPP)?;
        if node.population > 0 || has_domain_controllers {
            return Err(Errno::EOPNOTSUPP);
        }
        // The parent becomes, or is in, a threaded domain: it must be able to.
        let is_in_threads = state.node(parent)?.is_threaded;
        let parent_kind = state.kind(parent)?;
        if !is_in_threads && (parent_kind == CgroupKind::InvalidDomain || !state.can_have_threads(parent)) {
            return Err(Errno::EOPNOTSUPP);
        }
        state.node_mut(cgroup)?.is_threaded = true;
        Ok(())
    }

    /// What cgroup.controllers lists.
    pub fn controllers(&self, cgroup: &Arc<Cgroup>) -> Controllers {
        self.state.lock().controllers(cgroup)
    }

    /// The controllers that its children have.
    pub fn subtree_control(&self, cgroup: &Cgroup) -> Controllers {
        self.state.lock().node(cgroup).map_or(Controllers::empty(), |node| node.subtree_control)
    }

    /// Gives the children of `cgroup` the controllers `enabled`, and takes `disabled` from them.
    ///
    /// # Errors
    /// ENOENT: the group itself does not have one. EBUSY: there are processes in it, or a child passes one on. EOPNOTSUPP: a domain
    /// controller among threads, or the group is invalid.
    pub fn set_subtree_control(
        &self,
        cgroup: &Arc<Cgroup>,
        enabled: Controllers,
        disabled: Controllers,
    ) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let own = state.controllers(cgroup);
        let node = state.node(cgroup)?;
        let (enabled, disabled) = (enabled - node.subtree_control, disabled & node.subtree_control);
        if !own.contains(enabled) {
            return Err(Errno::ENOENT);
        }
        let children: Vec<_> = node.children.values().filter_map(|id| state.nodes.get(id)).collect();
        if children.iter().any(|child| child.subtree_control.intersects(disabled)) {
            return Err(Errno::EBUSY);
        }
        let gone: Vec<_> = children.iter().map(|child| child.cgroup.clone()).collect();
        if !enabled.is_empty() {
            state.check_may_pass_on(cgroup, enabled)?;
        }
        let node = state.node_mut(cgroup)?;
        node.subtree_control = (node.subtree_control | enabled) - disabled;
        // What is not controlled any more has no limit.
        for child in gone {
            if disabled.contains(Controllers::PIDS) {
                child.pids.set_max(None);
            }
            if disabled.contains(Controllers::CPU) {
                self.set_cpu_limit(&child, CpuLimit::default());
            }
            if let (true, Some(account)) = (disabled.contains(Controllers::MEMORY), &child.memory) {
                account.set_max_bytes(None);
                self.set_memory_high(account, None);
            }
        }
        Ok(())
    }
}

impl State {
    pub(super) fn controllers(&self, cgroup: &Arc<Cgroup>) -> Controllers {
        let given = match &cgroup.parent {
            None => return Controllers::all(),
            Some(parent) => self.node(parent).map_or(Controllers::empty(), |node| node.subtree_control),
        };
        match self.node(cgroup) {
            Ok(node) if node.is_threaded => given & Controllers::THREADED,
            Ok(_) => given,
            Err(_) => Controllers::empty(),
        }
    }

    pub(super) fn kind(&self, cgroup: &Arc<Cgroup>) -> Result<CgroupKind, Errno> {
        let node = self.node(cgroup)?;
        if node.is_threaded {
            return Ok(CgroupKind::Threaded);
        }
        let is_threaded = |cgroup: &Arc<Cgroup>| self.node(cgroup).is_ok_and(|node| node.is_threaded);
        let is_below_threads = cgroup.with_ancestors().skip(1).any(|ancestor| {
            is_threaded(ancestor) || !ancestor.is_root() && self.has_threaded_children(ancestor)
        });
        if is_below_threads {
            return Ok(CgroupKind::InvalidDomain);
        }
        let has_threads = !cgroup.is_root()
            && (self.has_threaded_children(cgroup)
                || node.population > 0 && !node.members.is_empty() && !node.subtree_control.is_empty());
        Ok(if has_threads { CgroupKind::ThreadedDomain } else { CgroupKind::Domain })
    }

    fn has_threaded_children(&self, cgroup: &Cgroup) -> bool {
        let Ok(node) = self.node(cgroup) else { return false };
        node.children.values().filter_map(|id| self.nodes.get(id)).any(|child| child.is_threaded)
    }

    /// Whether `cgroup` can be a threaded domain: no domain controllers in it, and no processes in domains below it.
    fn can_have_threads(&self, cgroup: &Cgroup) -> bool {
        let Ok(node) = self.node(cgroup) else { return false };
        if cgroup.is_root() {
            return true;
        }
        let mut children = node.children.values().filter_map(|id| self.nodes.get(id));
        node.subtree_control.domain().is_empty()
            && !children.any(|child| !child.is_threaded && child.population > 0)
    }

    /// Fails unless a whole process may be in `cgroup`.
    pub(super) fn check_takes_processes(&self, cgroup: &Arc<Cgroup>) -> Result<(), Errno> {
        let node = self.node(cgroup)?;
        let kind = self.kind(cgroup)?;
        if kind == CgroupKind::InvalidDomain {
            return Err(Errno::EOPNOTSUPP);
        }
        let is_free = cgroup.is_root() || node.is_threaded || self.can_have_threads(cgroup);
        if is_free || node.subtree_control.is_empty() { Ok(()) } else { Err(Errno::EBUSY) }
    }

    /// Fails unless `cgroup` may give its children `enabled`.
    fn check_may_pass_on(&self, cgroup: &Arc<Cgroup>, enabled: Controllers) -> Result<(), Errno> {
        if cgroup.is_root() {
            return Ok(());
        }
        match self.kind(cgroup)? {
            CgroupKind::InvalidDomain => return Err(Errno::EOPNOTSUPP),
            CgroupKind::Threaded | CgroupKind::ThreadedDomain if !enabled.domain().is_empty() => {
                return Err(Errno::EOPNOTSUPP);
            }
            CgroupKind::Threaded | CgroupKind::ThreadedDomain => return Ok(()),
            CgroupKind::Domain => {}
        }
        if enabled.domain().is_empty() && self.can_have_threads(cgroup) {
            return Ok(());
        }
        if self.node(cgroup)?.members.is_empty() { Ok(()) } else { Err(Errno::EBUSY) }
    }
}
