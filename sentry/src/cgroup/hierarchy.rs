//! The tree of groups, and who is in which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::bandwidth::{CpuLimit, Ticker};
use super::member::{CpuUsage, Member, MemberKey, Membership, Reservation};
use super::node::{Cgroup, FileOwner};
use super::pids::PidsCharge;
use super::{Controllers, GroupEvents};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::heap;
use crate::memory::FrameAllocator;
use crate::time::TimerQueue;

/// Groups that there may be: each takes memory of the sentry.
pub const MAX_CGROUPS: usize = 4096;
/// How deep groups may lie: every charge goes up all levels.
pub const MAX_DEPTH: usize = 32;

/// Mode of a group's directory before anybody has changed it.
const ROOT_OWNER: FileOwner = FileOwner { uid: KernelUid::ROOT, gid: KernelGid::ROOT, permissions: 0o755 };

/// The tree of groups.
pub struct Hierarchy {
    root: Arc<Cgroup>,
    pub(super) frames: Arc<FrameAllocator>,
    /// Groups that have a memory.high.
    pub(super) high_groups: AtomicUsize,
    pub(super) ticker: Arc<Ticker>,
    /// Held while tasks move from group to group.
    pub(super) migration: Mutex<()>,
    pub(super) state: Mutex<State>,
}

/// Where everything is.
pub(super) struct State {
    pub(super) nodes: FxHashMap<u64, Node>,
    pub(super) members: BTreeMap<MemberKey, MemberNode>,
    next_id: u64,
}

/// A group's place.
pub(super) struct Node {
    pub(super) cgroup: Arc<Cgroup>,
    pub(super) children: BTreeMap<Vec<u8>, u64>,
    pub(super) members: BTreeSet<MemberKey>,
    /// Tasks about to be made in it.
    pub(super) reservations: usize,
    /// Controllers that its children have.
    pub(super) subtree_control: Controllers,
    pub(super) is_threaded: bool,
    /// What cgroup.freeze was set to.
    pub(super) freezes: bool,
    /// Tasks in it and below it, and how many of them stand still.
    pub(super) population: usize,
    pub(super) frozen: usize,
    /// What was announced of it last.
    pub(super) announced: GroupEvents,
    /// Groups below it.
    pub(super) descendants: usize,
    /// What tasks used that are here no more.
    pub(super) past_usage: CpuUsage,
}

/// A task's place.
pub(super) struct MemberNode {
    pub(super) cgroup: u64,
    pub(super) member: Arc<dyn Member>,
    pub(super) charge: PidsCharge,
    pub(super) freezer: Arc<AtomicBool>,
    pub(super) is_frozen: bool,
    /// What the task had used when it came.
    pub(super) usage_before: CpuUsage,
}

impl Hierarchy {
    /// A tree with a root, whose tasks' memory comes from `frames`. On `timers` it looks after limits.
    pub fn new(frames: &Arc<FrameAllocator>, timers: &Arc<TimerQueue>) -> Arc<Self> {
        let root = Cgroup::new(1, None, b"", None, frames.new_heap_account(), ROOT_OWNER);
        let nodes = std::iter::once((root.id, Node::new(root.clone()))).collect();
        let state = State { nodes, members: BTreeMap::new(), next_id: 2 };
        Arc::new_cyclic(|own| Self {
            root,
            frames: frames.clone(),
            high_groups: AtomicUsize::new(0),
            ticker: Ticker::new(timers, own),
            migration: Mutex::default(),
            state: Mutex::new(state),
        })
    }

    /// The group that all others are in.
    pub fn root(&self) -> &Arc<Cgroup> {
        &self.root
    }

    /// Makes a group called `name` in `parent`.
    ///
    /// # Errors
    /// EEXIST, ENODEV if `parent` has been removed, EAGAIN if there are too many groups or they are too deep, EINVAL for a name
    /// with a newline, ENOMEM.
    pub fn create(&self, parent: &Arc<Cgroup>, name: &[u8], owner: FileOwner) -> Result<Arc<Cgroup>, Errno> {
        if name.contains(&b'\n') {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        let is_full = state.nodes.len() >= MAX_CGROUPS || parent.depth + 1 >= MAX_DEPTH;
        let node = state.node(parent)?;
        if node.children.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        if is_full {
            return Err(Errno::EAGAIN);
        }
        heap::check_room(super::node::HEAP_BYTES)?;
        for (level, ancestor) in (1..).zip(parent.with_ancestors()) {
            let limits = ancestor.limits();
            let descendants = state.node(ancestor)?.descendants as u64;
            let is_reached = limits.max_depth.is_some_and(|max| max < level)
                || limits.max_descendants.is_some_and(|max| max <= descendants);
            if is_reached {
                return Err(Errno::EAGAIN);
            }
        }
        let id = state.next_id;
        state.next_id += 1;
        let account = self.frames.new_account(parent.memory.clone());
        let heap = self.frames.new_heap_account();
        let cgroup = Cgroup::new(id, Some(parent.clone()), name, Some(account), heap, owner);
        state.nodes.insert(id, Node::new(cgroup.clone()));
        state.node_mut(parent)?.children.insert(name.to_vec(), id);
        for ancestor in parent.with_ancestors() {
            state.node_mut(ancestor)?.descendants += 1;
        }
        Ok(cgroup)
    }

    /// The group called `name` in the root, made if it is not there; and whether it was made.
    ///
    /// # Errors
    /// As [`Hierarchy::create`].
    pub(super) fn find_or_create(&self, name: &[u8], owner: FileOwner) -> Result<(Arc<Cgroup>, bool), Errno> {
        match self.create(&self.root, name, owner) {
            Err(Errno::EEXIST) => Ok((self.child(&self.root, name)?, false)),
            made => made.map(|cgroup| (cgroup, true)),
        }
    }

    /// Removes the group called `name` from `parent`.
    ///
    /// # Errors
    /// ENOENT, EBUSY if a task lives in it or a group is in it.
    pub fn remove(&self, parent: &Arc<Cgroup>, name: &[u8]) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let id = *state.node(parent)?.children.get(name).ok_or(Errno::ENOENT)?;
        let node = state.nodes.get(&id).ok_or(Errno::ENOENT)?;
        if !node.members.is_empty() || !node.children.is_empty() || node.reservations > 0 {
            return Err(Errno::EBUSY);
        }
        let removed = state.nodes.remove(&id);
        let node = state.node_mut(parent)?;
        node.children.remove(name);
        if let Some(removed) = &removed {
            node.past_usage.add(removed.past_usage);
            removed.cgroup.is_removed.store(true, Ordering::Release);
        }
        for ancestor in parent.with_ancestors() {
            state.node_mut(ancestor)?.descendants -= 1;
        }
        drop(state);
        if let Some(removed) = removed {
            self.set_cpu_limit(&removed.cgroup, CpuLimit::default());
            if let Some(account) = &removed.cgroup.memory {
                self.set_memory_high(account, None);
            }
            removed.cgroup.events.announce();
        }
        Ok(())
    }

    /// The group called `name` in `parent`.
    ///
    /// # Errors
    /// ENOENT; ENODEV if `parent` has been removed.
    pub fn child(&self, parent: &Cgroup, name: &[u8]) -> Result<Arc<Cgroup>, Errno> {
        let state = self.state.lock();
        let id = state.node(parent)?.children.get(name).ok_or(Errno::ENOENT)?;
        state.nodes.get(id).map(|node| node.cgroup.clone()).ok_or(Errno::ENOENT)
    }

    /// The groups in `parent`, by ascending id.
    pub fn children(&self, parent: &Cgroup) -> Vec<Arc<Cgroup>> {
        let state = self.state.lock();
        let Ok(node) = state.node(parent) else { return Vec::new() };
        let mut children: Vec<_> = node
            .children
            .values()
            .filter_map(|id| state.nodes.get(id))
            .map(|node| node.cgroup.clone())
            .collect();
        children.sort_unstable_by_key(|child| child.id);
        children
    }

    /// How many groups lie below `cgroup`.
    pub fn descendants(&self, cgroup: &Cgroup) -> usize {
        self.state.lock().node(cgroup).map_or(0, |node| node.descendants)
    }

    /// Whether a task lives in `cgroup` or below it, and whether they all stand still.
    pub fn group_events(&self, cgroup: &Cgroup) -> GroupEvents {
        self.state.lock().group_events(cgroup)
    }

    /// Prepares for a task that `creator` makes (nobody inside if there is none), in `into` or else in the creator's
    /// group.
    ///
    /// # Errors
    /// EAGAIN: a limit on tasks is reached; one that nobody inside has made is counted, but never refused. ENODEV: `into` has been
    /// removed. EBUSY, EOPNOTSUPP: `into` takes no processes.
    pub fn reserve(
        self: &Arc<Self>,
        creator: Option<MemberKey>,
        into: Option<&Arc<Cgroup>>,
    ) -> Result<Reservation, Errno> {
        let mut state = self.state.lock();
        let cgroup = match into {
            Some(into) => {
                state.check_takes_processes(into)?;
                into.clone()
            }
            None => state.cgroup_of(creator).unwrap_or_else(|| self.root.clone()),
        };
        let charge = match creator {
            Some(_) => PidsCharge::new(&cgroup)?,
            None => PidsCharge::forced(&cgroup),
        };
        state.node_mut(&cgroup)?.reservations += 1;
        let kills = cgroup.kills.load(Ordering::Acquire);
        drop(state);
        let creator = creator.filter(|_| into.is_none());
        Ok(Reservation { hierarchy: self.clone(), cgroup, charge: Some(charge), creator, kills })
    }

    /// Makes `key` a member of the reserved group, or of the one that its creator has been moved to meanwhile. Cannot
    /// fail. Returns whether that group was killed since the reservation: the new task must not live then.
    pub fn enter(
        self: &Arc<Self>,
        mut reservation: Reservation,
        key: MemberKey,
        member: Arc<dyn Member>,
    ) -> (Membership, bool) {
        let freezer = Arc::<AtomicBool>::default();
        let mut state = self.state.lock();
        let target = state.cgroup_of(reservation.creator).unwrap_or_else(|| reservation.cgroup.clone());
        let charge = reservation.end(&mut state).filter(|charge| Arc::ptr_eq(charge.cgroup(), &target));
        let charge = charge.unwrap_or_else(|| PidsCharge::forced(&target));
        let was_killed = Arc::ptr_eq(&target, &reservation.cgroup)
            && target.kills.load(Ordering::Acquire) != reservation.kills;
        let usage_before = member.cpu_usage();
        let node = MemberNode {
            cgroup: target.id,
            member,
            charge,
            freezer: freezer.clone(),
            is_frozen: false,
            usage_before,
        };
        state.members.insert(key, node);
        state.put(key, &target);
        drop(state);
        (Membership { hierarchy: self.clone(), key, freezer, is_frozen: false, has_ended: false }, was_killed)
    }

    /// Takes a task out.
    pub(super) fn leave(&self, key: MemberKey) -> Option<PidsCharge> {
        let mut state = self.state.lock();
        state.take_out(key);
        let node = state.members.remove(&key)?;
        drop(state);
        Some(node.charge)
    }

    pub(super) fn cgroup_of(&self, key: MemberKey) -> Arc<Cgroup> {
        self.state.lock().cgroup_of(Some(key)).unwrap_or_else(|| self.root.clone())
    }

    /// The group of a living task.
    pub fn find(&self, key: MemberKey) -> Option<Arc<Cgroup>> {
        self.state.lock().cgroup_of(Some(key))
    }
}

impl State {
    /// The place of `cgroup`.
    ///
    /// # Errors
    /// ENODEV if it has been removed.
    pub(super) fn node(&self, cgroup: &Cgroup) -> Result<&Node, Errno> {
        self.nodes.get(&cgroup.id).ok_or(Errno::ENODEV)
    }

    /// As [`State::node`], to change it.
    pub(super) fn node_mut(&mut self, cgroup: &Cgroup) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&cgroup.id).ok_or(Errno::ENODEV)
    }

    pub(super) fn cgroup_of(&self, key: Option<MemberKey>) -> Option<Arc<Cgroup>> {
        let id = self.members.get(&key?)?.cgroup;
        self.nodes.get(&id).map(|node| node.cgroup.clone())
    }

    /// Puts `key`, which is in no group, into `cgroup`.
    pub(super) fn put(&mut self, key: MemberKey, cgroup: &Arc<Cgroup>) {
        let is_to_freeze = self.is_to_freeze(cgroup);
        let Some(member) = self.members.get_mut(&key) else { return };
        member.cgroup = cgroup.id;
        member.freezer.store(is_to_freeze, Ordering::Release);
        let frozen = usize::from(member.is_frozen);
        for (level, ancestor) in cgroup.with_ancestors().enumerate() {
            let Some(node) = self.nodes.get_mut(&ancestor.id) else { continue };
            if level == 0 {
                node.members.insert(key);
            }
            node.population += 1;
            node.frozen += frozen;
        }
        self.announce(cgroup);
    }

    /// Takes `key` out of its group, which keeps what it used there.
    pub(super) fn take_out(&mut self, key: MemberKey) {
        let Some(cgroup) = self.cgroup_of(Some(key)) else { return };
        let Some(member) = self.members.get_mut(&key) else { return };
        let usage_now = member.member.cpu_usage();
        let used = usage_now.since(std::mem::replace(&mut member.usage_before, usage_now));
        let frozen = usize::from(member.is_frozen);
        for (level, ancestor) in cgroup.with_ancestors().enumerate() {
            let Some(node) = self.nodes.get_mut(&ancestor.id) else { continue };
            if level == 0 {
                node.members.remove(&key);
                node.past_usage.add(used);
            }
            node.population -= 1;
            node.frozen -= frozen;
        }
        self.announce(&cgroup);
    }

    /// Every task in `cgroup` and below it.
    pub(super) fn members_below(&self, cgroup: &Cgroup) -> Vec<MemberKey> {
        self.groups_below(cgroup).into_iter().flat_map(|node| node.members.iter().copied()).collect()
    }

    /// `cgroup` and every group below it.
    pub(super) fn groups_below(&self, cgroup: &Cgroup) -> Vec<&Node> {
        let mut groups: Vec<&Node> = self.nodes.get(&cgroup.id).into_iter().collect();
        let mut next = 0;
        while let Some(node) = groups.get(next) {
            let children = node.children.values().filter_map(|id| self.nodes.get(id));
            groups.extend(children.collect::<Vec<_>>());
            next += 1;
        }
        groups
    }
}

impl Node {
    fn new(cgroup: Arc<Cgroup>) -> Self {
        Self {
            cgroup,
            children: BTreeMap::new(),
            members: BTreeSet::new(),
            reservations: 0,
            subtree_control: Controllers::empty(),
            is_threaded: false,
            freezes: false,
            population: 0,
            frozen: 0,
            announced: GroupEvents::default(),
            descendants: 0,
            past_usage: CpuUsage::default(),
        }
    }
}
