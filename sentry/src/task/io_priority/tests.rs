use super::*;

#[test]
fn classes_and_levels_are_checked_as_linux_does() {
    for (bits, is_privileged, expected) in [
        (0, false, Ok(IoPriority(0))),
        (1, false, Err(Errno::EINVAL)),
        (8, false, Ok(IoPriority(8))),
        (0x2001, false, Err(Errno::EPERM)),
        (0x2001, true, Ok(IoPriority(0x2001))),
        (0x6003, false, Ok(IoPriority(0x6003))),
        (0x8000, true, Err(Errno::EINVAL)),
        (0x14003, false, Ok(IoPriority(0x4003))),
    ] {
        assert_eq!(IoPriority::new(bits, is_privileged), expected, "{bits:x}");
    }
}
