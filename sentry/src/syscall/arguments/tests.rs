use super::*;

fn decode<T: Argument>(register: u64) -> T {
    T::decode(&mut Registers { values: [register; 6], next: 0 }).unwrap()
}

#[test]
fn an_int_is_the_lower_half_of_its_register() {
    assert_eq!(decode::<i32>(0xdead_beef_ffff_ffff), -1);
    assert_eq!(decode::<i32>(0xffff_ffff_0000_0001), 1);
    assert_eq!(decode::<u32>(0xdead_beef_8000_0000), 0x8000_0000);
    assert_eq!(decode::<Fd>(1 << 32 | 3), Fd(3));
    assert_eq!(decode::<Tid>(0xffff_ffff), Tid(-1));
}

#[test]
fn a_long_is_its_whole_register() {
    assert_eq!(decode::<i64>(0xffff_ffff), 0xffff_ffff);
    assert_eq!(decode::<i64>(u64::MAX), -1);
    assert_eq!(decode::<u64>(u64::MAX), u64::MAX);
}

#[test]
fn a_negative_int_is_returned_as_a_negative_long() {
    assert_eq!((-5_i32).encode(), usize::MAX - 4);
    assert_eq!(0x8000_0000_u32.encode(), 0x8000_0000);
}

#[test]
fn compound_arguments_take_their_registers_in_order() {
    let mut registers = Registers { values: [1, 2, 3, 4, 5, 6], next: 0 };
    assert_eq!(u32::decode(&mut registers), Ok(1));
    let slice = UserSlice::decode(&mut registers).unwrap();
    assert_eq!((slice.address, slice.len_bytes), (VirtualAddress(2), 3));
    assert_eq!(u64::decode(&mut registers), Ok(4));
}
