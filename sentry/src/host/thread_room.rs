//! How many threads this process can have on its host.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

/// Memory mappings of the host that a thread takes: its stack, its signal stack, and a guard page before each.
const MAPPINGS_PER_THREAD: u64 = 4;
/// What is left of the host's mappings for all else: vCPUs, guest memory, the heap's arenas.
const MAPPINGS_RESERVE: u64 = 16;
/// Threads that do not run tasks.
const OTHER_THREADS: u64 = 64;

/// What bounds the threads of this process; `None` for what does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadRoom {
    /// `vm.max_map_count`: mappings of one process.
    pub mappings: Option<u64>,
    /// The lower of `kernel.threads-max` and `kernel.pid_max`: threads of the host.
    pub host_threads: Option<u64>,
    /// RLIMIT_NPROC: threads of this user.
    pub user_threads: Option<u64>,
    /// `pids.max` of the control group that this process is in, or of one around it.
    pub group_threads: Option<u64>,
}

impl ThreadRoom {
    /// What bounds this process now. What cannot be read does not bound it.
    pub fn of_this_process() -> Self {
        let setting = |path: &str| number_in(Path::new(path));
        let host_threads = [setting("/proc/sys/kernel/threads-max"), setting("/proc/sys/kernel/pid_max")];
        Self {
            mappings: setting("/proc/sys/vm/max_map_count"),
            host_threads: host_threads.into_iter().flatten().min(),
            user_threads: getrlimit(Resource::Nproc).current,
            group_threads: group_threads(Path::new("/sys/fs/cgroup")),
        }
    }

    /// How many threads may run tasks: past them the host would refuse, some of them in the midst of their beginning, where the
    /// standard library knows no way out but to end the process.
    pub fn task_threads(&self) -> usize {
        let by_mappings = self.mappings.map(|count| (count - count / MAPPINGS_RESERVE) / MAPPINGS_PER_THREAD);
        let bounds = [by_mappings, self.host_threads, self.user_threads, self.group_threads];
        let least = bounds.into_iter().flatten().min();
        let left = least.map_or(u64::MAX, |least| least.saturating_sub(OTHER_THREADS).max(1));
        usize::try_from(left).unwrap_or(usize::MAX)
    }
}

/// The number that is all of a file.
fn number_in(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The least `pids.max` from this process's control group up to `root`, where version 2 of the hierarchy is mounted.
fn group_threads(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let own = root.join(own);
    let within = own.ancestors().take_while(|group| group.starts_with(root));
    within.filter_map(|group| number_in(&group.join("pids.max"))).min()
}

#[cfg(test)]
mod tests;
