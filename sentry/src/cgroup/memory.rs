//! What a group does that has no memory left, or more than it should: pages of host files are given up; if there are none, a
//! process must end, or its tasks are held up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::hierarchy::Hierarchy;
use super::member::Member;
use super::node::Cgroup;
use crate::memory::MemoryAccount;

/// Pages that are given up where one is needed.
const RECLAIMED_AT_ONCE: usize = 64;

/// Tasks, as control groups see them.
type Members = Vec<Arc<dyn Member>>;

impl Hierarchy {
    /// Makes room in the group whose limit keeps `payer` from paying: gives up pages of files, or kills the process whose end
    /// gains most, unless one is ending already. Returns whether it makes sense to try again after a while.
    pub fn relieve(&self, payer: &Arc<MemoryAccount>) -> bool {
        let Some(exhausted) = payer.exhausted() else { return true };
        if self.frames.reclaim_from(exhausted, RECLAIMED_AT_ONCE) > 0 {
            return true;
        }
        let Some((cgroup, members)) = self.members_paid_by(exhausted) else { return false };
        if members.iter().any(|member| member.is_dying()) {
            return true;
        }
        let has_victim = kill_largest(&cgroup, &members);
        exhausted.count_shortage(has_victim);
        for level in cgroup.with_ancestors() {
            level.memory_events.announce();
        }
        has_victim
    }

    /// Kills processes of `cgroup` until what is left, once they have ended, is within its limit.
    pub fn enforce_memory_limit(&self, cgroup: &Arc<Cgroup>) {
        let Some(account) = &cgroup.memory else { return };
        let Some(max_bytes) = account.max_bytes() else { return };
        let excess = || account.current_bytes().saturating_sub(max_bytes) >> crate::platform::PAGE_SHIFT;
        if excess() > 0 {
            self.frames.reclaim_from(account, usize::try_from(excess()).unwrap_or(usize::MAX));
        }
        let mut excess_pages = excess();
        while excess_pages > 0 {
            let Some((_, members)) = self.members_paid_by(account) else { return };
            let members: Vec<_> = members.into_iter().filter(|member| !member.is_dying()).collect();
            let Some((badness, _)) = worst(&members) else { return };
            account.count_shortage(kill_largest(cgroup, &members));
            cgroup.memory_events.announce();
            excess_pages = excess_pages.saturating_sub(badness.max(1));
        }
    }

    /// How long a task whose memory `payer` pays for is held up because a group around it has more than memory.high, after
    /// pages of files have been given up. The wait grows with the square of the excess, up to two seconds, as Linux's does:
    /// who grows slowly is hardly held up, and who does not stop nearly stands still.
    pub fn high_delay(&self, payer: &Arc<MemoryAccount>) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_secs(2);
        let account = payer.above_high()?;
        let excess = || account.current_bytes().saturating_sub(account.high_bytes().unwrap_or(u64::MAX));
        account.count_high();
        if let Some((cgroup, _)) = self.members_paid_by(account) {
            cgroup.with_ancestors().for_each(|level| level.memory_events.announce());
        }
        let excess_pages = excess() >> crate::platform::PAGE_SHIFT;
        self.frames.reclaim_from(account, usize::try_from(excess_pages).unwrap_or(usize::MAX));
        let over = excess() as f64 / account.high_bytes()?.max(1) as f64;
        Some(LONGEST.mul_f64((over * over / 2.0).min(1.0)))
    }

    /// Whether any group has a memory.high.
    pub fn limits_memory_softly(&self) -> bool {
        self.high_groups.load(Ordering::Relaxed) > 0
    }

    /// Sets memory.high.
    pub fn set_memory_high(&self, account: &MemoryAccount, high_bytes: Option<u64>) {
        let was_set = account.high_bytes().is_some();
        account.set_high_bytes(high_bytes);
        match (was_set, high_bytes.is_some()) {
            (false, true) => drop(self.high_groups.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.high_groups.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }

    /// The group whose account is `account`, and all that it pays for.
    fn members_paid_by(&self, account: &MemoryAccount) -> Option<(Arc<Cgroup>, Members)> {
        let state = self.state.lock();
        let is_payer =
            |cgroup: &&Arc<Cgroup>| cgroup.memory.as_ref().is_some_and(|memory| memory.is(account));
        let cgroup = state.nodes.values().map(|node| &node.cgroup).find(is_payer)?.clone();
        let keys = state.members_below(&cgroup);
        let members = keys.iter().filter_map(|key| state.members.get(key));
        Some((cgroup.clone(), members.map(|node| node.member.clone()).collect()))
    }
}

/// The process whose end gains most, and how much.
fn worst(members: &[Arc<dyn Member>]) -> Option<(u64, &Arc<dyn Member>)> {
    let rated = members.iter().filter_map(|member| Some((member.badness()?, member)));
    rated.max_by_key(|(badness, _)| *badness)
}

/// Kills the process whose end gains most, or all of them if the group is set so.
fn kill_largest(cgroup: &Cgroup, members: &[Arc<dyn Member>]) -> bool {
    let Some((_, victim)) = worst(members) else { return false };
    log::info!("{cgroup:?} has no memory left: a process is killed");
    if cgroup.kills_group() {
        members.iter().filter(|member| member.badness().is_some()).for_each(|member| member.kill());
    } else {
        victim.kill();
    }
    true
}
