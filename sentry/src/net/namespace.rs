//! Network namespaces (`man 7 network_namespaces`).

use std::sync::Arc;

use super::unix::UnixSockets;
use crate::cred::{Identity, Namespace};

/// What the sockets of some tasks can reach by a name that is no file.
pub struct NetworkNamespace {
    identity: Identity,
    unix_sockets: Arc<UnixSockets>,
}

impl NetworkNamespace {
    /// A namespace in which nothing is bound.
    pub fn new(identity: Identity) -> Arc<Self> {
        Arc::new(Self { identity, unix_sockets: Arc::default() })
    }

    /// Its unix sockets.
    pub fn unix_sockets(&self) -> &Arc<UnixSockets> {
        &self.unix_sockets
    }
}

impl Namespace for NetworkNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}
