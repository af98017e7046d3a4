//! Archives as tar(5), GNU tar and pax write them, read once from front to back; and written as pax does.
//!
//! The archive is hostile: what it announces is bounded before it is believed, and nothing is kept but the member at hand.
//! The header's fields are read by the `tar` crate.

mod extensions;
mod input;
mod member;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use input::{FilePart, Input};
pub(crate) use member::{Extent, Member, MemberKind};
pub(crate) use reader::{TarReader, is_archive};
pub(crate) use sparse::MAX_EXTENTS;

pub(crate) use writer::TarWriter;

/// What the name of a mark begins with that hides something of the layers below (image specification, "Whiteouts").
pub(crate) const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// The mark that hides everything that the layers below have in its directory.
pub(crate) const OPAQUE_NAME: &[u8] = b".wh..wh..opq";

/// A name for an error message: printable, and not longer than a line.
pub(crate) fn shown(name: &[u8]) -> String {
    const MAX_LEN: usize = 100;
    let (start, rest) = name.split_at(name.len().min(MAX_LEN));
    let more = if rest.is_empty() { "" } else { "..." };
    format!("{}{more}", start.escape_ascii())
}
