//! A tree, written down as an index.

use std::collections::HashMap;
use std::io::{self, Write};

use anyhow::Context;
use linux_raw_sys::general as uapi;
use sentry::fs::layers::format::{EntryRecord, Header, InodeFlags, InodeRecord, MAGIC, MAX_XATTRS_LEN};
use zerocopy::IntoBytes;

use super::{Attributes, Content, Directory, NodeId, Tree};
use crate::image::digest::Digest;

/// Writes the index of `tree`, whose files lie in `layers`.
///
/// # Errors
/// It is larger than an index may be, and what `out` fails with.
pub(crate) fn encode(tree: &Tree, layers: &[Digest], out: &mut impl Write) -> anyhow::Result<()> {
    let mut encoder = Encoder::new(tree);
    encoder.walk()?;
    encoder.add_inodes()?;
    let header = Header {
        magic: MAGIC,
        layers: u32::try_from(layers.len())?,
        inodes: u32::try_from(encoder.inodes.len())?,
        entries: u32::try_from(encoder.entries.len())?,
        text_len: u32::try_from(encoder.text.len()).context("its names take more than 4 GiB")?,
    };
    write_all(&encoder, &header, layers, out).context("write an index")
}

fn write_all(
    encoder: &Encoder<'_>,
    header: &Header,
    layers: &[Digest],
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(header.as_bytes())?;
    layers.iter().try_for_each(|digest| out.write_all(&digest.0))?;
    out.write_all(encoder.inodes.as_slice().as_bytes())?;
    out.write_all(encoder.entries.as_slice().as_bytes())?;
    out.write_all(&encoder.text)
}

struct Encoder<'a> {
    tree: &'a Tree,
    /// The nodes that names lead to, in the order of their inodes.
    order: Vec<NodeId>,
    /// The inode of each, and how many names lead to it.
    places: HashMap<NodeId, Place>,
    entries: Vec<EntryRecord>,
    inodes: Vec<InodeRecord>,
    text: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    inode: u32,
    links: u32,
    first_entry: u64,
}

impl<'a> Encoder<'a> {
    fn new(tree: &'a Tree) -> Self {
        Self {
            tree,
            order: vec![NodeId::ROOT],
            places: HashMap::from([(NodeId::ROOT, Place { links: 2, ..Place::default() })]),
            entries: Vec::new(),
            inodes: Vec::new(),
            text: Vec::new(),
        }
    }

    /// Numbers everything that names lead to, and enters the names: those of one directory together.
    fn walk(&mut self) -> anyhow::Result<()> {
        let mut next = 0;
        while let Some(&id) = self.order.get(next) {
            next += 1;
            if let Some(directory) = self.tree.directory(id) {
                self.enter(id, directory)?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, id: NodeId, directory: &Directory) -> anyhow::Result<()> {
        let first_entry = self.entries.len() as u64;
        let mut directories = 0;
        for (name, &child) in &directory.entries {
            let content = &self.tree.node(child).context("a name that leads nowhere")?.content;
            let is_directory = matches!(content, Content::Directory(_));
            directories += u32::from(is_directory);
            let inode = self.count_name(child, if is_directory { 2 } else { 1 })?;
            self.entries.push(EntryRecord {
                name_start: u32::try_from(self.text.len()).context("its names take more than 4 GiB")?,
                name_len: u16::try_from(name.len())?,
                kind: u16::try_from(type_bits(content) >> 12)?,
                inode,
            });
            self.text.extend_from_slice(name);
        }
        let place = self.places.entry(id).or_default();
        (place.first_entry, place.links) = (first_entry, place.links + directories);
        Ok(())
    }

    /// Counts a name of `node`, which has `first_links` with the first, and tells the inode.
    fn count_name(&mut self, node: NodeId, first_links: u32) -> anyhow::Result<u32> {
        if let Some(place) = self.places.get_mut(&node) {
            place.links += 1;
            return Ok(place.inode);
        }
        let inode = u32::try_from(self.order.len())?;
        self.order.push(node);
        self.places.insert(node, Place { inode, links: first_links, first_entry: 0 });
        Ok(inode)
    }

    fn add_inodes(&mut self) -> anyhow::Result<()> {
        for id in std::mem::take(&mut self.order) {
            let node = self.tree.node(id).context("a name that leads nowhere")?;
            let place = self.places.get(&id).copied().unwrap_or_default();
            let record = self.described(&node.attributes, &node.content, place)?;
            self.inodes.push(record);
        }
        Ok(())
    }

    fn described(
        &mut self,
        attributes: &Attributes,
        content: &Content,
        place: Place,
    ) -> anyhow::Result<InodeRecord> {
        let (xattrs_start, xattrs_len) = self.add_xattrs(&attributes.xattrs)?;
        let record = InodeRecord {
            mode: type_bits(content) | attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            links: place.links,
            modified_seconds: attributes.modified.0,
            modified_nanoseconds: attributes.modified.1,
            xattrs_start,
            xattrs_len,
            flags: flags(content).bits(),
            ..InodeRecord::default()
        };
        Ok(match content {
            Content::Regular(region) => InodeRecord {
                layer: region.layer,
                start: region.start,
                size: region.size,
                stored_bytes: region.stored,
                ..record
            },
            Content::Directory(directory) => {
                InodeRecord { start: place.first_entry, size: directory.entries.len() as u64, ..record }
            }
            Content::Symlink(text) | Content::LinkBelow(text) => {
                InodeRecord { start: self.add_text(text), size: text.len() as u64, ..record }
            }
            Content::CharacterDevice(major, minor) | Content::BlockDevice(major, minor) => {
                InodeRecord { device_major: *major, device_minor: *minor, ..record }
            }
            Content::Fifo | Content::Whiteout => record,
        })
    }

    fn add_text(&mut self, text: &[u8]) -> u64 {
        let start = self.text.len() as u64;
        self.text.extend_from_slice(text);
        start
    }

    fn add_xattrs(&mut self, xattrs: &[(Vec<u8>, Vec<u8>)]) -> anyhow::Result<(u32, u32)> {
        if xattrs.is_empty() {
            return Ok((0, 0));
        }
        let start = self.text.len();
        for (name, value) in xattrs {
            let lengths = [u32::try_from(name.len())?, u32::try_from(value.len())?];
            self.text.extend_from_slice(lengths.as_bytes());
            self.text.extend_from_slice(name);
            self.text.extend_from_slice(value);
        }
        let len = self.text.len() - start;
        anyhow::ensure!(len <= MAX_XATTRS_LEN, "extended attributes of {len} bytes");
        Ok((u32::try_from(start).context("its names take more than 4 GiB")?, u32::try_from(len)?))
    }
}

fn type_bits(content: &Content) -> u32 {
    match content {
        Content::Regular(_) => uapi::S_IFREG,
        Content::Directory(_) => uapi::S_IFDIR,
        Content::Symlink(_) => uapi::S_IFLNK,
        Content::CharacterDevice(..) => uapi::S_IFCHR,
        Content::BlockDevice(..) => uapi::S_IFBLK,
        Content::Fifo => uapi::S_IFIFO,
        Content::Whiteout | Content::LinkBelow(_) => 0,
    }
}

fn flags(content: &Content) -> InodeFlags {
    match content {
        Content::Directory(directory) => {
            let mut flags = InodeFlags::empty();
            flags.set(InodeFlags::OPAQUE, directory.is_opaque);
            flags.set(InodeFlags::IMPLICIT, directory.is_implicit);
            flags
        }
        Content::Whiteout => InodeFlags::WHITEOUT,
        Content::LinkBelow(_) => InodeFlags::LINK_BELOW,
        _ => InodeFlags::empty(),
    }
}
