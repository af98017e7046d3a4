//! What a group does that has no memory left: nothing is kept that could be given up, so a process must end.

use std::sync::Arc;

use super::hierarchy::Hierarchy;
use super::member::Member;
use super::node::Cgroup;
use crate::memory::MemoryAccount;

/// Tasks, as control groups see them.
type Members = Vec<Arc<dyn Member>>;

impl Hierarchy {
    /// Makes room in the group whose limit keeps `payer` from paying: kills the process whose end gains most, unless one
    /// is ending already. Returns whether it makes sense to try again after a while.
    pub fn relieve(&self, payer: &Arc<MemoryAccount>) -> bool {
        let Some(exhausted) = payer.exhausted() else { return true };
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
        let mut excess_pages =
            account.current_bytes().saturating_sub(max_bytes) >> crate::platform::PAGE_SHIFT;
        while excess_pages > 0 {
            let Some((_, members)) = self.members_paid_by(account) else { return };
            let members: Vec<_> = members.into_iter().filter(|member| !member.is_dying()).collect();
            let Some((badness, _)) = worst(&members) else { return };
            account.count_shortage(kill_largest(cgroup, &members));
            cgroup.memory_events.announce();
            excess_pages = excess_pages.saturating_sub(badness.max(1));
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
