//! Listing a directory that is made of those of several layers.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::inode::OverlayInode;
use super::layer;
use crate::Errno;
use crate::fs::inode::Inode;
use crate::fs::metadata::{FileKind, Metadata};
use crate::fs::{Dentry, DirectoryEntry, File, OpenFlags};
use crate::heap::HeapCharge;

/// What an entry of a listing takes beside the letters of its name, which it has twice.
const ENTRY_BYTES: usize = 128;

/// An open directory. What it lists is collected when it is read from its beginning.
pub(super) struct DirectoryFile {
    inode: Arc<OverlayInode>,
    listing: Mutex<Option<Listing>>,
}

struct Listing {
    entries: Vec<Entry>,
    _heap_charge: HeapCharge,
}

struct Entry {
    name: Vec<u8>,
    kind: u8,
    inode: u64,
}

/// A listing that goes down the layers.
struct Collection<'a> {
    directory: &'a OverlayInode,
    /// All that has been met, also what is not there.
    met: HashSet<Vec<u8>>,
    entries: Vec<Entry>,
    heap_charge: HeapCharge,
}

impl Collection<'_> {
    /// Takes over what `layer` has that no layer above had.
    fn add(&mut self, layer: &Arc<Dentry>, is_upper: bool) -> Result<(), Errno> {
        let overlay = &self.directory.overlay;
        let has_marked = self.directory.has_marked_whiteouts(layer);
        let flags = OpenFlags::DIRECTORY | OpenFlags::NOATIME;
        let file = layer.inode().clone().open(flags, &self.directory.mounter())?;
        let mut found = Vec::new();
        file.read_directory(0, &mut |entry| {
            if !matches!(&*entry.name, b"." | b"..") {
                found.push(entry);
            }
            true
        })?;
        let bytes: usize = found.iter().map(|entry| ENTRY_BYTES + 2 * entry.name.len()).sum();
        self.heap_charge.resize(self.heap_charge.len_bytes() + bytes)?;
        let looks_for_numbers = is_upper && (self.directory.has_lower() || overlay.is_impure(layer));
        for DirectoryEntry { name, kind, inode, .. } in found {
            if !self.met.insert(name.clone()) {
                continue;
            }
            let may_be_whiteout = kind == 0
                || kind == FileKind::CharacterDevice.directory_entry_type()
                || has_marked && kind == FileKind::Regular.directory_entry_type();
            if may_be_whiteout
                && let Some(file) = layer::find(layer, &name)?
                && overlay.is_whiteout(&file, has_marked)?
            {
                continue;
            }
            let inode = if looks_for_numbers { self.shown_number(layer, &name, kind) } else { Some(inode) };
            // What is gone by now is not listed.
            self.entries.extend(inode.map(|inode| Entry { name, kind, inode }));
        }
        Ok(())
    }

    /// The number that stat(2) tells of a file of the upper layer.
    fn shown_number(&self, layer: &Arc<Dentry>, name: &[u8], kind: u8) -> Option<u64> {
        let file = layer::find(layer, name).ok()??;
        if kind == FileKind::Directory.directory_entry_type() {
            return self.directory.look_up(name).ok()?.numbers().ok().map(|(_, ino)| ino);
        }
        let own = || file.inode().metadata().ok().map(|metadata| metadata.inode);
        self.directory.overlay.numbers_of_origin(&file).map(|(_, ino)| ino).or_else(own)
    }
}

impl OverlayInode {
    fn collect(&self) -> Result<Listing, Errno> {
        let mut collection = Collection {
            directory: self,
            met: HashSet::new(),
            entries: Vec::new(),
            heap_charge: HeapCharge::default(),
        };
        if let Some(upper) = self.upper() {
            collection.add(upper, true)?;
        }
        for lower in &self.lower {
            collection.add(&lower.dentry, false)?;
        }
        Ok(Listing { entries: collection.entries, _heap_charge: collection.heap_charge })
    }

    /// Whether nothing is in this directory.
    ///
    /// # Errors
    /// Those of the layers.
    pub(super) fn is_empty(&self) -> Result<bool, Errno> {
        Ok(self.collect()?.entries.is_empty())
    }

    /// The numbers of `.` and `..`.
    fn numbers_of_dots(&self) -> Result<[u64; 2], Errno> {
        let (_, own) = self.numbers()?;
        let above = self.place.lock().directory.clone();
        let parent = above.map_or(Ok(own), |above| above.numbers().map(|(_, ino)| ino))?;
        Ok([own, parent])
    }
}

impl DirectoryFile {
    pub(super) fn new(inode: Arc<OverlayInode>) -> Self {
        Self { inode, listing: Mutex::default() }
    }
}

impl File for DirectoryFile {
    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn read_directory(
        &self,
        position: u64,
        sink: &mut dyn FnMut(DirectoryEntry) -> bool,
    ) -> Result<(), Errno> {
        let directory = FileKind::Directory.directory_entry_type();
        let mut kept = self.listing.lock();
        if position == 0 || kept.is_none() {
            *kept = Some(self.inode.collect()?);
        }
        let Some(listing) = &*kept else { return Ok(()) };
        let dots = [&b"."[..], b".."].into_iter().zip(self.inode.numbers_of_dots()?);
        let dots = dots.map(|(name, inode)| (name, directory, inode));
        let entries = listing.entries.iter().map(|entry| (&*entry.name, entry.kind, entry.inode));
        let start = usize::try_from(position).unwrap_or(usize::MAX);
        for ((name, kind, inode), next_position) in dots.chain(entries).zip(1..).skip(start) {
            if !sink(DirectoryEntry { inode, next_position, kind, name: name.to_vec() }) {
                break;
            }
        }
        Ok(())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn sync(&self) -> Result<(), Errno> {
        let Some(upper) = self.inode.upper().filter(|_| !self.inode.overlay.options.is_volatile) else {
            return Ok(());
        };
        upper.inode().clone().open(OpenFlags::DIRECTORY, &self.inode.mounter())?.sync()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
