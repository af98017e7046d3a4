//! How large the buffers of sockets are, which all network namespaces of a kernel have in common (`man 7 socket`).

use std::sync::atomic::{AtomicU32, Ordering};

use super::SettingDirectory;

/// What a buffer holds in a new kernel, and the most that it is told to (SK_WMEM_MAX, SK_RMEM_MAX).
const BUFFER_BYTES: u32 = 212_992;

/// The settings of buffers in /proc/sys/net/core, in bytes.
#[derive(Debug)]
pub struct BufferSettings {
    default_receive: AtomicU32,
    max_receive: AtomicU32,
    default_send: AtomicU32,
    max_send: AtomicU32,
}

impl Default for BufferSettings {
    fn default() -> Self {
        let usual = || AtomicU32::new(BUFFER_BYTES);
        Self { default_receive: usual(), max_receive: usual(), default_send: usual(), max_send: usual() }
    }
}

impl BufferSettings {
    /// What a new socket's receive buffer holds (`rmem_default`).
    pub fn default_receive_bytes(&self) -> u32 {
        self.default_receive.load(Ordering::Relaxed)
    }

    /// The most that SO_RCVBUF asks for (`rmem_max`).
    pub fn max_receive_bytes(&self) -> u32 {
        self.max_receive.load(Ordering::Relaxed)
    }

    /// What a new socket's send buffer holds (`wmem_default`).
    pub fn default_send_bytes(&self) -> u32 {
        self.default_send.load(Ordering::Relaxed)
    }

    /// The most that SO_SNDBUF asks for (`wmem_max`).
    pub fn max_send_bytes(&self) -> u32 {
        self.max_send.load(Ordering::Relaxed)
    }

    /// One of them by its name; nothing if it is none of them.
    pub(super) fn get(&self, directory: SettingDirectory, name: &str) -> Option<i64> {
        Some(self.place(directory, name)?.load(Ordering::Relaxed).into())
    }

    /// Sets one of them, if it is one.
    pub(super) fn set(&self, directory: SettingDirectory, name: &str, number: i64) -> bool {
        let place = self.place(directory, name);
        place
            .zip(u32::try_from(number).ok())
            .map(|(place, bytes)| place.store(bytes, Ordering::Relaxed))
            .is_some()
    }

    fn place(&self, directory: SettingDirectory, name: &str) -> Option<&AtomicU32> {
        match name {
            _ if directory != SettingDirectory::Core => None,
            "rmem_default" => Some(&self.default_receive),
            "rmem_max" => Some(&self.max_receive),
            "wmem_default" => Some(&self.default_send),
            "wmem_max" => Some(&self.max_send),
            _ => None,
        }
    }
}
