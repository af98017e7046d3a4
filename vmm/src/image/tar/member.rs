//! One member of an archive.

use anyhow::{Context, bail, ensure};
use tar::{EntryType, Header};

use super::extensions::Extensions;
use super::shown;

/// A file, directory or other object, as the archive describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its path, as it stands.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: MemberKind,
    /// Permission bits, with set-ID and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Last change of the contents, in seconds and nanoseconds.
    pub(crate) modified: (i64, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The length of the file.
    pub(crate) size: u64,
    /// Where its data goes, if it is not the file from its beginning to its end.
    pub(crate) extents: Option<Vec<Extent>>,
    /// Where in the archive its data begins.
    pub(crate) position: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemberKind {
    Regular,
    Directory,
    /// With its text.
    Symlink(Vec<u8>),
    /// With the path of the other name.
    HardLink(Vec<u8>),
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
}

/// A part of a file that is not a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

impl Member {
    /// The member that `header` and what was ahead of it describe. The size is that of the data in the archive.
    ///
    /// # Errors
    /// A number that is none, or a kind that no file system has.
    pub(super) fn new(header: &Header, extensions: &Extensions, position: u64) -> anyhow::Result<Self> {
        let path = extensions.path().map_or_else(|| header.path_bytes().into_owned(), <[u8]>::to_vec);
        let member = || format!("'{}'", shown(&path));
        let kind = kind(header, extensions, &path).with_context(member)?;
        let id = |name: &str, own: std::io::Result<u64>| -> anyhow::Result<u32> {
            let number = match extensions.number(name)? {
                Some(number) => number,
                None => own?,
            };
            let id = u32::try_from(number).ok().filter(|id| *id != u32::MAX);
            id.with_context(|| format!("{number} is no {name}"))
        };
        Ok(Self {
            kind,
            mode: header.mode().with_context(member)? & 0o7777,
            uid: id("uid", header.uid()).with_context(member)?,
            gid: id("gid", header.gid()).with_context(member)?,
            modified: match extensions.modified().with_context(member)? {
                Some(modified) => modified,
                None => (header.mtime().with_context(member)?.cast_signed(), 0),
            },
            xattrs: extensions.xattrs(),
            size: match extensions.number("size").with_context(member)? {
                Some(size) => size,
                None => header.entry_size().with_context(member)?,
            },
            extents: None,
            position,
            path,
        })
    }

    /// Whether the archive holds data for it.
    pub(super) fn has_data(&self) -> bool {
        // Some archives tell the size of the file in each of its names.
        self.kind == MemberKind::Regular
    }
}

fn kind(header: &Header, extensions: &Extensions, path: &[u8]) -> anyhow::Result<MemberKind> {
    let link = || -> anyhow::Result<Vec<u8>> {
        let own = || header.link_name_bytes().map(std::borrow::Cow::into_owned);
        let text = extensions.link().map(<[u8]>::to_vec).or_else(own).unwrap_or_default();
        ensure!(!text.is_empty(), "a link to nothing");
        Ok(text)
    };
    let device = || -> anyhow::Result<(u32, u32)> {
        Ok((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
    };
    Ok(match header.entry_type() {
        // Before POSIX a directory was a file whose name ends with a slash.
        EntryType::Regular if path.ends_with(b"/") => MemberKind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => MemberKind::Regular,
        EntryType::Directory => MemberKind::Directory,
        EntryType::Symlink => MemberKind::Symlink(link()?),
        EntryType::Link => MemberKind::HardLink(link()?),
        EntryType::Char => device().map(|(major, minor)| MemberKind::CharacterDevice(major, minor))?,
        EntryType::Block => device().map(|(major, minor)| MemberKind::BlockDevice(major, minor))?,
        EntryType::Fifo => MemberKind::Fifo,
        other => bail!("of the type '{}', which is unknown", [other.as_byte()].escape_ascii()),
    })
}
