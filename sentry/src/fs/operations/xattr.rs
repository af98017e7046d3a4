//! Extended attributes (`man 7 xattr`).

use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::fs::Path;
use crate::fs::inotify::WatchMask;
use crate::fs::metadata::FileKind;
use crate::fs::permission::{Access, check_access, check_owner};

/// Longest name, in bytes (`XATTR_NAME_MAX`).
const MAX_NAME_LEN: usize = 255;

const STICKY: u32 = 0o1000;

/// getxattr(2).
///
/// # Errors
/// ENODATA, EACCES, EOPNOTSUPP, ERANGE for an impossible name.
pub fn get_xattr(path: &Path, name: &[u8], credentials: &Credentials) -> Result<Vec<u8>, Errno> {
    check_name(name)?;
    if name.starts_with(b"user.") {
        if !has_user_attributes(path.kind()) {
            return Err(Errno::ENODATA);
        }
        check_access(&**path.inode(), Access::READ, credentials)?;
    } else if name.starts_with(b"trusted.") && !credentials.has(Capabilities::SYS_ADMIN) {
        return Err(Errno::ENODATA);
    }
    path.inode().get_xattr(name)
}

/// setxattr(2).
///
/// # Errors
/// EEXIST, ENODATA, EPERM, EACCES, EOPNOTSUPP, ENOSPC, EROFS.
pub fn set_xattr(
    path: &Path,
    name: &[u8],
    value: &[u8],
    must_exist: Option<bool>,
    credentials: &Credentials,
) -> Result<(), Errno> {
    check_may_change(path, name, credentials)?;
    path.inode().set_xattr(name, value, must_exist)?;
    path.dentry.announce(WatchMask::ATTRIB);
    Ok(())
}

/// removexattr(2).
///
/// # Errors
/// ENODATA, EPERM, EACCES, EOPNOTSUPP, EROFS.
pub fn remove_xattr(path: &Path, name: &[u8], credentials: &Credentials) -> Result<(), Errno> {
    check_may_change(path, name, credentials)?;
    path.inode().remove_xattr(name)?;
    path.dentry.announce(WatchMask::ATTRIB);
    Ok(())
}

/// listxattr(2): each name with a NUL after it.
///
/// # Errors
/// EOPNOTSUPP.
pub fn list_xattrs(path: &Path, credentials: &Credentials) -> Result<Vec<u8>, Errno> {
    let mut list = Vec::new();
    for name in path.inode().list_xattrs()? {
        if !name.starts_with(b"trusted.") || credentials.has(Capabilities::SYS_ADMIN) {
            list.extend_from_slice(&name);
            list.push(0);
        }
    }
    Ok(list)
}

fn check_name(name: &[u8]) -> Result<(), Errno> {
    if name.is_empty() || name.len() > MAX_NAME_LEN {
        return Err(Errno::ERANGE);
    }
    // A namespace alone names nothing.
    let is_bare = [&b"user."[..], b"trusted.", b"security."].contains(&name);
    if is_bare { Err(Errno::EINVAL) } else { Ok(()) }
}

fn has_user_attributes(kind: FileKind) -> bool {
    matches!(kind, FileKind::Regular | FileKind::Directory)
}

fn check_may_change(path: &Path, name: &[u8], credentials: &Credentials) -> Result<(), Errno> {
    check_name(name)?;
    path.mount.check_writable()?;
    if name.starts_with(b"user.") {
        if !has_user_attributes(path.kind()) {
            return Err(Errno::EPERM);
        }
        let metadata = path.inode().metadata()?;
        if path.is_directory() && metadata.mode & STICKY != 0 {
            check_owner(&metadata, credentials)?;
        }
        return check_access(&**path.inode(), Access::WRITE, credentials);
    }
    let may_change = if name == b"security.capability" {
        let metadata = path.inode().metadata()?;
        credentials.has_over(metadata.uid, metadata.gid, Capabilities::SETFCAP)
    } else if name.starts_with(b"trusted.") || name.starts_with(b"security.") {
        credentials.has(Capabilities::SYS_ADMIN)
    } else {
        true
    };
    if may_change { Ok(()) } else { Err(Errno::EPERM) }
}
