use super::*;

#[test]
fn device_numbers_survive_their_encoding() {
    for (device, number) in [
        (DeviceNumber::new(1, 3), 0x103),
        (DeviceNumber::new(136, 257), 0x10_8801),
        (DeviceNumber::new(0x1234, 0xabcde), 0x1000_abc2_34de),
    ] {
        assert_eq!(device.as_u64(), number);
        assert_eq!(DeviceNumber::from_u64(number), device);
    }
}
