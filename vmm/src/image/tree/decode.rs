//! A tree, read from the index of one layer.

use anyhow::Context;
use linux_raw_sys::general as uapi;
use sentry::fs::layers::format::{self, EntryRecord, Header, InodeFlags, InodeRecord, MAGIC};
use zerocopy::FromBytes;

use super::{Attributes, Content, Directory, Node, NodeId, Tree};

/// The tree whose index is `bytes`.
///
/// # Errors
/// It is no index, or one that makes no sense.
pub(crate) fn decode(bytes: &[u8]) -> anyhow::Result<Tree> {
    Index::new(bytes).and_then(|index| index.tree()).context("a damaged index")
}

struct Index<'a> {
    inodes: &'a [InodeRecord],
    entries: &'a [EntryRecord],
    text: &'a [u8],
}

impl<'a> Index<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (header, _) = Header::read_from_prefix(bytes).ok()?;
        let places = header.places();
        let part = |start: u64, end: u64| bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?);
        if header.magic != MAGIC || places.end != bytes.len() as u64 {
            return None;
        }
        Some(Self {
            inodes: <[InodeRecord]>::ref_from_bytes(part(places.inodes, places.entries)?).ok()?,
            entries: <[EntryRecord]>::ref_from_bytes(part(places.entries, places.text)?).ok()?,
            text: part(places.text, places.end)?,
        })
    }

    fn tree(&self) -> Option<Tree> {
        let nodes: Option<Vec<Node>> = self.inodes.iter().map(|inode| self.node(inode)).collect();
        let tree = Tree { nodes: nodes? };
        tree.directory(NodeId::ROOT)?;
        Some(tree)
    }

    fn node(&self, inode: &InodeRecord) -> Option<Node> {
        let xattrs = self.text(inode.xattrs_start.into(), inode.xattrs_len.into())?;
        Some(Node {
            attributes: Attributes {
                mode: inode.mode & !uapi::S_IFMT,
                uid: inode.uid,
                gid: inode.gid,
                modified: (inode.modified_seconds, inode.modified_nanoseconds),
                xattrs: format::xattrs(xattrs)?,
            },
            content: self.content(inode)?,
        })
    }

    fn content(&self, inode: &InodeRecord) -> Option<Content> {
        let flags = InodeFlags::from_bits(inode.flags)?;
        if flags.contains(InodeFlags::WHITEOUT) {
            return Some(Content::Whiteout);
        }
        let text = || self.text(inode.start, inode.size).map(Box::from);
        if flags.contains(InodeFlags::LINK_BELOW) {
            return Some(Content::LinkBelow(text()?));
        }
        Some(match inode.mode & uapi::S_IFMT {
            uapi::S_IFREG => Content::Regular(super::Region {
                layer: inode.layer,
                start: inode.start,
                size: inode.size,
                stored: inode.stored_bytes,
            }),
            uapi::S_IFDIR => Content::Directory(Directory {
                entries: self.entries(inode)?,
                is_opaque: flags.contains(InodeFlags::OPAQUE),
                is_implicit: flags.contains(InodeFlags::IMPLICIT),
            }),
            uapi::S_IFLNK => Content::Symlink(text()?),
            uapi::S_IFCHR => Content::CharacterDevice(inode.device_major, inode.device_minor),
            uapi::S_IFBLK => Content::BlockDevice(inode.device_major, inode.device_minor),
            uapi::S_IFIFO => Content::Fifo,
            _ => return None,
        })
    }

    fn entries(&self, directory: &InodeRecord) -> Option<std::collections::BTreeMap<Box<[u8]>, NodeId>> {
        let start = usize::try_from(directory.start).ok()?;
        let end = start.checked_add(usize::try_from(directory.size).ok()?)?;
        let entries = self.entries.get(start..end)?.iter();
        entries
            .map(|entry| {
                let name = self.text(entry.name_start.into(), entry.name_len.into())?;
                self.inodes.get(entry.inode as usize)?;
                Some((name.into(), NodeId(entry.inode)))
            })
            .collect()
    }

    fn text(&self, start: u64, len: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(start).ok()?;
        self.text.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    }
}
