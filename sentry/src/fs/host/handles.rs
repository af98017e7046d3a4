//! A bounded number of open host files.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::Errno;

/// The place of one file's handle.
#[derive(Default)]
pub(super) struct HandleSlot {
    handle: Mutex<Option<Arc<OwnedFd>>>,
    was_used: AtomicBool,
}

/// The handles that are kept open. A handle that is given up while somebody reads through it closes after that.
pub(super) struct HandleCache {
    capacity: usize,
    /// In the order of the clock that looks for victims.
    open: Mutex<VecDeque<Arc<HandleSlot>>>,
}

impl HandleCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, open: Mutex::default() }
    }

    /// The handle in `slot`, opened if there is none.
    pub(super) fn get(
        &self,
        slot: &Arc<HandleSlot>,
        open: impl FnOnce() -> Result<OwnedFd, Errno>,
    ) -> Result<Arc<OwnedFd>, Errno> {
        let mut handle = slot.handle.lock();
        slot.was_used.store(true, Ordering::Relaxed);
        if let Some(handle) = &*handle {
            return Ok(handle.clone());
        }
        let opened = Arc::new(open()?);
        *handle = Some(opened.clone());
        drop(handle);
        self.keep(slot);
        Ok(opened)
    }

    fn keep(&self, slot: &Arc<HandleSlot>) {
        let mut open = self.open.lock();
        open.push_back(slot.clone());
        let mut looks = open.len() * 2;
        while open.len() > self.capacity && looks > 0 {
            looks -= 1;
            let Some(oldest) = open.pop_front() else { break };
            let is_in_use = Arc::strong_count(&oldest) > 1 && oldest.was_used.swap(false, Ordering::Relaxed);
            if is_in_use {
                open.push_back(oldest);
            } else if let Some(mut handle) = oldest.handle.try_lock() {
                *handle = None;
            } else {
                open.push_back(oldest);
            }
        }
    }
}
