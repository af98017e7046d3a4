//! Guest-virtual addresses and page arithmetic.

use std::fmt;
use std::ops::Range;

/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// An address as user code sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct VirtualAddress(pub u64);

impl VirtualAddress {
    /// The null pointer.
    pub const NULL: Self = Self(0);
    /// First address past what user code may map: 47 bits less a guard page, Linux's `TASK_SIZE_MAX` with
    /// four-level tables.
    pub const USER_END: Self = Self((1 << 47) - PAGE_SIZE);

    /// Whether this is the null pointer.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// Whether this is the start of a page.
    pub const fn is_page_aligned(self) -> bool {
        self.0.is_multiple_of(PAGE_SIZE)
    }

    /// The start of the page that holds this address.
    pub const fn page_down(self) -> Self {
        Self(self.0 & !(PAGE_SIZE - 1))
    }

    /// The next page boundary at or above this address; `None` if it is past the end of the address space.
    pub const fn page_up(self) -> Option<Self> {
        match self.0.checked_add(PAGE_SIZE - 1) {
            Some(value) => Some(Self(value & !(PAGE_SIZE - 1))),
            None => None,
        }
    }

    /// Offset within its page, in bytes.
    pub const fn page_offset(self) -> u64 {
        self.0 & (PAGE_SIZE - 1)
    }

    /// This address plus `len_bytes`, unless it wraps.
    pub const fn checked_add(self, len_bytes: u64) -> Option<Self> {
        match self.0.checked_add(len_bytes) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

impl fmt::Debug for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A half-open range of virtual addresses, `start <= end`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VirtualRange {
    /// First address.
    pub start: VirtualAddress,
    /// First address past it.
    pub end: VirtualAddress,
}

impl VirtualRange {
    /// The range of `len_bytes` from `start`; `None` if it wraps or ends past [`VirtualAddress::USER_END`].
    pub const fn new(start: VirtualAddress, len_bytes: u64) -> Option<Self> {
        match start.checked_add(len_bytes) {
            Some(end) if end.0 <= VirtualAddress::USER_END.0 => Some(Self { start, end }),
            _ => None,
        }
    }

    /// Length in bytes.
    pub const fn len_bytes(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Length in whole pages, for page-aligned ranges.
    pub const fn pages(self) -> u64 {
        self.len_bytes() >> PAGE_SHIFT
    }

    /// Whether the range is empty.
    pub const fn is_empty(self) -> bool {
        self.end.0 == self.start.0
    }

    /// Whether `address` lies in the range.
    pub const fn contains(self, address: VirtualAddress) -> bool {
        self.start.0 <= address.0 && address.0 < self.end.0
    }

    /// What the two ranges share, if they share anything.
    pub fn intersection(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        (start < end).then_some(Self { start, end })
    }

    /// The plain numbers.
    pub const fn as_u64(self) -> Range<u64> {
        self.start.0..self.end.0
    }
}

impl fmt::Debug for VirtualRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start.0, self.end.0)
    }
}
