//! IPC namespaces (`man 7 ipc_namespaces`).

use std::sync::{Arc, OnceLock};

use super::{Identity, Namespace};
use crate::fs::{Mount, mqueue};
use crate::ipc::IpcObjects;

/// The System V IPC objects and POSIX message queues that some tasks see.
pub struct IpcNamespace {
    identity: Identity,
    objects: IpcObjects,
    /// Made when it is first wanted.
    message_queue_mount: OnceLock<Arc<Mount>>,
}

impl IpcNamespace {
    /// A namespace without objects.
    pub fn new(identity: Identity) -> Arc<Self> {
        Arc::new(Self { identity, objects: IpcObjects::default(), message_queue_mount: OnceLock::new() })
    }

    /// The file system of its POSIX message queues, mounted nowhere: mq_open(2) looks names up in it, and other mounts show
    /// the same.
    pub fn message_queue_mount(self: &Arc<Self>) -> &Arc<Mount> {
        self.message_queue_mount.get_or_init(|| mqueue::new_mount(Arc::downgrade(self)))
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
