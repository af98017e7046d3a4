//! Pipes and FIFOs (`man 7 pipe`, `man 7 fifo`).
//!
//! A [`Pipe`] is the buffer between its ends; a [`PipeFile`] is one open end. The ends count themselves: the last
//! writer's `Drop` makes end-of-file, the last reader's makes EPIPE. An idle pipe owns no page.
//!
//! Lock order: `reading`, then `writing` (of any pipe), then `state`. The first two are turns: splice(2) keeps its own while it
//! moves data to or from another file, so that nothing is lost on the way.

mod budget;
mod buffer;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::general::{F_GETPIPE_SZ, F_SETPIPE_SZ, PIPE_BUF};
use linux_raw_sys::ioctl::FIONREAD;
use parking_lot::Mutex;

use self::buffer::{Buffer, SEGMENT_BYTES, Segment};
use super::anonymous::AnonymousInode;
use super::locks::FileLocks;
use super::{
    AttributeChanges, Caller, File, FileKind, Inode, Metadata, OpenFiles, OpenFlags, PipeEnd, TransferUnit,
    Viewer,
};
use crate::Errno;
use crate::cred::{Capabilities, KernelGid, KernelUid};
use crate::memory::PagePart;
use crate::platform::VirtualAddress;
use crate::slices;
use crate::wait::{Events, WaitQueue};
pub(super) use budget::PipeBudget;

/// The buffer between the ends.
pub struct Pipe {
    files: Arc<OpenFiles>,
    /// Whose turn it is to take bytes out.
    reading: Mutex<()>,
    /// Whose turn it is to put bytes in.
    writing: Mutex<()>,
    state: Mutex<State>,
    queue: WaitQueue,
    locks: Arc<FileLocks>,
}

struct State {
    buffer: Buffer,
    readers: usize,
    writers: usize,
    /// Openings of either end since the pipe was made: a FIFO's open waits for the other one to move.
    readers_opened: u64,
    writers_opened: u64,
}

/// Which end a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    reads: bool,
    writes: bool,
}

/// Where the pipe's attributes live.
#[derive(Clone)]
enum Place {
    Nameless(Arc<NamelessPipe>),
    Fifo(Arc<dyn Inode>),
}

/// One open end of a pipe; both ends for a FIFO opened with O_RDWR.
pub struct PipeFile {
    pipe: Arc<Pipe>,
    ends: Ends,
    is_packet_mode: AtomicBool,
    place: Place,
    /// Openings of the other end when this file was opened.
    peers_seen: u64,
}

impl Default for State {
    fn default() -> Self {
        Self { buffer: Buffer::new(0), readers: 0, writers: 0, readers_opened: 0, writers_opened: 0 }
    }
}

impl State {
    fn is_open(&self) -> bool {
        self.readers + self.writers > 0
    }
}

impl Pipe {
    /// A pipe among `files`, with no end open.
    pub(super) fn new(files: &Arc<OpenFiles>) -> Arc<Self> {
        Arc::new(Self {
            files: files.clone(),
            reading: Mutex::default(),
            writing: Mutex::default(),
            state: Mutex::default(),
            queue: WaitQueue::default(),
            locks: Arc::default(),
        })
    }

    /// A pipe without a name, owned by `uid` and `gid`: its read end and its write end.
    ///
    /// # Errors
    /// ENFILE: all pipes together have too much memory for one more (`man 2 pipe`).
    pub fn pair(
        files: &Arc<OpenFiles>,
        flags: OpenFlags,
        uid: KernelUid,
        gid: KernelGid,
    ) -> Result<(Arc<PipeFile>, Arc<PipeFile>), Errno> {
        files.pipes().check()?;
        let pipe = Self::new(files);
        let inode = AnonymousInode::of_kind(files, FileKind::Fifo, 0o600).owned_by(uid, gid);
        let place = Place::Nameless(Arc::new(NamelessPipe { pipe: pipe.clone(), inode }));
        let end = |reads| PipeFile::new(pipe.clone(), Ends { reads, writes: !reads }, place.clone(), flags);
        Ok((end(true), end(false)))
    }

    /// Opens a FIFO whose buffer this is. The caller then waits until [`File::finish_open`] succeeds, unless
    /// O_NONBLOCK is set.
    ///
    /// # Errors
    /// ENXIO for O_WRONLY with O_NONBLOCK when nobody reads; ENFILE.
    pub fn open_fifo(
        self: &Arc<Self>,
        inode: Arc<dyn Inode>,
        flags: OpenFlags,
    ) -> Result<Arc<PipeFile>, Errno> {
        let ends = Ends { reads: flags.is_readable(), writes: flags.is_writable() };
        if !ends.reads && flags.contains(OpenFlags::NONBLOCK) && self.state.lock().readers == 0 {
            return Err(Errno::ENXIO);
        }
        self.files.pipes().check()?;
        Ok(PipeFile::new(self.clone(), ends, Place::Fifo(inode), flags))
    }

    /// Whether anybody has its read end open.
    pub fn has_readers(&self) -> bool {
        self.state.lock().readers > 0
    }

    /// What tells of events at either end; the last reader leaves with ERR.
    pub fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn set_capacity(&self, len_bytes: u64, is_privileged: bool) -> Result<usize, Errno> {
        let len_bytes = usize::try_from(len_bytes).map_err(|_| Errno::EINVAL)?;
        if len_bytes > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let segments = len_bytes.div_ceil(SEGMENT_BYTES).max(1).next_power_of_two();
        let mut state = self.state.lock();
        let old = state.buffer.max_segments();
        if segments > old {
            self.files.pipes().check_growth(old, segments, is_privileged)?;
        }
        if state.buffer.occupied_segments() > segments {
            return Err(Errno::EBUSY);
        }
        state.buffer.set_max_segments(segments);
        self.files.pipes().replace(old, segments);
        drop(state);
        self.queue.notify(Events::OUT | Events::WRNORM);
        Ok(segments * SEGMENT_BYTES)
    }
}

impl PipeFile {
    fn new(pipe: Arc<Pipe>, ends: Ends, place: Place, flags: OpenFlags) -> Arc<Self> {
        let peers_seen = {
            let mut state = pipe.state.lock();
            if !state.is_open() {
                state.buffer = Buffer::new(pipe.files.pipes().reserve());
            }
            state.readers += usize::from(ends.reads);
            state.writers += usize::from(ends.writes);
            state.readers_opened += u64::from(ends.reads);
            state.writers_opened += u64::from(ends.writes);
            // A peer that is open already counts as met.
            match (ends.reads, state.readers, state.writers) {
                (true, _, 0) => state.writers_opened,
                (false, 0, _) => state.readers_opened,
                _ => u64::MAX,
            }
        };
        pipe.queue.notify(Events::IN | Events::OUT);
        let is_packet_mode = AtomicBool::new(flags.contains(OpenFlags::DIRECT));
        Arc::new(Self { pipe, ends, is_packet_mode, place, peers_seen })
    }

    /// Whether the other end has been opened since this one was, or was open then: open(2) of a FIFO waits for it.
    fn has_met_peer(&self) -> bool {
        if self.ends.reads && self.ends.writes {
            return true;
        }
        let state = self.pipe.state.lock();
        let opened = if self.ends.reads { state.writers_opened } else { state.readers_opened };
        self.peers_seen != opened
    }

    /// The pipe that this is an end of.
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    /// As [`File::read_pieces`]. User memory is touched with the pipe locked, so that what does not fit stays in its place.
    fn read_to(&self, max_bytes: usize, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<usize, Errno> {
        if !self.ends.reads {
            return Err(Errno::EBADF);
        }
        let _turn = self.pipe.reading.lock();
        let mut state = self.pipe.state.lock();
        if state.buffer.is_empty() {
            return if max_bytes == 0 || state.writers == 0 { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let was_full = state.buffer.is_full();
        let read = state.buffer.pop(max_bytes, take);
        let has_room = was_full && !state.buffer.is_full();
        drop(state);
        if has_room {
            self.pipe.queue.notify(Events::OUT | Events::WRNORM);
        }
        if read == 0 && max_bytes > 0 { Err(Errno::EFAULT) } else { Ok(read) }
    }

    /// Puts in what there is room for. The caller has the writers' turn.
    fn put(&self, buffer: &[u8]) -> Result<usize, Errno> {
        let mut state = self.pipe.state.lock();
        if state.readers == 0 {
            return Err(Errno::EPIPE);
        }
        let written = if self.is_packet_mode.load(Ordering::Relaxed) {
            state.buffer.push_packets(buffer)?
        } else if buffer.len() <= PIPE_BUF as usize && !state.buffer.fits(buffer.len()) {
            0
        } else {
            state.buffer.push_stream(buffer)?
        };
        drop(state);
        if written == 0 {
            return Err(Errno::EAGAIN);
        }
        self.pipe.queue.notify(Events::IN | Events::RDNORM);
        Ok(written)
    }
}

/// What becomes of the bytes of a pipe that go to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// They leave it (splice(2)).
    Move,
    /// They stay in it (tee(2)).
    Duplicate,
}

impl PipeFile {
    /// Puts in `parts` of user memory as they are: what their owner stores there before they are read is read. Returns how many
    /// bytes there was room for.
    ///
    /// # Errors
    /// EAGAIN if the pipe is full, EPIPE if nobody reads.
    pub fn lend(&self, parts: Vec<PagePart>) -> Result<usize, Errno> {
        let _turn = self.pipe.writing.lock();
        self.check_room()?;
        let mut lent = 0;
        let mut state = self.pipe.state.lock();
        for part in parts {
            if state.buffer.is_full() {
                break;
            }
            lent += part.range.len();
            state.buffer.push(Segment::lent(part));
        }
        drop(state);
        self.pipe.queue.notify(Events::IN | Events::RDNORM);
        Ok(lent)
    }

    /// Has up to `max_bytes` of `from` go to `to`, a segment to a segment, as many as there are and fit. Returns how many bytes, 0
    /// also if nobody will write any more. They are ends of different pipes.
    ///
    /// # Errors
    /// EAGAIN if `from` is empty or `to` full, EPIPE if nobody reads `to`, ENOMEM.
    pub fn hand_over(from: &Self, to: &Self, max_bytes: usize, manner: Manner) -> Result<usize, Errno> {
        let _turns = (from.pipe.reading.lock(), to.pipe.writing.lock());
        from.has_data()?;
        to.check_room()?;
        let was_full = from.pipe.state.lock().buffer.is_full();
        let (mut done, mut index) = (0, 0);
        let result = loop {
            if done >= max_bytes || to.check_room().is_err() {
                break Ok(());
            }
            let segment = {
                let mut state = from.pipe.state.lock();
                match manner {
                    Manner::Move => state.buffer.take_first(max_bytes - done),
                    Manner::Duplicate => state.buffer.duplicate(index, max_bytes - done),
                }
            };
            match segment {
                Ok(Some(segment)) => {
                    done += segment.len();
                    index += 1;
                    to.pipe.state.lock().buffer.push(segment);
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if done > 0 {
            to.pipe.queue.notify(Events::IN | Events::RDNORM);
            if manner == Manner::Move && was_full {
                from.pipe.queue.notify(Events::OUT | Events::WRNORM);
            }
        }
        if done == 0 { result.map(|()| 0) } else { Ok(done) }
    }
}

impl PipeEnd for PipeFile {
    fn peek(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let state = self.pipe.state.lock();
        match state.buffer.peek(buffer) {
            0 if state.writers > 0 => Err(Errno::EAGAIN),
            copied => Ok(copied),
        }
    }

    fn has_data(&self) -> Result<bool, Errno> {
        let state = self.pipe.state.lock();
        match state.buffer.is_empty() {
            false => Ok(true),
            true if state.writers == 0 => Ok(false),
            true => Err(Errno::EAGAIN),
        }
    }

    fn check_room(&self) -> Result<(), Errno> {
        let state = self.pipe.state.lock();
        match () {
            () if state.readers == 0 => Err(Errno::EPIPE),
            () if state.buffer.is_full() => Err(Errno::EAGAIN),
            () => Ok(()),
        }
    }

    fn take_with(
        &self,
        buffer: &mut [u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<usize, Errno>,
    ) -> Result<Option<usize>, Errno> {
        let _turn = self.pipe.reading.lock();
        let copied = match self.peek(buffer) {
            Err(Errno::EAGAIN) => return Ok(None),
            Ok(0) => return Ok(Some(0)),
            copied => copied?,
        };
        let taken = sink(slices::first(buffer, copied)?)?.min(copied);
        let has_room = {
            let mut state = self.pipe.state.lock();
            let was_full = state.buffer.is_full();
            state.buffer.discard(taken);
            was_full && !state.buffer.is_full()
        };
        if has_room {
            self.pipe.queue.notify(Events::OUT | Events::WRNORM);
        }
        Ok(Some(taken))
    }

    fn fill_with(
        &self,
        buffer: &mut [u8],
        source: &mut dyn FnMut(&mut [u8]) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let _turn = self.pipe.writing.lock();
        self.check_room()?;
        let room = self.pipe.state.lock().buffer.free_bytes().min(buffer.len());
        let buffer = slices::first_mut(buffer, room)?;
        match source(buffer)?.min(room) {
            0 => Ok(0),
            filled => self.put(slices::first(buffer, filled)?),
        }
    }

    fn capacity_bytes(&self) -> Result<usize, Errno> {
        Ok(self.pipe.state.lock().buffer.max_segments() * SEGMENT_BYTES)
    }

    fn set_capacity(&self, len_bytes: u64, is_privileged: bool) -> Result<usize, Errno> {
        self.pipe.set_capacity(len_bytes, is_privileged)
    }
}

/// fcntl(2) with a pipe's own commands on `end`; `None` if `command` is none of them.
pub fn pipe_fcntl(
    end: &dyn PipeEnd,
    command: u32,
    argument: u64,
    caller: &dyn Caller,
) -> Option<Result<usize, Errno>> {
    match command {
        F_GETPIPE_SZ => Some(end.capacity_bytes()),
        F_SETPIPE_SZ => {
            let is_privileged = caller.credentials().has(Capabilities::SYS_RESOURCE);
            // An unsigned int, as Linux takes it.
            Some(end.set_capacity(argument & 0xffff_ffff, is_privileged))
        }
        _ => None,
    }
}

/// The inode of a pipe without a name, by which /proc/PID/fd/N opens an end once more.
struct NamelessPipe {
    pipe: Arc<Pipe>,
    inode: AnonymousInode,
}

impl Inode for NamelessPipe {
    fn kind(&self) -> FileKind {
        FileKind::Fifo
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        self.inode.change(changes);
        Ok(())
    }

    fn open(self: Arc<Self>, flags: OpenFlags, _viewer: &Viewer) -> Result<Arc<dyn File>, Errno> {
        let ends = Ends { reads: flags.is_readable(), writes: flags.is_writable() };
        Ok(PipeFile::new(self.pipe.clone(), ends, Place::Nameless(self), flags))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for PipeFile {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        state.readers -= usize::from(self.ends.reads);
        state.writers -= usize::from(self.ends.writes);
        if !state.is_open() {
            // A FIFO forgets what was in it.
            let old = std::mem::replace(&mut state.buffer, Buffer::new(0));
            self.pipe.files.pipes().release(old.max_segments());
        }
        let mut events = Events::empty();
        if state.writers == 0 {
            events |= Events::HUP | Events::IN | Events::RDNORM;
        }
        if state.readers == 0 {
            events |= Events::ERR | Events::OUT | Events::WRNORM;
        }
        drop(state);
        if !events.is_empty() {
            self.pipe.queue.notify(events);
        }
    }
}

impl File for PipeFile {
    fn takes_whole(&self, len_bytes: u64) -> bool {
        len_bytes <= linux_raw_sys::general::PIPE_BUF.into()
    }

    fn shared_locks(&self) -> Option<Arc<FileLocks>> {
        Some(self.pipe.locks.clone())
    }

    fn finish_open(&self) -> Result<(), Errno> {
        // Only FIFOs wait; /proc/PID/fd/N opens a pipe at once.
        let is_nameless = matches!(self.place, Place::Nameless(_));
        if is_nameless || self.has_met_peer() { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        let mut filled = 0;
        self.read_to(buffer.len(), &mut |piece| {
            if let Some(place) = buffer.get_mut(filled..filled + piece.len()) {
                place.copy_from_slice(piece);
            }
            filled += piece.len();
            true
        })
    }

    fn read_pieces(
        &self,
        max_bytes: usize,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Option<Result<usize, Errno>> {
        Some(self.read_to(max_bytes, take))
    }

    fn write_unit(&self) -> TransferUnit {
        TransferUnit::Bytes(SEGMENT_BYTES)
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        if !self.ends.writes {
            return Err(Errno::EBADF);
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let _turn = self.pipe.writing.lock();
        self.put(buffer)
    }

    fn readiness(&self) -> Events {
        let state = self.pipe.state.lock();
        let mut events = Events::empty();
        if self.ends.reads {
            if !state.buffer.is_empty() {
                events |= Events::IN | Events::RDNORM;
            }
            // A FIFO that no writer has opened yet is not hung up.
            if state.writers == 0 && state.writers_opened != self.peers_seen {
                events |= Events::HUP;
            }
        }
        if self.ends.writes {
            if !state.buffer.is_full() {
                events |= Events::OUT | Events::WRNORM;
            }
            if state.readers == 0 {
                events |= Events::ERR;
            }
        }
        events
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pipe.queue)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        match request {
            FIONREAD => {
                let len_bytes = self.pipe.state.lock().buffer.len_bytes() as i32;
                caller.memory().write_object(VirtualAddress(argument), &len_bytes)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        match &self.place {
            Place::Nameless(inode) => inode.metadata(),
            Place::Fifo(inode) => inode.metadata(),
        }
    }

    fn pipe_end(&self) -> Option<&dyn PipeEnd> {
        Some(self)
    }

    fn flags_changed(&self, flags: OpenFlags) {
        self.is_packet_mode.store(flags.contains(OpenFlags::DIRECT), Ordering::Relaxed);
    }

    fn anonymous_name(&self) -> String {
        match &self.place {
            Place::Nameless(pipe) => format!("pipe:[{}]", pipe.inode.ino()),
            Place::Fifo(_) => "pipe:[0]".into(),
        }
    }

    fn nameless_inode(&self) -> Option<Arc<dyn Inode>> {
        match &self.place {
            Place::Nameless(pipe) => Some(pipe.clone()),
            Place::Fifo(_) => None,
        }
    }

    fn offers_nowait(&self, _is_write: bool) -> bool {
        matches!(self.place, Place::Nameless(_))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
