//! PID namespaces (`man 7 pid_namespaces`).

use std::sync::Arc;

use super::id::NamespaceId;

/// A PID namespace. What it sees is in the task set; this is its identity.
#[derive(Debug)]
pub struct PidNamespace {
    id: NamespaceId,
    parent: Option<Arc<PidNamespace>>,
    level: usize,
}

impl PidNamespace {
    pub(super) fn new(id: NamespaceId, parent: Option<Arc<Self>>) -> Arc<Self> {
        let level = parent.as_ref().map_or(0, |parent| parent.level + 1);
        Arc::new(Self { id, parent, level })
    }

    /// Its id.
    pub fn id(&self) -> NamespaceId {
        self.id
    }

    /// Its place in the order in which namespaces were made; 0 for the root.
    pub fn serial(&self) -> u64 {
        self.id.0
    }

    /// How many namespaces are around it; 0 for the root.
    pub fn level(&self) -> usize {
        self.level
    }

    /// It and its ancestors, from the inside out.
    pub fn with_ancestors(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(Some(self), |namespace| namespace.parent.as_ref())
    }
}
