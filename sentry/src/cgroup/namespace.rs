//! Control group namespaces (`man 7 cgroup_namespaces`).

use std::sync::Arc;

use super::Cgroup;
use crate::cred::{Identity, Namespace};

/// Which control group some tasks see as the root.
pub struct CgroupNamespace {
    identity: Identity,
    root: Arc<Cgroup>,
}

impl CgroupNamespace {
    /// A namespace that begins at `root`.
    pub fn new(identity: Identity, root: Arc<Cgroup>) -> Arc<Self> {
        Arc::new(Self { identity, root })
    }

    /// Where it begins.
    pub fn root(&self) -> &Arc<Cgroup> {
        &self.root
    }
}

impl Namespace for CgroupNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}
