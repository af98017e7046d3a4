//! Timeouts: IORING_OP_TIMEOUT, IORING_OP_TIMEOUT_REMOVE and IORING_OP_LINK_TIMEOUT.

use std::sync::Arc;
use std::time::Duration;

use linux_raw_sys::io_uring::{self as uapi, io_uring_op as op};

use super::operation::Outcome;
use crate::Errno;
use crate::abi::{IoUringSqe, Timespec};
use crate::io_uring::{Request, Ring, Timeout, When};
use crate::syscall::arguments::UserPointer;
use crate::syscall::time::{offset, time_source};
use crate::task::CurrentTask;
use crate::time::{ClockId, SystemClock, duration_from_timespec};

/// The flags that choose a clock.
const CLOCKS: u32 = uapi::IORING_TIMEOUT_BOOTTIME | uapi::IORING_TIMEOUT_REALTIME;

/// How long it is until the clock that `flags` name shows `moment`.
///
/// # Errors
/// EINVAL: they name two.
pub(super) fn time_until(task: &CurrentTask, flags: u32, moment: Duration) -> Result<Duration, Errno> {
    let clock = ClockId::System(match flags & CLOCKS {
        0 => SystemClock::Monotonic,
        uapi::IORING_TIMEOUT_BOOTTIME => SystemClock::Boottime,
        uapi::IORING_TIMEOUT_REALTIME => SystemClock::Realtime,
        _ => return Err(Errno::EINVAL),
    });
    let target = offset(task, clock)?.machine(moment);
    Ok(target.saturating_sub(time_source(task, clock)?.now()))
}

fn when(task: &CurrentTask, address: u64, flags: u32) -> Result<When, Errno> {
    if (flags & CLOCKS).count_ones() > 1 {
        return Err(Errno::EINVAL);
    }
    let time: Timespec = UserPointer::new(address).read(task)?;
    let time = duration_from_timespec(time)?;
    if flags & uapi::IORING_TIMEOUT_ABS == 0 {
        return Ok(When::After(time));
    }
    let moment = task.kernel().timers().now().checked_add(time_until(task, flags, time)?);
    Ok(When::At(moment))
}

/// What a timeout waits for.
///
/// # Errors
/// EINVAL, EFAULT.
pub(super) fn read(task: &CurrentTask, sqe: &IoUringSqe) -> Result<Timeout, Errno> {
    let is_limit = sqe.is(op::IORING_OP_LINK_TIMEOUT);
    let flags = sqe.op_flags;
    let known = uapi::IORING_TIMEOUT_ABS
        | CLOCKS
        | uapi::IORING_TIMEOUT_ETIME_SUCCESS
        | uapi::IORING_TIMEOUT_MULTISHOT;
    if sqe.buf_index != 0 || sqe.len != 1 || sqe.file_index != 0 || flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let is_multishot = flags & uapi::IORING_TIMEOUT_MULTISHOT != 0;
    if is_limit && sqe.off != 0 || is_multishot && flags & uapi::IORING_TIMEOUT_ABS != 0 {
        return Err(Errno::EINVAL);
    }
    let count = u32::try_from(sqe.off & u64::from(u32::MAX)).unwrap_or(0);
    Ok(Timeout {
        when: when(task, sqe.addr, flags)?,
        completions: if is_multishot { 0 } else { count },
        is_success: flags & uapi::IORING_TIMEOUT_ETIME_SUCCESS != 0,
        repeats: is_multishot.then_some(count),
        target: None,
    })
}

pub(super) fn perform(_: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    ring.arm_timeout(request);
    Outcome::UnderWay
}

pub(super) fn remove(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    remove_or_update(task, ring, &request.sqe).map(|()| 0).into()
}

fn remove_or_update(task: &CurrentTask, ring: &Ring, sqe: &IoUringSqe) -> Result<(), Errno> {
    const LIMIT: u32 = uapi::IORING_LINK_TIMEOUT_UPDATE;
    const UPDATES: u32 = uapi::IORING_TIMEOUT_UPDATE | LIMIT;
    let flags = sqe.op_flags;
    if sqe.buf_index != 0 || sqe.len != 0 || sqe.file_index != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & UPDATES == 0 {
        return if flags == 0 { ring.remove_timeout(sqe.addr) } else { Err(Errno::EINVAL) };
    }
    if flags & !(UPDATES | uapi::IORING_TIMEOUT_ABS | CLOCKS) != 0 {
        return Err(Errno::EINVAL);
    }
    let when = when(task, sqe.off, flags)?;
    ring.update_timeout(sqe.addr, when, flags & LIMIT != 0)
}
