//! What a task has asked of its kernel for itself, and hands on to what it creates (`man 2 prctl`).

use std::sync::atomic::{AtomicU32, Ordering};

use linux_raw_sys::prctl::{PR_MCE_KILL_DEFAULT, PR_MCE_KILL_EARLY, PR_MCE_KILL_LATE};

use crate::Errno;

bitflags::bitflags! {
    /// The `PF_*` of `linux/sched.h` that prctl(2) sets. Nothing comes of them here: memory does not fail, and no task writes
    /// back for others.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Flags: u32 {
        /// PF_MCE_PROCESS: the task has a policy of its own for memory that fails.
        const MCE_PROCESS = 0x0000_0080;
        /// PF_MCE_EARLY: it hears of it at once.
        const MCE_EARLY = 0x0800_0000;
        /// PR_IO_FLUSHER: it writes back what others have to wait for (PF_MEMALLOC_NOIO, PF_LOCAL_THROTTLE).
        const IO_FLUSHER = 0x0018_0000;
    }
}

/// The flags of a task, which it alone changes.
#[derive(Debug, Default)]
pub struct TaskFlags(AtomicU32);

impl TaskFlags {
    /// The flags of what the task creates.
    pub fn inherited(&self) -> Self {
        Self(AtomicU32::new(self.get().bits()))
    }

    fn get(&self) -> Flags {
        Flags::from_bits_truncate(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, flags: Flags, is_on: bool) {
        let mut all = self.get();
        all.set(flags, is_on);
        self.0.store(all.bits(), Ordering::Relaxed);
    }

    /// PR_MCE_KILL_CLEAR: what the system does for all counts.
    pub fn clear_mce_policy(&self) {
        self.set(Flags::MCE_PROCESS, false);
    }

    /// PR_MCE_KILL_SET. As on Linux, a policy that is unknown makes what was asked for before count.
    ///
    /// # Errors
    /// EINVAL: no such policy.
    pub fn set_mce_policy(&self, policy: u32) -> Result<(), Errno> {
        self.set(Flags::MCE_PROCESS, true);
        match policy {
            PR_MCE_KILL_EARLY => self.set(Flags::MCE_EARLY, true),
            PR_MCE_KILL_LATE => self.set(Flags::MCE_EARLY, false),
            PR_MCE_KILL_DEFAULT => self.set(Flags::MCE_EARLY | Flags::MCE_PROCESS, false),
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// PR_MCE_KILL_GET.
    pub fn mce_policy(&self) -> u32 {
        let flags = self.get();
        if !flags.contains(Flags::MCE_PROCESS) {
            return PR_MCE_KILL_DEFAULT;
        }
        if flags.contains(Flags::MCE_EARLY) { PR_MCE_KILL_EARLY } else { PR_MCE_KILL_LATE }
    }

    /// PR_SET_IO_FLUSHER.
    pub fn set_io_flusher(&self, is_flusher: bool) {
        self.set(Flags::IO_FLUSHER, is_flusher);
    }

    /// PR_GET_IO_FLUSHER.
    pub fn is_io_flusher(&self) -> bool {
        self.get().contains(Flags::IO_FLUSHER)
    }
}
