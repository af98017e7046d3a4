//! /proc/PID/timers: what timer_create(2) has made (`man 5 proc_pid_timers`).

use std::fmt::Write;

use linux_raw_sys::general as uapi;

use crate::Errno;
use crate::fs::Viewer;
use crate::fs::proc::About;

pub(super) fn timers(about: &About, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let process = about.process()?;
    let mut text = String::new();
    for (id, timer) in process.posix_timers() {
        let how = match timer.notify & !uapi::SIGEV_THREAD_ID {
            uapi::SIGEV_NONE => "none",
            uapi::SIGEV_THREAD => "thread",
            _ => "signal",
        };
        let whom = if timer.notify & uapi::SIGEV_THREAD_ID != 0 { "tid" } else { "pid" };
        let value = timer.value.unwrap_or(u64::from(id.cast_unsigned()));
        let (signal, clock) = (timer.signal, timer.clock);
        let target = if timer.thread_id != 0 { timer.thread_id } else { process.status().process_id };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "ID: {id}\nsignal: {signal}/{value:016x}\nnotify: {how}/{whom}.{target}\nClockID: {clock}"
        );
    }
    Ok(text.into_bytes())
}
