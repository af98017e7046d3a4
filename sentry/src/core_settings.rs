//! The settings of core dumps: kernel.core_pattern and its like.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use parking_lot::Mutex;

/// The longest pattern (`CORENAME_MAX_SIZE`), without its NUL.
const MAX_PATTERN_BYTES: usize = 127;

/// How core dumps are made, as /proc/sys/kernel and /proc/sys/fs have it.
pub struct CoreSettings {
    pattern: Mutex<Vec<u8>>,
    uses_pid: AtomicBool,
    pipe_limit: AtomicU32,
    suid_dumpable: AtomicU8,
    /// Dumps that go to a handler now.
    piped_dumps: AtomicU32,
}

/// A dump that goes to a handler, for as long as it lives.
pub struct PipedDump(Arc<CoreSettings>);

impl Drop for PipedDump {
    fn drop(&mut self) {
        self.0.piped_dumps.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for CoreSettings {
    fn default() -> Self {
        Self {
            pattern: Mutex::new(b"core".to_vec()),
            uses_pid: AtomicBool::new(false),
            pipe_limit: AtomicU32::new(0),
            suid_dumpable: AtomicU8::new(0),
            piped_dumps: AtomicU32::new(0),
        }
    }
}

impl CoreSettings {
    /// kernel.core_pattern.
    pub fn pattern(&self) -> Vec<u8> {
        self.pattern.lock().clone()
    }

    /// Sets kernel.core_pattern: up to a newline or NUL, and as much as fits.
    pub fn set_pattern(&self, text: &[u8]) {
        let end = text.iter().position(|byte| [b'\n', 0].contains(byte)).unwrap_or(text.len());
        let end = end.min(MAX_PATTERN_BYTES);
        *self.pattern.lock() = text.get(..end).unwrap_or_default().to_vec();
    }

    /// kernel.core_uses_pid.
    pub fn uses_pid(&self) -> bool {
        self.uses_pid.load(Ordering::Relaxed)
    }

    /// Sets kernel.core_uses_pid.
    pub fn set_uses_pid(&self, uses_pid: bool) {
        self.uses_pid.store(uses_pid, Ordering::Relaxed);
    }

    /// kernel.core_pipe_limit.
    pub fn pipe_limit(&self) -> u32 {
        self.pipe_limit.load(Ordering::Relaxed)
    }

    /// Sets kernel.core_pipe_limit.
    pub fn set_pipe_limit(&self, limit: u32) {
        self.pipe_limit.store(limit, Ordering::Relaxed);
    }

    /// Counts a dump that goes to a handler; `None` if there are as many as kernel.core_pipe_limit allows.
    pub fn begin_piped_dump(self: &Arc<Self>) -> Option<PipedDump> {
        let others = self.piped_dumps.fetch_add(1, Ordering::Relaxed);
        let dump = PipedDump(self.clone());
        let limit = self.pipe_limit();
        (limit == 0 || others < limit).then_some(dump)
    }

    /// fs.suid_dumpable, 0 to 2.
    pub fn suid_dumpable(&self) -> u8 {
        self.suid_dumpable.load(Ordering::Relaxed)
    }

    /// Sets fs.suid_dumpable.
    pub fn set_suid_dumpable(&self, level: u8) {
        self.suid_dumpable.store(level, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
