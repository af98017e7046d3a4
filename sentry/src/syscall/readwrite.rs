//! Reading, writing and seeking.
//!
//! Data goes through a buffer of the sentry in portions. Once something has been moved, what stops the rest only
//! makes the call shorter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, UserSlice, handlers};
use super::fanotify::permit;
use super::socket::message;
use super::user_buffers::UserBuffers;
use crate::Errno;
use crate::abi::Iovec;
use crate::fs::fanotify::FanMask;
use crate::fs::inotify::WatchMask;
use crate::fs::{Fd, File, FileDescription, OpenFlags, OuterPosition, ReadPace, TransferUnit};
use crate::limits::Resource;
use crate::net::SocketFile;
use crate::pace::Pace;
use crate::signal::{Signal, SignalInfo};
use crate::slices::{first, first_mut, rest, rest_mut};
use crate::task::{Blocked, CurrentTask, Patience};
use crate::wait::Events;
use crate::width::u64_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![read, write, pread64, pwrite64, readv, writev, preadv, pwritev, preadv2, pwritev2, lseek,];

/// Bytes that are moved at a time between a file with positions and user memory.
const PORTION_LEN: usize = 64 * 1024;
/// Bytes of a stream that one read or write moves at a time: a message of a socket is never torn below this.
const STREAM_PORTION_LEN: usize = 256 * 1024;

/// Where a transfer takes place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// At the description's position, which moves.
    Position,
    /// At this offset.
    Offset(u64),
}

/// Where a call says that its memory is. It is looked at once the file is known to fit.
#[derive(Clone, Copy)]
pub(super) enum UserMemory {
    Buffer(UserSlice),
    Pieces(UserPointer<Iovec>, u64),
}

/// What becomes of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

impl UserMemory {
    /// The memory, for a transfer with `file`.
    ///
    /// # Errors
    /// ESPIPE, EBADF: the file has no such transfer. EFAULT, EINVAL: the memory is none.
    fn for_transfer(
        self,
        task: &CurrentTask,
        file: &FileDescription,
        (direction, at): (Direction, At),
    ) -> Result<UserBuffers, Errno> {
        let has_places =
            file.file().is_seekable() && (direction == Direction::Read || !file.file().is_sequence());
        if at != At::Position && !has_places {
            return Err(Errno::ESPIPE);
        }
        let (is_open_for_it, is_possible) = match direction {
            Direction::Read => (file.flags().is_readable(), file.file().has_read()),
            Direction::Write => (file.flags().is_writable(), file.file().has_write()),
        };
        if !is_open_for_it {
            return Err(Errno::EBADF);
        }
        if !is_possible {
            return Err(Errno::EINVAL);
        }
        match self {
            Self::Buffer(buffer) => {
                let buffers = UserBuffers::single(buffer)?;
                if direction == Direction::Write {
                    file.file().check_write_len(buffer.len_bytes)?;
                }
                Ok(buffers)
            }
            Self::Pieces(vector, count) => UserBuffers::vector(task, vector, count),
        }
    }
}

fn read(task: &mut CurrentTask, descriptor: Fd, buffer: UserSlice) -> Result<usize, Errno> {
    read_memory(task, descriptor, UserMemory::Buffer(buffer), At::Position)
}

fn pread64(task: &mut CurrentTask, descriptor: Fd, buffer: UserSlice, offset: i64) -> Result<usize, Errno> {
    let at = At::Offset(check_offset(offset)?);
    read_memory(task, descriptor, UserMemory::Buffer(buffer), at)
}

fn read_memory(task: &mut CurrentTask, descriptor: Fd, memory: UserMemory, at: At) -> Result<usize, Errno> {
    let file = task.usable_file(descriptor)?;
    let buffers = memory.for_transfer(task, &file, (Direction::Read, at))?;
    vfs_read(task, &file, buffers, at, false)
}

fn write(task: &mut CurrentTask, descriptor: Fd, buffer: UserSlice) -> Result<usize, Errno> {
    write_memory(task, descriptor, buffer, At::Position)
}

fn pwrite64(task: &mut CurrentTask, descriptor: Fd, buffer: UserSlice, offset: i64) -> Result<usize, Errno> {
    let at = At::Offset(check_offset(offset)?);
    write_memory(task, descriptor, buffer, at)
}

fn write_memory(task: &mut CurrentTask, descriptor: Fd, buffer: UserSlice, at: At) -> Result<usize, Errno> {
    let file = task.usable_file(descriptor)?;
    let buffers = UserMemory::Buffer(buffer).for_transfer(task, &file, (Direction::Write, at))?;
    vfs_write(task, &file, buffers, at, WriteFlags::default())
}

fn readv(
    task: &mut CurrentTask,
    descriptor: Fd,
    vector: UserPointer<Iovec>,
    count: u64,
) -> Result<usize, Errno> {
    read_pieces(task, descriptor, (vector, count), At::Position, 0)
}

fn writev(
    task: &mut CurrentTask,
    descriptor: Fd,
    vector: UserPointer<Iovec>,
    count: u64,
) -> Result<usize, Errno> {
    write_pieces(task, descriptor, (vector, count), At::Position, 0)
}

fn preadv(
    task: &mut CurrentTask,
    descriptor: Fd,
    vector: UserPointer<Iovec>,
    count: u64,
    offset: i64,
) -> Result<usize, Errno> {
    read_pieces(task, descriptor, (vector, count), At::Offset(check_offset(offset)?), 0)
}

fn pwritev(
    task: &mut CurrentTask,
    descriptor: Fd,
    vector: UserPointer<Iovec>,
    count: u64,
    offset: i64,
) -> Result<usize, Errno> {
    write_pieces(task, descriptor, (vector, count), At::Offset(check_offset(offset)?), 0)
}

fn preadv2(
    task: &mut CurrentTask,
    descriptor: Fd,
    vector: UserPointer<Iovec>,
    count: u64,
    offset: i64,
    _high: u64,
    flags: u32,
) -> Result<usize, Errno> {
    read_pieces(task, descriptor, (vector, count), position_or_offset(offset)?, flags)
}

fn pwritev2(
    task: &mut CurrentTask,
    descriptor: Fd,
    vector: UserPointer<Iovec>,
    count: u64,
    offset: i64,
    _high: u64,
    flags: u32,
) -> Result<usize, Errno> {
    write_pieces(task, descriptor, (vector, count), position_or_offset(offset)?, flags)
}

/// The file and the pieces of memory of a transfer; `None` without bytes: unlike write(2), which may send an empty message, such a
/// call does nothing.
fn pieces_of(
    task: &CurrentTask,
    descriptor: Fd,
    memory: UserMemory,
    (direction, at): (Direction, At),
) -> Result<Option<(Arc<FileDescription>, UserBuffers)>, Errno> {
    let file = task.usable_file(descriptor)?;
    let buffers = memory.for_transfer(task, &file, (direction, at))?;
    if buffers.remaining() == 0 {
        return Ok(None);
    }
    if let At::Offset(offset) = at {
        check_end(offset, buffers.remaining())?;
    }
    Ok(Some((file, buffers)))
}

/// Flags count once there is something to read.
fn read_pieces(
    task: &mut CurrentTask,
    descriptor: Fd,
    (vector, count): (UserPointer<Iovec>, u64),
    at: At,
    flags: u32,
) -> Result<usize, Errno> {
    let memory = UserMemory::Pieces(vector, count);
    transfer(task, descriptor, memory, (Direction::Read, at), flags).map(|(read, _)| read)
}

/// Flags count once there is something to write.
fn write_pieces(
    task: &mut CurrentTask,
    descriptor: Fd,
    (vector, count): (UserPointer<Iovec>, u64),
    at: At,
    flags: u32,
) -> Result<usize, Errno> {
    let memory = UserMemory::Pieces(vector, count);
    transfer(task, descriptor, memory, (Direction::Write, at), flags).map(|(written, _)| written)
}

/// Moves bytes between `memory` and the file of `descriptor`, with `RWF_*` flags. Returns how many, and how many it should have
/// been.
///
/// # Errors
/// Those of preadv2(2) and pwritev2(2).
pub(super) fn transfer(
    task: &mut CurrentTask,
    descriptor: Fd,
    memory: UserMemory,
    (direction, at): (Direction, At),
    flags: u32,
) -> Result<(usize, usize), Errno> {
    let pieces = pieces_of(task, descriptor, memory, (direction, at))?;
    let Some((file, buffers)) = pieces else { return Ok((0, 0)) };
    let wanted = buffers.remaining();
    let moved = match direction {
        Direction::Read => {
            let flags = read_write_flags(flags)?;
            check_nowait(&file, flags, false)?;
            vfs_read(task, &file, buffers, at, flags & uapi::RWF_NOWAIT != 0)?
        }
        Direction::Write => {
            let flags = read_write_flags(flags)?;
            check_nowait(&file, flags, true)?;
            let never_waits = flags & uapi::RWF_NOWAIT != 0;
            vfs_write(task, &file, buffers, at, WriteFlags { never_waits, ..WriteFlags::of(flags)? })?
        }
    };
    Ok((moved, wanted))
}

/// As if the file were not open with O_APPEND (`man 2 pwritev2`).
const RWF_NOAPPEND: u32 = 0x20;

/// The `RWF_*` flags that are known.
pub(super) const READ_WRITE_FLAGS: u32 =
    uapi::RWF_HIPRI | uapi::RWF_DSYNC | uapi::RWF_SYNC | uapi::RWF_NOWAIT | uapi::RWF_APPEND | RWF_NOAPPEND;

fn read_write_flags(flags: u32) -> Result<u32, Errno> {
    if flags & !READ_WRITE_FLAGS == 0 { Ok(flags) } else { Err(Errno::EOPNOTSUPP) }
}

/// Fails if `flags` want no wait of a file that cannot do without, or anything of a directory.
fn check_nowait(file: &FileDescription, flags: u32, is_write: bool) -> Result<(), Errno> {
    let is_unfit = flags & uapi::RWF_NOWAIT != 0 && !file.file().offers_nowait(is_write);
    let is_directory = file.path().is_some_and(|path| path.is_directory());
    if is_unfit || is_directory && flags & !uapi::RWF_HIPRI != 0 { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
}

fn check_offset(offset: i64) -> Result<u64, Errno> {
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

fn position_or_offset(offset: i64) -> Result<At, Errno> {
    if offset == -1 { Ok(At::Position) } else { check_offset(offset).map(At::Offset) }
}

/// Fails if what begins at `start` would end behind the last position that there is.
fn check_end(start: u64, len_bytes: usize) -> Result<(), Errno> {
    let is_behind = |end: u64| start <= i64::MAX.cast_unsigned() && end > i64::MAX.cast_unsigned();
    match start.checked_add(u64_from(len_bytes)) {
        Some(end) if !is_behind(end) => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// Reads from `file` to user memory.
pub(super) fn vfs_read(
    task: &mut CurrentTask,
    file: &Arc<FileDescription>,
    buffers: UserBuffers,
    at: At,
    never_waits: bool,
) -> Result<usize, Errno> {
    if !file.flags().is_readable() {
        return Err(Errno::EBADF);
    }
    permit_read(task, file)?;
    let result = read_from(task, file, buffers, at, never_waits);
    task.task().count_read(result);
    let read = result?;
    if read > 0 {
        file.announce(WatchMask::ACCESS);
    }
    Ok(read)
}

/// Waits until whoever wants to be asked allows `file` to be read.
///
/// # Errors
/// EPERM: somebody does not. ERESTARTSYS: interrupted.
pub(super) fn permit_read(task: &mut CurrentTask, file: &FileDescription) -> Result<(), Errno> {
    match file.path() {
        Some(path) if !file.is_silent() => permit(task, path, FanMask::ACCESS_PERM),
        _ => Ok(()),
    }
}

fn read_from(
    task: &mut CurrentTask,
    file: &Arc<FileDescription>,
    buffers: UserBuffers,
    at: At,
    never_waits: bool,
) -> Result<usize, Errno> {
    if file.file().is_seekable() {
        return match at {
            At::Offset(offset) => positioned_read(task, file, buffers, Place::Offset(offset)),
            At::Position => match file.file().outer_position() {
                Some(outer) => {
                    let _exclusive = task.turn(file)?;
                    positioned_read(task, file, buffers, Place::Outer(outer))
                }
                None => {
                    let mut position = task.position(file)?;
                    let read = positioned_read(task, file, buffers, Place::Offset(*position))?;
                    *position += u64_from(read);
                    Ok(read)
                }
            },
        };
    }
    if at != At::Position {
        return Err(Errno::ESPIPE);
    }
    if file.downcast::<SocketFile>().is_some() {
        return message::read(task, file, buffers, never_waits);
    }
    stream_read(task, file, buffers, Patience::of(file, Events::IN).unless(never_waits))
}

/// Where in a file with positions a transfer takes place.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// At this offset.
    Offset(u64),
    /// At a position that moves outside.
    Outer(&'a dyn OuterPosition),
}

impl Place<'_> {
    /// Has the last `len` bytes that were read count as not read.
    fn give_back(self, len: usize) {
        if let Self::Outer(outer) = self
            && let Ok(position) = outer.get()
            && let Err(error) = outer.set(position.saturating_sub(u64_from(len)))
        {
            log::debug!("the host's file position stays: {error}");
        }
    }

    fn offset(self) -> Result<u64, Errno> {
        match self {
            Self::Offset(offset) => Ok(offset),
            Self::Outer(outer) => outer.get(),
        }
    }
}

fn positioned_read(
    task: &mut CurrentTask,
    file: &FileDescription,
    mut buffers: UserBuffers,
    place: Place<'_>,
) -> Result<usize, Errno> {
    check_end(place.offset()?, buffers.remaining())?;
    file.file().prepare_io(task, false)?;
    let mut buffer = task.take_buffer(buffers.remaining().min(PORTION_LEN));
    let memory = task.memory().clone();
    let mut done = 0;
    let result = loop {
        let len = buffers.remaining().min(PORTION_LEN);
        let portion = first_mut(&mut buffer, len)?;
        let read = match place {
            Place::Outer(outer) => outer.read(portion),
            Place::Offset(start) => match start.checked_add(u64_from(done)) {
                Some(offset) => file.file().read_by(portion, offset, task),
                None => Err(Errno::EINVAL),
            },
        };
        let read = match read {
            Ok(read) => read,
            Err(error) => break if done > 0 { Ok(done) } else { Err(error) },
        };
        let copied = buffers.fill(&memory, first(portion, read)?);
        done += copied;
        if copied < read {
            place.give_back(read - copied);
            break if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
        }
        let is_interrupted = !file.is_regular() && task.task().is_interrupted();
        if read < len || buffers.remaining() == 0 || is_interrupted || task.keep_going().is_err() {
            break Ok(done);
        }
    };
    task.return_buffer(buffer);
    result
}

/// Reads from a file without positions.
pub(super) fn stream_read(
    task: &mut CurrentTask,
    file: &FileDescription,
    mut buffers: UserBuffers,
    patience: Patience,
) -> Result<usize, Errno> {
    if let Some(pace) = file.file().read_pace() {
        return read_units(task, file, &mut buffers, |task, buffer| {
            read_at_pace(task, file.file(), buffer, pace, patience.waits())
        });
    }
    let memory = task.memory().clone();
    let operation = |task: &mut CurrentTask| {
        file.file().prepare_io(task, false)?;
        let max_bytes = buffers.remaining();
        let mut take = |piece: &[u8]| buffers.fill(&memory, piece) == piece.len();
        match file.file().read_pieces(max_bytes, &mut take) {
            Some(read) => read,
            None => read_units(task, file, &mut buffers, |task, buffer| file.file().read_by(buffer, 0, task)),
        }
    };
    patience.retry_on(task, file, Events::IN, operation)
}

/// Reads by `read` what cannot be put back.
fn read_units(
    task: &mut CurrentTask,
    file: &FileDescription,
    buffers: &mut UserBuffers,
    read: impl FnOnce(&mut CurrentTask, &mut [u8]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut len = buffers.remaining().min(STREAM_PORTION_LEN);
    let unit = file.file().read_unit();
    if unit == TransferUnit::Bytes(1) {
        // Bytes that there is no memory for are not read at all.
        let writable = buffers.writable_len(task.memory(), len);
        if writable == 0 && len > 0 {
            return Err(Errno::EFAULT);
        }
        len = writable;
    }
    let mut buffer = task.take_buffer(len);
    let read = read(task, first_mut(&mut buffer, len)?);
    let delivered = read.and_then(|read| {
        let copied = buffers.fill(task.memory(), first(&buffer, read)?);
        match if copied < read { unit.counted(copied) } else { copied } {
            0 if read > 0 => Err(Errno::EFAULT),
            counted => Ok(counted),
        }
    });
    task.return_buffer(buffer);
    delivered
}

/// Reads bytes as they come, until there are enough of them or they take too long.
fn read_at_pace(
    task: &mut CurrentTask,
    file: &Arc<dyn File>,
    buffer: &mut [u8],
    pace: ReadPace,
    waits: bool,
) -> Result<usize, Errno> {
    file.prepare_io(task, false)?;
    let queues: Vec<_> = file.wait_queue().map(|queue| (queue, Events::IN)).into_iter().collect();
    let (mut done, mut patience) = (0, pace.first);
    while done < pace.least_bytes.min(buffer.len()) {
        let place = rest_mut(buffer, done)?;
        let mut attempt = || match file.read_at(place, 0) {
            Err(Errno::EAGAIN) => None,
            result => Some(result),
        };
        let outcome = if !waits || patience == Some(Duration::ZERO) {
            attempt().ok_or(Blocked::TimedOut)
        } else {
            task.block(&queues, patience.map(|patience| Instant::now() + patience), attempt)
        };
        let result = match outcome {
            Ok(result) => result,
            Err(Blocked::TimedOut) if !waits && patience != Some(Duration::ZERO) => Err(Errno::EAGAIN),
            Err(Blocked::TimedOut) => break,
            Err(Blocked::Interrupted) => Err(Errno::ERESTARTSYS),
        };
        match result {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
        patience = pace.between.or(patience);
    }
    Ok(done)
}

/// How a write deviates from write(2).
#[derive(Clone, Copy, Default)]
pub(super) struct WriteFlags {
    never_waits: bool,
    appends: bool,
    ignores_append: bool,
}

impl WriteFlags {
    /// As these `RWF_*` flags say where to write.
    ///
    /// # Errors
    /// EINVAL: they contradict each other.
    pub(super) fn of(flags: u32) -> Result<Self, Errno> {
        let (appends, ignores_append) = (flags & uapi::RWF_APPEND != 0, flags & RWF_NOAPPEND != 0);
        match appends && ignores_append {
            true => Err(Errno::EINVAL),
            false => Ok(Self { appends, ignores_append, ..Self::default() }),
        }
    }

    /// Whether what is written to `file` goes to its end.
    fn appends_to(self, file: &FileDescription) -> bool {
        self.appends || file.flags().contains(OpenFlags::APPEND) && !self.ignores_append
    }
}

/// Writes from user memory to `file`.
pub(super) fn vfs_write(
    task: &mut CurrentTask,
    file: &Arc<FileDescription>,
    buffers: UserBuffers,
    at: At,
    flags: WriteFlags,
) -> Result<usize, Errno> {
    if !file.flags().is_writable() {
        return Err(Errno::EBADF);
    }
    let result = match file.file().write_unseen(buffers.remaining()) {
        Some(result) => result,
        None => do_iter_write(task, file, buffers, at, flags),
    };
    task.task().count_write(result);
    let written = result?;
    if written > 0 {
        file.announce(WatchMask::MODIFY);
    }
    Ok(written)
}

fn do_iter_write(
    task: &mut CurrentTask,
    file: &Arc<FileDescription>,
    buffers: UserBuffers,
    at: At,
    flags: WriteFlags,
) -> Result<usize, Errno> {
    if file.file().is_seekable() {
        return match at {
            At::Offset(_) if file.file().is_sequence() => Err(Errno::ESPIPE),
            At::Offset(offset) => {
                positioned_write(task, file, buffers, Place::Offset(offset), flags).map(|(len, _)| len)
            }
            At::Position => match file.file().outer_position() {
                Some(outer) => {
                    let _exclusive = task.turn(file)?;
                    positioned_write(task, file, buffers, Place::Outer(outer), flags).map(|(len, _)| len)
                }
                None => {
                    let mut position = task.position(file)?;
                    let (written, end) =
                        positioned_write(task, file, buffers, Place::Offset(*position), flags)?;
                    *position = end;
                    Ok(written)
                }
            },
        };
    }
    if at != At::Position {
        return Err(Errno::ESPIPE);
    }
    if file.downcast::<SocketFile>().is_some() {
        return message::write(task, file, buffers, flags.never_waits);
    }
    stream_write(task, file, buffers, Patience::of(file, Events::OUT).unless(flags.never_waits))
}

/// Writes and returns how much, and the offset after it.
fn positioned_write(
    task: &mut CurrentTask,
    file: &FileDescription,
    mut buffers: UserBuffers,
    place: Place<'_>,
    flags: WriteFlags,
) -> Result<(usize, u64), Errno> {
    check_end(place.offset()?, buffers.remaining())?;
    file.file().prepare_io(task, true)?;
    let is_sequence = file.file().is_sequence();
    let appends = !is_sequence && flags.appends_to(file);
    let mut buffer = task.take_buffer(buffers.remaining().min(PORTION_LEN));
    let memory = task.memory().clone();
    let (mut done, mut end) = (0, place.offset()?);
    let result = loop {
        let whole = if is_sequence { buffers.first_len() } else { buffers.remaining() };
        let len = whole.min(PORTION_LEN);
        let portion = match limit_size(task, file, end, len, appends) {
            Ok(len) => first_mut(&mut buffer, len)?,
            Err(error) => break Err(error),
        };
        let taken = buffers.take(&memory, portion);
        if taken == 0 && len > 0 {
            break Err(Errno::EFAULT);
        }
        let data = first(portion, taken)?;
        let after = |written: usize| (written, end.saturating_add(u64_from(written)));
        let written = match place {
            Place::Outer(outer) => outer.write(data, appends).map(after),
            Place::Offset(_) if appends => file.file().append_by(data, task),
            Place::Offset(_) => file.file().write_by(data, end, task).map(after),
        };
        match written {
            Ok((written, new_end)) => {
                done += written;
                end = new_end;
                if written < len || buffers.remaining() == 0 || task.keep_going().is_err() {
                    break Ok(());
                }
            }
            Err(error) => break Err(error),
        }
    };
    task.return_buffer(buffer);
    match result {
        Err(error) if done == 0 => Err(error),
        _ => Ok((done, end)),
    }
}

/// Cuts a write to what RLIMIT_FSIZE leaves; SIGXFSZ if that is nothing (`man 2 setrlimit`).
fn limit_size(
    task: &mut CurrentTask,
    file: &FileDescription,
    offset: u64,
    len: usize,
    appends: bool,
) -> Result<usize, Errno> {
    let limit = file_size_limit(task, file);
    if limit == crate::limits::INFINITY || len == 0 || !file.is_regular() {
        return Ok(len);
    }
    let offset = if appends { file.metadata()?.size_bytes } else { offset };
    check_size_limit(task, file, offset.saturating_add(1))?;
    Ok(usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX).min(len))
}

/// The size in bytes that writing may give `file`: the caller's limit, or one that holds outside too.
pub(super) fn file_size_limit(task: &CurrentTask, file: &FileDescription) -> u64 {
    let own = task.thread_group().soft_limit(Resource::FILE_SIZE);
    file.file().size_limit().map_or(own, |outer| outer.min(own))
}

/// Fails with EFBIG, and raises SIGXFSZ, if `file` may not become `size` bytes long.
pub(super) fn check_size_limit(
    task: &mut CurrentTask,
    file: &FileDescription,
    size: u64,
) -> Result<(), Errno> {
    check_size(task, size, file_size_limit(task, file))
}

/// Fails with EFBIG, and raises SIGXFSZ, if `size` is beyond `limit`, both in bytes.
pub(super) fn check_size(task: &mut CurrentTask, size: u64, limit: u64) -> Result<(), Errno> {
    if size > limit {
        // What a ring does, it does in silence.
        if !task.is_attempting() {
            task.task().send_signal(SignalInfo::from_kernel(Signal::SIGXFSZ));
        }
        return Err(Errno::EFBIG);
    }
    Ok(())
}

fn stream_write(
    task: &mut CurrentTask,
    file: &FileDescription,
    mut buffers: UserBuffers,
    patience: Patience,
) -> Result<usize, Errno> {
    let mut buffer = task.take_buffer(buffers.remaining().min(STREAM_PORTION_LEN));
    let memory = task.memory().clone();
    let mut done = 0;
    let result = loop {
        let is_single = file.file().writes_buffers_singly();
        let whole = if is_single { buffers.first_len() } else { buffers.remaining() };
        let len = whole.min(STREAM_PORTION_LEN);
        let portion = first_mut(&mut buffer, len)?;
        let taken = buffers.take(&memory, portion);
        let counted = if taken < len { file.file().write_unit().counted(taken) } else { taken };
        if counted == 0 && len > 0 {
            break Err(Errno::EFAULT);
        }
        let data = first(portion, counted)?;
        match put_portion(task, file, data, patience) {
            (written, Ok(())) => {
                done += written;
                if taken < len || buffers.remaining() == 0 || task.keep_going().is_err() {
                    break Ok(());
                }
            }
            (written, Err(error)) => {
                done += written;
                break Err(error);
            }
        }
    };
    task.return_buffer(buffer);
    match result {
        Err(error) if done == 0 => Err(raise_broken_pipe(task, file, error, false)),
        _ => Ok(done),
    }
}

/// Raises the signal that comes with EPIPE from `file`, if it comes to one who `has_waited`. Returns the error.
pub(super) fn raise_broken_pipe(
    task: &CurrentTask,
    file: &FileDescription,
    error: Errno,
    has_waited: bool,
) -> Errno {
    if error == Errno::EPIPE && file.file().raises_broken_pipe(has_waited) {
        task.task().send_signal(SignalInfo::from_kernel(Signal::SIGPIPE));
    }
    error
}

/// Writes all of `data`, waiting for room: how much was written, and what stopped the rest.
fn put_portion(
    task: &mut CurrentTask,
    file: &FileDescription,
    data: &[u8],
    patience: Patience,
) -> (usize, Result<(), Errno>) {
    let mut done = 0;
    loop {
        let rest = match rest(data, done) {
            Ok(rest) => rest,
            Err(error) => return (done, Err(error)),
        };
        let written = patience.retry_on(task, file, Events::OUT, |task| {
            file.file().prepare_io(task, true)?;
            file.file().write_by(rest, 0, task)
        });
        match written {
            Ok(written) => {
                done += written;
                // A file that takes nothing and does not say why would be asked for ever.
                if done >= data.len() || written == 0 {
                    return (done, Ok(()));
                }
            }
            Err(error) => return (done, Err(error)),
        }
    }
}

fn lseek(task: &mut CurrentTask, descriptor: Fd, offset: i64, whence: u32) -> Result<u64, Errno> {
    let description = task.usable_file(descriptor)?;
    let file = description.file();
    if whence > uapi::SEEK_MAX {
        return Err(Errno::EINVAL);
    }
    if file.has_single_position() {
        return Ok(0);
    }
    if let Some(result) = file.seek(offset, whence) {
        return result;
    }
    if !file.is_seekable() {
        return Err(Errno::ESPIPE);
    }
    let mut position = task.position(&description)?;
    let target = match whence {
        uapi::SEEK_SET => u64::try_from(offset).ok(),
        uapi::SEEK_CUR => position.checked_add_signed(offset),
        uapi::SEEK_END if !file.seeks_from_end() => None,
        uapi::SEEK_END => {
            let end = match file.end_position() {
                Some(end) => end,
                None => description.metadata()?.size_bytes,
            };
            end.checked_add_signed(offset)
        }
        uapi::SEEK_DATA | uapi::SEEK_HOLE => {
            let start = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
            Some(file.seek_data_or_hole(start, whence == uapi::SEEK_DATA)?)
        }
        _ => None,
    };
    *position = target.filter(|&target| i64::try_from(target).is_ok()).ok_or(Errno::EINVAL)?;
    Ok(*position)
}
