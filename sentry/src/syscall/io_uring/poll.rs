//! IORING_OP_POLL_ADD and IORING_OP_POLL_REMOVE.

use std::sync::Arc;

use linux_raw_sys::io_uring as uapi;

use super::operation::{Outcome, attempt, file_of};
use crate::Errno;
use crate::abi::IoUringSqe;
use crate::io_uring::{CancelKey, Ending, Request, Ring};
use crate::task::{Attempting, CurrentTask};
use crate::wait::Events;

/// The events that a poll wants.
///
/// # Errors
/// EINVAL.
pub(super) fn read(sqe: &IoUringSqe) -> Result<Events, Errno> {
    let known = uapi::IORING_POLL_ADD_MULTI | uapi::IORING_POLL_ADD_LEVEL;
    if sqe.buf_index != 0 || sqe.off != 0 || sqe.addr != 0 || sqe.len & !known != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(events_of(sqe.op_flags))
}

/// `poll32_events`, with what nobody can be deaf to.
fn events_of(bits: u32) -> Events {
    Events::from_bits_truncate(bits) | Events::ERR | Events::HUP
}

pub(super) fn perform(task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    let file = match file_of(request) {
        Ok(file) => file,
        Err(error) => return Err(error).into(),
    };
    let wanted = request.poll_events.lock().unwrap_or_default();
    let is_multishot = request.sqe.len & uapi::IORING_POLL_ADD_MULTI != 0;
    let Some(queue) = file.file().wait_queue() else {
        // It is ready for ever.
        return done(file.file().readiness() & wanted);
    };
    if is_multishot {
        // Whatever happens from now on is told of once more.
        let registration = queue.register(wanted, request.clone());
        let ready = file.file().readiness() & wanted;
        let told = Ending { result: result_of(ready), ..Ending::default() };
        if ready.is_empty() || ring.post_more(request, told) {
            return Outcome::Waits(vec![registration]);
        }
        return done(ready);
    }
    let ready = || Some(file.file().readiness() & wanted).filter(|ready| !ready.is_empty());
    let attempted =
        attempt(task, request, |task| task.block(&[(queue, wanted)], None, ready).map_err(Errno::from));
    match attempted {
        Attempting::Done(Ok(ready)) => done(ready),
        Attempting::Done(Err(error)) => Err(error).into(),
        Attempting::Waits(registrations) => Outcome::Waits(registrations),
    }
}

fn result_of(events: Events) -> i32 {
    events.bits().cast_signed()
}

fn done(ready: Events) -> Outcome {
    Outcome::Done(Ending { result: result_of(ready), ..Ending::default() })
}

/// Ends a poll, or changes it.
pub(super) fn remove(_: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>) -> Outcome {
    remove_or_update(ring, request).map(|()| 0).into()
}

fn remove_or_update(ring: &Ring, request: &Request) -> Result<(), Errno> {
    const UPDATES: u32 = uapi::IORING_POLL_UPDATE_EVENTS | uapi::IORING_POLL_UPDATE_USER_DATA;
    let sqe = &request.sqe;
    let flags = sqe.len;
    if sqe.buf_index != 0 || sqe.file_index != 0 || flags & !(UPDATES | uapi::IORING_POLL_ADD_MULTI) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags == uapi::IORING_POLL_ADD_MULTI {
        return Err(Errno::EINVAL);
    }
    let changes_user_data = flags & uapi::IORING_POLL_UPDATE_USER_DATA != 0;
    let changes_events = flags & uapi::IORING_POLL_UPDATE_EVENTS != 0;
    if !changes_user_data && sqe.off != 0 || !changes_events && sqe.op_flags != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & UPDATES == 0 {
        let opcode = Some(uapi::io_uring_op::IORING_OP_POLL_ADD as u8);
        let key = CancelKey { user_data: Some(sqe.addr), file: None, opcode };
        return ring.cancel(&key, false, Some(request)).map(drop);
    }
    let poll = ring.find_poll(sqe.addr)?;
    if changes_events {
        *poll.poll_events.lock() = Some(events_of(sqe.op_flags));
    }
    if changes_user_data {
        ring.rename(&poll, sqe.off);
    }
    ring.retry(poll);
    Ok(())
}
