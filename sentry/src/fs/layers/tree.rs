//! The index and the contents, open.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::fstat;
use rustix::io::pread;
use zerocopy::{FromZeros, IntoBytes};

use super::file::LayeredFile;
use super::format::{EntryRecord, Header, InodeFlags, InodeRecord, MAGIC, MAX_LAYERS, MAX_NAME_LEN, Places};
use crate::Errno;
use crate::fs::lower::{LowerFile, LowerStatus};
use crate::host::{HostCall, count_call};

/// Entries that are read at a time. A search halves what is left until it is no more than that.
const BLOCK_ENTRIES: u64 = 64;

/// A tree of files that lie in layers.
pub struct LayeredTree {
    index: OwnedFd,
    header: Header,
    places: Places,
    contents: Vec<Arc<OwnedFd>>,
}

impl LayeredTree {
    /// The tree of `index`, whose layers have these contents.
    ///
    /// # Errors
    /// EIO: it is no index, is not whole, or has other layers. And the host's.
    pub fn new(index: OwnedFd, contents: Vec<OwnedFd>) -> Result<Arc<Self>, Errno> {
        let mut header = Header::new_zeroed();
        read_exact_at(&index, header.as_mut_bytes(), 0)?;
        let places = header.places();
        count_call(HostCall::Stat);
        let len = u64::try_from(fstat(&index)?.st_size).map_err(|_| Errno::EIO)?;
        let is_whole = header.magic == MAGIC && places.end == len && header.inodes > 0;
        let has_layers = contents.len() == header.layers as usize && contents.len() <= MAX_LAYERS;
        if is_whole && has_layers {
            let contents = contents.into_iter().map(Arc::new).collect();
            Ok(Arc::new(Self { index, header, places, contents }))
        } else {
            Err(Errno::EIO)
        }
    }

    /// The root directory.
    ///
    /// # Errors
    /// EIO: the index makes no sense. And the host's.
    pub fn root(self: &Arc<Self>) -> Result<(Arc<dyn LowerFile>, LowerStatus), Errno> {
        LayeredFile::open(self, 0)
    }

    pub(super) fn inode(&self, ino: u32) -> Result<InodeRecord, Errno> {
        let mut record = InodeRecord::new_zeroed();
        let at = self.places.inodes + u64::from(ino) * size_of::<InodeRecord>() as u64;
        if ino >= self.header.inodes {
            return Err(Errno::EIO);
        }
        read_exact_at(&self.index, record.as_mut_bytes(), at)?;
        if record.flags == InodeFlags::empty().bits() { Ok(record) } else { Err(Errno::EIO) }
    }

    /// `len` bytes of the text.
    pub(super) fn text(&self, start: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let end = start.checked_add(len as u64).filter(|end| *end <= u64::from(self.header.text_len));
        end.ok_or(Errno::EIO)?;
        let mut text = vec![0; len];
        read_exact_at(&self.index, &mut text, self.places.text + start)?;
        Ok(text)
    }

    /// Reads contents of the layer `layer`, from `position` of it on.
    pub(super) fn read_contents(&self, layer: u32, buffer: &mut [u8], position: u64) -> Result<usize, Errno> {
        read_at(self.contents_of(layer).ok_or(Errno::EIO)?, buffer, position)
    }

    /// What holds the contents of the layer `layer`.
    pub(super) fn contents_of(&self, layer: u32) -> Option<&Arc<OwnedFd>> {
        self.contents.get(layer as usize)
    }

    /// All entries of `directory` with their names.
    pub(super) fn entries(&self, directory: &InodeRecord) -> Result<Vec<(EntryRecord, Vec<u8>)>, Errno> {
        self.block(directory.start, directory.size)
    }

    /// The inode that `directory` has under `name`.
    ///
    /// # Errors
    /// ENOENT: none. And as [`Self::root`].
    pub(super) fn find(&self, directory: &InodeRecord, name: &[u8]) -> Result<u32, Errno> {
        let (mut start, mut count) = (directory.start, directory.size);
        while count > BLOCK_ENTRIES {
            let half = count / 2;
            let middle = start.checked_add(half).ok_or(Errno::EIO)?;
            let first = self.block(middle, 1)?.pop().ok_or(Errno::EIO)?;
            if first.1.as_slice() <= name {
                (start, count) = (middle, count - half);
            } else {
                count = half;
            }
        }
        let block = self.block(start, count)?;
        let found = block.binary_search_by(|(_, entry_name)| entry_name.as_slice().cmp(name));
        let (entry, _) = found.ok().and_then(|at| block.get(at)).ok_or(Errno::ENOENT)?;
        Ok(entry.inode)
    }

    /// `count` entries from the one with number `start` on, with their names.
    fn block(&self, start: u64, count: u64) -> Result<Vec<(EntryRecord, Vec<u8>)>, Errno> {
        let end = start.checked_add(count).filter(|end| *end <= u64::from(self.header.entries));
        end.ok_or(Errno::EIO)?;
        let count = usize::try_from(count).map_err(|_| Errno::EIO)?;
        let mut records = vec![EntryRecord::default(); count];
        let at = self.places.entries + start * size_of::<EntryRecord>() as u64;
        read_exact_at(&self.index, records.as_mut_slice().as_mut_bytes(), at)?;
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(Vec::new()) };
        // Names of a directory stand together in the order of its entries.
        let (text_start, text_end) = (first.name_start, last.name_start.checked_add(last.name_len.into()));
        let text_len = text_end.and_then(|end| end.checked_sub(text_start)).ok_or(Errno::EIO)?;
        if u64::from(text_len) > count as u64 * MAX_NAME_LEN as u64 {
            return Err(Errno::EIO);
        }
        let text = self.text(text_start.into(), text_len as usize)?;
        let with_name = |entry: EntryRecord| {
            let start = entry.name_start.checked_sub(text_start)? as usize;
            let name = text.get(start..start + usize::from(entry.name_len))?;
            Some((entry, name.to_vec()))
        };
        records.into_iter().map(|entry| with_name(entry).ok_or(Errno::EIO)).collect()
    }
}

fn read_exact_at(file: &OwnedFd, buffer: &mut [u8], position: u64) -> Result<(), Errno> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match read_at(file, rest, position + done as u64)? {
            0 => return Err(Errno::EIO),
            read => done += read,
        }
    }
    Ok(())
}

fn read_at(file: &OwnedFd, buffer: &mut [u8], position: u64) -> Result<usize, Errno> {
    loop {
        count_call(HostCall::ReadAt);
        match pread(file, &mut *buffer, position) {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}
