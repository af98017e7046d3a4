//! nsfs: the files that stand for namespaces (`man 7 namespaces`, `man 2 ioctl_ns`).
//!
//! A link in /proc/PID/ns leads to one. While it is open or bind-mounted, the namespace lives.

use linux_raw_sys::ioctl::{NS_GET_NSTYPE, NS_GET_OWNER_UID, NS_GET_PARENT, NS_GET_USERNS};
use std::any::Any;
use std::sync::Arc;

use super::dentry::Dentry;
use super::mount::{FileSystem, FileSystemInfo, Mount};
use super::{
    Access, Caller, DeviceNumber, File, FileDescription, FileKind, Inode, Metadata, OpenFlags, Path,
    Splicing, Viewer,
};
use crate::Errno;
use crate::cred::{Credentials, Namespace, NamespaceKind, UserNamespace};
use crate::platform::VirtualAddress;

const NSFS_MAGIC: u64 = linux_raw_sys::general::NSFS_MAGIC as u64;
/// Below those of [`AnonymousDevices`](super::AnonymousDevices).
const DEVICE: DeviceNumber = DeviceNumber::new(0, 4);

/// Where the file of `namespace` is.
pub fn place_of(namespace: Arc<dyn Namespace>) -> Path {
    let name = name_of(&*namespace);
    let dentry = Dentry::new_unnamed(Arc::new(NamespaceInode { namespace }), None, name.as_bytes());
    let mount = Mount::internal_of(Arc::new(NamespaceFileSystem), dentry.clone(), "nsfs", None);
    Path::new(mount, dentry)
}

/// What readlink(2) says of a link to the file of `namespace`.
pub fn name_of(namespace: &dyn Namespace) -> String {
    let identity = namespace.identity();
    format!("{}:[{}]", identity.kind().name(), identity.ino())
}

/// Whether `inode` stands for a namespace.
pub(super) fn is_file(inode: &dyn Inode) -> bool {
    inode.as_any().is::<NamespaceInode>()
}

/// The number of the mount namespace that `inode` stands for, if it does. Younger ones have higher numbers: an older
/// one may hold the files of younger ones and not the other way round, so that no two keep each other alive.
pub(super) fn mount_namespace_ino(inode: &dyn Inode) -> Option<u64> {
    let identity = inode.as_any().downcast_ref::<NamespaceInode>()?.namespace.identity();
    (identity.kind() == NamespaceKind::Mount).then(|| identity.ino())
}

struct NamespaceInode {
    namespace: Arc<dyn Namespace>,
}

impl NamespaceInode {
    fn metadata(&self) -> Metadata {
        Metadata::new(FileKind::Regular, 0o444, DEVICE, self.namespace.identity().ino())
    }
}

impl Inode for NamespaceInode {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.metadata())
    }

    /// It is immutable: whoever would write hears that.
    fn permits(&self, access: Access, _credentials: &Credentials) -> Option<Result<bool, Errno>> {
        access.contains(Access::WRITE).then_some(Err(Errno::EPERM))
    }

    fn open(self: Arc<Self>, _flags: OpenFlags, _viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(NamespaceFile { inode: self }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open file that stands for a namespace.
pub(crate) struct NamespaceFile {
    inode: Arc<NamespaceInode>,
}

impl NamespaceFile {
    pub(crate) fn namespace(&self) -> &Arc<dyn Namespace> {
        &self.inode.namespace
    }

    /// Opens `namespace` for `caller`, who must not see beyond its own (`man 2 ioctl_ns`).
    pub(crate) fn open_for(namespace: Arc<dyn Namespace>, caller: &dyn Caller) -> Result<usize, Errno> {
        if !caller.may_see_namespace(&*namespace) {
            return Err(Errno::EPERM);
        }
        let path = place_of(namespace);
        let file = path
            .inode()
            .clone()
            .open(OpenFlags::empty(), &Viewer::kernel(&caller.credentials().user_namespace))?;
        let description = FileDescription::new(file, Some(path), OpenFlags::empty());
        let descriptor = caller.install_descriptor(description, true)?;
        descriptor.index().ok_or(Errno::EBADF)
    }
}

impl File for NamespaceFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let namespace = self.namespace();
        let identity = namespace.identity();
        match request {
            NS_GET_USERNS => {
                let owner = identity.owner().ok_or(Errno::EPERM)?.clone();
                Self::open_for(owner, caller)
            }
            NS_GET_PARENT => {
                if !matches!(identity.kind(), NamespaceKind::Pid | NamespaceKind::User) {
                    return Err(Errno::EINVAL);
                }
                Self::open_for(namespace.parent().ok_or(Errno::EPERM)?, caller)
            }
            NS_GET_NSTYPE => Ok(identity.kind().flag() as usize),
            NS_GET_OWNER_UID => {
                let any: &dyn Any = &**namespace;
                let user = any.downcast_ref::<UserNamespace>().ok_or(Errno::EINVAL)?;
                let uid = caller.credentials().user_namespace.from_kernel_uid(user.owner_uid());
                caller.memory().write_object(VirtualAddress(argument), &uid)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct NamespaceFileSystem;

impl FileSystem for NamespaceFileSystem {
    fn type_name(&self) -> &'static str {
        "nsfs"
    }

    fn device(&self) -> DeviceNumber {
        DEVICE
    }

    fn info(&self) -> FileSystemInfo {
        let block_size_bytes = crate::platform::PAGE_SIZE;
        FileSystemInfo { magic: NSFS_MAGIC, block_size_bytes, ..FileSystemInfo::default() }
    }
}
