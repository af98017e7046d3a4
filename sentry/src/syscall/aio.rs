//! Asynchronous input and output: io_setup(2) and its kin.

use std::sync::Arc;
use std::time::Duration;

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, UserSlice, handlers};
use super::poll::{deadline_after, read_signal_mask, with_signal_mask};
use super::readwrite::{self, At};
use super::user_buffers::UserBuffers;
use crate::Errno;
use crate::abi::{AioSigset, IoEvent, Iocb, Timespec};
use crate::aio::{Context, Operation, Submission};
use crate::fs::eventfd::EventFile;
use crate::fs::{Fd, FileDescription, OpenFlags};
use crate::heap::HeapCharge;
use crate::memory::{Backing, MapFlags, MapRequest, MemoryManager, Protection};
use crate::pace::Unhurried;
use crate::platform::{PAGE_SIZE, VirtualAddress};
use crate::settings::KernelNumber;
use crate::task::{Blocked, CurrentTask};
use crate::wait::Events;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![io_setup, io_destroy, io_submit, io_cancel, io_getevents, io_pgetevents];

/// `IOCB_CMD_*` (`linux/aio_abi.h`).
mod command {
    pub(super) const PREAD: u16 = 0;
    pub(super) const PWRITE: u16 = 1;
    pub(super) const FSYNC: u16 = 2;
    pub(super) const FDSYNC: u16 = 3;
    pub(super) const POLL: u16 = 5;
    pub(super) const PREADV: u16 = 7;
    pub(super) const PWRITEV: u16 = 8;
}

/// A context's ring of more events has no size that Linux could count.
const MAX_CAPACITY: u32 = 0x1000_0000 / size_of::<IoEvent>() as u32;
/// `IOCB_FLAG_RESFD`: `aio_resfd` is an event counter.
const FLAG_RESFD: u32 = 1;
/// What the kernel leaves in `aio_key` (`KIOCB_KEY`).
const KEY: u32 = 0;
/// Where `aio_key` lies.
const KEY_OFFSET: u64 = std::mem::offset_of!(Iocb, aio_key) as u64;

fn io_setup(task: &mut CurrentTask, capacity: u32, context: UserPointer<u64>) -> Result<(), Errno> {
    if context.read(task)? != 0 || capacity == 0 || capacity > MAX_CAPACITY {
        return Err(Errno::EINVAL);
    }
    if i64::from(capacity) > task.kernel().settings().get(KernelNumber::AioMaxEvents) {
        return Err(Errno::EAGAIN);
    }
    let id = map_handle(task.memory())?;
    let kernel = task.kernel();
    let contexts = &task.thread_group().aio_contexts;
    let added = contexts.add(id, capacity, kernel.aio_budget(), kernel.timers());
    let result = added.and_then(|()| context.write(task, &id.0));
    if result.is_err() {
        // It may not have been added at all.
        let _ = contexts.remove(id);
        unmap_handle(task.memory(), id);
    }
    result
}

/// A context's handle is where Linux shows a ring of events to the C library, which looks for it there, finds none, and
/// asks the kernel.
fn map_handle(memory: &MemoryManager) -> Result<VirtualAddress, Errno> {
    let request = MapRequest {
        address: VirtualAddress::NULL,
        len_bytes: PAGE_SIZE,
        protection: Protection::READ | Protection::WRITE,
        flags: MapFlags::PRIVATE | MapFlags::ANONYMOUS,
        backing: Backing::Anonymous,
    };
    memory.mmap(request, &Unhurried)
}

fn unmap_handle(memory: &MemoryManager, id: VirtualAddress) {
    if let Err(error) = memory.munmap(id, PAGE_SIZE, &Unhurried) {
        log::debug!("the page of a context stays mapped: {error}");
    }
}

fn io_destroy(task: &mut CurrentTask, id: VirtualAddress) -> Result<(), Errno> {
    task.thread_group().aio_contexts.remove(id)?;
    unmap_handle(task.memory(), id);
    Ok(())
}

fn io_submit(
    task: &mut CurrentTask,
    id: VirtualAddress,
    count: i64,
    requests: UserPointer<u64>,
) -> Result<usize, Errno> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let context = task.thread_group().aio_contexts.get(id)?;
    for index in 0..count.min(context.capacity()) {
        let submitted = requests.element(index).read(task).and_then(|object| submit(task, &context, object));
        match submitted {
            Ok(()) => {}
            Err(error) if index == 0 => return Err(error),
            Err(_) => return Ok(index),
        }
        if task.task().is_interrupted() {
            return Ok(index + 1);
        }
    }
    Ok(count.min(context.capacity()))
}

fn submit(task: &mut CurrentTask, context: &Arc<Context>, object: u64) -> Result<(), Errno> {
    let request: Iocb = UserPointer::new(object).read(task)?;
    if request.aio_reserved2 != 0 || i64::try_from(request.aio_nbytes).is_err() {
        return Err(Errno::EINVAL);
    }
    let place = context.reserve()?;
    let file = task.usable_file(Fd(request.aio_fildes.cast_signed()))?;
    let told = counter(task, &request)?;
    UserPointer::new(object + KEY_OFFSET).write(task, &KEY)?;
    let submission = Submission { data: request.aio_data, object, told, place };
    match request.aio_lio_opcode {
        command::PREAD | command::PREADV => transfer(task, &file, &request, submission, Direction::Read),
        command::PWRITE | command::PWRITEV => transfer(task, &file, &request, submission, Direction::Write),
        command::FSYNC | command::FDSYNC => synchronise(&file, &request, submission),
        command::POLL => poll(&file, &request, submission),
        _ => Err(Errno::EINVAL),
    }
}

fn counter(task: &CurrentTask, request: &Iocb) -> Result<Option<Arc<FileDescription>>, Errno> {
    if request.aio_flags & FLAG_RESFD == 0 {
        return Ok(None);
    }
    let file = task.usable_file(Fd(request.aio_resfd.cast_signed()))?;
    if file.downcast::<EventFile>().is_some() { Ok(Some(file)) } else { Err(Errno::EINVAL) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// Reads or writes: at once where the file has positions, else when it is ready.
fn transfer(
    task: &mut CurrentTask,
    file: &Arc<FileDescription>,
    request: &Iocb,
    submission: Submission,
    direction: Direction,
) -> Result<(), Errno> {
    let flags = file.flags();
    let is_allowed = if direction == Direction::Read { flags.is_readable() } else { flags.is_writable() };
    if !is_allowed {
        return Err(Errno::EBADF);
    }
    if request.aio_rw_flags & !readwrite::READ_WRITE_FLAGS != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let is_vector = matches!(request.aio_lio_opcode, command::PREADV | command::PWRITEV);
    let buffers = if is_vector {
        UserBuffers::vector(task, UserPointer::new(request.aio_buf), request.aio_nbytes)?
    } else {
        let buffer = UserSlice { address: VirtualAddress(request.aio_buf), len_bytes: request.aio_nbytes };
        UserBuffers::single(buffer)?
    };
    if file.file().is_seekable() || file.file().wait_queue().is_none() {
        let at = match u64::try_from(request.aio_offset) {
            Ok(offset) if file.file().is_seekable() => At::Offset(offset),
            Err(_) if file.file().is_seekable() => return Err(Errno::EINVAL),
            _ => At::Position,
        };
        let result = match direction {
            Direction::Read => readwrite::vfs_read(task, file, buffers, at, false),
            Direction::Write => {
                let flags = readwrite::WriteFlags::of(request.aio_rw_flags)?;
                readwrite::vfs_write(task, file, buffers, at, flags)
            }
        };
        submission.complete(result_of(result.map(|len| len as i64)));
        return Ok(());
    }
    let memory = task.memory().clone();
    let never_waits = flags.contains(OpenFlags::NONBLOCK) || request.aio_rw_flags & uapi::RWF_NOWAIT != 0;
    let _heap_charge = HeapCharge::new(buffers.heap_bytes()).map_err(|_| Errno::EAGAIN)?;
    let operation =
        StreamTransfer { file: file.clone(), memory, buffers, direction, never_waits, _heap_charge };
    submission.start(file, Box::new(operation));
    Ok(())
}

fn synchronise(file: &Arc<FileDescription>, request: &Iocb, submission: Submission) -> Result<(), Errno> {
    if request.aio_buf != 0 || request.aio_offset != 0 || request.aio_nbytes != 0 || request.aio_rw_flags != 0
    {
        return Err(Errno::EINVAL);
    }
    match file.file().sync() {
        // Such a file cannot be synchronised at all.
        Err(Errno::EINVAL) => Err(Errno::EINVAL),
        result => {
            submission.complete(result_of(result.map(|()| 0)));
            Ok(())
        }
    }
}

fn poll(file: &Arc<FileDescription>, request: &Iocb, submission: Submission) -> Result<(), Errno> {
    let events = u16::try_from(request.aio_buf).map_err(|_| Errno::EINVAL)?;
    if request.aio_offset != 0 || request.aio_nbytes != 0 || request.aio_rw_flags != 0 {
        return Err(Errno::EINVAL);
    }
    let wanted = Events::from_bits_truncate(events.into()) | Events::ERR | Events::HUP;
    submission.start(file, Box::new(Poll { file: file.clone(), wanted }));
    Ok(())
}

fn result_of(result: Result<i64, Errno>) -> i64 {
    result.unwrap_or_else(|error| error.as_return_value().cast_signed())
}

/// A read or write of a file without positions.
struct StreamTransfer {
    file: Arc<FileDescription>,
    memory: Arc<MemoryManager>,
    buffers: UserBuffers,
    direction: Direction,
    never_waits: bool,
    _heap_charge: HeapCharge,
}

impl StreamTransfer {
    fn read(&mut self) -> Result<usize, Errno> {
        let len = self.buffers.writable_len(&self.memory, self.buffers.remaining().min(MAX_STREAM_LEN));
        if len == 0 && self.buffers.remaining() > 0 {
            return Err(Errno::EFAULT);
        }
        let mut buffer = vec![0; len];
        let read = self.file.file().read_at(&mut buffer, 0)?;
        Ok(self.buffers.fill(&self.memory, buffer.get(..read).ok_or(Errno::EIO)?))
    }

    fn write(&mut self) -> Result<usize, Errno> {
        // What a file does not take is not lost.
        let mut untouched = self.buffers.clone();
        let mut buffer = vec![0; untouched.remaining().min(MAX_STREAM_LEN)];
        let taken = untouched.take(&self.memory, &mut buffer);
        if taken == 0 && !buffer.is_empty() {
            return Err(Errno::EFAULT);
        }
        self.file.file().write_at(buffer.get(..taken).ok_or(Errno::EIO)?, 0)
    }
}

/// Bytes of a stream that one request moves at most.
const MAX_STREAM_LEN: usize = 256 * 1024;

impl Operation for StreamTransfer {
    fn attempt(&mut self) -> Result<i64, Errno> {
        let moved = match self.direction {
            Direction::Read => self.read(),
            Direction::Write => self.write(),
        };
        match moved {
            Ok(len) => Ok(len as i64),
            Err(Errno::EAGAIN) if self.never_waits => Ok(result_of(Err(Errno::EAGAIN))),
            Err(error) => Err(error),
        }
    }

    fn cancel(&mut self) -> i64 {
        result_of(Err(Errno::ECANCELED))
    }

    fn interest(&self) -> Events {
        match self.direction {
            Direction::Read => Events::IN | Events::RDNORM | Events::RDHUP,
            Direction::Write => Events::OUT | Events::WRNORM,
        }
    }
}

/// IOCB_CMD_POLL.
struct Poll {
    file: Arc<FileDescription>,
    wanted: Events,
}

impl Operation for Poll {
    fn attempt(&mut self) -> Result<i64, Errno> {
        match self.file.file().readiness() & self.wanted {
            events if events.is_empty() => Err(Errno::EAGAIN),
            events => Ok(events.bits().into()),
        }
    }

    fn cancel(&mut self) -> i64 {
        0
    }

    fn interest(&self) -> Events {
        self.wanted
    }
}

fn io_cancel(
    task: &mut CurrentTask,
    id: VirtualAddress,
    object: u64,
    _result: UserPointer<IoEvent>,
) -> Result<(), Errno> {
    let key: u32 = UserPointer::new(object.wrapping_add(KEY_OFFSET)).read(task)?;
    if key != KEY {
        return Err(Errno::EINVAL);
    }
    task.thread_group().aio_contexts.get(id)?.cancel(object)?;
    // The event comes as any other does.
    Err(Errno::EINPROGRESS)
}

fn io_getevents(
    task: &mut CurrentTask,
    id: VirtualAddress,
    least: i64,
    count: i64,
    events: UserPointer<IoEvent>,
    timeout: UserPointer<Timespec>,
) -> Result<usize, Errno> {
    let timeout = timeout.read_unless_null(task)?.map(lenient_duration);
    let context = task.thread_group().aio_contexts.get(id)?;
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let least = usize::try_from(least).ok().filter(|least| *least <= count).ok_or(Errno::EINVAL)?;
    let deadline = deadline_after(timeout);
    let attempt = || match context.take_events(least.min(context.capacity()), count) {
        Err(Errno::EAGAIN) => None,
        result => Some(result),
    };
    let taken = match task.block(&[(context.queue(), Events::IN)], deadline, attempt) {
        Ok(result) => result?,
        Err(blocked) => match (blocked, context.take_events(0, count)?) {
            (Blocked::Interrupted, events) if events.is_empty() => return Err(Errno::EINTR),
            (_, events) => events,
        },
    };
    for (index, event) in taken.iter().enumerate() {
        if let Err(error) = events.element(index).write(task, event) {
            return if index == 0 { Err(error) } else { Ok(index) };
        }
    }
    Ok(taken.len())
}

/// A time-out that nobody checks.
fn lenient_duration([seconds, nanoseconds]: Timespec) -> Duration {
    let ns = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    Duration::from_nanos(u64::try_from(ns.max(0)).unwrap_or(u64::MAX))
}

fn io_pgetevents(
    task: &mut CurrentTask,
    id: VirtualAddress,
    least: i64,
    count: i64,
    events: UserPointer<IoEvent>,
    timeout: UserPointer<Timespec>,
    mask: UserPointer<AioSigset>,
) -> Result<usize, Errno> {
    let mask = mask.read_unless_null(task)?.unwrap_or_default();
    let mask = read_signal_mask(task, UserPointer::new(mask.sigmask), mask.sigsetsize)?;
    with_signal_mask(task, mask, |task| io_getevents(task, id, least, count, events, timeout))
}
