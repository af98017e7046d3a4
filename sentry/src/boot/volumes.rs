//! The host's files that are to be volumes, opened before the jail is entered.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};

use super::description::{HOSTFS, MountPoint, User};
use super::root::open_files_limit;
use crate::Errno;
use crate::fs::host::HostOwners;
use crate::fs::tmpfs::MemoryResources;
use crate::fs::volume::{self, OwnerMap, VolumeRoot};
use crate::fs::{Mount, MountFlags};

/// Why a path is no volume.
#[derive(Debug, thiserror::Error)]
#[error("volume {}: {reason}", path.display(), reason = self.reason())]
pub struct VolumeError {
    /// The path on the host.
    pub path: PathBuf,
    /// What is wrong with it.
    pub errno: Errno,
}

impl VolumeError {
    fn reason(&self) -> String {
        match self.errno {
            Errno::ENOENT => "it does not exist on the host".to_owned(),
            Errno::EINVAL => "neither a directory nor a regular file".to_owned(),
            Errno::EACCES => "it may not be opened, or is an interface of the host's kernel".to_owned(),
            errno => io::Error::from_raw_os_error(errno.raw().into()).to_string(),
        }
    }
}

/// The volumes of a description, in the order of its mounts.
#[derive(Default)]
pub struct Volumes {
    opened: Vec<Opened>,
    owners: HostOwners,
}

struct Opened {
    target: String,
    root: VolumeRoot,
    is_read_only: bool,
}

impl Volumes {
    /// Opens the volumes among `mounts`.
    ///
    /// # Errors
    /// One cannot be opened, or is neither a directory nor a regular file.
    pub fn open(mounts: &[MountPoint]) -> Result<Self, VolumeError> {
        let volumes = mounts.iter().filter(|point| point.file_system == HOSTFS);
        let open = |point: &MountPoint| {
            let source = point.source.clone().unwrap_or_default();
            let root = open_root(&source, point.is_read_only)
                .map_err(|errno| VolumeError { path: source, errno })?;
            Ok(Opened { target: point.target.clone(), root, is_read_only: point.is_read_only })
        };
        Ok(Self { opened: volumes.map(open).collect::<Result<_, _>>()?, owners: HostOwners::Told })
    }

    /// The same volumes, of whose owners the host tells in this way.
    pub fn told_by(self, owners: HostOwners) -> Self {
        Self { owners, ..self }
    }

    /// The same volumes with other roots: `map` is told whether each is read-only.
    ///
    /// # Errors
    /// Those of `map`.
    pub fn map_roots<E>(
        self,
        mut map: impl FnMut(VolumeRoot, bool) -> Result<VolumeRoot, E>,
    ) -> Result<Self, E> {
        let map = |opened: Opened| Ok(Opened { root: map(opened.root, opened.is_read_only)?, ..opened });
        Ok(Self { opened: self.opened.into_iter().map(map).collect::<Result<_, _>>()?, ..self })
    }

    /// Takes the volume that belongs at `point`, in a sandbox whose first process is `user`.
    ///
    /// # Errors
    /// EINVAL for options that it does not know, and the host's.
    pub(super) fn mount(
        &mut self,
        resources: &MemoryResources,
        point: &MountPoint,
        user: &User,
    ) -> Result<Arc<Mount>, Errno> {
        let max_handles = (open_files_limit() / 4 / self.opened.len().max(1)).max(16);
        let place =
            self.opened.iter().position(|volume| volume.target == point.target).ok_or(Errno::ENOENT)?;
        let Opened { root, is_read_only, .. } = self.opened.remove(place);
        let owners = match &*point.options {
            "" => OwnerMap::new(self.owners),
            "map" => OwnerMap::new(self.owners).with_caller_as((user.uid, user.gid)),
            _ => return Err(Errno::EINVAL),
        };
        let flags = if is_read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        let mount = volume::new_mount(resources, root, owners, max_handles, flags)?;
        // The guest's administrator cannot take back what the caller has said.
        mount.lock_flags(flags);
        Ok(mount)
    }
}

/// Opens a directory to reach what is below, or a file as it will be used. Links lead wherever the caller says.
fn open_root(path: &Path, is_read_only: bool) -> Result<VolumeRoot, Errno> {
    let flags = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = |flags| rustix::fs::openat(CWD, path, flags, Mode::empty());
    let descriptor = match open(OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC) {
        Err(rustix::io::Errno::NOTDIR) => {
            // What is no regular file is not even opened.
            let status = rustix::fs::stat(path)?;
            if rustix::fs::FileType::from_raw_mode(status.st_mode) != rustix::fs::FileType::RegularFile {
                return Err(Errno::EINVAL);
            }
            open(flags | if is_read_only { OFlags::RDONLY } else { OFlags::RDWR })?
        }
        result => result?,
    };
    VolumeRoot::new(descriptor)
}

#[cfg(test)]
mod tests;
