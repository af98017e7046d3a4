//! The alternate signal stack (`man 2 sigaltstack`).

use linux_raw_sys::general::{SS_DISABLE, SS_ONSTACK};

use crate::Errno;
use crate::platform::VirtualAddress;

/// Leave the stack for good when a handler is entered on it, and take it up again at sigreturn.
const SS_AUTODISARM: u32 = 1 << 31;

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
    /// Size of `stack_t` in words.
    pub const WORDS: usize = 3;

    /// The stack that `stack_t` describes: its words are the base, the flags (32 bits) and the length. A
    /// length under
    /// `min_len_bytes` (AT_MINSIGSTKSZ) is too small.
    ///
    /// # Errors
    /// EINVAL: unknown flags. ENOMEM: too small.
    pub fn from_words([base, flags, len_bytes]: [u64; 3], min_len_bytes: u64) -> Result<Self, Errno> {
        let flags = flags as u32;
        match flags & !SS_AUTODISARM {
            SS_DISABLE => Ok(Self::default()),
            // Linux takes SS_ONSTACK like 0 since always.
            0 | SS_ONSTACK if len_bytes < min_len_bytes => Err(Errno::ENOMEM),
            0 | SS_ONSTACK => Ok(Self {
                base: VirtualAddress(base),
                len_bytes,
                is_disarmed_by_use: flags & SS_AUTODISARM != 0,
            }),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `stack_t`, as a task whose stack pointer is `stack_pointer` sees it.
    pub fn to_words(self, stack_pointer: u64) -> [u64; 3] {
        let state = match (self.len_bytes, self.contains(stack_pointer)) {
            (0, _) => SS_DISABLE,
            (_, true) => SS_ONSTACK,
            (_, false) => 0,
        };
        let flags = state | if self.is_disarmed_by_use { SS_AUTODISARM } else { 0 };
        [self.base.0, u64::from(flags), self.len_bytes]
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
mod tests {
    use super::*;

    #[test]
    fn flags_and_size_are_checked() {
        for (flags, len_bytes, expected) in [
            (0, 2047, Err(Errno::ENOMEM)),
            (0, 2048, Ok(())),
            (1, 2048, Ok(())),
            (2, 0, Ok(())),
            (4, 4096, Err(Errno::EINVAL)),
            (1 << 31, 4096, Ok(())),
        ] {
            let stack = AlternateStack::from_words([0x1000, flags, len_bytes], 2048);
            assert_eq!(stack.map(drop), expected, "{flags:#x} {len_bytes}");
        }
    }

    #[test]
    fn a_task_is_on_the_stack_from_just_above_the_base_to_the_top() {
        let stack = AlternateStack::from_words([0x1000, 0, 0x1000], 0).unwrap();
        for (stack_pointer, is_on) in [(0x1000, false), (0x1001, true), (0x2000, true), (0x2001, false)] {
            assert_eq!(stack.contains(stack_pointer), is_on, "{stack_pointer:#x}");
        }
        assert_eq!(stack.to_words(0x1800), [0x1000, 1, 0x1000]);
    }

    #[test]
    fn none_is_shown_as_disabled() {
        assert_eq!(AlternateStack::default().to_words(0), [0, 2, 0]);
    }
}
