//! Moving data between descriptors: sendfile, splice, tee, vmsplice, copy_file_range.

use std::sync::Arc;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use super::place::check_flags;
use super::readwrite::{At, WriteFlags, check_size_limit, read_file, write_file};
use super::user_buffers::{MAX_TRANSFER_LEN, UserBuffers};
use crate::Errno;
use crate::abi::Iovec;
use crate::fs::inotify::WatchMask;
use crate::fs::{Fd, FileDescription, FileKind, OpenFlags};
use crate::signal::{Signal, SignalInfo};
use crate::slices::{first, first_mut, rest};
use crate::task::CurrentTask;
use crate::wait::Events;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![sendfile, copy_file_range, splice, tee, vmsplice,];

/// What splice(2) knows; only SPLICE_F_NONBLOCK makes a difference here.
const SPLICE_FLAGS: u32 =
    uapi::SPLICE_F_MOVE | uapi::SPLICE_F_NONBLOCK | uapi::SPLICE_F_MORE | uapi::SPLICE_F_GIFT;

/// Bytes that are moved at a time.
const PORTION_LEN: usize = 64 * 1024;
/// What a pipe or socket that is ready for writing takes at once (`PIPE_BUF`): more might not fit, and what has
/// been read from another stream cannot be put back.
const STREAM_PORTION_LEN: usize = 4096;

/// One side of a transfer: a file, and where in it.
struct Side {
    file: Arc<FileDescription>,
    /// The user's offset; `None` for the file's own position, or for a stream.
    offset: Option<u64>,
}

impl Side {
    /// The side of `descriptor`, with the offset that `place` points to, if it is not null.
    fn new(task: &CurrentTask, descriptor: Fd, place: UserPointer<i64>) -> Result<Self, Errno> {
        let file = task.usable_file(descriptor)?;
        if place.is_null() {
            return Ok(Self { file, offset: None });
        }
        if !file.file().is_seekable() {
            return Err(Errno::ESPIPE);
        }
        let offset = u64::try_from(place.read(task)?).map_err(|_| Errno::EINVAL)?;
        Ok(Self { file, offset: Some(offset) })
    }

    fn start(&self) -> u64 {
        match self.offset {
            Some(offset) => offset,
            None if self.file.file().is_seekable() => *self.file.position(),
            None => 0,
        }
    }

    /// Moves the position, or writes the user's offset back.
    fn finish(&self, task: &CurrentTask, place: UserPointer<i64>, end: u64) -> Result<(), Errno> {
        match self.offset {
            Some(_) => place.write(task, &end.cast_signed()),
            None if self.file.file().is_seekable() => {
                *self.file.position() = end;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn sendfile(
    task: &mut CurrentTask,
    out: Fd,
    source: Fd,
    offset: UserPointer<i64>,
    len_bytes: u64,
) -> Result<usize, Errno> {
    let source = Side::new(task, source, offset)?;
    let target = Side::new(task, out, UserPointer::new(0))?;
    check_directions(&source.file, &target.file)?;
    if target.file.flags().contains(OpenFlags::APPEND) || !source.file.file().is_seekable() {
        return Err(Errno::EINVAL);
    }
    let moved = transfer(task, &source, &target, len_bytes, Patience::Whole)?;
    source.finish(task, offset, source.start() + moved as u64)?;
    target.finish(task, UserPointer::new(0), target.start() + moved as u64)?;
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
    check_flags(flags, 0)?;
    let source = Side::new(task, source_descriptor, source_offset)?;
    let target = Side::new(task, target_descriptor, target_offset)?;
    for side in [&source, &target] {
        match side.file.metadata()?.kind() {
            FileKind::Regular => {}
            FileKind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
    }
    check_directions(&source.file, &target.file)?;
    if target.file.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EBADF);
    }
    let (start, target_start) = (source.start(), target.start());
    if start.checked_add(len_bytes).is_none() || target_start.checked_add(len_bytes).is_none() {
        return Err(Errno::EOVERFLOW);
    }
    let is_same_file = is_same_inode(&source.file, &target.file)?;
    let (end, target_end) = (start.saturating_add(len_bytes), target_start.saturating_add(len_bytes));
    if is_same_file && start < target_end && target_start < end {
        return Err(Errno::EINVAL);
    }
    let moved = transfer(task, &source, &target, len_bytes, Patience::Whole)?;
    source.finish(task, source_offset, start + moved as u64)?;
    target.finish(task, target_offset, target_start + moved as u64)?;
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
    let never_waits = check_flags(flags, SPLICE_FLAGS)? & uapi::SPLICE_F_NONBLOCK != 0;
    let source = Side::new(task, source_descriptor, source_offset)?;
    let target = Side::new(task, target_descriptor, target_offset)?;
    check_directions(&source.file, &target.file)?;
    let is_pipe = |side: &Side| side.file.file().pipe_end().is_some();
    if !is_pipe(&source) && !is_pipe(&target) || target.file.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    // Of a stream, what there is suffices.
    let len_bytes = if is_pipe(&target) { len_bytes.min(PORTION_LEN as u64) } else { len_bytes };
    let patience = match (never_waits, is_pipe(&target)) {
        (true, _) => Patience::Never,
        (false, true) => Patience::First,
        (false, false) => Patience::Whole,
    };
    let moved = transfer(task, &source, &target, len_bytes, patience)?;
    source.finish(task, source_offset, source.start() + moved as u64)?;
    target.finish(task, target_offset, target.start() + moved as u64)?;
    Ok(moved)
}

fn check_directions(source: &FileDescription, target: &FileDescription) -> Result<(), Errno> {
    if !source.flags().is_readable() || !target.flags().is_writable() {
        return Err(Errno::EBADF);
    }
    if source.metadata()?.kind() == FileKind::Directory { Err(Errno::EISDIR) } else { Ok(()) }
}

/// How far a transfer waits for a side that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Never,
    /// For the first portion alone: a pipe takes what it has room for.
    First,
    Whole,
}

/// Moves up to `len_bytes`, and returns how many: fewer at the end of the source, or if something stops it.
fn transfer(
    task: &mut CurrentTask,
    source: &Side,
    target: &Side,
    len_bytes: u64,
    patience: Patience,
) -> Result<usize, Errno> {
    let wanted = usize::try_from(len_bytes).unwrap_or(usize::MAX).min(MAX_TRANSFER_LEN);
    let is_positioned = target.file.file().is_seekable();
    let portion_len = if is_positioned { PORTION_LEN } else { STREAM_PORTION_LEN };
    let mut buffer = task.take_buffer(wanted.min(portion_len));
    let mut done = 0;
    let result = loop {
        if done >= wanted {
            break Ok(());
        }
        let portion_len = portion_len.min(wanted - done);
        let portion = first_mut(&mut buffer, portion_len)?;
        let waits = match patience {
            Patience::Never => false,
            Patience::First => done == 0,
            // A stream gives what it can.
            Patience::Whole => done == 0 || source.file.file().is_seekable(),
        };
        match move_portion(task, source, target, portion, done as u64, waits) {
            Ok(0) => break Ok(()),
            Ok(moved) => done += moved,
            Err(error) => break Err(error),
        }
        if task.task().is_interrupted() && !(source.file.is_regular() && target.file.is_regular()) {
            break Ok(());
        }
    };
    task.return_buffer(buffer);
    match result {
        Err(error) if done == 0 => Err(error),
        _ => Ok(done),
    }
}

fn move_portion(
    task: &mut CurrentTask,
    source: &Side,
    target: &Side,
    portion: &mut [u8],
    done: u64,
    waits: bool,
) -> Result<usize, Errno> {
    let (input, output) = (source.file.file().clone(), target.file.file().clone());
    let target_offset = target.start().checked_add(done).ok_or(Errno::EFBIG)?;
    if target.file.is_regular() {
        check_size_limit(task, &target.file, target_offset.saturating_add(1))?;
    } else if !output.is_seekable() {
        wait_until_writable(task, &target.file, waits)?;
    }
    let source_offset = source.start().checked_add(done).ok_or(Errno::EINVAL)?;
    let read = if waits && !input.is_seekable() {
        task.retry_while_blocked(&source.file, Events::IN, |task| {
            input.read_by(portion, source_offset, task)
        })?
    } else {
        input.read_by(portion, source_offset, task)?
    };
    let mut written = 0;
    while written < read {
        let rest = rest(first(portion, read)?, written)?;
        let offset = target_offset.saturating_add(written as u64);
        match task.retry_while_blocked(&target.file, Events::OUT, |task| output.write_by(rest, offset, task))
        {
            Ok(0) => break,
            Ok(count) => written += count,
            Err(error) if written == 0 => return raise_broken_pipe(task, Err(error)),
            Err(_) => break,
        }
    }
    if written > 0 {
        source.file.announce(WatchMask::ACCESS);
        target.file.announce(WatchMask::MODIFY);
    }
    Ok(written)
}

/// Raises the signal that comes with EPIPE.
fn raise_broken_pipe(task: &CurrentTask, result: Result<usize, Errno>) -> Result<usize, Errno> {
    if result == Err(Errno::EPIPE) {
        task.task().send_signal(SignalInfo::from_kernel(Signal::SIGPIPE));
    }
    result
}

fn wait_until_writable(task: &mut CurrentTask, target: &FileDescription, waits: bool) -> Result<(), Errno> {
    let ready = Events::OUT | Events::ERR | Events::HUP;
    if target.file().readiness().intersects(ready) {
        return Ok(());
    }
    if !waits || target.flags().contains(OpenFlags::NONBLOCK) {
        return Err(Errno::EAGAIN);
    }
    Ok(task.wait_for_file(&**target.file(), Events::OUT, None)?)
}

fn tee(task: &mut CurrentTask, source: Fd, target: Fd, len_bytes: u64, flags: u32) -> Result<usize, Errno> {
    let never_waits = check_flags(flags, SPLICE_FLAGS)? & uapi::SPLICE_F_NONBLOCK != 0;
    let (source, target) = (task.usable_file(source)?, task.usable_file(target)?);
    check_directions(&source, &target)?;
    let (Some(from), Some(to)) = (source.file().pipe_end(), target.file().pipe_end()) else {
        return Err(Errno::EINVAL);
    };
    if is_same_inode(&source, &target)? {
        return Err(Errno::EINVAL);
    }
    let wanted = usize::try_from(len_bytes).unwrap_or(usize::MAX).min(PORTION_LEN);
    if wanted == 0 {
        return Ok(0);
    }
    let mut buffer = task.take_buffer(wanted);
    let mut copy = |_: &mut CurrentTask| {
        let portion = first_mut(&mut buffer, wanted)?;
        match from.peek(portion)? {
            0 => Ok(0),
            copied => to.write_at(first(portion, copied)?, 0),
        }
    };
    let result = loop {
        match copy(task) {
            Err(Errno::EAGAIN) if !never_waits && !is_nonblocking(&source, &target) => {
                let queues = [(from.wait_queue(), Events::IN), (to.wait_queue(), Events::OUT)];
                let queues: Vec<_> =
                    queues.into_iter().filter_map(|(queue, events)| Some((queue?, events))).collect();
                let is_ready = || {
                    let has_data = from.readiness().intersects(Events::IN | Events::HUP);
                    (has_data && to.readiness().intersects(Events::OUT | Events::ERR)).then_some(())
                };
                if let Err(blocked) = task.block(&queues, None, is_ready) {
                    break Err(blocked.into());
                }
            }
            result => break result,
        }
    };
    task.return_buffer(buffer);
    raise_broken_pipe(task, result)
}

fn is_same_inode(a: &FileDescription, b: &FileDescription) -> Result<bool, Errno> {
    let (a, b) = (a.metadata()?, b.metadata()?);
    Ok((a.device, a.inode) == (b.device, b.inode))
}

fn is_nonblocking(source: &FileDescription, target: &FileDescription) -> bool {
    (source.flags() | target.flags()).contains(OpenFlags::NONBLOCK)
}

/// Between user memory and a pipe: as readv(2) and writev(2), for nobody can tell the difference.
fn vmsplice(
    task: &mut CurrentTask,
    descriptor: Fd,
    vector: UserPointer<Iovec>,
    count: u64,
    flags: u32,
) -> Result<usize, Errno> {
    let never_waits = check_flags(flags, SPLICE_FLAGS)? & uapi::SPLICE_F_NONBLOCK != 0;
    let file = task.usable_file(descriptor)?;
    if file.file().pipe_end().is_none() {
        return Err(Errno::EBADF);
    }
    let buffers = UserBuffers::vector(task, vector, count)?;
    if file.flags().is_writable() {
        write_file(task, &file, buffers, At::Position, WriteFlags::waiting(!never_waits))
    } else {
        read_file(task, &file, buffers, At::Position, never_waits)
    }
}
