//! Making KVM forget translations to frames.
//!
//! Nothing tells a shadow MMU that the host has changed a page table. What every MMU of KVM obeys is its MMU
//! notifier: any change of the protection of host memory makes KVM drop, on every vCPU, what leads there. So
//! we take PROT_READ away and give it back. On x86 that takes no access from anybody: pages that may be
//! written may be read (SDM 3A 4.6), so the sentry's own threads do not notice.

use std::ops::Range;

use rustix::mm::{MprotectFlags, mprotect};
use sentry::host::{HostCall, count_call};
use sentry::platform::GuestMemory;

/// Ranges above which purging the page tables' slots is cheaper: 5 µs a range, against 30 µs and the shadow
/// pages that user code then has to fault in again.
const RANGES_MAX: usize = 64;

/// The guest-physical ranges whose translations must go.
#[derive(Debug, Default)]
pub(crate) struct FlushList {
    ranges: Vec<Range<u64>>,
    has_overflowed: bool,
}

impl FlushList {
    /// Adds `len_bytes` from guest-physical `start` on.
    pub(crate) fn push(&mut self, start: u64, len_bytes: u64) {
        let end = start + len_bytes;
        let is_full = self.ranges.len() == RANGES_MAX;
        match self.ranges.last_mut() {
            _ if self.has_overflowed => {}
            Some(last) if last.end == start => last.end = end,
            Some(last) if last.start == end => last.start = start,
            _ if is_full => self.has_overflowed = true,
            _ => self.ranges.push(start..end),
        }
    }

    /// Whether there are so many that the tables should be purged.
    pub(crate) fn is_too_long(&self) -> bool {
        self.has_overflowed
    }

    pub(crate) fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }
}

/// Makes KVM forget all translations to a guest-physical range.
///
/// # Errors
/// The host refused; translations may be left.
pub(crate) fn forget_translations(memory: &GuestMemory, range: &Range<u64>) -> std::io::Result<()> {
    let len_bytes = (range.end - range.start) as usize;
    let start = sentry::platform::GuestAddress(range.start);
    let slice = memory.slice(start, len_bytes).map_err(std::io::Error::other)?;
    let address = slice.ptr_guard_mut().as_ptr().cast();
    count_call(HostCall::Memory);
    count_call(HostCall::Memory);
    // SAFETY: the range lies in guest memory, a private anonymous mapping that holds no Rust object. It stays
    // readable and writable throughout.
    unsafe {
        mprotect(address, len_bytes, MprotectFlags::WRITE)?;
        mprotect(address, len_bytes, MprotectFlags::READ | MprotectFlags::WRITE)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
