//! The tree that a sandbox starts with.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::pread;

use super::Image;
use crate::Errno;
use crate::fs::CreationMode;
use crate::fs::dev::MemoryDevices;
use crate::fs::host::HostTree;
use crate::fs::layers::LayeredTree;
use crate::fs::operations::{OpenRequest, create_node, open, unlink};
use crate::fs::tmpfs::{self, MemoryResources, TmpfsOptions};
use crate::fs::{
    FileKind, FsView, Mount, MountFlags, MountNamespace, NewNode, OpenFlags, Path, ResolveFlags, Resolver,
    Settings, TaskFs, Viewer, overlay,
};
use crate::slices;

/// Bytes of an executable that are copied at a time.
const COPY_LEN: usize = 256 * 1024;

/// Why there is no tree to start with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}", reason = self.reason())]
pub struct BootError {
    /// Where it went wrong, in the tree.
    pub path: String,
    /// What went wrong.
    pub errno: Errno,
}

impl BootError {
    pub(super) fn at(path: &str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { path: path.to_owned(), errno }
    }

    /// What a person wants to read.
    fn reason(&self) -> String {
        match self.errno {
            Errno::ENOTDIR | Errno::EEXIST | Errno::ELOOP => {
                "there must be a directory, or nothing".to_owned()
            }
            Errno::EISDIR => "there must be a file, or nothing".to_owned(),
            Errno::ENOMEM | Errno::ENOSPC => {
                "there is not enough guest memory; give the guest more with --memory".to_owned()
            }
            Errno::ENODEV => "there is no such type of file system".to_owned(),
            errno => std::io::Error::from_raw_os_error(i32::from(errno.raw())).to_string(),
        }
    }
}

/// Mounts the root file system, and /dev with its tmpfs for shared memory, as `viewer`, the kernel. Directories that the image
/// lacks are made, in memory.
///
/// # Errors
/// The image cannot be read, or something else is where a mount point should be.
pub(super) fn mount_root(
    resources: &MemoryResources,
    image: Image,
    viewer: Viewer,
) -> Result<Builder, BootError> {
    let (root, executable) = mount_image(resources, image).map_err(BootError::at("/"))?;
    let builder = Builder::new(MountNamespace::new(root, &resources.user_namespace), viewer);
    if let Some((file, name)) = executable {
        builder.copy_in(&file, &name).map_err(BootError::at(&format!("/{}", name.escape_ascii())))?;
    }
    builder.directory("/tmp", 0o1777).map_err(BootError::at("/tmp"))?;
    builder.mount_devices(resources).map_err(BootError::at("/dev"))?;
    Ok(builder)
}

/// An executable of the host and what it is to be called.
type Executable = (OwnedFd, Vec<u8>);

/// The root file system; an executable is still to be copied into it.
fn mount_image(resources: &MemoryResources, image: Image) -> Result<(Arc<Mount>, Option<Executable>), Errno> {
    let devices = MemoryDevices::new(resources.frames.clone(), resources.log.clone());
    resources.specials.register(FileKind::CharacterDevice, 1, devices);
    let options = TmpfsOptions { permissions: 0o755, ..TmpfsOptions::default() };
    let flags = MountFlags::RELATIME;
    Ok(match image {
        Image::Directory { root, owners } => {
            let (root, status) = HostTree::new(root, owners, max_handles()).root()?;
            (overlay::new_mount(resources, root, &status, flags)?, None)
        }
        Image::Layers { index, contents } => {
            let (root, status) = LayeredTree::new(index, contents)?.root()?;
            (overlay::new_mount(resources, root, &status, flags)?, None)
        }
        Image::Executable { file, name } => {
            (tmpfs::new_mount(resources, &options, "rootfs", flags)?, Some((file, name)))
        }
    })
}

/// How many files of the image may be open on the host at a time: half of what the process may have, within bounds.
fn max_handles() -> usize {
    (open_files_limit() / 2).clamp(64, 1 << 16)
}

/// How many descriptors this process may have.
pub(super) fn open_files_limit() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// What puts the tree together, before there is anybody in it.
pub(super) struct Builder {
    view: FsView,
    viewer: Viewer,
}

impl Builder {
    /// What works on the tree of `namespace`, as `viewer`.
    pub(super) fn new(namespace: Arc<MountNamespace>, viewer: Viewer) -> Self {
        Self { view: TaskFs::new(namespace).view(), viewer }
    }

    /// All that has been mounted.
    pub(super) fn namespace(&self) -> &Arc<MountNamespace> {
        &self.view.namespace
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
                CreationMode::exact(permissions),
            )?,
            found => found?,
        };
        if found.is_directory() { Ok(found) } else { Err(Errno::ENOTDIR) }
    }

    /// The directory `path`, made with all that leads there if there is nothing.
    ///
    /// # Errors
    /// Something else is in the way.
    pub(super) fn directories(&self, path: &str) -> Result<Path, Errno> {
        let ends = path.match_indices('/').map(|(index, _)| index).filter(|index| *index > 0);
        for end in ends {
            self.directory(path.get(..end).unwrap_or_default(), 0o755)?;
        }
        self.directory(path, 0o755)
    }

    /// The file `path`, made empty if there is nothing.
    fn file(&self, path: &str) -> Result<Path, Errno> {
        let path = path.trim_end_matches('/');
        if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
            self.directories(parent)?;
        }
        let found = match self.find(path) {
            Err(Errno::ENOENT) => create_node(
                &self.resolver(),
                &self.view.root,
                path.as_bytes(),
                NewNode::Regular,
                CreationMode::exact(0o644),
            )?,
            found => found?,
        };
        if found.is_directory() { Err(Errno::EISDIR) } else { Ok(found) }
    }

    /// Makes the directory `path` a mount of its own, of what is there.
    ///
    /// # Errors
    /// Something else is in the way.
    pub(super) fn make_volume(&self, path: &str) -> Result<(), BootError> {
        let place = self.directories(path).map_err(BootError::at(path))?;
        self.view.namespace.bind(&place, place.clone(), false).map_err(BootError::at(path))
    }

    /// The beginning of the regular file `path`, up to `max_len` bytes.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(super) fn read_file(&self, path: &str, max_len: usize) -> Result<Vec<u8>, Errno> {
        if self.find(path)?.kind() != FileKind::Regular {
            return Err(Errno::EINVAL);
        }
        let request = OpenRequest { flags: OpenFlags::empty(), mode: CreationMode::default() };
        let file = open(&self.resolver(), &self.view.root, path.as_bytes(), request)?;
        let mut contents = vec![0; max_len];
        let mut len = 0;
        while let Some(rest) = contents.get_mut(len..).filter(|rest| !rest.is_empty()) {
            match file.file().read_at(rest, len as u64)? {
                0 => break,
                read => len += read,
            }
        }
        contents.truncate(len);
        Ok(contents)
    }

    /// Has `path` be a regular file with these contents, whatever it was. A symbolic link there leads nowhere any more.
    ///
    /// # Errors
    /// A directory is there, or there is no memory.
    pub(super) fn replace_file(&self, path: &str, contents: &[u8]) -> Result<(), BootError> {
        self.try_replace_file(path, contents).map_err(BootError::at(path))
    }

    fn try_replace_file(&self, path: &str, contents: &[u8]) -> Result<(), Errno> {
        if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
            self.directories(parent)?;
        }
        match unlink(&self.resolver(), &self.view.root, path.as_bytes()) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
        let flags = OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::WRONLY;
        let request = OpenRequest { flags, mode: CreationMode::exact(0o644) };
        let file = open(&self.resolver(), &self.view.root, path.as_bytes(), request)?;
        let mut written = 0;
        while let Some(rest) = contents.get(written..).filter(|rest| !rest.is_empty()) {
            written += file.file().write_at(rest, written as u64)?;
        }
        Ok(())
    }

    /// Attaches `mount` at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// Something else is where the mount point should be.
    pub(super) fn mount(&self, path: &str, mount: &Arc<Mount>) -> Result<(), Errno> {
        let place = if mount.root().is_directory() { self.directories(path)? } else { self.file(path)? };
        self.view.namespace.attach(mount, place)
    }

    /// Has nothing be changed in the root file system any more.
    ///
    /// # Errors
    /// Something in it is being written.
    pub(super) fn forbid_changes(&self) -> Result<(), Errno> {
        let settings = Settings { set: MountFlags::RDONLY, ..Settings::default() };
        self.view.namespace.change_settings(&self.view.root, settings, false)
    }

    /// /dev with its devices, and the tmpfs for shared memory in it.
    fn mount_devices(&self, resources: &MemoryResources) -> Result<(), Errno> {
        let instance = resources.devtmpfs()?.instance().clone();
        // Programs map /dev/zero to execute it.
        self.mount("/dev", &Mount::of(&resources.mounts, instance, "devtmpfs", MountFlags::NOSUID))?;
        let no_devices = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
        let shm = tmpfs::new_mount(resources, &TmpfsOptions::default(), "shm", no_devices)?;
        self.mount("/dev/shm", &shm)
    }

    /// Makes `path` an executable with these contents.
    ///
    /// # Errors
    /// There is no room.
    pub(super) fn write_program(&self, path: &str, contents: &[u8]) -> Result<(), Errno> {
        let request =
            OpenRequest { flags: OpenFlags::CREAT | OpenFlags::WRONLY, mode: CreationMode::exact(0o755) };
        let file = open(&self.resolver(), &self.view.root, path.as_bytes(), request)?;
        match file.file().write_at(contents, 0)? == contents.len() {
            true => Ok(()),
            false => Err(Errno::ENOSPC),
        }
    }

    /// Copies an executable of the host into the root directory.
    fn copy_in(&self, file: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        let request =
            OpenRequest { flags: OpenFlags::CREAT | OpenFlags::WRONLY, mode: CreationMode::exact(0o755) };
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
            let mut rest = slices::first(&buffer, len)?;
            while !rest.is_empty() {
                let written = copy.file().write_at(rest, offset)?;
                offset += written as u64;
                rest = slices::rest(rest, written)?;
            }
        }
    }
}

#[cfg(test)]
mod tests;
