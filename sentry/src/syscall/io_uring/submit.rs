//! From submissions to requests, and how these hang together.

use std::sync::Arc;

use crate::Errno;
use crate::abi::IoUringSqe;
use crate::io_uring::{Request, Ring, SetupFlags, SqeFlags};
use crate::task::CurrentTask;

use super::operation;
use crate::width::usize_from;

/// Requests that begin one after the other.
#[derive(Default)]
struct Chain {
    head: Option<Arc<Request>>,
    last: Option<Arc<Request>>,
    has_refusal: bool,
}

impl Chain {
    fn add(&mut self, request: Arc<Request>) {
        self.has_refusal |= request.refusal.is_some();
        match &self.last {
            Some(last) => {
                last.link(request.clone());
                if let (true, Some(head)) = (request.flags.contains(SqeFlags::IO_DRAIN), &self.head) {
                    head.set_drains();
                }
            }
            None => self.head = Some(request.clone()),
        }
        self.last = Some(request);
    }

    /// Has it begin. One with something in it that cannot begin ends at once.
    fn start(&mut self, task: &mut CurrentTask, ring: &Arc<Ring>) {
        let Self { head, has_refusal, .. } = std::mem::take(self);
        match head {
            Some(head) if has_refusal => ring.cancel_chain(head, false),
            Some(head) => ring.start(task, head),
            None => {}
        }
    }
}

/// Takes up to `count` submissions of `ring`. Returns how many were taken.
///
/// # Errors
/// EAGAIN: there is no memory for any.
pub(super) fn submit(task: &mut CurrentTask, ring: &Arc<Ring>, count: u32) -> Result<usize, Errno> {
    let count = count.min(ring.waiting_submissions());
    let mut chain = Chain::default();
    let mut taken = 0;
    let mut failure = None;
    while taken < count {
        let Some(sqe) = ring.take_submission() else { break };
        let Some(sqe) = sqe else { break };
        taken += 1;
        let follows = chain.last.is_some();
        let prepared = operation::prepare(task, ring, &sqe, follows.then_some(chain.last.as_ref()).flatten());
        let request = match make_request(task, ring, sqe, prepared) {
            Ok(request) => request,
            Err(error) => {
                failure = (taken == 1).then_some(error);
                break;
            }
        };
        let is_refused = request.refusal.is_some();
        let goes_on = request.is_linked();
        chain.add(request);
        if !goes_on {
            chain.start(task, ring);
        }
        if is_refused && !goes_on && !ring.flags().contains(SetupFlags::SUBMIT_ALL) {
            break;
        }
    }
    chain.start(task, ring);
    match failure {
        Some(error) => Err(error),
        None => Ok(usize_from(taken)),
    }
}

fn make_request(
    task: &CurrentTask,
    ring: &Arc<Ring>,
    sqe: IoUringSqe,
    prepared: Result<operation::Prepared, Errno>,
) -> Result<Arc<Request>, Errno> {
    let (prepared, refusal) = match prepared {
        Ok(prepared) => (prepared, None),
        Err(error) => (operation::Prepared::default(), Some(error)),
    };
    let request = Request::new(ring, task, sqe, prepared.credentials, refusal)?;
    *request.timeout.lock() = prepared.timeout;
    *request.poll_events.lock() = prepared.poll_events;
    Ok(request)
}

/// Fails for flags that no submission may have, or that this one may not.
///
/// # Errors
/// EINVAL, EACCES, EOPNOTSUPP.
pub(super) fn check_flags(ring: &Ring, sqe: &IoUringSqe, selects: bool) -> Result<SqeFlags, Errno> {
    let flags = SqeFlags::from_bits(sqe.flags).ok_or(Errno::EINVAL)?;
    if flags.contains(SqeFlags::BUFFER_SELECT) && !selects {
        return Err(Errno::EOPNOTSUPP);
    }
    if flags.contains(SqeFlags::CQE_SKIP_SUCCESS | SqeFlags::IO_DRAIN) {
        return Err(Errno::EOPNOTSUPP);
    }
    let registered = ring.registered.lock();
    if let Some(restrictions) = &registered.restrictions {
        let is_allowed = restrictions.operations >> sqe.opcode & 1 != 0
            && sqe.flags & restrictions.required_flags == restrictions.required_flags
            && sqe.flags & !(restrictions.allowed_flags | restrictions.required_flags) == 0;
        if !is_allowed {
            return Err(Errno::EACCES);
        }
    }
    Ok(flags)
}
