//! How an index is written: a [`Header`], then for each layer its [`LayerDigest`], an [`InodeRecord`] for each inode, an
//! [`EntryRecord`] for each name, and the *text*: names, texts of symbolic links and extended attributes.
//!
//! Inode 0 is the root directory. The entries of a directory stand together, in the order of their names' bytes. Numbers are in the
//! byte order of x86-64.
//!
//! An index of one layer alone, before it is merged with those below, may also have inodes with [flags](InodeFlags): marks for
//! whoever merges. The index of a tree has none.

use bitflags::bitflags;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What an index begins with; the last byte is the format's version.
pub const MAGIC: [u8; 8] = *b"PALTREE\x01";
/// The contents of a file begin at a multiple of this.
pub const CONTENT_ALIGNMENT: u64 = 4096;
/// The longest name (`NAME_MAX`).
pub const MAX_NAME_LEN: usize = 255;
/// The longest text of a symbolic link, and the longest path (`PATH_MAX` with its final zero).
pub const MAX_LINK_LEN: usize = 4095;
/// The most bytes that one inode's extended attributes may take.
pub const MAX_XATTRS_LEN: usize = 128 * 1024;
/// The most layers.
pub const MAX_LAYERS: usize = 512;

/// The beginning of an index: how many of each there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Tells the format and its version: [`MAGIC`].
    pub magic: [u8; 8],
    /// How many layers are merged, 1 to [`MAX_LAYERS`].
    pub layers: u32,
    /// How many inode records there are.
    pub inodes: u32,
    /// Names.
    pub entries: u32,
    /// Bytes of text.
    pub text_len: u32,
}

/// The SHA-256 of a layer's archive, uncompressed: the `diff_id` of the image specification.
pub type LayerDigest = [u8; 32];

/// A file, directory or other object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct InodeRecord {
    /// Type and permission bits (`man 7 inode`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names; of a directory, 2 and one for each directory in it.
    pub links: u32,
    /// Last change of the contents: seconds since 1970.
    pub modified_seconds: i64,
    /// And nanoseconds, below 1,000,000,000.
    pub modified_nanoseconds: u32,
    /// Which device a device node is.
    pub device_major: u32,
    /// Which of its driver's.
    pub device_minor: u32,
    /// The layer that holds a regular file's contents.
    pub layer: u32,
    /// Where something begins: a regular file's contents, in bytes of its layer's; a directory's entries, by number; the text of a symbolic
    /// link, in bytes of the index's text.
    pub start: u64,
    /// How much of it there is: bytes, or entries.
    pub size: u64,
    /// Bytes of a regular file's contents that are not holes.
    pub stored_bytes: u64,
    /// Where in the text the extended attributes begin: for each the lengths of its name and value (`u32`), then both.
    pub xattrs_start: u32,
    /// How many bytes these are.
    pub xattrs_len: u32,
    /// [`InodeFlags`].
    pub flags: u32,
    /// Zero.
    pub padding: u32,
}

bitflags! {
    /// Marks in the index of one layer.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct InodeFlags: u32 {
        /// A directory that hides what the layers below have in it.
        const OPAQUE = 1;
        /// A directory of which the archive has only what is in it: attributes are those of the layers below.
        const IMPLICIT = 2;
        /// The name is gone: what the layers below have of it is hidden.
        const WHITEOUT = 4;
        /// Another name of a file of the layers below, whose path is the text.
        const LINK_BELOW = 8;
    }
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EntryRecord {
    /// Where in the text the name is.
    pub name_start: u32,
    /// The length of the name.
    pub name_len: u16,
    /// The inode's type, as `mode >> 12`.
    pub kind: u16,
    /// Index of the inode's record.
    pub inode: u32,
}

/// Where the parts of an index are, in bytes from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// The layers' digests.
    pub layers: u64,
    /// Bytes from the start to the inode records.
    pub inodes: u64,
    /// Bytes from the start to the directory entries.
    pub entries: u64,
    /// Bytes from the start to the names, targets and attributes.
    pub text: u64,
    /// The end of it all.
    pub end: u64,
}

impl Header {
    /// Where the parts are.
    pub fn places(&self) -> Places {
        // Four factors of 32 bits, each times less than 100: no overflow.
        let layers = size_of::<Self>() as u64;
        let inodes = layers + u64::from(self.layers) * size_of::<LayerDigest>() as u64;
        let entries = inodes + u64::from(self.inodes) * size_of::<InodeRecord>() as u64;
        let text = entries + u64::from(self.entries) * size_of::<EntryRecord>() as u64;
        Places { layers, inodes, entries, text, end: text + u64::from(self.text_len) }
    }
}

/// The extended attributes in `bytes`, as [`InodeRecord::xattrs_start`] says; `None` if they make no sense.
pub fn xattrs(mut bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let ([name_len, value_len], rest) = <[u32; 2]>::read_from_prefix(bytes).ok()?;
        let (name, rest) = rest.split_at_checked(name_len as usize)?;
        let (value, rest) = rest.split_at_checked(value_len as usize)?;
        found.push((name.to_vec(), value.to_vec()));
        bytes = rest;
    }
    Some(found)
}
