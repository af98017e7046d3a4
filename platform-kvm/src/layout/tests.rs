use super::*;

const SLOTS: usize = 32764;

#[test]
fn tables_follow_memory_at_a_whole_gib() {
    let layout = Layout::new((5 << 30) + 1, 48, SLOTS).unwrap();
    let wanted = Layout {
        memory_bytes: (5 << 30) + (2 << 20),
        chunks_start: GuestAddress(10 << 30),
        chunk_slot: 11,
        chunks_max: 16 << 10,
    };
    assert_eq!(layout, wanted);
}

#[test]
fn few_slots_and_few_addresses_leave_room_for_fewer_tables() {
    assert_eq!(Layout::new(1 << 30, 48, 509).unwrap().chunks_max, 503);
    assert_eq!(Layout::new(58 << 30, 36, SLOTS).unwrap().chunks_max, 8 << 10);
}

#[test]
fn memory_that_does_not_fit_is_refused_for_what_it_lacks() {
    for (memory_bytes, bits) in [(60 << 30, 36), (1 << 40, 40), (1 << 48, 48), (u64::MAX, 52)] {
        let error = Layout::new(memory_bytes, bits, SLOTS).unwrap_err();
        assert!(matches!(error, Error::TooMuchMemory { .. }), "{memory_bytes:#x}: {error}");
    }
    // 2^32 - 1 slots, and one more than there are.
    for (memory_bytes, bits) in [((1 << 62) - (5 << 30), 63), (32 << 40, 48)] {
        let error = Layout::new(memory_bytes, bits, SLOTS).unwrap_err();
        assert!(matches!(error, Error::TooFewSlots { .. }), "{memory_bytes:#x}: {error}");
    }
}
