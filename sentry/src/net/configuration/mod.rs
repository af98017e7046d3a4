//! What a network namespace has besides its sockets: links, addresses, routes, rules and neighbours, under one lock as Linux's
//! `rtnl_mutex`.
//!
//! Reading is by [`NetworkConfiguration::look`]; every change is one method, which says who may not, brings about what Linux brings
//! about with it, and has nothing changed if it fails. Whether the caller is privileged is asked before, by
//! [`NetworkNamespace::administers`](super::NetworkNamespace::administers).
//!
//! Lock order: the one lock here, then what listeners lock.

mod addresses;
mod carriers;
mod change;
mod links;
mod making;
mod neighbours;
mod outside;
mod refusal;
mod routes;
mod rules;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use netlink_packet_route::route::RouteType;
use parking_lot::Mutex;

pub use addresses::AddressPattern;
pub use change::{Change, ChangeListener, Thing};
pub use links::LinkChanges;
pub(super) use making::LinkEnd;
pub use making::NewLink;
pub use refusal::Refusal;
pub use routes::{RouteCreation, RoutePattern};

use super::device::{Devices, LOOPBACK_INDEX, Link};
use super::route::{Lookup, Neighbour, Neighbours, Route, RouteQuery, RouteResult, Routes, Rule, Rules};
use super::wire::Topology;
use crate::Errno;
use crate::heap::{self, HeapCharge};

/// The links, addresses, routes, rules and neighbours of a network namespace.
#[derive(Default)]
pub struct NetworkConfiguration {
    state: Mutex<State>,
    listener: Option<Arc<dyn ChangeListener>>,
    topology: Arc<Topology>,
}

#[derive(Debug, Default)]
struct State {
    devices: Devices,
    routes: Routes,
    rules: Rules,
    neighbours: Neighbours,
    heap_charge: HeapCharge,
    /// What the change that is being made has changed so far.
    changes: Vec<Change>,
}

/// A look at the configuration, as it is at one moment.
pub struct Snapshot<'a>(&'a State);

/// Most links of a namespace.
const MAX_LINKS: usize = 4096;
/// What an address, a route, a rule or a neighbour takes, with its place in a table.
const ENTRY_BYTES: usize = 320;
/// What a link takes, with its place among all and its cable.
const LINK_BYTES: usize = 1536;

impl State {
    /// Fails if there cannot be one thing more.
    fn check_room(&self) -> Result<(), Refusal> {
        heap::check_room(ENTRY_BYTES).map_err(|_| Errno::ENOBUFS.into())
    }

    /// Fails if there cannot be one link more.
    fn check_room_for_link(&self) -> Result<(), Refusal> {
        if self.devices.len() >= MAX_LINKS {
            return Err(Errno::ENOBUFS.into());
        }
        heap::check_room(LINK_BYTES).map_err(|_| Errno::ENOBUFS.into())
    }

    /// Charges for what there is now.
    fn charge(&mut self) {
        let addresses: usize = self.devices.links().map(|link| link.addresses.len()).sum();
        let entries = addresses + self.routes.len() + self.rules.len() + self.neighbours.len();
        // Every namespace has a loopback.
        let links = self.devices.len().saturating_sub(1);
        self.heap_charge.force(entries * ENTRY_BYTES + links * LINK_BYTES);
    }
}

impl NetworkConfiguration {
    /// A loopback that is down, and changes that `listener` hears of, and all whose ways they may change.
    pub fn new(listener: Arc<dyn ChangeListener>, topology: &Arc<Topology>) -> Self {
        Self { state: Mutex::default(), listener: Some(listener), topology: topology.clone() }
    }

    /// Makes a change, and tells of what it brought about.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        state.charge();
        let changes = std::mem::take(&mut state.changes);
        self.topology.has_changed();
        if let Some(listener) = &self.listener {
            changes.iter().for_each(|change| listener.changed(change));
        }
        result
    }

    /// Tells `look` what there is. The lock is held meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(Snapshot<'_>) -> T) -> T {
        look(Snapshot(&self.state.lock()))
    }

    /// The way to an address, and the own address for it.
    ///
    /// # Errors
    /// ENETUNREACH: there is none. EHOSTUNREACH, EACCES, EINVAL: a route or rule says so. EINVAL: the source is not an own
    /// address. ENODEV.
    pub fn route(&self, query: &RouteQuery) -> Result<RouteResult, Errno> {
        self.state.lock().lookup().route(query)
    }

    /// What an address is to this namespace: local, broadcast, multicast, or unicast for everything else.
    pub fn address_kind(&self, address: IpAddr) -> RouteType {
        self.state.lock().lookup().address_kind(address)
    }

    /// Takes the loopback up.
    pub fn raise_loopback(&self) {
        self.change(|state| state.raise(LOOPBACK_INDEX));
    }
}

impl State {
    /// Notes that something came or changed.
    fn note(&mut self, thing: Thing) {
        self.changes.push(Change { thing, is_gone: false });
    }

    /// Notes that something went.
    fn note_gone(&mut self, thing: Thing) {
        self.changes.push(Change { thing, is_gone: true });
    }

    fn lookup(&self) -> Lookup<'_> {
        Lookup { devices: &self.devices, routes: &self.routes, rules: &self.rules }
    }
}

impl<'a> Snapshot<'a> {
    /// The links, by ascending index.
    pub fn links(&self) -> impl Iterator<Item = &'a Link> + use<'a> {
        self.0.devices.links()
    }

    /// The link with this index.
    ///
    /// # Errors
    /// ENODEV.
    pub fn link(&self, index: u32) -> Result<&'a Link, Errno> {
        self.0.devices.get(index)
    }

    /// The link with this name.
    ///
    /// # Errors
    /// ENODEV.
    pub fn find_link(&self, name: &[u8]) -> Result<&'a Link, Errno> {
        self.0.devices.find(name)
    }

    /// The routes of all tables.
    pub fn routes(&self) -> impl Iterator<Item = &'a Route> + use<'a> {
        self.0.routes.iter()
    }

    /// What chooses a table of routes, by priority.
    pub fn rules(&self) -> impl Iterator<Item = &'a Rule> + use<'a> {
        self.0.rules.iter()
    }

    /// Hardware addresses of neighbours, as `ip neigh` lists.
    pub fn neighbours(&self) -> impl Iterator<Item = &'a Neighbour> + use<'a> {
        self.0.neighbours.iter()
    }
}
