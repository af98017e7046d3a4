use super::super::mapping::Contents;
use super::super::policy::MemoryPolicy;
use super::*;
use crate::platform::Access;

fn anonymous(pages: Range<u64>, protection: Access) -> Mapping {
    Mapping {
        pages,
        protection,
        max_protection: Access::all(),
        flags: MappingFlags::empty(),
        contents: Contents::Anonymous,
        policy: MemoryPolicy::default(),
        name: None,
        userfaults: None,
        reservation: None,
    }
}

fn layout(mappings: &Mappings) -> Vec<(Range<u64>, Access)> {
    mappings.iter().map(|mapping| (mapping.pages.clone(), mapping.protection)).collect()
}

#[test]
fn equal_neighbours_become_one() {
    let mut mappings = Mappings::default();
    mappings.insert(anonymous(10..20, Access::READ));
    mappings.insert(anonymous(30..40, Access::READ));
    mappings.insert(anonymous(20..30, Access::READ));
    assert_eq!(layout(&mappings), [(10..40, Access::READ)]);
    assert_eq!(mappings.total_pages(), 30);
}

#[test]
fn updates_split_at_their_ends_and_merge_again() {
    let mut mappings = Mappings::default();
    mappings.insert(anonymous(0..30, Access::READ));
    mappings.update(10..20, |mapping| mapping.protection = Access::all());
    assert_eq!(layout(&mappings), [(0..10, Access::READ), (10..20, Access::all()), (20..30, Access::READ)]);
    mappings.update(5..25, |mapping| mapping.protection = Access::READ);
    assert_eq!(layout(&mappings), [(0..30, Access::READ)]);
}

#[test]
fn taking_a_range_leaves_the_rest() {
    let mut mappings = Mappings::default();
    mappings.insert(anonymous(0..10, Access::READ));
    mappings.insert(anonymous(10..20, Access::all()));
    assert_eq!(mappings.pages_in(5..50), 15);
    assert_eq!(mappings.covered_until(5..50), 20);
    assert_eq!(mappings.take(5..15).len(), 2);
    assert_eq!(layout(&mappings), [(0..5, Access::READ), (15..20, Access::all())]);
    assert_eq!(mappings.at_or_after(5).map(|mapping| mapping.pages.start), Some(15));
    assert_eq!(mappings.total_pages(), 10);
}
