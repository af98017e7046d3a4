//! Network namespaces (`man 7 network_namespaces`).

use std::sync::Arc;

use super::configuration::NetworkConfiguration;
use super::unix::UnixSockets;
use crate::cred::{Capabilities, Credentials, Identity, Namespace};
use crate::fs::OpenFiles;

/// What the sockets of some tasks can reach by a name that is no file.
pub struct NetworkNamespace {
    identity: Identity,
    configuration: NetworkConfiguration,
    unix_sockets: Arc<UnixSockets>,
}

impl NetworkNamespace {
    /// The first namespace of a kernel, which has `open_files`; nothing is bound in it. Its loopback is up, as after any boot.
    pub fn new(identity: Identity, open_files: &Arc<OpenFiles>) -> Arc<Self> {
        let configuration = NetworkConfiguration::default();
        configuration.raise_loopback();
        Arc::new(Self { identity, configuration, unix_sockets: Arc::new(UnixSockets::new(open_files)) })
    }

    /// A further namespace of the same kernel, in which nothing is bound and the loopback is down.
    pub fn new_beside(&self, identity: Identity) -> Arc<Self> {
        let unix_sockets = Arc::new(self.unix_sockets.of_new_namespace());
        Arc::new(Self { identity, configuration: NetworkConfiguration::default(), unix_sockets })
    }

    /// Its links, addresses and routes.
    pub fn configuration(&self) -> &NetworkConfiguration {
        &self.configuration
    }

    /// Whether `credentials` may change them: whether they have CAP_NET_ADMIN in the user namespace that owns this one.
    pub fn administers(&self, credentials: &Credentials) -> bool {
        credentials.has_over_namespace(self, Capabilities::NET_ADMIN)
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
