//! The routes of all tables.

use std::cmp::Reverse;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Route;

/// The routes of a namespace, in the order in which Linux tells of them.
#[derive(Debug, Default)]
pub(in crate::net) struct Routes(Vec<Route>);

/// Where a route stands: IPv4 before IPv6; then by table; then IPv4's by address, the narrower of one address first, and IPv6's
/// so that what lies within a network comes before it.
fn place(route: &Route) -> (bool, u32, IpAddr, Reverse<u8>, u32) {
    let destination = &route.destination;
    let address = if route.is_ipv6() { destination.broadcast() } else { destination.network() };
    (route.is_ipv6(), route.table, address, Reverse(destination.prefix_len()), route.metric)
}

impl Routes {
    /// All of them.
    pub(in crate::net) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// How many there are.
    pub(in crate::net) fn len(&self) -> usize {
        self.0.len()
    }

    /// Puts in a route, behind those with the same place.
    pub(in crate::net) fn insert(&mut self, route: Route) {
        let index = self.0.partition_point(|other| place(other) <= place(&route));
        self.0.insert(index, route);
    }

    /// Takes out those that `is_wanted` tells, and returns them.
    pub(in crate::net) fn extract(&mut self, is_wanted: impl Fn(&Route) -> bool) -> Vec<Route> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(is_wanted);
        self.0 = left;
        taken
    }

    /// The routes that have the place of `route`: one at most for IPv4, for IPv6 one for each way.
    pub(in crate::net) fn at_place_of(&self, route: &Route) -> impl Iterator<Item = &Route> {
        let start = self.0.partition_point(|other| place(other) < place(route));
        let end = self.0.partition_point(|other| place(other) <= place(route));
        self.0[start..end].iter().filter(move |other| other.is_same_place(route))
    }

    /// The best route of a table to an address: the narrowest, of these the one with the type of service, of these the one with
    /// the lowest metric.
    pub(super) fn find(
        &self,
        table: u32,
        destination: IpAddr,
        tos: u8,
        is_usable: impl Fn(&Route) -> bool,
    ) -> Option<&Route> {
        let host = IpNet::from(destination);
        let leads_there = |route: &&Route| {
            route.table == table
                && (route.tos == 0 || route.tos == tos)
                && route.destination.contains(&host)
                && is_usable(route)
        };
        let rank =
            |route: &&Route| (Reverse(route.destination.prefix_len()), Reverse(route.tos), route.metric);
        self.0.iter().filter(leads_there).min_by_key(rank)
    }
}
