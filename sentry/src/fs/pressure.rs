//! Pressure stall information (`Documentation/accounting/psi.rst`): /proc/pressure and the files of control groups.
//!
//! What the sandbox waits for, it waits for on the host, which tells its own: the figures stay at 0, and a trigger, checked as
//! Linux checks it, is never pulled.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Errno;
use crate::cred::{Capabilities, Credentials};
use crate::fs::{File, Metadata, Viewer};
use crate::wait::{Events, WaitQueue};

/// What a file tells.
pub(super) const FIGURES: &str =
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

/// The trigger of an open file, of which there is one at most.
#[derive(Default)]
pub(super) struct Trigger(AtomicBool);

impl Trigger {
    /// Takes what is written by whoever opened the file as `opener`: `some` or `full`, so many microseconds within so many.
    ///
    /// # Errors
    /// EINVAL: it is none, or none for the unprivileged. EBUSY: there is one.
    pub(super) fn set(&self, text: &[u8], opener: &Credentials) -> Result<(), Errno> {
        if text.is_empty() {
            return Err(Errno::EINVAL);
        }
        if self.0.load(Ordering::Relaxed) {
            return Err(Errno::EBUSY);
        }
        check(text, opener.effective.contains(Capabilities::SYS_RESOURCE))?;
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// What poll(2) tells of the file.
    pub(super) fn readiness(&self) -> Events {
        let always = Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM;
        if self.0.load(Ordering::Relaxed) { always } else { always | Events::ERR | Events::PRI }
    }
}

fn check(text: &[u8], is_privileged: bool) -> Result<(), Errno> {
    /// The longest window.
    const MAX_WINDOW_US: u32 = 10_000_000;
    /// What the windows of the unprivileged are multiples of.
    const COMMON_WINDOW_US: u32 = 2_000_000;
    // What Linux copies, with a NUL in the place of the last byte: programs write one there.
    let text = text.get(..text.len().min(32).saturating_sub(1)).unwrap_or_default();
    let text = text.split(|byte| [0, b'\n'].contains(byte)).next().unwrap_or_default();
    let mut words = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?.split_ascii_whitespace();
    if !matches!(words.next(), Some("some" | "full")) {
        return Err(Errno::EINVAL);
    }
    let mut number = || words.next().and_then(|word| word.parse::<u32>().ok()).ok_or(Errno::EINVAL);
    let (threshold, window) = (number()?, number()?);
    let is_window =
        (1..=MAX_WINDOW_US).contains(&window) && (is_privileged || window % COMMON_WINDOW_US == 0);
    if is_window && (1..=window).contains(&threshold) { Ok(()) } else { Err(Errno::EINVAL) }
}

/// An open file of /proc/pressure.
pub(super) struct PressureFile {
    metadata: Metadata,
    opener: Viewer,
    trigger: Trigger,
    queue: WaitQueue,
}

impl PressureFile {
    /// The file with this metadata, opened by `opener`.
    pub(super) fn new(metadata: Metadata, opener: &Viewer) -> Self {
        Self { metadata, opener: opener.clone(), trigger: Trigger::default(), queue: WaitQueue::default() }
    }
}

impl File for PressureFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = FIGURES.as_bytes().get(start..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        self.trigger.set(buffer, &self.opener.credentials)?;
        Ok(buffer.len())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn is_sequence(&self) -> bool {
        true
    }

    fn readiness(&self) -> Events {
        self.trigger.readiness()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn truncate(&self, _len_bytes: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.metadata)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_checked_as_linux_checks_it() {
        assert_eq!(check(b"some 150000 1000000\0", true), Ok(()));
        assert_eq!(check(b"full 1 10000000\n", true), Ok(()));
        assert_eq!(check(b"some 150000 1000000\n", false), Err(Errno::EINVAL));
        assert_eq!(check(b"some 150000 20000000", false), Ok(()));
        for wrong in
            ["some 0 1000000", "some 2 1", "some 1 10000001", "some 1", "none 1 1000000", "some x 1000000"]
        {
            assert_eq!(check(format!("{wrong}\n").as_bytes(), true), Err(Errno::EINVAL), "{wrong}");
        }
    }
}
