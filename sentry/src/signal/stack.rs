//! The alternate signal stack (`man 2 sigaltstack`).

use linux_raw_sys::general::SS_AUTODISARM;
use linux_raw_sys::general::{SS_DISABLE, SS_ONSTACK};

use crate::Errno;
use crate::abi::SignalStack;
use crate::platform::VirtualAddress;

/// A task's alternate signal stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AlternateStack {
    /// Lowest address.
    base: VirtualAddress,
    /// Length; 0 if there is none.
    len_bytes: u64,
    /// SS_AUTODISARM.
    is_disarmed_by_use: bool,
}

impl AlternateStack {
    /// The stack that a `stack_t` describes. A length under `min_len_bytes` (AT_MINSIGSTKSZ) is too small.
    ///
    /// # Errors
    /// EINVAL: unknown flags. ENOMEM: too small.
    pub(crate) fn from_user(stack: SignalStack, min_len_bytes: u64) -> Result<Self, Errno> {
        let SignalStack { ss_sp: base, ss_flags: flags, ss_size: len_bytes, .. } = stack;
        let is_disarmed_by_use = flags & SS_AUTODISARM != 0;
        match flags & !SS_AUTODISARM {
            SS_DISABLE => Ok(Self { is_disarmed_by_use, ..Self::default() }),
            // Linux takes SS_ONSTACK like 0 since always.
            0 | SS_ONSTACK if len_bytes < min_len_bytes => Err(Errno::ENOMEM),
            0 | SS_ONSTACK => Ok(Self { base: VirtualAddress(base), len_bytes, is_disarmed_by_use }),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `stack_t`, as a task whose stack pointer is `stack_pointer` sees it.
    pub(crate) fn to_user(self, stack_pointer: u64) -> SignalStack {
        let state = match (self.len_bytes, self.contains(stack_pointer)) {
            (0, _) => SS_DISABLE,
            (_, true) => SS_ONSTACK,
            (_, false) => 0,
        };
        let ss_flags = state | if self.is_disarmed_by_use { SS_AUTODISARM } else { 0 };
        SignalStack { ss_sp: self.base.0, ss_flags, padding: 0, ss_size: self.len_bytes }
    }

    /// Whether there is one.
    pub fn is_enabled(self) -> bool {
        self.len_bytes != 0
    }

    /// Whether it goes away when a handler is entered on it.
    pub fn is_disarmed_by_use(self) -> bool {
        self.is_disarmed_by_use
    }

    /// First address past the stack.
    pub fn top(self) -> u64 {
        self.base.0.wrapping_add(self.len_bytes)
    }

    /// Length in bytes.
    pub fn len_bytes(self) -> u64 {
        self.len_bytes
    }

    /// Whether code with this stack pointer runs on the stack, so that it must not be changed nor entered
    /// anew. A stack that use disarms never counts as used: a handler on it has disarmed it.
    pub fn contains(self, stack_pointer: u64) -> bool {
        // The stack grows down: the top itself is inside, the base is not.
        !self.is_disarmed_by_use
            && stack_pointer > self.base.0
            && stack_pointer - self.base.0 <= self.len_bytes
    }
}

#[cfg(test)]
mod tests;
