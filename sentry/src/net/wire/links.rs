//! Links that several namespaces know of: made, moved, taken up and down, removed.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use netlink_packet_route::link::LinkFlags;
use parking_lot::Mutex;

use crate::Errno;
use crate::net::NetworkNamespace;
use crate::net::configuration::{LinkChanges, LinkEnd, NewLink, Refusal};
use crate::net::device::{CableEnd, Link, LinkName};
use crate::net::tun::TunDevice;

/// How a namespace numbers the others that it knows of (`man 8 ip-netns`, nsid).
#[derive(Default)]
pub struct NamespaceNumbers(Mutex<BTreeMap<i32, Weak<NetworkNamespace>>>);

impl NamespaceNumbers {
    /// The number of a namespace, if it has one.
    pub fn find(&self, other: &Arc<NetworkNamespace>) -> Option<i32> {
        let is_it = |known: &Weak<NetworkNamespace>| Weak::as_ptr(known) == Arc::as_ptr(other);
        self.0.lock().iter().find(|(_, known)| is_it(known)).map(|(number, _)| *number)
    }

    /// The namespace with a number.
    pub fn get(&self, number: i32) -> Option<Arc<NetworkNamespace>> {
        self.0.lock().get(&number).and_then(Weak::upgrade)
    }

    /// Gives a namespace a number: the one wanted, or the least that is free.
    ///
    /// # Errors
    /// EEXIST: it has one. ENOSPC: another has the one wanted.
    pub fn assign(&self, other: &Arc<NetworkNamespace>, wanted: Option<i32>) -> Result<i32, Errno> {
        if self.find(other).is_some() {
            return Err(Errno::EEXIST);
        }
        let mut known = self.0.lock();
        known.retain(|_, known| known.strong_count() > 0);
        let number = match wanted {
            Some(number) if known.contains_key(&number) => return Err(Errno::ENOSPC),
            Some(number) => number,
            None => (0..).find(|number| !known.contains_key(number)).ok_or(Errno::ENOSPC)?,
        };
        known.insert(number, Arc::downgrade(other));
        Ok(number)
    }

    /// The number of a namespace, which has one from now on.
    fn number_of(&self, other: &Arc<NetworkNamespace>) -> Option<i32> {
        self.find(other).or_else(|| self.assign(other, None).ok())
    }

    /// All that have a number.
    pub fn all(&self) -> Vec<i32> {
        self.0
            .lock()
            .iter()
            .filter(|(_, known)| known.strong_count() > 0)
            .map(|(number, _)| *number)
            .collect()
    }
}

impl NetworkNamespace {
    /// Makes a link.
    ///
    /// # Errors
    /// As [`NetworkConfiguration::make_link`](crate::net::configuration::NetworkConfiguration::make_link).
    pub fn make_link(self: &Arc<Self>, new: &NewLink) -> Result<(), Refusal> {
        let _changes = self.shared().topology.lock();
        let index = self.configuration().make_link(new, LinkEnd::None)?;
        self.finish_link(index, &new.changes)
    }

    /// Makes a link whose other end is `device`, which a program has: returns its index.
    ///
    /// # Errors
    /// As [`Self::make_link`].
    pub(in crate::net) fn make_program_link(
        self: &Arc<Self>,
        new: &NewLink,
        device: &Arc<TunDevice>,
    ) -> Result<u32, Refusal> {
        let _changes = self.shared().topology.lock();
        let index = self.configuration().make_link(new, LinkEnd::Program(device.clone()))?;
        device.lay(self, index);
        self.finish_link(index, &new.changes)?;
        self.configuration().set_carrier(index, true);
        Ok(index)
    }

    /// Makes both ends of a cable: one here, and its peer in a namespace that may be another.
    ///
    /// # Errors
    /// As [`Self::make_link`]; then neither is made.
    pub fn make_cable(
        self: &Arc<Self>,
        new: &NewLink,
        (far, peer): (&Arc<Self>, &NewLink),
    ) -> Result<(), Refusal> {
        let _changes = self.shared().topology.lock();
        let [near_end, far_end] = CableEnd::pair();
        let far_index = far.configuration().make_link(peer, LinkEnd::Cable(far_end.clone()))?;
        let index = match self.configuration().make_link(new, LinkEnd::Cable(near_end.clone())) {
            Ok(index) => index,
            Err(refusal) => {
                far.configuration().take_link(far_index)?;
                return Err(refusal);
            }
        };
        near_end.lay(&Arc::downgrade(self), index);
        far_end.lay(&Arc::downgrade(far), far_index);
        self.number_ends(index, &near_end);
        far.finish_link(far_index, &peer.changes)?;
        self.finish_link(index, &new.changes)
    }

    /// A link that was made is told of, and taken up if it is to be.
    fn finish_link(self: &Arc<Self>, index: u32, changes: &LinkChanges) -> Result<(), Refusal> {
        self.configuration().announce(index);
        let is_to_be_up = changes.flags.is_some_and(|(flags, mask)| (flags & mask).contains(LinkFlags::Up));
        if is_to_be_up {
            let flags = Some((LinkFlags::Up, LinkFlags::Up));
            self.change_link_locked(index, LinkChanges { flags, ..LinkChanges::default() })?;
        }
        Ok(())
    }

    /// Changes a link, and what the other end of its cable knows of it.
    ///
    /// # Errors
    /// As [`NetworkConfiguration::change_link`](crate::net::configuration::NetworkConfiguration::change_link).
    pub fn change_link(self: &Arc<Self>, index: u32, changes: LinkChanges) -> Result<(), Refusal> {
        let _changes = self.shared().topology.lock();
        self.change_link_locked(index, changes)
    }

    fn change_link_locked(self: &Arc<Self>, index: u32, changes: LinkChanges) -> Result<(), Refusal> {
        let name = |link: &Link| link.name.to_string();
        let old = self.configuration().look(|all| all.link(index).map(name))?;
        let new = changes.name.as_ref().map(LinkName::to_string);
        self.configuration().change_link(index, changes)?;
        if let Some(new) = new.filter(|new| *new != old) {
            self.settings().rename_link(&old, &new);
        }
        let cable = self.configuration().look(|all| all.link(index).ok().and_then(|link| link.cable.clone()));
        if let Some(cable) = cable {
            self.settle_carrier(index, &cable);
        }
        Ok(())
    }

    /// Both ends of a cable have a carrier if both are up.
    fn settle_carrier(self: &Arc<Self>, index: u32, cable: &CableEnd) {
        let far = cable.other();
        let Some(network) = far.network.upgrade() else { return };
        let is_up = |network: &Self, index| {
            network.configuration().look(|all| all.link(index).is_ok_and(Link::is_up))
        };
        let has_carrier = is_up(self, index) && is_up(&network, far.index);
        self.configuration().set_carrier(index, has_carrier);
        network.configuration().set_carrier(far.index, has_carrier);
    }

    /// Both ends of a cable know in which namespace the other is.
    fn number_ends(self: &Arc<Self>, index: u32, cable: &CableEnd) {
        let far = cable.other();
        let Some(network) = far.network.upgrade() else { return };
        let is_same = Arc::ptr_eq(self, &network);
        let number = |own: &Self, other| if is_same { None } else { own.numbers().number_of(other) };
        self.configuration().set_peer_namespace(index, number(self, &network));
        network.configuration().set_peer_namespace(far.index, number(&network, self));
    }

    /// Removes a link, and with a veth the other end of its cable.
    ///
    /// # Errors
    /// ENODEV, EOPNOTSUPP for a link that stays as long as its namespace.
    pub fn remove_link(&self, index: u32) -> Result<(), Refusal> {
        let _changes = self.shared().topology.lock();
        self.configuration().check_removable(index)?;
        let link = self.take_link(index)?;
        if let Some(cable) = link.cable {
            remove_other_end(&cable);
        }
        if let Some(tun) = link.tun {
            tun.end();
        }
        Ok(())
    }

    /// Takes a link out, with all that it had.
    fn take_link(&self, index: u32) -> Result<Link, Refusal> {
        let link = self.configuration().take_link(index)?;
        self.settings().forget_link(&link.name.to_string());
        Ok(link)
    }

    /// Moves a link to another namespace, where it is down, has no addresses, and another name if one is given. Returns its index there.
    ///
    /// # Errors
    /// ENODEV; EINVAL for one that cannot move; EEXIST if its name is taken there; ENFILE; ENOBUFS if there are too many.
    pub fn move_link(
        self: &Arc<Self>,
        index: u32,
        to: &Arc<Self>,
        name: Option<LinkName>,
    ) -> Result<u32, Refusal> {
        let _changes = self.shared().topology.lock();
        let (kind, own_name) =
            self.configuration().look(|all| all.link(index).map(|link| (link.kind, link.name.clone())))?;
        if kind.is_immovable() {
            return Err(Refusal::new(Errno::EINVAL, "The interface netns is immutable"));
        }
        if Arc::ptr_eq(self, to) {
            if name.is_some() {
                self.change_link_locked(index, LinkChanges { name, ..LinkChanges::default() })?;
            }
            return Ok(index);
        }
        let name = name.unwrap_or(own_name);
        if to.configuration().look(|all| all.find_link(name.as_bytes()).is_ok()) {
            return Err(Refusal::new(
                Errno::EEXIST,
                "An interface with the same name exists in the target netns",
            ));
        }
        to.configuration().check_room_for_link()?;
        let down = LinkChanges { flags: Some((LinkFlags::empty(), LinkFlags::Up)), ..LinkChanges::default() };
        self.change_link_locked(index, down)?;
        let link = self.take_link(index)?;
        let (cable, tun) = (link.cable.clone(), link.tun.clone());
        let index = to.configuration().adopt_link(link, Some(name))?;
        if let Some(cable) = cable {
            cable.lay(&Arc::downgrade(to), index);
            to.number_ends(index, &cable);
        }
        if let Some(tun) = tun {
            tun.lay(to, index);
        }
        to.configuration().announce(index);
        Ok(index)
    }

    /// Whether packets for others are passed on that come in by a link.
    pub(super) fn forwards(&self, device: u32, is_ipv6: bool) -> bool {
        let name = self.configuration().look(|all| all.link(device).map(|link| link.name.to_string()));
        match (name, is_ipv6) {
            (Ok(name), false) => self.settings().forwards_ipv4_of(&name),
            (Ok(_), true) => self.settings().forwards_ipv6(),
            (Err(_), _) => false,
        }
    }
}

/// Takes away the link at the other end of a cable.
fn remove_other_end(cable: &CableEnd) {
    let far = cable.other();
    let Some(network) = far.network.upgrade() else { return };
    let is_it = network.configuration().look(|all| {
        let other = all.link(far.index).ok().and_then(|link| link.cable.clone());
        other.is_some_and(|other| other.is_of_cable_of(cable))
    });
    if is_it && let Err(refusal) = network.take_link(far.index) {
        log::debug!("the other end of a cable stays: {}", refusal.errno);
    }
}

impl Drop for NetworkNamespace {
    /// What leads to a namespace ends with it.
    fn drop(&mut self) {
        let cables: Vec<CableEnd> =
            self.configuration().look(|all| all.links().filter_map(|link| link.cable.clone()).collect());
        for cable in &cables {
            remove_other_end(cable);
        }
        let tuns: Vec<_> =
            self.configuration().look(|all| all.links().filter_map(|link| link.tun.clone()).collect());
        tuns.iter().for_each(|tun| tun.end());
    }
}
