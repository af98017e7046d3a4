//! Numbers in all notations.

use super::*;

#[test]
fn numbers_have_bases_signs_and_units() {
    for (text, expected) in [
        ("0", Ok(0)),
        ("-17", Ok(-17)),
        ("+0x1F", Ok(31)),
        ("010", Ok(8)),
        ("08", Err(Errno::EINVAL)),
        ("", Err(Errno::EINVAL)),
        ("0x", Err(Errno::EINVAL)),
        ("--1", Err(Errno::EINVAL)),
        ("1 ", Err(Errno::EINVAL)),
        ("9223372036854775808", Err(Errno::ERANGE)),
        ("99999999999999999999", Err(Errno::ERANGE)),
    ] {
        assert_eq!(parse_integer(text), expected, "{text}");
    }
    for (text, expected) in [
        ("4k", Ok(4096)),
        ("1T", Ok(1 << 40)),
        ("1e", Ok(1 << 60)),
        ("16e", Ok(0)),
        ("0x1e", Ok(30)),
        ("k", Ok(0)),
        ("", Ok(0)),
        ("1kk", Err(Errno::EINVAL)),
        ("-1", Err(Errno::EINVAL)),
    ] {
        assert_eq!(parse_bytes(text), expected, "{text}");
    }
}
