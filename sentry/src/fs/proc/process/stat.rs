//! /proc/PID/stat and statm.

use std::time::Duration;

use crate::Errno;
use crate::fs::Viewer;
use crate::fs::proc::About;
use crate::fs::proc::source::{Process, ProcessStatus};

/// `sysconf(_SC_CLK_TCK)`.
const TICKS_PER_SECOND: u128 = 100;
const PAGE_BYTES: u64 = 4096;

pub(super) fn ticks(time: Duration) -> u128 {
    time.as_nanos() * TICKS_PER_SECOND / 1_000_000_000
}

/// The 52 fields of stat. Addresses are shown to those who may look into the process.
pub(super) fn stat(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let process = about.process()?;
    let status = process.status();
    let mut text = format!("{} (", status.id).into_bytes();
    text.extend_from_slice(&status.name);
    text.extend_from_slice(format!(") {}", status.state).as_bytes());
    let started = ticks(about.source().clock_offsets(viewer).boottime.shown(status.start_time));
    for number in activity(&status, started).into_iter().chain(memory_and_signals(about, viewer, &status)?) {
        text.extend_from_slice(format!(" {number}").as_bytes());
    }
    text.push(b'\n');
    Ok(text)
}

/// The numbers from `ppid` to `starttime`, which the process has `started` at.
fn activity(status: &ProcessStatus, started: u128) -> [i128; 19] {
    let terminal = status.terminal.map_or(0, |device| device.as_u64());
    let times = [status.user_time[0], status.system_time[0], status.user_time[1], status.system_time[1]];
    let [user, system, children_user, children_system] = times.map(ticks);
    [
        i128::from(status.parent_id),
        i128::from(status.process_group_id),
        i128::from(status.session_id),
        i128::from(terminal),
        i128::from(status.terminal_foreground),
        0x0040_0000, // PF_RANDOMIZE
        i128::from(status.minor_faults[0]),
        i128::from(status.minor_faults[1]),
        i128::from(status.major_faults[0]),
        i128::from(status.major_faults[1]),
        user as i128,
        system as i128,
        children_user as i128,
        children_system as i128,
        i128::from(status.priority()),
        i128::from(status.niceness),
        status.threads as i128,
        0,
        started as i128,
    ]
}

/// The numbers from `vsize` to `exit_code`.
fn memory_and_signals(about: &About, viewer: &Viewer, status: &ProcessStatus) -> Result<[i128; 30], Errno> {
    let process = about.process()?;
    let memory = process.memory().unwrap_or_default();
    let may_inspect = about.inspect(viewer).is_ok();
    let address = |address: u64| if may_inspect { address } else { 0 };
    let own_thread = about.thread_id.is_some();
    Ok([
        i128::from(memory.total_bytes),
        i128::from(memory.resident_bytes() / PAGE_BYTES),
        i128::from(process.limits()[RLIMIT_RSS].0),
        i128::from(address(memory.code[0])),
        i128::from(address(memory.code[1])),
        i128::from(address(memory.stack_start)),
        0,
        0,
        // The signal sets of this interface hold the first 31 signals only.
        i128::from(status.pending & 0x7fff_ffff),
        i128::from(status.blocked & 0x7fff_ffff),
        i128::from(status.ignored & 0x7fff_ffff),
        i128::from(status.caught & 0x7fff_ffff),
        i128::from(status.state == 'S'),
        0,
        0,
        if own_thread && status.id != status.process_id { -1 } else { i128::from(status.exit_signal) },
        status.processor as i128,
        i128::from(status.real_time_priority),
        i128::from(status.policy),
        0,
        0,
        0,
        i128::from(address(memory.data[0])),
        i128::from(address(memory.data[1])),
        i128::from(address(memory.break_start)),
        i128::from(address(memory.arguments[0])),
        i128::from(address(memory.arguments[1])),
        i128::from(address(memory.environment[0])),
        i128::from(address(memory.environment[1])),
        if may_inspect { i128::from(status.exit_code) } else { 0 },
    ])
}

/// The place of RLIMIT_RSS among the limits.
const RLIMIT_RSS: usize = linux_raw_sys::general::RLIMIT_RSS as usize;

/// The seven fields of statm, in pages.
pub(super) fn statm(process: &dyn Process) -> Vec<u8> {
    let memory = process.memory().unwrap_or_default();
    let pages = |len_bytes: u64| len_bytes / PAGE_BYTES;
    format!(
        "{} {} {} {} 0 {} 0\n",
        pages(memory.total_bytes),
        pages(memory.resident_bytes()),
        pages(memory.resident_file_bytes + memory.resident_shared_bytes),
        pages(memory.code_bytes),
        pages(memory.data_bytes + memory.stack_bytes),
    )
    .into_bytes()
}
