//! Formats of programs that an interpreter runs (`admin-guide/binfmt-misc.rst` of Linux's documentation).

use std::sync::Arc;

use parking_lot::RwLock;

use crate::Errno;
use crate::fs::Path;
use crate::heap::HeapCharge;

/// How much of a file tells its kind (Linux's `BINPRM_BUF_SIZE`).
const HEAD_BYTES: usize = 256;
/// Shortest and longest text of a registration.
const REGISTRATION_LEN: std::ops::RangeInclusive<usize> = 11..=1920;
/// The most formats that there are at a time.
const MAX_FORMATS: usize = 256;

/// What tells that a file is of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    /// These bytes at a place in the file, as far as the mask says.
    Magic { offset: usize, magic: Vec<u8>, mask: Option<Vec<u8>> },
    /// What follows the last dot of its name.
    Extension(Vec<u8>),
}

/// A format.
#[derive(Clone)]
pub struct BinaryFormat {
    pub(super) name: Vec<u8>,
    is_enabled: bool,
    mark: Mark,
    /// The path of the program that runs such files.
    pub(crate) interpreter: Vec<u8>,
    /// The interpreter is told what the program was called, too (`P`).
    pub(crate) keeps_name: bool,
    /// The interpreter as it was when the format was registered (`F`).
    pub(crate) opened: Option<Path>,
}

/// The formats of a kernel.
#[derive(Default)]
pub struct BinaryFormats(RwLock<State>);

struct State {
    is_enabled: bool,
    /// The one that was registered last comes first.
    formats: Vec<(Arc<BinaryFormat>, HeapCharge)>,
}

impl Default for State {
    fn default() -> Self {
        Self { is_enabled: true, formats: Vec::new() }
    }
}

/// What is asked of a format, or of all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Disable,
    Enable,
    Remove,
}

impl Order {
    /// # Errors
    /// EINVAL.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Errno> {
        match text.strip_suffix(b"\n").unwrap_or(text) {
            b"0" => Ok(Self::Disable),
            b"1" => Ok(Self::Enable),
            b"-1" => Ok(Self::Remove),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl BinaryFormats {
    /// The format of a file called `name` that begins with `head`.
    pub(crate) fn find(&self, name: &[u8], head: &[u8]) -> Option<Arc<BinaryFormat>> {
        let state = self.0.read();
        if !state.is_enabled {
            return None;
        }
        let mut formats = state.formats.iter().map(|(format, _)| format);
        formats.find(|format| format.is_enabled && format.mark.is_on(name, head)).cloned()
    }

    /// Adds what `text` describes; `open` finds an interpreter that is to be opened now.
    ///
    /// # Errors
    /// EINVAL: it makes no sense. EEXIST: there is one of its name. ENOSPC: there are too many. And those of `open`.
    pub(super) fn register(
        &self,
        text: &[u8],
        open: impl FnOnce(&[u8]) -> Result<Path, Errno>,
    ) -> Result<(), Errno> {
        let (mut format, is_opened) = BinaryFormat::parse(text)?;
        if is_opened {
            format.opened = Some(open(&format.interpreter)?);
        }
        let charge = HeapCharge::new(size_of::<BinaryFormat>() + 2 * text.len())?;
        let mut state = self.0.write();
        if state.formats.iter().any(|(other, _)| other.name == format.name) {
            return Err(Errno::EEXIST);
        }
        if state.formats.len() >= MAX_FORMATS {
            return Err(Errno::ENOSPC);
        }
        state.formats.insert(0, (Arc::new(format), charge));
        Ok(())
    }

    pub(super) fn names(&self) -> Vec<Vec<u8>> {
        self.0.read().formats.iter().map(|(format, _)| format.name.clone()).collect()
    }

    pub(super) fn named(&self, name: &[u8]) -> Option<Arc<BinaryFormat>> {
        let state = self.0.read();
        state.formats.iter().map(|(format, _)| format).find(|format| format.name == name).cloned()
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.0.read().is_enabled
    }

    /// Does `order` to all.
    pub(super) fn order_all(&self, order: Order) {
        let mut state = self.0.write();
        let removed = match order {
            Order::Remove => std::mem::take(&mut state.formats),
            Order::Enable | Order::Disable => {
                state.is_enabled = order == Order::Enable;
                Vec::new()
            }
        };
        drop(state);
        // Unlocked: with an interpreter may go its file system.
        drop(removed);
    }

    /// Does `order` to the format called `name`.
    pub(super) fn order(&self, name: &[u8], order: Order) {
        let mut state = self.0.write();
        let Some(index) = state.formats.iter().position(|(format, _)| format.name == name) else { return };
        let removed = match order {
            Order::Remove => Some(state.formats.remove(index)),
            Order::Enable | Order::Disable => {
                if let Some((format, _)) = state.formats.get_mut(index) {
                    let is_enabled = order == Order::Enable;
                    *format = Arc::new(BinaryFormat { is_enabled, ..(**format).clone() });
                }
                None
            }
        };
        drop(state);
        drop(removed);
    }
}

impl Mark {
    fn is_on(&self, name: &[u8], head: &[u8]) -> bool {
        match self {
            Self::Extension(extension) => {
                let dot = name.iter().rposition(|&byte| byte == b'.');
                dot.and_then(|dot| name.get(dot + 1..)).is_some_and(|found| found == extension)
            }
            Self::Magic { offset, magic, mask } => {
                let masks = mask.iter().flatten().copied().chain(std::iter::repeat(0xff));
                // Behind the end of a short file are zeroes.
                let bytes = head.iter().copied().chain(std::iter::repeat(0)).skip(*offset);
                magic.iter().zip(bytes).zip(masks).all(|((wanted, byte), mask)| (wanted ^ byte) & mask == 0)
            }
        }
    }
}

impl BinaryFormat {
    /// What `:name:type:offset:magic:mask:interpreter:flags` describes, with any separator; and whether the interpreter is to be
    /// opened now.
    fn parse(text: &[u8]) -> Result<(Self, bool), Errno> {
        if !REGISTRATION_LEN.contains(&text.len()) {
            return Err(Errno::EINVAL);
        }
        let (separator, rest) = text.split_first().ok_or(Errno::EINVAL)?;
        let mut fields = rest.splitn(7, |byte| byte == separator);
        let mut next = || fields.next().ok_or(Errno::EINVAL);
        let (name, kind, offset) = (next()?, next()?, next()?);
        let (magic, mask, interpreter, flags) = (next()?, next()?, next()?, next()?);
        let is_name = !matches!(name, b"" | b"." | b".." | b"register" | b"status") && !name.contains(&b'/');
        let mark = match kind {
            b"M" => parse_magic(offset, magic, mask)?,
            b"E" if !magic.is_empty() && !magic.contains(&b'/') => Mark::Extension(magic.to_vec()),
            _ => return Err(Errno::EINVAL),
        };
        let (mut keeps_name, mut is_opened) = (false, false);
        for flag in flags.strip_suffix(b"\n").unwrap_or(flags) {
            match flag {
                b'P' => keeps_name = true,
                b'F' => is_opened = true,
                // The interpreter gets no descriptor of the program here, so those that ask for one are refused.
                _ => return Err(Errno::EINVAL),
            }
        }
        if !is_name || interpreter.is_empty() {
            return Err(Errno::EINVAL);
        }
        let (name, interpreter) = (name.to_vec(), interpreter.to_vec());
        let format = Self { name, is_enabled: true, mark, interpreter, keeps_name, opened: None };
        Ok((format, is_opened))
    }

    /// What the format's file tells.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = if self.is_enabled { b"enabled\n".to_vec() } else { b"disabled\n".to_vec() };
        let flags = [(self.keeps_name, "P"), (self.opened.is_some(), "F")];
        let flags: String = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, letter)| *letter).collect();
        text.extend_from_slice(b"interpreter ");
        text.extend_from_slice(&self.interpreter);
        text.extend_from_slice(format!("\nflags: {flags}\n").as_bytes());
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match &self.mark {
            Mark::Extension(extension) => {
                text.extend_from_slice(b"extension .");
                text.extend_from_slice(extension);
                text.push(b'\n');
            }
            Mark::Magic { offset, magic, mask } => {
                text.extend_from_slice(format!("offset {offset}\nmagic {}\n", hexadecimal(magic)).as_bytes());
                if let Some(mask) = mask {
                    text.extend_from_slice(format!("mask {}\n", hexadecimal(mask)).as_bytes());
                }
            }
        }
        text
    }
}

fn parse_magic(offset: &[u8], magic: &[u8], mask: &[u8]) -> Result<Mark, Errno> {
    let offset = match offset {
        b"" => 0,
        digits => {
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(Errno::EINVAL)?
        }
    };
    let magic = unescape(magic)?;
    let mask = if mask.is_empty() { None } else { Some(unescape(mask)?) };
    let has_good_mask = mask.as_ref().is_none_or(|mask| mask.len() == magic.len());
    let fits = magic.len().checked_add(offset).is_some_and(|end: usize| end <= HEAD_BYTES);
    if magic.is_empty() || !has_good_mask || !fits {
        return Err(Errno::EINVAL);
    }
    Ok(Mark::Magic { offset, magic, mask })
}

/// Bytes with `\xHH` for those that cannot be written.
fn unescape(mut text: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    while let Some((&first, rest)) = text.split_first() {
        let digits = text.strip_prefix(b"\\x").and_then(|digits| digits.get(..2));
        let value = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match value.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                text = text.get(4..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                text = rest;
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
