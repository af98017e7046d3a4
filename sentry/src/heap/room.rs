//! The room of collections that are charged for by what is in them.
//!
//! A queue that has been long, or a table that has been large, keeps its room when it is emptied. Whoever has many of them filled
//! and emptied one after the other would have memory that nobody pays for. So what is much larger than it need be gives room back,
//! which costs no more than it cost to grow.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

/// Room that is always kept.
const KEPT: usize = 32;

/// How much room is enough for `len` elements, where there is `capacity`; `None` if it may stay as it is.
fn enough(len: usize, capacity: usize) -> Option<usize> {
    (capacity > KEPT && len < capacity / 4).then_some((2 * len).max(KEPT))
}

/// Gives back the room of a queue from which something has been taken.
pub fn shrink_queue<T>(queue: &mut VecDeque<T>) {
    if let Some(room) = enough(queue.len(), queue.capacity()) {
        queue.shrink_to(room);
    }
}

/// Gives back the room of a table from which something has been taken.
pub fn shrink_map<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if let Some(room) = enough(map.len(), map.capacity()) {
        map.shrink_to(room);
    }
}
