//! Links, what `man 7 netdevice` calls devices, and the addresses on them.
//!
//! This is data. What a change of it brings about elsewhere (routes that come and go with addresses) is in
//! [`configuration`](super::configuration).

mod address;
mod cable;
mod link;
mod name;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use address::{InterfaceAddress, scope_of};
pub use cable::CableEnd;
pub use link::{Link, LinkKind, LinkTuning};
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
    /// The largest index that a link was ever given.
    last_index: u32,
}

impl Default for Devices {
    /// The loopback alone, down.
    fn default() -> Self {
        Self { links: BTreeMap::from([(LOOPBACK_INDEX, Link::loopback())]), last_index: LOOPBACK_INDEX }
    }
}

impl Devices {
    /// All links, by ascending index.
    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Adds the link to the outside.
    pub(super) fn add_outside(&mut self) {
        self.insert(Link::outside());
    }

    /// Puts in a link, whose index and name are free.
    pub(super) fn insert(&mut self, link: Link) {
        self.last_index = self.last_index.max(link.index);
        self.links.insert(link.index, link);
    }

    /// Takes out a link.
    pub(super) fn remove(&mut self, index: u32) -> Option<Link> {
        self.links.remove(&index)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// An index that no link has had.
    ///
    /// # Errors
    /// ENFILE once all have been given.
    pub(super) fn next_index(&self) -> Result<u32, Errno> {
        let next = self.last_index.checked_add(1).filter(|next| i32::try_from(*next).is_ok());
        next.ok_or(Errno::ENFILE)
    }

    /// The name that a pattern with `%d` stands for: with the least number that makes it free.
    ///
    /// # Errors
    /// EINVAL for what can be no name, ENFILE.
    pub(super) fn name_of_pattern(&self, pattern: &str) -> Result<LinkName, Errno> {
        let most = self.links.len();
        let numbered = (0..=most).map(|number| pattern.replacen("%d", &number.to_string(), 1));
        for name in numbered {
            if self.find(name.as_bytes()).is_err() {
                return LinkName::new(name.as_bytes());
            }
        }
        Err(Errno::ENFILE)
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
