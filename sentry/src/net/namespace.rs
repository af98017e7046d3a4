//! Network namespaces (`man 7 network_namespaces`).

use std::sync::Arc;

use super::unix::UnixSockets;
use crate::cred::{Identity, Namespace};
use crate::fs::OpenFiles;

/// What the sockets of some tasks can reach by a name that is no file.
pub struct NetworkNamespace {
    identity: Identity,
    unix_sockets: Arc<UnixSockets>,
}

impl NetworkNamespace {
    /// The first namespace of a kernel, which has `open_files`; nothing is bound in it.
    pub fn new(identity: Identity, open_files: &Arc<OpenFiles>) -> Arc<Self> {
        Arc::new(Self { identity, unix_sockets: Arc::new(UnixSockets::new(open_files)) })
    }

    /// A further namespace of the same kernel, in which nothing is bound.
    pub fn new_beside(&self, identity: Identity) -> Arc<Self> {
        Arc::new(Self { identity, unix_sockets: Arc::new(self.unix_sockets.of_new_namespace()) })
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
