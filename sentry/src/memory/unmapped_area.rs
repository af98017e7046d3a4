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

/// Whether `pages` are free, the gap below a stack being taken.
pub(super) fn is_free(mappings: &Mappings, pages: Range<u64>) -> bool {
    mappings.at_or_after(pages.start).is_none_or(|next| start_with_gap(next) >= pages.end)
}

/// Where a mapping begins to be in the way of others.
fn start_with_gap(mapping: &Mapping) -> u64 {
    match mapping.flags.contains(MappingFlags::GROWS_DOWN) {
        true => mapping.pages.start.saturating_sub(STACK_GUARD_PAGES),
        false => mapping.pages.start,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        let mappings = mappings(&[(100..200, none), (205..300, none)]);
        assert_eq!(find_highest(&mappings, 16..310, 10), Some(300));
        assert_eq!(find_highest(&mappings, 16..300, 5), Some(200));
        assert_eq!(find_highest(&mappings, 16..300, 6), Some(94));
        assert_eq!(find_highest(&mappings, 16..300, 85), None);
        assert_eq!(find_lowest(&mappings, 100..400, 5), Some(200));
        assert_eq!(find_lowest(&mappings, 100..400, 6), Some(300));
        assert_eq!(find_lowest(&mappings, 100..305, 6), None);
    }

    #[test]
    fn nothing_is_placed_in_the_gap_below_a_stack() {
        let mappings = mappings(&[(1000..1100, MappingFlags::GROWS_DOWN)]);
        assert_eq!(find_highest(&mappings, 16..1100, 10), Some(1000 - STACK_GUARD_PAGES - 10));
        assert!(!is_free(&mappings, 990..1000));
        assert!(is_free(&mappings, 1100..1200));
    }

    /// Pages that the property test plays on.
    const FIELD: Range<u64> = 1000..4000;

    #[derive(Clone, Debug)]
    enum Change {
        Map { pages: Range<u64>, flags: MappingFlags },
        Unmap { pages: Range<u64> },
        Protect { pages: Range<u64>, protection: Access },
    }

    fn pages() -> impl Strategy<Value = Range<u64>> {
        (FIELD, 1..300u64).prop_map(|(start, len)| start..start + len)
    }

    fn change() -> impl Strategy<Value = Change> {
        let flags = prop_oneof![3 => Just(MappingFlags::empty()), 1 => Just(MappingFlags::GROWS_DOWN)];
        let protection = prop_oneof![Just(Access::READ), Just(Access::all())];
        prop_oneof![
            4 => (pages(), flags).prop_map(|(pages, flags)| Change::Map { pages, flags }),
            2 => pages().prop_map(|pages| Change::Unmap { pages }),
            1 => (pages(), protection).prop_map(|(pages, protection)| Change::Protect { pages, protection }),
        ]
    }

    fn apply(mappings: &mut Mappings, change: &Change) {
        match change.clone() {
            Change::Map { pages, flags } => {
                mappings.take(pages.clone());
                let (protection, contents) = (Access::READ, Contents::Anonymous);
                mappings.insert(Mapping {
                    pages,
                    protection,
                    max_protection: Access::all(),
                    flags,
                    contents,
                });
            }
            Change::Unmap { pages } => drop(mappings.take(pages)),
            Change::Protect { pages, protection } => {
                mappings.update(pages, |mapping| mapping.protection = protection);
            }
        }
    }

    /// Only what is next above `pages` keeps others at a distance.
    fn is_free_by_search(mappings: &Mappings, pages: &Range<u64>) -> bool {
        let next = mappings.iter().find(|mapping| mapping.pages.end > pages.start);
        next.is_none_or(|next| start_with_gap(next) >= pages.end)
    }

    fn gaps_by_search(mappings: &Mappings) -> Vec<Gap> {
        let ends = std::iter::once(0).chain(mappings.iter().map(|mapping| mapping.pages.end));
        let guard = |mapping: &Mapping| mapping.pages.start - start_with_gap(mapping);
        let starts = mappings.iter().map(|mapping| (mapping.pages.start, guard(mapping)));
        let bounds = ends.zip(starts.chain([(END_PAGE, 0)]));
        let gaps = bounds.map(|(start, (end, guard))| Gap { pages: start..end, guard });
        gaps.filter(|gap| !gap.pages.is_empty()).collect()
    }

    proptest! {
        #[test]
        fn a_place_is_the_one_that_a_look_at_every_page_finds(
            changes in prop::collection::vec(change(), 0..30),
            within in (FIELD, FIELD).prop_map(|(one, other)| one.min(other)..one.max(other)),
            len in 1..400u64,
        ) {
            let mut mappings = Mappings::default();
            for change in &changes {
                apply(&mut mappings, change);
                prop_assert_eq!(mappings.gaps().to_vec(), gaps_by_search(&mappings));
            }
            let places = || {
                let starts = within.start..(within.end + 1).saturating_sub(len);
                starts.filter(|start| is_free_by_search(&mappings, &(*start..start + len)))
            };
            prop_assert_eq!(find_highest(&mappings, within.clone(), len), places().next_back());
            prop_assert_eq!(find_lowest(&mappings, within.clone(), len), places().next());
            for start in places() {
                prop_assert!(is_free(&mappings, start..start + len));
            }
        }
    }
}
