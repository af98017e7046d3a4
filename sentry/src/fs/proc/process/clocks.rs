//! /proc/PID/timens_offsets (`man 7 time_namespaces`): the clocks of the children to come; and timerslack_ns.

use std::num::IntErrorKind;
use std::sync::Arc;

use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::Viewer;
use crate::fs::proc::About;
use crate::fs::proc::source::Process;

pub(super) fn offsets(about: &About, _viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    // A zombie has none any more.
    let offsets = about.process()?.clock_offsets();
    Ok(offsets.map_or_else(Vec::new, |offsets| offsets.to_text().into_bytes()))
}

pub(super) fn set_offsets(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let process = about.process()?;
    let offsets = process.clock_offsets().ok_or(Errno::ESRCH)?;
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    process.set_clock_offsets(viewer, offsets.parse_changes(text)?)
}

pub(super) fn timer_slack(about: &About, viewer: &Viewer) -> Result<Vec<u8>, Errno> {
    let slack_ns = process_of_own_pace(about, viewer)?.timer_slack_ns();
    Ok(format!("{slack_ns}\n").into_bytes())
}

pub(super) fn set_timer_slack(about: &About, viewer: &Viewer, text: &[u8]) -> Result<(), Errno> {
    let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    let slack_ns = text.strip_suffix('\n').unwrap_or(text).parse().map_err(
        |error: std::num::ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => Errno::ERANGE,
            _ => Errno::EINVAL,
        },
    )?;
    process_of_own_pace(about, viewer)?.set_timer_slack_ns(slack_ns);
    Ok(())
}

/// The process, if `viewer` may see and set when its timers fire: each thread its own, and others with CAP_SYS_NICE.
fn process_of_own_pace(about: &About, viewer: &Viewer) -> Result<Arc<dyn Process>, Errno> {
    let process = about.process()?;
    let own_thread = about.source().viewer_ids(viewer).map(|(_, thread_id)| thread_id);
    let is_own = own_thread == Some(process.status().id);
    if is_own || viewer.credentials.has_in(&process.user_namespace(), Capabilities::SYS_NICE) {
        Ok(process)
    } else {
        Err(Errno::EPERM)
    }
}
