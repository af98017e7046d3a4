//! IPC namespaces (`man 7 ipc_namespaces`).

use std::sync::Arc;

use super::{Identity, Namespace};

/// The System V IPC objects and POSIX message queues that some tasks see.
#[derive(Debug)]
pub struct IpcNamespace {
    identity: Identity,
}

impl IpcNamespace {
    /// A namespace without objects.
    pub fn new(identity: Identity) -> Arc<Self> {
        Arc::new(Self { identity })
    }
}

impl Namespace for IpcNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}
