//! Links, what `man 7 netdevice` calls devices, and the addresses on them.
//!
//! This is data. What a change of it brings about elsewhere (routes that come and go with addresses) is in
//! [`configuration`](super::configuration).

mod address;
mod link;
mod name;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use address::InterfaceAddress;
pub use link::{Link, LinkKind};
pub use name::LinkName;
pub use statistics::{LinkStatistics, Traffic};

use crate::Errno;

/// The index of the loopback of every namespace.
pub const LOOPBACK_INDEX: u32 = 1;
/// The index of the link to the outside, in the namespace that has one.
pub const OUTSIDE_INDEX: u32 = 2;

/// The links of a namespace, by index.
#[derive(Debug)]
pub(super) struct Devices {
    links: BTreeMap<u32, Link>,
}

impl Default for Devices {
    /// The loopback alone, down.
    fn default() -> Self {
        Self { links: BTreeMap::from([(LOOPBACK_INDEX, Link::loopback())]) }
    }
}

impl Devices {
    /// All links, by ascending index.
    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Adds the link to the outside.
    pub(super) fn add_outside(&mut self) {
        self.links.insert(OUTSIDE_INDEX, Link::outside());
    }

    /// The link with this index.
    ///
    /// # Errors
    /// ENODEV.
    pub(super) fn get(&self, index: u32) -> Result<&Link, Errno> {
        self.links.get(&index).ok_or(Errno::ENODEV)
    }

    /// The link with this index, to be changed.
    ///
    /// # Errors
    /// ENODEV.
    pub(super) fn get_mut(&mut self, index: u32) -> Result<&mut Link, Errno> {
        self.links.get_mut(&index).ok_or(Errno::ENODEV)
    }

    /// The link with this name.
    ///
    /// # Errors
    /// ENODEV.
    pub(super) fn find(&self, name: &[u8]) -> Result<&Link, Errno> {
        self.links().find(|link| link.name.as_bytes() == name).ok_or(Errno::ENODEV)
    }
}
