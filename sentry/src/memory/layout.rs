//! Where the parts of a program are: what `/proc/PID/stat`, `prctl(PR_SET_MM)` and brk(2) go by.

use std::ops::Range;

use super::MemoryManager;
use crate::platform::{PAGE_SHIFT, VirtualAddress};

/// Where the parts of a program are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// First and last-but-one address of the code.
    pub code: (VirtualAddress, VirtualAddress),
    /// First and last-but-one address of the initialised data.
    pub data: (VirtualAddress, VirtualAddress),
    /// Where the heap begins.
    pub brk_start: VirtualAddress,
    /// Where it ends.
    pub brk: VirtualAddress,
    /// What lies on the stack.
    pub strings: StringsLayout,
}

impl Layout {
    /// The pages that the heap has above `end`; `None` if it cannot end there.
    pub(super) fn heap_above(&self, end: VirtualAddress) -> Option<Range<u64>> {
        let (end_page, old_page) = (end.page_up()?.0 >> PAGE_SHIFT, self.brk.page_up()?.0 >> PAGE_SHIFT);
        (end >= self.brk_start && end_page < old_page).then_some(end_page..old_page)
    }
}

/// What exec leaves on the stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringsLayout {
    /// The argument strings, first address and the one past the last.
    pub arguments: (VirtualAddress, VirtualAddress),
    /// The environment strings, likewise.
    pub environment: (VirtualAddress, VirtualAddress),
    /// The stack pointer at the start of the program.
    pub stack_start: VirtualAddress,
    /// The auxiliary vector, keys and values.
    pub auxiliary_vector: Vec<u64>,
}

impl MemoryManager {
    /// Where the parts of the program are.
    pub fn layout(&self) -> Layout {
        self.state().read().layout.clone()
    }

    /// Changes where the parts of the program are (`prctl(PR_SET_MM)`).
    pub fn update_layout(&self, change: impl FnOnce(&mut Layout)) {
        change(&mut self.state().write().layout);
    }

    /// Says where exec put the strings.
    pub fn set_layout_strings(&self, strings: StringsLayout) {
        self.state().write().layout.strings = strings;
    }
}
