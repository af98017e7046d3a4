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
    /// A link.
    Link(Link),
    /// An address of the link with this index.
    Address(u32, InterfaceAddress),
    /// A route.
    Route(Route),
    /// A rule.
    Rule(Rule),
    /// A neighbour.
    Neighbour(Neighbour),
}

/// Who hears of changes.
pub trait ChangeListener: Send + Sync {
    /// Called for one change after the other, with the configuration's lock held: must not look at it.
    fn changed(&self, change: &Change);
}
