//! Open files: what a descriptor refers to.
//!
//! A [`File`] is the behaviour of one kind of open file; a [`FileDescription`] is one `open` of it: its position
//! and status flags, shared by duplicated descriptors (`man 2 open`, "Open file descriptions").
//!
//! No operation here blocks. What cannot go on returns EAGAIN before it has changed anything, and the system call
//! waits on the file's [`WaitQueue`] until it is ready.

use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use super::async_io::{AsyncObserver, AsyncSignals, SignalOwner};
use super::inotify::WatchMask;
use super::locks::{FileLocks, LockOwner};
use super::open_files::{OpenFiles, Registration};
use super::path::Path;
use super::position::{OwnPosition, Position, Turn, move_outer};
use super::signalfd::PendingSignals;
use super::write_count::WriteLeave;
use super::{Fd, FileKind, Inode, Metadata};
use crate::Errno;
use crate::cred::{Credentials, Namespace};
use crate::memory::{MappedFile, MemoryManager, PageCache};
use crate::pace::Pace;
use crate::process_identity::ProcessIdentity;
use crate::wait::{Events, WaitQueue};

bitflags::bitflags! {
    /// The flags of open(2) that stay with the description: access mode and status flags.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct OpenFlags: u32 {
        /// Open for writing only.
        const WRONLY = uapi::O_WRONLY;
        /// Open for reading and writing.
        const RDWR = uapi::O_RDWR;
        /// Create the file if it does not exist.
        const CREAT = uapi::O_CREAT;
        /// Fail if it exists.
        const EXCL = uapi::O_EXCL;
        /// Do not make a terminal the controlling one.
        const NOCTTY = uapi::O_NOCTTY;
        /// Cut the file to length 0.
        const TRUNC = uapi::O_TRUNC;
        /// Write at the end, always.
        const APPEND = uapi::O_APPEND;
        /// Return EAGAIN where the call would block.
        const NONBLOCK = uapi::O_NONBLOCK;
        /// Write data through.
        const DSYNC = uapi::O_DSYNC;
        /// Signal-driven I/O.
        const ASYNC = uapi::FASYNC;
        /// No caching.
        const DIRECT = uapi::O_DIRECT;
        /// Accepted and ignored on 64-bit systems.
        const LARGEFILE = uapi::O_LARGEFILE;
        /// Only a directory will do.
        const DIRECTORY = uapi::O_DIRECTORY;
        /// Do not follow a final symbolic link.
        const NOFOLLOW = uapi::O_NOFOLLOW;
        /// Leave the access time alone.
        const NOATIME = uapi::O_NOATIME;
        /// Close on execve: a flag of the descriptor, not of the description.
        const CLOEXEC = uapi::O_CLOEXEC;
        /// Only a handle on the path.
        const PATH = uapi::O_PATH;
        /// Write data and metadata through (`O_SYNC` less `O_DSYNC`).
        const SYNC_METADATA = uapi::O_SYNC & !uapi::O_DSYNC;
        /// An unnamed file (`O_TMPFILE` less `O_DIRECTORY`).
        const TMPFILE = uapi::O_TMPFILE & !uapi::O_DIRECTORY;
    }
}

impl OpenFlags {
    /// The flags that fcntl(F_SETFL) may change.
    pub const CHANGEABLE: Self =
        Self::APPEND.union(Self::NONBLOCK).union(Self::ASYNC).union(Self::DIRECT).union(Self::NOATIME);

    /// Whether the description may be read.
    pub fn is_readable(self) -> bool {
        !self.intersects(Self::WRONLY | Self::PATH)
    }

    /// Whether the description may be written.
    pub fn is_writable(self) -> bool {
        // Both at once is for ioctl alone.
        let mode = self & Self::WRONLY.union(Self::RDWR);
        (mode == Self::WRONLY || mode == Self::RDWR) && !self.contains(Self::PATH)
    }
}

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

/// What a file operation may ask of the task that calls it.
pub trait Caller: Pace {
    /// The caller's memory, for operations whose arguments hold pointers (ioctl).
    fn memory(&self) -> &Arc<MemoryManager>;
    /// The caller's credentials.
    fn credentials(&self) -> Arc<Credentials>;
    /// The caller's thread group, as the root PID namespace numbers it.
    fn process_id(&self) -> i32;
    /// The caller's process, for those that remember who it was: nobody unless it is a task.
    fn process_identity(&self) -> ProcessIdentity {
        ProcessIdentity::default()
    }
    /// The calling task, numbered so.
    fn thread_id(&self) -> i32;
    /// The caller's pending signals, for signalfds; `None` for a caller that is no task.
    fn pending_signals(&self) -> Option<Arc<dyn PendingSignals>> {
        None
    }
    /// Whether `namespace` is the caller's own or lies within it: what is outside cannot be reached from inside.
    fn may_see_namespace(&self, _namespace: &dyn Namespace) -> bool {
        false
    }
    /// The caller's process group, numbered so.
    fn process_group_id(&self) -> i32;
    /// The caller's session, numbered so.
    fn session_id(&self) -> i32;
    /// Sends `signal` to each process of the process group numbered so.
    fn signal_process_group(&self, process_group_id: i32, signal: i32);
    /// Whether something waits for the caller to come out of a long operation.
    fn is_interrupted(&self) -> bool {
        false
    }
    /// Whether the caller ignores or blocks `signal` (terminals ask for SIGTTIN and SIGTTOU).
    fn is_signal_ignored_or_blocked(&self, signal: i32) -> bool;
    /// Whether the caller's process group is orphaned.
    fn is_process_group_orphaned(&self) -> bool;
    /// Installs `file` at the caller's lowest free descriptor (SCM_RIGHTS, TIOCGPTPEER).
    ///
    /// # Errors
    /// EMFILE.
    fn install_descriptor(&self, file: Arc<FileDescription>, is_close_on_exec: bool) -> Result<Fd, Errno>;

    /// The file that the caller's descriptor `fd` refers to, unless that is a mere handle on a path.
    ///
    /// # Errors
    /// EBADF.
    fn file(&self, _fd: Fd) -> Result<Arc<FileDescription>, Errno> {
        Err(Errno::EBADF)
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

    /// The inode of a file without a path, by which /proc/PID/fd/N opens it once more.
    fn nameless_inode(&self) -> Option<Arc<dyn Inode>> {
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

    /// Whether every position is 0, wherever one seeks, as on memory devices (`man 4 null`) and event counters.
    fn has_single_position(&self) -> bool {
        false
    }

    /// Whether it is what Linux calls a sequence file: pwrite is ESPIPE and SEEK_END is EINVAL, though it has positions.
    fn is_sequence(&self) -> bool {
        false
    }

    /// Whether writev(2) writes each buffer by itself.
    fn writes_buffers_singly(&self) -> bool {
        self.is_sequence()
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

    /// Lines that /proc/PID/fdinfo/N shows beside position and flags.
    fn descriptor_info(&self) -> String {
        String::new()
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

/// One open of a file.
pub struct FileDescription {
    file: Arc<dyn File>,
    path: Option<Path>,
    flags: AtomicU32,
    position: OwnPosition,
    signal_owner: Mutex<SignalOwner>,
    /// While the owner hears of readiness.
    async_io: Mutex<Option<crate::wait::Registration>>,
    /// While it may be written, so may the mount, and nobody executes it.
    _write_leave: Option<WriteLeave>,
    /// The locks on a file whose inode has no place for them, once there were any.
    other_locks: OnceLock<Arc<FileLocks>>,
    /// Since it has had a descriptor.
    registration: OnceLock<Registration>,
}

impl FileDescription {
    /// A description of `file`, opened with `flags` at `path` (`None` for pipes, sockets and the like).
    pub fn new(file: Arc<dyn File>, path: Option<Path>, flags: OpenFlags) -> Arc<Self> {
        Self::with_write_leave(file, path, flags, None)
    }

    /// As [`FileDescription::new`], with the leave to write the file at `path`, if it may be written.
    pub(super) fn with_write_leave(
        file: Arc<dyn File>,
        path: Option<Path>,
        flags: OpenFlags,
        write_leave: Option<WriteLeave>,
    ) -> Arc<Self> {
        Arc::new(Self {
            file,
            path,
            flags: AtomicU32::new(flags.bits()),
            position: OwnPosition::default(),
            signal_owner: Mutex::default(),
            async_io: Mutex::default(),
            _write_leave: write_leave,
            other_locks: OnceLock::new(),
            registration: OnceLock::new(),
        })
    }

    /// Counts it among `files`, as soon as it gets a descriptor.
    pub(super) fn register(&self, files: &Arc<OpenFiles>) {
        self.registration.get_or_init(|| Registration::new(files));
    }

    /// Its id among the open files of the kernel, once it has had a descriptor.
    pub fn id(&self) -> Option<u64> {
        self.registration.get().map(Registration::id)
    }

    /// The advisory locks on the file.
    ///
    /// # Errors
    /// Those of asking for the inode's number.
    pub fn locks(&self) -> Result<&FileLocks, Errno> {
        if let Some(locks) = self.used_locks() {
            return Ok(locks);
        }
        let locks = match &self.path {
            Some(path) => path.mount.instance().locks().of_inode(path.inode().metadata()?.inode),
            None => self.file.shared_locks().unwrap_or_default(),
        };
        Ok(self.other_locks.get_or_init(|| locks))
    }

    /// The advisory locks on the file, if there may be any.
    pub fn used_locks(&self) -> Option<&FileLocks> {
        let of_inode = self.path.as_ref().and_then(|path| path.inode().locks());
        of_inode.or_else(|| self.other_locks.get().map(|locks| &**locks))
    }

    /// The open file.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// The open file as a `T`, if it is one.
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        self.file.as_any().downcast_ref()
    }

    /// Where it was opened.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_ref()
    }

    /// Access mode and status flags.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces the changeable status flags (fcntl F_SETFL).
    pub fn set_status_flags(&self, flags: OpenFlags) {
        let changeable = OpenFlags::CHANGEABLE;
        let new = (self.flags() - changeable) | (flags & changeable);
        self.flags.store(new.bits(), Ordering::Relaxed);
        self.file.flags_changed(new);
    }

    /// Has the owner hear of readiness from now on, as of descriptor `fd`, or no longer. Files that tell nobody have the flag
    /// all the same.
    pub fn set_async(self: &Arc<Self>, is_on: bool, fd: Fd, signals: &Arc<AsyncSignals>) {
        let mut place = self.async_io.lock();
        if is_on == place.is_some() {
            return;
        }
        let is_told = is_on && self.file.signals_readiness();
        let new = if is_told { AsyncObserver::register(self, fd, signals) } else { None };
        let old = std::mem::replace(&mut *place, new);
        drop(place);
        drop(old);
    }

    /// Who hears of readiness by a signal.
    pub fn signal_owner(&self) -> parking_lot::MutexGuard<'_, SignalOwner> {
        self.signal_owner.lock()
    }

    /// fstat(2): of the inode that was opened, else of the file.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn metadata(&self) -> Result<Metadata, Errno> {
        match &self.path {
            Some(path) => path.inode().metadata(),
            None => self.file.metadata(),
        }
    }

    /// Tells who watches the file of what happened to it.
    pub fn announce(&self, event: WatchMask) {
        if let Some(path) = self.path.as_ref().filter(|_| !self.flags().contains(OpenFlags::PATH)) {
            path.dentry.announce_use(event);
        }
    }

    /// Whether this is a regular file: one whose reads and writes are never cut short by a signal.
    pub fn is_regular(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.kind() == FileKind::Regular)
    }

    /// The file position, for the length of one operation (`man 2 write`, BUGS: since Linux 3.14). `None` if another operation
    /// has it: [`FileDescription::position_queue`] announces its end.
    pub fn try_position(&self) -> Option<Position<'_>> {
        Position::of(&self.position, self.file.outer_position())
    }

    /// Keeps others who share the description from its position, for an operation at an outer one.
    pub fn try_turn(&self) -> Option<Turn<'_>> {
        self.position.try_turn()
    }

    /// Where it is announced that an operation no longer has the position.
    pub fn position_queue(&self) -> &WaitQueue {
        self.position.queue()
    }

    /// The file position, as it is at the moment.
    pub fn shown_position(&self) -> u64 {
        match self.file.outer_position() {
            Some(outer) => outer.get().unwrap_or(0),
            None => self.position.get(),
        }
    }

    /// Moves the file position, whoever uses it (`man 2 sendfile`).
    pub fn move_position(&self, position: u64) {
        match self.file.outer_position() {
            Some(outer) => move_outer(outer, position),
            None => self.position.set(position),
        }
    }
}

impl Drop for FileDescription {
    fn drop(&mut self) {
        let is_writable = self.flags().is_writable();
        self.announce(if is_writable { WatchMask::CLOSE_WRITE } else { WatchMask::CLOSE_NOWRITE });
        if let (Some(locks), Some(owner)) = (self.used_locks(), LockOwner::of_description(self)) {
            locks.release(owner);
        }
    }
}

impl MappedFile for FileDescription {
    fn path(&self) -> Vec<u8> {
        match &self.path {
            Some(path) => path.display_from(&path.outermost_root()),
            None => self.file.anonymous_name().into_bytes(),
        }
    }

    fn device(&self) -> (u32, u32) {
        let device = self.file.metadata().map(|metadata| metadata.device).unwrap_or_default();
        (device.major, device.minor)
    }

    fn inode(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.inode)
    }
}
