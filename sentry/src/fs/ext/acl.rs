//! Access control lists as they are stored: without the ids that most entries do not need.

use super::bytes::{set_u16, set_u32, u16_at, u32_at};

/// The version of the list in memory (`linux/posix_acl_xattr.h`).
const SHOWN_VERSION: u32 = 2;
/// The version of the stored one.
const STORED_VERSION: u32 = 1;
const HEADER_LEN: usize = 4;
const ENTRY_LEN: usize = 8;
const SHORT_LEN: usize = 4;
/// What an entry without an id has in its place.
const NO_ID: u32 = u32::MAX;

/// Whether an entry is of a user or group with a name.
fn has_id(tag: u16) -> bool {
    const USER: u16 = 0x2;
    const GROUP: u16 = 0x8;
    tag == USER || tag == GROUP
}

/// The list as extended attributes show it.
pub(super) fn from_stored(stored: &[u8]) -> Option<Vec<u8>> {
    if u32_at(stored, 0) != STORED_VERSION {
        return None;
    }
    let mut shown = SHOWN_VERSION.to_le_bytes().to_vec();
    let mut rest = stored.get(HEADER_LEN..)?;
    while rest.len() >= SHORT_LEN {
        let tag = u16_at(rest, 0);
        let len = if has_id(tag) { ENTRY_LEN } else { SHORT_LEN };
        let mut entry = [0; ENTRY_LEN];
        set_u16(&mut entry, 0, tag);
        set_u16(&mut entry, 2, u16_at(rest, 2));
        set_u32(&mut entry, 4, if has_id(tag) { u32_at(rest, 4) } else { NO_ID });
        shown.extend(entry);
        rest = rest.get(len..)?;
    }
    Some(shown)
}

/// The list to be stored.
pub(super) fn to_stored(shown: &[u8]) -> Option<Vec<u8>> {
    if u32_at(shown, 0) != SHOWN_VERSION {
        return None;
    }
    let mut stored = STORED_VERSION.to_le_bytes().to_vec();
    for entry in shown.get(HEADER_LEN..)?.chunks_exact(ENTRY_LEN) {
        let len = if has_id(u16_at(entry, 0)) { ENTRY_LEN } else { SHORT_LEN };
        stored.extend(entry.get(..len)?);
    }
    Some(stored)
}
