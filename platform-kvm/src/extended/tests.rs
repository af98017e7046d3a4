use super::*;

fn format() -> Format {
    Format { features: 7, len_bytes: 832, ends: vec![(4, 832)], tail_words: 0 }
}

#[test]
fn a_legacy_area_leaves_avx_initial() {
    let mut area = vec![0_u8; 512];
    area[MXCSR].copy_from_slice(&0x1fa0_u32.to_le_bytes());
    area[160] = 7;
    let bytes = format().normalize(&area).unwrap();
    assert_eq!(&bytes[XSTATE_BV], &3_u64.to_le_bytes());
    assert_eq!((bytes[160], &bytes[MXCSR]), (7, &0x1fa0_u32.to_le_bytes()[..]));
}

#[test]
fn absent_components_are_spelled_out() {
    let mut area = vec![0xff_u8; 832];
    area[LEGACY_LEN..HEADER_END].fill(0);
    area[MXCSR].copy_from_slice(&INITIAL_MXCSR);
    let bytes = format().normalize(&area).unwrap();
    assert_eq!(&bytes[..2], &INITIAL_FCW);
    assert_eq!(bytes[160], 0);
    assert_eq!(&bytes[XSTATE_BV], &3_u64.to_le_bytes());
}

#[test]
fn what_xrstor_refuses_is_refused() {
    let format = format();
    assert!(format.normalize(&[0; 511]).is_err());
    for (byte, value) in [(26, 4), (512, 8), (520, 1), (540, 1)] {
        let mut area = format.initial();
        area[byte] = value;
        assert_eq!(format.normalize(&area), Err(InvalidExtendedState), "byte {byte}");
    }
}

#[test]
fn packing_keeps_every_byte() {
    for len_bytes in [0_usize, 1, 8, 831, 832, 2696] {
        let area: Vec<u8> =
            (0..len_bytes).map(|index| if index / 40 % 3 == 0 { index as u8 } else { 0 }).collect();
        let packed = Packed::new(&area);
        assert_eq!(packed.bytes(), area);
        assert!(packed.words.len() <= len_bytes.div_ceil(8).div_ceil(64) + len_bytes.div_ceil(16) + 2);
    }
}

#[test]
fn what_kvm_tells_of_the_hosts_components_is_left_out() {
    let format = format();
    let mut area = format.to_xsave(&format.initial()).unwrap();
    area.as_mut_slice_of_head()[XSTATE_BV.start / 4] |= 1 << 9 | 4;
    let bytes = format.to_bytes(&area);
    assert_eq!(&bytes[XSTATE_BV], &7_u64.to_le_bytes());
    assert!(format.normalize(&bytes).is_ok());
}

#[test]
fn bytes_go_to_kvm_and_back() {
    let format = format();
    let mut area = format.initial();
    area[700] = 9;
    assert_eq!(format.to_bytes(&format.to_xsave(&area).unwrap()), area);
}
