//! A layer: one file of the store, with the contents of all its files, then their index, then a footer.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use anyhow::{Context, ensure};
use sentry::fs::layers::format::CONTENT_ALIGNMENT;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::allowance::Allowance;
use super::tar::{Extent, Input, Member, MemberKind, TarReader, shown};
use super::tree::{self, Attributes, Content, Node, Region, Tree};

const FOOTER_MAGIC: [u8; 8] = *b"PALLAYR\x01";
const BUFFER_LEN: usize = 256 * 1024;

/// The end of a layer's file.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Footer {
    index_start: u64,
    index_len: u64,
    magic: [u8; 8],
}

/// Unpacks the archive `input` into `file`, a layer that is empty so far.
///
/// # Errors
/// The archive is damaged or hostile: the error names the member. It holds more than `allowance`. The file cannot be written.
pub(crate) fn unpack<R: Input>(
    archive: &mut TarReader<R>,
    file: &File,
    allowance: &Allowance,
) -> anyhow::Result<()> {
    let mut unpacking = Unpacking { tree: Tree::new(), contents: Contents::new(file) };
    while let Some(member) = archive.next_member()? {
        allowance.use_member()?;
        let path = member.path.clone();
        unpacking.add(member, archive).with_context(|| format!("'{}'", shown(&path)))?;
    }
    let Unpacking { tree, contents } = unpacking;
    contents.finish(&tree)
}

/// The tree of the layer in `file`.
///
/// # Errors
/// It is no layer, or is damaged.
pub(crate) fn read_tree(file: &File) -> anyhow::Result<Tree> {
    let len = file.metadata()?.len();
    let mut footer = Footer::new_zeroed();
    let footer_start = len.checked_sub(size_of::<Footer>() as u64).context("it is cut short")?;
    file.read_exact_at(footer.as_mut_bytes(), footer_start)?;
    let end = footer.index_start.checked_add(footer.index_len);
    ensure!(footer.magic == FOOTER_MAGIC && end == Some(footer_start), "it is damaged");
    // Of words, since the records of an index are aligned.
    let mut words = vec![0_u64; usize::try_from(footer.index_len.div_ceil(8))?];
    let index = words.as_mut_bytes().get_mut(..usize::try_from(footer.index_len)?).unwrap_or_default();
    file.read_exact_at(index, footer.index_start)?;
    tree::decode(index)
}

struct Unpacking<'a> {
    tree: Tree,
    contents: Contents<'a>,
}

impl Unpacking<'_> {
    fn add(&mut self, member: Member, data: &mut impl Read) -> anyhow::Result<()> {
        let content = match &member.kind {
            MemberKind::HardLink(target) => return self.tree.link(&member.path, target),
            MemberKind::Regular => Content::Regular(self.contents.add(&member, data)?),
            MemberKind::Directory => Content::default(),
            MemberKind::Symlink(text) => {
                ensure!(
                    text.len() <= sentry::fs::layers::format::MAX_LINK_LEN,
                    "a symbolic link of {} bytes",
                    text.len()
                );
                Content::Symlink(text.as_slice().into())
            }
            MemberKind::CharacterDevice(major, minor) => Content::CharacterDevice(*major, *minor),
            MemberKind::BlockDevice(major, minor) => Content::BlockDevice(*major, *minor),
            MemberKind::Fifo => Content::Fifo,
        };
        let attributes = Attributes {
            // A symbolic link has all permissions, whatever was archived.
            mode: if matches!(content, Content::Symlink(_)) { 0o777 } else { member.mode },
            uid: member.uid,
            gid: member.gid,
            modified: member.modified,
            xattrs: member.xattrs,
        };
        self.tree.place(&member.path, Node { attributes, content })
    }
}

/// The file, as it is written.
struct Contents<'a> {
    out: BufWriter<&'a File>,
    position: u64,
}

impl<'a> Contents<'a> {
    fn new(file: &'a File) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER_LEN, file), position: 0 }
    }

    /// Adds a regular file whose data is next in `data`.
    fn add(&mut self, member: &Member, data: &mut impl Read) -> anyhow::Result<Region> {
        let start = self.align()?;
        let whole = [Extent { offset: 0, len: member.size }];
        let extents = member.extents.as_deref().unwrap_or(&whole);
        let end = start.checked_add(member.size).filter(|end| i64::try_from(*end).is_ok());
        let end = end.context("it is too long for one layer")?;
        let mut stored = 0;
        for extent in extents {
            self.skip_to(start + extent.offset)?;
            self.copy(data, extent.len)?;
            stored += extent.len;
        }
        self.skip_to(end)?;
        Ok(Region { layer: 0, start, size: member.size, stored })
    }

    fn copy(&mut self, data: &mut impl Read, len: u64) -> anyhow::Result<()> {
        let mut buffer = vec![0; BUFFER_LEN.min(usize::try_from(len).unwrap_or(BUFFER_LEN))];
        let mut left = len;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let read = data.read(buffer.get_mut(..wanted).unwrap_or_default())?;
            ensure!(read > 0, "it is cut short");
            self.write(buffer.get(..read).unwrap_or_default())?;
            left -= read as u64;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.out.write_all(bytes).context("write to the store")?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Fills up to where a file may begin.
    fn align(&mut self) -> anyhow::Result<u64> {
        self.skip_to(self.position.checked_next_multiple_of(CONTENT_ALIGNMENT).context("too much of it")?)?;
        Ok(self.position)
    }

    /// Goes on at `position`, and leaves a hole if that is far.
    fn skip_to(&mut self, position: u64) -> anyhow::Result<()> {
        let gap = position.saturating_sub(self.position);
        match usize::try_from(gap).ok().and_then(|gap| [0; CONTENT_ALIGNMENT as usize].get(..gap)) {
            Some(zeros) => self.write(zeros),
            None => {
                self.out.seek(SeekFrom::Start(position)).context("write to the store")?;
                self.position = position;
                Ok(())
            }
        }
    }

    /// Adds the index and the footer.
    fn finish(mut self, tree: &Tree) -> anyhow::Result<()> {
        let index_start = self.align()?;
        tree::encode(tree, &[], &mut self.out)?;
        let index_len = self.out.stream_position().context("write to the store")? - index_start;
        let footer = Footer { index_start, index_len, magic: FOOTER_MAGIC };
        self.out.write_all(footer.as_bytes()).and_then(|()| self.out.flush()).context("write to the store")
    }
}
