//! Trees of mounts, without tasks.

use std::sync::Arc;

use super::*;
use crate::cred::{Credentials, Identity, KernelGid, KernelUid, NamespaceKind, UserNamespace};
use crate::fs::inode::{NewNode, NodeCreation};
use crate::fs::tmpfs::{self, MemoryResources, TmpfsOptions};
use crate::memory::FrameAllocator;
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;

struct World {
    resources: MemoryResources,
    namespace: Arc<MountNamespace>,
}

impl World {
    fn new() -> Self {
        let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
        let resources = MemoryResources::new(
            FrameAllocator::new(&platform, 16 << 20),
            &Arc::default(),
            &UserNamespace::initial(),
        );
        let namespace = MountNamespace::new(new_tmpfs(&resources), &UserNamespace::initial());
        Self { resources, namespace }
    }

    /// A directory in the root of `namespace`, made if it is not there.
    fn directory(&self, namespace: &MountNamespace, name: &str) -> Path {
        let root = namespace.root();
        let creation = NodeCreation {
            node: NewNode::Directory,
            permissions: 0o755,
            uid: KernelUid::ROOT,
            gid: KernelGid::ROOT,
            acls: None,
        };
        let dentry = match root.dentry.lookup(name.as_bytes()) {
            Ok(dentry) => dentry,
            Err(_) => {
                let inode = root.dentry.inode().create(name.as_bytes(), &creation).unwrap();
                let mut locked = root.dentry.lock();
                locked.forget(name.as_bytes());
                locked.adopt(name.as_bytes(), inode)
            }
        };
        Path::new(root.mount, dentry)
    }

    /// Mounts a tmpfs on a directory of the root.
    fn mount(&self, name: &str) -> Path {
        let mount = new_tmpfs(&self.resources);
        let place = self.directory(&self.namespace, name);
        self.namespace.attach(&mount, place).unwrap();
        mount.root_path()
    }

    fn set(&self, path: &Path, propagation: Propagation) {
        self.namespace.set_propagation(path, propagation, false).unwrap();
    }

    fn copy(&self, owner: &Arc<UserNamespace>) -> Arc<MountNamespace> {
        let identity = Identity::new(NamespaceKind::Mount, owner, KernelUid::ROOT).unwrap();
        self.namespace.duplicate(identity).unwrap().0
    }
}

fn new_tmpfs(resources: &MemoryResources) -> Arc<Mount> {
    tmpfs::new_mount(resources, &TmpfsOptions::default(), "test", MountFlags::empty()).unwrap()
}

fn count(namespace: &MountNamespace) -> usize {
    namespace.mounts().len()
}

#[test]
fn what_is_mounted_below_a_shared_mount_is_mounted_below_its_peers() {
    let world = World::new();
    world.set(&world.namespace.root(), Propagation::Shared);
    let other = world.copy(&UserNamespace::initial());
    let mounted = world.mount("a");
    assert_eq!((count(&world.namespace), count(&other)), (2, 2));
    drop(mounted.dentry);
    world.namespace.unmount(&mounted.mount, false).unwrap();
    assert_eq!((count(&world.namespace), count(&other)), (1, 1));
}

#[test]
fn a_slave_receives_and_does_not_give() {
    let world = World::new();
    world.set(&world.namespace.root(), Propagation::Shared);
    let other = world.copy(&UserNamespace::initial());
    other.set_propagation(&other.root(), Propagation::Slave, false).unwrap();
    world.mount("a");
    assert_eq!(count(&other), 2);
    let place = world.directory(&other, "b");
    other.attach(&new_tmpfs(&world.resources), place).unwrap();
    assert_eq!((count(&world.namespace), count(&other)), (2, 3));
}

#[test]
fn slaves_of_a_group_without_members_pass_to_its_master() {
    let world = World::new();
    let root = world.namespace.root();
    world.set(&root, Propagation::Shared);
    let middle = world.copy(&UserNamespace::initial());
    middle.set_propagation(&middle.root(), Propagation::Slave, false).unwrap();
    middle.set_propagation(&middle.root(), Propagation::Shared, false).unwrap();
    let identity = Identity::new(NamespaceKind::Mount, &UserNamespace::initial(), KernelUid::ROOT).unwrap();
    let last = middle.duplicate(identity).unwrap().0;
    last.set_propagation(&last.root(), Propagation::Slave, false).unwrap();
    world.mount("a");
    assert_eq!(count(&last), 2);
    drop(middle);
    world.mount("b");
    assert_eq!(count(&last), 3);
}

#[test]
fn the_copy_of_a_less_privileged_namespace_is_locked() {
    let world = World::new();
    world.mount("a");
    let user = UserNamespace::new(&Credentials::test_root()).unwrap();
    let other = world.copy(&user);
    let inner = other.mounts().pop().unwrap();
    assert_eq!(other.unmount(&inner, true).err(), Some(Errno::EINVAL));
    assert_eq!(other.bind(&other.root(), inner.root_path(), false).err(), Some(Errno::EINVAL));
    assert_eq!(other.bind(&other.root(), inner.root_path(), true).err(), None);
}

#[test]
fn a_mount_in_the_place_of_a_received_one_goes_beneath_it() {
    let world = World::new();
    world.set(&world.namespace.root(), Propagation::Shared);
    let other = world.copy(&UserNamespace::initial());
    other.set_propagation(&other.root(), Propagation::Slave, false).unwrap();
    let place = world.directory(&other, "a");
    let own = new_tmpfs(&world.resources);
    other.attach(&own, place.clone()).unwrap();
    let given = world.mount("a");
    assert!(place.clone().cross().mount.id() == own.id());
    assert_eq!(count(&other), 3);
    world.namespace.unmount(&given.mount, true).unwrap();
    assert!(place.cross().mount.id() == own.id());
    assert_eq!(count(&other), 2);
}

#[test]
fn a_deep_stack_of_mounts_ends_without_recursion() {
    let world = World::new();
    let mut top = world.mount("a");
    for _ in 0..5000 {
        let mount = Mount::of(
            &world.resources.mounts,
            new_tmpfs(&world.resources).instance().clone(),
            "test",
            MountFlags::empty(),
        );
        world.namespace.attach(&mount, top).unwrap();
        top = mount.root_path();
    }
    let held = top.mount.clone();
    drop((top, world));
    assert!(!held.is_attached());
}

#[test]
fn what_is_too_many_is_enospc_and_leaves_nothing_behind() {
    let world = World::new();
    let place = world.directory(&world.namespace, "a");
    world.set(&world.namespace.root(), Propagation::Shared);
    // Each doubles what is there.
    let error = loop {
        if let Err(error) = world.namespace.bind(&world.namespace.root(), place.clone(), true) {
            break error;
        }
    };
    assert_eq!(error, Errno::ENOSPC);
    let mounts = count(&world.namespace);
    assert!(mounts > 1000 && mounts <= namespace::MAX_MOUNTS_OF_NAMESPACE, "{mounts}");
    assert_eq!(world.namespace.root().mount.group().unwrap().members().len(), mounts);
}

#[test]
fn a_detached_tree_ends_with_its_descriptor_unless_it_has_been_attached() {
    let world = World::new();
    let root = world.namespace.root();
    world.set(&root, Propagation::Shared);
    let tree = world.namespace.detached_copy(&root, true).unwrap().open();
    assert_eq!(root.mount.group().unwrap().members().len(), 2);
    drop(tree);
    assert_eq!(root.mount.group().unwrap().members().len(), 1);
    world.set(&root, Propagation::Private);
    let tree = world.namespace.detached_copy(&root, true).unwrap().open();
    let place = world.directory(&world.namespace, "a");
    world.namespace.move_mount(tree.path().unwrap(), place).unwrap();
    drop(tree);
    assert_eq!(count(&world.namespace), 2);
}
