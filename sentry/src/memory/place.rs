//! Where a new mapping goes: Linux's layout without randomisation.
//!
//! The stack is at the top; mappings fill the space below the room that the stack may need, from the top down.

use std::ops::Range;

use super::mapping::{Mapping, MappingFlags};
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
pub(super) fn find_highest(mappings: &mut Mappings, within: Range<u64>, len: u64) -> Option<u64> {
    let begin = mappings.crowded().begin(len, within.end);
    let above = mappings.at_or_after(begin).map_or(END_PAGE, start_with_gap);
    let mut end = begin.min(above);
    for mapping in mappings.overlapping(within.start..begin).rev() {
        if end.saturating_sub(mapping.pages.end) >= len {
            break;
        }
        end = end.min(start_with_gap(mapping));
    }
    mappings.crowded().note(len, end..within.end);
    end.checked_sub(len).filter(|&start| start >= within.start)
}

/// The lowest `len` free pages in `within`.
pub(super) fn find_lowest(mappings: &Mappings, within: Range<u64>, len: u64) -> Option<u64> {
    let mut start = within.start;
    for mapping in mappings.overlapping(within.start..END_PAGE) {
        if start_with_gap(mapping).saturating_sub(start) >= len {
            break;
        }
        start = start.max(mapping.pages.end);
    }
    start.checked_add(len).filter(|&end| end <= within.end).map(|_| start)
}

/// Whether `pages` are free, the gap below a stack being taken.
pub(super) fn is_free(mappings: &Mappings, pages: Range<u64>) -> bool {
    mappings.at_or_after(pages.start).is_none_or(|next| start_with_gap(next) >= pages.end)
}

/// Where a mapping begins to be in the way of others.
pub(super) fn start_with_gap(mapping: &Mapping) -> u64 {
    match mapping.flags.contains(MappingFlags::GROWS_DOWN) {
        true => mapping.pages.start.saturating_sub(STACK_GUARD_PAGES),
        false => mapping.pages.start,
    }
}

#[cfg(test)]
mod tests {
    use super::super::mapping::Contents;
    use super::*;
    use crate::platform::Access;

    fn mappings(ranges: &[(Range<u64>, MappingFlags)]) -> Mappings {
        let mut mappings = Mappings::default();
        for (pages, flags) in ranges.iter().cloned() {
            let (protection, contents) = (Access::READ, Contents::Anonymous);
            mappings.insert(Mapping { pages, protection, max_protection: protection, flags, contents });
        }
        mappings
    }

    #[test]
    fn mappings_begin_where_gdb_users_know_them() {
        assert_eq!(base_page(8 << 20) << PAGE_SHIFT, 0x7fff_f7ff_f000);
        assert_eq!(base_page(u64::MAX) << PAGE_SHIFT, (END_PAGE - END_PAGE / 6 * 5) << PAGE_SHIFT);
    }

    #[test]
    fn the_highest_gap_that_is_large_enough_is_taken() {
        let none = MappingFlags::empty();
        let mut mappings = mappings(&[(100..200, none), (205..300, none)]);
        assert_eq!(find_highest(&mut mappings, 16..310, 10), Some(300));
        assert_eq!(find_highest(&mut mappings, 16..300, 5), Some(200));
        assert_eq!(find_highest(&mut mappings, 16..300, 6), Some(94));
        assert_eq!(find_highest(&mut mappings, 16..300, 85), None);
        assert_eq!(find_lowest(&mappings, 100..400, 5), Some(200));
        assert_eq!(find_lowest(&mappings, 100..400, 6), Some(300));
        assert_eq!(find_lowest(&mappings, 100..305, 6), None);
    }

    #[test]
    fn what_searches_remember_changes_nothing() {
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        let mut known = mappings(&[(900..1000, MappingFlags::GROWS_DOWN)]);
        for _ in 0..20_000 {
            let len = 1 + random(9);
            // Without notes.
            let mut fresh = Mappings::default();
            for mapping in known.iter() {
                fresh.insert(mapping.clone());
            }
            let place = find_highest(&mut known, 16..900, len);
            assert_eq!(place, find_highest(&mut fresh, 16..900, len));
            if let Some(start) = place {
                let (protection, flags) = (Access::READ, MappingFlags::empty());
                let contents = Contents::Anonymous;
                let pages = start..start + len;
                known.insert(Mapping { pages, protection, max_protection: protection, flags, contents });
            }
            let start = 16 + random(880);
            match random(4) {
                0 => drop(known.take(start..start + 1 + random(12))),
                1 => known.update(start..start + 5, |mapping| {
                    mapping.protection ^= Access::WRITE;
                }),
                _ => {}
            }
        }
    }

    #[test]
    fn nothing_is_placed_in_the_gap_below_a_stack() {
        let mut mappings = mappings(&[(1000..1100, MappingFlags::GROWS_DOWN)]);
        assert_eq!(find_highest(&mut mappings, 16..1100, 10), Some(1000 - STACK_GUARD_PAGES - 10));
        assert!(!is_free(&mappings, 990..1000));
        assert!(is_free(&mappings, 1100..1200));
    }
}
