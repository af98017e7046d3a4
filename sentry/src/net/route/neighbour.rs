//! Neighbours: who has which hardware address (`man 8 ip-neighbour`). Nothing here asks for one: there is no wire.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink_packet_route::neighbour::{NeighbourFlags, NeighbourState};

/// An entry of the neighbours' table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The link that it is on.
    pub device: u32,
    /// NDA_DST.
    pub address: IpAddr,
    /// Its hardware address, if it is known.
    pub hardware_address: Option<[u8; 6]>,
    /// How sure that is.
    pub state: NeighbourState,
    /// NTF_ROUTER and its kin.
    pub flags: NeighbourFlags,
}

/// The neighbours of a namespace, by link and address.
#[derive(Debug, Default)]
pub(in crate::net) struct Neighbours(BTreeMap<(u32, IpAddr), Neighbour>);

impl Neighbours {
    /// All of them.
    pub(in crate::net) fn iter(&self) -> impl Iterator<Item = &Neighbour> {
        self.0.values()
    }

    /// How many there are.
    pub(in crate::net) fn len(&self) -> usize {
        self.0.len()
    }

    /// The one with this address.
    pub(in crate::net) fn get(&self, device: u32, address: IpAddr) -> Option<&Neighbour> {
        self.0.get(&(device, address))
    }

    /// Puts in a neighbour, in the place of one with its address.
    pub(in crate::net) fn insert(&mut self, neighbour: Neighbour) {
        self.0.insert((neighbour.device, neighbour.address), neighbour);
    }

    /// Takes out the one with this address.
    pub(in crate::net) fn remove(&mut self, device: u32, address: IpAddr) -> Option<Neighbour> {
        self.0.remove(&(device, address))
    }

    /// Takes out all of a link.
    pub(in crate::net) fn flush(&mut self, device: u32) -> Vec<Neighbour> {
        let (gone, kept) =
            std::mem::take(&mut self.0).into_iter().partition(|((index, _), _)| *index == device);
        self.0 = kept;
        let gone: BTreeMap<_, _> = gone;
        gone.into_values().collect()
    }
}
