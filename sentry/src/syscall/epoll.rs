//! epoll_create(2), epoll_ctl(2) and epoll_wait(2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::ReturnValue;
use super::poll::{deadline_after, read_signal_mask, read_timeout, with_signal_mask};
use crate::Errno;
use crate::fs::epoll::{EpollFile, ReadyEvent, Wish};
use crate::fs::{Caller, FileDescription, OpenFlags};
use crate::platform::VirtualAddress;
use crate::task::{Blocked, CurrentTask};
use crate::wait::Events;

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::epoll_create, epoll_create),
    (Sysno::epoll_create1, |task, [flags, ..]| create(task, flags as u32)),
    (Sysno::epoll_ctl, epoll_ctl),
    (Sysno::epoll_wait, epoll_wait),
    (Sysno::epoll_pwait, epoll_pwait),
    (Sysno::epoll_pwait2, epoll_pwait2),
];

/// Bytes of `struct epoll_event`, which is packed on x86-64.
const EVENT_BYTES: usize = 12;

fn epoll_create(task: &mut CurrentTask, [size, ..]: [u64; 6]) -> Result<usize, Errno> {
    if (size as i32) <= 0 {
        return Err(Errno::EINVAL);
    }
    create(task, 0)
}

fn create(task: &mut CurrentTask, flags: u32) -> Result<usize, Errno> {
    if flags & !uapi::EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let file = FileDescription::new(EpollFile::new(), None, OpenFlags::RDWR);
    let descriptor = task.install_descriptor(file, flags & uapi::EPOLL_CLOEXEC != 0)?;
    Ok(descriptor.encode())
}

fn epoll_ctl(
    task: &mut CurrentTask,
    [epoll, operation, descriptor, event, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let (operation, descriptor) = (operation as u32, descriptor as i32);
    let wish = match operation {
        uapi::EPOLL_CTL_DEL => None,
        _ => Some(read_wish(task, event)?),
    };
    let epoll = task.file(epoll as i32)?;
    let file = task.file(descriptor)?;
    if [&epoll, &file].iter().any(|file| file.flags().contains(OpenFlags::PATH)) {
        return Err(Errno::EBADF);
    }
    if file.file().wait_queue().is_none() {
        return Err(Errno::EPERM);
    }
    let instance =
        epoll.downcast::<EpollFile>().filter(|_| !Arc::ptr_eq(&epoll, &file)).ok_or(Errno::EINVAL)?;
    match (operation, wish) {
        (uapi::EPOLL_CTL_ADD, Some(wish)) => instance.add(descriptor, &file, wish)?,
        (uapi::EPOLL_CTL_MOD, Some(wish)) => instance.modify(descriptor, &file, wish)?,
        (uapi::EPOLL_CTL_DEL, _) => instance.remove(descriptor, &file)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn read_wish(task: &CurrentTask, address: u64) -> Result<Wish, Errno> {
    let [bits, low, high]: [u32; 3] = task.memory().read_object(VirtualAddress(address))?;
    Ok(Wish::from_bits(bits, u64::from(high) << 32 | u64::from(low)))
}

fn epoll_wait(
    task: &mut CurrentTask,
    [epoll, events, max_events, timeout_ms, ..]: [u64; 6],
) -> Result<usize, Errno> {
    wait(task, epoll, events, max_events, deadline_after_ms(timeout_ms))
}

fn epoll_pwait(
    task: &mut CurrentTask,
    [epoll, events, max_events, timeout_ms, mask, mask_size]: [u64; 6],
) -> Result<usize, Errno> {
    let mask = read_signal_mask(task, mask, mask_size)?;
    let deadline = deadline_after_ms(timeout_ms);
    with_signal_mask(task, mask, |task| wait(task, epoll, events, max_events, deadline))
}

fn epoll_pwait2(
    task: &mut CurrentTask,
    [epoll, events, max_events, timeout, mask, mask_size]: [u64; 6],
) -> Result<usize, Errno> {
    let deadline = deadline_after(read_timeout(task, timeout)?);
    let mask = read_signal_mask(task, mask, mask_size)?;
    with_signal_mask(task, mask, |task| wait(task, epoll, events, max_events, deadline))
}

/// A negative number of milliseconds is forever.
fn deadline_after_ms(timeout_ms: u64) -> Option<Instant> {
    deadline_after(u64::try_from(timeout_ms as i32).ok().map(Duration::from_millis))
}

fn wait(
    task: &mut CurrentTask,
    epoll: u64,
    address: u64,
    max_events: u64,
    deadline: Option<Instant>,
) -> Result<usize, Errno> {
    let max_events = usize::try_from(max_events as i32).map_err(|_| Errno::EINVAL)?;
    if max_events == 0 || max_events > i32::MAX as usize / EVENT_BYTES {
        return Err(Errno::EINVAL);
    }
    let description = task.file(epoll as i32)?;
    let instance = description.downcast::<EpollFile>().ok_or(Errno::EINVAL)?;
    // Before anything is taken off: an edge must not be lost to a bad address.
    task.memory().check_writable(VirtualAddress(address), EVENT_BYTES)?;
    let queue = description.file().wait_queue().ok_or(Errno::EINVAL)?;
    let take = || Some(instance.take_ready(max_events)).filter(|ready| !ready.is_empty());
    let ready = match task.block(&[(queue, Events::IN)], deadline, take) {
        Ok(ready) => ready,
        Err(Blocked::TimedOut) => return Ok(0),
        Err(Blocked::Interrupted) => return Err(Errno::EINTR),
    };
    let bytes: Vec<u8> = ready.iter().flat_map(encode).collect();
    task.memory().write_bytes(VirtualAddress(address), &bytes)?;
    Ok(ready.len())
}

fn encode(event: &ReadyEvent) -> [u8; EVENT_BYTES] {
    let mut bytes = [0; EVENT_BYTES];
    bytes[..4].copy_from_slice(&event.events.bits().to_ne_bytes());
    bytes[4..].copy_from_slice(&event.data.to_ne_bytes());
    bytes
}
