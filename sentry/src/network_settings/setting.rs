//! What a setting is, and what may be written to it.

use std::net::Ipv6Addr;

use crate::Errno;

/// The largest number of a C int.
pub(super) const INT_MAX: i64 = i32::MAX as i64;
/// The largest number of a group (`GID_T_MAX`).
pub(super) const GID_MAX: i64 = u32::MAX as i64 - 1;

/// A setting: one number or some, or a text that nobody changes.
#[derive(Debug)]
pub struct Setting {
    name: &'static str,
    contents: Contents,
    is_private: bool,
}

#[derive(Debug)]
enum Contents {
    Numbers {
        default: &'static [i64],
        min: i64,
        max: i64,
    },
    Text(&'static str),
    /// Ranges of numbers up to `max`: the first and the last of each.
    Ranges {
        default: &'static [i64],
        max: i64,
    },
    /// One of these words, kept as its place among them.
    Choice(&'static [&'static str]),
    /// Keys of TCP Fast Open, of four words each.
    Keys,
    /// An IPv6 address of eight groups; nothing before it is set.
    Address,
    /// What does something when it is written, and cannot be read.
    Action,
}

/// The words of a key.
const KEY_WORDS: usize = 4;
/// The groups of an IPv6 address.
const ADDRESS_GROUPS: usize = 8;

/// Numbers without bounds but those of an int.
pub(super) const fn number(name: &'static str, default: &'static [i64]) -> Setting {
    ranged(name, default, i32::MIN as i64, INT_MAX)
}

/// Numbers from `min` to `max`.
pub(super) const fn ranged(name: &'static str, default: &'static [i64], min: i64, max: i64) -> Setting {
    Setting { name, contents: Contents::Numbers { default, min, max }, is_private: false }
}

/// A text that stays as it is.
pub(super) const fn text(name: &'static str, text: &'static str) -> Setting {
    Setting { name, contents: Contents::Text(text), is_private: false }
}

/// Ranges of numbers up to `max`.
pub(super) const fn ranges(name: &'static str, default: &'static [i64], max: i64) -> Setting {
    Setting { name, contents: Contents::Ranges { default, max }, is_private: false }
}

/// One of some words, the first one to begin with.
pub(super) const fn choice(name: &'static str, words: &'static [&'static str]) -> Setting {
    Setting { name, contents: Contents::Choice(words), is_private: false }
}

/// Keys that only their owner sees.
pub(super) const fn keys(name: &'static str) -> Setting {
    Setting { name, contents: Contents::Keys, is_private: true }
}

/// An address that only its owner sees.
pub(super) const fn address(name: &'static str) -> Setting {
    Setting { name, contents: Contents::Address, is_private: true }
}

/// What is only written.
pub(super) const fn action(name: &'static str) -> Setting {
    Setting { name, contents: Contents::Action, is_private: true }
}

impl Setting {
    /// The name of its file.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether writing it does something once, and nothing is kept.
    pub(super) fn is_action(&self) -> bool {
        matches!(self.contents, Contents::Action)
    }

    /// The permissions of its file.
    pub fn permissions(&self) -> u32 {
        match self.contents {
            Contents::Text(_) => 0o444,
            Contents::Action => 0o200,
            _ if self.is_private => 0o600,
            _ => 0o644,
        }
    }

    /// What it is in a new namespace; nothing if it is a text.
    pub(super) fn default(&self) -> &'static [i64] {
        match self.contents {
            Contents::Numbers { default, .. } | Contents::Ranges { default, .. } => default,
            Contents::Choice(_) => &[0],
            Contents::Keys => &[0; KEY_WORDS],
            Contents::Text(_) | Contents::Address | Contents::Action => &[],
        }
    }

    /// Its file's contents while it has these numbers.
    ///
    /// # Errors
    /// EIO for an address that was not set; EINVAL for what is only written.
    pub(super) fn show(&self, numbers: &[i64]) -> Result<String, Errno> {
        Ok(match self.contents {
            Contents::Text(text) => format!("{text}\n"),
            Contents::Action => return Err(Errno::EINVAL),
            Contents::Address if numbers.is_empty() => return Err(Errno::EIO),
            Contents::Address => joined(numbers, ":", |group| format!("{group:04x}")),
            Contents::Keys => {
                let keys =
                    numbers.chunks(KEY_WORDS).map(|key| joined(key, "-", |word| format!("{word:08x}")));
                keys.map(|key| key.trim_end().to_string()).collect::<Vec<_>>().join(",") + "\n"
            }
            Contents::Choice(words) => {
                let place = numbers.first().and_then(|number| usize::try_from(*number).ok());
                format!("{}\n", place.and_then(|place| words.get(place)).copied().unwrap_or_default())
            }
            Contents::Ranges { .. } => {
                let ranges = numbers.chunks_exact(2).map(|range| match range {
                    [first, last] if first != last => format!("{first}-{last}"),
                    range => range.first().map_or(String::new(), i64::to_string),
                });
                format!("{}\n", ranges.collect::<Vec<_>>().join(","))
            }
            Contents::Numbers { .. } => joined(numbers, "\t", i64::to_string),
        })
    }

    /// The numbers that it has after `text` was written to it, which had `old` ones: what is not written stays, and what is too
    /// many does not matter.
    ///
    /// # Errors
    /// EINVAL for what is no number, and for one out of range. ENOENT for a word that is no choice. EIO for what is no address.
    /// EACCES for a text.
    pub(super) fn parse(&self, text: &[u8], old: &[i64]) -> Result<Vec<i64>, Errno> {
        let (min, max) = match self.contents {
            Contents::Numbers { min, max, .. } => (min, max),
            Contents::Text(_) => return Err(Errno::EACCES),
            Contents::Action => return Ok(Vec::new()),
            _ => (0, 0),
        };
        let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        match self.contents {
            Contents::Ranges { max, .. } => return parse_ranges(text, max),
            Contents::Choice(words) => {
                let place = words.iter().position(|word| *word == text.trim()).ok_or(Errno::ENOENT)?;
                return Ok(vec![i64::try_from(place).map_err(|_| Errno::ENOENT)?]);
            }
            Contents::Keys => return parse_keys(text.trim()),
            Contents::Address => return parse_address(text.trim()),
            _ => {}
        }
        let words = text.split_whitespace().take(old.len());
        let written: Vec<i64> = words.map(parse_number).collect::<Result<_, _>>()?;
        if written.is_empty() || written.iter().any(|number| !(min..=max).contains(number)) {
            return Err(Errno::EINVAL);
        }
        let kept = old.iter().skip(written.len()).copied();
        Ok(written.iter().copied().chain(kept).collect())
    }
}

/// The numbers on a line.
fn joined(numbers: &[i64], separator: &str, word: impl Fn(&i64) -> String) -> String {
    format!("{}\n", numbers.iter().map(word).collect::<Vec<_>>().join(separator))
}

/// One key or two with a comma between, as four words in hexadecimal each.
fn parse_keys(text: &str) -> Result<Vec<i64>, Errno> {
    const MAX_KEYS: usize = 2;
    let keys: Vec<&str> = text.split(',').collect();
    let mut words = Vec::new();
    for key in &keys {
        let of_key: Vec<&str> = key.split('-').collect();
        if of_key.len() != KEY_WORDS || keys.len() > MAX_KEYS {
            return Err(Errno::EINVAL);
        }
        words.extend(of_key);
    }
    let number = |word: &str| u32::from_str_radix(word, 16).map(i64::from).map_err(|_| Errno::EINVAL);
    words.into_iter().map(number).collect()
}

/// The groups of an IPv6 address.
fn parse_address(text: &str) -> Result<Vec<i64>, Errno> {
    let address: Ipv6Addr = text.parse().map_err(|_| Errno::EIO)?;
    let groups: [u16; ADDRESS_GROUPS] = address.segments();
    Ok(groups.map(i64::from).to_vec())
}

/// Numbers and ranges of them, each behind a comma or on a line of its own, in their order and joined where they touch.
fn parse_ranges(text: &str, max: i64) -> Result<Vec<i64>, Errno> {
    const SEPARATORS: [char; 2] = [',', '\n'];
    let text = text.strip_prefix('\n').unwrap_or(text);
    let text = text.strip_suffix(SEPARATORS).unwrap_or(text);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut ranges: Vec<(i64, i64)> =
        text.split(SEPARATORS).map(|word| parse_range(word, max)).collect::<Result<_, _>>()?;
    ranges.sort_unstable();
    let mut joined: Vec<i64> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(end) if first <= *end + 1 => *end = last.max(*end),
            _ => joined.extend([first, last]),
        }
    }
    Ok(joined)
}

/// A number, or the first and the last one with a hyphen between.
fn parse_range(word: &str, max: i64) -> Result<(i64, i64), Errno> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (parse_number(first)?, parse_number(last)?);
    if (0..=last).contains(&first) && last <= max { Ok((first, last)) } else { Err(Errno::EINVAL) }
}

/// A number in any of C's notations.
fn parse_number(word: &str) -> Result<i64, Errno> {
    let (is_negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word),
    };
    let number = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(digits) => i64::from_str_radix(digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(digits, 8),
        None if digits.starts_with('+') => return Err(Errno::EINVAL),
        None => digits.parse(),
    };
    let number = number.map_err(|_| Errno::EINVAL)?;
    Ok(if is_negative { -number } else { number })
}
