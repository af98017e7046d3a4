//! The free pages of an address space, ordered by address: what a new mapping is placed by.
//!
//! A search tree of gaps in which each node knows the most room in a gap at or below it, so that the highest or
//! lowest gap with enough room is found on one way down. It is balanced by random priorities (a treap; Seidel and Aragon,
//! "Randomized Search Trees"), which no guest can know.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Free pages between two mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) pages: Range<u64>,
    /// How many of them, the highest ones, must stay free: a stack is above.
    pub(super) guard: u64,
}

impl Gap {
    /// The pages that a mapping may have.
    pub(super) fn room(&self) -> Range<u64> {
        self.pages.start..self.pages.end.saturating_sub(self.guard).max(self.pages.start)
    }

    fn room_len(&self) -> u64 {
        let room = self.room();
        room.end - room.start
    }
}

/// Gaps that do not overlap.
#[derive(Default)]
pub(super) struct Gaps {
    root: Link,
    priorities: Priorities,
}

type Link = Option<Box<Node>>;

struct Node {
    gap: Gap,
    /// The most room of a gap in this subtree.
    most_room: u64,
    /// Not less than those of the nodes below.
    priority: u64,
    lower: Link,
    higher: Link,
}

/// A series of numbers that cannot be foreseen.
#[derive(Default)]
struct Priorities {
    hasher: RandomState,
    count: u64,
}

impl Priorities {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.hasher.hash_one(self.count)
    }
}

impl Gaps {
    /// Adds a gap, whose pages are in no other.
    pub(super) fn insert(&mut self, gap: Gap) {
        let (lower, higher) = split(self.root.take(), gap.pages.start);
        let node = Node {
            most_room: gap.room_len(),
            gap,
            priority: self.priorities.next(),
            lower: None,
            higher: None,
        };
        self.root = join(join(lower, Some(Box::new(node))), higher);
    }

    /// Takes out every gap that begins in `starts`.
    pub(super) fn remove(&mut self, starts: Range<u64>) {
        let (lower, rest) = split(self.root.take(), starts.start);
        let (_, higher) = split(rest, starts.end);
        self.root = join(lower, higher);
    }

    /// The gap that begins at `page` or is the last to begin before it.
    pub(super) fn at_or_before(&self, page: u64) -> Option<&Gap> {
        let (mut next, mut found) = (&self.root, None);
        while let Some(node) = next {
            if node.gap.pages.start <= page {
                found = Some(&node.gap);
                next = &node.higher;
            } else {
                next = &node.lower;
            }
        }
        found
    }

    /// The highest gap that begins before `end` and has room for `len` pages.
    pub(super) fn highest(&self, end: u64, len: u64) -> Option<&Gap> {
        highest(&self.root, end, len)
    }

    /// The lowest gap that begins at `start` or past it and has room for `len` pages.
    pub(super) fn lowest(&self, start: u64, len: u64) -> Option<&Gap> {
        lowest(&self.root, start, len)
    }

    /// All gaps, by address.
    #[cfg(test)]
    pub(super) fn to_vec(&self) -> Vec<Gap> {
        fn list(link: &Link, gaps: &mut Vec<Gap>) {
            let Some(node) = link else { return };
            list(&node.lower, gaps);
            gaps.push(node.gap.clone());
            list(&node.higher, gaps);
        }
        let mut gaps = Vec::new();
        list(&self.root, &mut gaps);
        gaps
    }
}

impl Node {
    fn update(&mut self) {
        let of = |link: &Link| link.as_ref().map_or(0, |node| node.most_room);
        self.most_room = self.gap.room_len().max(of(&self.lower)).max(of(&self.higher));
    }
}

/// Parts what begins before `page` from what does not.
fn split(link: Link, page: u64) -> (Link, Link) {
    let Some(mut node) = link else { return (None, None) };
    if node.gap.pages.start < page {
        let (lower, higher) = split(node.higher.take(), page);
        node.higher = lower;
        node.update();
        (Some(node), higher)
    } else {
        let (lower, higher) = split(node.lower.take(), page);
        node.lower = higher;
        node.update();
        (lower, Some(node))
    }
}

/// Makes one tree of two, of which one is below the other.
fn join(lower: Link, higher: Link) -> Link {
    match (lower, higher) {
        (None, other) | (other, None) => other,
        (Some(mut lower), Some(higher)) if lower.priority > higher.priority => {
            lower.higher = join(lower.higher.take(), Some(higher));
            lower.update();
            Some(lower)
        }
        (lower, Some(mut higher)) => {
            higher.lower = join(lower, higher.lower.take());
            higher.update();
            Some(higher)
        }
    }
}

fn highest(link: &Link, end: u64, len: u64) -> Option<&Gap> {
    let node = link.as_ref().filter(|node| node.most_room >= len)?;
    if node.gap.pages.start >= end {
        return highest(&node.lower, end, len);
    }
    highest(&node.higher, end, len)
        .or_else(|| (node.gap.room_len() >= len).then_some(&node.gap))
        .or_else(|| highest(&node.lower, end, len))
}

fn lowest(link: &Link, start: u64, len: u64) -> Option<&Gap> {
    let node = link.as_ref().filter(|node| node.most_room >= len)?;
    if node.gap.pages.start < start {
        return lowest(&node.higher, start, len);
    }
    lowest(&node.lower, start, len)
        .or_else(|| (node.gap.room_len() >= len).then_some(&node.gap))
        .or_else(|| lowest(&node.higher, start, len))
}
