use super::*;

#[test]
fn wake_operations_are_those_of_the_manual() {
    let encode = |operation: u32, comparison: u32, operand: u32, compared: u32| {
        operation << 28 | comparison << 24 | (operand & 0xfff) << 12 | compared & 0xfff
    };
    for (encoded, old, new, holds) in [
        (encode(0, 0, 5, 3), 3, 5, true),
        (encode(1, 1, 2, 3), 3, 5, false),
        (encode(2, 2, 0b100, 9), 0b001, 0b101, true),
        (encode(3, 3, 0b011, 7), 0b111, 0b100, true),
        (encode(4, 4, 0b110, 2), 0b011, 0b101, true),
        // 1 << 4, and a comparison with -1.
        (encode(8 | 1, 5, 4, 0xfff), 1, 17, true),
        (encode(1, 4, 0xfff, 0), 5, 4, true),
    ] {
        let operation = WakeOperation::decode(encoded).unwrap();
        assert_eq!((operation.changed(old), operation.holds(old)), (new, holds), "{operation:?}");
    }
    assert_eq!(WakeOperation::decode(encode(5, 0, 0, 0)), Err(Errno::ENOSYS));
    assert_eq!(WakeOperation::decode(encode(0, 6, 0, 0)), Err(Errno::ENOSYS));
}
