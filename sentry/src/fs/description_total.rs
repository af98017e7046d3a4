//! How many open file descriptions the sandbox has and may have (`man 5 proc_sys_fs`, file-max).
//!
//! A setting bounds whoever lacks CAP_SYS_ADMIN, as Linux's does; since each description takes the sentry's memory, there is an
//! end for everybody.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Errno;

/// More there cannot be, whatever the setting says.
const END: u64 = 1 << 20;
/// What Linux's setting says at first.
const NO_SETTING: u64 = i64::MAX.cast_unsigned();

/// Of the sandbox.
pub(super) static DESCRIPTIONS: DescriptionTotal = DescriptionTotal::new();

/// A count with a bound.
pub(super) struct DescriptionTotal {
    used: AtomicU64,
    setting: AtomicU64,
}

impl DescriptionTotal {
    const fn new() -> Self {
        Self { used: AtomicU64::new(0), setting: AtomicU64::new(NO_SETTING) }
    }

    /// There is one more.
    pub(super) fn add(&self) {
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    /// There is one less.
    pub(super) fn remove(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many there are.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The bound for the unprivileged.
    pub(super) fn setting(&self) -> u64 {
        self.setting.load(Ordering::Relaxed)
    }

    /// Changes the bound for the unprivileged; those that there are stay.
    pub(super) fn set(&self, setting: u64) {
        self.setting.store(setting, Ordering::Relaxed);
    }

    /// Fails if there may not be one more.
    ///
    /// # Errors
    /// ENFILE.
    pub(super) fn check(&self, is_privileged: bool) -> Result<(), Errno> {
        let end = if is_privileged { END } else { END.min(self.setting()) };
        if self.used() >= end { Err(Errno::ENFILE) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_bounds_the_unprivileged_and_the_end_everybody() {
        let total = DescriptionTotal::new();
        assert_eq!(total.check(false), Ok(()));
        total.add();
        total.set(1);
        assert_eq!((total.check(false), total.check(true)), (Err(Errno::ENFILE), Ok(())));
        total.remove();
        assert_eq!(total.check(false), Ok(()));
        total.set(u64::MAX);
        total.used.store(END, Ordering::Relaxed);
        assert_eq!((total.check(false), total.check(true)), (Err(Errno::ENFILE), Err(Errno::ENFILE)));
    }
}
