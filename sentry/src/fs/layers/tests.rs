use std::io::Write;
use std::os::fd::OwnedFd;

use linux_raw_sys::general as uapi;
use zerocopy::IntoBytes;

use super::LayeredTree;
use super::format::{EntryRecord, Header, InodeFlags, InodeRecord, MAGIC};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::lower::LowerStatus;
use crate::fs::metadata::FileKind;

/// An index with one layer.
#[derive(Clone)]
struct Index {
    header: Header,
    inodes: Vec<InodeRecord>,
    entries: Vec<EntryRecord>,
    text: Vec<u8>,
}

impl Index {
    /// A root directory with `files` (names in order), each of which holds its own number as 4096 bytes, and a link to `f0`.
    fn with_files(files: u32) -> Self {
        let directory = InodeRecord { mode: uapi::S_IFDIR | 0o755, links: 2, ..InodeRecord::default() };
        let mut index = Self { header: header(), inodes: vec![directory], entries: vec![], text: vec![] };
        for number in 0..files {
            let start = u64::from(number) * 4096;
            let file = InodeRecord {
                mode: uapi::S_IFREG | 0o4644,
                links: 1,
                uid: 1000 + number,
                gid: 7,
                start,
                size: 4000,
                ..InodeRecord::default()
            };
            index.enter(&format!("f{number:05}"), file);
        }
        let link = InodeRecord { mode: uapi::S_IFLNK | 0o777, links: 1, size: 2, ..InodeRecord::default() };
        index.enter("link", InodeRecord { start: index.text.len() as u64 + 4, ..link });
        index.text.extend(b"f0");
        index
    }

    fn enter(&mut self, name: &str, inode: InodeRecord) {
        self.entries.push(EntryRecord {
            name_start: self.text.len() as u32,
            name_len: name.len() as u16,
            kind: (inode.mode >> 12) as u16,
            inode: self.inodes.len() as u32,
        });
        self.text.extend(name.as_bytes());
        self.inodes.push(inode);
        self.inodes[0].size = self.entries.len() as u64;
    }

    fn bytes(&self) -> Vec<u8> {
        let header = Header {
            inodes: self.inodes.len() as u32,
            entries: self.entries.len() as u32,
            text_len: self.text.len() as u32,
            ..self.header
        };
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([7; 32]);
        bytes.extend(self.inodes.as_slice().as_bytes());
        bytes.extend(self.entries.as_slice().as_bytes());
        bytes.extend(&self.text);
        bytes
    }
}

fn header() -> Header {
    Header { magic: MAGIC, layers: 1, inodes: 0, entries: 0, text_len: 0 }
}

fn file(bytes: &[u8]) -> OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.into()
}

/// Contents in which byte N is N / 4096.
fn contents(files: u32) -> OwnedFd {
    file(&(0..files).flat_map(|number| vec![number as u8; 4096]).collect::<Vec<_>>())
}

/// Everything in the tree: reading it must not panic whatever the index says.
fn walk(index: &[u8]) -> Result<Vec<LowerStatus>, Errno> {
    let tree = LayeredTree::new(file(index), vec![contents(3)])?;
    let (root, _) = tree.root()?;
    let mut found = Vec::new();
    for entry in root.list()? {
        let (file, status) = root.lookup(&entry.name)?;
        file.xattrs();
        if status.kind == FileKind::Regular {
            file.read_at(&mut [0; 10], 3995)?;
        }
        found.push(status);
    }
    Ok(found)
}

#[test]
fn each_name_is_found_in_a_directory_of_any_size() {
    for files in [0, 1, 63, 64, 65, 1000] {
        let tree = LayeredTree::new(file(&Index::with_files(files).bytes()), vec![contents(files)]).unwrap();
        let (root, status) = tree.root().unwrap();
        assert_eq!((status.kind, status.mode & 0o7777, status.links), (FileKind::Directory, 0o755, 2));
        for number in 0..files {
            let (file, status) = root.lookup(format!("f{number:05}").as_bytes()).unwrap();
            assert_eq!(
                (status.uid, status.gid, status.mode),
                (KernelUid(1000 + number), KernelGid(7), 0o104644)
            );
            let mut buffer = [9; 8];
            assert_eq!(file.read_at(&mut buffer, 3996), Ok(4));
            assert_eq!(buffer, [&[number as u8; 4][..], &[9; 4]].concat()[..]);
            assert_eq!(file.read_at(&mut buffer, u64::MAX), Ok(0));
        }
        let (_, link) = root.lookup(b"link").unwrap();
        assert_eq!(link.link_text.as_deref(), Some(&b"f0"[..]));
        for name in ["", "a", "f", "f00001x", "z"] {
            assert_eq!(root.lookup(name.as_bytes()).err(), Some(Errno::ENOENT), "{name}");
        }
        assert_eq!(root.list().unwrap().len(), files as usize + 1);
    }
}

#[test]
fn an_index_that_is_not_whole_is_refused() {
    let bytes = Index::with_files(3).bytes();
    assert_eq!(walk(&bytes).unwrap().len(), 4);
    for len in 0..bytes.len() {
        assert_eq!(walk(&bytes[..len]).err(), Some(Errno::EIO), "{len} bytes");
    }
    let more = [&bytes[..], b"x"].concat();
    assert_eq!(walk(&more).err(), Some(Errno::EIO));
    assert_eq!(LayeredTree::new(file(&bytes), vec![]).err(), Some(Errno::EIO), "a layer is missing");
}

#[test]
fn an_index_with_any_bit_wrong_is_read_to_an_end() {
    let bytes = Index::with_files(3).bytes();
    for bit in 0..bytes.len() * 8 {
        let mut wrong = bytes.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        let _ = walk(&wrong);
    }
}

#[test]
fn marks_of_single_layers_are_not_for_a_tree() {
    let mut index = Index::with_files(1);
    index.inodes[1].flags = InodeFlags::WHITEOUT.bits();
    assert_eq!(walk(&index.bytes()).err(), Some(Errno::EIO));
}
