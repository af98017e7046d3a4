//! IPC namespaces (`man 7 ipc_namespaces`).

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::{IpcBudget, IpcObjects};
use crate::cred::{Identity, Namespace};

/// The System V IPC objects and POSIX message queues that some tasks see.
pub struct IpcNamespace {
    identity: Identity,
    objects: IpcObjects,
    /// Made when it is first wanted.
    queue_mount: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl IpcNamespace {
    /// A namespace without objects, which will be charged to `budget`.
    pub fn new(identity: Identity, budget: Arc<IpcBudget>) -> Arc<Self> {
        Arc::new(Self { identity, objects: IpcObjects::new(budget), queue_mount: OnceLock::new() })
    }

    /// What is in it.
    pub fn objects(&self) -> &IpcObjects {
        &self.objects
    }

    /// What shows its POSIX message queues as files, kept for [`fs::mqueue`](crate::fs::mqueue), which makes it.
    pub fn queue_mount(&self) -> &OnceLock<Arc<dyn Any + Send + Sync>> {
        &self.queue_mount
    }
}

impl Namespace for IpcNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}
