//! What the objects of IPC may hold of the sentry's own memory: messages, semaphores, and what is kept of each object.
//!
//! Linux's limits are for each namespace and can be raised inside; this one is for all namespaces together and cannot.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Errno;

/// Most bytes that all objects may hold.
const MAX_BYTES: usize = 256 << 20;
/// What an object costs beside its contents.
pub(super) const OBJECT_BYTES: usize = 1024;

static CHARGED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes that are charged; dropping it takes the charge back.
#[derive(Debug)]
pub(super) struct Charge(usize);

impl Charge {
    /// Charges `len_bytes`.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn new(len_bytes: usize) -> Result<Self, Errno> {
        let has_room = |charged: usize| charged.checked_add(len_bytes).filter(|sum| *sum <= MAX_BYTES);
        CHARGED_BYTES
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room)
            .map_err(|_| Errno::ENOMEM)?;
        Ok(Self(len_bytes))
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        CHARGED_BYTES.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_is_enomem_and_costs_nothing() {
        let charge = Charge::new(100).unwrap();
        assert_eq!(Charge::new(MAX_BYTES).err(), Some(Errno::ENOMEM));
        assert_eq!(Charge::new(usize::MAX).err(), Some(Errno::ENOMEM));
        drop(charge);
    }
}
