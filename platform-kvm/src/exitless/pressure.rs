//! Whether others wait for the host's processors: its pressure stall information (Linux's `accounting/psi.rst`).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often the host is asked.
const LOOKS_APART: Duration = Duration::from_millis(10);
/// The host is busy if somebody waited for a processor for so much of the time, in percent. Even two threads that have one
/// each wait now and then for what interrupts them.
const BUSY_PERCENT: u32 = 30;

/// The host's pressure.
#[derive(Debug)]
pub(crate) struct Pressure {
    /// Stays open: there is no /proc where the calls are served. `None` where the host does not tell.
    file: Option<File>,
    last: Mutex<Look>,
    is_busy: AtomicBool,
}

#[derive(Debug)]
struct Look {
    at: Instant,
    /// For how long somebody had waited, of all time.
    waited: Duration,
}

impl Pressure {
    /// Begins to look.
    pub(crate) fn new() -> Self {
        let file = File::open("/proc/pressure/cpu").ok();
        let waited = file.as_ref().and_then(read).unwrap_or_default();
        let last = Mutex::new(Look { at: Instant::now(), waited });
        Self { file, last, is_busy: AtomicBool::new(false) }
    }

    /// Whether others have waited for processors lately.
    pub(crate) fn is_busy(&self) -> bool {
        if let Some(file) = &self.file
            && let Some(mut last) = self.last.try_lock()
        {
            let at = Instant::now();
            if at - last.at >= LOOKS_APART
                && let Some(waited) = read(file)
            {
                let is_busy = is_much(waited.saturating_sub(last.waited), at - last.at);
                self.is_busy.store(is_busy, Ordering::Relaxed);
                *last = Look { at, waited };
            }
        }
        self.is_busy.load(Ordering::Relaxed)
    }
}

fn is_much(waited: Duration, of: Duration) -> bool {
    waited * 100 > of * BUSY_PERCENT
}

fn read(file: &File) -> Option<Duration> {
    let mut text = [0; 256];
    let len = file.read_at(&mut text, 0).ok()?;
    waited(std::str::from_utf8(&text[..len]).ok()?)
}

/// For how long some thread has waited, by what the file says.
fn waited(text: &str) -> Option<Duration> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    let total = some.split_whitespace().find_map(|word| word.strip_prefix("total="))?;
    total.parse().map(Duration::from_micros).ok()
}

#[cfg(test)]
mod tests;
