//! Changing the entries of a directory: everything happens in the upper layer.

use std::sync::Arc;

use super::inode::{OverlayInode, Place};
use super::options::RedirectMode;
use super::{Upper, layer, setup};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::Dentry;
use crate::fs::inode::{Inode as _, NewNode, NodeCreation, RenameMode};
use crate::fs::metadata::{DeviceNumber, FileKind};

/// What says that there is nothing of its name.
const WHITEOUT: NodeCreation<'_> = NodeCreation {
    node: NewNode::CharacterDevice(DeviceNumber { major: 0, minor: 0 }),
    permissions: 0,
    uid: KernelUid::ROOT,
    gid: KernelGid::ROOT,
    acls: None,
};

/// A file of the upper layer that has been taken out of its directory, and goes back unless it is let go.
struct TakenOut<'a> {
    upper: &'a Upper,
    directory: &'a Arc<Dentry>,
    name: &'a [u8],
    /// Its name in the work directory; `None` if there was nothing to take.
    temporary: Option<Vec<u8>>,
}

impl<'a> TakenOut<'a> {
    fn take(
        inode: &OverlayInode,
        upper: &'a Upper,
        directory: &'a Arc<Dentry>,
        name: &'a [u8],
    ) -> Result<Self, Errno> {
        let temporary = match layer::find(directory, name)? {
            Some(_) => {
                let temporary = inode.overlay.temporary_name();
                layer::rename((directory, name), (&upper.work, &temporary), RenameMode::NoReplace)?;
                Some(temporary)
            }
            None => None,
        };
        Ok(Self { upper, directory, name, temporary })
    }

    fn is_something(&self) -> bool {
        self.temporary.is_some()
    }

    /// Removes it for good.
    fn let_go(mut self, inode: &OverlayInode) {
        if let Some(temporary) = self.temporary.take() {
            // What stays is removed by the next mount.
            let _ = setup::remove_tree(&self.upper.work, &temporary, &inode.mounter());
        }
    }
}

impl Drop for TakenOut<'_> {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            let there = (self.directory, self.name);
            let _ = layer::rename((&self.upper.work, &temporary), there, RenameMode::NoReplace);
        }
    }
}

impl OverlayInode {
    /// Makes `name`, of which there is nothing but perhaps a whiteout.
    ///
    /// # Errors
    /// Those of [`Inode::create`](crate::fs::Inode::create).
    pub(super) fn create_child(&self, name: &[u8], creation: &NodeCreation<'_>) -> Result<Arc<Self>, Errno> {
        if creation.node == WHITEOUT.node {
            return Err(Errno::EPERM);
        }
        let upper = self.overlay.upper()?;
        let directory = self.copy_up(true)?;
        let whiteout = TakenOut::take(self, upper, directory, name)?;
        let made = layer::make(directory, name, creation)?;
        // Where marks are made at all, one spares the lookups below.
        let hides =
            whiteout.is_something() || self.is_merged() && self.overlay.options.redirect == RedirectMode::On;
        if creation.node == NewNode::Directory && hides {
            let marked = self.overlay.set_opaque(&made);
            if let Err(error) = marked {
                layer::remove(directory, name)?;
                return Err(error);
            }
        }
        whiteout.let_go(self);
        self.adopt(name, made)
    }

    /// Gives `target` the further name `name`, of which there is nothing but perhaps a whiteout.
    ///
    /// # Errors
    /// Those of [`Inode::link`](crate::fs::Inode::link).
    pub(super) fn link_child(&self, name: &[u8], target: &Self) -> Result<(), Errno> {
        let upper = self.overlay.upper()?;
        let target = target.copy_up(true)?;
        let directory = self.copy_up(true)?;
        let whiteout = TakenOut::take(self, upper, directory, name)?;
        layer::link(directory, name, target)?;
        whiteout.let_go(self);
        if self.overlay.origin(target).is_some() {
            self.overlay.set_impure(directory);
        }
        Ok(())
    }

    /// Removes `name`, a directory only if nothing is in it.
    ///
    /// # Errors
    /// ENOTEMPTY, and those of the upper layer.
    pub(super) fn remove_child(&self, name: &[u8]) -> Result<(), Errno> {
        let child = self.look_up(name)?;
        if child.kind() == FileKind::Directory && !child.is_empty()? {
            return Err(Errno::ENOTEMPTY);
        }
        let upper = self.overlay.upper()?;
        let directory = self.copy_up(true)?;
        let _copying = child.lock_copying();
        let leaves_whiteout = self.is_in_lower(name)?;
        if !leaves_whiteout && child.kind() != FileKind::Directory {
            layer::remove(directory, name)?;
        } else {
            let removed = TakenOut::take(self, upper, directory, name)?;
            if leaves_whiteout {
                layer::make(directory, name, &WHITEOUT)?;
            }
            removed.let_go(self);
        }
        if child.upper().is_none() {
            child.unlinked();
        }
        Ok(())
    }

    /// Renames `name` to `new_name` in `new`.
    ///
    /// # Errors
    /// EXDEV: a directory of a lower layer cannot be renamed without marks. ENOTEMPTY. And those of the upper layer.
    pub(super) fn rename_child(
        &self,
        name: &[u8],
        new: &Self,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let upper = self.overlay.upper()?;
        let source = self.look_up(name)?;
        let target = match new.look_up(new_name) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        let exchanged = target.as_ref().filter(|_| mode == RenameMode::Exchange);
        let replaced = target.as_ref().filter(|_| mode != RenameMode::Exchange);
        source.check_movable()?;
        exchanged.map_or(Ok(()), |target| target.check_movable())?;
        if let Some(replaced) = replaced.filter(|replaced| replaced.kind() == FileKind::Directory)
            && !replaced.is_empty()?
        {
            return Err(Errno::ENOTEMPTY);
        }
        source.copy_up(true)?;
        exchanged.map_or(Ok(()), |target| target.copy_up(true).map(drop))?;
        let (old_directory, new_directory) = (self.copy_up(true)?, new.copy_up(true)?);
        source.prepare_move(name, self, new, new_name)?;
        if let Some(target) = exchanged {
            target.prepare_move(new_name, new, self, name)?;
            layer::rename((old_directory, name), (new_directory, new_name), mode)?;
        } else {
            let whiteout = self.prepare_whiteout(upper, name)?;
            let _copying = replaced.map(|replaced| replaced.lock_copying());
            let taken = TakenOut::take(self, upper, new_directory, new_name)?;
            layer::rename((old_directory, name), (new_directory, new_name), RenameMode::NoReplace)?;
            taken.let_go(self);
            if let Some(whiteout) = whiteout {
                layer::rename((&upper.work, &whiteout), (old_directory, name), RenameMode::NoReplace)?;
            }
            replaced
                .iter()
                .filter(|replaced| replaced.upper().is_none())
                .for_each(|replaced| replaced.unlinked());
        }
        source.moved_to(new, new_name);
        exchanged.iter().for_each(|target| target.moved_to(self, name));
        if source.upper().is_some_and(|upper| self.overlay.origin(upper).is_some()) {
            self.overlay.set_impure(new_directory);
        }
        Ok(())
    }

    /// Fails with EXDEV if it is a directory of a lower layer, and no mark may tell where it was.
    fn check_movable(&self) -> Result<(), Errno> {
        let needs_mark = self.kind() == FileKind::Directory && self.has_lower();
        let has_marks = self.overlay.options.redirect == RedirectMode::On && self.overlay.may_mark;
        if needs_mark && !has_marks { Err(Errno::EXDEV) } else { Ok(()) }
    }

    /// Marks a directory that is about to move from `old` to `new`: what it shows of lower layers stays, and nothing comes to it.
    fn prepare_move(&self, name: &[u8], old: &Self, new: &Self, new_name: &[u8]) -> Result<(), Errno> {
        let Some(upper) = self.upper().filter(|_| self.kind() == FileKind::Directory) else { return Ok(()) };
        if !self.has_lower() {
            let hides = new.is_merged() || new.is_in_lower(new_name)?;
            return if hides { self.overlay.set_opaque(upper) } else { Ok(()) };
        }
        let is_same_directory = std::ptr::eq(old, new);
        let text = match self.overlay.redirect(upper)? {
            // It tells where it was first already, from wherever it is.
            Some(path) if path.starts_with(b"/") => return Ok(()),
            Some(_) if is_same_directory => return Ok(()),
            Some(first) if !is_same_directory => old.path_below(&first),
            _ if is_same_directory => name.to_vec(),
            _ => old.path_below(name),
        };
        self.overlay.set_redirect(upper, &text)
    }

    /// The path from the top of lower layers to `name` in this directory.
    fn path_below(&self, name: &[u8]) -> Vec<u8> {
        let mut names = vec![name.to_vec()];
        let mut place = self.place.lock().clone();
        let mut directory = self.this.upgrade();
        while let Some(parent) = place.directory.clone() {
            let mark = directory.and_then(|directory| {
                let upper = directory.upper()?.clone();
                self.overlay.redirect(&upper).ok().flatten()
            });
            match mark {
                Some(path) if path.starts_with(b"/") => {
                    names.push(path.get(1..).unwrap_or_default().to_vec());
                    break;
                }
                Some(first) => names.push(first),
                None => names.push(std::mem::take(&mut place.name)),
            }
            place = parent.place.lock().clone();
            directory = Some(parent);
        }
        names.iter().rev().flat_map(|name| [b"/", &**name].concat()).collect()
    }

    /// A whiteout in the work directory, if `name` is to have one after it was renamed.
    fn prepare_whiteout(&self, upper: &Upper, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
        if !self.is_in_lower(name)? {
            return Ok(None);
        }
        let temporary = self.overlay.temporary_name();
        layer::make(&upper.work, &temporary, &WHITEOUT)?;
        Ok(Some(temporary))
    }

    fn moved_to(&self, directory: &Self, name: &[u8]) {
        let place = Place { directory: directory.this.upgrade(), name: name.to_vec() };
        let old = std::mem::replace(&mut *self.place.lock(), place);
        drop(old);
    }
}
