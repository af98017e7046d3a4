//! Open regular files of a server.

use std::any::Any;
use std::sync::Arc;

use linux_raw_sys::general as uapi;

use super::connection::Connection;
use super::inode::FuseInode;
use super::wire::{Body, Operation, Reader};
use crate::Errno;
use crate::fs::inode::Inode;
use crate::fs::locks::LockOwner;
use crate::fs::metadata::{AttributeChanges, Metadata};
use crate::fs::{Caller, File, OpenFlags};
use crate::memory::PageCache;
use crate::platform::VirtualAddress;
use crate::slices;

/// What the server calls an open file. Dropping it tells the server that nobody has it open any more.
pub(super) struct Handle {
    connection: Arc<Connection>,
    node: u64,
    number: u64,
    flags: OpenFlags,
    is_directory: bool,
    /// The server did not open anything.
    is_none: bool,
    /// It cannot be sought in.
    pub(super) is_stream: bool,
    /// The server wants no word of closed descriptors.
    has_no_flush: bool,
}

impl Handle {
    /// The one that an answer tells of.
    pub(super) fn read(
        connection: &Arc<Connection>,
        node: u64,
        reader: &mut Reader<'_>,
        (flags, is_directory): (OpenFlags, bool),
    ) -> Result<Self, Errno> {
        const NON_SEEKABLE: u32 = 1 << 2;
        const STREAM: u32 = 1 << 4;
        const NO_FLUSH: u32 = 1 << 5;
        let (number, said) = (reader.u64()?, reader.u32()?);
        let (is_stream, has_no_flush) = (said & (NON_SEEKABLE | STREAM) != 0, said & NO_FLUSH != 0);
        let connection = connection.clone();
        let is_none = false;
        Ok(Self { connection, node, number, flags, is_directory, is_none, is_stream, has_no_flush })
    }

    /// Of a file that the server need not open.
    pub(super) fn none(connection: &Arc<Connection>, node: u64) -> Self {
        let (number, flags) = (0, OpenFlags::empty());
        Self {
            connection: connection.clone(),
            node,
            number,
            flags,
            is_directory: false,
            is_none: true,
            is_stream: false,
            has_no_flush: false,
        }
    }

    /// Whether bytes can be read by it.
    pub(super) fn reads(&self) -> bool {
        self.is_none || self.flags.is_readable()
    }

    /// Whether bytes can be written by it.
    pub(super) fn writes(&self) -> bool {
        self.is_none || self.flags.is_writable()
    }

    pub(super) fn ask(&self, operation: Operation, body: Body) -> Result<Vec<u8>, Errno> {
        self.connection.ask(operation, self.node, body)
    }

    /// A body that begins with the handle's number.
    pub(super) fn body(&self) -> Body {
        Body::default().u64(self.number)
    }

    /// Asks for bytes of a file or of a directory's entries.
    pub(super) fn read_some(&self, operation: Operation, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let body = self.body().u64(offset).u32(len as u32).u32(0).u64(0).u32(self.flags.bits()).u32(0);
        let answer = self.ask(operation, body)?;
        if answer.len() <= len { Ok(answer) } else { Err(Errno::EIO) }
    }

    /// Reads from `offset` on until the buffer is full, or the file ends.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let mut done = 0;
        while done < buffer.len() {
            let len = (buffer.len() - done).min(self.connection.max_read());
            let position = offset.checked_add(done as u64).ok_or(Errno::EINVAL)?;
            let bytes = match self.read_some(Operation::Read, position, len) {
                Err(_) if done > 0 => break,
                bytes => bytes?,
            };
            slices::first_mut(slices::rest_mut(buffer, done)?, bytes.len())?.copy_from_slice(&bytes);
            done += bytes.len();
            if bytes.len() < len {
                break;
            }
        }
        Ok(done)
    }

    /// ioctl(2): the server is given what the request's number says that is read, and gives what it says that is written.
    ///
    /// # Errors
    /// ENOTTY: the server knows none. EFAULT, EIO, ENOMEM and the server's.
    pub(super) fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        const WRITES: u32 = 1;
        const READS: u32 = 2;
        const OF_DIRECTORY: u32 = 1 << 4;
        const RETRY: u32 = 1 << 2;
        let (direction, len) = (request >> 30, (request >> 16 & 0x3fff) as usize);
        let place = VirtualAddress(argument);
        let mut given = vec![0; if direction & WRITES != 0 { len } else { 0 }];
        caller.memory().read_bytes(place, &mut given)?;
        let room = if direction & READS != 0 { len } else { 0 };
        let flags = if self.is_directory { OF_DIRECTORY } else { 0 };
        let body = self.body().u32(flags).u32(request).u64(argument);
        let body = body.u32(given.len() as u32).u32(room as u32).bytes(&given);
        let answer = self.ask(Operation::Ioctl, body);
        let answer = answer.map_err(|error| if error == Errno::ENOSYS { Errno::ENOTTY } else { error })?;
        let mut reader = Reader(&answer);
        let (result, said) = (reader.u32()?.cast_signed(), reader.u32()?);
        let (_, _) = (reader.u32()?, reader.u32()?);
        if said & RETRY != 0 || reader.0.len() > room {
            return Err(Errno::EIO);
        }
        caller.memory().write_bytes(place, reader.0)?;
        usize::try_from(result).map_err(|_| Errno::from_raw(result.saturating_neg()))
    }

    /// Writes at `offset`; `is_mapped` if a mapping has changed the bytes.
    pub(super) fn write_at(&self, buffer: &[u8], offset: u64, is_mapped: bool) -> Result<usize, Errno> {
        const FROM_CACHE: u32 = 1 << 0;
        let mut done = 0;
        while done < buffer.len() {
            let piece = slices::rest(buffer, done)?;
            let piece = slices::first(piece, piece.len().min(self.connection.max_write()))?;
            let position = offset.checked_add(done as u64).ok_or(Errno::EFBIG)?;
            let body =
                self.body().u64(position).u32(piece.len() as u32).u32(if is_mapped { FROM_CACHE } else { 0 });
            let body = body.u64(0).u32(self.flags.bits()).u32(0).bytes(piece);
            let answer = match self.ask(Operation::Write, body) {
                Err(_) if done > 0 => break,
                answer => answer?,
            };
            let written = Reader(&answer).u32()? as usize;
            if written > piece.len() {
                return Err(Errno::EIO);
            }
            done += written;
            if written < piece.len() {
                break;
            }
        }
        Ok(done)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.is_none {
            return;
        }
        let operation = if self.is_directory { Operation::ReleaseDirectory } else { Operation::Release };
        let body = self.body().u32(self.flags.bits()).u32(0).u64(0);
        self.connection.release(operation, self.node, body);
    }
}

/// An open regular file.
pub(super) struct RegularFile {
    /// Dropped before the inode, which is not to be forgotten before.
    handle: Arc<Handle>,
    inode: Arc<FuseInode>,
    flags: OpenFlags,
}

impl RegularFile {
    pub(super) fn new(inode: Arc<FuseInode>, handle: Handle, flags: OpenFlags) -> Self {
        Self { inode, handle: Arc::new(handle), flags }
    }

    fn sync_as(&self, operation: Operation) -> Result<(), Errno> {
        match self.handle.ask(operation, self.handle.body().u32(0).u32(0)) {
            Ok(_) | Err(Errno::ENOSYS) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl File for RegularFile {
    fn is_prompt(&self) -> bool {
        false
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.inode.write_back()?;
        let read = self.handle.read_at(buffer, offset)?;
        if read != 0 && !self.flags.contains(OpenFlags::NOATIME) {
            self.inode.forget_attributes();
        }
        Ok(read)
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        self.inode.write_back()?;
        let written = self.handle.write_at(buffer, offset, false)?;
        self.inode.written(offset..offset.saturating_add(written as u64));
        Ok(written)
    }

    fn append(&self, buffer: &[u8]) -> Result<(usize, u64), Errno> {
        let end = self.inode.fresh_metadata()?.size_bytes;
        let written = self.write_at(buffer, end)?;
        Ok((written, end.saturating_add(written as u64)))
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        self.handle.ioctl(request, argument, caller)
    }

    fn is_seekable(&self) -> bool {
        !self.handle.is_stream
    }

    fn seek_data_or_hole(&self, offset: u64, find_data: bool) -> Result<u64, Errno> {
        let whence = if find_data { uapi::SEEK_DATA } else { uapi::SEEK_HOLE };
        let size = self.inode.fresh_metadata()?.size_bytes;
        match self.handle.ask(Operation::Seek, self.handle.body().u64(offset).u32(whence).u32(0)) {
            // All is data, and at its end is a hole.
            Err(Errno::ENOSYS) if offset >= size => Err(Errno::ENXIO),
            Err(Errno::ENOSYS) => Ok(if find_data { offset } else { size }),
            answer => Reader(&answer?).u64(),
        }
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        self.inode.page_cache(&self.handle)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn sync(&self) -> Result<(), Errno> {
        self.inode.write_back()?;
        self.sync_as(Operation::Sync)
    }

    fn truncate(&self, len_bytes: u64) -> Result<(), Errno> {
        let changes = AttributeChanges { size_bytes: Some(len_bytes), ..AttributeChanges::default() };
        self.inode.set_attributes(&changes)
    }

    fn truncate_at_open(&self) -> Result<(), Errno> {
        match self.inode.connection.has(super::connection::Features::ATOMIC_TRUNCATE) {
            true => Ok(()),
            false => self.truncate(0),
        }
    }

    fn allocate(&self, mode: u32, offset: u64, len_bytes: u64, _caller: &dyn Caller) -> Result<(), Errno> {
        let body = self.handle.body().u64(offset).u64(len_bytes).u32(mode).u32(0);
        let done = self.handle.ask(Operation::Allocate, body);
        done.map_err(|error| if error == Errno::ENOSYS { Errno::EOPNOTSUPP } else { error })?;
        self.inode.forget_attributes();
        let size = self.inode.fresh_metadata()?.size_bytes;
        self.inode.contents_changed(offset..size.max(offset));
        Ok(())
    }

    fn descriptor_closed(&self, _owner: LockOwner) {
        if self.handle.has_no_flush {
            return;
        }
        // close(2) has no way back to the caller for what goes wrong here.
        let _ = self.inode.write_back();
        let _ = self.handle.ask(Operation::Flush, self.handle.body().u32(0).u32(0).u64(0));
    }

    fn takes_direct_io(&self) -> bool {
        true
    }

    fn offers_nowait(&self, _is_write: bool) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
