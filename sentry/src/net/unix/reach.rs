//! Which sockets in flight can still be reached.

use std::collections::{HashMap, HashSet};

/// A socket, by its endpoint's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node(pub(super) u64);

/// How sockets hold each other: an edge leads from one whose inbox has a message to each socket in the message.
pub(super) struct Graph<C> {
    edges: HashMap<Node, Vec<Node>>,
    in_flight: HashMap<Node, References>,
    contents: Vec<(Node, C)>,
}

/// Who refers to a socket in flight.
#[derive(Default)]
struct References {
    all: usize,
    from_messages: usize,
}

impl<C> Default for Graph<C> {
    fn default() -> Self {
        Self { edges: HashMap::new(), in_flight: HashMap::new(), contents: Vec::new() }
    }
}

impl<C> Graph<C> {
    /// A message in the inbox of `holder` holds `held`, to which there are `references` altogether.
    pub(super) fn add_edge(&mut self, holder: Node, held: Node, references: usize) {
        self.edges.entry(holder).or_default().push(held);
        let counted = self.in_flight.entry(held).or_default();
        counted.all = references;
        counted.from_messages += 1;
    }

    /// What `holder` holds is to be emptied out of `contents`, should it be beyond reach.
    pub(super) fn add_contents(&mut self, holder: Node, contents: C) {
        self.contents.push((holder, contents));
    }

    /// What the sockets beyond reach hold.
    pub(super) fn contents_beyond_reach(self) -> Vec<C> {
        let reached = self.reached();
        let is_beyond = |node: &Node| self.in_flight.contains_key(node) && !reached.contains(node);
        self.contents
            .into_iter()
            .filter_map(|(node, contents)| is_beyond(&node).then_some(contents))
            .collect()
    }

    /// Those that something else than a message refers to, and those that are held by such, or by a socket that is not in flight.
    fn reached(&self) -> HashSet<Node> {
        let is_held = |node: &Node| self.in_flight.get(node).is_none_or(|it| it.all > it.from_messages);
        let mut next: Vec<Node> =
            self.edges.keys().chain(self.in_flight.keys()).copied().filter(is_held).collect();
        let mut reached = HashSet::new();
        while let Some(node) = next.pop() {
            if reached.insert(node) {
                next.extend(self.edges.get(&node).into_iter().flatten());
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests;
