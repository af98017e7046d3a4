//! Tests of what needs no task.

use super::memory::{Layout, RingMemory};
use super::{Buffer, Registered};
use crate::Errno;

fn layout(sq_entries: u32, cq_entries: u32) -> Layout {
    Layout { sq_entries, cq_entries, has_large_sqes: false, has_large_cqes: false, has_array: true }
}

#[test]
fn the_array_follows_the_completions() {
    let offsets = layout(4, 8).sq_offsets();
    let completions = layout(4, 8).cq_offsets().cqes;
    assert!(offsets.array >= completions + 8 * 16);
    assert_eq!(offsets.array % 64, 0);
    assert_eq!(Layout { has_array: false, ..layout(4, 8) }.sq_offsets().array, 0);
}

#[test]
fn both_rings_are_mapped_from_one_place() {
    assert_eq!(RingMemory::mapped_offset(0), Ok(0));
    assert_eq!(RingMemory::mapped_offset(0x800_0000), Ok(0));
    assert_eq!(RingMemory::mapped_offset(0x1000_0000), Ok(0x1000_0000));
    assert_eq!(RingMemory::mapped_offset(0x1800_0000), Err(Errno::EINVAL));
}

#[test]
fn a_buffer_holds_what_lies_within_it() {
    let buffer = Buffer { address: 100, len_bytes: 10 };
    assert!(buffer.holds(100, 10) && buffer.holds(110, 0) && buffer.holds(105, 5));
    assert!(!buffer.holds(99, 1) && !buffer.holds(105, 6) && !buffer.holds(105, u64::MAX));
}

#[test]
fn places_that_do_not_exist_are_refused() {
    let mut registered = Registered::default();
    assert_eq!(registered.set_file(0, None).err(), Some(Errno::ENXIO));
    registered.files = Some(vec![None; 2]);
    assert_eq!(registered.set_file(2, None).err(), Some(Errno::EINVAL));
    assert!(
        registered.set_file(1, None).is_ok() && registered.file(1).is_none() && registered.file(9).is_none()
    );
}
