//! /proc/PID/timens_offsets (`man 7 time_namespaces`): the clocks of the children to come.

use crate::Errno;
use crate::fs::Viewer;
use crate::fs::proc::About;

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
