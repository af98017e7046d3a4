use super::*;

#[test]
fn control_bits_say_what_is_watched() {
    let mut registers = DebugRegisters::default();
    registers.set(0, 0x1000).unwrap();
    registers.set(3, 0x2008).unwrap();
    assert!(!registers.is_enabled());
    // DR0: execution. DR3: writes of 8 bytes.
    registers.set(7, 1 | 1 << 6 | 0b1001 << 28).unwrap();
    let points: Vec<_> = registers.breakpoints().collect();
    assert_eq!(points.len(), 2);
    assert_eq!(points[0], Breakpoint { index: 0, kind: Kind::Execute, address: 0x1000, len_bytes: 1 });
    assert_eq!(points[1], Breakpoint { index: 3, kind: Kind::Write, address: 0x2008, len_bytes: 8 });
}

#[test]
fn what_cannot_be_watched_is_refused_and_changes_nothing() {
    let mut registers = DebugRegisters::default();
    registers.set(1, 0x1001).unwrap();
    for control in [0b10 << 20 | 1 << 2, 0b1101 << 20 | 1 << 2, 0b0100 << 20 | 1 << 2] {
        assert_eq!(registers.set(7, control), Err(Errno::EINVAL));
        assert_eq!(registers.get(7), 0);
    }
    assert_eq!(registers.set(0, VirtualAddress::USER_END.0), Err(Errno::EINVAL));
    assert_eq!(registers.set(4, 1), Err(Errno::EIO));
    assert_eq!(registers.set(6, u64::MAX), Ok(()));
}

#[test]
fn an_access_hits_what_it_overlaps_and_a_read_only_what_watches_for_reads() {
    let mut registers = DebugRegisters::default();
    registers.set(0, 0x1000).unwrap();
    registers.set(1, 0x1008).unwrap();
    registers.set(2, 0x1004).unwrap();
    // DR0: writes of 4 bytes. DR1: reads and writes of 8. DR2: execution.
    registers.set(7, 1 | 1 << 2 | 1 << 4 | 0b1101 << 16 | 0b1011 << 20).unwrap();
    for (address, len_bytes, is_write, hits) in [
        (0x1000, 4, true, 1),
        (0x1000, 4, false, 0),
        (0x1003, 8, true, 3),
        (0x1003, 8, false, 2),
        (0xfff, 1, true, 0),
        (0x1004, 4, true, 0),
        (0x1010, 1, true, 0),
        (0xff0, 64, true, 3),
        (u64::MAX, 8, true, 0),
    ] {
        assert_eq!(registers.hits_by_access(address, len_bytes, is_write), hits, "{address:#x}");
    }
    assert_eq!(registers.hits_by_execution(0x1004), 4);
    assert_eq!(registers.hits_by_execution(0x1000), 0);
}
