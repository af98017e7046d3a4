//! What changed, for those who listen.

use super::super::device::{InterfaceAddress, Link};
use super::super::route::{Neighbour, Route, Rule};

/// Something that came, changed or went.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it is, as it is now, or was last.
    pub thing: Thing,
    /// Whether it is gone.
    pub is_gone: bool,
}

/// What a configuration has.
#[derive(Clone, Debug)]
pub enum Thing {
    /// Told of by RTM_NEWLINK and RTM_DELLINK.
    Link(Link),
    /// An address of the link with this index.
    Address(u32, InterfaceAddress),
    /// Told of by RTM_NEWROUTE and RTM_DELROUTE.
    Route(Route),
    /// Told of by RTM_NEWRULE and RTM_DELRULE.
    Rule(Rule),
    /// Told of by RTM_NEWNEIGH and RTM_DELNEIGH.
    Neighbour(Neighbour),
}

/// Who hears of changes.
pub trait ChangeListener: Send + Sync {
    /// Called for one change after the other, with the configuration's lock held: must not look at it.
    fn changed(&self, change: &Change);
}
