//! The tree that a sandbox starts with.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::pread;

use super::dev::{self, MemoryDevices};
use super::host::HostTree;
use super::inode::{NewNode, Viewer};
use super::memory_files::MemoryFiles;
use super::metadata::FileKind;
use super::mount::{Mount, MountFlags, MountNamespace};
use super::operations::{OpenRequest, create_node, open};
use super::pipe::FifoDriver;
use super::resolve::{ResolveFlags, Resolver};
use super::tmpfs::{self, MemoryResources, TmpfsOptions};
use super::{FsContext, FsView, OpenFlags, Path, overlay};
use crate::Errno;

/// Bytes of an executable that are copied at a time.
const COPY_LEN: usize = 256 * 1024;

/// What the root file system is made from.
pub enum RootImage {
    /// A directory of the host.
    Directory {
        /// The directory.
        root: OwnedFd,
        /// How many of its files may be open on the host at a time.
        max_handles: usize,
    },
    /// One executable, in a root that is empty otherwise.
    Executable {
        /// The file.
        file: OwnedFd,
        /// What it is called in the root directory.
        name: Vec<u8>,
    },
}

/// Mounts the root file system, /dev with its tmpfs for shared memory, and then `mounts` (procfs and the like) at
/// their paths. Directories that the image lacks are made, in memory.
///
/// # Errors
/// The image cannot be read, or something else is where a mount point should be.
pub fn mount_root(
    resources: &MemoryResources,
    image: RootImage,
    mounts: &[(&str, Arc<Mount>)],
) -> Result<Arc<MountNamespace>, Errno> {
    let devices = MemoryDevices::new(resources.frames.clone());
    resources.specials.register(FileKind::CharacterDevice, 1, devices);
    resources.specials.register(FileKind::Fifo, 0, Arc::new(FifoDriver));
    let root = match &image {
        RootImage::Directory { .. } => None,
        RootImage::Executable { .. } => {
            let options = TmpfsOptions { permissions: 0o755, ..TmpfsOptions::default() };
            Some(tmpfs::new_mount(resources, &options, "rootfs", MountFlags::RELATIVE_ACCESS_TIME)?)
        }
    };
    let (root, executable) = match (image, root) {
        (RootImage::Directory { root, max_handles }, _) => {
            let tree = HostTree::new(root, max_handles);
            (overlay::new_mount(resources, &tree, MountFlags::RELATIVE_ACCESS_TIME)?, None)
        }
        (RootImage::Executable { file, name }, Some(root)) => (root, Some((file, name))),
        (RootImage::Executable { .. }, None) => return Err(Errno::EINVAL),
    };
    let builder = Builder::new(MountNamespace::new(root));
    builder.view.namespace.set_memory_files(MemoryFiles::new(resources)?);
    if let Some((file, name)) = executable {
        builder.copy_in(&file, &name)?;
    }
    builder.directory("/tmp", 0o1777)?;

    let not_for_programs = MountFlags::NO_SUID | MountFlags::NO_EXEC;
    let options = TmpfsOptions { permissions: 0o755, ..TmpfsOptions::default() };
    let dev = tmpfs::new_mount(resources, &options, "dev", not_for_programs)?;
    builder.mount("/dev", &dev)?;
    dev::populate(&builder.resolver(), &builder.find("/dev")?)?;
    let shm = tmpfs::new_mount(
        resources,
        &TmpfsOptions::default(),
        "shm",
        not_for_programs | MountFlags::NO_DEVICES,
    )?;
    builder.mount("/dev/shm", &shm)?;
    for (path, mount) in mounts {
        builder.mount(path, mount)?;
    }
    Ok(builder.view.namespace)
}

struct Builder {
    view: FsView,
    viewer: Viewer,
}

impl Builder {
    fn new(namespace: Arc<MountNamespace>) -> Self {
        Self { view: FsContext::new(namespace).view(), viewer: Viewer::kernel() }
    }

    fn resolver(&self) -> Resolver<'_> {
        let flags = ResolveFlags::NO_MAGICLINKS;
        Resolver { flags, ..Resolver::new(&self.view, &self.viewer) }
    }

    fn find(&self, path: &str) -> Result<Path, Errno> {
        self.resolver().resolve(&self.view.root, path.as_bytes(), true)
    }

    /// The directory `path`, made if there is nothing.
    fn directory(&self, path: &str, permissions: u32) -> Result<Path, Errno> {
        let found = match self.find(path) {
            Err(Errno::ENOENT) => create_node(
                &self.resolver(),
                &self.view.root,
                path.as_bytes(),
                NewNode::Directory,
                permissions,
            )?,
            found => found?,
        };
        if found.is_directory() { Ok(found) } else { Err(Errno::ENOTDIR) }
    }

    fn mount(&self, path: &str, mount: &Arc<Mount>) -> Result<(), Errno> {
        let place = self.directory(path, 0o755)?;
        self.view.namespace.attach(mount, place)
    }

    /// Copies an executable of the host into the root directory.
    fn copy_in(&self, file: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        let request = OpenRequest { flags: OpenFlags::CREAT | OpenFlags::WRONLY, permissions: 0o755 };
        let copy = open(&self.resolver(), &self.view.root, name, request)?;
        let mut buffer = vec![0; COPY_LEN];
        let mut offset = 0;
        loop {
            let len = match pread(file, &mut buffer[..], offset) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut rest = buffer.get(..len).unwrap_or_default();
            while !rest.is_empty() {
                let written = copy.file().write_at(rest, offset)?;
                offset += written as u64;
                rest = rest.get(written..).unwrap_or_default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::FrameAllocator;
    use crate::platform::Platform;
    use crate::platform::fake::FakePlatform;

    fn resources() -> MemoryResources {
        let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
        MemoryResources::new(FrameAllocator::new(&platform, 16 << 20))
    }

    #[test]
    fn an_image_without_mount_points_gets_them() {
        let image = tempfile::tempdir().unwrap();
        let root = std::fs::File::open(image.path()).unwrap().into();
        let image = RootImage::Directory { root, max_handles: 16 };
        let builder = Builder::new(mount_root(&resources(), image, &[]).unwrap());
        for path in ["/dev/null", "/dev/shm", "/tmp"] {
            assert!(builder.find(path).is_ok(), "{path}");
        }
        let shm = builder.find("/dev/shm").unwrap();
        assert_eq!(shm.absolute_from(&builder.view.root), (b"/dev/shm".to_vec(), true));
        assert!(shm.parent(&builder.view.root) == builder.find("/dev").unwrap());
    }

    #[test]
    fn a_single_executable_stands_in_an_empty_root() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &vec![9; 300_000]).unwrap();
        let image = RootImage::Executable { file: file.into(), name: b"program".to_vec() };
        let builder = Builder::new(mount_root(&resources(), image, &[]).unwrap());
        let program = builder.find("/program").unwrap();
        let metadata = program.inode().metadata().unwrap();
        assert_eq!((metadata.size_bytes, metadata.permissions()), (300_000, 0o755));
    }
}
