//! Numbers as the kernel reads them from texts that are written to files and from options of mounts.

use std::num::IntErrorKind;

use crate::Errno;

/// A number in any of C's notations (`kstrtoll`).
///
/// # Errors
/// EINVAL: it is none. ERANGE: it is too large.
pub(super) fn parse_integer(text: &str) -> Result<i64, Errno> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let number = i64::try_from(parse_natural(digits)?).map_err(|_| Errno::ERANGE)?;
    Ok(if is_negative { -number } else { number })
}

/// One without a sign (`kstrtoull`).
///
/// # Errors
/// As [`parse_integer`].
pub(super) fn parse_natural(text: &str) -> Result<u64, Errno> {
    let (digits, base) = split_base(text);
    if !digits.starts_with(|first: char| first.is_digit(base)) {
        return Err(Errno::EINVAL);
    }
    u64::from_str_radix(digits, base).map_err(|error| match error.kind() {
        IntErrorKind::PosOverflow => Errno::ERANGE,
        _ => Errno::EINVAL,
    })
}

/// A number with one of the letters for 1024, 1024², … behind it, of which as much is kept as fits (`memparse`). Without digits it
/// is 0.
///
/// # Errors
/// EINVAL: there is more than that.
pub(super) fn parse_bytes(text: &str) -> Result<u64, Errno> {
    const LETTERS: &str = "KMGTPE";
    let unit = text.chars().next_back().and_then(|last| LETTERS.find(last.to_ascii_uppercase()));
    let (number, shift) = match unit {
        // In base 16 it is a digit.
        Some(_) if matches!(text.as_bytes(), [b'0', b'x' | b'X', .., b'e' | b'E']) => (text, 0),
        Some(place) => (text.get(..text.len() - 1).unwrap_or_default(), 10 * (place + 1)),
        None => (text, 0),
    };
    let number = if number.is_empty() { 0 } else { parse_natural(number).map_err(|_| Errno::EINVAL)? };
    Ok(number << shift)
}

/// The digits of a number, and their base.
fn split_base(text: &str) -> (&str, u32) {
    match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..).unwrap_or_default(), 16),
        [b'0', _, ..] => (text, 8),
        _ => (text, 10),
    }
}

#[cfg(test)]
mod tests;
