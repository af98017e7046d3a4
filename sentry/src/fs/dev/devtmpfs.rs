//! devtmpfs: the tree of /dev, in which the kernel makes and removes the nodes of devices.
//!
//! There is one of a kernel, however often it is mounted.

use std::sync::Arc;

use super::tree::populate;
use crate::Errno;
use crate::fs::CreationMode;
use crate::fs::block::DeviceNodes;
use crate::fs::file_system_type::{FileSystemType, TypeFlags};
use crate::fs::operations::{create_node, unlink};
use crate::fs::tmpfs::{self, MemoryResources, TmpfsOptions};
use crate::fs::{
    DeviceNumber, FsView, Instance, Mount, MountNamespace, NewNode, Path, Resolver, TaskFs, Viewer,
};

/// The tree of /dev.
pub(in crate::fs) const DEVTMPFS: FileSystemType = FileSystemType {
    name: "devtmpfs",
    flags: TypeFlags::SINGLE,
    shows: None,
    check_options: |mounter, options| tmpfs::TMPFS.check(mounter, options),
    make: |mounter, _, _| Ok(mounter.file_systems().memory.devtmpfs()?.instance.clone()),
};

/// Permissions of the nodes of block devices.
const BLOCK_DEVICE_PERMISSIONS: u32 = 0o660;

/// The one devtmpfs of a kernel.
pub struct Devtmpfs {
    instance: Arc<Instance>,
    /// The kernel's own, which nobody else sees.
    view: FsView,
    viewer: Viewer,
}

impl Devtmpfs {
    /// The tree with the nodes of all devices.
    ///
    /// # Errors
    /// ENOSPC: there is no room for it.
    pub(in crate::fs) fn new(resources: &MemoryResources) -> Result<Arc<Self>, Errno> {
        let options = TmpfsOptions { permissions: 0o755, ..TmpfsOptions::default() };
        let owner = resources.user_namespace.clone();
        let instance = tmpfs::new_instance(resources, &options, "devtmpfs", owner.clone())?;
        let file_system = instance.file_system().clone();
        let root = Mount::internal_of(file_system, instance.root().clone(), "devtmpfs", Some(owner.clone()));
        let view = TaskFs::new(MountNamespace::new(root, &owner)).view();
        let tree = Arc::new(Self { instance, view, viewer: Viewer::kernel(&owner) });
        populate(&tree.resolver(), &tree.view.root)?;
        let nodes: Arc<dyn DeviceNodes> = tree.clone();
        resources.block.show_in(&nodes);
        Ok(tree)
    }

    /// What mounts of it show.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    fn resolver(&self) -> Resolver<'_> {
        Resolver::new(&self.view, &self.viewer)
    }

    fn root(&self) -> &Path {
        &self.view.root
    }
}

impl DeviceNodes for Devtmpfs {
    fn add(&self, name: &str, number: DeviceNumber) {
        let node = NewNode::BlockDevice(number);
        let made = create_node(
            &self.resolver(),
            self.root(),
            name.as_bytes(),
            node,
            CreationMode::exact(BLOCK_DEVICE_PERMISSIONS),
        );
        if let Err(error) = made {
            log::debug!("devtmpfs has no node {name}: {error}");
        }
    }

    fn remove(&self, name: &str) {
        if let Err(error) = unlink(&self.resolver(), self.root(), name.as_bytes()) {
            log::debug!("devtmpfs keeps the node {name}: {error}");
        }
    }
}
