//! Files in memory without a mount point: memfd_create(2), shared memory.

use std::sync::Arc;

use linux_raw_sys::general as uapi;

use super::dentry::Dentry;
use super::inode::{NewNode, NodeCreation, Viewer};
use super::mount::Mount;
use super::path::Path;
use super::tmpfs::{self, MemoryResources};
use super::{File, FileDescription, HugeFile, OpenFlags, SecretFile};
use crate::Errno;
use crate::memory::HUGE_PAGE_BYTES;

/// The tmpfs of files without a mount point.
pub struct MemoryFiles {
    mount: Arc<Mount>,
    /// Where those of huge pages are.
    huge_mount: Arc<Mount>,
}

impl MemoryFiles {
    /// An empty one.
    ///
    /// # Errors
    /// ENOSPC.
    pub fn new(resources: &MemoryResources) -> Result<Arc<Self>, Errno> {
        let mount = tmpfs::new_nameless_mount(resources)?;
        let huge_mount = tmpfs::new_nameless_huge_mount(resources)?;
        Ok(Arc::new(Self { mount, huge_mount }))
    }

    /// Whether `path` is of a file made here.
    pub fn holds(&self, path: &Path) -> bool {
        Arc::ptr_eq(&self.mount, &path.mount) || Arc::ptr_eq(&self.huge_mount, &path.mount)
    }

    /// Makes and opens an empty file with the given seals (`F_SEAL_*`); /proc/PID/fd shows `name`.
    ///
    /// # Errors
    /// ENOSPC.
    pub fn create(
        &self,
        name: &[u8],
        permissions: u32,
        seals: u32,
        viewer: &Viewer,
    ) -> Result<Arc<FileDescription>, Errno> {
        let (path, file) = open_new(&self.mount, name, (permissions, seals), viewer)?;
        Ok(FileDescription::new(file, Some(path), OpenFlags::RDWR | OpenFlags::LARGEFILE))
    }

    /// As [`Self::create`], of huge pages of `page_bytes` each.
    ///
    /// # Errors
    /// ENOSPC.
    pub fn create_huge(
        &self,
        name: &[u8],
        (permissions, seals): (u32, u32),
        page_bytes: u64,
        viewer: &Viewer,
    ) -> Result<Arc<FileDescription>, Errno> {
        let flags = OpenFlags::RDWR | OpenFlags::LARGEFILE;
        if page_bytes == HUGE_PAGE_BYTES {
            let (path, file) = open_new(&self.huge_mount, name, (permissions, seals), viewer)?;
            return Ok(FileDescription::new(file, Some(path), flags));
        }
        let (path, file) = open_new(&self.mount, name, (permissions, seals), viewer)?;
        Ok(FileDescription::new(HugeFile::new(file, page_bytes), Some(path), flags))
    }

    /// Makes and opens an empty file of secret memory (`man 2 memfd_secret`).
    ///
    /// # Errors
    /// ENOSPC.
    pub fn create_secret(&self, viewer: &Viewer) -> Result<Arc<FileDescription>, Errno> {
        let (path, file) = open_new(&self.mount, b"secretmem", (0, uapi::F_SEAL_SEAL), viewer)?;
        Ok(FileDescription::new(SecretFile::new(file), Some(path), OpenFlags::RDWR))
    }
}

fn open_new(
    mount: &Arc<Mount>,
    name: &[u8],
    (permissions, seals): (u32, u32),
    viewer: &Viewer,
) -> Result<(Path, Arc<dyn File>), Errno> {
    let credentials = &viewer.credentials;
    let creation = NodeCreation {
        node: NewNode::Regular,
        permissions,
        uid: credentials.fs_uid,
        gid: credentials.fs_gid,
        acls: None,
    };
    let inode = mount.root().inode().create_unnamed(&creation, false)?;
    let dentry = Dentry::new_unnamed(inode, Some(mount.root()), name);
    let path = Path::new(mount.clone(), dentry);
    tmpfs::set_seals(&path, seals)?;
    let file = path.inode().clone().open(OpenFlags::RDWR, viewer)?;
    Ok((path, file))
}

/// The seals that fcntl(2) knows.
pub const ALL_SEALS: u32 = uapi::F_SEAL_SEAL
    | uapi::F_SEAL_SHRINK
    | uapi::F_SEAL_GROW
    | uapi::F_SEAL_WRITE
    | uapi::F_SEAL_FUTURE_WRITE
    | uapi::F_SEAL_EXEC;
