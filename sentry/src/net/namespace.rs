//! Network namespaces (`man 7 network_namespaces`).

use std::sync::Arc;

use super::unix::{FilesInFlight, UnixSockets};
use crate::cred::{Identity, Namespace};

/// What the sockets of some tasks can reach by a name that is no file.
pub struct NetworkNamespace {
    identity: Identity,
    unix_sockets: Arc<UnixSockets>,
}

impl NetworkNamespace {
    /// A namespace in which nothing is bound; `in_flight` is shared with the kernel's others.
    pub fn new(identity: Identity, in_flight: Arc<FilesInFlight>) -> Arc<Self> {
        Arc::new(Self { identity, unix_sockets: Arc::new(UnixSockets::new(in_flight)) })
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
