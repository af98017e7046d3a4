//! Time namespaces (`man 7 time_namespaces`).

use std::sync::Arc;

use super::{Identity, Namespace};

/// How the monotonic clocks of some tasks differ from the machine's.
#[derive(Debug)]
pub struct TimeNamespace {
    identity: Identity,
}

impl TimeNamespace {
    /// A namespace whose clocks are the machine's.
    pub fn new(identity: Identity) -> Arc<Self> {
        Arc::new(Self { identity })
    }
}

impl Namespace for TimeNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}
