//! Links that are made, moved and removed.

use std::sync::Arc;

use netlink_packet_route::link::LinkFlags;
use netlink_packet_route::route::RouteType;

use super::{LinkChanges, NetworkConfiguration, Refusal, State, Thing};
use crate::Errno;
use crate::net::device::{CableEnd, Link, LinkKind, LinkName};
use crate::net::tun::TunDevice;

/// A link that is to be made.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// What it is.
    pub kind: LinkKind,
    /// Its index; `None` for any.
    pub index: Option<u32>,
    /// Its name, in which `%d` stands for a number; `None` for the usual one.
    pub name: Option<String>,
    /// What else it is to be.
    pub changes: LinkChanges,
}

/// What is at the end of a new link.
#[derive(Clone, Debug)]
pub(in crate::net) enum LinkEnd {
    /// Nothing that it needs.
    None,
    /// A cable: it is a veth.
    Cable(CableEnd),
    /// A program: it is a TUN or a TAP.
    Program(Arc<TunDevice>),
}

impl NewLink {
    /// One of this kind, as usual.
    pub fn of_kind(kind: LinkKind) -> Self {
        Self { kind, index: None, name: None, changes: LinkChanges::default() }
    }
}

impl NetworkConfiguration {
    /// Makes a link, with its end of what leads elsewhere. It is down; returns its index.
    ///
    /// # Errors
    /// EEXIST for a name that is taken, EBUSY for an index, EINVAL for what can be no name, ENOBUFS, ENFILE, and those of
    /// [`change_link`](Self::change_link).
    pub(in crate::net) fn make_link(&self, new: &NewLink, end: LinkEnd) -> Result<u32, Refusal> {
        self.change(|state| {
            let mut link = state.new_link(new)?;
            match &end {
                LinkEnd::None => {}
                LinkEnd::Cable(cable) => link.cable = Some(cable.clone()),
                LinkEnd::Program(tun) => link.tun = Some(tun.clone()),
            }
            let index = link.index;
            state.devices.insert(link);
            let flags = new.changes.flags.map(|(flags, mask)| (flags, mask.difference(LinkFlags::Up)));
            let changes = LinkChanges { flags, name: None, ..new.changes.clone() };
            if let Err(refusal) = state.check_changes(index, &changes) {
                state.devices.remove(index);
                return Err(refusal);
            }
            state.set_properties(index, changes);
            state.set_flags(index, flags);
            Ok(index)
        })
    }

    /// Tells those who listen of a link that is new.
    pub(in crate::net) fn announce(&self, index: u32) {
        self.change(|state| {
            if let Ok(link) = state.devices.get(index).cloned() {
                state.note(Thing::Link(link));
            }
        });
    }

    /// Notes in which namespace the other end of a veth's cable is (IFLA_LINK_NETNSID); `None` for this one.
    pub(in crate::net) fn set_peer_namespace(&self, index: u32, number: Option<i32>) {
        self.change(|state| {
            if let Ok(link) = state.devices.get_mut(index) {
                link.peer_namespace = number;
            }
        });
    }

    /// Fails if there cannot be one link more.
    ///
    /// # Errors
    /// ENOBUFS.
    pub(in crate::net) fn check_room_for_link(&self) -> Result<(), Refusal> {
        self.state.lock().check_room_for_link()
    }

    /// Takes a link out, with all that it had; it is down.
    ///
    /// # Errors
    /// ENODEV.
    pub(in crate::net) fn take_link(&self, index: u32) -> Result<Link, Refusal> {
        self.change(|state| state.take_link(index).map_err(Refusal::from))
    }

    /// Puts in a link that was in another namespace: with its index if that is free here. Returns its index.
    ///
    /// # Errors
    /// ENFILE.
    pub(in crate::net) fn adopt_link(&self, mut link: Link, name: Option<LinkName>) -> Result<u32, Refusal> {
        self.change(|state| {
            if state.devices.get(link.index).is_ok() {
                link.index = state.devices.next_index()?;
            }
            link.name = name.unwrap_or(link.name);
            link.has_been_up = false;
            let index = link.index;
            state.devices.insert(link);
            Ok(index)
        })
    }
}

impl State {
    fn new_link(&self, new: &NewLink) -> Result<Link, Refusal> {
        self.check_room_for_link()?;
        let kind = new.kind.name().ok_or(Errno::EOPNOTSUPP)?;
        let name = match &new.name {
            Some(name) if !name.contains("%d") => LinkName::new(name.as_bytes())?,
            pattern => self.devices.name_of_pattern(pattern.as_deref().unwrap_or(&format!("{kind}%d")))?,
        };
        if self.devices.find(name.as_bytes()).is_ok() {
            return Err(Errno::EEXIST.into());
        }
        let index = match new.index {
            Some(index) if self.devices.get(index).is_ok() => return Err(Errno::EBUSY.into()),
            Some(index) => index,
            None => self.devices.next_index()?,
        };
        Ok(Link::made(new.kind, index, name))
    }

    fn take_link(&mut self, index: u32) -> Result<Link, Errno> {
        self.lower(index)?;
        let ports: Vec<u32> = self
            .devices
            .links()
            .filter(|link| link.controller == Some(index))
            .map(|link| link.index)
            .collect();
        for port in ports {
            self.set_controller(port, None)?;
        }
        self.set_controller(index, None)?;
        let addresses = std::mem::take(&mut self.devices.get_mut(index)?.addresses);
        for address in addresses {
            self.note_gone(Thing::Address(index, address));
        }
        let routes = self.routes.extract(|route| route.device == Some(index));
        for route in routes.into_iter().filter(|route| route.kind == RouteType::Local || route.is_ipv6()) {
            self.note_gone(Thing::Route(route));
        }
        let link = self.devices.remove(index).ok_or(Errno::ENODEV)?;
        self.note_gone(Thing::Link(link.clone()));
        Ok(link)
    }

    /// Takes a link down, if it is up.
    fn lower(&mut self, index: u32) -> Result<(), Errno> {
        if self.devices.get(index)?.is_up() {
            self.set_flags(index, Some((LinkFlags::empty(), LinkFlags::Up)));
            let link = self.devices.get(index)?.clone();
            self.note(Thing::Link(link));
            self.lower_addresses(index);
            self.port_has_changed(index);
        }
        Ok(())
    }
}
