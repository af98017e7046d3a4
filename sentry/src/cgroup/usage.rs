//! Processor time of groups (cpu.stat): that of the tasks which are there, since they came, and of those which were.

use super::hierarchy::Hierarchy;
use super::member::CpuUsage;
use super::node::Cgroup;

impl CpuUsage {
    pub(super) fn add(&mut self, other: Self) {
        self.user += other.user;
        self.system += other.system;
    }

    /// What has been used since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }
}

impl Hierarchy {
    /// Processor time that tasks have used in `cgroup` and below it.
    pub fn cpu_usage(&self, cgroup: &Cgroup) -> CpuUsage {
        let state = self.state.lock();
        let mut total = CpuUsage::default();
        for node in state.groups_below(cgroup) {
            total.add(node.past_usage);
            for member in node.members.iter().filter_map(|key| state.members.get(key)) {
                total.add(member.member.cpu_usage().since(member.usage_before));
            }
        }
        total
    }
}
