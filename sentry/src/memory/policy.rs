//! Memory policies (`man 2 set_mempolicy`, `man 2 mbind`): kept, checked and told as on a machine with one node, where
//! no choice is left to them.

use std::fmt;
use std::ops::Range;

use super::manager::MemoryManager;
use super::map::wrapping_pages;
use crate::Errno;
use crate::pace::Pace;
use crate::platform::{PAGE_SHIFT, VirtualAddress};

bitflags::bitflags! {
    /// Nodes, one bit each; the first is the only one that there is (Linux's `nodemask_t`, for CONFIG_NODES_SHIFT of 6).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct NodeMask: u64 {
        /// The node that all memory is on.
        const ONLINE = 1;
        // Nodes that do not exist may be named.
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// `MPOL_MODE_FLAGS` (linux/mempolicy.h), which come with the mode.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct PolicyModeFlags: u32 {
        /// MPOL_F_NUMA_BALANCING: pages may move to who uses them.
        const NUMA_BALANCING = 1 << 13;
        /// MPOL_F_RELATIVE_NODES: nodes are counted among those that are allowed.
        const RELATIVE_NODES = 1 << 14;
        /// MPOL_F_STATIC_NODES: nodes stay the same when others are allowed.
        const STATIC_NODES = 1 << 15;
    }
}

/// `MPOL_*` (linux/mempolicy.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PolicyMode {
    #[default]
    Default,
    Preferred,
    Bind,
    Interleave,
    Local,
    PreferredMany,
    WeightedInterleave,
}

const MODES: [PolicyMode; 7] = [
    PolicyMode::Default,
    PolicyMode::Preferred,
    PolicyMode::Bind,
    PolicyMode::Interleave,
    PolicyMode::Local,
    PolicyMode::PreferredMany,
    PolicyMode::WeightedInterleave,
];

/// Where memory is to come from: of a task, or of a mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryPolicy {
    mode: PolicyMode,
    flags: PolicyModeFlags,
    nodes: NodeMask,
}

/// A mode with its flags, as set_mempolicy(2) and mbind(2) are given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedMode {
    mode: PolicyMode,
    flags: PolicyModeFlags,
}

impl RequestedMode {
    /// Takes a raw mode apart.
    ///
    /// # Errors
    /// EINVAL: an unknown mode, or flags that contradict each other or the mode.
    pub fn new(raw: u32) -> Result<Self, Errno> {
        let flags = PolicyModeFlags::from_bits_truncate(raw);
        let index = usize::try_from(raw & !PolicyModeFlags::all().bits()).map_err(|_| Errno::EINVAL)?;
        let mode = MODES.get(index).copied().ok_or(Errno::EINVAL)?;
        let balances = flags.contains(PolicyModeFlags::NUMA_BALANCING);
        if flags.contains(USER_NODES)
            || balances && !matches!(mode, PolicyMode::Bind | PolicyMode::PreferredMany)
        {
            return Err(Errno::EINVAL);
        }
        Ok(Self { mode, flags })
    }

    /// Whether it asks for no policy (MPOL_DEFAULT).
    pub fn is_default(self) -> bool {
        self.mode == PolicyMode::Default
    }
}

/// With either of them the nodes are kept as the caller has named them.
const USER_NODES: PolicyModeFlags = PolicyModeFlags::STATIC_NODES.union(PolicyModeFlags::RELATIVE_NODES);

impl MemoryPolicy {
    /// The policy of `requested` for `nodes`.
    ///
    /// # Errors
    /// EINVAL: nodes where the mode takes none, none where it needs some, or none that is there.
    pub fn new(requested: RequestedMode, nodes: NodeMask) -> Result<Self, Errno> {
        let RequestedMode { mut mode, flags } = requested;
        let keeps_nodes = flags.intersects(USER_NODES);
        match mode {
            PolicyMode::Default if nodes.is_empty() => return Ok(Self::default()),
            PolicyMode::Default => return Err(Errno::EINVAL),
            PolicyMode::Preferred if nodes.is_empty() && !keeps_nodes => mode = PolicyMode::Local,
            PolicyMode::Local if !nodes.is_empty() || keeps_nodes => return Err(Errno::EINVAL),
            PolicyMode::Local => {}
            _ if nodes.is_empty() => return Err(Errno::EINVAL),
            _ => {}
        }
        // What is counted among the allowed nodes is folded onto the one that there is.
        let is_there = nodes.contains(NodeMask::ONLINE) || flags.contains(PolicyModeFlags::RELATIVE_NODES);
        if mode != PolicyMode::Local && !is_there {
            return Err(Errno::EINVAL);
        }
        let nodes = match mode {
            PolicyMode::Local => NodeMask::empty(),
            _ if keeps_nodes => nodes,
            _ => NodeMask::ONLINE,
        };
        Ok(Self { mode, flags, nodes })
    }

    /// Mode and flags, as get_mempolicy(2) tells them.
    pub fn raw_mode(self) -> u32 {
        self.mode as u32 | self.flags.bits()
    }

    /// The nodes, as get_mempolicy(2) tells them.
    pub fn nodes(self) -> NodeMask {
        self.nodes
    }

    /// Whether pages come from the nodes in turn, so that there is a next one.
    pub fn interleaves(self) -> bool {
        matches!(self.mode, PolicyMode::Interleave | PolicyMode::WeightedInterleave)
    }

    /// Whether it may have a home node (`man 2 set_mempolicy_home_node`).
    fn has_home(self) -> bool {
        matches!(self.mode, PolicyMode::Bind | PolicyMode::PreferredMany)
    }
}

/// As `/proc/PID/numa_maps` shows it (Linux's `mpol_to_str`).
impl fmt::Display for MemoryPolicy {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str(match self.mode {
            PolicyMode::Default => "default",
            PolicyMode::Preferred => "prefer",
            PolicyMode::Bind => "bind",
            PolicyMode::Interleave => "interleave",
            PolicyMode::Local => "local",
            PolicyMode::PreferredMany => "prefer (many)",
            PolicyMode::WeightedInterleave => "weighted interleave",
        })?;
        if self.flags.contains(PolicyModeFlags::STATIC_NODES) {
            text.write_str("=static")?;
        } else if self.flags.contains(PolicyModeFlags::RELATIVE_NODES) {
            text.write_str("=relative")?;
        }
        if self.nodes.is_empty() { Ok(()) } else { text.write_str(":0") }
    }
}

impl MemoryManager {
    /// The policy of the mapping at an address.
    ///
    /// # Errors
    /// EFAULT: nothing is mapped there.
    pub fn policy_at(&self, address: VirtualAddress) -> Result<MemoryPolicy, Errno> {
        let state = self.state().read();
        state.mappings.find(address.0 >> PAGE_SHIFT).map(|mapping| mapping.policy).ok_or(Errno::EFAULT)
    }

    /// Gives a range a policy, which is asked for once the range is known to be one. `len_bytes` is rounded up to pages.
    ///
    /// # Errors
    /// Those of `policy`; EINVAL: not at a page, or past the end; EFAULT: a part is not mapped; ENOMEM: too many mappings;
    /// EINTR from `pace`.
    pub fn set_policy(
        &self,
        address: VirtualAddress,
        len_bytes: u64,
        policy: impl FnOnce() -> Result<MemoryPolicy, Errno>,
        pace: &dyn Pace,
    ) -> Result<(), Errno> {
        let pages = policy_range(address, len_bytes)?;
        if pages.is_empty() {
            return Ok(());
        }
        let policy = policy()?;
        {
            let edit = self.edit();
            if !edit.state.mappings.covers(pages.clone()) {
                return Err(Errno::EFAULT);
            }
            edit.check_divisible(&pages)?;
            if !edit.state.mappings.has_room(pages.clone(), 0) {
                return Err(Errno::ENOMEM);
            }
        }
        self.update_in_steps(pages, pace, |mapping| mapping.policy = policy)
    }

    /// Gives the mappings of a range, whose policies must allow it, the one node as their home. `len_bytes` is rounded up to
    /// pages.
    ///
    /// # Errors
    /// EINVAL; EOPNOTSUPP: a policy that has no home; ENOENT: none has a policy.
    pub fn set_home_node(&self, address: VirtualAddress, len_bytes: u64) -> Result<(), Errno> {
        let pages = policy_range(address, len_bytes)?;
        if pages.is_empty() {
            return Ok(());
        }
        let state = self.state().read();
        let mut policies = state.mappings.overlapping(pages).map(|mapping| mapping.policy);
        let mut outcome = Err(Errno::ENOENT);
        policies.try_for_each(|policy| {
            if policy.mode == PolicyMode::Default {
                return Ok(());
            }
            outcome = Ok(());
            if policy.has_home() { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
        })?;
        outcome
    }

    /// What move_pages(2) says of the page at an address: the node that it is on.
    ///
    /// # Errors
    /// EFAULT: nothing is mapped there; ENOENT: it is not in memory.
    pub fn node_of_page(&self, address: VirtualAddress) -> Result<u32, Errno> {
        let state = self.state().read();
        let page = address.0 >> PAGE_SHIFT;
        let mapping = state.mappings.find(page).ok_or(Errno::EFAULT)?;
        let is_cached = || mapping.cached(page).is_some_and(|(cache, index)| cache.is_resident(index));
        if state.pages.get(page).is_some() || is_cached() { Ok(0) } else { Err(Errno::ENOENT) }
    }
}

/// The checks of a range that mbind(2) and set_mempolicy_home_node(2) share.
fn policy_range(address: VirtualAddress, len_bytes: u64) -> Result<Range<u64>, Errno> {
    if !address.is_page_aligned() {
        return Err(Errno::EINVAL);
    }
    wrapping_pages(address, len_bytes).ok_or(Errno::EINVAL)
}
