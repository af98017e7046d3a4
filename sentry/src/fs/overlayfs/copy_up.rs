//! Copying a file to the upper layer, before it is first changed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::inode::{OverlayInode, Place};
use super::lookup::LowerFile;
use super::{Upper, layer};
use crate::Errno;
use crate::fs::acl::AclKind;
use crate::fs::inode::{Inode, LinkTarget, NewNode, NodeCreation, RenameMode};
use crate::fs::metadata::{AttributeChanges, FileKind, Metadata, TimeChange};
use crate::fs::{Dentry, OpenFlags, Viewer};

/// Bytes that are copied at a time.
const COPY_BYTES: usize = 128 << 10;

impl OverlayInode {
    /// Its file of the upper layer, copied there now if need be, with its contents or as an empty file.
    ///
    /// # Errors
    /// EROFS: there is no upper layer. And those of reading and writing layers.
    pub(super) fn copy_up(&self, with_contents: bool) -> Result<&Arc<Dentry>, Errno> {
        if let Some(upper) = self.upper() {
            return Ok(upper);
        }
        let layer = self.overlay.upper()?;
        // Not by recursion: a guest decides how deep its directories are.
        let mut missing = Vec::new();
        let mut above = self.place.lock().directory.clone();
        while let Some(directory) = above.take().filter(|directory| directory.upper().is_none()) {
            above = directory.place.lock().directory.clone();
            missing.push(directory);
        }
        for directory in missing.iter().rev() {
            directory.copy_up_alone(layer, true)?;
        }
        self.copy_up_alone(layer, with_contents)?;
        self.upper().ok_or(Errno::EIO)
    }

    /// Copies it to the directory that it is in, which has been copied.
    fn copy_up_alone(&self, layer: &Upper, with_contents: bool) -> Result<(), Errno> {
        let _copying = self.lock_copying();
        if self.upper().is_some() {
            return Ok(());
        }
        let Place { directory, name } = self.place.lock().clone();
        let source = self.lower.first().ok_or(Errno::EIO)?;
        let temporary = self.overlay.temporary_name();
        let mut copy = self.copy_to_work(layer, source, &temporary, with_contents)?;
        if self.is_unlinked.load(Ordering::Acquire) {
            layer::remove(&layer.work, &temporary)?;
            self.set_upper(copy);
            return Ok(());
        }
        let upper = directory.as_ref().and_then(|directory| directory.upper()).ok_or(Errno::EIO)?;
        match layer::find(upper, &name)? {
            // Somebody has put it there by the layer itself, or by another inode for the same name.
            Some(there) => {
                layer::remove(&layer.work, &temporary)?;
                copy = there;
            }
            None => {
                let before = upper.inode().metadata()?;
                let moved = layer::rename((&layer.work, &temporary), (upper, &name), RenameMode::NoReplace);
                if let Err(error) = moved {
                    layer::remove(&layer.work, &temporary)?;
                    return Err(error);
                }
                self.overlay.set_impure(upper);
                // Nothing has happened to the directory that its user did.
                set_times(&**upper.inode(), &before)?;
            }
        }
        self.set_upper(copy);
        Ok(())
    }

    fn copy_to_work(
        &self,
        layer: &Upper,
        source: &LowerFile,
        temporary: &[u8],
        with_contents: bool,
    ) -> Result<Arc<Dentry>, Errno> {
        let metadata = source.dentry.inode().metadata()?;
        let copy = make_like(&layer.work, temporary, source.dentry.inode(), &metadata, &self.mounter())?;
        let filled = self.fill(source, &metadata, &copy, with_contents);
        if let Err(error) = filled {
            layer::remove(&layer.work, temporary)?;
            return Err(error);
        }
        Ok(copy)
    }

    /// Gives `copy` what `source` has: contents, attributes, times and the mark of where it is from.
    fn fill(
        &self,
        source: &LowerFile,
        metadata: &Metadata,
        copy: &Arc<Dentry>,
        with_contents: bool,
    ) -> Result<(), Errno> {
        let (from, to) = (source.dentry.inode(), copy.inode());
        if metadata.kind() == FileKind::Regular && with_contents {
            copy_contents(from, to, metadata.size_bytes, &self.mounter())?;
        }
        self.copy_attributes(&**from, &**to)?;
        let is_one_of_several = metadata.kind() != FileKind::Directory && metadata.links > 1;
        if !is_one_of_several && let Some(layer) = self.overlay.lower.get(source.layer) {
            self.overlay.set_origin(copy, layer.mount().file_system().device(), metadata.inode);
        }
        if metadata.kind() != FileKind::Symlink {
            // Writing may have taken some.
            let permissions = Some(metadata.permissions());
            to.set_attributes(&AttributeChanges { permissions, ..AttributeChanges::default() })?;
        }
        set_times(&**to, metadata)
    }

    fn copy_attributes(&self, from: &dyn Inode, to: &dyn Inode) -> Result<(), Errno> {
        let names = match from.list_xattrs() {
            Err(Errno::EOPNOTSUPP) => return Ok(()),
            names => names?,
        };
        for kind in [AclKind::Access, AclKind::Default] {
            if let Ok(Some(list)) = from.acl(kind) {
                to.set_acl(kind, Some(&list), None)?;
            }
        }
        let is_copied = |name: &Vec<u8>| {
            !name.starts_with(self.overlay.mark_prefix()) && AclKind::of_attribute(name).is_none()
        };
        for name in names.into_iter().filter(is_copied) {
            match from.get_xattr(&name) {
                Err(Errno::ENODATA) => {}
                value => to.set_xattr(&name, &value?, None)?,
            }
        }
        Ok(())
    }
}

/// Makes in `directory` what `inode`, which has `metadata`, is, without contents.
fn make_like(
    directory: &Arc<Dentry>,
    name: &[u8],
    inode: &Arc<dyn Inode>,
    metadata: &Metadata,
    viewer: &Viewer,
) -> Result<Arc<Dentry>, Errno> {
    let text;
    let node = match metadata.kind() {
        FileKind::Regular => NewNode::Regular,
        FileKind::Directory => NewNode::Directory,
        FileKind::Symlink => {
            text = match inode.follow_link(viewer)? {
                LinkTarget::Text(text) => text,
                LinkTarget::Magic(_) => return Err(Errno::EPERM),
            };
            NewNode::Symlink(&text)
        }
        FileKind::CharacterDevice => NewNode::CharacterDevice(metadata.special_device),
        FileKind::BlockDevice => NewNode::BlockDevice(metadata.special_device),
        FileKind::Fifo => NewNode::Fifo,
        FileKind::Socket => NewNode::Socket,
    };
    let (permissions, uid, gid) = (metadata.permissions(), metadata.uid, metadata.gid);
    layer::make(directory, name, &NodeCreation { node, permissions, uid, gid, acls: None })
}

fn copy_contents(
    from: &Arc<dyn Inode>,
    to: &Arc<dyn Inode>,
    size_bytes: u64,
    viewer: &Viewer,
) -> Result<(), Errno> {
    let source = from.clone().open(OpenFlags::NOATIME, viewer)?;
    let target = to.clone().open(OpenFlags::WRONLY, viewer)?;
    let mut buffer = vec![0; COPY_BYTES];
    let mut position = 0;
    while position < size_bytes {
        // Holes stay holes, if the layer tells of them.
        match source.seek_data_or_hole(position, true) {
            Ok(data) => position = data,
            Err(Errno::ENXIO) => break,
            Err(_) => {}
        }
        let read = source.read_at(&mut buffer, position)?;
        let Some(mut piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        while !piece.is_empty() {
            let written = target.write_at(piece, position)?;
            if written == 0 {
                return Err(Errno::EIO);
            }
            position += written as u64;
            piece = piece.get(written..).unwrap_or_default();
        }
    }
    if position != size_bytes {
        let size_bytes = Some(size_bytes);
        to.set_attributes(&AttributeChanges { size_bytes, ..AttributeChanges::default() })?;
    }
    Ok(())
}

fn set_times(inode: &dyn Inode, metadata: &Metadata) -> Result<(), Errno> {
    inode.set_attributes(&AttributeChanges {
        accessed: Some(TimeChange::To(metadata.accessed)),
        modified: Some(TimeChange::To(metadata.modified)),
        ..AttributeChanges::default()
    })
}
