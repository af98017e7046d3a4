//! Changing attributes (`man 2 chmod`, `chown`, `truncate`, `utimensat`).

use crate::Errno;
use crate::cred::{Capabilities, Credentials, KernelGid, KernelUid};
use crate::fs::Path;
use crate::fs::acl::AclKind;
use crate::fs::description_inode::DescriptionInode;
use crate::fs::file_capabilities;
use crate::fs::file_flags::{FileFlags, check_without};
use crate::fs::inotify::WatchMask;
use crate::fs::landlock::check_path;
use crate::fs::leases::break_leases;
use crate::fs::metadata::{AttributeChanges, FileKind, Metadata, PERMISSION_BITS, TimeChange};
use crate::fs::permission::{Access, check_owner};
use crate::fs::write_count::ContentsWriter;
use crate::landlock::FileAccess;

const SET_GID: u32 = 0o2000;

/// Fails for an open file that no file system names and that has no attributes of its own, whoever asks.
///
/// # Errors
/// EOPNOTSUPP.
fn check_has_attributes(path: &Path) -> Result<(), Errno> {
    match path.inode().as_any().is::<DescriptionInode>() {
        true => path.inode().set_attributes(&AttributeChanges::default()),
        false => Ok(()),
    }
}

/// Fails for what belongs to a user or group whom its mount has no number for.
///
/// # Errors
/// EOVERFLOW.
fn check_is_somebodys(metadata: &Metadata) -> Result<(), Errno> {
    match metadata.uid == KernelUid::INVALID || metadata.gid == KernelGid::INVALID {
        true => Err(Errno::EOVERFLOW),
        false => Ok(()),
    }
}

/// chmod(2).
///
/// # Errors
/// EPERM, EROFS, EOPNOTSUPP for a symbolic link, EOVERFLOW for the file of nobody.
pub fn change_mode(path: &Path, permissions: u32, credentials: &Credentials) -> Result<(), Errno> {
    path.mount.check_writable()?;
    if path.kind() == FileKind::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    check_without(&**path.inode(), FileFlags::PROTECTING)?;
    check_has_attributes(path)?;
    let metadata = path.metadata()?;
    check_is_somebodys(&metadata)?;
    check_owner(&metadata, credentials)?;
    let mut permissions = permissions & PERMISSION_BITS;
    let keeps_set_gid = credentials.is_in_group(metadata.gid)
        || credentials.has_over(metadata.uid, metadata.gid, Capabilities::FSETID);
    if !keeps_set_gid {
        permissions &= !SET_GID;
    }
    let changes = AttributeChanges { permissions: Some(permissions), ..AttributeChanges::default() };
    path.inode().set_attributes(&changes)?;
    if let Ok(Some(list)) = path.inode().acl(AclKind::Access) {
        path.inode().set_acl(AclKind::Access, Some(&list.with_mode(permissions)), None)?;
    }
    path.dentry.announce(WatchMask::ATTRIB);
    Ok(())
}

/// chown(2); `None` keeps the owner or the group.
///
/// # Errors
/// EPERM, EROFS; EOVERFLOW: the file system, or its mount, does not number them.
pub fn change_owner(
    path: &Path,
    uid: Option<KernelUid>,
    gid: Option<KernelGid>,
    credentials: &Credentials,
) -> Result<(), Errno> {
    path.mount.check_writable()?;
    if uid.is_some() || gid.is_some() {
        check_without(&**path.inode(), FileFlags::PROTECTING)?;
    }
    check_has_attributes(path)?;
    let kept_uid = uid.map(|uid| path.mount.kept_uid(uid)).transpose()?;
    let kept_gid = gid.map(|gid| path.mount.kept_gid(gid)).transpose()?;
    let metadata = path.metadata()?;
    if !credentials.has_over(metadata.uid, metadata.gid, Capabilities::CHOWN) {
        let is_owner = metadata.uid == credentials.fs_uid;
        let keeps_owner = uid.is_none_or(|uid| is_owner && uid == metadata.uid);
        let may_give_group =
            gid.is_none_or(|gid| is_owner && (gid == metadata.gid || credentials.is_in_group(gid)));
        if !keeps_owner || !may_give_group {
            return Err(Errno::EPERM);
        }
    }
    let permissions = file_capabilities::without_set_id(&metadata, credentials);
    // Whoever changes nothing else still changes these.
    if permissions.is_some() {
        check_owner(&metadata, credentials)?;
    }
    let changes =
        AttributeChanges { permissions, uid: kept_uid, gid: kept_gid, ..AttributeChanges::default() };
    if path.kind() != FileKind::Directory {
        file_capabilities::drop_capabilities(&**path.inode())?;
    }
    path.inode().set_attributes(&changes)?;
    if changes != AttributeChanges::default() {
        path.dentry.announce(WatchMask::ATTRIB);
    }
    Ok(())
}

/// truncate(2).
///
/// # Errors
/// EISDIR, EINVAL, EACCES, EROFS, and those of the file system.
pub fn truncate(path: &Path, len_bytes: u64, credentials: &Credentials) -> Result<(), Errno> {
    match path.kind() {
        FileKind::Directory => return Err(Errno::EISDIR),
        FileKind::Regular => {}
        _ => return Err(Errno::EINVAL),
    }
    path.mount.check_writable()?;
    path.check_access(Access::WRITE, credentials)?;
    check_without(&**path.inode(), FileFlags::APPEND)?;
    break_leases(path, true)?;
    check_path(credentials, path, FileAccess::TRUNCATE)?;
    let _writer = ContentsWriter::begin(path.inode())?;
    file_capabilities::drop_with_contents(&**path.inode(), credentials)?;
    let changes = AttributeChanges { size_bytes: Some(len_bytes), ..AttributeChanges::default() };
    path.inode().set_attributes(&changes)?;
    path.dentry.announce(WatchMask::MODIFY);
    Ok(())
}

/// utimensat(2); `None` keeps a time stamp.
///
/// # Errors
/// EACCES if both are "now" and the file may not be written, EPERM otherwise, EROFS.
pub fn change_times(
    path: &Path,
    accessed: Option<TimeChange>,
    modified: Option<TimeChange>,
    credentials: &Credentials,
) -> Result<(), Errno> {
    if accessed.is_none() && modified.is_none() {
        return Ok(());
    }
    path.mount.check_writable()?;
    let metadata = path.metadata()?;
    check_is_somebodys(&metadata)?;
    let owns = check_owner(&metadata, credentials);
    if accessed == Some(TimeChange::Now) && modified == Some(TimeChange::Now) {
        check_without(&**path.inode(), FileFlags::IMMUTABLE)?;
        if owns.is_err() {
            path.check_access(Access::WRITE, credentials)?;
        }
    } else {
        check_without(&**path.inode(), FileFlags::PROTECTING)?;
        owns?;
    }
    path.inode().set_attributes(&AttributeChanges { accessed, modified, ..AttributeChanges::default() })?;
    // One time alone looks like what would have moved it.
    path.dentry.announce(match (accessed, modified) {
        (Some(_), None) => WatchMask::ACCESS,
        (None, Some(_)) => WatchMask::MODIFY,
        _ => WatchMask::ATTRIB,
    });
    Ok(())
}
