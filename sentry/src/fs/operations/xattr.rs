//! Extended attributes (`man 7 xattr`).

use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::fs::Path;
use crate::fs::file_capabilities;
use crate::fs::inotify::WatchMask;
use crate::fs::metadata::FileKind;
use crate::fs::permission::{Access, check_access, check_owner};

/// Longest name, in bytes (`XATTR_NAME_MAX`).
const MAX_NAME_LEN: usize = 255;

const STICKY: u32 = 0o1000;

/// getxattr(2).
///
/// # Errors
/// ENODATA, EACCES, EOPNOTSUPP, ERANGE for an impossible name, EOVERFLOW for capabilities of a user outside.
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
    let value = path.inode().get_xattr(name)?;
    if name == file_capabilities::NAME {
        return file_capabilities::to_shown(path, &value, credentials);
    }
    Ok(value)
}

/// setxattr(2).
///
/// # Errors
/// EEXIST, ENODATA, EPERM, EACCES, EOPNOTSUPP, ENOSPC, EROFS, EINVAL for impossible capabilities.
pub fn set_xattr(
    path: &Path,
    name: &[u8],
    value: &[u8],
    must_exist: Option<bool>,
    credentials: &Credentials,
) -> Result<(), Errno> {
    check_may_change(path, name, credentials)?;
    let is_capability = name == file_capabilities::NAME;
    let kept = match is_capability {
        true => &*file_capabilities::to_kept(path, value, &path.inode().metadata()?, credentials)?,
        false => value,
    };
    path.inode().set_xattr(name, kept, must_exist)?;
    path.dentry.announce(WatchMask::ATTRIB);
    Ok(())
}

/// removexattr(2).
///
/// # Errors
/// ENODATA, EPERM, EACCES, EOPNOTSUPP, EROFS.
pub fn remove_xattr(path: &Path, name: &[u8], credentials: &Credentials) -> Result<(), Errno> {
    check_may_change(path, name, credentials)?;
    if name == file_capabilities::NAME {
        file_capabilities::check_may_set(&path.inode().metadata()?, credentials)?;
    }
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
    let may_change = if name.starts_with(b"trusted.") || name.starts_with(b"security.") {
        // Those of files have their own rule.
        name == file_capabilities::NAME || credentials.has(Capabilities::SYS_ADMIN)
    } else {
        true
    };
    if may_change { Ok(()) } else { Err(Errno::EPERM) }
}
