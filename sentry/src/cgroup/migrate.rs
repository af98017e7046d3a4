//! Moving tasks from group to group.

use std::sync::Arc;

use super::CgroupKind;
use super::hierarchy::{Hierarchy, State};
use super::member::{Member, MemberKey};
use super::node::Cgroup;
use super::pids::PidsCharge;
use crate::Errno;

/// What is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// A whole process (cgroup.procs).
    Process(u64),
    /// One thread of it (cgroup.threads).
    Thread(MemberKey),
}

impl Hierarchy {
    /// Moves a process or a thread into `target`. Limits do not count here, as on Linux.
    ///
    /// # Errors
    /// ESRCH: it has exited. ENODEV: the group has been removed. EBUSY: the group passes controllers on. EOPNOTSUPP: the group
    /// is invalid, or a thread would leave the domain of its process.
    pub fn migrate(&self, moved: Moved, target: &Arc<Cgroup>) -> Result<(), Errno> {
        let _migration = self.migration.lock();
        let mut settled: Vec<Arc<dyn Member>> = Vec::new();
        let mut old_charges = Vec::new();
        {
            let mut state = self.state.lock();
            let keys = state.keys_of(moved)?;
            state.check_takes_processes(target)?;
            if let Moved::Thread(key) = moved {
                let source = state.cgroup_of(Some(key)).ok_or(Errno::ESRCH)?;
                if !Arc::ptr_eq(&state.domain_of(&source), &state.domain_of(target)) {
                    return Err(Errno::EOPNOTSUPP);
                }
            }
            for key in keys {
                let is_there = state.cgroup_of(Some(key)).is_some_and(|from| Arc::ptr_eq(&from, target));
                if is_there {
                    continue;
                }
                state.take_out(key);
                state.put(key, target);
                if let Some(node) = state.members.get_mut(&key) {
                    old_charges.push(std::mem::replace(&mut node.charge, PidsCharge::forced(target)));
                    settled.push(node.member.clone());
                }
            }
        }
        drop(old_charges);
        for member in settled {
            member.set_payer(target);
            // It may have to freeze, or to go on.
            member.interrupt();
        }
        Ok(())
    }

    /// Has the group of `key` pay for `member`'s memory, which is new.
    pub fn settle(&self, key: MemberKey, member: &dyn Member) {
        let _migration = self.migration.lock();
        member.set_payer(&self.cgroup_of(key));
    }

    /// The tasks in `cgroup`: of a threaded domain those below it too, as cgroup.procs lists them.
    ///
    /// # Errors
    /// EOPNOTSUPP for a threaded group: its processes are its domain's. ENODEV if it has been removed.
    pub fn processes(&self, cgroup: &Arc<Cgroup>) -> Result<Vec<MemberKey>, Errno> {
        let state = self.state.lock();
        if state.kind(cgroup)? == CgroupKind::Threaded {
            return Err(Errno::EOPNOTSUPP);
        }
        let in_domain = state.groups_below(cgroup).into_iter().filter(|node| {
            Arc::ptr_eq(&node.cgroup, cgroup) || node.is_threaded && state.is_domain_of(cgroup, &node.cgroup)
        });
        let mut keys: Vec<_> = in_domain.flat_map(|node| node.members.iter().copied()).collect();
        keys.sort_unstable();
        keys.dedup_by_key(|key| key.process);
        Ok(keys)
    }

    /// The tasks in `cgroup`, as cgroup.threads lists them.
    ///
    /// # Errors
    /// ENODEV if it has been removed.
    pub fn threads(&self, cgroup: &Cgroup) -> Result<Vec<MemberKey>, Errno> {
        Ok(self.state.lock().node(cgroup)?.members.iter().copied().collect())
    }
}

impl State {
    fn keys_of(&self, moved: Moved) -> Result<Vec<MemberKey>, Errno> {
        let range = match moved {
            Moved::Process(process) => MemberKey { process, task: 0 }..=MemberKey { process, task: u64::MAX },
            Moved::Thread(key) => key..=key,
        };
        let keys: Vec<_> = self.members.range(range).map(|(key, _)| *key).collect();
        if keys.is_empty() { Err(Errno::ESRCH) } else { Ok(keys) }
    }

    /// The group in which the processes are whose threads `cgroup` may hold.
    fn domain_of(&self, cgroup: &Arc<Cgroup>) -> Arc<Cgroup> {
        let is_domain = |level: &&Arc<Cgroup>| self.node(level).is_ok_and(|node| !node.is_threaded);
        cgroup.with_ancestors().find(is_domain).unwrap_or(cgroup).clone()
    }

    fn is_domain_of(&self, domain: &Arc<Cgroup>, cgroup: &Arc<Cgroup>) -> bool {
        Arc::ptr_eq(&self.domain_of(cgroup), domain)
    }
}
