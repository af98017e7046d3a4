//! One `open` of a file: its position and status flags, shared by duplicated descriptors (`man 2 open`, "Open file descriptions").

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::async_io::{AsyncObserver, AsyncSignals, SignalOwner, UrgentObserver};
use super::fanotify::FanMask;
use super::inotify::WatchMask;
use super::locks::{FileLocks, LockOwner};
use super::open_files::{OpenFiles, Registration};
use super::path::Path;
use super::position::{OwnPosition, Position, Turn, move_outer};
use super::write_count::WriteLeave;
use super::{Fd, File, FileKind, Metadata, OpenFlags};
use crate::Errno;
use crate::landlock::FileAccess;
use crate::memory::MappedFile;
use crate::wait::WaitQueue;

/// One open of a file.
pub struct FileDescription {
    file: Arc<dyn File>,
    path: Option<Path>,
    flags: AtomicU32,
    position: OwnPosition,
    signal_owner: Mutex<SignalOwner>,
    /// While the owner hears of readiness.
    async_io: Mutex<Option<crate::wait::Registration>>,
    /// While the owner hears of urgent data.
    urgent: OnceLock<Option<crate::wait::Registration>>,
    /// While it may be written, so may the mount, and nobody executes it.
    _write_leave: Option<WriteLeave>,
    /// What who opened it may not do with it (`man 7 landlock`).
    denied: FileAccess,
    /// The locks on a file whose inode has no place for them, once there were any.
    other_locks: OnceLock<Arc<FileLocks>>,
    /// Since it has had a descriptor.
    registration: OnceLock<Registration>,
    /// Its open made the file.
    made_file: AtomicBool,
    is_silent: AtomicBool,
}

impl FileDescription {
    /// A description of `file`, opened with `flags` at `path` (`None` for pipes, sockets and the like).
    pub fn new(file: Arc<dyn File>, path: Option<Path>, flags: OpenFlags) -> Arc<Self> {
        Self::with_leave(file, path, flags, None, FileAccess::empty())
    }

    /// As [`FileDescription::new`], with the leave to write the file at `path`, if it may be written, and what is denied
    /// with it.
    pub(super) fn with_leave(
        file: Arc<dyn File>,
        path: Option<Path>,
        flags: OpenFlags,
        write_leave: Option<WriteLeave>,
        denied: FileAccess,
    ) -> Arc<Self> {
        let description = Self {
            file,
            path,
            flags: AtomicU32::new(flags.bits()),
            position: OwnPosition::default(),
            signal_owner: Mutex::default(),
            async_io: Mutex::default(),
            urgent: OnceLock::new(),
            _write_leave: write_leave,
            denied,
            other_locks: OnceLock::new(),
            registration: OnceLock::new(),
            made_file: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
        };
        description.count_reader(1);
        Arc::new(description)
    }

    /// What who opened it may not do with it (`man 7 landlock`).
    pub fn denied(&self) -> FileAccess {
        self.denied
    }

    /// Counts who can only read a file, for the leases on it.
    fn count_reader(&self, change: i32) {
        let only_reads = self.flags().is_readable() && !self.flags().is_writable();
        if let (Some(path), true) = (&self.path, only_reads)
            && let Some(locks) = path.inode().locks()
        {
            locks.count_reader(change);
        }
    }

    /// Counts it among `files`, as soon as it gets a descriptor.
    pub(super) fn register(&self, files: &Arc<OpenFiles>) {
        self.registration.get_or_init(|| Registration::new(files));
    }

    /// Its id among the open files of the kernel, once it has had a descriptor.
    pub fn id(&self) -> Option<u64> {
        self.registration.get().map(Registration::id)
    }

    /// Whether its open made the file (fcntl F_CREATED_QUERY).
    pub fn has_made_file(&self) -> bool {
        self.made_file.load(Ordering::Relaxed)
    }

    /// Records that its open made the file.
    pub(super) fn set_made_file(&self) {
        self.made_file.store(true, Ordering::Relaxed);
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

    /// Has the owner of a socket hear of urgent data from now on.
    pub fn tell_owner_of_urgent_data(self: &Arc<Self>, signals: &Arc<AsyncSignals>) {
        if self.file.protocol_name().is_some() {
            self.urgent.get_or_init(|| UrgentObserver::register(self, signals));
        }
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
            Some(path) => path.metadata(),
            None => self.file.metadata(),
        }
    }

    /// Tells who watches the file of what happened to it.
    pub fn announce(&self, event: WatchMask) {
        self.announce_with(event, FanMask::empty());
    }

    /// As [`FileDescription::announce`], with what only fanotify has a name for.
    pub fn announce_with(&self, event: WatchMask, more: FanMask) {
        let is_heard = !self.flags().contains(OpenFlags::PATH) && !self.is_silent.load(Ordering::Relaxed);
        if let Some(path) = self.path.as_ref().filter(|_| is_heard) {
            path.dentry.announce_use(event, more, path);
        }
    }

    /// Has its owner get a signal when something happens in the directory that it is, as `wanted`, `DN_*` bits, says.
    ///
    /// # Errors
    /// ENOTDIR. ENOMEM.
    pub fn notify_of_changes(
        self: &Arc<Self>,
        fd: Fd,
        wanted: u32,
        signals: &Arc<AsyncSignals>,
    ) -> Result<(), Errno> {
        match &self.path {
            Some(path) if path.is_directory() => {
                path.dentry.watches().notices().set(self, fd, wanted, signals)
            }
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Has nobody hear of what is done through it.
    pub(super) fn silence(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }

    /// Whether nobody hears of what is done through it.
    pub fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
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
        self.count_reader(-1);
        if let (Some(locks), Some(id)) = (self.used_locks(), self.id()) {
            locks.leases().release(id);
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
