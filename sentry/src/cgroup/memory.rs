//! What a group does that has no memory left, or more than it should: pages of host files are given up; if there are none, a
//! process must end, or its tasks are held up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::hierarchy::Hierarchy;
use super::member::{Member, MemberKey};
use super::node::Cgroup;
use crate::Errno;
use crate::memory::{FrameUse, MemoryAccount};
use crate::platform::PAGE_SHIFT;

/// Pages that are given up where one is needed.
const RECLAIMED_AT_ONCE: usize = 64;

/// A task, as a shortage looks at it.
struct Candidate {
    key: MemberKey,
    cgroup: Arc<Cgroup>,
    member: Arc<dyn Member>,
}

/// What has been done about a shortage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relief {
    /// There is room now.
    Room,
    /// A process is ending, which will make room.
    Awaited,
    /// Nobody may be killed.
    Impossible,
}

impl Hierarchy {
    /// Makes room where the limit of a group, or else all of memory, keeps `payer` from paying for `pages`: gives up pages of files if
    /// `may_reclaim`, or kills the process whose end gains most, unless one is ending already.
    pub fn relieve(&self, payer: Option<&Arc<MemoryAccount>>, pages: u64, may_reclaim: bool) -> Relief {
        let exhausted = payer.and_then(|payer| payer.exhausted(pages));
        let at_once = usize::try_from(pages).unwrap_or(usize::MAX).max(RECLAIMED_AT_ONCE);
        let has_room = exhausted.is_none() && self.frames.statistics().free_bytes > 0;
        if may_reclaim && (has_room || self.frames.relieve(payer, FrameUse::Anonymous, at_once) > 0) {
            return Relief::Room;
        }
        let found = match exhausted {
            Some(account) => self.candidates_paid_by(account),
            None => Some((self.root().clone(), self.candidates_in(self.root()))),
        };
        let Some((domain, candidates)) = found else { return Relief::Impossible };
        if candidates.iter().any(|candidate| candidate.member.is_dying()) {
            return Relief::Awaited;
        }
        if let Some(account) = exhausted {
            account.count_shortage();
        }
        let killed = self.kill_largest(&domain, &candidates);
        domain.with_ancestors().for_each(|level| level.memory_events.announce());
        if killed.is_some() { Relief::Awaited } else { Relief::Impossible }
    }

    /// Kills processes of `cgroup` until what is left, once they have ended, is within its limit.
    pub fn enforce_memory_limit(&self, cgroup: &Arc<Cgroup>) {
        let Some(account) = &cgroup.memory else { return };
        let Some(max_bytes) = account.max_bytes() else { return };
        let excess = || account.current_bytes().saturating_sub(max_bytes) >> PAGE_SHIFT;
        if excess() > 0 {
            self.frames.reclaim_from(account, usize::try_from(excess()).unwrap_or(usize::MAX));
        }
        let mut excess_pages = excess();
        while excess_pages > 0 {
            let mut candidates = self.candidates_in(cgroup);
            candidates.retain(|candidate| !candidate.member.is_dying());
            account.count_shortage();
            let killed = self.kill_largest(cgroup, &candidates);
            cgroup.memory_events.announce();
            let Some(badness) = killed else { return };
            excess_pages = excess_pages.saturating_sub(u64::try_from(badness).unwrap_or(0).max(1));
        }
    }

    /// Kills the process whose end gains most of what `domain` has, and with it the outermost group around it within
    /// `domain` that memory.oom.group keeps together. Returns what is gained, if anybody may be killed.
    fn kill_largest(&self, domain: &Arc<Cgroup>, candidates: &[Candidate]) -> Option<i64> {
        let all_pages = self.frames.statistics().total_bytes >> PAGE_SHIFT;
        let limit_pages = domain.memory.as_ref().and_then(|account| account.max_bytes());
        let total_pages = limit_pages.map_or(all_pages, |bytes| all_pages.min(bytes >> PAGE_SHIFT));
        let rate = |candidate: &Candidate| candidate.member.badness(total_pages);
        let rated = candidates.iter().filter_map(|candidate| Some((rate(candidate)?, candidate)));
        let (badness, victim) = rated.max_by_key(|(badness, _)| *badness)?;
        log::warn!("{domain:?} has no memory left: process {} is killed", victim.key.process);
        victim.kill();
        let levels = victim.cgroup.with_ancestors().take_while(|level| level.is_within(domain));
        let group = levels.filter(|level| !level.is_root() && level.kills_group()).last();
        if let Some(group) = group {
            if let Some(account) = &group.memory {
                account.count_group_kill();
            }
            let mut last = victim.key.process;
            for candidate in candidates.iter().filter(|candidate| candidate.cgroup.is_within(group)) {
                let is_next = candidate.key.process != last && candidate.key.process != victim.key.process;
                if is_next && rate(candidate).is_some() {
                    last = candidate.key.process;
                    candidate.kill();
                }
            }
        }
        victim.cgroup.with_ancestors().for_each(|level| level.memory_events.announce());
        Some(badness)
    }

    /// How long a task whose memory `payer` pays for is held up because a group around it has more than memory.high, after
    /// pages of files have been given up. The wait grows with the square of the excess, up to two seconds, as Linux's does:
    /// who grows slowly is hardly held up, and who does not stop nearly stands still.
    pub fn high_delay(&self, payer: &Arc<MemoryAccount>) -> Option<Duration> {
        const LONGEST: Duration = Duration::from_secs(2);
        let account = payer.above_high()?;
        let excess = || account.current_bytes().saturating_sub(account.high_bytes().unwrap_or(u64::MAX));
        account.count_high();
        if let Some((cgroup, _)) = self.candidates_paid_by(account) {
            cgroup.with_ancestors().for_each(|level| level.memory_events.announce());
        }
        let excess_pages = excess() >> PAGE_SHIFT;
        self.frames.reclaim_from(account, usize::try_from(excess_pages).unwrap_or(usize::MAX));
        let over = excess() as f64 / account.high_bytes()?.max(1) as f64;
        Some(LONGEST.mul_f64((over * over / 2.0).min(1.0)))
    }

    /// Gives up pages of files that `account` pays for, so many bytes of them (memory.reclaim).
    ///
    /// # Errors
    /// EAGAIN: there are not so many.
    pub fn reclaim_memory(&self, account: &MemoryAccount, len_bytes: u64) -> Result<(), Errno> {
        let wanted = usize::try_from(len_bytes >> PAGE_SHIFT).unwrap_or(usize::MAX);
        if self.frames.reclaim_from(account, wanted) < wanted { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    /// Whether any group has a memory.high.
    pub fn limits_memory_softly(&self) -> bool {
        self.high_groups.load(Ordering::Relaxed) > 0
    }

    /// Sets memory.high, in bytes; `None` is `max`.
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
    fn candidates_paid_by(&self, account: &MemoryAccount) -> Option<(Arc<Cgroup>, Vec<Candidate>)> {
        let is_payer =
            |cgroup: &&Arc<Cgroup>| cgroup.memory.as_ref().is_some_and(|memory| memory.is(account));
        let cgroup = self.state.lock().nodes.values().map(|node| &node.cgroup).find(is_payer)?.clone();
        let candidates = self.candidates_in(&cgroup);
        Some((cgroup, candidates))
    }

    /// The tasks of `cgroup` and of those below it, those of a process beside each other.
    fn candidates_in(&self, cgroup: &Arc<Cgroup>) -> Vec<Candidate> {
        let state = self.state.lock();
        let mut keys = state.members_below(cgroup);
        keys.sort_unstable();
        let candidate = |key: MemberKey| {
            let node = state.members.get(&key)?;
            let cgroup = state.nodes.get(&node.cgroup)?.cgroup.clone();
            Some(Candidate { key, cgroup, member: node.member.clone() })
        };
        keys.into_iter().filter_map(candidate).collect()
    }
}

impl Candidate {
    fn kill(&self) {
        if let Some(account) = &self.cgroup.memory {
            account.count_kill();
        }
        self.member.kill();
    }
}
