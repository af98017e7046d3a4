//! Network namespaces (`man 7 network_namespaces`).

use std::sync::Arc;

use super::{Identity, Namespace};
use crate::net::unix::AbstractNames;

/// What the sockets of some tasks can reach by a name that is no file.
pub struct NetworkNamespace {
    identity: Identity,
    abstract_names: Arc<AbstractNames>,
}

impl NetworkNamespace {
    /// A namespace in which nothing is bound.
    pub fn new(identity: Identity) -> Arc<Self> {
        Arc::new(Self { identity, abstract_names: Arc::default() })
    }

    /// The unix sockets that are bound outside the file system.
    pub fn abstract_names(&self) -> &Arc<AbstractNames> {
        &self.abstract_names
    }
}

impl Namespace for NetworkNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}
