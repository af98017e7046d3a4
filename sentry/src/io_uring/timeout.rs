//! Timeouts: of their own, of what they are linked to, and of so many completions.

use std::sync::Arc;
use std::time::Duration;

use linux_raw_sys::io_uring as uapi;

use super::request::{OP_LINK_TIMEOUT, SqeFlags};
use super::work::Ending;
use super::{Request, Ring};
use crate::Errno;
use crate::time::{Expire, MonotonicTime};

/// When something is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// So long after it began.
    After(Duration),
    /// Then; `None` is never.
    At(Option<MonotonicTime>),
}

/// What a timeout waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeout {
    /// When it is over.
    pub(crate) when: When,
    /// Completions after which it is over, too; 0 for no such number.
    pub(crate) completions: u32,
    /// Whether that it is over counts as a success (IORING_TIMEOUT_ETIME_SUCCESS).
    pub(crate) is_success: bool,
    /// How often it begins again (IORING_TIMEOUT_MULTISHOT); 0 for always, `None` for never.
    pub(crate) repeats: Option<u32>,
    /// The number of completions that it ends with, once it has begun.
    pub(crate) target: Option<u32>,
}

/// The shortest time from one expiry to the next.
const SHORTEST_PERIOD: Duration = Duration::from_micros(100);

impl Ring {
    /// Has `request` wait for its time.
    pub(crate) fn arm_timeout(&self, request: &Arc<Request>) {
        let target = {
            let mut timeout = request.timeout.lock();
            let Some(timeout) = &mut *timeout else { return };
            timeout.target =
                (timeout.completions > 0).then(|| self.counted().wrapping_add(timeout.completions));
            timeout.target
        };
        request.wait(Vec::new());
        if target.is_some() {
            self.requests.lock().counting.push(request.weak());
        }
        self.schedule(request);
    }

    /// Has what limits the time of `request`, if anything does, wait for that.
    pub(crate) fn arm_limit(&self, request: &Request) {
        let limit =
            request.next.lock().clone().filter(|next| next.sqe.is(uapi::io_uring_op::IORING_OP_LINK_TIMEOUT));
        let Some(limit) = limit.filter(|limit| limit.refusal.is_none() && limit.begin()) else { return };
        self.enter_limit(&limit);
        limit.wait(Vec::new());
        self.schedule(&limit);
    }

    /// Has `request`, whose task is gone, end on the thread of the timers.
    pub(super) fn schedule_now(&self, request: &Arc<Request>) {
        let weak: std::sync::Weak<dyn Expire> = request.weak();
        if let Ok(alarm) = self.timers.schedule(self.timers.now(), weak) {
            let old = request.alarm.lock().replace(alarm);
            drop(old);
        }
    }

    fn schedule(&self, request: &Arc<Request>) {
        let when = request.timeout.lock().as_ref().map(|timeout| timeout.when);
        let deadline = match when {
            Some(When::After(wait)) => self.timers.now().checked_add(wait),
            Some(When::At(moment)) => moment,
            None => None,
        };
        let weak: std::sync::Weak<dyn Expire> = request.weak();
        // Without the thread of the timers it is over at once.
        let alarm = deadline.map(|deadline| self.timers.schedule(deadline, weak)).transpose();
        match alarm {
            Ok(alarm) => {
                let old = std::mem::replace(&mut *request.alarm.lock(), alarm);
                drop(old);
            }
            Err(_) => request.expire(),
        }
    }

    /// Ends the timeouts that as many completions have been posted for as they wait for.
    pub(super) fn expire_counted(&self) {
        let counted = self.counted();
        let over: Vec<Arc<Request>> = {
            let mut requests = self.requests.lock();
            if requests.counting.is_empty() {
                return;
            }
            let mut over = Vec::new();
            requests.counting.retain(|request| {
                let Some(request) = request.upgrade() else { return false };
                let target = request.timeout.lock().as_ref().and_then(|timeout| timeout.target);
                let is_over = target.is_none_or(|target| counted.wrapping_sub(target).cast_signed() >= 0);
                if is_over {
                    over.push(request);
                }
                !is_over
            });
            over
        };
        for request in over {
            if request.finish(true) {
                self.end(&request, Ending::default(), false);
            }
        }
    }

    /// Has the timeout called `user_data` be over at another time. `is_limit`: it is linked to something.
    ///
    /// # Errors
    /// ENOENT, EALREADY.
    pub(crate) fn update_timeout(&self, user_data: u64, when: When, is_limit: bool) -> Result<(), Errno> {
        let request = self.find_timeout(user_data, is_limit)?;
        if !request.is_waiting() {
            return Err(Errno::EALREADY);
        }
        if let Some(timeout) = &mut *request.timeout.lock() {
            (timeout.when, timeout.completions, timeout.target) = (when, 0, None);
        }
        self.schedule(&request);
        Ok(())
    }

    /// Ends the timeout called `user_data` before its time.
    ///
    /// # Errors
    /// ENOENT, EALREADY.
    pub(crate) fn remove_timeout(&self, user_data: u64) -> Result<(), Errno> {
        let request = self.find_timeout(user_data, false)?;
        if self.cancel_one(&request) { Ok(()) } else { Err(Errno::EALREADY) }
    }

    fn find_timeout(&self, user_data: u64, is_limit: bool) -> Result<Arc<Request>, Errno> {
        let opcode = if is_limit { OP_LINK_TIMEOUT } else { uapi::io_uring_op::IORING_OP_TIMEOUT as u8 };
        let found = self.called(user_data, |request| request.sqe.opcode == opcode);
        found.into_iter().next().ok_or(Errno::ENOENT)
    }

    fn expire_limit(&self, limit: &Arc<Request>, limited: &std::sync::Weak<Request>) {
        if !limit.finish(true) {
            return;
        }
        let is_cancelled = limited.upgrade().is_some_and(|request| self.cancel_one(&request));
        let error = if is_cancelled { Errno::ETIME } else { Errno::ENOENT };
        if limit.flags.contains(SqeFlags::CQE_SKIP_SUCCESS) {
            return self.leave(limit, None);
        }
        self.end(limit, Ending::of(Err(error)), true);
    }
}

impl Expire for Request {
    fn expire(&self) {
        let (Some(ring), Some(request)) = (self.ring(), self.weak().upgrade()) else { return };
        if let Some(limited) = request.limited.get() {
            return ring.expire_limit(&request, limited);
        }
        let repeats = {
            let mut timeout = request.timeout.lock();
            let Some(timeout) = &mut *timeout else {
                drop(timeout);
                // Its task is gone.
                if request.finish(false) {
                    ring.end(&request, Ending::of(Err(Errno::ECANCELED)), true);
                }
                return;
            };
            match (&mut timeout.repeats, timeout.when) {
                (Some(repeats), When::After(wait)) if *repeats != 1 => {
                    *repeats = repeats.saturating_sub(1);
                    timeout.when = When::After(wait.max(SHORTEST_PERIOD));
                    true
                }
                _ => false,
            }
        };
        let ending = Ending::of(Err(Errno::ETIME));
        if repeats && request.is_waiting() && ring.post_more(&request, ending) {
            return ring.schedule(&request);
        }
        let is_success = request.timeout.lock().as_ref().is_some_and(|timeout| timeout.is_success);
        if request.finish(true) {
            ring.end(&request, Ending { is_success, ..ending }, false);
        }
    }
}
