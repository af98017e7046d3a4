//! The pids controller: how many tasks a group and those below it may have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::node::Cgroup;
use crate::Errno;
use crate::wait::News;

/// The count of one group; `u64::MAX` is no limit.
pub struct PidsCounter {
    current: AtomicU64,
    peak: AtomicU64,
    max: AtomicU64,
    /// Refusals by this group's limit.
    own_refusals: AtomicU64,
    /// Refusals by this group's limit or one below it.
    refusals: AtomicU64,
    /// Changes of `pids.events`.
    pub(super) events: News,
}

impl Default for PidsCounter {
    fn default() -> Self {
        Self {
            current: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            max: AtomicU64::new(u64::MAX),
            own_refusals: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            events: News::default(),
        }
    }
}

impl PidsCounter {
    /// Tasks of the group and those below it, zombies included.
    pub fn current(&self) -> u64 {
        self.current.load(Ordering::Acquire)
    }

    /// The most there ever were.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// The limit; `None` if there is none.
    pub fn max(&self) -> Option<u64> {
        let max = self.max.load(Ordering::Relaxed);
        (max != u64::MAX).then_some(max)
    }

    /// Sets the limit. What is there already stays.
    pub fn set_max(&self, max: Option<u64>) {
        self.max.store(max.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Refusals by the limit of this group or of one below it, and by this group's alone.
    pub fn refusals(&self) -> (u64, u64) {
        (self.refusals.load(Ordering::Relaxed), self.own_refusals.load(Ordering::Relaxed))
    }

    /// Changes of `pids.events`.
    pub fn events(&self) -> &News {
        &self.events
    }

    fn charge(&self, limit: u64) -> bool {
        let charged = self
            .current
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < limit).then_some(count + 1));
        if let Ok(before) = charged {
            self.peak.fetch_max(before + 1, Ordering::Relaxed);
        }
        charged.is_ok()
    }
}

/// One task, charged to a group and all above it; dropping it takes the charge back at every level.
#[derive(Debug)]
pub struct PidsCharge(Arc<Cgroup>);

impl PidsCharge {
    /// Charges a task that is about to be made.
    ///
    /// # Errors
    /// EAGAIN: the limit of `cgroup` or of one above it is reached. Nothing stays charged then, and the refusal is counted.
    pub(super) fn new(cgroup: &Arc<Cgroup>) -> Result<Self, Errno> {
        for level in cgroup.with_ancestors() {
            if level.pids.charge(level.pids.max.load(Ordering::Relaxed)) {
                continue;
            }
            uncharge(cgroup.with_ancestors().take_while(|below| !Arc::ptr_eq(below, level)));
            level.pids.own_refusals.fetch_add(1, Ordering::Relaxed);
            for affected in level.with_ancestors() {
                affected.pids.refusals.fetch_add(1, Ordering::Relaxed);
                affected.pids.events.announce();
            }
            return Err(Errno::EAGAIN);
        }
        Ok(Self(cgroup.clone()))
    }

    /// Charges a task whatever the limits say: one that moves, or that nobody inside has made.
    pub(super) fn forced(cgroup: &Arc<Cgroup>) -> Self {
        for level in cgroup.with_ancestors() {
            level.pids.charge(u64::MAX);
        }
        Self(cgroup.clone())
    }

    /// The group that is charged.
    pub fn cgroup(&self) -> &Arc<Cgroup> {
        &self.0
    }
}

impl Drop for PidsCharge {
    fn drop(&mut self) {
        uncharge(self.0.with_ancestors());
    }
}

fn uncharge<'a>(levels: impl Iterator<Item = &'a Arc<Cgroup>>) {
    for level in levels {
        level.pids.current.fetch_sub(1, Ordering::AcqRel);
    }
}
