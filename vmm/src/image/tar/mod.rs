//! Archives as tar(5), GNU tar and pax write them, read once from front to back.
//!
//! The archive is hostile: what it announces is bounded before it is believed, and nothing is kept but the member at hand.
//! The header's fields are read by the `tar` crate.

mod extensions;
mod input;
mod member;
mod reader;
mod sparse;

pub(crate) use input::{FilePart, Input};
pub(crate) use member::{Extent, Member, MemberKind};
pub(crate) use reader::{TarReader, is_archive};

/// A name for an error message: printable, and not longer than a line.
pub(crate) fn shown(name: &[u8]) -> String {
    const MAX_LEN: usize = 100;
    let (start, rest) = name.split_at(name.len().min(MAX_LEN));
    let more = if rest.is_empty() { "" } else { "..." };
    format!("{}{more}", start.escape_ascii())
}
