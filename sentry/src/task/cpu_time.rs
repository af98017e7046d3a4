//! CPU time of a task, told apart into user and system time.
//!
//! How much it is, the host's clock of the task's thread says. What it was spent on, the thread notes: it marks when it enters
//! user code, leaves it, and rests. The growth of the one is divided as the other's was, so that both times only
//! grow and their sum is exact, as Linux keeps them (`man 2 times`).
//!
//! Entering and leaving user code is the sentry's work and not the program's, but happens inside of
//! [`Context::run`](crate::platform::Context::run). The shortest run that ever ended in a system call is what it costs.
//! The same holds for calls that another thread serves while the task's own waits in user code (see `lent`): the notes are
//! then that thread's to make, and the wait is system time, as an exit would be. A call that nobody serves in time has waited,
//! too, before it leaves: the shortest run that ever ended so is what that costs.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::time::{own_cpu_time, thread_cpu_time};

/// What a task's thread spends its time on (Linux's `vtime_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VtimeState {
    /// Sleeping, or not there.
    Inactive = 0,
    /// User code.
    User = 1,
    /// The sentry.
    System = 2,
}

/// What entering and leaving user code costs, nanoseconds: the least that was seen. One for all tasks.
#[derive(Debug)]
pub(super) struct SwitchCost(AtomicU64);

impl Default for SwitchCost {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl SwitchCost {
    fn note(&self, run_ns: u64) {
        if run_ns < self.0.load(Ordering::Relaxed) {
            self.0.fetch_min(run_ns, Ordering::Relaxed);
        }
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What has been noted at a mark, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// When the mark was set.
    pub(super) at_ns: u64,
    /// In user code until then.
    pub(super) user_ns: u64,
    /// In the sentry until then.
    pub(super) system_ns: u64,
}

/// The clock of one task.
pub(super) struct CpuTime {
    /// The host thread that runs the task; 0 before it starts and after it has ended.
    host_thread_id: AtomicI32,
    /// That thread's CPU time when it took the task on.
    base_ns: AtomicU64,
    /// When the notes' time begins.
    epoch: Instant,
    notes: Notes,
    /// How often it went to rest.
    rests: AtomicU64,
    reported: Mutex<Reported>,
}

/// How long the thread has done what, in nanoseconds of the wall clock. The thread writes, anybody reads.
#[derive(Default)]
struct Notes {
    user_ns: AtomicU64,
    system_ns: AtomicU64,
    /// Since when the thread does what the low bits say.
    mark: AtomicU64,
}

/// What has been told, and the notes that it was told by.
#[derive(Clone, Copy, Default)]
struct Reported {
    user: Duration,
    system: Duration,
    noted_user_ns: u64,
    noted_system_ns: u64,
    /// No more will be told.
    is_final: bool,
}

const STATE_BITS: u32 = 2;

impl CpuTime {
    /// The clock of a task whose thread has not started.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            host_thread_id: AtomicI32::new(0),
            base_ns: AtomicU64::new(0),
            epoch: now,
            notes: Notes::default(),
            rests: AtomicU64::new(0),
            reported: Mutex::default(),
        }
    }

    /// Begins to count: the calling thread, which has this id, runs the task from now on.
    pub(super) fn start(&self, host_thread_id: i32) {
        self.base_ns.store(as_ns(own_cpu_time()), Ordering::Relaxed);
        self.mark(VtimeState::System);
        self.host_thread_id.store(host_thread_id, Ordering::Release);
    }

    /// The task has ended: what it has used until now is all.
    pub(super) fn stop(&self) {
        let mut reported = self.reported.lock();
        self.bring_up_to_date(&mut reported);
        reported.is_final = true;
    }

    /// The thread leaves the task.
    pub(super) fn end(&self) {
        self.host_thread_id.store(0, Ordering::Release);
    }

    /// The host thread that runs the task; 0 if none does.
    pub(super) fn host_thread_id(&self) -> i32 {
        self.host_thread_id.load(Ordering::Acquire)
    }

    /// How often the task went to rest.
    pub(super) fn rests(&self) -> u64 {
        self.rests.load(Ordering::Relaxed)
    }

    /// Notes what the thread does from now on. For that thread, or for whoever it has lent the task to.
    pub(super) fn mark(&self, state: VtimeState) {
        if state == VtimeState::Inactive {
            self.rests.store(self.rests.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
        self.notes.switch(self.now_ns(), state, 0);
    }

    /// Notes that the thread has left user code, by a system call or not. For whom [`CpuTime::mark`] is.
    pub(super) fn mark_left_user_code(&self, is_syscall: bool, cost: &SwitchCost) {
        let now = self.now_ns();
        if is_syscall {
            cost.note(now.saturating_sub(self.notes.since()));
        }
        self.notes.switch(now, VtimeState::System, cost.get());
    }

    /// What was noted at the last mark. For whom [`CpuTime::mark`] is.
    pub(super) fn noted(&self) -> Noted {
        Noted {
            at_ns: self.notes.since(),
            user_ns: self.notes.user_ns.load(Ordering::Relaxed),
            system_ns: self.notes.system_ns.load(Ordering::Relaxed),
        }
    }

    /// What the thread does just now.
    pub(super) fn state(&self) -> VtimeState {
        unpack(self.notes.mark.load(Ordering::Relaxed)).1
    }

    fn now_ns(&self) -> u64 {
        as_ns(self.epoch.elapsed())
    }

    /// User and system time until now; `None` if the task has not started, or has ended.
    pub(super) fn read(&self) -> Option<(Duration, Duration)> {
        let mut reported = self.reported.lock();
        self.bring_up_to_date(&mut reported).then_some((reported.user, reported.system))
    }

    /// User and system time until now, or until the task ended; none before it started.
    pub(super) fn total(&self) -> (Duration, Duration) {
        let mut reported = self.reported.lock();
        self.bring_up_to_date(&mut reported);
        (reported.user, reported.system)
    }

    /// Returns whether the task runs; else there is nothing new.
    fn bring_up_to_date(&self, reported: &mut Reported) -> bool {
        let id = self.host_thread_id();
        let is_running = id != 0 && !reported.is_final;
        let Some(now) = is_running.then(|| thread_cpu_time(id)).flatten() else { return false };
        let base = Duration::from_nanos(self.base_ns.load(Ordering::Relaxed));
        reported.take(now.saturating_sub(base), self.notes.at(self.now_ns()));
        true
    }
}

impl Notes {
    fn since(&self) -> u64 {
        unpack(self.mark.load(Ordering::Relaxed)).0
    }

    /// Counts what has been done since the last mark, of user code `overhead_ns` as system time.
    fn switch(&self, now: u64, state: VtimeState, overhead_ns: u64) {
        let (since, former) = unpack(self.mark.load(Ordering::Relaxed));
        let spent = now.saturating_sub(since);
        let (user, system) = match former {
            VtimeState::Inactive => (0, 0),
            VtimeState::User => (spent.saturating_sub(overhead_ns), spent.min(overhead_ns)),
            VtimeState::System => (0, spent),
        };
        // Who reads meanwhile sees that the mark has changed, and reads again.
        self.mark.store(pack(now, VtimeState::Inactive), Ordering::Release);
        self.user_ns.store(self.user_ns.load(Ordering::Relaxed).saturating_add(user), Ordering::Release);
        self.system_ns
            .store(self.system_ns.load(Ordering::Relaxed).saturating_add(system), Ordering::Release);
        self.mark.store(pack(now, state), Ordering::Release);
    }

    /// User and system time until `now`, what goes on included.
    fn at(&self, now: u64) -> (u64, u64) {
        loop {
            let mark = self.mark.load(Ordering::Acquire);
            let user = self.user_ns.load(Ordering::Acquire);
            let system = self.system_ns.load(Ordering::Acquire);
            if self.mark.load(Ordering::Acquire) != mark {
                continue;
            }
            let (since, state) = unpack(mark);
            let spent = now.saturating_sub(since);
            return match state {
                VtimeState::Inactive => (user, system),
                VtimeState::User => (user.saturating_add(spent), system),
                VtimeState::System => (user, system.saturating_add(spent)),
            };
        }
    }
}

impl Reported {
    /// Divides what `total` has grown by as the notes have grown.
    fn take(&mut self, total: Duration, (noted_user_ns, noted_system_ns): (u64, u64)) {
        let growth = total.saturating_sub(self.user + self.system);
        let user = noted_user_ns.saturating_sub(self.noted_user_ns);
        let system = noted_system_ns.saturating_sub(self.noted_system_ns);
        let all = u128::from(user) + u128::from(system);
        let user_share = match all {
            0 => 0,
            all => growth.as_nanos() * u128::from(user) / all,
        };
        let user_share = Duration::from_nanos(u64::try_from(user_share).unwrap_or(u64::MAX)).min(growth);
        self.user += user_share;
        self.system += growth.saturating_sub(user_share);
        self.noted_user_ns = self.noted_user_ns.max(noted_user_ns);
        self.noted_system_ns = self.noted_system_ns.max(noted_system_ns);
    }
}

fn as_ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn pack(since_ns: u64, state: VtimeState) -> u64 {
    since_ns << STATE_BITS | state as u64
}

fn unpack(mark: u64) -> (u64, VtimeState) {
    let state = match mark & ((1 << STATE_BITS) - 1) {
        1 => VtimeState::User,
        2 => VtimeState::System,
        _ => VtimeState::Inactive,
    };
    (mark >> STATE_BITS, state)
}

#[cfg(test)]
mod tests;
