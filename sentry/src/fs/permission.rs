//! Who may do what with an inode (`man 7 path_resolution`, "Permissions"; `man 7 capabilities`).

use super::Viewer;
use super::acl::deciding_list;
use super::file_flags::{FileFlags, check_without};
use super::inode::Inode;
use super::metadata::{FileKind, Metadata};
use super::mount::Mount;
use super::path::Path;
use crate::Errno;
use crate::cred::{Capabilities, Credentials, KernelGid, KernelUid};

bitflags::bitflags! {
    /// What is to be done; the bits of one octal digit of a mode, and of access(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Access: u32 {
        /// Execute a file, search a directory.
        const EXECUTE = 1;
        /// Write a file, change the entries of a directory.
        const WRITE = 2;
        /// Read a file, list a directory.
        const READ = 4;
    }
}

const STICKY: u32 = 0o1000;

/// Fails unless `credentials` permit `access` to `inode`, whichever mount it is reached by.
///
/// # Errors
/// EACCES; EPERM to write what is immutable; and those of the file system.
pub fn check_access(inode: &dyn Inode, access: Access, credentials: &Credentials) -> Result<(), Errno> {
    check_access_by(None, inode, access, credentials)
}

impl Path {
    /// Fails unless `credentials` permit `access` to what is here.
    ///
    /// # Errors
    /// EACCES; EPERM to write what is immutable; and those of the file system.
    pub fn check_access(&self, access: Access, credentials: &Credentials) -> Result<(), Errno> {
        let mapped = Some(&*self.mount).filter(|mount| mount.is_id_mapped());
        check_access_by(mapped, &**self.inode(), access, credentials)
    }

    /// As [`Path::check_access`], for a process: there are files that are always its own, and such as are kept from it whatever
    /// it may do else.
    ///
    /// # Errors
    /// EACCES, and those of the file system.
    pub fn check_viewer_access(&self, access: Access, viewer: &Viewer) -> Result<(), Errno> {
        self.inode().check_viewer(viewer)?;
        match self.check_access(access, &viewer.credentials) {
            Err(Errno::EACCES) if self.inode().belongs_to(viewer) => Ok(()),
            result => result,
        }
    }
}

/// As [`check_access`], with owners as `mapped` shows them, if that is an ID-mapped mount.
fn check_access_by(
    mapped: Option<&Mount>,
    inode: &dyn Inode,
    access: Access,
    credentials: &Credentials,
) -> Result<(), Errno> {
    if access.contains(Access::WRITE) {
        check_without(inode, FileFlags::IMMUTABLE)?;
    }
    // The walk of the system's root through directories needs no metadata.
    if mapped.is_none() && inode.kind() == FileKind::Directory && credentials.has(Capabilities::DAC_OVERRIDE)
    {
        return Ok(());
    }
    let is_permitted = match inode.permits(access, credentials) {
        Some(own_rule) => own_rule?,
        None => {
            let metadata = inode.metadata()?;
            let metadata = mapped.map_or(metadata, |mount| mount.shown(metadata));
            let is_nobodys = metadata.uid == KernelUid::INVALID || metadata.gid == KernelGid::INVALID;
            if is_nobodys && mapped.is_some() && access.contains(Access::WRITE) {
                return Err(Errno::EACCES);
            }
            match deciding_list(mapped, inode, &metadata, credentials)? {
                Some(list) => {
                    list.permits(&metadata, access, credentials)
                        || has_capability(&metadata, access, credentials)
                }
                None => permits(&metadata, access, credentials),
            }
        }
    };
    if is_permitted { Ok(()) } else { Err(Errno::EACCES) }
}

/// Whether mode and owner permit `access`, or a capability does.
pub(super) fn permits(metadata: &Metadata, access: Access, credentials: &Credentials) -> bool {
    let shift = if metadata.uid == credentials.fs_uid {
        6
    } else if credentials.is_in_group(metadata.gid) {
        3
    } else {
        0
    };
    let granted = Access::from_bits_truncate(metadata.mode >> shift & 0o7);
    granted.contains(access) || has_capability(metadata, access, credentials)
}

/// Whether a capability permits `access`, whatever the mode says.
fn has_capability(metadata: &Metadata, access: Access, credentials: &Credentials) -> bool {
    let is_directory = metadata.kind() == FileKind::Directory;
    let read_search = if is_directory { Access::READ | Access::EXECUTE } else { Access::READ };
    let has = |capability| credentials.has_over(metadata.uid, metadata.gid, capability);
    if read_search.contains(access) && has(Capabilities::DAC_READ_SEARCH) {
        return true;
    }
    let is_executable = is_directory || metadata.mode & 0o111 != 0;
    (is_executable || !access.contains(Access::EXECUTE)) && has(Capabilities::DAC_OVERRIDE)
}

/// Fails unless `credentials` own an inode with `metadata`, or may act as its owner.
///
/// # Errors
/// EPERM.
pub fn check_owner(metadata: &Metadata, credentials: &Credentials) -> Result<(), Errno> {
    let may_act_as_owner =
        || credentials.has_in_own(Capabilities::FOWNER) && credentials.user_namespace.maps_uid(metadata.uid);
    if metadata.uid == credentials.fs_uid || may_act_as_owner() { Ok(()) } else { Err(Errno::EPERM) }
}

/// Fails if `directory` is sticky and `credentials` may not remove `entry` from it.
///
/// # Errors
/// EPERM.
pub fn check_sticky(directory: &Path, entry: &dyn Inode, credentials: &Credentials) -> Result<(), Errno> {
    if credentials.has(Capabilities::FOWNER) && !directory.mount.is_id_mapped() {
        return Ok(());
    }
    let metadata = directory.metadata()?;
    if metadata.mode & STICKY == 0 || metadata.uid == credentials.fs_uid {
        return Ok(());
    }
    let entry = directory.mount.shown(entry.metadata()?);
    let may_remove =
        entry.uid == credentials.fs_uid || credentials.has_over(entry.uid, entry.gid, Capabilities::FOWNER);
    if may_remove { Ok(()) } else { Err(Errno::EPERM) }
}

#[cfg(test)]
mod tests;
