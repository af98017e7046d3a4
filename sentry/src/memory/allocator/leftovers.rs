//! Frames of files that nobody uses any more.
//!
//! Whoever lets go of a file may hold locks, and be in a hurry; how many pages it has is a guest's choice. So they are left here, and
//! freed in steps by the tasks that come out of a system call, or when they are wanted.

use std::sync::atomic::Ordering;

use super::FrameAllocator;
use crate::Errno;
use crate::memory::table::FrameTable;
use crate::pace::Pace;

/// Frames that are freed in one step: it takes about a millisecond.
const STEP_FRAMES: usize = 4096;

impl FrameAllocator {
    /// Takes over the frames of `table`. A few are freed at once.
    pub(in crate::memory) fn leave(&self, table: FrameTable) {
        if table.len() <= STEP_FRAMES as u64 {
            return;
        }
        self.leftover_frames.fetch_add(table.len(), Ordering::Relaxed);
        let leftover = table.into_leftover();
        self.leftovers.lock().push(leftover);
    }

    /// Frees what has been left, with no lock held.
    ///
    /// # Errors
    /// EINTR from `pace`: some of it is still there.
    pub fn free_leftovers(&self, pace: &dyn Pace) -> Result<(), Errno> {
        while self.free_some_leftovers() > 0 {
            pace.keep_going()?;
        }
        Ok(())
    }

    /// Frees some of what has been left. Returns how many references to frames that were; 0 if nothing is left.
    pub(super) fn free_some_leftovers(&self) -> usize {
        if self.leftover_frames.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let Some(mut leftover) = self.leftovers.lock().pop() else { return 0 };
        let numbers = leftover.take_some(STEP_FRAMES);
        self.release(&numbers);
        self.leftover_frames.fetch_sub(numbers.len() as u64, Ordering::Relaxed);
        if !leftover.is_empty() {
            self.leftovers.lock().push(leftover);
        }
        numbers.len()
    }

    /// How many frames have been left and not freed.
    pub(super) fn leftover_frames(&self) -> u64 {
        self.leftover_frames.load(Ordering::Relaxed)
    }
}
