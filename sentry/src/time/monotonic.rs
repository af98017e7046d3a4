//! Moments that outlive a system call.

use std::ops::Add;
use std::time::Duration;

/// A moment of the kernel's monotonic clock ([`Timekeeper::monotonic`](super::Timekeeper::monotonic)).
///
/// What a kernel remembers is told in its own time, not in the host's [`Instant`](std::time::Instant): it can be written down, and
/// means the same in another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonotonicTime(pub(super) Duration);

impl MonotonicTime {
    /// The time from `earlier` to this moment; zero if it is not earlier.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time from `earlier` to this moment; `None` if it is later.
    pub fn checked_duration_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0)
    }

    /// The moment `time` later; `None` if that is too far to reckon.
    pub fn checked_add(self, time: Duration) -> Option<Self> {
        self.0.checked_add(time).map(Self)
    }
}

impl Add<Duration> for MonotonicTime {
    type Output = Self;

    /// The moment `time` later, or the last one that there is.
    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}
