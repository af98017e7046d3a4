//! What a setting is, and what may be written to it.

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
}

#[derive(Debug)]
enum Contents {
    Numbers {
        default: &'static [i64],
        min: i64,
        max: i64,
    },
    Text(&'static str),
    /// Ranges of ports: the first and the last of each.
    Ports,
}

/// Numbers without bounds but those of an int.
pub(super) const fn number(name: &'static str, default: &'static [i64]) -> Setting {
    ranged(name, default, i32::MIN as i64, INT_MAX)
}

/// Numbers from `min` to `max`.
pub(super) const fn ranged(name: &'static str, default: &'static [i64], min: i64, max: i64) -> Setting {
    Setting { name, contents: Contents::Numbers { default, min, max } }
}

/// A text that stays as it is.
pub(super) const fn text(name: &'static str, text: &'static str) -> Setting {
    Setting { name, contents: Contents::Text(text) }
}

/// Ranges of ports, none at first.
pub(super) const fn ports(name: &'static str) -> Setting {
    Setting { name, contents: Contents::Ports }
}

impl Setting {
    /// The name of its file.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it can be changed.
    pub fn is_writable(&self) -> bool {
        !matches!(self.contents, Contents::Text(_))
    }

    /// What it is in a new namespace; nothing if it is a text.
    pub(super) fn default(&self) -> &'static [i64] {
        match self.contents {
            Contents::Numbers { default, .. } => default,
            Contents::Text(_) | Contents::Ports => &[],
        }
    }

    /// Its file's contents while it has these numbers.
    pub(super) fn show(&self, numbers: &[i64]) -> String {
        match self.contents {
            Contents::Text(text) => format!("{text}\n"),
            Contents::Ports => {
                let ranges = numbers.chunks_exact(2).map(|range| match range {
                    [first, last] if first != last => format!("{first}-{last}"),
                    range => range.first().map_or(String::new(), i64::to_string),
                });
                format!("{}\n", ranges.collect::<Vec<_>>().join(","))
            }
            Contents::Numbers { .. } => {
                let words: Vec<String> = numbers.iter().map(i64::to_string).collect();
                format!("{}\n", words.join("\t"))
            }
        }
    }

    /// The numbers that it has after `text` was written to it, which had `old` ones: what is not written stays, and what is too
    /// many does not matter.
    ///
    /// # Errors
    /// EINVAL for what is no number, and for one out of range. EACCES for a text.
    pub(super) fn parse(&self, text: &[u8], old: &[i64]) -> Result<Vec<i64>, Errno> {
        let (min, max) = match self.contents {
            Contents::Numbers { min, max, .. } => (min, max),
            Contents::Ports => return parse_ports(std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?),
            Contents::Text(_) => return Err(Errno::EACCES),
        };
        let text = std::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        let words = text.split_whitespace().take(old.len());
        let written: Vec<i64> = words.map(parse_number).collect::<Result<_, _>>()?;
        if written.is_empty() || written.iter().any(|number| !(min..=max).contains(number)) {
            return Err(Errno::EINVAL);
        }
        let kept = old.iter().skip(written.len()).copied();
        Ok(written.iter().copied().chain(kept).collect())
    }
}

/// Ports and ranges of them, each behind a comma or on a line of its own, in their order and joined where they touch.
fn parse_ports(text: &str) -> Result<Vec<i64>, Errno> {
    const SEPARATORS: [char; 2] = [',', '\n'];
    let text = text.strip_prefix('\n').unwrap_or(text);
    let text = text.strip_suffix(SEPARATORS).unwrap_or(text);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut ranges: Vec<(i64, i64)> = text.split(SEPARATORS).map(parse_range).collect::<Result<_, _>>()?;
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

/// A port, or the first and the last one with a hyphen between.
fn parse_range(word: &str) -> Result<(i64, i64), Errno> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (parse_number(first)?, parse_number(last)?);
    if (0..=last).contains(&first) && last <= i64::from(u16::MAX) {
        Ok((first, last))
    } else {
        Err(Errno::EINVAL)
    }
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
