//! Classes of characters as terminals know them: those of Latin-1.

/// Whether `byte` is a control character.
pub(super) fn is_control(byte: u8) -> bool {
    byte.is_ascii_control()
}

/// Whether `byte` belongs to a word: a letter or a digit.
pub(super) fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || is_latin1_letter(byte)
}

/// The lower-case letter of an upper-case one.
pub(super) fn to_lower(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte + 0x20,
        0xc0..=0xde if byte != 0xd7 => byte + 0x20,
        _ => byte,
    }
}

/// The upper-case letter of a lower-case one.
pub(super) fn to_upper(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => byte - 0x20,
        0xdf..=0xff if byte != 0xf7 => byte - 0x20,
        _ => byte,
    }
}

fn is_latin1_letter(byte: u8) -> bool {
    byte >= 0xc0 && byte != 0xd7 && byte != 0xf7
}
