//! IPC namespaces (`man 7 ipc_namespaces`).

use std::sync::Arc;

use super::{Identity, Namespace};
use crate::ipc::IpcObjects;

/// The System V IPC objects and POSIX message queues that some tasks see.
#[derive(Debug)]
pub struct IpcNamespace {
    identity: Identity,
    objects: IpcObjects,
}

impl IpcNamespace {
    /// A namespace without objects.
    pub fn new(identity: Identity) -> Arc<Self> {
        Arc::new(Self { identity, objects: IpcObjects::default() })
    }

    /// What is in it.
    pub fn objects(&self) -> &IpcObjects {
        &self.objects
    }
}

impl Namespace for IpcNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}
