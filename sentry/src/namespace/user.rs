//! User namespaces (`man 7 user_namespaces`): who owns what, and where a capability holds.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use super::{Identity, Namespace, NamespaceKind};
use crate::Errno;

/// How deep user namespaces nest (`man 7 user_namespaces`).
const MAX_LEVEL: u32 = 32;
/// Namespaces of one kind that a user namespace and those within it may own, unless /proc/sys/user says otherwise.
const DEFAULT_LIMIT: u32 = 4096;

/// A user namespace.
#[derive(Debug)]
pub struct UserNamespace {
    identity: Identity,
    level: u32,
    /// The effective user and group of who made it.
    owner: (u32, u32),
    counts: [AtomicU32; NamespaceKind::COUNT],
    limits: [AtomicU32; NamespaceKind::COUNT],
}

impl UserNamespace {
    /// The namespace that the first task is in, whose numbers are those that the sentry keeps everywhere.
    pub fn initial() -> Arc<Self> {
        static INITIAL: LazyLock<Arc<UserNamespace>> = LazyLock::new(|| {
            Arc::new(UserNamespace::with_identity(Identity::initial(NamespaceKind::User), 0, (0, 0)))
        });
        INITIAL.clone()
    }

    /// A namespace within `parent`, made by somebody with this effective user and group.
    ///
    /// # Errors
    /// ENOSPC: too deep, or too many.
    pub fn new(parent: &Arc<Self>, owner_uid: u32, owner_gid: u32) -> Result<Arc<Self>, Errno> {
        if parent.level >= MAX_LEVEL {
            return Err(Errno::ENOSPC);
        }
        let identity = Identity::new(NamespaceKind::User, parent)?;
        Ok(Arc::new(Self::with_identity(identity, parent.level + 1, (owner_uid, owner_gid))))
    }

    fn with_identity(identity: Identity, level: u32, owner: (u32, u32)) -> Self {
        let limits = std::array::from_fn(|_| AtomicU32::new(DEFAULT_LIMIT));
        Self { identity, level, owner, counts: Default::default(), limits }
    }

    /// The namespace around it; `None` for the initial one.
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.identity.owner()
    }

    /// How many namespaces are around it; 0 for the initial one.
    pub fn level(&self) -> u32 {
        self.level
    }

    /// The effective user of who made it, as the initial namespace numbers it.
    pub fn owner_uid(&self) -> u32 {
        self.owner.0
    }

    /// The effective group of who made it, as the initial namespace numbers it.
    pub fn owner_gid(&self) -> u32 {
        self.owner.1
    }

    /// It and its ancestors, from the inside out.
    pub fn with_ancestors(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |namespace| namespace.parent().map(|parent| &**parent))
    }

    /// Counts one more namespace of `kind`, here and in every ancestor, or nowhere.
    ///
    /// # Errors
    /// ENOSPC.
    pub(super) fn charge(&self, kind: NamespaceKind) -> Result<(), Errno> {
        for (depth, namespace) in self.with_ancestors().enumerate() {
            let limit = namespace.limits[kind as usize].load(Ordering::Relaxed);
            let count = &namespace.counts[kind as usize];
            let more = |count: u32| (count < limit).then_some(count + 1);
            if count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
                self.uncharge_levels(kind, depth);
                return Err(Errno::ENOSPC);
            }
        }
        Ok(())
    }

    /// Takes back [`UserNamespace::charge`].
    pub(super) fn uncharge(&self, kind: NamespaceKind) {
        self.uncharge_levels(kind, usize::MAX);
    }

    fn uncharge_levels(&self, kind: NamespaceKind, levels: usize) {
        for namespace in self.with_ancestors().take(levels) {
            namespace.counts[kind as usize].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl PartialEq for UserNamespace {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for UserNamespace {}

impl Namespace for UserNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn parent(&self) -> Option<Arc<dyn Namespace>> {
        self.identity.owner().map(|parent| parent.clone() as Arc<dyn Namespace>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_over_the_limit_is_enospc_and_costs_nothing() {
        let initial = UserNamespace::initial();
        let outer = UserNamespace::new(&initial, 0, 0).unwrap();
        outer.limits[NamespaceKind::Uts as usize].store(1, Ordering::Relaxed);
        let inner = UserNamespace::new(&outer, 0, 0).unwrap();
        let first = Identity::new(NamespaceKind::Uts, &inner).unwrap();
        assert_eq!(Identity::new(NamespaceKind::Uts, &inner).err(), Some(Errno::ENOSPC));
        let count =
            |namespace: &UserNamespace| namespace.counts[NamespaceKind::Uts as usize].load(Ordering::Relaxed);
        assert_eq!((count(&inner), count(&outer)), (1, 1));
        drop(first);
        assert_eq!((count(&inner), count(&outer)), (0, 0));
    }

    #[test]
    fn user_namespaces_nest_32_deep() {
        let mut namespace = UserNamespace::initial();
        for _ in 0..MAX_LEVEL {
            namespace = UserNamespace::new(&namespace, 0, 0).unwrap();
        }
        assert_eq!(UserNamespace::new(&namespace, 0, 0).err(), Some(Errno::ENOSPC));
    }
}
