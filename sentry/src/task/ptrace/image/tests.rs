use super::*;

fn image() -> Image {
    let mut extended_state = initial_extended_state();
    extended_state.resize(832, 0);
    Image {
        registers: Registers { rflags: 0x202, ..Registers::default() },
        original_rax: u64::MAX,
        bases: SegmentBases::default(),
        debug: DebugRegisters::default(),
        extended_state,
        extended_features: 7,
        has_new_extended_state: false,
        user_dispatch: None,
    }
}

#[test]
fn what_a_debugger_sets_it_reads_back() {
    let mut image = image();
    for place in 0..GENERAL_REGISTER_COUNT {
        let is_fixed = [CS, SS, FLAGS].contains(&place) || DATA_SEGMENTS.contains(&place);
        if !is_fixed {
            image.set_word(place, place as u64 + 1000).unwrap();
            assert_eq!(image.words()[place], place as u64 + 1000);
        }
    }
    let words = image.words();
    image.set_words(&words).unwrap();
    assert_eq!(image.words(), words);
}

#[test]
fn segments_and_privileged_flags_cannot_change() {
    let mut image = image();
    assert_eq!(image.set_word(CS, 0x10), Err(Errno::EIO));
    assert_eq!(image.set_word(SS, 0), Err(Errno::EIO));
    assert_eq!(image.set_word(FS_BASE, 1 << 63), Err(Errno::EIO));
    assert_eq!(image.set_word(GENERAL_REGISTER_COUNT, 0), Err(Errno::EIO));
    image.set_word(FLAGS, u64::MAX).unwrap();
    assert_eq!(image.registers.rflags, Registers::USER_FLAGS | 0x202);
}

#[test]
fn the_extended_state_is_checked_before_it_is_taken() {
    let mut image = image();
    let mut area = image.xstate();
    assert_eq!(word(&area, SOFTWARE_XCR0), 7);
    area[XSTATE_BV.start] = 8;
    assert_eq!(image.set_xstate(&area), Err(Errno::EINVAL));
    area[XSTATE_BV.start] = 7;
    assert_eq!(image.set_xstate(&area[..512]), Err(Errno::EFAULT));
    image.set_xstate(&area).unwrap();
    assert!(image.has_new_extended_state);
    let mut legacy = image.floating_point();
    legacy[160] = 9;
    image.set_floating_point(&legacy).unwrap();
    assert_eq!(image.xstate()[160], 9);
    legacy[27] = 0xff;
    assert_eq!(image.set_floating_point(&legacy), Err(Errno::EINVAL));
}
