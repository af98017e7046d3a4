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

use crate::chunks::CHUNK_LEN;
use crate::error::Error;

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
    pub(crate) const STUBS: u64 = 4;
    /// Guest-virtual only: the stubs again, where ring 3 may run them.
    pub(crate) const USER_STUBS: u64 = 5;
    /// Guest-physical only: the gate's code (see `exitless`).
    pub(crate) const GATE: u64 = 6;
    /// The first page table; as many follow as the vCPUs need.
    pub(crate) const TABLES: u64 = 7;
}

/// What `exitless` maps for ring 3, in the uppermost GiB: the entry of the page-directory-pointer table, and addresses in
/// the first 2 MiB, which have one page table. The uppermost 2 GiB are what a displacement of 32 bits reaches.
pub(crate) const GATE_PDPT_INDEX: u64 = 511;
/// Records of call sites. Bits 16-23 are 0x06 or 0x07, invalid instructions (see `exitless::sites`).
pub(crate) const RECORDS: u64 = 0xffff_ffff_c006_0000;
/// Bytes of all records.
pub(crate) const RECORDS_LEN: u64 = 128 << 10;
/// The gate's code.
pub(crate) const GATE_CODE: u64 = 0xffff_ffff_c008_0000;
/// The call page of the vCPU.
pub(crate) const CALL_PAGE: u64 = 0xffff_ffff_c009_0000;

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
/// The largest slot of guest memory: a slot costs time by its size.
pub(crate) const SLOT_LEN_MAX: u64 = 1 << 30;
/// The first slot's length. Each of the others is as long as those before it together, up to [`SLOT_LEN_MAX`].
pub(crate) const SLOT_LEN_MIN: u64 = 128 << 20;
/// Slots that guest memory takes beyond one for each [`SLOT_LEN_MAX`], since it begins with shorter ones.
const SHORT_SLOTS: u64 = 4;
/// Chunks of table memory at most: 4 GiB.
const CHUNKS_MAX: u32 = 16 << 10;

/// What depends on how much memory the guest is to have, and on what the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Length of guest memory.
    pub(crate) memory_bytes: u64,
    /// Guest-physical start of the first chunk of table memory.
    pub(crate) chunks_start: GuestAddress,
    /// Its slot; the other chunks' follow.
    pub(crate) chunk_slot: u32,
    /// How many chunks there may be.
    pub(crate) chunks_max: u32,
}

impl Layout {
    /// For at least `wanted_bytes` of guest memory, with `address_bits` of MAXPHYADDR and so many `memory_slots`.
    ///
    /// # Errors
    /// It does not fit.
    pub(crate) fn new(wanted_bytes: u64, address_bits: u32, memory_slots: usize) -> Result<Self, Error> {
        let too_much = || Error::TooMuchMemory { memory_bytes: wanted_bytes, address_bits };
        let memory_bytes = memory_len(wanted_bytes).ok_or_else(too_much)?;
        let chunks_start = MEMORY_START
            .0
            .checked_add(memory_bytes)
            .and_then(|end| end.checked_next_multiple_of(1 << 30))
            .ok_or_else(too_much)?;
        let address_end = 1_u64.checked_shl(address_bits).unwrap_or(u64::MAX);
        let room = address_end.saturating_sub(chunks_start) / CHUNK_LEN;
        if room == 0 {
            return Err(too_much());
        }
        let too_few = || Error::TooFewSlots { memory_bytes: wanted_bytes, memory_slots };
        let chunk_slot = memory_bytes.div_ceil(SLOT_LEN_MAX) + SHORT_SLOTS + u64::from(MEMORY_SLOT);
        let slots_left = (memory_slots as u64).saturating_sub(chunk_slot);
        if slots_left == 0 {
            return Err(too_few());
        }
        let chunks_max = u32::try_from(room.min(slots_left)).unwrap_or(u32::MAX).min(CHUNKS_MAX);
        let chunk_slot = u32::try_from(chunk_slot).map_err(|_| too_few())?;
        Ok(Self { memory_bytes, chunks_start: GuestAddress(chunks_start), chunk_slot, chunks_max })
    }
}

/// The length of guest memory of which `wanted_bytes` are wanted, if there is such a number.
pub(crate) fn memory_len(wanted_bytes: u64) -> Option<u64> {
    wanted_bytes.checked_next_multiple_of(2 << 20)
}

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
    pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    /// An entry that points to a table, and leaves all decisions to it.
    pub(crate) const TABLE: u64 = PRESENT | WRITABLE | USER | ACCESSED;
}

#[cfg(test)]
mod tests;
