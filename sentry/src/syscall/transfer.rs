//! Moving data between descriptors: sendfile, splice, tee, vmsplice, copy_file_range.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use super::readwrite::{check_size_limit, file_size_limit, raise_broken_pipe, stream_read};
use super::scope::check_flags;
use super::user_buffers::{MAX_TRANSFER_LEN, UserBuffers};
use crate::Errno;
use crate::abi::Iovec;
use crate::fs::file_flags::{FileFlags, check_without};
use crate::fs::inotify::WatchMask;
use crate::fs::pipe::{Manner, PipeFile};
use crate::fs::{Fd, File, FileDescription, FileKind, OpenFlags, PipeEnd, Splicing};
use crate::net::SocketFile;
use crate::pace::Pace;
use crate::platform::PAGE_SIZE;
use crate::slices::{first, first_mut, rest};
use crate::task::{CurrentTask, Patience};
use crate::wait::Events;
use crate::width::u64_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![sendfile, copy_file_range, splice, tee, vmsplice,];

/// What splice(2) knows; only SPLICE_F_NONBLOCK makes a difference here.
const SPLICE_FLAGS: u32 =
    uapi::SPLICE_F_MOVE | uapi::SPLICE_F_NONBLOCK | uapi::SPLICE_F_MORE | uapi::SPLICE_F_GIFT;

/// Where the longest file ends.
const MAX_OFFSET: u64 = i64::MAX.cast_unsigned();
/// Bytes of a page, as a length.
const PAGE_BYTES: usize = PAGE_SIZE as usize;
/// Bytes that are moved at a time.
const PORTION_LEN: usize = 64 * 1024;
/// Bytes that are moved at once from a pipe to a file without positions: a message to /dev/fuse is not torn below this.
const MESSAGE_LEN: usize = 256 * 1024;

/// One side of a transfer: a file, and where in it.
struct Side {
    file: Arc<FileDescription>,
    /// Where it begins: at the user's offset, or else at the file's own position; 0 in a stream.
    start: u64,
    has_user_offset: bool,
}

/// The offset that splice(2) is given for one of its files.
#[derive(Clone, Copy)]
pub(super) enum SpliceOffset {
    /// None: the file's position counts, and moves.
    None,
    /// In user memory, where it is moved.
    At(UserPointer<i64>),
    /// This one.
    Given(i64),
}

impl SpliceOffset {
    fn of(place: UserPointer<i64>) -> Self {
        if place.is_null() { Self::None } else { Self::At(place) }
    }

    /// This one; -1 is none.
    pub(super) fn given(offset: u64) -> Self {
        if offset == u64::MAX { Self::None } else { Self::Given(offset.cast_signed()) }
    }

    fn is_some(self) -> bool {
        !matches!(self, Self::None)
    }

    fn place(self) -> UserPointer<i64> {
        match self {
            Self::At(place) => place,
            Self::None | Self::Given(_) => UserPointer::new(0),
        }
    }
}

impl Side {
    /// The side of `descriptor`, with the offset that `place` points to, if it is not null.
    fn new(task: &CurrentTask, descriptor: Fd, place: UserPointer<i64>) -> Result<Self, Errno> {
        let file = task.usable_file(descriptor)?;
        if place.is_null() {
            return Ok(Self::at_position(file));
        }
        if !file.file().is_seekable() {
            return Err(Errno::ESPIPE);
        }
        Self::at(task, file, place)
    }

    /// As [`Side::new`], for splice(2), to which a stream with an offset is a wrong argument.
    fn spliced(task: &CurrentTask, file: Arc<FileDescription>, place: SpliceOffset) -> Result<Self, Errno> {
        // What is wrong with it is said once the directions are known to be right.
        let start = match place {
            SpliceOffset::None => return Ok(Self::at_position(file)),
            SpliceOffset::At(place) => place.read(task)?,
            SpliceOffset::Given(offset) => offset,
        };
        Ok(Self { file, start: start.cast_unsigned(), has_user_offset: true })
    }

    /// Fails with EINVAL for a stream with an offset, or if not all of `len_bytes` is at an offset that there can be.
    fn checked(self, len_bytes: u64) -> Result<Self, Errno> {
        let is_fit =
            !self.has_user_offset || self.file.file().is_seekable() && i64::try_from(self.start).is_ok();
        if is_fit && self.can_end_after(len_bytes) { Ok(self) } else { Err(Errno::EINVAL) }
    }

    /// Whether `len_bytes` end at an offset that there can be.
    fn can_end_after(&self, len_bytes: u64) -> bool {
        self.start.checked_add(len_bytes).is_some_and(|end| i64::try_from(end).is_ok())
    }

    /// How much of `wanted` bytes can be written before the file is as long as it may be; all if that is nothing, which is an error
    /// once it is tried.
    fn within_limit(&self, task: &CurrentTask, wanted: usize) -> usize {
        match file_size_limit(task, &self.file).saturating_sub(self.start) {
            room if room > 0 && self.file.is_regular() => {
                usize::try_from(room).unwrap_or(usize::MAX).min(wanted)
            }
            _ => wanted,
        }
    }

    /// Whether nothing is left to be read of a regular file.
    fn is_at_end(&self) -> Result<bool, Errno> {
        Ok(self.file.is_regular() && self.start >= self.file.metadata()?.size_bytes)
    }

    fn at(task: &CurrentTask, file: Arc<FileDescription>, place: UserPointer<i64>) -> Result<Self, Errno> {
        let start = u64::try_from(place.read(task)?).map_err(|_| Errno::EINVAL)?;
        Ok(Self { file, start, has_user_offset: true })
    }

    fn at_position(file: Arc<FileDescription>) -> Self {
        let start = if file.file().is_seekable() { file.shown_position() } else { 0 };
        Self { file, start, has_user_offset: false }
    }

    /// Where the next byte goes once `done` are there.
    fn checked_offset(&self, task: &mut CurrentTask, done: u64) -> Result<u64, Errno> {
        let offset = self.start.checked_add(done).ok_or(Errno::EFBIG)?;
        if self.file.is_regular() {
            check_size_limit(task, &self.file, offset.saturating_add(1))?;
        }
        Ok(offset)
    }

    /// Moves the position, or writes the user's offset back. Neither moves in a file that has only one.
    fn finish(&self, task: &CurrentTask, place: UserPointer<i64>, end: u64) -> Result<(), Errno> {
        let end = if self.file.file().has_single_position() { self.start } else { end };
        if self.has_user_offset {
            return place.write_unless_null(task, &end.cast_signed());
        }
        if self.file.file().is_seekable() {
            self.file.move_position(end);
        }
        Ok(())
    }
}

fn sendfile(
    task: &mut CurrentTask,
    out: Fd,
    source: Fd,
    offset: UserPointer<i64>,
    len_bytes: u64,
) -> Result<usize, Errno> {
    // What it points to is only looked at later on, and written back whatever comes of the call.
    let given = offset.read_unless_null(task)?;
    let moved = move_to_file(task, out, source, offset, len_bytes);
    if let (Err(_), Some(given)) = (&moved, given) {
        offset.write(task, &given)?;
    }
    moved
}

/// sendfile(2) but for its offset, which is written back here if the call succeeds.
fn move_to_file(
    task: &mut CurrentTask,
    out: Fd,
    source: Fd,
    offset: UserPointer<i64>,
    len_bytes: u64,
) -> Result<usize, Errno> {
    let readable = task.usable_file(source)?;
    if !readable.flags().is_readable() {
        return Err(Errno::EBADF);
    }
    let source = Side::new(task, source, offset)?;
    let target = Side::new(task, out, UserPointer::new(0))?;
    check_modes(&source.file, &target.file)?;
    if !source.can_end_after(len_bytes) || !target.can_end_after(len_bytes) {
        return Err(Errno::EINVAL);
    }
    let is_for_splicing = target.file.file().splicing().contains(Splicing::IN);
    // What cannot take anything is found out by giving it something.
    if !is_for_splicing && is_spliced_from(&source.file)? && source.is_at_end()? {
        return Ok(0);
    }
    check_directions(&source.file, &target.file)?;
    if source.file.file().pipe_end().is_some() {
        return Err(Errno::EINVAL);
    }
    let moved = match target.file.file().pipe_end() {
        Some(pipe) => {
            let never_waits = target.file.flags().contains(OpenFlags::NONBLOCK);
            fill_pipe(task, &source, (&target.file, pipe), wanted_len(len_bytes), never_waits)?
        }
        // What has been read of a stream and cannot be written would be lost.
        None if !source.file.file().is_seekable() => return Err(Errno::EINVAL),
        None if target.file.flags().contains(OpenFlags::APPEND) => return Err(Errno::EINVAL),
        None => copy(task, &source, &target, wanted_len(len_bytes))?,
    };
    source.finish(task, offset, source.start + u64_from(moved))?;
    target.finish(task, UserPointer::new(0), target.start + u64_from(moved))?;
    Ok(moved)
}

fn copy_file_range(
    task: &mut CurrentTask,
    source_descriptor: Fd,
    source_offset: UserPointer<i64>,
    target_descriptor: Fd,
    target_offset: UserPointer<i64>,
    len_bytes: u64,
    flags: u32,
) -> Result<usize, Errno> {
    let (from, to) = (task.usable_file(source_descriptor)?, task.usable_file(target_descriptor)?);
    let source = Side::spliced(task, from, SpliceOffset::of(source_offset))?;
    let target = Side::spliced(task, to, SpliceOffset::of(target_offset))?;
    check_flags(flags, 0)?;
    let sides = [&source, &target];
    for side in sides {
        if side.file.metadata()?.kind() == FileKind::Directory {
            return Err(Errno::EISDIR);
        }
    }
    if !sides.iter().all(|side| side.file.is_regular()) {
        return Err(Errno::EINVAL);
    }
    check_modes(&source.file, &target.file)?;
    if target.file.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EBADF);
    }
    if source.file.metadata()?.device != target.file.metadata()?.device {
        return Err(Errno::EXDEV);
    }
    if let Some(path) = target.file.path() {
        check_without(&**path.inode(), FileFlags::IMMUTABLE)?;
    }
    let (start, target_start) = (source.start, target.start);
    if start.checked_add(len_bytes).is_none() || target_start.checked_add(len_bytes).is_none() {
        return Err(Errno::EOVERFLOW);
    }
    // Whether there is room is asked before whether there is anything.
    if target_start == MAX_OFFSET {
        return Err(Errno::EFBIG);
    }
    check_size_limit(task, &target.file, target_start.saturating_add(1))?;
    let is_same_file = is_same_inode(&source.file, &target.file)?;
    // Only what there is, and finds room, can overlap.
    let len_bytes = len_bytes.min(source.file.metadata()?.size_bytes.saturating_sub(start));
    let len_bytes = len_bytes.min(MAX_OFFSET.saturating_sub(target_start));
    let (end, target_end) = (start.saturating_add(len_bytes), target_start.saturating_add(len_bytes));
    if is_same_file && start < target_end && target_start < end {
        return Err(Errno::EINVAL);
    }
    if i64::try_from(start).is_err() || i64::try_from(target_start).is_err() {
        return Err(Errno::EINVAL);
    }
    if len_bytes == 0 {
        return Ok(0);
    }
    check_directions(&source.file, &target.file)?;
    let moved = copy(task, &source, &target, wanted_len(len_bytes))?;
    source.finish(task, source_offset, start + u64_from(moved))?;
    target.finish(task, target_offset, target_start + u64_from(moved))?;
    Ok(moved)
}

fn splice(
    task: &mut CurrentTask,
    source_descriptor: Fd,
    source_offset: UserPointer<i64>,
    target_descriptor: Fd,
    target_offset: UserPointer<i64>,
    len_bytes: u64,
    flags: u32,
) -> Result<usize, Errno> {
    if len_bytes == 0 {
        return Ok(0);
    }
    check_flags(flags, SPLICE_FLAGS)?;
    let (from, to) = (task.usable_file(source_descriptor)?, task.usable_file(target_descriptor)?);
    let ends = [(from, SpliceOffset::of(source_offset)), (to, SpliceOffset::of(target_offset))];
    splice_files(task, ends, len_bytes, flags)
}

/// splice(2) from the first to the second of two files, each with its offset.
///
/// # Errors
/// Those of splice(2).
pub(super) fn splice_files(
    task: &mut CurrentTask,
    [(from, source_offset), (to, target_offset)]: [(Arc<FileDescription>, SpliceOffset); 2],
    len_bytes: u64,
    flags: u32,
) -> Result<usize, Errno> {
    let never_waits = check_flags(flags, SPLICE_FLAGS)? & uapi::SPLICE_F_NONBLOCK != 0;
    if len_bytes == 0 {
        return Ok(0);
    }
    let is_pipe = |file: &FileDescription| file.file().pipe_end().is_some();
    if is_pipe(&from) && source_offset.is_some() || is_pipe(&to) && target_offset.is_some() {
        return Err(Errno::ESPIPE);
    }
    let source = Side::spliced(task, from, source_offset)?;
    let target = Side::spliced(task, to, target_offset)?;
    check_directions(&source.file, &target.file)?;
    let [source, target] = [source.checked(len_bytes)?, target.checked(len_bytes)?];
    let wanted = wanted_len(len_bytes);
    let moved = match (source.file.file().pipe_end(), target.file.file().pipe_end()) {
        (Some(from), Some(to)) => {
            let ends = [(&*source.file, from), (&*target.file, to)];
            between_pipes(task, ends, wanted, never_waits, Manner::Move)?
        }
        (Some(_), None) if target.file.flags().contains(OpenFlags::APPEND) => return Err(Errno::EINVAL),
        (Some(from), None) => drain_pipe(task, (&source.file, from), &target, wanted, never_waits)?,
        (None, Some(to)) => fill_pipe(task, &source, (&target.file, to), wanted, never_waits)?,
        (None, None) => return Err(Errno::EINVAL),
    };
    source.finish(task, source_offset.place(), source.start + u64_from(moved))?;
    target.finish(task, target_offset.place(), target.start + u64_from(moved))?;
    Ok(moved)
}

fn wanted_len(len_bytes: u64) -> usize {
    usize::try_from(len_bytes).unwrap_or(usize::MAX).min(MAX_TRANSFER_LEN)
}

fn check_modes(source: &FileDescription, target: &FileDescription) -> Result<(), Errno> {
    let is_fit = source.flags().is_readable() && target.flags().is_writable();
    if is_fit { Ok(()) } else { Err(Errno::EBADF) }
}

fn check_directions(source: &FileDescription, target: &FileDescription) -> Result<(), Errno> {
    check_modes(source, target)?;
    let is_target = target.file().splicing().contains(Splicing::IN);
    if is_spliced_from(source)? && is_target { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Whether the file's bytes can be spliced into a pipe.
fn is_spliced_from(source: &FileDescription) -> Result<bool, Errno> {
    Ok(source.file().splicing().contains(Splicing::OUT) && source.metadata()?.kind() != FileKind::Directory)
}

/// Copies up to `wanted` bytes of a file with positions, and returns how many: fewer at its end, or if something stops it.
fn copy(task: &mut CurrentTask, source: &Side, target: &Side, wanted: usize) -> Result<usize, Errno> {
    let wanted = target.within_limit(task, wanted);
    let mut buffer = task.take_buffer(wanted.min(PORTION_LEN));
    let is_regular = source.file.is_regular() && target.file.is_regular();
    let mut done = 0;
    let result = loop {
        let portion = first_mut(&mut buffer, PORTION_LEN.min(wanted - done))?;
        match copy_portion(task, source, target, portion, u64_from(done)) {
            Ok(0) => break Ok(()),
            Ok(copied) => done += copied,
            Err(error) => break Err(error),
        }
        let is_interrupted = !is_regular && task.task().is_interrupted();
        if done >= wanted || is_interrupted || task.keep_going().is_err() {
            break Ok(());
        }
    };
    task.return_buffer(buffer);
    match result {
        Err(error) if done == 0 => Err(error),
        _ => Ok(done),
    }
}

fn copy_portion(
    task: &mut CurrentTask,
    source: &Side,
    target: &Side,
    portion: &mut [u8],
    done: u64,
) -> Result<usize, Errno> {
    let (input, output) = (source.file.file().clone(), target.file.file().clone());
    let target_offset = target.checked_offset(task, done)?;
    let source_offset = source.start.checked_add(done).ok_or(Errno::EINVAL)?;
    let read = input.read_by(portion, source_offset, task)?;
    let mut unwritten = first(portion, read)?;
    let mut written = 0;
    while !unwritten.is_empty() {
        let offset = target_offset.saturating_add(u64_from(written));
        let mut attempts = 0;
        let result =
            Patience::of(&target.file, Events::OUT).retry_on(task, &target.file, Events::OUT, |task| {
                attempts += 1;
                attempt_write(&*output, unwritten, offset, (task, attempts > 1))
            });
        match result {
            Ok(0) => break,
            Ok(count) => {
                written += count;
                unwritten = rest(unwritten, count)?;
            }
            Err(error) if written == 0 && done == 0 => {
                return Err(raise_broken_pipe(task, &target.file, error, attempts > 1));
            }
            Err(error) if written == 0 => return Err(error),
            Err(_) => break,
        }
    }
    announce(source, target, written);
    Ok(written)
}

/// Writes what fits, after an earlier attempt that had to wait or as the first.
fn attempt_write(
    output: &dyn File,
    bytes: &[u8],
    offset: u64,
    (task, has_waited): (&mut CurrentTask, bool),
) -> Result<usize, Errno> {
    match output.as_any().downcast_ref::<SocketFile>() {
        Some(socket) => socket.write_after(bytes, task, has_waited),
        None => output.write_by(bytes, offset, task),
    }
}

fn announce(source: &Side, target: &Side, moved: usize) {
    if moved > 0 {
        source.file.announce(WatchMask::ACCESS);
        target.file.announce(WatchMask::MODIFY);
    }
}

/// Moves up to `wanted` bytes from a pipe: waits for the first, then moves what there is.
fn drain_pipe(
    task: &mut CurrentTask,
    (source, pipe): (&FileDescription, &dyn PipeEnd),
    target: &Side,
    wanted: usize,
    never_waits: bool,
) -> Result<usize, Errno> {
    let output = target.file.file().clone();
    let portion_len = if output.is_seekable() { PORTION_LEN } else { MESSAGE_LEN };
    let wanted = target.within_limit(task, wanted);
    let mut buffer = task.take_buffer(wanted.min(portion_len));
    let mut done = 0;
    let result = loop {
        let patience = Patience::of(source, Events::IN).unless(never_waits || done > 0);
        match patience.retry_on(task, source, Events::IN, |_| pipe.has_data()) {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
        let offset = match target.checked_offset(task, u64_from(done)) {
            Ok(offset) => offset,
            Err(error) => break Err(error),
        };
        let portion = first_mut(&mut buffer, portion_len.min(wanted - done))?;
        let mut attempts = 0;
        let moved =
            Patience::of(&target.file, Events::OUT).retry_on(task, &target.file, Events::OUT, |task| {
                attempts += 1;
                pipe.take_with(portion, &mut |bytes| {
                    attempt_write(&*output, bytes, offset, (task, attempts > 1))
                })
            });
        match moved {
            // Somebody else has been faster.
            Ok(None) => continue,
            Ok(Some(0)) => break Ok(()),
            Ok(Some(moved)) => done += moved,
            Err(error) if done == 0 => {
                break Err(raise_broken_pipe(task, &target.file, error, attempts > 1));
            }
            Err(error) => break Err(error),
        }
        if done >= wanted || task.task().is_interrupted() || task.keep_going().is_err() {
            break Ok(());
        }
    };
    task.return_buffer(buffer);
    if done > 0 {
        target.file.announce(WatchMask::MODIFY);
    }
    match result {
        Err(error) if done == 0 => Err(error),
        _ => Ok(done),
    }
}

/// Moves up to `wanted` bytes to a pipe: waits for room and for something to move, then moves what fits.
fn fill_pipe(
    task: &mut CurrentTask,
    source: &Side,
    (target, pipe): (&FileDescription, &dyn PipeEnd),
    wanted: usize,
    never_waits: bool,
) -> Result<usize, Errno> {
    let room = Patience::of(target, Events::OUT).unless(never_waits);
    room.retry_on(task, target, Events::OUT, |_| pipe.check_room())
        .map_err(|error| raise_broken_pipe(task, target, error, false))?;
    let (input, start) = (source.file.file().clone(), source.start);
    let len = wanted.min(pipe.capacity_bytes()?);
    let mut buffer = task.take_buffer(len);
    let queues: Vec<_> = [(input.wait_queue(), Events::IN), (pipe.wait_queue(), Events::OUT)]
        .into_iter()
        .filter_map(|(queue, events)| Some((queue?, events)))
        .collect();
    let patience = Patience::of(&source.file, Events::IN).unless(never_waits);
    let moved = patience.retry(task, &queues, |task| {
        let portion = first_mut(&mut buffer, len)?;
        pipe.fill_with(portion, &mut |room| input.read_by(room, start, &*task))
    });
    task.return_buffer(buffer);
    if moved.is_ok_and(|moved| moved > 0) {
        source.file.announce(WatchMask::ACCESS);
    }
    moved.map_err(|error| raise_broken_pipe(task, target, error, false))
}

/// Moves or copies between two pipes what there is and fits, once there is some and it fits.
fn between_pipes(
    task: &mut CurrentTask,
    [(source, from), (target, to)]: [(&FileDescription, &dyn PipeEnd); 2],
    wanted: usize,
    never_waits: bool,
    manner: Manner,
) -> Result<usize, Errno> {
    if is_same_inode(source, target)? {
        return Err(Errno::EINVAL);
    }
    let is_nonblocking = (source.flags() | target.flags()).contains(OpenFlags::NONBLOCK);
    let queues = [(from.wait_queue(), Events::IN), (to.wait_queue(), Events::OUT)];
    let queues: Vec<_> = queues.into_iter().filter_map(|(queue, events)| Some((queue?, events))).collect();
    let own = |end: &dyn PipeEnd| end.as_any().is::<PipeFile>();
    let len = if own(from) && own(to) { 0 } else { wanted.min(to.capacity_bytes()?) };
    let mut buffer = task.take_buffer(len);
    let moved = Patience::FOREVER.unless(never_waits || is_nonblocking).retry(task, &queues, |_| {
        from.has_data()?;
        to.check_room()?;
        let (from_file, to_file) = (from.as_any().downcast_ref(), to.as_any().downcast_ref::<PipeFile>());
        match (from_file, to_file) {
            (Some(from), Some(to)) => PipeFile::hand_over(from, to, wanted, manner),
            _ => manner.copy(from, to, first_mut(&mut buffer, len)?),
        }
    });
    task.return_buffer(buffer);
    moved.map_err(|error| raise_broken_pipe(task, target, error, false))
}

impl Manner {
    /// Has the bytes of a pipe go to another by way of `buffer`: one of them is the host's.
    fn copy(self, from: &dyn PipeEnd, to: &dyn PipeEnd, buffer: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Move => from.take_with(buffer, &mut |bytes| to.write_at(bytes, 0))?.ok_or(Errno::EAGAIN),
            Self::Duplicate => match from.peek(buffer)? {
                0 => Ok(0),
                copied => to.write_at(first(buffer, copied)?, 0),
            },
        }
    }
}

fn tee(task: &mut CurrentTask, source: Fd, target: Fd, len_bytes: u64, flags: u32) -> Result<usize, Errno> {
    check_flags(flags, SPLICE_FLAGS)?;
    if len_bytes == 0 {
        return Ok(0);
    }
    let (source, target) = (task.usable_file(source)?, task.usable_file(target)?);
    tee_files(task, &source, &target, len_bytes, flags)
}

/// tee(2) from one file to another.
///
/// # Errors
/// Those of tee(2).
pub(super) fn tee_files(
    task: &mut CurrentTask,
    source: &Arc<FileDescription>,
    target: &Arc<FileDescription>,
    len_bytes: u64,
    flags: u32,
) -> Result<usize, Errno> {
    let never_waits = check_flags(flags, SPLICE_FLAGS)? & uapi::SPLICE_F_NONBLOCK != 0;
    if len_bytes == 0 {
        return Ok(0);
    }
    check_directions(source, target)?;
    let (Some(from), Some(to)) = (source.file().pipe_end(), target.file().pipe_end()) else {
        return Err(Errno::EINVAL);
    };
    let ends = [(&**source, from), (&**target, to)];
    between_pipes(task, ends, wanted_len(len_bytes), never_waits, Manner::Duplicate)
}

fn is_same_inode(a: &FileDescription, b: &FileDescription) -> Result<bool, Errno> {
    let (a, b) = (a.metadata()?, b.metadata()?);
    Ok((a.device, a.inode) == (b.device, b.inode))
}

/// Between user memory and a pipe: what there is, or fits, as soon as that is something. The pages themselves go into the pipe: what is
/// stored there before they are read is read. Whether the pipe was opened with
/// O_NONBLOCK does not matter here.
fn vmsplice(
    task: &mut CurrentTask,
    descriptor: Fd,
    vector: UserPointer<Iovec>,
    count: u64,
    flags: u32,
) -> Result<usize, Errno> {
    let never_waits = check_flags(flags, SPLICE_FLAGS)? & uapi::SPLICE_F_NONBLOCK != 0;
    let file = task.usable_file(descriptor)?;
    if !file.flags().is_readable() && !file.flags().is_writable() {
        return Err(Errno::EBADF);
    }
    let buffers = UserBuffers::vector(task, vector, count)?;
    if buffers.remaining() == 0 {
        return Ok(0);
    }
    let pipe = file.file().pipe_end().ok_or(Errno::EBADF)?;
    let patience = Patience::FOREVER.unless(never_waits);
    if !file.flags().is_writable() {
        return stream_read(task, &file, buffers, patience);
    }
    let moved = match pipe.as_any().downcast_ref::<PipeFile>() {
        Some(pipe) => patience.retry_on(task, &file, Events::OUT, |task| {
            pipe.check_room()?;
            pipe.lend(buffers.pages(task.memory(), pipe.capacity_bytes()? / PAGE_BYTES)?)
        }),
        None => copy_to_pipe(task, (&file, pipe), &buffers, patience),
    };
    moved.map_err(|error| raise_broken_pipe(task, &file, error, false))
}

/// Puts what fits of user memory into a pipe of the host.
fn copy_to_pipe(
    task: &mut CurrentTask,
    (file, pipe): (&FileDescription, &dyn PipeEnd),
    buffers: &UserBuffers,
    patience: Patience,
) -> Result<usize, Errno> {
    let len = buffers.remaining().min(pipe.capacity_bytes()?);
    let mut buffer = task.take_buffer(len);
    let moved = patience.retry_on(task, file, Events::OUT, |task| {
        // What does not get into the pipe is taken once more by the next attempt.
        let mut buffers = buffers.clone();
        pipe.fill_with(first_mut(&mut buffer, len)?, &mut |room| match buffers.take(task.memory(), room) {
            0 => Err(Errno::EFAULT),
            taken => Ok(taken),
        })
    });
    task.return_buffer(buffer);
    moved
}
