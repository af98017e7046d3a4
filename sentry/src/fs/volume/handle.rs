//! Descriptors of the host, of which a volume may have so many at a time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Errno;

/// The descriptors that a volume may still open.
pub(super) struct Budget(AtomicUsize);

impl Budget {
    pub(super) fn new(descriptors: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(descriptors)))
    }
}

/// An open descriptor that counts.
pub(super) struct Handle {
    descriptor: OwnedFd,
    budget: Arc<Budget>,
}

impl Handle {
    /// The descriptor that `open` yields, at the expense of `budget`.
    ///
    /// # Errors
    /// ENFILE: the volume, or this process, has as many as it may have. And those of `open`.
    pub(super) fn open(
        budget: &Arc<Budget>,
        open: impl FnOnce() -> Result<OwnedFd, Errno>,
    ) -> Result<Self, Errno> {
        let taken = budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        taken.map_err(|_| Errno::ENFILE)?;
        match open() {
            Ok(descriptor) => Ok(Self { descriptor, budget: budget.clone() }),
            Err(error) => {
                budget.0.fetch_add(1, Ordering::Relaxed);
                Err(if error == Errno::EMFILE { Errno::ENFILE } else { error })
            }
        }
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.budget.0.fetch_add(1, Ordering::Relaxed);
    }
}
