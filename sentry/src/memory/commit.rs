//! What processes have been promised: the pages that their mappings may come to need, and how many these may be
//! (`man 5 proc_sys_vm`, overcommit_memory).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::FrameAllocator;
use crate::Errno;
use crate::platform::PAGE_SHIFT;
use crate::settings::KernelNumber;

/// How promises are made (vm.overcommit_memory).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overcommit {
    /// What could never be in memory is refused.
    Guess,
    /// Everything is promised.
    Always,
    /// No more is promised than vm.overcommit_ratio or vm.overcommit_kbytes say.
    Never,
}

/// The pages that all address spaces of a kernel have been promised.
#[derive(Debug, Default)]
pub(super) struct Promises(AtomicU64);

/// One address space's part in the promises, given back at its end.
#[derive(Debug, Default)]
pub(super) struct PromisedPages {
    total: Arc<Promises>,
    own: u64,
}

impl PromisedPages {
    /// None yet, counted in `total`.
    pub(super) fn counted_in(total: &Arc<Promises>) -> Self {
        Self { total: total.clone(), own: 0 }
    }

    /// How many they are.
    pub(super) fn pages(&self) -> u64 {
        self.own
    }

    pub(super) fn add(&mut self, pages: u64) {
        self.own += pages;
        self.total.0.fetch_add(pages, Ordering::Relaxed);
    }

    pub(super) fn remove(&mut self, pages: u64) {
        let pages = pages.min(self.own);
        self.own -= pages;
        self.total.0.fetch_sub(pages, Ordering::Relaxed);
    }
}

impl Drop for PromisedPages {
    fn drop(&mut self) {
        self.remove(self.own);
    }
}

impl FrameAllocator {
    /// How promises are made now.
    pub(super) fn overcommit(&self) -> Overcommit {
        match self.settings().get(KernelNumber::OvercommitMemory) {
            1 => Overcommit::Always,
            2 => Overcommit::Never,
            _ => Overcommit::Guess,
        }
    }

    /// The most pages that may be promised where no more are than there is memory for (CommitLimit).
    pub fn commit_limit(&self) -> u64 {
        let number = |number| u64::try_from(self.settings().get(number)).unwrap_or(0);
        match number(KernelNumber::OvercommitKbytes) {
            0 => self.limit_frames().saturating_mul(number(KernelNumber::OvercommitRatio)) / 100,
            kbytes => kbytes >> (PAGE_SHIFT - 10),
        }
    }

    /// The pages that are promised (Committed_AS): private memory that may be written, and what shared memory has.
    pub fn committed(&self) -> u64 {
        let shared = self.statistics().shared_bytes >> PAGE_SHIFT;
        self.promises().0.load(Ordering::Relaxed).saturating_add(shared)
    }

    /// Fails if so many pages more cannot be promised.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn check_promise(&self, pages: u64) -> Result<(), Errno> {
        let is_within = self.committed().saturating_add(pages) <= self.commit_limit();
        if is_within { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}
