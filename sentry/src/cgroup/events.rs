//! Things that happen to a group and are announced to who polls a file.

/// What cgroup.events tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupEvents {
    /// A task lives in the group or below it.
    pub is_populated: bool,
    /// The group is to be frozen, and every task in it and below is.
    pub is_frozen: bool,
}
