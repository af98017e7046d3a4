//! A layer: a directory of another file system, and what is done to its files.
//!
//! Everything goes through the dentries of that file system, so that whoever looks at the layer itself sees it at once. Their
//! locks are taken while those of the overlay are held, never the other way round.

use std::sync::Arc;

use crate::Errno;
use crate::fs::inode::{NodeCreation, RenameMode};
use crate::fs::inotify::{EntryChild, WatchMask};
use crate::fs::metadata::DeviceNumber;
use crate::fs::{Dentry, Inode, Mount};

/// A layer of an overlay.
pub(super) struct Layer {
    /// A mount that is attached nowhere: the file system stays for as long as the layer does.
    mount: Arc<Mount>,
    /// Which of the file systems of the layers it is on.
    pub(super) file_system: usize,
    /// The device number by which non-directories of the layer are told from those of others.
    pub(super) device: DeviceNumber,
}

impl Layer {
    pub(super) fn new(mount: Arc<Mount>, file_system: usize, device: DeviceNumber) -> Self {
        Self { mount, file_system, device }
    }

    pub(super) fn root(&self) -> &Arc<Dentry> {
        self.mount.root()
    }

    pub(super) fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }
}

/// The file called `name` in `directory`, if there is one.
pub(super) fn find(directory: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Dentry>>, Errno> {
    match directory.lookup(name) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::ENOENT | Errno::ENAMETOOLONG) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes `name` in `directory`.
///
/// # Errors
/// EEXIST, and those of [`Inode::create`].
pub(super) fn make(
    directory: &Arc<Dentry>,
    name: &[u8],
    creation: &NodeCreation<'_>,
) -> Result<Arc<Dentry>, Errno> {
    enter(directory, name, || directory.inode().create(name, creation))
}

/// Gives the file `target` the further name `name` in `directory`.
///
/// # Errors
/// EEXIST, and those of [`Inode::link`].
pub(super) fn link(directory: &Arc<Dentry>, name: &[u8], target: &Arc<Dentry>) -> Result<(), Errno> {
    let inode = target.inode();
    enter(directory, name, || directory.inode().link(name, inode).map(|()| inode.clone()))?;
    Ok(())
}

fn enter(
    directory: &Arc<Dentry>,
    name: &[u8],
    make: impl FnOnce() -> Result<Arc<dyn Inode>, Errno>,
) -> Result<Arc<Dentry>, Errno> {
    let mut locked = directory.lock();
    locked.check_alive()?;
    match locked.lookup(name) {
        Err(Errno::ENOENT) => {}
        Ok(_) => return Err(Errno::EEXIST),
        Err(error) => return Err(error),
    }
    let inode = make()?;
    locked.forget(name);
    let made = locked.adopt(name, inode);
    drop(locked);
    directory.announce_entry(WatchMask::CREATE, name, EntryChild::of(&made), 0);
    Ok(made)
}

/// Removes `name`, whatever it is, from `directory`.
///
/// # Errors
/// ENOENT, ENOTEMPTY, and others of unlink(2) and rmdir(2).
pub(super) fn remove(directory: &Arc<Dentry>, name: &[u8]) -> Result<(), Errno> {
    // Declared before the lock: the file may end with this reference.
    let child;
    let mut locked = directory.lock();
    child = locked.lookup(name)?;
    let is_directory = child.is_directory();
    let locked_child = is_directory.then(|| child.lock());
    match is_directory {
        true => directory.inode().rmdir(name)?,
        false => directory.inode().unlink(name)?,
    }
    locked.removed(name, &child);
    drop(locked_child);
    drop(locked);
    let entry = EntryChild::of(&child);
    drop(child);
    directory.announce_entry(WatchMask::DELETE, name, entry, 0);
    Ok(())
}

/// Renames `old_name` in `old` to `new_name` in `new`. What is replaced is of the same kind.
///
/// # Errors
/// Those of rename(2).
pub(super) fn rename(
    (old, old_name): (&Arc<Dentry>, &[u8]),
    (new, new_name): (&Arc<Dentry>, &[u8]),
    mode: RenameMode,
) -> Result<(), Errno> {
    // Declared before the locks: what is replaced may end with these references.
    let (source, target);
    let _ancestry = (!Arc::ptr_eq(old, new)).then(|| old.lock_ancestry());
    let (mut locked_old, mut locked_new) = Dentry::lock_two(old, new);
    locked_old.check_alive()?;
    locked_new.as_ref().map_or(Ok(()), |locked| locked.check_alive())?;
    source = locked_old.lookup(old_name)?;
    target = match locked_new.as_mut().unwrap_or(&mut locked_old).lookup(new_name) {
        Ok(target) => Some(target),
        Err(Errno::ENOENT) => None,
        Err(error) => return Err(error),
    };
    let replaced = target.as_ref().filter(|_| mode != RenameMode::Exchange);
    let locked_target = replaced.filter(|target| target.is_directory()).map(|target| target.lock());
    old.inode().rename(old_name, new.inode(), new_name, mode)?;
    drop(locked_target);
    match (&target, mode) {
        (Some(target), RenameMode::Exchange) => locked_old.moved_in(old_name, target),
        _ => locked_old.vacated(old_name),
    }
    replaced.iter().for_each(|replaced| replaced.set_deleted());
    locked_new.as_mut().unwrap_or(&mut locked_old).moved_in(new_name, &source);
    drop((locked_old, locked_new));
    let (cookie, entry) = (source.next_rename_cookie(), EntryChild::of(&source));
    old.announce_rename(old_name, entry, (new, new_name));
    old.announce_entry(WatchMask::MOVED_FROM, old_name, entry, cookie);
    new.announce_entry(WatchMask::MOVED_TO, new_name, entry, cookie);
    Ok(())
}
