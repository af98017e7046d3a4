//! Which sandboxes there are: by the sockets that they listen at.

use rustix::process::Pid;

use super::message::About;
use super::target::{PROCESS_PREFIX, Target};

/// Every unix socket of the network namespace, a line each (`man 5 proc_pid_net`).
const SOCKETS: &str = "/proc/net/unix";

/// The sandboxes that run and answer the caller, those that were started first before the others.
///
/// # Errors
/// The host does not tell of its sockets.
pub fn running() -> anyhow::Result<Vec<About>> {
    let table = String::from_utf8_lossy(&std::fs::read(SOCKETS)?).into_owned();
    // Others' do not answer, and one that has just ended has nothing to say.
    let mut found: Vec<About> =
        processes(&table).into_iter().filter_map(|pid| super::about(&Target::Process(pid)).ok()).collect();
    found.sort_by_key(|about| (about.started_at, about.pid));
    Ok(found)
}

/// The processes that the table's listening sockets are named after.
fn processes(table: &str) -> Vec<Pid> {
    let mut pids: Vec<i32> = table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(7)?.strip_prefix('@')?.strip_prefix(PROCESS_PREFIX))
        .filter_map(|pid| pid.parse().ok())
        .collect();
    pids.sort_unstable();
    // A connection has the name of the socket that accepted it.
    pids.dedup();
    pids.into_iter().filter_map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests;
