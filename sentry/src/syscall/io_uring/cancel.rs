//! IORING_OP_ASYNC_CANCEL, IORING_OP_MSG_RING and IORING_REGISTER_SYNC_CANCEL.

use std::sync::Arc;
use std::time::Instant;

use linux_raw_sys::io_uring as uapi;

use super::operation::Outcome;
use crate::Errno;
use crate::abi::{IoUringCqe, IoUringSqe, IoUringSyncCancelReg};
use crate::fs::Fd;
use crate::io_uring::{CancelKey, Request, Ring, RingFile, SetupFlags, SqeFlags};
use crate::task::CurrentTask;
use crate::time::duration_from_timespec;
use crate::wait::Events;

const KNOWN: u32 = uapi::IORING_ASYNC_CANCEL_ALL
    | uapi::IORING_ASYNC_CANCEL_FD
    | uapi::IORING_ASYNC_CANCEL_ANY
    | uapi::IORING_ASYNC_CANCEL_FD_FIXED
    | uapi::IORING_ASYNC_CANCEL_USERDATA
    | uapi::IORING_ASYNC_CANCEL_OP;

/// What is to be cancelled: by `address`, a descriptor and an operation, of which `flags` say what counts.
fn key(
    task: &CurrentTask,
    ring: &Ring,
    flags: u32,
    (address, fd, opcode): (u64, i32, u8),
) -> Result<(CancelKey, bool), Errno> {
    let has = |flag| flags & flag != 0;
    let by_file = has(uapi::IORING_ASYNC_CANCEL_FD);
    let is_any = has(uapi::IORING_ASYNC_CANCEL_ANY);
    if flags & !KNOWN != 0 || is_any && (by_file || has(uapi::IORING_ASYNC_CANCEL_OP)) {
        return Err(Errno::EINVAL);
    }
    let file = match by_file {
        false => None,
        true if has(uapi::IORING_ASYNC_CANCEL_FD_FIXED) => {
            Some(ring.registered.lock().file(fd.cast_unsigned()).ok_or(Errno::EBADF)?)
        }
        true => Some(task.usable_file(Fd(fd))?),
    };
    let by_op = has(uapi::IORING_ASYNC_CANCEL_OP);
    let by_user_data = has(uapi::IORING_ASYNC_CANCEL_USERDATA) || !is_any && !by_file && !by_op;
    let key = CancelKey { user_data: by_user_data.then_some(address), file, opcode: by_op.then_some(opcode) };
    Ok((key, is_any || has(uapi::IORING_ASYNC_CANCEL_ALL)))
}

pub(super) fn perform(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    cancel(task, ring, request).into()
}

fn cancel(task: &CurrentTask, ring: &Ring, request: &Request) -> Result<usize, Errno> {
    let sqe = &request.sqe;
    if sqe.off != 0 || sqe.file_index != 0 {
        return Err(Errno::EINVAL);
    }
    let opcode = u8::try_from(sqe.len & 0xff).unwrap_or(0);
    let (key, takes_all) = key(task, ring, sqe.op_flags, (sqe.addr, sqe.fd, opcode))?;
    ring.cancel(&key, takes_all, Some(request))
}

/// IORING_REGISTER_SYNC_CANCEL.
pub(super) fn synchronously(
    task: &mut CurrentTask,
    ring: &Arc<Ring>,
    given: &IoUringSyncCancelReg,
) -> Result<usize, Errno> {
    if given.pad != [0; 7] || given.pad2 != [0; 3] {
        return Err(Errno::EINVAL);
    }
    let (key, takes_all) = key(task, ring, given.flags, (given.addr, given.fd, given.opcode))?;
    let timeout = match [given.timeout_seconds, given.timeout_nanoseconds] {
        [-1, -1] => None,
        timeout => Some(duration_from_timespec(timeout)?),
    };
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    // What is being done by another thread will soon be over.
    let attempt = || match ring.cancel(&key, takes_all, None) {
        Err(Errno::EALREADY) => None,
        result => Some(result),
    };
    match task.block(&[(ring.queue(), Events::IN)], deadline, attempt) {
        Ok(result) => result,
        Err(crate::task::Blocked::TimedOut) => Err(Errno::ETIME),
        Err(crate::task::Blocked::Interrupted) => Err(Errno::EINTR),
    }
}

pub(super) fn message(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    send(task, ring, &request.sqe, request.flags).map(|()| 0).into()
}

/// Posts a completion to another ring, or hands a registered file over.
fn send(task: &CurrentTask, ring: &Ring, sqe: &IoUringSqe, flags: SqeFlags) -> Result<(), Errno> {
    const DATA: u64 = uapi::io_uring_msg_ring_flags::IORING_MSG_DATA as u64;
    const SEND_FD: u64 = uapi::io_uring_msg_ring_flags::IORING_MSG_SEND_FD as u64;
    let known = uapi::IORING_MSG_RING_CQE_SKIP | uapi::IORING_MSG_RING_FLAGS_PASS;
    if sqe.buf_index != 0 || sqe.personality != 0 || sqe.op_flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let file = match flags.contains(SqeFlags::FIXED_FILE) {
        true => ring.registered.lock().file(sqe.fd.cast_unsigned()).ok_or(Errno::EBADF)?,
        false => task.usable_file(Fd(sqe.fd))?,
    };
    let target = file.downcast::<RingFile>().ok_or(Errno::EBADFD)?.ring();
    if target.is_disabled() {
        return Err(Errno::EBADFD);
    }
    let passes_flags = sqe.op_flags & uapi::IORING_MSG_RING_FLAGS_PASS != 0;
    let cqe_flags = if passes_flags { sqe.file_index } else { 0 };
    let cqe = IoUringCqe { user_data: sqe.off, res: sqe.len.cast_signed(), flags: cqe_flags };
    match sqe.addr {
        DATA if sqe.addr3 != 0 || !passes_flags && sqe.file_index != 0 => Err(Errno::EINVAL),
        DATA => {
            let has_room = target.post(cqe, [0; 2], (true, true));
            if has_room || target.flags().contains(SetupFlags::IOPOLL) {
                Ok(())
            } else {
                Err(Errno::EOVERFLOW)
            }
        }
        SEND_FD if std::ptr::eq(target.as_ref(), ring) => Err(Errno::EINVAL),
        SEND_FD => {
            let index = u32::try_from(sqe.addr3).map_err(|_| Errno::EINVAL)?;
            let sent = ring.registered.lock().file(index).ok_or(Errno::EBADF)?;
            super::files::place(target, sqe.file_index, sent)?;
            if sqe.op_flags & uapi::IORING_MSG_RING_CQE_SKIP == 0 {
                target.post(IoUringCqe { flags: 0, ..cqe }, [0; 2], (true, true));
            }
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}
