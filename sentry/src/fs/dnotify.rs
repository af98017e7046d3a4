//! Signals when something happens in a directory (`man 2 fcntl`, F_NOTIFY).

use std::sync::{Arc, OnceLock, Weak};

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use super::async_io::AsyncSignals;
use super::inotify::WatchMask;
use super::{Fd, FileDescription};
use crate::Errno;
use crate::heap::HeapCharge;

/// What a notice takes, with its place on its directory.
const NOTICE_BYTES: usize = 128;
/// Beside the bits of [`WatchMask`], in which no event has this one: an entry gets another name.
const RENAME: u32 = 1 << 28;

/// What somebody wants to hear of a directory, and how.
struct Notice {
    description: Weak<FileDescription>,
    fd: Fd,
    /// Bits of [`WatchMask`], and [`RENAME`].
    mask: u32,
    is_lasting: bool,
    signals: Arc<AsyncSignals>,
    _heap_charge: HeapCharge,
}

/// Who wants to hear of one directory. Most have nobody, and cost a pointer.
#[derive(Default)]
pub(super) struct Notices(OnceLock<Box<Mutex<Vec<Notice>>>>);

impl Notices {
    /// Has the owner of `description`, open as `fd`, hear of what `wanted`, `DN_*` bits, says; of nothing any more if that is empty.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn set(
        &self,
        description: &Arc<FileDescription>,
        fd: Fd,
        wanted: u32,
        signals: &Arc<AsyncSignals>,
    ) -> Result<(), Errno> {
        let mut notices = self.0.get_or_init(Box::default).lock();
        let description = Arc::downgrade(description);
        let mask = mask_of(wanted);
        if mask == 0 {
            notices.retain(|notice| !Weak::ptr_eq(&notice.description, &description));
            return Ok(());
        }
        notices.retain(|notice| notice.description.strong_count() != 0);
        let is_lasting = wanted & uapi::DN_MULTISHOT != 0;
        if let Some(notice) =
            notices.iter_mut().find(|notice| Weak::ptr_eq(&notice.description, &description))
        {
            notice.mask |= mask;
            notice.is_lasting |= is_lasting;
            notice.fd = fd;
            return Ok(());
        }
        let _heap_charge = HeapCharge::new(NOTICE_BYTES)?;
        let signals = signals.clone();
        notices.push(Notice { description, fd, mask, is_lasting, signals, _heap_charge });
        Ok(())
    }

    /// Something has happened in the directory.
    pub(super) fn tell(&self, events: WatchMask) {
        self.signal((events & WatchMask::ALL_EVENTS).bits());
    }

    /// An entry has got another name.
    pub(super) fn tell_rename(&self) {
        self.signal(RENAME);
    }

    fn signal(&self, events: u32) {
        let Some(notices) = self.0.get() else { return };
        notices.lock().retain(|notice| {
            let is_concerned = notice.mask & events != 0;
            if is_concerned {
                notice.signals.told(&notice.description, notice.fd);
            }
            notice.is_lasting || !is_concerned
        });
    }
}

/// The events that `DN_*` bits mean.
fn mask_of(wanted: u32) -> u32 {
    let table = [
        (uapi::DN_ACCESS, WatchMask::ACCESS.bits()),
        (uapi::DN_MODIFY, WatchMask::MODIFY.bits()),
        (uapi::DN_CREATE, (WatchMask::CREATE | WatchMask::MOVED_TO).bits()),
        (uapi::DN_DELETE, (WatchMask::DELETE | WatchMask::MOVED_FROM).bits()),
        (uapi::DN_RENAME, RENAME),
        (uapi::DN_ATTRIB, WatchMask::ATTRIB.bits()),
    ];
    table.iter().filter(|(bit, _)| wanted & bit != 0).fold(0, |mask, (_, events)| mask | events)
}
