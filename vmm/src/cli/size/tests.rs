use super::{format, parse};

#[test]
fn sizes_are_told_in_their_unit() {
    for (bytes, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (5 << 30, "5 GiB"),
        (3 << 50, "3072 TiB"),
    ] {
        assert_eq!(format(bytes), text);
    }
}

#[test]
fn suffixes_are_powers_of_1024() {
    for (text, bytes) in [
        ("0", 0),
        ("65536", 65536),
        ("4k", 4096),
        ("512M", 512 << 20),
        ("2GiB", 2 << 30),
        ("1tb", 1 << 40),
        ("7b", 7),
    ] {
        assert_eq!(parse(text), Ok(bytes), "{text}");
    }
}

#[test]
fn what_is_no_size_is_refused() {
    for text in ["", "M", "-1", "1X", "99999999999999999999", "99999999999T", "4kibib", "4bb", "\u{663}M"] {
        assert!(parse(text).is_err(), "{text}");
    }
}
