//! What was changed in memory is written to the device: inodes, contents, directories.
//!
//! A directory is written anew as a whole, without a tree of hashes. Blocks of a file that stay where they are in the file stay
//! where they are on the device.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::directory::{Entry, build};
use super::inode::{InodeFlags, RawInode, Stamp};
use super::map::FileMap;
use super::superblock::Incompatible;
use super::volume::{ExtVolume, State};
use crate::Errno;
use crate::fs::disk_control::{LABEL_BYTES, TrimRange};
use crate::fs::lower::{ChangedBody, ChangedEntry, ChangedFile, FileId, LowerStore};
use crate::fs::{FileKind, FileSystemInfo};
use crate::memory::PageCache;
use crate::pace::Unhurried;

/// Bytes of contents that are moved at a time.
const COPY_LEN: usize = 64 * 1024;
/// A text of so many bytes is not in the inode.
const LONG_LINK_LEN: usize = 60;
/// The inode of the root directory.
const ROOT: u32 = 2;
const MAGIC: u64 = 0xef53;

/// Fills a buffer with contents from an offset on.
type ReadContents<'a> = &'a dyn Fn(&mut [u8], u64) -> Result<(), Errno>;

/// The file system as what takes changes.
pub(super) struct Store(pub(super) Arc<ExtVolume>);

impl LowerStore for Store {
    fn uuid(&self) -> Option<[u8; 16]> {
        self.0.state.lock().superblock.uuid().try_into().ok()
    }

    fn info(&self) -> FileSystemInfo {
        let state = self.0.state.lock();
        let superblock = &state.superblock;
        FileSystemInfo {
            magic: MAGIC,
            block_size_bytes: superblock.block_bytes,
            blocks: superblock.blocks.saturating_sub(superblock.overhead_blocks()),
            free_blocks: superblock.free_blocks(),
            reserved_blocks: superblock.reserved_blocks(),
            inodes: superblock.inodes.into(),
            free_inodes: superblock.free_inodes().into(),
        }
    }

    fn has_extents(&self) -> bool {
        self.0.superblock().incompatible.contains(Incompatible::EXTENTS)
    }

    fn label(&self) -> [u8; LABEL_BYTES] {
        self.0.state.lock().superblock.label()
    }

    fn set_label(&self, label: [u8; LABEL_BYTES]) -> Result<(), Errno> {
        let mut state = self.0.state.lock();
        state.superblock.set_label(label);
        self.0.write_superblock(&mut state)?;
        self.0.device().sync()
    }

    fn trim(&self, range: TrimRange) -> Result<u64, Errno> {
        self.0.trim(&mut self.0.state.lock(), range)
    }

    fn disk_depth(&self) -> usize {
        self.0.device().depth()
    }

    fn store(&self, file: &ChangedFile<'_>) -> Result<(), Errno> {
        let volume = &self.0;
        let mut state = volume.state.lock();
        let state = &mut *state;
        let kind = file.metadata.kind();
        let (ino, is_new) = volume.number_of(state, file.id, kind == FileKind::Directory)?;
        let mut inode = match is_new || file.is_new_to(state, ino) {
            true => RawInode::new(volume.superblock(), ino),
            false => volume.read_inode_in(state, ino)?,
        };
        volume.store_attributes(state, &mut inode, file)?;
        volume.store_body(state, &mut inode, file)?;
        volume.write_inode(state, inode)
    }

    fn remove(&self, id: FileId) -> Result<(), Errno> {
        let mut state = self.0.state.lock();
        let ino = match id {
            FileId::Lower(ino) => u32::try_from(ino).map_err(|_| Errno::EUCLEAN)?,
            FileId::New(ino) => match state.numbers.remove(&ino) {
                Some(ino) => ino,
                None => return Ok(()),
            },
        };
        self.0.remove_inode(&mut state, ino)
    }

    fn retain_new(&self, live: &BTreeSet<u64>) -> Result<(), Errno> {
        let mut state = self.0.state.lock();
        let gone: Vec<_> = state.numbers.iter().filter(|(ino, _)| !live.contains(ino)).collect();
        let gone: Vec<_> = gone.into_iter().map(|(ino, inode)| (*ino, *inode)).collect();
        for (ino, inode) in gone {
            state.numbers.remove(&ino);
            self.0.remove_inode(&mut state, inode)?;
        }
        Ok(())
    }

    fn begin(&self) -> Result<(), Errno> {
        if self.0.device().is_read_only() { Err(Errno::EROFS) } else { Ok(()) }
    }

    fn finish(&self) -> Result<(), Errno> {
        let mut state = self.0.state.lock();
        state.charge_for_inodes();
        self.0.write_groups(&mut state)?;
        drop(state);
        self.0.written();
        self.0.device().sync()
    }

    fn unmounted(&self) -> Result<(), Errno> {
        if self.0.is_read_only { Ok(()) } else { self.0.mark_mounted(false) }
    }
}

impl ChangedFile<'_> {
    /// Whether nothing was stored of it yet, though it has a number: an entry named it first.
    fn is_new_to(&self, state: &State, ino: u32) -> bool {
        matches!(self.id, FileId::New(_)) && !state.stored.contains_key(&ino)
    }
}

impl ExtVolume {
    /// The inode of a file, and whether it was taken just now.
    fn number_of(&self, state: &mut State, id: FileId, is_directory: bool) -> Result<(u32, bool), Errno> {
        match id {
            FileId::Lower(ino) => Ok((u32::try_from(ino).map_err(|_| Errno::EUCLEAN)?, false)),
            FileId::New(ino) => {
                if let Some(known) = state.numbers.get(&ino) {
                    return Ok((*known, false));
                }
                let inode = self.take_inode(state, is_directory)?;
                state.numbers.insert(ino, inode);
                Ok((inode, true))
            }
        }
    }

    fn store_attributes(
        &self,
        state: &mut State,
        inode: &mut RawInode,
        file: &ChangedFile<'_>,
    ) -> Result<(), Errno> {
        let metadata = &file.metadata;
        inode.set_mode(metadata.mode);
        inode.set_owner(metadata.uid.0, metadata.gid.0);
        inode.set_links(metadata.links);
        inode.set_file_flags(file.file_flags);
        let stamps = [
            (Stamp::Accessed, metadata.accessed),
            (Stamp::Modified, metadata.modified),
            (Stamp::Changed, metadata.changed),
        ];
        for (which, at) in stamps {
            inode.set_stamp(which, at);
        }
        if let Some(created) = metadata.created {
            inode.set_stamp(Stamp::Created, created);
        }
        match &file.xattrs {
            Some(attributes) => self.write_attributes(state, inode, attributes),
            None => Ok(()),
        }
    }

    fn store_body(
        &self,
        state: &mut State,
        inode: &mut RawInode,
        file: &ChangedFile<'_>,
    ) -> Result<(), Errno> {
        match &file.body {
            ChangedBody::Regular { contents: Some(contents), version } => {
                if state.stored.get(&inode.ino).is_some_and(|stored| stored.0 == *version) {
                    return Ok(());
                }
                self.store_contents(state, inode, contents)?;
                state.stored.insert(inode.ino, (*version, 0));
            }
            ChangedBody::Regular { contents: None, .. } => {
                if matches!(file.id, FileId::New(_)) {
                    self.store_bytes(state, inode, &[])?;
                    state.stored.insert(inode.ino, (0, 0));
                }
            }
            ChangedBody::Directory { entries, parent, version } => {
                let parent = match parent {
                    Some(parent) => self.number_of(state, *parent, true)?.0,
                    None if inode.ino == ROOT => ROOT,
                    None => self.stored_parent(inode)?,
                };
                if state.stored.get(&inode.ino) == Some(&(*version, parent)) {
                    return Ok(());
                }
                self.store_directory(state, inode, entries, parent)?;
                state.stored.insert(inode.ino, (*version, parent));
            }
            ChangedBody::Symlink(text) if text.len() < LONG_LINK_LEN => {
                if let Some(place) = inode.map_mut().get_mut(..text.len()) {
                    place.copy_from_slice(text);
                }
                inode.set_size(text.len() as u64);
                state.stored.insert(inode.ino, (0, 0));
            }
            ChangedBody::Symlink(text) => {
                self.store_bytes(state, inode, text)?;
                state.stored.insert(inode.ino, (0, 0));
            }
            ChangedBody::Special => {
                let kind = file.metadata.kind();
                if matches!(kind, FileKind::CharacterDevice | FileKind::BlockDevice) {
                    inode.set_device(file.metadata.special_device);
                }
                state.stored.insert(inode.ino, (0, 0));
            }
        }
        Ok(())
    }

    fn stored_parent(&self, inode: &RawInode) -> Result<u32, Errno> {
        let (entries, _charge) = self.entries(inode, &Unhurried)?;
        entries.iter().find(|entry| *entry.name == *b"..").map(|entry| entry.inode).ok_or(Errno::EUCLEAN)
    }

    fn store_directory(
        &self,
        state: &mut State,
        inode: &mut RawInode,
        changed: &[ChangedEntry],
        parent: u32,
    ) -> Result<(), Errno> {
        let directory = Some(FileKind::Directory);
        let mut entries = vec![
            Entry { inode: inode.ino, kind: directory, name: (*b".").into() },
            Entry { inode: parent, kind: directory, name: (*b"..").into() },
        ];
        for (name, id, kind) in changed {
            let (ino, _) = self.number_of(state, *id, *kind == directory)?;
            entries.push(Entry { inode: ino, kind: *kind, name: name.clone() });
        }
        let mut flags = inode.flags();
        flags.remove(InodeFlags::INDEX);
        inode.set_flags(flags);
        let bytes = build(self.superblock(), inode, &entries);
        self.store_bytes(state, inode, &bytes)
    }

    /// Has the file hold `bytes`.
    fn store_bytes(&self, state: &mut State, inode: &mut RawInode, bytes: &[u8]) -> Result<(), Errno> {
        let read = |buffer: &mut [u8], offset: u64| {
            let from = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
            buffer.iter_mut().zip(from.unwrap_or_default()).for_each(|(place, byte)| *place = *byte);
            Ok(())
        };
        self.store_blocks(state, inode, bytes.len() as u64, &read, &|offset| Some(offset))
    }

    /// Has the file hold what `cache` does.
    fn store_contents(
        &self,
        state: &mut State,
        inode: &mut RawInode,
        cache: &PageCache,
    ) -> Result<(), Errno> {
        let read = |buffer: &mut [u8], offset: u64| cache.read_at(buffer, offset, None).map(drop);
        self.store_blocks(state, inode, cache.size(), &read, &|offset| cache.next_data(offset))
    }

    /// Writes so many bytes that `read` yields. `next_data` says where the next bytes are that are not of a hole.
    fn store_blocks(
        &self,
        state: &mut State,
        inode: &mut RawInode,
        size: u64,
        read: ReadContents<'_>,
        next_data: &dyn Fn(u64) -> Option<u64>,
    ) -> Result<(), Errno> {
        let block_bytes = self.superblock().block_bytes;
        let old = self.read_map(inode)?;
        let mut new = FileMap::default();
        let mut offset = 0;
        while offset < size {
            let Some(data) = next_data(offset).filter(|data| *data < size) else { break };
            offset = offset.max(data / block_bytes * block_bytes);
            let mut buffer = vec![0; COPY_LEN.min((size - offset).next_multiple_of(block_bytes) as usize)];
            let len = buffer.len().min(usize::try_from(size - offset).unwrap_or(usize::MAX));
            read(buffer.get_mut(..len).unwrap_or_default(), offset)?;
            for block in buffer.chunks(self.block_bytes()) {
                self.store_block(state, (&old, &mut new), offset / block_bytes, block)?;
                offset += block_bytes;
            }
        }
        self.free_unused(state, &old, &new)?;
        self.write_map(state, inode, &mut new, &old.own)?;
        if size > i32::MAX as u64 {
            state.superblock.set_has_large_file();
        }
        inode.set_size(size);
        let attributes = u64::from(inode.attribute_block() != 0);
        let blocks = new.blocks() + new.own.len() as u64 + attributes;
        inode.set_sectors(self.superblock(), blocks * (block_bytes / 512));
        Ok(())
    }

    /// Writes one block of a file where it was, or somewhere; in a file that was stored before, a hole of zeroes stays one.
    fn store_block(
        &self,
        state: &mut State,
        (old, new): (&FileMap, &mut FileMap),
        logical: u64,
        bytes: &[u8],
    ) -> Result<(), Errno> {
        let place = match old.find(logical) {
            Some(run) => run.physical + (logical - run.logical),
            None if !old.runs.is_empty() && bytes.iter().all(|byte| *byte == 0) => return Ok(()),
            None => self.take_block(state)?,
        };
        self.write_block(place, bytes)?;
        new.push(logical, place)
    }

    /// Gives back the blocks of `old` that are not in `new`.
    fn free_unused(&self, state: &mut State, old: &FileMap, new: &FileMap) -> Result<(), Errno> {
        for run in &old.runs {
            for index in 0..run.len {
                if new.find(run.logical + index).is_none() {
                    self.free_block(state, run.physical + index)?;
                }
            }
        }
        Ok(())
    }

    /// Gives back an inode and all its blocks.
    fn remove_inode(&self, state: &mut State, ino: u32) -> Result<(), Errno> {
        let mut inode = self.read_inode_in(state, ino)?;
        let is_stored = state.stored.remove(&ino).is_some() || inode.links() != 0;
        let kind = inode.kind();
        if is_stored {
            let has_blocks = match kind {
                Some(FileKind::Regular | FileKind::Directory) => true,
                Some(FileKind::Symlink) => inode.size() >= LONG_LINK_LEN as u64,
                _ => false,
            };
            let map = if has_blocks { self.read_map(&inode)? } else { FileMap::default() };
            self.free_unused(state, &map, &FileMap::default())?;
            for block in &map.own {
                self.free_block(state, *block)?;
            }
            self.release_attribute_block(state, &mut inode)?;
        }
        let mut gone = RawInode::new(self.superblock(), ino);
        gone.set_mode(inode.mode());
        let now = crate::fs::Timestamp::now().seconds;
        gone.set_deleted(u32::try_from(now).unwrap_or(u32::MAX));
        self.write_inode(state, gone)?;
        self.free_inode(state, ino, kind == Some(FileKind::Directory))
    }
}
