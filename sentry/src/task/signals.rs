//! Sending signals to tasks and processes, and what a task does to its own (`man 7 signal`).
//!
//! A signal is queued, and then one task that can take it is made to look. Which tasks block what only
//! changes with the group's state locked, so that a signal never waits at a task that cannot take it
//! while another could.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::block::Blocked;
use super::status::ExitStatus;
use super::thread_group::{GroupState, Stop, StopReport};
use super::{CurrentTask, Task, ThreadGroup};
use crate::Errno;
use crate::limits::Resource;
use crate::signal::{
    DefaultDisposition, Enqueued, Handler, Signal, SignalDetail, SignalInfo, SignalSet, SignalTarget,
};
use crate::wait::Events;

impl ThreadGroup {
    /// Sends the process a signal. Any of its tasks may take it.
    pub fn send_signal(&self, info: SignalInfo) {
        // A full queue is the sender's concern only where it queues values.
        let _ = self.try_send_signal(info);
    }

    /// The same, for senders who want to know whether it was queued.
    ///
    /// # Errors
    /// EAGAIN: RLIMIT_SIGPENDING is reached.
    pub fn try_send_signal(&self, info: SignalInfo) -> Result<(), Errno> {
        self.send(None, info)
    }

    /// Sends a signal to `target`, or to whichever task takes it. Ended processes take none.
    fn send(&self, target: Option<&Task>, info: SignalInfo) -> Result<(), Errno> {
        let signal = info.signal;
        let action = self.signal_actions().lock().get(signal);
        let limit = self.soft_limit(Resource::PENDING_SIGNALS);
        let mut state = self.state.lock();
        let Some(first) = state.tasks.first().cloned() else { return Ok(()) };
        self.prepare(&mut state, signal);
        let gets_through = signal.is_unblockable() && info.is_from_outside();
        if self.is_protected_init() && action.handler == Handler::Default && !gets_through {
            return Ok(());
        }
        if signal == Signal::SIGKILL {
            state.kill_count += 1;
            state.begin_exit(ExitStatus::Signaled { signal, has_dumped_core: false });
            return Ok(());
        }
        // What is blocked may have another action by the time that it is unblocked.
        let receiver = target.unwrap_or(&first);
        let is_blocked = receiver.signals.lock().mask.contains(signal);
        // A tracer sees signals that are ignored, too.
        if action.ignores(signal) && !is_blocked && !receiver.is_traced() {
            return Ok(());
        }
        let enqueued = match target {
            Some(task) => task.signals.lock().pending.enqueue(info, limit)?,
            None => state.pending.enqueue(info, limit)?,
        };
        if enqueued == Enqueued::New || signal.is_real_time() {
            match target {
                Some(task) => {
                    task.notice_signal(signal);
                }
                None => state.wake_one_for(signal),
            }
        }
        drop(state);
        first.kernel.signal_arrivals().notify(Events::IN);
        Ok(())
    }

    /// A stop signal and SIGCONT cancel each other; SIGCONT continues the process even where it is blocked or
    /// ignored.
    fn prepare(&self, state: &mut GroupState, signal: Signal) {
        if signal.is_stop() {
            state.discard(SignalSet::of(&[Signal::SIGCONT]));
        } else if signal == Signal::SIGCONT {
            state.discard(SignalSet::STOP);
            state.resume();
            for task in &state.tasks {
                if task.ptrace.note_continuation() {
                    task.interrupt();
                }
            }
        }
    }

    /// Whether signals without a handler do not reach the process: it is the init of a PID namespace inside
    /// of the sandbox. The sandbox's own first process is an ordinary program.
    pub(super) fn is_protected_init(&self) -> bool {
        self.pid_namespace().level() > 0 && self.tgid() == 1
    }

    /// Forgets pending instances of a signal that is ignored from now on.
    pub(crate) fn discard_signal(&self, signal: Signal) {
        self.state.lock().discard(SignalSet::of(&[signal]));
    }

    /// Signals that wait for any task.
    pub(crate) fn pending_signals(&self) -> SignalSet {
        self.state.lock().pending.set()
    }
}

impl GroupState {
    /// Ends all tasks with `status`, unless they are ending already.
    pub(super) fn begin_exit(&mut self, status: ExitStatus) {
        self.exit.get_or_insert(status);
        self.stop = Default::default();
        for task in &self.tasks {
            task.interrupt();
        }
    }

    /// Forgets pending `signals`, everywhere in the group.
    fn discard(&mut self, signals: SignalSet) {
        self.pending.discard(signals);
        for task in &self.tasks {
            task.signals.lock().pending.discard(signals);
        }
    }

    /// Has a task that can take `signal` look for it.
    fn wake_one_for(&self, signal: Signal) {
        let _has_found = self.tasks.iter().any(|task| task.notice_signal(signal));
    }

    /// Finds other tasks for what the group has pending: one that could have taken it blocks it now, or has
    /// ended.
    pub(super) fn retarget(&self, leaving: &Task) {
        for signal in self.pending.set().iter() {
            let mut others = self.tasks.iter().filter(|task| task.id != leaving.id);
            let _has_found = others.any(|task| task.notice_signal(signal));
        }
    }

    fn resume(&mut self) {
        if self.stop == Default::default() {
            return;
        }
        self.stop = Default::default();
        self.report = Some(StopReport::Continued);
        self.has_continued = true;
        for task in &self.tasks {
            task.interrupt();
        }
    }
}

impl Task {
    /// Sends the task itself a signal.
    pub fn send_signal(&self, info: SignalInfo) {
        let _ = self.try_send_signal(info);
    }

    /// The same, for senders who want to know whether it was queued.
    ///
    /// # Errors
    /// EAGAIN: RLIMIT_SIGPENDING is reached.
    pub fn try_send_signal(&self, info: SignalInfo) -> Result<(), Errno> {
        self.group.send(Some(self), info)
    }

    /// Has the task look for `signal` if it can take it; returns whether it can. The group's state is locked.
    fn notice_signal(&self, signal: Signal) -> bool {
        let (is_awaited, is_blocked) = {
            let signals = self.signals.lock();
            (signals.awaited.contains(signal), signals.mask.contains(signal))
        };
        if is_awaited {
            self.waiter.wake();
        } else if !is_blocked {
            self.interrupt();
        }
        is_awaited || !is_blocked
    }

    /// The blocked signals.
    pub fn signal_mask(&self) -> SignalSet {
        self.signals.lock().mask
    }

    /// Whether a signal or a stop waits for the task that it is to deal with at once.
    pub(super) fn has_unblocked_signal(&self) -> bool {
        let state = self.group.state.lock();
        let signals = self.signals.lock();
        state.stop != Stop::None || (signals.pending.set() | state.pending.set()).intersects(!signals.mask)
    }

    /// Signals that wait for this task alone.
    pub fn pending_signals(&self) -> SignalSet {
        self.signals.lock().pending.set()
    }

    /// Takes the next signal of `accepted`: of the task's own first, then of its process's.
    pub(crate) fn take_signal(&self, accepted: SignalSet) -> Option<SignalInfo> {
        loop {
            let info = self.dequeue_signal(accepted)?;
            match &info.detail {
                SignalDetail::Timer(expiration) if !self.group.timers.posix.signal_was_taken(expiration) => {}
                _ => return Some(info),
            }
        }
    }

    fn dequeue_signal(&self, accepted: SignalSet) -> Option<SignalInfo> {
        let mut state = self.group.state.lock();
        let own = self.signals.lock().pending.dequeue(accepted);
        own.or_else(|| state.pending.dequeue(accepted))
    }

    /// Replaces the blocked signals, and returns what was blocked. For the task itself, and for its tracer while it is
    /// stopped.
    pub(super) fn set_signal_mask(&self, mask: SignalSet) -> SignalSet {
        let state = self.group.state.lock();
        let mask = mask.as_blocked_mask();
        let (old, pending) = {
            let mut signals = self.signals.lock();
            (std::mem::replace(&mut signals.mask, mask), signals.pending.set())
        };
        if (pending | state.pending.set()).intersects(!mask) {
            self.is_interrupted.store(true, Ordering::Release);
        }
        if state.pending.set().intersects(mask - old) {
            state.retarget(self);
        }
        old
    }
}

impl SignalTarget for ThreadGroup {
    fn deliver(&self, info: SignalInfo) {
        self.send_signal(info);
    }
}

impl SignalTarget for Task {
    fn deliver(&self, info: SignalInfo) {
        self.send_signal(info);
    }
}

impl CurrentTask {
    /// Replaces the blocked signals, and returns what was blocked.
    pub(crate) fn set_signal_mask(&mut self, mask: SignalSet) -> SignalSet {
        self.task.set_signal_mask(mask)
    }

    /// Does `operation` with other signals blocked (ppoll, pselect6, epoll_pwait, sigsuspend). If a signal
    /// ended it, the old mask comes back only when the signal's handler returns.
    ///
    /// # Errors
    /// The operation's.
    pub(crate) fn with_signal_mask<T>(
        &mut self,
        mask: SignalSet,
        operation: impl FnOnce(&mut Self) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let old = self.set_signal_mask(mask);
        let result = operation(self);
        let is_ended_by_signal =
            result.as_ref().is_err_and(|error| *error == Errno::EINTR || error.is_restart());
        if is_ended_by_signal && self.task.is_interrupted() {
            self.saved_signal_mask = Some(old);
        } else {
            self.set_signal_mask(old);
        }
        result
    }

    /// Waits for one of `accepted` and takes it, whether it is blocked or not (`man 2 sigtimedwait`).
    ///
    /// # Errors
    /// [`Blocked`], if none came.
    pub(crate) fn wait_for_signal(
        &mut self,
        accepted: SignalSet,
        deadline: Option<Instant>,
    ) -> Result<SignalInfo, Blocked> {
        let task: Arc<Task> = self.task.clone();
        if let Some(info) = task.take_signal(accepted) {
            return Ok(info);
        }
        task.signals.lock().awaited = accepted;
        let result = self.block(&[], deadline, || task.take_signal(accepted));
        task.signals.lock().awaited = SignalSet::EMPTY;
        // One may have come since the last look, for this task or for others.
        task.group.state.lock().retarget(&task);
        self.set_signal_mask(task.signal_mask());
        result
    }

    /// Sends the running task a signal that it cannot avoid: if it blocks or ignores it, the default action
    /// comes back (a fault that recurs at once would otherwise loop).
    pub(crate) fn force_signal(&mut self, info: SignalInfo) {
        let signal = info.signal;
        let actions = self.task.group.signal_actions();
        let is_blocked = self.task.signals.lock().mask.contains(signal);
        let is_handled = {
            let mut actions = actions.lock();
            if is_blocked || actions.get(signal).ignores(signal) {
                actions.reset_handler(signal);
            }
            matches!(actions.get(signal).handler, Handler::User(_))
        };
        if is_blocked {
            let mut mask = self.task.signal_mask();
            mask.remove(signal);
            self.set_signal_mask(mask);
        }
        if is_handled || self.task.is_traced() {
            self.task.send_signal(info);
        } else {
            self.die_of(info);
        }
    }

    /// Ends the process by a signal.
    pub(super) fn die_of(&mut self, info: SignalInfo) -> ExitStatus {
        let signal = info.signal;
        if signal.default_disposition() == DefaultDisposition::Core {
            return self.die_with_core(info);
        }
        let status = ExitStatus::Signaled { signal, has_dumped_core: false };
        self.task.group.exit(status);
        status
    }
}
