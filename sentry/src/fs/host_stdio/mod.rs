//! The caller's standard streams as guest files.
//!
//! The caller's open file descriptions are shared with other host processes, so their flags are not ours to change.
//! Pipes and terminals are opened once more, non-blocking, where the host lets us; sockets are asked with MSG_DONTWAIT;
//! for the rest, poll(2) tells first whether a call would block. Regular files and directories are in [`storage`].

mod host_pipe;
mod host_terminal;
mod notifier;
mod storage;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock, Weak};

use linux_raw_sys::general::SIGTTIN;
use linux_raw_sys::ioctl::FIONREAD;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::ReadWriteFlags;
use rustix::net::{RecvFlags, SendFlags};

use self::host_pipe::HostPipe;
use self::host_terminal::{CONSOLE, HostTerminal};
use super::anonymous::AnonymousInode;
use super::terminal::ControllingTerminals;
use super::{
    Caller, DeviceNumber, File, FileKind, Inode, Metadata, OpenFiles, OpenFlags, PipeEnd, Timestamp,
    TransferUnit, Viewer,
};
use crate::Errno;
use crate::host::{HostCall, count_call};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

pub use notifier::HostNotifier;
pub use storage::{Owners, StorageStreams};

/// The longest write to a blocking pipe or terminal that poll(2) says is ready: it takes at least this.
const CAUTIOUS_WRITE_BYTES: usize = 4096;
/// `pwritev2` and `preadv2` at the description's own position.
const CURRENT_POSITION: u64 = u64::MAX;

/// How the descriptor is kept from blocking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Never blocks for long: a device such as /dev/null.
    Immediate,
    /// Our own non-blocking description.
    NonBlocking,
    /// A socket of the host, read and written as a stream.
    Socket,
    /// A shared blocking description.
    Polled,
}

/// A standard stream that is to be made a guest file of.
#[derive(Clone, Copy, Debug)]
pub struct HostStream<'a> {
    /// The caller's descriptor, or one of our own.
    pub descriptor: BorrowedFd<'a>,
    /// How it comes by a description that does not block.
    pub opening: Opening,
}

/// How a stream comes by a description of our own that does not block, if it is a pipe or a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It is opened once more, if the host lets us.
    Again,
    /// It has been opened so.
    Done,
    /// It cannot be had.
    Never,
}

/// A standard stream of the caller.
pub struct HostFile {
    descriptor: OwnedFd,
    manner: Manner,
    kind: FileKind,
    is_readable: bool,
    is_writable: bool,
    terminal: Option<Arc<HostTerminal>>,
    queue: WaitQueue,
    notifier: Arc<HostNotifier>,
    /// Set once readiness is announced; the value is the notifier's name for the file.
    watch: OnceLock<Option<u64>>,
    /// The host's device and inode numbers; streams that agree in them have one inode.
    host_identity: (u64, u64),
    inode: Arc<AnonymousInode>,
    pipe: Option<HostPipe>,
    /// The node in /dev that stands for the terminal.
    node: OnceLock<Arc<dyn Inode>>,
    me: Weak<Self>,
}

impl HostFile {
    /// The caller's `streams` as files; those on one terminal share its job control.
    ///
    /// # Errors
    /// The host's errors on duplicating or inspecting a descriptor.
    pub fn standard_streams(
        streams: &[HostStream<'_>],
        notifier: &Arc<HostNotifier>,
        terminals: &Arc<ControllingTerminals>,
        open_files: &OpenFiles,
    ) -> Result<Vec<Arc<Self>>, Errno> {
        let mut files: Vec<Arc<Self>> = Vec::new();
        for stream in streams {
            count_call(HostCall::Stat);
            let device = rustix::fs::fstat(stream.descriptor)?.st_rdev;
            let known = files.iter().filter_map(|file| file.terminal.clone());
            let terminal = rustix::termios::isatty(stream.descriptor).then(|| {
                known
                    .into_iter()
                    .find(|terminal| terminal.host_device() == device)
                    .unwrap_or_else(|| HostTerminal::new(device, terminals.clone()))
            });
            let file = Self::new(*stream, terminal, notifier.clone(), &files, open_files)?;
            if let Some(terminal) = &file.terminal {
                terminal.add_stream(&file);
            }
            files.push(file);
        }
        Ok(files)
    }

    fn new(
        HostStream { descriptor: stream, opening }: HostStream<'_>,
        terminal: Option<Arc<HostTerminal>>,
        notifier: Arc<HostNotifier>,
        others: &[Arc<Self>],
        open_files: &OpenFiles,
    ) -> Result<Arc<Self>, Errno> {
        count_call(HostCall::Stat);
        let stat = rustix::fs::fstat(stream)?;
        let kind = FileKind::from_mode(stat.st_mode).unwrap_or(FileKind::Fifo);
        let may_block = terminal.is_some() || kind == FileKind::Fifo;
        let reopened = match opening {
            Opening::Again if may_block => reopen(stream, terminal.is_some()),
            Opening::Done if may_block => Some(duplicate(stream)?),
            _ => None,
        };
        let (descriptor, manner) = match (reopened, kind) {
            (Some(own), _) => (own, Manner::NonBlocking),
            (None, FileKind::Socket) => (duplicate(stream)?, Manner::Socket),
            (None, FileKind::Fifo) => (duplicate(stream)?, Manner::Polled),
            (None, FileKind::CharacterDevice) if terminal.is_some() => (duplicate(stream)?, Manner::Polled),
            (None, _) => (duplicate(stream)?, Manner::Immediate),
        };
        let host_identity = (stat.st_dev, stat.st_ino);
        let same = others.iter().find(|other| other.host_identity == host_identity);
        let inode = match same {
            Some(same) => same.inode.clone(),
            None => Arc::new(AnonymousInode::of_kind(open_files, kind, 0o600)),
        };
        // What the descriptor that is used allows: of a terminal that may be more than the caller's did.
        let mode = rustix::fs::fcntl_getfl(&descriptor)? & OFlags::ACCMODE;
        let pipe = if kind == FileKind::Fifo { Some(HostPipe::new()?) } else { None };
        let (queue, watch) = (WaitQueue::default(), OnceLock::new());
        Ok(Arc::new_cyclic(|me| Self {
            descriptor,
            manner,
            kind,
            is_readable: mode == OFlags::RDONLY || mode == OFlags::RDWR,
            is_writable: mode == OFlags::WRONLY || mode == OFlags::RDWR,
            terminal,
            queue,
            notifier,
            watch,
            host_identity,
            inode,
            pipe,
            node: OnceLock::new(),
            me: me.clone(),
        }))
    }

    /// Makes the terminal behind this stream, if there is one, the controlling terminal of `session_id`.
    ///
    /// # Errors
    /// ENOTTY if it is no terminal, EPERM if either is taken.
    pub fn control_session(&self, session_id: i32, foreground: i32) -> Result<(), Errno> {
        let terminal = self.terminal.as_ref().ok_or(Errno::ENOTTY)?;
        terminal.control_session(session_id, foreground)
    }

    /// Has fstat(2) tell of `node`, the terminal's place in /dev, so that ttyname(3) finds it. The first one counts.
    pub fn set_node(&self, node: Arc<dyn Inode>) {
        self.node.get_or_init(|| node);
    }

    /// Whether this is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    fn is_ready_for(&self, events: PollFlags) -> bool {
        let mut polled = [PollFd::new(&self.descriptor, events)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        count_call(HostCall::Poll);
        matches!(poll(&mut polled, Some(&now)), Ok(count) if count > 0)
    }

    fn host_read(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self.manner {
            Manner::Immediate | Manner::NonBlocking => {
                count_call(HostCall::Read);
                rustix::io::read(&self.descriptor, buffer)
            }
            Manner::Socket => {
                count_call(HostCall::Receive);
                rustix::net::recv(&self.descriptor, buffer, RecvFlags::DONTWAIT).map(|(read, _)| read)
            }
            Manner::Polled => {
                if !self.is_ready_for(PollFlags::IN) {
                    return Err(rustix::io::Errno::AGAIN);
                }
                let mut pieces = [IoSliceMut::new(buffer)];
                let flags = ReadWriteFlags::NOWAIT;
                count_call(HostCall::ReadAt);
                match rustix::io::preadv2(&self.descriptor, &mut pieces, CURRENT_POSITION, flags) {
                    Err(rustix::io::Errno::OPNOTSUPP) => rustix::io::read(&self.descriptor, buffer),
                    result => result,
                }
            }
        }
    }

    fn host_write(&self, buffer: &[u8]) -> rustix::io::Result<usize> {
        match self.manner {
            Manner::Immediate | Manner::NonBlocking => {
                count_call(HostCall::Write);
                rustix::io::write(&self.descriptor, buffer)
            }
            Manner::Socket => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                count_call(HostCall::Send);
                rustix::net::send(&self.descriptor, buffer, flags)
            }
            Manner::Polled => {
                if !self.is_ready_for(PollFlags::OUT) {
                    return Err(rustix::io::Errno::AGAIN);
                }
                let flags = ReadWriteFlags::NOWAIT;
                count_call(HostCall::WriteAt);
                match rustix::io::pwritev2(&self.descriptor, &[IoSlice::new(buffer)], CURRENT_POSITION, flags)
                {
                    Err(rustix::io::Errno::OPNOTSUPP) => {
                        let (first, _) = buffer.split_at(buffer.len().min(CAUTIOUS_WRITE_BYTES));
                        count_call(HostCall::Write);
                        rustix::io::write(&self.descriptor, first)
                    }
                    result => result,
                }
            }
        }
    }
}

fn duplicate(stream: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(stream, 3)
}

/// Our own non-blocking description of a pipe or terminal; `None` where the host refuses. A terminal's is for reading
/// and writing if that can be, since /dev/tty is.
fn reopen(stream: BorrowedFd<'_>, is_terminal: bool) -> Option<OwnedFd> {
    let access = rustix::fs::fcntl_getfl(stream).ok()? & (OFlags::ACCMODE | OFlags::APPEND);
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    let open = |access| rustix::fs::open(&path, access | flags, Mode::empty()).ok();
    is_terminal.then(|| open(OFlags::RDWR)).flatten().or_else(|| open(access))
}

/// Retries what a host signal interrupted; its handlers have nothing to tell us here.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, Errno> {
    rustix::io::retry_on_intr(&mut call).map_err(Errno::from)
}

impl File for HostFile {
    fn is_prompt(&self) -> bool {
        self.manner != Manner::Polled
    }

    fn takes_whole(&self, len_bytes: u64) -> bool {
        let is_pipe = self.manner == Manner::NonBlocking && self.pipe.is_some();
        self.manner == Manner::Immediate || is_pipe && len_bytes <= linux_raw_sys::general::PIPE_BUF.into()
    }

    fn prepare_io(&self, caller: &dyn Caller, is_write: bool) -> Result<(), Errno> {
        match &self.terminal {
            Some(terminal) if !is_write => terminal.check_foreground(caller, SIGTTIN),
            _ => Ok(()),
        }
    }

    fn write_unit(&self) -> TransferUnit {
        TransferUnit::Bytes(4096)
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        retry(|| self.host_read(buffer))
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        if buffer.is_empty() {
            return Ok(0);
        }
        retry(|| self.host_write(buffer))
    }

    fn readiness(&self) -> Events {
        if self.manner == Manner::Immediate {
            return Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM;
        }
        let asked = PollFlags::IN | PollFlags::PRI | PollFlags::OUT | PollFlags::RDHUP;
        let mut polled = [PollFd::new(&self.descriptor, asked)];
        count_call(HostCall::Poll);
        match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(_) => {
                let mut events = Events::from_bits_truncate(polled[0].revents().bits().into());
                events.set(Events::RDNORM, events.contains(Events::IN));
                events.set(Events::WRNORM, events.contains(Events::OUT));
                events
            }
            Err(_) => Events::ERR,
        }
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        if self.manner == Manner::Immediate {
            return None;
        }
        let watch =
            self.watch.get_or_init(|| self.notifier.watch(self.descriptor.as_fd(), self.queue.clone()));
        watch.is_some().then_some(&self.queue)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        if let Some(terminal) = &self.terminal {
            return terminal.ioctl(self.descriptor.as_fd(), request, argument, caller);
        }
        match request {
            FIONREAD => {
                count_call(HostCall::Control);
                let len_bytes = rustix::io::ioctl_fionread(&self.descriptor)?;
                let len_bytes = i32::try_from(len_bytes).unwrap_or(i32::MAX);
                caller.memory().write_object(VirtualAddress(argument), &len_bytes)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        if let Some(node) = self.node.get() {
            return node.metadata();
        }
        count_call(HostCall::Stat);
        let stat = rustix::fs::fstat(&self.descriptor)?;
        let timestamp = |seconds: i64, nanoseconds: u64| Timestamp {
            seconds,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
        };
        Ok(Metadata {
            links: 1,
            mode: self.kind.mode_bits() | stat.st_mode & 0o777,
            special_device: match self.terminal {
                Some(_) => CONSOLE,
                None => DeviceNumber::from_u64(stat.st_rdev),
            },
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            block_size_bytes: u32::try_from(stat.st_blksize).unwrap_or(4096),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            accessed: timestamp(stat.st_atime, stat.st_atime_nsec as u64),
            modified: timestamp(stat.st_mtime, stat.st_mtime_nsec as u64),
            changed: timestamp(stat.st_ctime, stat.st_ctime_nsec as u64),
            ..self.inode.metadata()
        })
    }

    fn pipe_end(&self) -> Option<&dyn PipeEnd> {
        self.pipe.is_some().then_some(self)
    }

    fn anonymous_name(&self) -> String {
        match self.kind {
            FileKind::Fifo => format!("pipe:[{}]", self.inode.ino()),
            FileKind::Socket => format!("socket:[{}]", self.inode.ino()),
            _ if self.terminal.is_some() => "/dev/console".into(),
            _ => "/dev/null".into(),
        }
    }

    fn nameless_inode(&self) -> Option<Arc<dyn Inode>> {
        let file = self.me.upgrade()?;
        Some(Arc::new(HostInode { file }))
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

/// A standard stream's inode. Opening it yields the same stream, and no access that the caller's description lacks.
struct HostInode {
    file: Arc<HostFile>,
}

impl Inode for HostInode {
    fn kind(&self) -> FileKind {
        self.file.kind
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.file.metadata()
    }

    fn open(self: Arc<Self>, flags: OpenFlags, _viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        let is_beyond =
            flags.is_readable() && !self.file.is_readable || flags.is_writable() && !self.file.is_writable;
        if is_beyond { Err(Errno::EACCES) } else { Ok(self.file.clone()) }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for HostFile {
    fn drop(&mut self) {
        if let Some(Some(watch)) = self.watch.get() {
            self.notifier.forget(self.descriptor.as_fd(), *watch);
        }
    }
}
