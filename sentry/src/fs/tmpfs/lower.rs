//! The files of the lower layer that are in use, by the layer's numbers.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::node::Node;

/// What tells a file of the lower layer from the others: device and inode number.
pub(super) type Identity = (u64, u64);

/// Bits of an inode number that are the layer's own; above them stands which of its file systems it is from, so
/// that one device number can cover them all.
const LOWER_NUMBER_BITS: u32 = 40;
/// The number of the first inode that is not the layer's.
pub(super) const FIRST_OWN_NUMBER: u64 = 1 << 52;

/// The nodes of files of the layer, each of which has one node whatever the name it is reached by.
#[derive(Default)]
pub(super) struct LowerTable {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    live: HashMap<Identity, Weak<Node>>,
    /// Those that differ from the file below by now: they stay until they are deleted.
    changed: HashMap<Identity, Arc<Node>>,
    /// The layer's file systems, in the order in which they were met.
    devices: Vec<u64>,
}

impl LowerTable {
    /// The inode number of a file of the layer.
    pub(super) fn ino(&self, (device, inode): Identity) -> u64 {
        let mut state = self.state.lock();
        let index = state.devices.iter().position(|&known| known == device).unwrap_or_else(|| {
            state.devices.push(device);
            state.devices.len() - 1
        });
        let folded = (inode ^ inode >> LOWER_NUMBER_BITS) & ((1 << LOWER_NUMBER_BITS) - 1);
        (index as u64 & 0xfff) << LOWER_NUMBER_BITS | folded
    }

    /// The node of a file of the layer; `make` is called if it has none.
    pub(super) fn get_or_insert(
        &self,
        identity: Identity,
        is_right: impl FnOnce(&Node) -> bool,
        make: impl FnOnce() -> Arc<Node>,
    ) -> Arc<Node> {
        let mut stale = None;
        let mut state = self.state.lock();
        if let Some(node) = state.live.get(&identity).and_then(Weak::upgrade) {
            if is_right(&node) {
                return node;
            }
            stale = Some(node);
        }
        let node = make();
        state.live.insert(identity, Arc::downgrade(&node));
        drop(state);
        // Outside the lock, which the end of a node takes.
        drop(stale);
        node
    }

    /// Those that have been changed.
    pub(super) fn changed(&self) -> Vec<Arc<Node>> {
        self.state.lock().changed.values().cloned().collect()
    }

    /// Keeps a node that has been changed.
    pub(super) fn keep(&self, identity: Identity, node: Arc<Node>) {
        let replaced = self.state.lock().changed.insert(identity, node);
        drop(replaced);
    }

    /// Lets go of a node whose last name has been removed.
    pub(super) fn release(&self, identity: Identity) {
        let released = self.state.lock().changed.remove(&identity);
        drop(released);
    }

    /// Forgets a node that has ended.
    pub(super) fn forget(&self, identity: Identity) {
        let mut state = self.state.lock();
        if state.live.get(&identity).is_some_and(|node| node.strong_count() == 0) {
            state.live.remove(&identity);
        }
    }

    /// Lets go of everything.
    pub(super) fn release_all(&self) {
        let released = std::mem::take(&mut self.state.lock().changed);
        drop(released);
    }
}
