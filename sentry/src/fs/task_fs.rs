//! Where a task's paths begin, and its umask: what CLONE_FS shares.

use std::sync::Arc;

use parking_lot::RwLock;

use super::mount::MountNamespace;
use super::path::Path;
use crate::Errno;
use crate::cred::Identity;

/// Root directory, working directory, mounts and umask.
pub struct TaskFs {
    state: RwLock<State>,
}

#[derive(Clone)]
struct State {
    view: FsView,
    umask: u32,
}

/// The places, at one moment.
#[derive(Clone)]
pub struct FsView {
    /// The mount namespace that paths are looked up in.
    pub namespace: Arc<MountNamespace>,
    /// Where absolute paths begin, and above which `..` does not lead.
    pub root: Path,
    /// Where relative paths begin.
    pub working_directory: Path,
}

impl FsView {
    /// Whether the root is another than that of the mounts.
    pub fn is_chrooted(&self) -> bool {
        self.root != self.namespace.root()
    }
}

impl TaskFs {
    /// At the root of `namespace`, with umask 022.
    pub fn new(namespace: Arc<MountNamespace>) -> Arc<Self> {
        let root = namespace.root();
        let view = FsView { namespace, working_directory: root.clone(), root };
        Arc::new(Self { state: RwLock::new(State { view, umask: 0o022 }) })
    }

    /// The same contents for itself (fork without CLONE_FS).
    pub fn duplicate(&self) -> Arc<Self> {
        Arc::new(Self { state: RwLock::new(self.state.read().clone()) })
    }

    /// The places.
    pub fn view(&self) -> FsView {
        self.state.read().view.clone()
    }

    /// The mount namespace that paths are looked up in.
    pub fn namespace(&self) -> Arc<MountNamespace> {
        self.state.read().view.namespace.clone()
    }

    /// The root directory.
    pub fn root(&self) -> Path {
        self.state.read().view.root.clone()
    }

    /// Where relative paths start (chdir(2)).
    pub fn working_directory(&self) -> Path {
        self.state.read().view.working_directory.clone()
    }

    /// The permission bits that new files do not get.
    pub fn umask(&self) -> u32 {
        self.state.read().umask
    }

    /// Replaces the umask and returns the old one.
    pub fn set_umask(&self, umask: u32) -> u32 {
        std::mem::replace(&mut self.state.write().umask, umask & 0o777)
    }

    /// Changes the root directory (chroot). The working directory stays.
    pub fn set_root(&self, root: Path) {
        let old = std::mem::replace(&mut self.state.write().view.root, root);
        drop(old);
    }

    /// Changes the working directory.
    pub fn set_working_directory(&self, directory: Path) {
        let old = std::mem::replace(&mut self.state.write().view.working_directory, directory);
        drop(old);
    }

    /// The same contents in a copy of the mounts, which has this identity (clone and unshare with CLONE_NEWNS).
    ///
    /// # Errors
    /// ENOSPC: there are too many mounts.
    pub fn in_new_namespace(&self, identity: Identity) -> Result<Arc<Self>, Errno> {
        let State { view, umask } = self.state.read().clone();
        let (namespace, translate) = view.namespace.duplicate(identity)?;
        let root = translate(&view.root);
        let working_directory = translate(&view.working_directory);
        let view = FsView { namespace, root, working_directory };
        Ok(Arc::new(Self { state: RwLock::new(State { view, umask }) }))
    }

    /// Has root and working directory be `new` where they are `old` (pivot_root(2)).
    pub fn replace_place(&self, old: &Path, new: &Path) {
        let mut replaced = Vec::new();
        {
            let mut state = self.state.write();
            let FsView { root, working_directory, .. } = &mut state.view;
            for place in [root, working_directory].into_iter().filter(|place| **place == *old) {
                replaced.push(std::mem::replace(place, new.clone()));
            }
        }
        drop(replaced);
    }

    /// Moves to the root of `namespace` (setns(2)).
    pub fn enter_namespace(&self, namespace: Arc<MountNamespace>) {
        let root = namespace.root();
        let view = FsView { namespace, working_directory: root.clone(), root };
        let old = std::mem::replace(&mut self.state.write().view, view);
        drop(old);
    }
}
