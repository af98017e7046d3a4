//! Open files: what a descriptor refers to.
//!
//! A [`File`] is the behaviour of one kind of open file; a [`FileDescription`](super::FileDescription) is one `open` of it.
//!
//! No operation here blocks. What cannot go on returns EAGAIN before it has changed anything, and the system call
//! waits on the file's [`WaitQueue`] until it is ready.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::anonymous::NamelessFileSystem;
use super::locks::{FileLocks, LockOwner};
use super::{AttributeChanges, Caller, Inode, LongText, Metadata, OpenFlags};
use crate::Errno;
use crate::memory::PageCache;
use crate::wait::{Events, WaitQueue};

/// One directory entry as getdents64(2) reports it.
#[derive(Clone, Debug)]
pub struct DirectoryEntry {
    /// Inode number.
    pub inode: u64,
    /// The position after this entry (`d_off`): where a later read goes on.
    pub next_position: u64,
    /// A `DT_*` value.
    pub kind: u8,
    /// The name, without a slash or NUL.
    pub name: Vec<u8>,
}

bitflags::bitflags! {
    /// Which ways splice(2) and its kin can move data through a file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Splicing: u8 {
        /// Into it.
        const IN = 1;
        /// Out of it.
        const OUT = 2;
    }
}

/// What a stream is read or written in: a unit that user memory does not hold as a whole counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferUnit {
    /// So many bytes.
    Bytes(usize),
    /// All that is moved at once.
    Whole,
}

impl TransferUnit {
    /// How much of `len_bytes`, which user memory holds of a longer piece, counts.
    pub fn counted(self, len_bytes: usize) -> usize {
        match self {
            Self::Bytes(unit) => len_bytes - len_bytes % unit.max(1),
            Self::Whole => 0,
        }
    }
}

/// How a read collects bytes as they come, as of a terminal in non-canonical mode (`man 3 termios`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPace {
    /// It returns once it has so many.
    pub least_bytes: usize,
    /// How long it waits for the first ones; `None` for ever.
    pub first: Option<Duration>,
    /// How long it waits for more after some have come; `None` as long as for the first ones.
    pub between: Option<Duration>,
}

/// The behaviour of one kind of open file. The defaults are those of a file that can do nothing.
pub trait File: Send + Sync + Any {
    /// What comes before each read or write by a task: a terminal stops processes of the background here.
    ///
    /// # Errors
    /// ERESTARTSYS if the caller has been signalled, EIO if it cannot be.
    fn prepare_io(&self, _caller: &dyn Caller, _is_write: bool) -> Result<(), Errno> {
        Ok(())
    }

    /// Changes owner, mode and times of what no file system names.
    ///
    /// # Errors
    /// EOPNOTSUPP: it has none of its own.
    fn set_attributes(&self, _changes: &AttributeChanges) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// What Linux calls the protocol of a socket (`system.sockprotoname`).
    fn protocol_name(&self) -> Option<&'static str> {
        None
    }

    /// The inode of a file without a path, by which /proc/PID/fd/N opens it once more.
    fn nameless_inode(&self) -> Option<Arc<dyn Inode>> {
        None
    }

    /// The file system of the inode of a file without a path, if that is not the one of all of its type.
    fn nameless_file_system(&self) -> Option<NamelessFileSystem> {
        None
    }

    /// The advisory locks of a file without a path that has several ends; others have their own.
    fn shared_locks(&self) -> Option<Arc<FileLocks>> {
        None
    }

    /// Whether open(2) may return: a FIFO's blocking open waits for the other side, on the file's wait queue.
    ///
    /// # Errors
    /// EAGAIN while it must wait.
    fn finish_open(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Reads at `offset` into `buffer`; streams ignore the offset. 0 at the end of the file.
    ///
    /// # Errors
    /// EAGAIN if it would block, and the errors of read(2).
    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// How a read waits for more than [`File::read_at`] has at once; `None` if it does not.
    fn read_pace(&self) -> Option<ReadPace> {
        None
    }

    /// Writes `buffer` at `offset`; streams ignore the offset.
    ///
    /// # Errors
    /// EAGAIN if it would block, EPIPE if nobody can read any more (the caller raises SIGPIPE), and the errors of write(2).
    fn write_at(&self, _buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// Reads a stream by handing up to `max_bytes` of it to `take`, piece by piece, until that says that it has not taken all of
    /// a piece: then the piece stays, and is EFAULT if it was the first. `None`: only [`File::read_at`] reads the file.
    fn read_pieces(
        &self,
        _max_bytes: usize,
        _take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Option<Result<usize, Errno>> {
        None
    }

    /// What is taken out of a stream at once, and lost if there is no memory for it. Single bytes stay where they are.
    fn read_unit(&self) -> TransferUnit {
        TransferUnit::Bytes(1)
    }

    /// What is put into a stream at once.
    fn write_unit(&self) -> TransferUnit {
        TransferUnit::Whole
    }

    /// A write of `len_bytes` bytes to a file that never looks at them.
    fn write_unseen(&self, _len_bytes: usize) -> Option<Result<usize, Errno>> {
        None
    }

    /// As [`File::read_at`], for files to which it matters who reads.
    ///
    /// # Errors
    /// As [`File::read_at`].
    fn read_by(&self, buffer: &mut [u8], offset: u64, _caller: &dyn Caller) -> Result<usize, Errno> {
        self.read_at(buffer, offset)
    }

    /// As [`File::write_at`], for files to which it matters who writes.
    ///
    /// # Errors
    /// As [`File::write_at`].
    fn write_by(&self, buffer: &[u8], offset: u64, _caller: &dyn Caller) -> Result<usize, Errno> {
        self.write_at(buffer, offset)
    }

    /// As [`File::append`], for files to which it matters who writes.
    ///
    /// # Errors
    /// As [`File::write_at`].
    fn append_by(&self, buffer: &[u8], _caller: &dyn Caller) -> Result<(usize, u64), Errno> {
        self.append(buffer)
    }

    /// Appends `buffer` and returns the bytes written and the offset after them. Atomic towards other appends.
    ///
    /// # Errors
    /// As [`File::write_at`].
    fn append(&self, buffer: &[u8]) -> Result<(usize, u64), Errno> {
        self.write_at(buffer, 0).map(|written| (written, 0))
    }

    /// Whether what is done to the file, but for waiting until it is ready, is soon over: not if the host may take its time.
    fn is_prompt(&self) -> bool {
        true
    }

    /// Whether so many bytes are written as a whole, or not at all while there is no room for them.
    fn takes_whole(&self, _len_bytes: u64) -> bool {
        false
    }

    /// Whether the file has positions: pread, pwrite and lseek work.
    fn is_seekable(&self) -> bool {
        false
    }

    /// The position that the file shares with processes outside of the sandbox, which stands for the description's own.
    fn outer_position(&self) -> Option<&dyn OuterPosition> {
        None
    }

    /// The size in bytes that the file cannot exceed, by a limit that holds outside of the sandbox too (RLIMIT_FSIZE).
    fn size_limit(&self) -> Option<u64> {
        None
    }

    /// The file as an end of a pipe, if it is one.
    fn pipe_end(&self) -> Option<&dyn PipeEnd> {
        None
    }

    /// Where SEEK_END leads, if that is not the size that stat(2) tells: the end of a block device.
    fn end_position(&self) -> Option<u64> {
        None
    }

    /// Has a part of the file read as zeroes and take no storage.
    ///
    /// # Errors
    /// EOPNOTSUPP if it cannot have holes.
    fn punch_hole(&self, _offset: u64, _len_bytes: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Whether fcntl(F_SETFL) may change the status flags to `flags`.
    ///
    /// # Errors
    /// EPERM: the file can only grow, so O_APPEND stays.
    fn check_status_flags(&self, _flags: OpenFlags) -> Result<(), Errno> {
        Ok(())
    }

    /// Whether it can be read at all, however it was opened; if not, that is said before anything of user memory.
    fn has_read(&self) -> bool {
        true
    }

    /// Whether it can be written at all, however it was opened.
    fn has_write(&self) -> bool {
        true
    }

    /// Whether every position is 0, wherever one seeks, as on memory devices (`man 4 null`) and event counters.
    fn has_single_position(&self) -> bool {
        false
    }

    /// Whether it is what Linux calls a sequence file: pwrite is ESPIPE and SEEK_END is EINVAL, though it has positions.
    fn is_sequence(&self) -> bool {
        false
    }

    /// Whether SEEK_END counts from anywhere: not in sequence files, nor in directories of memory.
    fn seeks_from_end(&self) -> bool {
        !self.is_sequence()
    }

    /// Which ways splice(2) and its kin can move data.
    fn splicing(&self) -> Splicing {
        Splicing::all()
    }

    /// Fails if nothing of `len_bytes` bytes can be written, which is said before anything of user memory.
    ///
    /// # Errors
    /// EINVAL.
    fn check_write_len(&self, _len_bytes: u64) -> Result<(), Errno> {
        Ok(())
    }

    /// Whether it can be open with O_DIRECT.
    fn takes_direct_io(&self) -> bool {
        false
    }

    /// Whether a read, or a write, can be made not to wait (RWF_NOWAIT).
    fn offers_nowait(&self, _is_write: bool) -> bool {
        false
    }

    /// Whether writev(2) writes each buffer by itself.
    fn writes_buffers_singly(&self) -> bool {
        self.is_sequence()
    }

    /// lseek(2) of a file that has no positions, but places of its own that one can seek to.
    fn seek(&self, _offset: i64, _whence: u32) -> Option<Result<u64, Errno>> {
        None
    }

    /// lseek(2) with SEEK_DATA (`find_data`) or SEEK_HOLE, from `offset`.
    ///
    /// # Errors
    /// ENXIO past the end.
    fn seek_data_or_hole(&self, _offset: u64, _find_data: bool) -> Result<u64, Errno> {
        Err(Errno::EINVAL)
    }

    /// What the file is ready for now.
    fn readiness(&self) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    /// Where changes of readiness are announced; `None` if it never changes. epoll refuses such files (EPERM).
    fn wait_queue(&self) -> Option<&WaitQueue> {
        None
    }

    /// Whether its owner can hear of readiness by signals (O_ASYNC): pipes, sockets, terminals and the like.
    fn signals_readiness(&self) -> bool {
        false
    }

    /// Whether EPIPE comes with SIGPIPE, for a call that has waited or has not.
    fn raises_broken_pipe(&self, _has_waited: bool) -> bool {
        true
    }

    /// How long an operation that waits for `events` may wait; `None` is for ever (SO_RCVTIMEO, SO_SNDTIMEO).
    fn timeout(&self, _events: Events) -> Option<Duration> {
        None
    }

    /// ioctl(2).
    ///
    /// # Errors
    /// ENOTTY for a request that the file does not know.
    fn ioctl(&self, _request: u32, _argument: u64, _caller: &dyn Caller) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }

    /// The pages behind a mapping of the file.
    ///
    /// # Errors
    /// ENODEV if it cannot be mapped.
    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        Err(Errno::ENODEV)
    }

    /// Where in [`File::page_cache`] lies what mmap(2) is to map at `offset`.
    ///
    /// # Errors
    /// EINVAL: there is nothing.
    fn mapped_offset(&self, offset: u64) -> Result<u64, Errno> {
        Ok(offset)
    }

    /// Fails if the file must not be mapped shared and writable.
    ///
    /// # Errors
    /// EPERM: it is sealed (`man 2 fcntl`, "File Sealing").
    fn check_writable_mapping(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Lists a directory from `position` (0, or an entry's `next_position`); stops when `sink` returns false (that entry was not taken).
    ///
    /// # Errors
    /// ENOTDIR if it is none.
    fn read_directory(
        &self,
        _position: u64,
        _sink: &mut dyn FnMut(DirectoryEntry) -> bool,
    ) -> Result<(), Errno> {
        Err(Errno::ENOTDIR)
    }

    /// fstat(2).
    ///
    /// # Errors
    /// Those of the file system.
    fn metadata(&self) -> Result<Metadata, Errno>;

    /// fsync(2).
    ///
    /// # Errors
    /// EINVAL if the file cannot be synchronised.
    fn sync(&self) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// ftruncate(2).
    ///
    /// # Errors
    /// EINVAL if the file has no length.
    fn truncate(&self, _len_bytes: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// What O_TRUNC does to a regular file.
    ///
    /// # Errors
    /// Those of ftruncate(2).
    fn truncate_at_open(&self) -> Result<(), Errno> {
        self.truncate(0)
    }

    /// fallocate(2) with the `FALLOC_FL_*` bits of `mode`.
    ///
    /// # Errors
    /// ENODEV if the file has no blocks.
    fn allocate(&self, _mode: u32, _offset: u64, _len_bytes: u64, _caller: &dyn Caller) -> Result<(), Errno> {
        Err(Errno::ENODEV)
    }

    /// A descriptor of it has been closed, through the table that is `owner`.
    fn descriptor_closed(&self, _owner: LockOwner) {}

    /// Who is to be told after a descriptor of it is gone.
    fn collector(&self) -> Option<Arc<dyn Collector>> {
        None
    }

    /// A status flag has changed (fcntl F_SETFL).
    fn flags_changed(&self, _flags: OpenFlags) {}

    /// The text that /proc/PID/fd/N links to for files without a path (`pipe:[5]`).
    fn anonymous_name(&self) -> String {
        "anon_inode:[file]".into()
    }

    /// Adds the lines that /proc/PID/fdinfo/N shows beside position and flags.
    ///
    /// # Errors
    /// Those of [`LongText::push`].
    fn descriptor_info(&self, _text: &mut LongText) -> Result<(), Errno> {
        Ok(())
    }

    /// The file as its own type: sockets, epolls and others are found again through it.
    fn as_any(&self) -> &dyn Any;
}

/// One who ends files that refer to each other once nothing else refers to them.
pub trait Collector: Send + Sync {
    /// A descriptor's reference to such a file has been dropped.
    fn descriptor_is_gone(&self);
}

/// A file position that lives on the host, where it moves with whoever shares it: reads and writes there are the host's,
/// so that nobody's get lost.
pub trait OuterPosition: Send + Sync {
    /// Where it is.
    ///
    /// # Errors
    /// The host's.
    fn get(&self) -> Result<u64, Errno>;

    /// Moves it.
    ///
    /// # Errors
    /// EINVAL if the file has no such position.
    fn set(&self, position: u64) -> Result<(), Errno>;

    /// Reads from there on.
    ///
    /// # Errors
    /// As [`File::read_at`].
    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// Writes from there on, or at the end of the file if `appends`.
    ///
    /// # Errors
    /// As [`File::write_at`].
    fn write(&self, buffer: &[u8], appends: bool) -> Result<usize, Errno>;
}

/// An end of a pipe, inside or on the host.
pub trait PipeEnd: File {
    /// Reads into `buffer` what the next read will find too (tee(2)). 0 if nobody will write any more.
    ///
    /// # Errors
    /// EAGAIN if the pipe is empty.
    fn peek(&self, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// Whether the next read finds something, be it the end (`false`).
    ///
    /// # Errors
    /// EAGAIN if it would wait.
    fn has_data(&self) -> Result<bool, Errno>;

    /// Fails unless there is room for PIPE_BUF bytes.
    ///
    /// # Errors
    /// EAGAIN if the pipe is full, EPIPE if nobody reads.
    fn check_room(&self) -> Result<(), Errno>;

    /// Hands what the next read would get, at most `buffer`'s length, to `sink`, and takes out what that takes. `None` if there
    /// is nothing now; `Some(0)` also at the end.
    ///
    /// # Errors
    /// Those of `sink`, with everything still in the pipe.
    fn take_with(
        &self,
        buffer: &mut [u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<usize, Errno>,
    ) -> Result<Option<usize>, Errno>;

    /// Has `source` fill as much of `buffer` as there is room for, and puts that in.
    ///
    /// # Errors
    /// EAGAIN if the pipe is full, EPIPE if nobody reads, and those of `source`.
    fn fill_with(
        &self,
        buffer: &mut [u8],
        source: &mut dyn FnMut(&mut [u8]) -> Result<usize, Errno>,
    ) -> Result<usize, Errno>;

    /// fcntl(F_GETPIPE_SZ): the capacity in bytes.
    ///
    /// # Errors
    /// The host's.
    fn capacity_bytes(&self) -> Result<usize, Errno>;

    /// fcntl(F_SETPIPE_SZ): returns the capacity that was set, a power of two of pages.
    ///
    /// # Errors
    /// EBUSY if more is in the pipe, EPERM or ENOMEM above the limits, EINVAL above 2 GiB.
    fn set_capacity(&self, len_bytes: u64, is_privileged: bool) -> Result<usize, Errno>;
}
