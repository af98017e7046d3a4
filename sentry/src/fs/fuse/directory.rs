//! Open directories of a server.

use std::any::Any;
use std::sync::Arc;

use super::file::Handle;
use super::inode::FuseInode;
use super::wire::{Operation, Reader};
use crate::Errno;
use crate::fs::inode::Inode;
use crate::fs::metadata::Metadata;
use crate::fs::path::MAX_NAME_LEN;
use crate::fs::{Caller, DirectoryEntry, File};

/// Bytes of entries that are asked for at a time.
const READ_BYTES: usize = 4096;

/// An open directory.
pub(super) struct DirectoryFile {
    /// Dropped before the inode, which is not to be forgotten before.
    handle: Handle,
    inode: Arc<FuseInode>,
}

impl DirectoryFile {
    pub(super) fn new(inode: Arc<FuseInode>, handle: Handle) -> Self {
        Self { inode, handle }
    }
}

/// The next entry of an answer; `None` at its end.
fn next_entry(reader: &mut Reader<'_>) -> Result<Option<DirectoryEntry>, Errno> {
    const HEAD_LEN: usize = 24;
    if reader.0.len() < HEAD_LEN {
        return Ok(None);
    }
    let (inode, next_position) = (reader.u64()?, reader.u64()?);
    let (len, kind) = (reader.u32()?, reader.u32()?);
    if len == 0 || len as usize > MAX_NAME_LEN {
        return Err(Errno::EIO);
    }
    let Ok(name) = reader.name(len) else { return Ok(None) };
    let name = name.to_vec();
    let padding = (len as usize).next_multiple_of(8) - len as usize;
    // The last one may lack it.
    let _ = reader.bytes(padding.min(reader.0.len()));
    if name.contains(&b'/') {
        return Err(Errno::EIO);
    }
    Ok(Some(DirectoryEntry { inode, next_position, kind: kind as u8, name }))
}

impl File for DirectoryFile {
    fn is_prompt(&self) -> bool {
        false
    }

    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        self.handle.ioctl(request, argument, caller)
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn read_directory(
        &self,
        mut position: u64,
        sink: &mut dyn FnMut(DirectoryEntry) -> bool,
    ) -> Result<(), Errno> {
        loop {
            let answer = self.handle.read_some(Operation::ReadDirectory, position, READ_BYTES)?;
            let mut reader = Reader(&answer);
            let before = position;
            while let Some(entry) = next_entry(&mut reader)? {
                let next = entry.next_position;
                if !sink(entry) {
                    return Ok(());
                }
                position = next;
            }
            if answer.is_empty() || position == before {
                return Ok(());
            }
        }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn sync(&self) -> Result<(), Errno> {
        match self.handle.ask(Operation::SyncDirectory, self.handle.body().u32(0).u32(0)) {
            Ok(_) | Err(Errno::ENOSYS) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
