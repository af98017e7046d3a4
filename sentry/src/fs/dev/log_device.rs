//! /dev/kmsg: the kernel's log, a message a read and a write (`man 4 kmsg`).

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use super::kernel_log::{KernelLog, ReadRecord};
use crate::Errno;
use crate::fs::{File, Inode, Metadata, OpenFiles, OpenFlags, Splicing, Viewer};
use crate::time::MonotonicTime;
use crate::wait::{Events, WaitQueue};

/// The longest message (`PRINTKRB_RECORD_MAX`).
const MAX_MESSAGE_BYTES: u64 = 1024;
/// LOG_USER, and the level of what says none.
const DEFAULT_PRIORITY: u32 = 1 << 3 | 4;
/// A writer who is slowed down writes so many messages in so long (`DEFAULT_RATELIMIT_BURST` and `_INTERVAL`).
const BURST: u32 = 10;
const BURST_TIME: Duration = Duration::from_secs(5);

/// One open of the device.
pub(super) struct LogFile {
    log: Arc<KernelLog>,
    inode: Arc<dyn Inode>,
    /// The message that is read next.
    next: AtomicU64,
    /// What was written in the time that began then.
    burst: Mutex<Option<(MonotonicTime, u32)>>,
    files: Arc<OpenFiles>,
}

impl LogFile {
    /// The minor number, among the memory devices.
    pub(super) const MINOR: u32 = 11;

    /// Opens it for `viewer`.
    ///
    /// # Errors
    /// EPERM: nobody may write there, or the viewer may not read the log.
    pub(super) fn open(
        log: &Arc<KernelLog>,
        inode: &Arc<dyn Inode>,
        flags: OpenFlags,
        viewer: &Viewer,
    ) -> Result<Arc<dyn File>, Errno> {
        if log.writers_setting() == b"off" {
            return Err(Errno::EPERM);
        }
        if !flags.contains(OpenFlags::WRONLY) {
            log.check_may_read(&viewer.credentials)?;
        }
        let (first, ..) = log.numbers();
        Ok(Arc::new(Self {
            log: log.clone(),
            inode: inode.clone(),
            next: AtomicU64::new(first),
            burst: Mutex::default(),
            files: log.files().clone(),
        }))
    }

    /// Whether one more message is not too many.
    fn may_write(&self) -> bool {
        match &*self.log.writers_setting() {
            b"on" => return true,
            b"off" => return false,
            _ => {}
        }
        let now = self.files.now();
        let mut burst = self.burst.lock();
        let (begun, written) =
            burst.filter(|(begun, _)| now.saturating_duration_since(*begun) < BURST_TIME).unwrap_or((now, 0));
        *burst = Some((begun, written.saturating_add(1)));
        written < BURST
    }
}

impl File for LogFile {
    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        match self.log.read(self.next.load(Ordering::Relaxed)) {
            ReadRecord::Missing => Err(Errno::EAGAIN),
            ReadRecord::Lost(first) => {
                self.next.store(first, Ordering::Relaxed);
                Err(Errno::EPIPE)
            }
            ReadRecord::Found(number, text) => {
                self.next.store(number + 1, Ordering::Relaxed);
                buffer.get_mut(..text.len()).ok_or(Errno::EINVAL)?.copy_from_slice(&text);
                Ok(text.len())
            }
        }
    }

    fn check_write_len(&self, len_bytes: u64) -> Result<(), Errno> {
        if len_bytes > MAX_MESSAGE_BYTES { Err(Errno::EINVAL) } else { Ok(()) }
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        if self.may_write() {
            let (priority, text) = split_priority(buffer);
            self.log.add(priority, text);
        }
        Ok(buffer.len())
    }

    fn raises_broken_pipe(&self, _has_waited: bool) -> bool {
        false
    }

    fn seek(&self, offset: i64, whence: u32) -> Option<Result<u64, Errno>> {
        let (first, first_shown, next) = self.log.numbers();
        let target = match whence {
            _ if offset != 0 => return Some(Err(Errno::ESPIPE)),
            uapi::SEEK_SET => first,
            uapi::SEEK_DATA => first_shown,
            uapi::SEEK_END => next,
            _ => return Some(Err(Errno::EINVAL)),
        };
        self.next.store(target, Ordering::Relaxed);
        Some(Ok(0))
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn readiness(&self) -> Events {
        let (first, _, next) = self.log.numbers();
        match self.next.load(Ordering::Relaxed) {
            own if own < first => Events::IN | Events::RDNORM | Events::ERR | Events::PRI,
            own if own < next => Events::IN | Events::RDNORM,
            _ => Events::empty(),
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.log.arrivals())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The priority that `<N>` before a message gives it, and the message. The kernel's own facility is nobody else's.
fn split_priority(message: &[u8]) -> (u32, &[u8]) {
    const LEVEL: u32 = 7;
    const FACILITY: u32 = 0xff << 3;
    let parsed = message.strip_prefix(b"<").and_then(|rest| {
        let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let text = rest.get(end..)?.strip_prefix(b">")?;
        let digits = std::str::from_utf8(rest.get(..end)?).ok()?;
        Some((if digits.is_empty() { 0 } else { digits.parse::<u32>().unwrap_or(u32::MAX) }, text))
    });
    let Some((number, text)) = parsed else { return (DEFAULT_PRIORITY, message) };
    let facility = Some(number & FACILITY).filter(|facility| *facility != 0);
    (facility.unwrap_or(DEFAULT_PRIORITY & FACILITY) | number & LEVEL, text)
}
