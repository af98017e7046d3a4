//! Where things are in the guest.
//!
//! Guest-physical, low and dense since MAXPHYADDR may be as small as 36 bits:
//!
//! ```text
//! 2 MiB                     the kernel's pages
//! 4 GiB                     guest memory, the frames of user code
//! after it, at a whole GiB  page tables, in chunks of 256 KiB
//! ```
//!
//! Guest-virtual: the lower half is user code's; the last entry of each PML4 holds the kernel's pages. Hosts
//! that keep SYSCALL in ring 3 can run the stub there natively, which they cannot elsewhere in the upper half.

use sentry::platform::{GuestAddress, PAGE_SIZE, VirtualAddress};

/// Guest-physical start of the kernel's pages.
pub(crate) const KERNEL_START: GuestAddress = GuestAddress(2 << 20);
/// Guest-virtual start of the kernel's pages: the last entry of the PML4.
pub(crate) const KERNEL_BASE: VirtualAddress = VirtualAddress(0xffff_ff80_0000_0000);
/// The entry of a PML4 that holds [`KERNEL_BASE`].
pub(crate) const KERNEL_PML4_INDEX: u64 = 511;
/// Guest-physical start of guest memory.
pub(crate) const MEMORY_START: GuestAddress = GuestAddress(4 << 30);

/// Pages of the kernel, by index from [`KERNEL_START`] and from [`KERNEL_BASE`].
pub(crate) mod page {
    /// A PML4 with nothing but the kernel, for the probe.
    pub(crate) const PML4: u64 = 0;
    /// The page-directory-pointer table that all address spaces share.
    pub(crate) const PDPT: u64 = 1;
    /// Its page directory.
    pub(crate) const DIRECTORY: u64 = 2;
    /// The interrupt descriptor table.
    pub(crate) const IDT: u64 = 3;
    /// The stubs.
    pub(crate) const STUBS: u64 = 4;
    /// Guest-virtual only: the stubs again, where ring 3 may run them.
    pub(crate) const USER_STUBS: u64 = 5;
    /// The first page table; as many follow as the vCPUs need.
    pub(crate) const TABLES: u64 = 6;
}

/// Guest-virtual address of a page of the kernel.
pub(crate) const fn kernel_virtual(page: u64) -> u64 {
    KERNEL_BASE.0 + page * PAGE_SIZE
}

/// Guest-physical address of a page of the kernel.
pub(crate) const fn kernel_physical(page: u64) -> u64 {
    KERNEL_START.0 + page * PAGE_SIZE
}

/// The one port that ring 3 may write, on hosts that keep SYSCALL in ring 3.
pub(crate) const SYSCALL_PORT: u16 = 0x10;
/// The port of exception vector 0; the other vectors follow.
pub(crate) const EXCEPTION_PORT: u16 = 0x20;
/// Exception vectors (SDM 3A 6.2).
pub(crate) const VECTORS: u16 = 32;

/// The slot of the kernel's pages (KVM api.rst 4.35).
pub(crate) const KERNEL_SLOT: u32 = 0;
/// The first slot of guest memory.
pub(crate) const MEMORY_SLOT: u32 = 1;

/// Bits of page-table entries (SDM 3A 4.5).
pub(crate) mod entry {
    /// P.
    pub(crate) const PRESENT: u64 = 1;
    /// R/W.
    pub(crate) const WRITABLE: u64 = 1 << 1;
    /// U/S.
    pub(crate) const USER: u64 = 1 << 2;
    /// A: preset, since setting it costs a shadow MMU an emulated write.
    pub(crate) const ACCESSED: u64 = 1 << 5;
    /// D: preset likewise.
    pub(crate) const DIRTY: u64 = 1 << 6;
    /// PS: the entry of a page directory maps 2 MiB.
    pub(crate) const LARGE: u64 = 1 << 7;
    /// XD.
    pub(crate) const NO_EXECUTE: u64 = 1 << 63;
    /// The address.
    pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    /// An entry that points to a table, and leaves all decisions to it.
    pub(crate) const TABLE: u64 = PRESENT | WRITABLE | USER | ACCESSED;
}
