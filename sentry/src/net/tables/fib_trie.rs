//! /proc/net/fib_trie and fib_triestat: the routes of IPv4 as a tree of their destinations' bits (`Documentation/networking/fib_trie.rst`).
//!
//! The tree is that of the routes at the moment, without the widening of nodes that makes Linux's own faster to search.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_route::route::{RouteScope, RouteType};

use super::super::configuration::Snapshot;
use super::super::route::{LOCAL_TABLE, MAIN_TABLE, Route};

/// What Linux says that a leaf and a node take, in bytes, and a pointer.
const LEAF_BYTES: usize = 48;
const NODE_BYTES: usize = 40;
const POINTER_BYTES: usize = 8;
/// The tables that are there from the beginning: they share a tree until there are rules.
const TABLES: [(&str, u32); 2] = [("Main", MAIN_TABLE), ("Local", LOCAL_TABLE)];

/// The routes to one address.
struct Leaf<'a> {
    address: u32,
    routes: Vec<&'a Route>,
}

/// A node of the tree over leaves that are sorted by address.
enum Tree<'a> {
    Leaf(&'a Leaf<'a>),
    /// Addresses that have `prefix_len` bits in common, by the next one.
    Node {
        prefix_len: u32,
        address: u32,
        children: [Box<Self>; 2],
    },
}

impl<'a> Tree<'a> {
    fn of(leaves: &'a [Leaf<'a>]) -> Option<Self> {
        let (first, last) = (leaves.first()?, leaves.last()?);
        if leaves.len() == 1 {
            return Some(Self::Leaf(first));
        }
        let prefix_len = (first.address ^ last.address).leading_zeros();
        let bit = 1_u32 << (u32::BITS - 1).saturating_sub(prefix_len);
        let middle = leaves.partition_point(|leaf| leaf.address & bit == 0);
        let (low, high) = leaves.split_at_checked(middle)?;
        let children = [Box::new(Self::of(low)?), Box::new(Self::of(high)?)];
        Some(Self::Node { prefix_len, address: first.address & !(bit | (bit - 1)), children })
    }

    /// Whether it follows a node with so many bits at once.
    fn is_full_below(&self, parent_len: u32) -> bool {
        matches!(self, Self::Node { prefix_len, .. } if *prefix_len == parent_len + 1)
    }

    fn write(&self, text: &mut String, depth: usize) {
        let indent = depth * 3 + 2;
        match self {
            Self::Leaf(leaf) => leaf.write(text, indent),
            Self::Node { prefix_len, address, children } => {
                let full = children.iter().filter(|child| child.is_full_below(*prefix_len)).count();
                let address = Ipv4Addr::from_bits(*address);
                // Writing to a String does not fail.
                let _ = writeln!(text, "{:indent$}+-- {address}/{prefix_len} 1 {full} 0", "");
                children.iter().for_each(|child| child.write(text, depth + 1));
            }
        }
    }

    /// How deep its leaves are.
    fn depths(&self, depth: usize, depths: &mut Vec<usize>) {
        match self {
            Self::Leaf(_) => depths.push(depth),
            Self::Node { children, .. } => children.iter().for_each(|child| child.depths(depth + 1, depths)),
        }
    }
}

impl Leaf<'_> {
    fn write(&self, text: &mut String, indent: usize) {
        let _ = writeln!(text, "{:indent$}|-- {}", "", Ipv4Addr::from_bits(self.address));
        for route in &self.routes {
            let (len, tos) = (route.destination.prefix_len(), route.tos);
            let (scope, kind) = (scope(route.scope), kind(route.kind));
            let tos = if tos == 0 { String::new() } else { format!(" tos={tos}") };
            let _ = writeln!(text, "{:width$}/{len} {scope} {kind}{tos}", "", width = indent + 3);
        }
    }
}

fn scope(scope: RouteScope) -> String {
    match scope {
        RouteScope::Universe => "universe".into(),
        RouteScope::Site => "site".into(),
        RouteScope::Link => "link".into(),
        RouteScope::Host => "host".into(),
        RouteScope::NoWhere => "nowhere".into(),
        other => format!("scope={}", u8::from(other)),
    }
}

fn kind(kind: RouteType) -> String {
    match kind {
        RouteType::Unicast => "UNICAST".into(),
        RouteType::Local => "LOCAL".into(),
        RouteType::Broadcast => "BROADCAST".into(),
        RouteType::Anycast => "ANYCAST".into(),
        RouteType::Multicast => "MULTICAST".into(),
        RouteType::BlackHole => "BLACKHOLE".into(),
        RouteType::Unreachable => "UNREACHABLE".into(),
        RouteType::Prohibit => "PROHIBIT".into(),
        RouteType::Throw => "THROW".into(),
        other => format!("type {}", u8::from(other)),
    }
}

/// The leaves of the tree of both tables.
fn leaves<'a>(all: &Snapshot<'a>) -> Vec<Leaf<'a>> {
    let mut routes: Vec<(u32, &Route)> = all
        .routes()
        .filter(|route| [MAIN_TABLE, LOCAL_TABLE].contains(&route.table))
        .filter_map(|route| match route.destination.network() {
            IpAddr::V4(network) => Some((network.to_bits(), route)),
            IpAddr::V6(_) => None,
        })
        .collect();
    routes.sort_by_key(|(address, route)| (*address, std::cmp::Reverse(route.destination.prefix_len())));
    let mut leaves: Vec<Leaf<'_>> = Vec::new();
    for (address, route) in routes {
        match leaves.last_mut().filter(|leaf| leaf.address == address) {
            Some(leaf) => leaf.routes.push(route),
            None => leaves.push(Leaf { address, routes: vec![route] }),
        }
    }
    leaves
}

pub(super) fn trie(all: &Snapshot<'_>) -> String {
    let leaves = leaves(all);
    let tree = Tree::of(&leaves);
    let mut text = String::new();
    for (name, _) in TABLES {
        if let Some(tree) = &tree {
            text.push_str(name);
            text.push_str(":\n");
            tree.write(&mut text, 0);
        }
    }
    text
}

pub(super) fn statistics(all: &Snapshot<'_>) -> String {
    let leaves = leaves(all);
    let mut depths = Vec::new();
    if let Some(tree) = Tree::of(&leaves) {
        tree.depths(0, &mut depths);
    }
    let (count, nodes) = (leaves.len(), leaves.len().saturating_sub(1));
    let prefixes: usize = leaves.iter().map(|leaf| leaf.routes.len()).sum();
    let deepest = depths.iter().max().copied().unwrap_or(0);
    let average = depths.iter().sum::<usize>() * 100 / count.max(1);
    let pointers = nodes * 2;
    let bytes = count * LEAF_BYTES + nodes * NODE_BYTES + pointers * POINTER_BYTES;
    let mut text =
        format!("Basic info: size of leaf: {LEAF_BYTES} bytes, size of tnode: {NODE_BYTES} bytes.\n");
    for (name, _) in TABLES {
        let _ = write!(
            text,
            "{name}:\n\tAver depth:     {}.{:02}\n\tMax depth:      {deepest}\n\tLeaves:         {count}\n\
             \tPrefixes:       {prefixes}\n\tInternal nodes: {nodes}\n\t  1: {nodes}\n\tPointers: {pointers}\n\
             Null ptrs: 0\nTotal size: {}  kB\n",
            average / 100,
            average % 100,
            bytes.div_ceil(1024)
        );
    }
    text
}

#[cfg(test)]
mod tests;
