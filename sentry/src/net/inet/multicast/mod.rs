//! Multicast groups that sockets have joined (`man 7 ip`, `man 7 ipv6`; RFC 3678).

mod decode;
mod options;

use std::collections::BTreeMap;
use std::net::IpAddr;

use parking_lot::Mutex;

pub(super) use self::decode::{Interface, request_v4};

use self::decode::Request;

use crate::Errno;
use crate::heap::HeapCharge;

/// How many groups a socket joins at most: of IPv4 the setting's usual value, of IPv6 what Linux has memory for.
const MAX_V4_MEMBERSHIPS: usize = 20;
const MAX_V6_MEMBERSHIPS: usize = 1024;
/// How many sources a filter names at most.
const MAX_V4_SOURCES: usize = 10;
const MAX_V6_SOURCES: usize = 64;

/// What a group that a socket has joined takes beside the sources, with its place among those of the namespace.
const MEMBERSHIP_BYTES: usize = 256;

/// Who is heard (MCAST_INCLUDE, MCAST_EXCLUDE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FilterMode {
    /// Those that are named alone.
    Include,
    /// All but those.
    Exclude,
}

/// A group that a socket has joined on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership {
    group: IpAddr,
    device: u32,
    mode: FilterMode,
    sources: Vec<IpAddr>,
    /// Whether sources were named, be there some left or not: then the mode stays.
    has_named: bool,
}

/// The groups of a socket.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    all: Vec<Membership>,
    heap_charge: HeapCharge,
}

impl Membership {
    fn hears(&self, source: IpAddr) -> bool {
        self.sources.contains(&source) == (self.mode == FilterMode::Include)
    }

    fn max_sources(&self) -> usize {
        if self.group.is_ipv4() { MAX_V4_SOURCES } else { MAX_V6_SOURCES }
    }

    /// Names one more source.
    fn add(&mut self, source: IpAddr) -> Result<(), Errno> {
        if self.sources.len() >= self.max_sources() {
            return Err(Errno::ENOBUFS);
        }
        if self.sources.contains(&source) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        self.sources.push(source);
        self.has_named = true;
        Ok(())
    }
}

impl Memberships {
    /// Charges for what there is, and for so many groups and sources more.
    ///
    /// # Errors
    /// ENOMEM.
    fn charge(&mut self, groups: usize, sources: usize) -> Result<(), Errno> {
        let named: usize = self.all.iter().map(|own| own.sources.capacity()).sum();
        let groups = self.all.len() + groups;
        self.heap_charge.resize(groups * MEMBERSHIP_BYTES + 2 * (named + sources) * size_of::<IpAddr>())
    }

    fn find(&mut self, group: IpAddr, device: u32) -> Option<&mut Membership> {
        self.all.iter_mut().find(|own| own.group == group && own.device == device)
    }

    /// Joins a group on a link.
    ///
    /// # Errors
    /// EADDRINUSE, ENOBUFS, ENOMEM.
    pub(super) fn join(&mut self, group: IpAddr, device: u32, mode: FilterMode) -> Result<(), Errno> {
        if self.find(group, device).is_some() {
            return Err(Errno::EADDRINUSE);
        }
        let count = self.all.iter().filter(|own| own.group.is_ipv4() == group.is_ipv4()).count();
        match group {
            IpAddr::V4(_) if count >= MAX_V4_MEMBERSHIPS => return Err(Errno::ENOBUFS),
            IpAddr::V6(_) if count >= MAX_V6_MEMBERSHIPS => return Err(Errno::ENOMEM),
            _ => {}
        }
        self.charge(1, 0)?;
        self.all.push(Membership { group, device, mode, sources: Vec::new(), has_named: false });
        Ok(())
    }

    /// Leaves a group on a link, or on the first one where it has joined it. Returns which.
    ///
    /// # Errors
    /// EADDRNOTAVAIL.
    pub(super) fn leave(&mut self, group: IpAddr, device: Option<u32>) -> Result<u32, Errno> {
        let is_it = |own: &Membership| own.group == group && device.is_none_or(|device| own.device == device);
        let place = self.all.iter().position(is_it).ok_or(Errno::EADDRNOTAVAIL)?;
        Ok(self.all.remove(place).device)
    }

    /// Names a source, or no longer. Returns whether that leaves nobody to be heard, so that the group is to be left.
    ///
    /// # Errors
    /// EINVAL: not joined, or the filter is of the other mode. EADDRNOTAVAIL: it is named already, or is not. ENOBUFS. ENOMEM.
    pub(super) fn change_source(
        &mut self,
        (group, device): (IpAddr, u32),
        source: IpAddr,
        mode: FilterMode,
        adds: bool,
    ) -> Result<bool, Errno> {
        self.charge(0, usize::from(adds))?;
        let own = self.find(group, device).ok_or(Errno::EINVAL)?;
        if own.mode != mode && own.has_named {
            return Err(Errno::EINVAL);
        }
        own.mode = mode;
        if adds {
            return own.add(source).map(|()| false);
        }
        let place = own.sources.iter().position(|named| *named == source).ok_or(Errno::EADDRNOTAVAIL)?;
        if own.sources.len() == 1 && mode == FilterMode::Include {
            return Ok(true);
        }
        own.sources.remove(place);
        Ok(false)
    }

    /// Replaces the filter of a group.
    ///
    /// # Errors
    /// EINVAL: not joined. ENOBUFS. ENOMEM.
    pub(super) fn set_filter(
        &mut self,
        (group, device): (IpAddr, u32),
        mode: FilterMode,
        sources: Vec<IpAddr>,
    ) -> Result<(), Errno> {
        self.charge(0, sources.capacity())?;
        let own = self.find(group, device).ok_or(Errno::EINVAL)?;
        if sources.len() > own.max_sources() {
            return Err(Errno::ENOBUFS);
        }
        own.has_named = !sources.is_empty();
        (own.mode, own.sources) = (mode, sources);
        Ok(())
    }

    /// The filter of a group.
    ///
    /// # Errors
    /// EADDRNOTAVAIL: not joined.
    pub(super) fn filter(&mut self, group: IpAddr, device: u32) -> Result<(FilterMode, Vec<IpAddr>), Errno> {
        let own = self.find(group, device).ok_or(Errno::EADDRNOTAVAIL)?;
        Ok((own.mode, own.sources.clone()))
    }

    /// Whether what `source` sends to a group through a link is heard; one that has not joined the group may hear all the same.
    pub(super) fn hears(&self, group: IpAddr, source: IpAddr, device: u32, hears_all: bool) -> bool {
        let own = self.all.iter().find(|own| own.group == group && own.device == device);
        own.map_or(hears_all, |own| own.hears(source))
    }

    /// All groups, with their links.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, IpAddr)> {
        self.all.iter().map(|own| (own.device, own.group))
    }
}

/// The groups that sockets of a namespace have joined: how many sockets, for each link and group.
#[derive(Debug, Default)]
pub(super) struct Groups(Mutex<BTreeMap<(u32, IpAddr), usize>>);

impl Groups {
    pub(super) fn join(&self, device: u32, group: IpAddr) {
        *self.0.lock().entry((device, group)).or_default() += 1;
    }

    pub(super) fn leave(&self, device: u32, group: IpAddr) {
        let mut groups = self.0.lock();
        if let Some(count) = groups.get_mut(&(device, group)) {
            *count -= 1;
            if *count == 0 {
                groups.remove(&(device, group));
            }
        }
    }

    /// Whether what is sent to a group arrives on a link: somebody has joined it there, or all hosts have.
    pub(super) fn has(&self, device: u32, group: IpAddr) -> bool {
        let is_for_all_hosts = match group {
            IpAddr::V4(group) => group.octets() == [224, 0, 0, 1],
            IpAddr::V6(group) => matches!(group.segments(), [0xff01 | 0xff02, 0, 0, 0, 0, 0, 0, 1]),
        };
        is_for_all_hosts || self.0.lock().contains_key(&(device, group))
    }

    /// All of them: link, group, and how many sockets.
    pub(super) fn all(&self) -> Vec<(u32, IpAddr, usize)> {
        self.0.lock().iter().map(|((device, group), count)| (*device, *group, *count)).collect()
    }
}

#[cfg(test)]
mod tests;
