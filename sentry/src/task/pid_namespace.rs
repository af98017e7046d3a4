//! PID namespaces (`man 7 pid_namespaces`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::accounting::Accounting;
use super::id::NamespaceId;
use crate::cred::{Identity, Namespace};

/// A PID namespace. What it sees is in the task set, from its first task to its last; this is its identity.
#[derive(Debug)]
pub struct PidNamespace {
    id: NamespaceId,
    identity: Identity,
    parent: Option<Arc<PidNamespace>>,
    level: usize,
    /// Its init has died: there will be no task in it again.
    is_over: AtomicBool,
    /// Where records of its ended processes go (`man 2 acct`). A leaf.
    pub(super) accounting: Accounting,
}

impl PidNamespace {
    /// How deep they nest (`man 7 pid_namespaces`).
    pub(crate) const MAX_LEVEL: usize = 32;

    pub(super) fn new(id: NamespaceId, identity: Identity, parent: Option<Arc<Self>>) -> Arc<Self> {
        let level = parent.as_ref().map_or(0, |parent| parent.level + 1);
        Arc::new(Self {
            id,
            identity,
            parent,
            level,
            is_over: AtomicBool::new(false),
            accounting: Accounting::default(),
        })
    }

    /// Unique in its kernel, and never given again.
    pub fn id(&self) -> NamespaceId {
        self.id
    }

    /// Its id as a number: by which a [`ProcessIdentity`](crate::process_identity::ProcessIdentity) knows it.
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

    /// The one around it; `None` for the root.
    pub fn outer(&self) -> Option<Arc<Self>> {
        self.parent.clone()
    }

    /// Whether its init has died.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Its init has died. The tree's lock is held.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Namespace for PidNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn parent(&self) -> Option<Arc<dyn Namespace>> {
        self.parent.clone().map(|parent| parent as Arc<dyn Namespace>)
    }
}
