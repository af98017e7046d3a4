//! Requests under way: what is to be tried again, what comes after what, and how all of it ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use linux_raw_sys::io_uring as uapi;

use super::request::SqeFlags;
use super::{CancelKey, Request, Ring, RingFile, SetupFlags, word};
use crate::Errno;
use crate::abi::IoUringCqe;
use crate::heap::shrink_queue;
use crate::task::{CurrentTask, DeferredWork, Task};

/// Requests that a task serves before it goes on with what else it has to do.
const MAX_SERVED: usize = 1024;

/// The requests of a ring.
#[derive(Default)]
pub(super) struct Requests {
    next_place: u64,
    /// Those that have begun and are not over.
    under_way: BTreeMap<u64, Arc<Request>>,
    /// Their places, by what they are called.
    named: BTreeSet<(u64, u64)>,
    /// Those that are to be tried, in order.
    work: VecDeque<Arc<Request>>,
    /// Those that begin once all before them are over (IOSQE_IO_DRAIN), and what came after them.
    drained: VecDeque<Arc<Request>>,
    /// What stands in front of them has begun, and lets nobody pass.
    is_draining: bool,
    /// Timeouts that wait for completions.
    pub(super) counting: Vec<Weak<Request>>,
    is_closed: bool,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ending {
    /// `cqe.res`.
    pub(crate) result: i32,
    /// `IORING_CQE_F_*`.
    pub(crate) flags: u32,
    /// Less came of it than was asked for: what is linked to it does not begin.
    pub(crate) is_short: bool,
    /// What is linked to it begins, whatever the result is.
    pub(crate) is_success: bool,
    /// What a large completion holds more.
    pub(crate) extra: [u64; 2],
}

impl Ending {
    /// With `result`, which may be an error.
    pub(crate) fn of(result: Result<usize, Errno>) -> Self {
        let result = match result {
            Ok(value) => i32::try_from(value).unwrap_or(i32::MAX),
            Err(error) => -i32::from(error.raw()),
        };
        Self { result, ..Self::default() }
    }

    fn has_failed(&self) -> bool {
        !self.is_success && (self.result < 0 || self.is_short)
    }

    fn of_error(error: Errno) -> Self {
        Self::of(Err(error))
    }
}

impl Ring {
    /// Whether something is to be tried.
    pub(super) fn has_work(&self) -> bool {
        !self.requests.lock().work.is_empty()
    }

    /// Has `request` tried by its task. May be called with the lock of a queue held.
    pub(super) fn push_work(&self, request: Arc<Request>) {
        if request.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let task = request.task().filter(|task| task.takes_work());
        if task.is_none() {
            // Nobody could do it: its time is over.
            return self.schedule_now(&request);
        }
        {
            let mut requests = self.requests.lock();
            if requests.is_closed {
                return;
            }
            request.is_late.store(true, Ordering::Relaxed);
            requests.work.push_back(request);
        }
        if self.flags.contains(SetupFlags::TASKRUN_FLAG) {
            self.memory.set_bits(word::SQ_FLAGS, uapi::IORING_SQ_TASKRUN, true);
        }
        if let (Some(task), Some(work)) = (task, self.work.get()) {
            task.defer(work.clone(), !self.flags.contains(SetupFlags::DEFER_TASKRUN));
        }
    }

    fn take_work(&self, task: &Task) -> Option<Arc<Request>> {
        let mut requests = self.requests.lock();
        let index = requests.work.iter().position(|request| request.is_of(task));
        let request = index.and_then(|index| requests.work.remove(index));
        shrink_queue(&mut requests.work);
        if requests.work.is_empty() && self.flags.contains(SetupFlags::TASKRUN_FLAG) {
            self.memory.set_bits(word::SQ_FLAGS, uapi::IORING_SQ_TASKRUN, false);
        }
        request
    }

    /// Has `task` serve what it is to try. Returns whether there was anything.
    pub(crate) fn run_work(&self, task: &mut CurrentTask) -> bool {
        let Some(ring) = self.this.upgrade() else { return false };
        let own = task.task().clone();
        for served in 0..MAX_SERVED {
            let Some(request) = self.take_work(&own) else { return served > 0 };
            request.is_queued.store(false, Ordering::Release);
            self.server.serve(task, &ring, &request);
        }
        if let Some(work) = self.work.get() {
            own.defer(work.clone(), false);
        }
        true
    }

    /// Begins `request`, or has it wait until those before it are over.
    pub(crate) fn start(&self, task: &mut CurrentTask, request: Arc<Request>) {
        if let Some(work) = self.work.get() {
            task.task().add_work_source(work);
        }
        {
            let mut requests = self.requests.lock();
            let drains = request.drains();
            let must_wait = requests.is_draining
                || !requests.drained.is_empty()
                || drains && !requests.under_way.is_empty();
            if must_wait {
                requests.drained.push_back(request);
                return;
            }
            requests.is_draining = drains;
            requests.enter(&request);
        }
        let Some(ring) = self.this.upgrade() else { return };
        self.server.serve(task, &ring, &request);
    }

    /// Posts a completion for `request` that is not its last. False if there is no room: then it is to be its last.
    pub(crate) fn post_more(&self, request: &Request, ending: Ending) -> bool {
        let flags = ending.flags | uapi::IORING_CQE_F_MORE;
        let cqe = IoUringCqe { user_data: request.user_data(), res: ending.result, flags };
        let is_posted = self.try_post(cqe, ending.extra, request.is_late.load(Ordering::Relaxed));
        self.expire_counted();
        is_posted
    }

    /// `request` is over, and its task was at it.
    pub(crate) fn complete(&self, request: &Arc<Request>, ending: Ending) {
        if request.finish(false) {
            self.end(request, ending, true);
        }
    }

    /// What has been finished ends: its completion is posted, and what comes after it begins, or ends, too.
    pub(super) fn end(&self, request: &Arc<Request>, ending: Ending, is_counted: bool) {
        let has_failed = ending.has_failed();
        let mut after = request.next.lock().take();
        let limit = after.take_if(|next| next.sqe.is(uapi::io_uring_op::IORING_OP_LINK_TIMEOUT));
        if let Some(limit) = &limit {
            after = limit.next.lock().take();
        }
        self.post_ending(request, ending, is_counted);
        if let Some(limit) = limit.filter(|limit| limit.finish(false)) {
            if !limit.flags.contains(SqeFlags::CQE_SKIP_SUCCESS) {
                self.post_ending(&limit, Ending::of_error(Errno::ECANCELED), true);
            }
            self.leave(&limit, None);
        }
        let is_cut = has_failed && !request.flags.contains(SqeFlags::IO_HARDLINK);
        match after {
            Some(after) if is_cut => {
                self.leave(request, None);
                self.cancel_chain(after, request.hides_links.load(Ordering::Relaxed));
            }
            after => self.leave(request, after),
        }
        if is_counted {
            self.expire_counted();
        }
    }

    fn post_ending(&self, request: &Request, ending: Ending, is_counted: bool) {
        if request.flags.contains(SqeFlags::CQE_SKIP_SUCCESS) {
            if !ending.has_failed() {
                return;
            }
            request.hides_links.store(true, Ordering::Relaxed);
        }
        let cqe = IoUringCqe { user_data: request.user_data(), res: ending.result, flags: ending.flags };
        self.post(cqe, ending.extra, (is_counted, request.is_late.load(Ordering::Relaxed)));
    }

    /// None of what is linked from `first` on begins.
    pub(crate) fn cancel_chain(&self, first: Arc<Request>, is_hidden: bool) {
        let mut next = Some(first);
        while let Some(request) = next {
            next = request.next.lock().take();
            if request.finish(false) && !is_hidden {
                let error = request.refusal.unwrap_or(Errno::ECANCELED);
                let cqe =
                    IoUringCqe { user_data: request.user_data(), res: -i32::from(error.raw()), flags: 0 };
                self.post(cqe, [0; 2], (true, true));
            }
        }
    }

    /// `request` is under way no longer; `next` is instead of it.
    pub(super) fn leave(&self, request: &Request, next: Option<Arc<Request>>) {
        let mut ready = Vec::new();
        let gone;
        {
            let mut requests = self.requests.lock();
            gone = request.place.get().and_then(|place| {
                requests.named.remove(&(request.user_data(), *place));
                requests.under_way.remove(place)
            });
            if let Some(next) = next.filter(|_| !requests.is_closed) {
                requests.enter(&next);
                ready.push(next);
            }
            requests.take_drained(&mut ready);
        }
        drop(gone);
        ready.into_iter().for_each(|request| self.push_work(request));
    }

    /// Puts a link timeout among those under way.
    pub(super) fn enter_limit(&self, limit: &Arc<Request>) {
        self.requests.lock().enter(limit);
    }

    /// Those under way that `holds` for.
    pub(super) fn under_way(&self, holds: impl Fn(&Request) -> bool) -> Vec<Arc<Request>> {
        self.requests.lock().under_way.values().filter(|request| holds(request)).cloned().collect()
    }

    /// Those under way called `user_data` that `holds` for.
    pub(super) fn called(&self, user_data: u64, holds: impl Fn(&Request) -> bool) -> Vec<Arc<Request>> {
        let requests = self.requests.lock();
        let places = requests.named.range((user_data, 0)..=(user_data, u64::MAX));
        let called = places.filter_map(|(_, place)| requests.under_way.get(place));
        called.filter(|request| holds(request)).cloned().collect()
    }

    /// Has `request` be called `user_data`.
    pub(crate) fn rename(&self, request: &Request, user_data: u64) {
        let mut requests = self.requests.lock();
        if let Some(place) = request.place.get()
            && requests.named.remove(&(request.user_data(), *place))
        {
            requests.named.insert((user_data, *place));
        }
        request.set_user_data(user_data);
    }

    /// Ends the first request that `key` names, or all of them, but not `own`. Returns how many have been ended.
    ///
    /// # Errors
    /// ENOENT: none was found. EALREADY: it is being done.
    pub(crate) fn cancel(
        &self,
        key: &CancelKey,
        takes_all: bool,
        own: Option<&Request>,
    ) -> Result<usize, Errno> {
        let is_other = |request: &Request| own.is_none_or(|own| !std::ptr::eq(own, request));
        let is_meant = |request: &Request| is_other(request) && request.is_named_by(key);
        let found = match key.user_data {
            Some(user_data) => self.called(user_data, is_meant),
            None => self.under_way(is_meant),
        };
        let (mut ended, mut error) = (0, Errno::ENOENT);
        for request in found {
            match request.finish(true) {
                true => {
                    self.end(&request, Ending::of_error(Errno::ECANCELED), true);
                    ended += 1;
                    if !takes_all {
                        return Ok(0);
                    }
                }
                false => error = Errno::EALREADY,
            }
        }
        if takes_all && ended > 0 {
            Ok(ended)
        } else if takes_all && error == Errno::ENOENT {
            Ok(0)
        } else {
            Err(error)
        }
    }

    /// The poll called `user_data`.
    ///
    /// # Errors
    /// ENOENT.
    pub(crate) fn find_poll(&self, user_data: u64) -> Result<Arc<Request>, Errno> {
        let polls = self.called(user_data, |request| request.sqe.is(uapi::io_uring_op::IORING_OP_POLL_ADD));
        polls.into_iter().next().ok_or(Errno::ENOENT)
    }

    /// Has `request` tried once more.
    pub(crate) fn retry(&self, request: Arc<Request>) {
        self.push_work(request);
    }

    /// Ends `request` if it waits.
    pub(super) fn cancel_one(&self, request: &Arc<Request>) -> bool {
        let is_ended = request.finish(true);
        if is_ended {
            self.end(request, Ending::of_error(Errno::ECANCELED), true);
        }
        is_ended
    }

    /// What is in front of `task`, which ends or executes another program, no longer gets done. If it `ends` only what it could
    /// not be rid of otherwise goes at once; all else when it would be tried.
    fn abandon_requests_of(&self, task: &Task, ends: bool) {
        let is_on_ring =
            |request: &Request| request.file().is_some_and(|file| file.downcast::<RingFile>().is_some());
        let needs_task = |request: &Request| !ends || is_on_ring(request);
        loop {
            let mut found = self.under_way(|request| request.is_of(task) && needs_task(request));
            found.extend({
                let mut requests = self.requests.lock();
                let (own, others) = std::mem::take(&mut requests.drained)
                    .into_iter()
                    .partition::<VecDeque<_>, _>(|request| request.is_of(task));
                requests.drained = others;
                own
            });
            found.extend(std::iter::from_fn(|| self.take_work(task)));
            if found.is_empty() {
                return;
            }
            for request in found {
                let after = request.next.lock().take();
                if request.finish(false) {
                    self.end(&request, Ending::of_error(Errno::ECANCELED), true);
                } else {
                    self.leave(&request, None);
                }
                if let Some(after) = after {
                    self.cancel_chain(after, false);
                }
            }
        }
    }

    /// Nobody refers to the ring any more: nothing of it gets done.
    pub(super) fn close(&self) {
        let all = {
            let mut requests = self.requests.lock();
            requests.is_closed = true;
            requests.named.clear();
            let (under_way, work, drained) = (
                std::mem::take(&mut requests.under_way),
                std::mem::take(&mut requests.work),
                std::mem::take(&mut requests.drained),
            );
            (under_way, work, drained)
        };
        for request in all.0.values().chain(&all.1).chain(&all.2) {
            request.finish(false);
        }
        drop(all);
        drop(self.set_event(None));
        let registered = std::mem::take(&mut *self.registered.lock());
        drop(registered);
    }

    /// What /proc/PID/fdinfo shows of polls.
    pub(super) fn polls(&self) -> Vec<Arc<Request>> {
        self.under_way(|request| request.sqe.is(uapi::io_uring_op::IORING_OP_POLL_ADD))
    }
}

impl Requests {
    fn enter(&mut self, request: &Arc<Request>) {
        let place = *request.place.get_or_init(|| self.next_place);
        self.next_place = self.next_place.max(place + 1);
        self.named.insert((request.user_data(), place));
        self.under_way.insert(place, request.clone());
    }

    /// Begins what nothing is in the way of any more.
    fn take_drained(&mut self, ready: &mut Vec<Arc<Request>>) {
        if self.under_way.is_empty() {
            self.is_draining = false;
        }
        while !self.is_draining
            && let Some(first) = self.drained.front()
        {
            let drains = first.drains();
            if drains && !self.under_way.is_empty() {
                return;
            }
            let Some(first) = self.drained.pop_front() else { return };
            self.is_draining = drains;
            self.enter(&first);
            ready.push(first);
        }
    }
}

/// What a task has to do for a ring.
pub(super) struct RingWork(Weak<Ring>);

impl RingWork {
    pub(super) fn new(ring: &Arc<Ring>) -> Self {
        Self(Arc::downgrade(ring))
    }
}

impl DeferredWork for RingWork {
    fn run(self: Arc<Self>, task: &mut CurrentTask) {
        let Some(ring) = self.0.upgrade() else { return };
        if ring.flags.contains(SetupFlags::DEFER_TASKRUN) {
            // It waits for the task to ask; whoever polls the ring learns that it should.
            ring.tell_of_work();
        } else {
            ring.run_work(task);
        }
    }

    fn abandon(&self, task: &Task, ends: bool) {
        if let Some(ring) = self.0.upgrade() {
            ring.abandon_requests_of(task, ends);
        }
    }
}
