//! Making, linking, removing and renaming (`man 2 mknod`, `link`, `unlink`, `rmdir`, `rename`).

use std::sync::Arc;

use super::open::creation;
use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::acl::{CreationMode, InheritedAcls};
use crate::fs::dentry::LockedDirectory;
use crate::fs::file_flags::{FileFlags, check_without};
use crate::fs::inode::{NewNode, RenameMode, Viewer};
use crate::fs::inotify::{EntryChild, WatchMask};
use crate::fs::landlock::{Reference, access_to_make, check_path};
use crate::fs::metadata::DeviceNumber;
use crate::fs::mount::detach_from;
use crate::fs::permission::{Access, check_sticky};
use crate::fs::resolve::{LastComponent, Resolver};
use crate::fs::{Dentry, Path};
use crate::landlock::FileAccess;

/// Makes `node` at `path`.
///
/// # Errors
/// Those of mknod(2), mkdir(2) and symlink(2).
pub fn create_node(
    resolver: &Resolver<'_>,
    start: &Path,
    path: &[u8],
    node: NewNode<'_>,
    mode: CreationMode,
) -> Result<Path, Errno> {
    let last = resolver.resolve_parent(start, path)?;
    let viewer = resolver.viewer;
    let directory = &last.directory;
    let mut locked = lock_vacant(&last)?;
    if last.has_trailing_slash && node != NewNode::Directory {
        return Err(Errno::ENOENT);
    }
    directory.mount.check_writable()?;
    check_path(&viewer.credentials, directory, access_to_make(node.kind()))?;
    check_may_change(directory, viewer)?;
    let is_real_device = match node {
        // The whiteout of overlay file systems is anybody's to make.
        NewNode::CharacterDevice(device) => device != DeviceNumber::default(),
        NewNode::BlockDevice(_) => true,
        _ => false,
    };
    if is_real_device && !viewer.credentials.has(Capabilities::MKNOD) {
        return Err(Errno::EPERM);
    }
    let mut acls = InheritedAcls::default();
    let creation = creation(directory, node, mode, viewer, &mut acls)?;
    let inode = directory.inode().create(&last.name, &creation)?;
    let child = locked.adopt(&last.name, inode);
    drop(locked);
    directory.dentry.announce_entry(WatchMask::CREATE, &last.name, EntryChild::of(&child), 0);
    Ok(Path::new(directory.mount.clone(), child))
}

/// Gives `target` the further name `path`.
///
/// # Errors
/// Those of link(2).
pub fn link(resolver: &Resolver<'_>, target: &Path, start: &Path, path: &[u8]) -> Result<(), Errno> {
    let last = resolver.resolve_parent(start, path)?;
    let directory = &last.directory;
    let mut locked = lock_vacant(&last)?;
    if last.has_trailing_slash {
        return Err(Errno::ENOENT);
    }
    // Whoever may not write to the mount hears that after EEXIST and ENOENT, but before all that follows.
    directory.mount.check_writable()?;
    if !Arc::ptr_eq(&target.mount, &directory.mount) {
        return Err(Errno::EXDEV);
    }
    resolver.view.namespace.protections().check_link(target, &resolver.viewer.credentials)?;
    let old_directory = target.dentry.parent();
    let reference = Reference {
        old_directory: old_directory.as_ref(),
        source: &target.dentry,
        new_directory: directory,
        target: None,
        is_rename: false,
        is_exchange: false,
    };
    reference.check(&resolver.viewer.credentials)?;
    check_may_change(directory, resolver.viewer)?;
    check_without(&**target.inode(), FileFlags::PROTECTING)?;
    if target.is_directory() {
        return Err(Errno::EPERM);
    }
    directory.inode().link(&last.name, target.inode())?;
    locked.forget(&last.name);
    locked.adopt(&last.name, target.inode().clone());
    drop(locked);
    target.dentry.announce_self(WatchMask::ATTRIB);
    directory.dentry.announce_entry(WatchMask::CREATE, &last.name, EntryChild::of(&target.dentry), 0);
    Ok(())
}

/// Removes the name `path` of something that is not a directory.
///
/// # Errors
/// Those of unlink(2).
pub fn unlink(resolver: &Resolver<'_>, start: &Path, path: &[u8]) -> Result<(), Errno> {
    let last = resolver.resolve_parent(start, path)?;
    if is_dot(&last.name) {
        return Err(Errno::EISDIR);
    }
    last.directory.mount.check_writable()?;
    // Declared before the lock: the file may end with this reference.
    let child;
    let mut locked = last.directory.dentry.lock();
    locked.check_alive()?;
    child = locked.lookup(&last.name)?;
    if last.has_trailing_slash {
        return Err(if child.is_directory() { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    check_path(&resolver.viewer.credentials, &last.directory, FileAccess::REMOVE_FILE)?;
    check_may_remove(&last.directory, &child, resolver.viewer)?;
    if child.is_directory() {
        return Err(Errno::EISDIR);
    }
    check_not_mounted_on(&child, resolver)?;
    last.directory.inode().unlink(&last.name)?;
    locked.removed(&last.name, &child);
    drop(locked);
    detach_from(&child);
    child.announce_self(WatchMask::ATTRIB);
    let entry = EntryChild::of(&child);
    // This may be the file's end, which is told before that of its name.
    drop(child);
    last.directory.dentry.announce_entry(WatchMask::DELETE, &last.name, entry, 0);
    Ok(())
}

/// Removes the empty directory `path`.
///
/// # Errors
/// Those of rmdir(2).
pub fn remove_directory(resolver: &Resolver<'_>, start: &Path, path: &[u8]) -> Result<(), Errno> {
    let last = resolver.resolve_parent(start, path)?;
    match &*last.name {
        b"" => return Err(Errno::EBUSY),
        b"." => return Err(Errno::EINVAL),
        b".." => return Err(Errno::ENOTEMPTY),
        _ => {}
    }
    last.directory.mount.check_writable()?;
    let child;
    let mut locked = last.directory.dentry.lock();
    locked.check_alive()?;
    child = locked.lookup(&last.name)?;
    check_path(&resolver.viewer.credentials, &last.directory, FileAccess::REMOVE_DIR)?;
    check_may_remove(&last.directory, &child, resolver.viewer)?;
    if !child.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    check_not_mounted_on(&child, resolver)?;
    // So that nothing is made in it from the check for emptiness on.
    let locked_child = child.lock();
    last.directory.inode().rmdir(&last.name)?;
    locked.removed(&last.name, &child);
    drop(locked_child);
    drop(locked);
    detach_from(&child);
    let entry = EntryChild::of(&child);
    drop(child);
    last.directory.dentry.announce_entry(WatchMask::DELETE, &last.name, entry, 0);
    Ok(())
}

/// Renames what `old` names to `new`.
///
/// # Errors
/// Those of rename(2) and renameat2(2).
pub fn rename(
    resolver: &Resolver<'_>,
    old: &LastComponent,
    new: &LastComponent,
    mode: RenameMode,
) -> Result<(), Errno> {
    if !Arc::ptr_eq(&old.directory.mount, &new.directory.mount) {
        return Err(Errno::EXDEV);
    }
    if is_dot(&old.name) {
        return Err(Errno::EBUSY);
    }
    if is_dot(&new.name) {
        return Err(if mode.forbids_target() { Errno::EEXIST } else { Errno::EBUSY });
    }
    old.directory.mount.check_writable()?;
    let mode = match mode {
        RenameMode::Whiteout { replaces, owner } => {
            RenameMode::Whiteout { replaces, owner: old.directory.mount.kept_owner(owner)? }
        }
        other => other,
    };
    rename_in(old, new, mode, resolver)
}

fn rename_in(
    old: &LastComponent,
    new: &LastComponent,
    mode: RenameMode,
    resolver: &Resolver<'_>,
) -> Result<(), Errno> {
    let (old_directory, new_directory) = (&old.directory.dentry, &new.directory.dentry);
    // Declared before the locks: what is replaced may end with these references.
    let (source, target);
    let _ancestry = (!Arc::ptr_eq(old_directory, new_directory)).then(|| old_directory.lock_ancestry());
    let (mut locked_old, mut locked_new) = Dentry::lock_two(old_directory, new_directory);
    locked_old.check_alive()?;
    if let Some(locked) = &locked_new {
        locked.check_alive()?;
    }
    source = locked_old.lookup(&old.name)?;
    let found = locked_new.as_mut().unwrap_or(&mut locked_old).lookup(&new.name);
    target = match found {
        Ok(target) => Some(target),
        Err(Errno::ENOENT) => new.directory.inode().check_vacant().map(|()| None)?,
        Err(error) => return Err(error),
    };
    match (&target, mode) {
        (Some(_), mode) if mode.forbids_target() => return Err(Errno::EEXIST),
        (None, RenameMode::Exchange) => return Err(Errno::ENOENT),
        _ => {}
    }
    check_trailing_slashes(old, new, &source, target.as_deref(), mode)?;
    check_no_cycle(&source, new_directory, target.as_ref(), old_directory, mode)?;
    let reference = Reference {
        old_directory: Some(old_directory),
        source: &source,
        new_directory: &new.directory,
        target: target.as_ref(),
        is_rename: true,
        is_exchange: mode == RenameMode::Exchange,
    };
    reference.check(&resolver.viewer.credentials)?;
    if target.as_ref().is_some_and(|target| Arc::ptr_eq(target.inode(), source.inode())) {
        return Ok(());
    }
    check_may_rename(old, new, &source, target.as_ref(), mode, resolver)?;
    let replaced = target.as_ref().filter(|_| mode != RenameMode::Exchange);
    let locked_target = replaced.filter(|target| target.is_directory()).map(|target| target.lock());
    old_directory.inode().rename(&old.name, new_directory.inode(), &new.name, mode)?;
    drop(locked_target);

    note_moved_out(&mut locked_old, &old.name, target.as_ref(), mode);
    if let Some(replaced) = replaced {
        replaced.set_deleted();
    }
    locked_new.as_mut().unwrap_or(&mut locked_old).moved_in(&new.name, &source);
    drop((locked_old, locked_new));
    if let Some(replaced) = replaced {
        detach_from(replaced);
    }
    announce_rename(old, new, &source, target.as_deref(), mode);
    Ok(())
}

/// A directory goes nowhere below itself, and what is replaced does not hold what replaces it.
fn check_no_cycle(
    source: &Arc<Dentry>,
    new_directory: &Arc<Dentry>,
    target: Option<&Arc<Dentry>>,
    old_directory: &Arc<Dentry>,
    mode: RenameMode,
) -> Result<(), Errno> {
    if source.is_ancestor_of(new_directory) {
        return Err(Errno::EINVAL);
    }
    if target.is_some_and(|target| target.is_ancestor_of(old_directory)) {
        return Err(if mode == RenameMode::Exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    Ok(())
}

/// Notes in the directory where `old_name` was what a rename to `target`'s place has left there.
fn note_moved_out(
    directory: &mut LockedDirectory<'_>,
    old_name: &[u8],
    target: Option<&Arc<Dentry>>,
    mode: RenameMode,
) {
    match (target, mode) {
        (Some(target), RenameMode::Exchange) => directory.moved_in(old_name, target),
        (_, RenameMode::Whiteout { .. }) => directory.forget(old_name),
        _ => directory.vacated(old_name),
    }
}

/// Tells who watches of a rename that has been done.
fn announce_rename(
    old: &LastComponent,
    new: &LastComponent,
    source: &Dentry,
    target: Option<&Dentry>,
    mode: RenameMode,
) {
    let move_entry = |from: &LastComponent, to: &LastComponent, child: &Dentry, replaced: Option<&Dentry>| {
        let (cookie, entry) = (child.next_rename_cookie(), EntryChild::of(child));
        let (from_directory, to_directory) = (&from.directory.dentry, &to.directory.dentry);
        from_directory.announce_rename(&from.name, entry, (to_directory, &to.name));
        from_directory.announce_entry(WatchMask::MOVED_FROM, &from.name, entry, cookie);
        to_directory.announce_entry(WatchMask::MOVED_TO, &to.name, entry, cookie);
        if let Some(replaced) = replaced {
            replaced.announce_self(WatchMask::ATTRIB);
        }
        child.announce_self(WatchMask::MOVE_SELF);
    };
    move_entry(old, new, source, target.filter(|_| mode != RenameMode::Exchange));
    if let (Some(target), RenameMode::Exchange) = (target, mode) {
        move_entry(new, old, target, None);
    }
}

/// Fails if a slash follows the name of what is no directory.
fn check_trailing_slashes(
    old: &LastComponent,
    new: &LastComponent,
    source: &Dentry,
    target: Option<&Dentry>,
    mode: RenameMode,
) -> Result<(), Errno> {
    let named_by_new = if mode == RenameMode::Exchange { target } else { Some(source) };
    let is_wrong = old.has_trailing_slash && !source.is_directory()
        || new.has_trailing_slash && named_by_new.is_some_and(|named| !named.is_directory());
    if is_wrong { Err(Errno::ENOTDIR) } else { Ok(()) }
}

/// Fails unless the caller may do to both directories what a rename does to them, and both names are free to move.
fn check_may_rename(
    old: &LastComponent,
    new: &LastComponent,
    source: &Arc<Dentry>,
    target: Option<&Arc<Dentry>>,
    mode: RenameMode,
    resolver: &Resolver<'_>,
) -> Result<(), Errno> {
    let viewer = resolver.viewer;
    check_may_remove(&old.directory, source, viewer)?;
    match target {
        Some(target) => {
            check_may_remove(&new.directory, target, viewer)?;
            match (source.is_directory(), target.is_directory()) {
                _ if mode == RenameMode::Exchange => {}
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                _ => {}
            }
        }
        None => check_may_change(&new.directory, viewer)?,
    }
    if !Arc::ptr_eq(&old.directory.dentry, &new.directory.dentry) {
        // Its `..` changes.
        let moved = [Some(source), target.filter(|_| mode == RenameMode::Exchange)];
        for directory in moved.into_iter().flatten().filter(|moved| moved.is_directory()) {
            let directory = Path::new(old.directory.mount.clone(), directory.clone());
            directory.check_viewer_access(Access::WRITE, viewer)?;
        }
    }
    check_not_mounted_on(source, resolver)?;
    target.map_or(Ok(()), |target| check_not_mounted_on(target, resolver))
}

/// Locks the directory of a name that nothing has yet.
///
/// # Errors
/// EEXIST, ENOENT if the directory itself has been removed, and those of looking.
pub(super) fn lock_vacant(last: &LastComponent) -> Result<LockedDirectory<'_>, Errno> {
    if is_dot(&last.name) {
        return Err(Errno::EEXIST);
    }
    let mut locked = last.directory.dentry.lock();
    locked.check_alive()?;
    match locked.lookup(&last.name) {
        Ok(_) => Err(Errno::EEXIST),
        Err(Errno::ENOENT) => last.directory.inode().check_vacant().map(|()| locked),
        Err(error) => Err(error),
    }
}

/// Whether the last component names a directory by itself: the root, `.` or `..`.
fn is_dot(name: &[u8]) -> bool {
    matches!(name, b"" | b"." | b"..")
}

/// Fails unless entries of `directory` may be changed.
fn check_may_change(directory: &Path, viewer: &Viewer) -> Result<(), Errno> {
    directory.mount.check_writable()?;
    directory.check_viewer_access(Access::WRITE | Access::EXECUTE, viewer)
}

/// Fails unless `child` may be removed from `directory`.
pub(in crate::fs) fn check_may_remove(
    directory: &Path,
    child: &Dentry,
    viewer: &Viewer,
) -> Result<(), Errno> {
    check_may_change(directory, viewer)?;
    check_without(&**directory.inode(), FileFlags::APPEND)?;
    check_sticky(directory, &**child.inode(), &viewer.credentials)?;
    check_without(&**child.inode(), FileFlags::PROTECTING)
}

/// Fails if something is mounted on `child`. Mounts in other namespaces are no obstacle.
fn check_not_mounted_on(child: &Arc<Dentry>, resolver: &Resolver<'_>) -> Result<(), Errno> {
    if resolver.view.namespace.is_mount_point(child) { Err(Errno::EBUSY) } else { Ok(()) }
}
