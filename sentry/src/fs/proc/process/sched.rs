//! /proc/PID/sched and schedstat: what the scheduler knows of a thread (Documentation/scheduler/sched-stats.rst).

use std::fmt::Write;
use std::time::Duration;

use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::Viewer;
use crate::fs::proc::About;
use crate::fs::proc::source::Process;

/// Under its name: milliseconds with six digits after the point, as the kernel shows nanoseconds.
fn milliseconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_millis(), time.subsec_nanos() % 1_000_000)
}

/// How much the scheduler gives a thread of niceness 0, and a step more or less (Linux's `sched_prio_to_weight`, about 1.25 a
/// step), scaled by 1024.
fn load_weight(niceness: i32) -> u64 {
    (1024.0 * 1.25f64.powi(-niceness) * 1024.0) as u64
}

pub(super) fn sched(process: &dyn Process) -> Result<Vec<u8>, Errno> {
    let status = process.status();
    let ran = status.user_time[0] + status.system_time[0];
    let [voluntary, involuntary] = status.context_switches;
    let title =
        format!("{} ({}, #threads: {})", String::from_utf8_lossy(&status.name), status.id, status.threads);
    let mut text = format!("{title}\n{}\n", "-".repeat(67));
    for (name, value) in [
        ("se.exec_start", milliseconds(status.start_time + ran)),
        ("se.vruntime", milliseconds(ran)),
        ("se.sum_exec_runtime", milliseconds(ran)),
        ("se.nr_migrations", "0".to_string()),
        ("nr_switches", (voluntary + involuntary).to_string()),
        ("nr_voluntary_switches", voluntary.to_string()),
        ("nr_involuntary_switches", involuntary.to_string()),
        ("se.load.weight", load_weight(status.niceness).to_string()),
        ("policy", status.policy.to_string()),
        ("prio", status.priority().saturating_add(100).to_string()),
        ("clock-delta", "0".to_string()),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name:<45}:{value:>21}");
    }
    Ok(text.into_bytes())
}

/// Time on a CPU, time that it waited for one, and how often it was given one.
pub(super) fn schedstat(process: &dyn Process) -> Result<Vec<u8>, Errno> {
    let status = process.status();
    let ran = status.user_time[0] + status.system_time[0];
    let turns = status.context_switches.iter().sum::<u64>() + 1;
    Ok(format!("{} 0 {turns}\n", ran.as_nanos()).into_bytes())
}

/// The session as the scheduler's group (`man 7 sched`, "The autogroup feature").
pub(super) fn autogroup(about: &About, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let autogroup = about.process()?.autogroup();
    Ok(autogroup
        .map_or_else(Vec::new, |(id, niceness)| format!("/autogroup-{id} nice {niceness}\n").into_bytes()))
}

/// Takes a niceness for the session.
pub(super) fn set_autogroup(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    let niceness: i32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
    if !(-20..=19).contains(&niceness) {
        return Err(Errno::EINVAL);
    }
    let own =
        about.source().viewer_ids(viewer).and_then(|(process_id, _)| about.source().process(process_id));
    let floor = own.map_or(0, |own| own.lowest_niceness());
    if niceness < 0 && niceness < floor && !viewer.credentials.has(Capabilities::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    about.process()?.set_autogroup_niceness(niceness);
    Ok(())
}
