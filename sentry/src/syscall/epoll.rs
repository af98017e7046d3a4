//! epoll_create(2), epoll_ctl(2) and epoll_wait(2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use linux_raw_sys::general as uapi;
use syscalls::Sysno;
use zerocopy::IntoBytes;

use super::Handler;
use super::arguments::{UserPointer, UserSlice, handlers};
use super::poll::{deadline_after, read_signal_mask, read_timeout, with_signal_mask};
use super::user_buffers::UserBuffers;
use crate::Errno;
use crate::abi::{EpollEvent, Timespec};
use crate::fs::epoll::{EpollFile, ReadyEvent, RequestedEvents};
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::signal::SignalSet;
use crate::task::{Blocked, CurrentTask};
use crate::wait::Events;
use crate::width::u64_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![epoll_create, epoll_create1, epoll_ctl, epoll_wait, epoll_pwait, epoll_pwait2,];

/// Events that one call takes at most, however many its caller has room for: so that a call does not last.
const MAX_TAKEN: usize = 65_536;
/// More events than this one call cannot ask for (`EP_MAX_EVENTS`).
const MAX_EVENTS: usize = i32::MAX as usize / size_of::<EpollEvent>();

fn epoll_create(task: &mut CurrentTask, size: i32) -> Result<Fd, Errno> {
    if size <= 0 {
        return Err(Errno::EINVAL);
    }
    epoll_create1(task, 0)
}

fn epoll_create1(task: &mut CurrentTask, flags: u32) -> Result<Fd, Errno> {
    if flags & !uapi::EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let file = FileDescription::new(EpollFile::new(task.kernel().open_files()), None, OpenFlags::RDWR);
    task.install_descriptor(file, flags & uapi::EPOLL_CLOEXEC != 0)
}

fn epoll_ctl(
    task: &mut CurrentTask,
    epoll: Fd,
    operation: u32,
    descriptor: Fd,
    event: UserPointer<EpollEvent>,
) -> Result<(), Errno> {
    let requested = match operation {
        uapi::EPOLL_CTL_DEL => None,
        _ => Some(requested_by(&event.read(task)?)),
    };
    let epoll = task.usable_file(epoll)?;
    let file = task.usable_file(descriptor)?;
    if file.file().wait_queue().is_none() {
        return Err(Errno::EPERM);
    }
    let instance =
        epoll.downcast::<EpollFile>().filter(|_| !Arc::ptr_eq(&epoll, &file)).ok_or(Errno::EINVAL)?;
    match (operation, requested) {
        (uapi::EPOLL_CTL_ADD, Some(requested)) => instance.add(descriptor.0, &file, requested)?,
        (uapi::EPOLL_CTL_MOD, Some(requested)) => instance.modify(descriptor.0, &file, requested)?,
        (uapi::EPOLL_CTL_DEL, _) => instance.remove(descriptor.0, &file)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

fn requested_by(event: &EpollEvent) -> RequestedEvents {
    RequestedEvents::from_bits(event.events, zerocopy::transmute!(event.data))
}

fn epoll_wait(
    task: &mut CurrentTask,
    epoll: Fd,
    events: UserPointer<EpollEvent>,
    max_events: i32,
    timeout_ms: i32,
) -> Result<usize, Errno> {
    wait(task, epoll, events, max_events, deadline_after_ms(timeout_ms))
}

fn epoll_pwait(
    task: &mut CurrentTask,
    epoll: Fd,
    events: UserPointer<EpollEvent>,
    max_events: i32,
    timeout_ms: i32,
    mask: UserPointer<SignalSet>,
    mask_size: u64,
) -> Result<usize, Errno> {
    let mask = read_signal_mask(task, mask, mask_size)?;
    let deadline = deadline_after_ms(timeout_ms);
    with_signal_mask(task, mask, |task| wait(task, epoll, events, max_events, deadline))
}

fn epoll_pwait2(
    task: &mut CurrentTask,
    epoll: Fd,
    events: UserPointer<EpollEvent>,
    max_events: i32,
    timeout: UserPointer<Timespec>,
    mask: UserPointer<SignalSet>,
    mask_size: u64,
) -> Result<usize, Errno> {
    let deadline = deadline_after(read_timeout(task, timeout)?);
    let mask = read_signal_mask(task, mask, mask_size)?;
    with_signal_mask(task, mask, |task| wait(task, epoll, events, max_events, deadline))
}

/// A negative number of milliseconds is forever.
fn deadline_after_ms(timeout_ms: i32) -> Option<Instant> {
    deadline_after(u64::try_from(timeout_ms).ok().map(Duration::from_millis))
}

fn wait(
    task: &mut CurrentTask,
    epoll: Fd,
    events: UserPointer<EpollEvent>,
    max_events: i32,
    deadline: Option<Instant>,
) -> Result<usize, Errno> {
    let max_events = usize::try_from(max_events).map_err(|_| Errno::EINVAL)?;
    if max_events == 0 || max_events > MAX_EVENTS {
        return Err(Errno::EINVAL);
    }
    // Whether it can be written is seen when there is something to write.
    UserBuffers::single(UserSlice {
        address: events.address(),
        len_bytes: u64_from(max_events * size_of::<EpollEvent>()),
    })?;
    let description = task.usable_file(epoll)?;
    let instance = description.downcast::<EpollFile>().ok_or(Errno::EINVAL)?;
    let queue = description.file().wait_queue().ok_or(Errno::EINVAL)?;
    let take = |task: &mut CurrentTask| {
        // Before anything is taken off: an edge must not be lost to a bad address.
        let may_tell = || task.memory().check_writable(events.address(), size_of::<EpollEvent>());
        let taken = instance.take_ready(max_events.min(MAX_TAKEN), may_tell);
        Some(taken).filter(|taken| taken.as_ref().map_or(true, |ready| !ready.is_empty()))
    };
    let ready = match task.block_with(&[(queue, Events::IN)], deadline, take) {
        Ok(ready) => ready?,
        Err(Blocked::TimedOut) => return Ok(0),
        Err(Blocked::Interrupted) => return Err(Errno::EINTR),
    };
    let told: Vec<EpollEvent> = ready.iter().map(encode).collect();
    task.memory().write_bytes(events.address(), told.as_bytes())?;
    Ok(ready.len())
}

fn encode(event: &ReadyEvent) -> EpollEvent {
    EpollEvent { events: event.events.bits(), data: zerocopy::transmute!(event.data) }
}
