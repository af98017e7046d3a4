use super::*;

#[test]
fn addresses_are_as_long_as_linux_makes_them() {
    for (bytes, address, encoded) in [
        (&b"\x01\0"[..], UnixAddress::Unnamed, &b"\x01\0"[..]),
        (b"\x01\0/tmp/x\0\0\0", UnixAddress::Path(b"/tmp/x"[..].into()), b"\x01\0/tmp/x\0"),
        (b"\x01\0/tmp/x", UnixAddress::Path(b"/tmp/x"[..].into()), b"\x01\0/tmp/x\0"),
        (b"\x01\0\0a\0b", UnixAddress::Abstract(b"a\0b"[..].into()), b"\x01\0\0a\0b"),
    ] {
        assert_eq!(UnixAddress::from_bytes(bytes), Ok(address.clone()));
        assert_eq!(address.to_bytes(), encoded);
    }
}

#[test]
fn other_families_and_lengths_are_invalid() {
    for bytes in [&b""[..], b"\x01", b"\x02\0abc", &[1; 111]] {
        assert_eq!(UnixAddress::from_bytes(bytes), Err(Errno::EINVAL));
    }
}
