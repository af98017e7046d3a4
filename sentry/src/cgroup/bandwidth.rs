//! How much processor time the tasks of a group may use: a quota in each period (cpu.max).
//!
//! Tasks say what they used as they enter user code, and stay out of it while a group around them has nothing left. What
//! a group used too much, because nobody looked in time, is taken off the periods to come: on average the quota holds
//! exactly. So that somebody looks while tasks only compute, all in limited groups are kicked now and then.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::hierarchy::Hierarchy;
use super::member::{Member, MemberKey};
use super::node::Cgroup;
use crate::time::{Expire, MonotonicTime, TimerHandle, TimerQueue};
use crate::wait::{Events, WaitQueue};

/// How often tasks in limited groups are kicked.
const KICK_INTERVAL: Duration = Duration::from_millis(5);

/// What cpu.max and cpu.max.burst say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuLimit {
    /// Processor time for each period; `None` is no limit.
    pub quota: Option<Duration>,
    /// How long a period is.
    pub period: Duration,
    /// How much of what is left of a period may be used later, beside the quota.
    pub burst: Duration,
}

impl Default for CpuLimit {
    fn default() -> Self {
        Self { quota: None, period: Duration::from_millis(100), burst: Duration::ZERO }
    }
}

/// What cpu.stat tells of the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BandwidthStatistics {
    /// Periods in which the group was active.
    pub periods: u64,
    /// Periods in which it used all that it had.
    pub throttled_periods: u64,
    /// For how long its tasks had to wait.
    pub throttled_time: Duration,
    /// Periods in which it used more than the quota.
    pub bursts: u64,
    /// How much more.
    pub burst_time: Duration,
}

/// The processor time of one group.
#[derive(Default)]
pub struct Bandwidth {
    state: Mutex<State>,
    /// Who waits for the next period; notified if the limit changes.
    pub(super) queue: WaitQueue,
}

#[derive(Default)]
struct State {
    limit: CpuLimit,
    /// The end of the current period, and what is left of its quota, nanoseconds; negative if too much was used.
    period_end: Option<MonotonicTime>,
    left_ns: i64,
    used_ns: i64,
    throttled_since: Option<MonotonicTime>,
    statistics: BandwidthStatistics,
}

impl Bandwidth {
    /// What cpu.max says: how much CPU time in which period.
    pub fn limit(&self) -> CpuLimit {
        self.state.lock().limit
    }

    /// What has happened until `now`.
    fn statistics(&self, now: MonotonicTime) -> BandwidthStatistics {
        let mut state = self.state.lock();
        state.renew(now);
        let mut statistics = state.statistics;
        if let Some(since) = state.throttled_since {
            statistics.throttled_time += now.saturating_duration_since(since);
        }
        statistics
    }

    /// Changes the limit; a new period begins. Returns the limit before.
    pub(super) fn set_limit(&self, limit: CpuLimit, now: MonotonicTime) -> CpuLimit {
        let old = {
            let mut state = self.state.lock();
            state.end_throttling(now);
            let statistics = state.statistics;
            std::mem::replace(&mut *state, State { limit, statistics, ..State::default() }).limit
        };
        self.queue.notify(Events::IN);
        old
    }

    /// Counts `used` processor time until `now`. Returns when tasks may go on, if nothing is left.
    fn charge(&self, used: Duration, now: MonotonicTime) -> Option<MonotonicTime> {
        let mut state = self.state.lock();
        state.limit.quota?;
        state.renew(now);
        let used_ns = nanoseconds(used);
        state.left_ns = state.left_ns.saturating_sub(used_ns);
        state.used_ns = state.used_ns.saturating_add(used_ns);
        if state.left_ns > 0 {
            return None;
        }
        if state.throttled_since.is_none() {
            state.throttled_since = Some(now);
            state.statistics.throttled_periods += 1;
        }
        state.period_end
    }

    /// Whether the limit lets tasks go on.
    pub(super) fn has_time(&self, now: MonotonicTime) -> bool {
        let mut state = self.state.lock();
        state.renew(now);
        state.limit.quota.is_none() || state.left_ns > 0
    }
}

impl State {
    /// Begins the period that `now` is in.
    fn renew(&mut self, now: MonotonicTime) {
        let Some(quota) = self.limit.quota else { return };
        let (quota_ns, burst_ns) = (nanoseconds(quota).max(1), nanoseconds(self.limit.burst));
        let period = self.limit.period.max(Duration::from_millis(1));
        let Some(end) = self.period_end else {
            self.left_ns = quota_ns;
            self.period_end = now.checked_add(period);
            return;
        };
        let Some(late) = now.checked_duration_since(end) else { return };
        let over = i64::try_from(late.as_nanos() / period.as_nanos()).unwrap_or(i64::MAX).saturating_add(1);
        // A group in debt was kept waiting all the while; another was idle, but for one period.
        let is_in_debt = self.left_ns <= 0;
        self.statistics.periods += if is_in_debt { over.unsigned_abs() } else { 1 };
        if burst_ns > 0 && self.used_ns > quota_ns {
            self.statistics.bursts += 1;
            self.statistics.burst_time += Duration::from_nanos((self.used_ns - quota_ns).unsigned_abs());
        }
        if is_in_debt {
            // Where in the row of periods the quota is positive again.
            let needed = self.left_ns.saturating_neg() / quota_ns;
            let waited = u32::try_from(needed).unwrap_or(u32::MAX);
            let positive_at = period.checked_mul(waited).and_then(|more| end.checked_add(more));
            if let Some(time) = positive_at.filter(|time| *time <= now) {
                self.end_throttling(time);
            }
        }
        self.used_ns = 0;
        let earned = quota_ns.saturating_mul(over);
        self.left_ns = self.left_ns.saturating_add(earned).min(quota_ns.saturating_add(burst_ns));
        let into_period = late.as_nanos() % period.as_nanos();
        let rest = period.saturating_sub(Duration::from_nanos(u64::try_from(into_period).unwrap_or(0)));
        self.period_end = now.checked_add(rest);
    }

    fn end_throttling(&mut self, time: MonotonicTime) {
        if let Some(since) = self.throttled_since.take() {
            self.statistics.throttled_time += time.saturating_duration_since(since);
        }
    }
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// A group that has no processor time left.
pub struct Throttle {
    cgroup: Arc<Cgroup>,
    timers: Arc<TimerQueue>,
    /// When to look again.
    pub until: MonotonicTime,
}

impl Throttle {
    /// Where a change of the limit is announced.
    pub fn queue(&self) -> &WaitQueue {
        &self.cgroup.bandwidth.queue
    }

    /// Whether there is time again.
    pub fn is_over(&self) -> bool {
        self.cgroup.bandwidth.has_time(self.timers.now())
    }
}

/// Kicks the tasks of limited groups, as long as they run.
pub(super) struct Ticker {
    timers: Arc<TimerQueue>,
    /// Groups that have a quota.
    limited: AtomicUsize,
    /// A task has used time since the last kick.
    is_active: AtomicBool,
    next: Mutex<Option<TimerHandle>>,
    hierarchy: Weak<Hierarchy>,
}

impl Ticker {
    pub(super) fn new(timers: &Arc<TimerQueue>, hierarchy: &Weak<Hierarchy>) -> Arc<Self> {
        Arc::new(Self {
            timers: timers.clone(),
            limited: AtomicUsize::new(0),
            is_active: AtomicBool::new(false),
            next: Mutex::default(),
            hierarchy: hierarchy.clone(),
        })
    }

    /// Sees to it that there is a next kick.
    fn start(self: &Arc<Self>) {
        if self.is_active.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut next = self.next.lock();
        if next.is_none() {
            let target: Weak<dyn Expire> = Arc::<Self>::downgrade(self);
            // Without the queue's thread tasks are counted when they come by.
            *next = self.timers.schedule(self.timers.now() + KICK_INTERVAL, target).ok();
        }
    }
}

impl Expire for Ticker {
    fn expire(&self) {
        // Its deadline has passed: to drop it cancels nothing.
        let spent = self.next.lock().take();
        drop(spent);
        let Some(hierarchy) = self.hierarchy.upgrade() else { return };
        if self.is_active.swap(false, Ordering::AcqRel) {
            // Who runs says so on its way back into user code, and so has the next kick scheduled.
            hierarchy.limited_members().iter().for_each(|member| member.kick());
        }
    }
}

impl Hierarchy {
    /// Whether any group has a quota of processor time.
    pub fn limits_processors(&self) -> bool {
        self.ticker.limited.load(Ordering::Relaxed) > 0
    }

    /// What cpu.stat tells of the limit of `cgroup`.
    pub fn bandwidth_statistics(&self, cgroup: &Cgroup) -> BandwidthStatistics {
        cgroup.bandwidth.statistics(self.ticker.timers.now())
    }

    /// Sets cpu.max and cpu.max.burst.
    pub fn set_cpu_limit(&self, cgroup: &Cgroup, limit: CpuLimit) {
        let old = cgroup.bandwidth.set_limit(limit, self.ticker.timers.now());
        match (old.quota.is_some(), limit.quota.is_some()) {
            (false, true) => drop(self.ticker.limited.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.ticker.limited.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// Counts processor time that `key` has used. Returns the first group around it that has none left.
    pub fn charge_processor(&self, key: MemberKey, used: Duration) -> Option<Throttle> {
        let own = self.find(key)?;
        let now = self.ticker.timers.now();
        let mut throttle = None;
        let mut is_limited = false;
        for cgroup in own.with_ancestors() {
            is_limited |= cgroup.bandwidth.limit().quota.is_some();
            let until = cgroup.bandwidth.charge(used, now);
            throttle = throttle.or_else(|| {
                let (cgroup, timers) = (cgroup.clone(), self.ticker.timers.clone());
                until.map(|until| Throttle { cgroup, timers, until })
            });
        }
        if is_limited && throttle.is_none() {
            self.ticker.start();
        }
        throttle
    }

    /// The tasks in groups that have a quota, and below them.
    fn limited_members(&self) -> Vec<Arc<dyn Member>> {
        let state = self.state.lock();
        let is_limited = |cgroup: &Arc<Cgroup>| {
            cgroup.with_ancestors().any(|level| level.bandwidth.limit().quota.is_some())
        };
        let groups = state.nodes.values().filter(|node| is_limited(&node.cgroup));
        let keys = groups.flat_map(|node| node.members.iter());
        keys.filter_map(|key| state.members.get(key)).map(|node| node.member.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
