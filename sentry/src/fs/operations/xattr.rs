//! Extended attributes (`man 7 xattr`), and the access control lists among them (`man 5 acl`).

use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::fs::Path;
use crate::fs::acl::{Acl, AclKind};
use crate::fs::file_capabilities;
use crate::fs::file_flags::{FileFlags, check_without};
use crate::fs::inotify::WatchMask;
use crate::fs::metadata::FileKind;
use crate::fs::permission::{Access, check_owner};

/// Longest name, in bytes (`XATTR_NAME_MAX`).
const MAX_NAME_LEN: usize = 255;

const STICKY: u32 = 0o1000;
const SET_GID: u32 = 0o2000;

/// Whether `name` can be that of an attribute.
///
/// # Errors
/// ERANGE.
pub fn check_xattr_name(name: &[u8]) -> Result<(), Errno> {
    if name.is_empty() || name.len() > MAX_NAME_LEN { Err(Errno::ERANGE) } else { Ok(()) }
}

/// getxattr(2).
///
/// # Errors
/// ENODATA, EACCES, EOPNOTSUPP, ERANGE for an impossible name, EOVERFLOW for capabilities of a user outside.
pub fn get_xattr(path: &Path, name: &[u8], credentials: &Credentials) -> Result<Vec<u8>, Errno> {
    check_xattr_name(name)?;
    if let Some(kind) = AclKind::of_attribute(name) {
        let list = path.inode().acl(kind)?.ok_or(Errno::ENODATA)?;
        return Ok(list.shown(&path.mount)?.to_shown(&credentials.user_namespace));
    }
    check_permission(path, name, Access::READ, credentials)?;
    let value = path.inode().get_xattr(name)?;
    if name == file_capabilities::NAME {
        return file_capabilities::to_shown(path, &value, credentials);
    }
    Ok(value)
}

/// setxattr(2).
///
/// # Errors
/// EEXIST, ENODATA, EPERM, EACCES, EOPNOTSUPP, ENOSPC, EROFS, EINVAL for impossible capabilities or access control lists.
pub fn set_xattr(
    path: &Path,
    name: &[u8],
    value: &[u8],
    must_exist: Option<bool>,
    credentials: &Credentials,
) -> Result<(), Errno> {
    check_xattr_name(name)?;
    path.mount.check_writable()?;
    if let Some(kind) = AclKind::of_attribute(name) {
        return set_acl(path, kind, value, credentials);
    }
    let is_capability = name == file_capabilities::NAME;
    let kept = match is_capability {
        true => &*file_capabilities::to_kept(path, value, &path.metadata()?, credentials)?,
        false => value,
    };
    check_may_change(path, name, credentials)?;
    path.inode().set_xattr(name, kept, must_exist)?;
    path.dentry.announce(WatchMask::ATTRIB);
    Ok(())
}

/// removexattr(2). A file that has no access control list loses it all the same.
///
/// # Errors
/// ENODATA, EPERM, EACCES, EOPNOTSUPP, EROFS.
pub fn remove_xattr(path: &Path, name: &[u8], credentials: &Credentials) -> Result<(), Errno> {
    check_xattr_name(name)?;
    path.mount.check_writable()?;
    if let Some(kind) = AclKind::of_attribute(name) {
        return set_acl(path, kind, &[], credentials);
    }
    check_may_change(path, name, credentials)?;
    if name == file_capabilities::NAME {
        file_capabilities::check_may_set(&path.metadata()?, credentials)?;
    }
    path.inode().remove_xattr(name)?;
    path.dentry.announce(WatchMask::ATTRIB);
    Ok(())
}

/// listxattr(2): each name with a NUL after it.
///
/// # Errors
/// Those of the file system.
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

/// Gives the file the access control list that `value` is, or none if that has no entries; and the mode that the list means.
///
/// # Errors
/// EINVAL, EOPNOTSUPP, EPERM for whom the file does not belong to, EACCES for the default list of what is no directory.
fn set_acl(path: &Path, kind: AclKind, value: &[u8], credentials: &Credentials) -> Result<(), Errno> {
    let inode = path.inode();
    let kept = |list: Acl| {
        let uid = |uid| path.mount.kept_uid(uid).map_err(|_| Errno::EINVAL);
        list.with_ids(uid, |gid| path.mount.kept_gid(gid).map_err(|_| Errno::EINVAL))
    };
    let list = Acl::from_shown(value, &credentials.user_namespace)?.map(kept).transpose()?;
    check_without(&**inode, FileFlags::PROTECTING)?;
    inode.acl(AclKind::Access)?;
    if kind == AclKind::Default && !path.is_directory() {
        return if list.is_some() { Err(Errno::EACCES) } else { Ok(()) };
    }
    let metadata = path.metadata()?;
    check_owner(&metadata, credentials)?;
    let namespace = path.mount.instance().owner().ok_or(Errno::EOPNOTSUPP)?;
    list.as_ref().map_or(Ok(()), |list| list.check(namespace))?;
    match (kind, &list) {
        (AclKind::Access, Some(list)) => {
            let keeps_set_gid = credentials.is_in_group(metadata.gid)
                || credentials.has_over(metadata.uid, metadata.gid, Capabilities::FSETID);
            let kept = if keeps_set_gid { 0o7000 } else { 0o7000 & !SET_GID };
            let permissions = metadata.mode & kept | list.mode();
            // What the mode says need not be kept twice.
            let list = Some(list).filter(|list| !list.is_like_mode());
            inode.set_acl(kind, list, Some(permissions))?;
        }
        _ => inode.set_acl(kind, list.as_ref(), None)?,
    }
    path.dentry.announce(WatchMask::ATTRIB);
    Ok(())
}

/// Fails unless `credentials` may change the attribute `name`, which is no access control list.
fn check_may_change(path: &Path, name: &[u8], credentials: &Credentials) -> Result<(), Errno> {
    check_permission(path, name, Access::WRITE, credentials)?;
    // Those of files have their own rule.
    let is_guarded = name.starts_with(b"security.") && name != file_capabilities::NAME;
    let may_guard = || match path.mount.instance().owner() {
        Some(owner) => credentials.has_in(owner, Capabilities::SYS_ADMIN),
        None => credentials.has(Capabilities::SYS_ADMIN),
    };
    if is_guarded && !may_guard() { Err(Errno::EPERM) } else { Ok(()) }
}

/// Fails unless `credentials` may use the attribute `name` for `access`, whether the file system has any or not.
fn check_permission(
    path: &Path,
    name: &[u8],
    access: Access,
    credentials: &Credentials,
) -> Result<(), Errno> {
    let is_write = access.contains(Access::WRITE);
    if is_write {
        check_without(&**path.inode(), FileFlags::PROTECTING)?;
    }
    let refusal = Err(if is_write { Errno::EPERM } else { Errno::ENODATA });
    if name.starts_with(b"security.") || name.starts_with(b"system.") {
        return Ok(());
    }
    if name.starts_with(b"trusted.") {
        return if credentials.has(Capabilities::SYS_ADMIN) { Ok(()) } else { refusal };
    }
    if name.starts_with(b"user.") {
        // What has no name is of no type.
        let metadata = path.metadata()?;
        if !matches!(FileKind::from_mode(metadata.mode), Some(FileKind::Regular | FileKind::Directory)) {
            return refusal;
        }
        if is_write && path.is_directory() && metadata.mode & STICKY != 0 {
            check_owner(&metadata, credentials)?;
        }
    }
    path.check_access(access, credentials)
}

/// What makes `name` no attribute of a file system that keeps those that begin with `prefixes`.
///
/// # Errors
/// EINVAL: a prefix alone names nothing. EOPNOTSUPP.
pub(in crate::fs) fn check_prefix(name: &[u8], prefixes: &[&[u8]]) -> Result<(), Errno> {
    match prefixes.iter().find_map(|prefix| name.strip_prefix(*prefix)) {
        Some([]) => Err(Errno::EINVAL),
        Some(_) => Ok(()),
        None => Err(Errno::EOPNOTSUPP),
    }
}
