//! What an argument is, and when and how it is shown.

use super::line::Line;
use super::structures::Structure;
use super::symbols::Symbols;
use super::value;
use crate::Errno;
use crate::memory::MemoryManager;
use crate::platform::VirtualAddress;
use crate::syscall::arguments::unsigned;
use crate::width::u64_from;

/// The most that is read of user memory at once, in bytes.
const MAX_READ_BYTES: usize = 32 << 10;
/// The most elements that are shown of an array.
pub(super) const MAX_ELEMENTS: usize = 32;

/// User memory, as far as the trace needs it.
pub(super) trait GuestMemory {
    /// Copies what can be read from `address` on, and returns how much it was.
    fn read(&self, address: u64, buffer: &mut [u8]) -> usize;
}

impl GuestMemory for MemoryManager {
    fn read(&self, address: u64, buffer: &mut [u8]) -> usize {
        self.read_partial(VirtualAddress(address), buffer)
    }
}

/// A system call that is being shown.
pub(super) struct Call<'a> {
    pub(super) memory: &'a dyn GuestMemory,
    pub(super) arguments: [u64; 6],
    /// What it returned; `None` before it has.
    pub(super) result: Option<Result<usize, Errno>>,
}

impl Call<'_> {
    /// The argument at `index`; zero past the last.
    pub(super) fn argument(&self, index: usize) -> u64 {
        self.arguments.get(index).copied().unwrap_or_default()
    }

    /// The value that was returned; `None` if the call failed, or has not returned.
    pub(super) fn value(&self) -> Option<usize> {
        self.result.and_then(Result::ok)
    }

    /// `len_bytes` bytes of user memory; `None` if they cannot all be read, or are very many.
    pub(super) fn read(&self, address: u64, len_bytes: usize) -> Option<Vec<u8>> {
        if address == 0 || len_bytes > MAX_READ_BYTES {
            return None;
        }
        let mut bytes = vec![0; len_bytes];
        (self.memory.read(address, &mut bytes) == len_bytes).then_some(bytes)
    }

    /// A word of eight bytes.
    pub(super) fn read_word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        (self.memory.read(address, &mut bytes) == bytes.len()).then(|| u64::from_le_bytes(bytes))
    }

    /// A string of at most `max_bytes`, and whether it ends there; `None` if it cannot be read to its end.
    pub(super) fn read_string(&self, address: u64, max_bytes: usize) -> Option<(Vec<u8>, bool)> {
        if address == 0 {
            return None;
        }
        let max_bytes = max_bytes.min(MAX_READ_BYTES);
        let mut bytes = vec![0; max_bytes + 1];
        let read = self.memory.read(address, &mut bytes);
        bytes.truncate(read);
        match bytes.iter().position(|&byte| byte == 0) {
            Some(end) => {
                bytes.truncate(end);
                Some((bytes, true))
            }
            None if read > max_bytes => {
                bytes.truncate(max_bytes);
                Some((bytes, false))
            }
            None => None,
        }
    }
}

/// Shows the argument at an index of a call.
pub(super) type Decode = fn(&mut Line, &Call<'_>, usize);

/// What an argument is.
#[derive(Clone, Copy)]
pub(super) enum Argument {
    /// Shown from its value alone.
    Value(fn(&mut Line, u64)),
    /// Flags in an `int`.
    Flags(&'static Symbols),
    /// One of several named values of an `int`.
    Choice(&'static Symbols),
    /// The address of a structure that the call reads.
    In(&'static Structure),
    /// The address of a structure that the call writes.
    Out(&'static Structure),
    /// The address of an array that the call reads; the next argument counts its elements.
    InArray(&'static Structure),
    /// The address of an array that the call writes; the result counts its elements.
    OutArray(&'static Structure),
    /// Decoded by a function before the call.
    Before(Decode),
    /// Decoded by a function after the call.
    After(Decode),
    /// Preceded by a name, as strace shows arguments whose order surprises.
    Named(&'static str, &'static Argument),
}

impl Argument {
    /// The argument as it is before the call; `None` if it is to be shown after it.
    pub(super) fn before(self, call: &Call<'_>, index: usize) -> Option<Line> {
        let mut line = Line::default();
        let raw = call.argument(index);
        match self {
            Self::Out(_) | Self::OutArray(_) | Self::After(_) => return None,
            Self::Named(_, inner) if inner.is_output() => return None,
            Self::Named(name, inner) => {
                line.put(format_args!("{name}="));
                if let Some(shown) = inner.before(call, index) {
                    line.append(&shown);
                }
            }
            Self::Value(show) => show(&mut line, raw),
            Self::Flags(symbols) => symbols.flags(&mut line, u64::from(unsigned(raw))),
            Self::Choice(symbols) => symbols.choice(&mut line, u64::from(unsigned(raw))),
            Self::In(structure) => structure.show(&mut line, call, raw),
            Self::InArray(structure) => {
                structure.show_array(&mut line, call, raw, call.argument(index + 1));
            }
            Self::Before(decode) => decode(&mut line, call, index),
        }
        Some(line)
    }

    fn is_output(self) -> bool {
        matches!(self, Self::Out(_) | Self::OutArray(_) | Self::After(_))
    }

    /// Shows an argument that [`Self::before`] left for after the call.
    pub(super) fn after(self, line: &mut Line, call: &Call<'_>, index: usize) {
        let raw = call.argument(index);
        match (self, call.value()) {
            (Self::Named(name, inner), _) => {
                line.put(format_args!("{name}="));
                inner.after(line, call, index);
            }
            (Self::After(decode), _) => decode(line, call, index),
            (Self::Out(structure), Some(_)) => structure.show(line, call, raw),
            (Self::OutArray(structure), Some(count)) => {
                structure.show_array(line, call, raw, u64_from(count));
            }
            _ => value::pointer(line, raw),
        }
    }
}

/// What a call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    /// A number.
    Number,
    /// An address.
    Address,
    /// Permission bits.
    Mode,
    /// Flags of an open file.
    FileFlags,
    /// How many are ready; none means that the time is over.
    Ready,
    /// Nothing: it does not return.
    Never,
}
