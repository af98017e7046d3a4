use proptest::prelude::*;

use super::super::mapping::Contents;
use super::super::policy::MemoryPolicy;
use super::*;
use crate::platform::Access;

fn mappings(ranges: &[(Range<u64>, MappingFlags)]) -> Mappings {
    let mut mappings = Mappings::default();
    for (pages, flags) in ranges.iter().cloned() {
        let (protection, contents) = (Access::READ, Contents::Anonymous);
        mappings.insert(Mapping {
            pages,
            protection,
            max_protection: protection,
            flags,
            contents,
            policy: MemoryPolicy::default(),
            name: None,
            userfaults: None,
            reservation: None,
        });
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
    let mappings = mappings(&[(1000..1100, MappingFlags::GROWSDOWN)]);
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
    let flags = prop_oneof![3 => Just(MappingFlags::empty()), 1 => Just(MappingFlags::GROWSDOWN)];
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
                policy: MemoryPolicy::default(),
                name: None,
                userfaults: None,
                reservation: None,
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
