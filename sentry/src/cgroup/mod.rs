//! Control groups, version 2 (`man 7 cgroups`; `Documentation/admin-guide/cgroup-v2.rst`).
//!
//! A [`Hierarchy`] is the one tree of [`Cgroup`]s. A task that lives is in exactly one of them by its [`Membership`],
//! which ends with the task; it is charged to the pids controller by a [`PidsCharge`] until it is reaped. Both are
//! owned values: dropping one takes back what it stands for, so no failure can leak a charge.
//!
//! Making a task goes in two steps. A [`Reservation`] names the group, keeps it from being removed, and holds the
//! charge; [`Hierarchy::enter`] turns it into a membership, which cannot fail. What lies between may: then the
//! reservation is dropped.
//!
//! # Locks
//!
//! The hierarchy has two. `migration` is held while tasks move, and while their address spaces are told who pays
//! for them; what a [`Member`] locks then comes after it. `state` protects the tree and who is where; nothing but
//! wait queues and processor times is locked inside it, so that it can be taken under the task set's locks.

mod bandwidth;
mod control;
mod controllers;
mod events;
mod freeze;
mod hierarchy;
mod member;
mod memory;
mod migrate;
mod namespace;
mod node;
mod pids;
#[cfg(test)]
mod tests;
mod usage;
mod xattrs;

pub use bandwidth::{Bandwidth, BandwidthStatistics, CpuLimit, Throttle};
pub use control::CgroupKind;
pub use controllers::Controllers;
pub use events::GroupEvents;
pub use hierarchy::{Hierarchy, MAX_CGROUPS, MAX_DEPTH};
pub use member::{CpuUsage, Member, MemberKey, Membership, NewCgroup, Reservation};
pub use memory::Relief;
pub use migrate::Moved;
pub use namespace::CgroupNamespace;
pub use node::{Cgroup, FileOwner, Limits};
pub use pids::{PidsCharge, PidsCounter};
