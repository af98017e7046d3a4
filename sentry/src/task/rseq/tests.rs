use super::*;

const SECTION: CriticalSection =
    CriticalSection { version: 0, flags: 0, start: 0x1000, post_commit_offset: 0x20, abort_address: 0x2000 };

#[test]
fn an_area_has_a_length_an_alignment_and_a_place() {
    let new = |address, len| RseqArea::new(VirtualAddress(address), len, 1).map(|area| area.len_bytes);
    assert_eq!(new(0x1000, 32), Ok(32));
    assert_eq!(new(0x1020, 64), Ok(64));
    assert_eq!(new(0x1000, 31), Err(Errno::EINVAL));
    assert_eq!(new(0x1010, 32), Err(Errno::EINVAL));
    assert_eq!(new(VirtualAddress::USER_END.0, 32), Err(Errno::EFAULT));
    assert_eq!(new(u64::MAX - 31, 32), Err(Errno::EFAULT));
}

#[test]
fn a_section_ends_before_its_post_commit_instruction() {
    assert!(!SECTION.contains(0xfff));
    assert!(SECTION.contains(0x1000));
    assert!(SECTION.contains(0x101f));
    assert!(!SECTION.contains(0x1020));
}

#[test]
fn a_section_that_makes_no_sense_is_refused() {
    let bad = [
        CriticalSection { version: 1, ..SECTION },
        CriticalSection { start: u64::MAX - 4, ..SECTION },
        CriticalSection { post_commit_offset: u64::MAX, ..SECTION },
        CriticalSection { abort_address: u64::MAX, ..SECTION },
        CriticalSection { abort_address: 0x1010, ..SECTION },
    ];
    assert_eq!(SECTION.check(), Ok(()));
    for section in bad {
        assert_eq!(section.check(), Err(Errno::EINVAL), "{section:?}");
    }
}
