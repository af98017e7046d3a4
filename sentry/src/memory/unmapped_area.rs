//! Where a new mapping goes: Linux's layout without randomisation.
//!
//! The stack is at the top; mappings fill the space below the room that the stack may need, from the top down. A place is
//! found in the tree of gaps, on one way down, however many mappings there are.

use std::ops::Range;

use super::gaps::Gap;
use super::mapping::{Mapping, MappingFlags, intersect};
use super::mappings::Mappings;
use crate::platform::{PAGE_SHIFT, VirtualAddress};

/// The lowest page that user code may map (`/proc/sys/vm/mmap_min_addr`).
pub(super) const MIN_PAGE: u64 = 0x10000 >> PAGE_SHIFT;
/// First page past user memory.
pub(super) const END_PAGE: u64 = VirtualAddress::USER_END.0 >> PAGE_SHIFT;
/// Pages below a stack that stay free for it to grow into (Linux's `stack_guard_gap`).
pub(super) const STACK_GUARD_PAGES: u64 = 256;
/// Room that a stack gets at least, and at most (Linux's `mmap_base`).
const STACK_ROOM_PAGES: Range<u64> = (128 << 20 >> PAGE_SHIFT)..(END_PAGE / 6 * 5);

/// The pages where MAP_32BIT mappings go: the second gigabyte.
pub(super) const LOW_PAGES: Range<u64> = (1 << 30 >> PAGE_SHIFT)..(1 << 31 >> PAGE_SHIFT);

/// The page below which mappings go, if the stack may have `stack_bytes` (RLIMIT_STACK).
pub(super) fn base_page(stack_bytes: u64) -> u64 {
    let room = (stack_bytes >> PAGE_SHIFT).saturating_add(STACK_GUARD_PAGES);
    END_PAGE - room.clamp(STACK_ROOM_PAGES.start, STACK_ROOM_PAGES.end)
}

/// The highest `len` free pages in `within`.
pub(super) fn find_highest(mappings: &Mappings, within: Range<u64>, len: u64) -> Option<u64> {
    let gaps = mappings.gaps();
    let end_of_room = |gap: &Gap| {
        let room = intersect(&gap.room(), &within);
        (room.end - room.start >= len).then_some(room.end)
    };
    // Of the uppermost gap only a part may lie within.
    let uppermost = gaps.at_or_before(within.end)?;
    let end =
        end_of_room(uppermost).or_else(|| gaps.highest(uppermost.pages.start, len).and_then(end_of_room))?;
    Some(end - len)
}

/// The lowest `len` free pages in `within`.
pub(super) fn find_lowest(mappings: &Mappings, within: Range<u64>, len: u64) -> Option<u64> {
    let gaps = mappings.gaps();
    let start_of_room = |gap: &Gap| {
        let room = intersect(&gap.room(), &within);
        (room.end - room.start >= len).then_some(room.start)
    };
    // Of the lowermost gap only a part may lie within.
    let lowermost = gaps.at_or_before(within.start).and_then(start_of_room);
    lowermost.or_else(|| gaps.lowest(within.start, len).and_then(start_of_room))
}

/// The highest `len` free pages in `within` that begin at a multiple of `alignment`.
pub(super) fn find_highest_aligned(
    mappings: &Mappings,
    within: Range<u64>,
    len: u64,
    alignment: u64,
) -> Option<u64> {
    let start = find_highest(mappings, within, len.checked_add(alignment - 1)?)?;
    // As high as that room allows.
    Some(start.next_multiple_of(alignment))
}

/// The lowest such pages.
pub(super) fn find_lowest_aligned(
    mappings: &Mappings,
    within: Range<u64>,
    len: u64,
    alignment: u64,
) -> Option<u64> {
    let start = find_lowest(mappings, within, len.checked_add(alignment - 1)?)?;
    Some(start.next_multiple_of(alignment))
}

/// Whether `pages` are free, the gap below a stack being taken.
pub(super) fn is_free(mappings: &Mappings, pages: Range<u64>) -> bool {
    mappings.at_or_after(pages.start).is_none_or(|next| start_with_gap(next) >= pages.end)
}

/// Where a mapping begins to be in the way of others.
fn start_with_gap(mapping: &Mapping) -> u64 {
    match mapping.flags.contains(MappingFlags::GROWSDOWN) {
        true => mapping.pages.start.saturating_sub(STACK_GUARD_PAGES),
        false => mapping.pages.start,
    }
}

#[cfg(test)]
mod tests;
