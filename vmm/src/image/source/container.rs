//! Named blobs, in a directory or in an archive that can be read at any place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use super::{docker, layout};
use crate::image::tar::{FilePart, Member, MemberKind, TarReader, is_archive, shown};

/// Directories by which a root file system is known at once.
const ROOT_DIRECTORIES: [&[u8]; 12] =
    [b"bin", b"boot", b"dev", b"etc", b"home", b"lib", b"proc", b"root", b"sbin", b"sys", b"usr", b"var"];
/// How much of a file tells whether it is an archive.
const HEAD_LEN: u64 = 512;
/// The most members of an archive of images.
const MAX_MEMBERS: usize = 1 << 16;
/// How many links lead from one name of a blob to the next.
const MAX_LINKS: usize = 8;

/// What a container holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An OCI image layout.
    Layout,
    /// What `docker save` writes.
    Docker,
    /// A plain archive of a root file system, without a manifest.
    RootFileSystem,
}

/// Blobs by name.
pub(crate) struct Container {
    kind: Kind,
    blobs: Blobs,
}

enum Blobs {
    Directory(PathBuf),
    Archive { file: File, members: BTreeMap<Vec<u8>, Place> },
}

/// Where a member of an archive is.
enum Place {
    At {
        position: u64,
        len: u64,
    },
    /// It is another name of this one.
    Link(Vec<u8>),
}

impl Container {
    /// The image layout in `directory`, if there is one.
    pub(crate) fn of_directory(directory: &Path) -> Option<Self> {
        let is_layout = [layout::MARK, layout::INDEX].iter().all(|name| directory.join(name).is_file());
        (is_layout && directory.join("blobs").is_dir())
            .then(|| Self { kind: Kind::Layout, blobs: Blobs::Directory(directory.to_owned()) })
    }

    /// What is in `file`, an archive that is not compressed.
    ///
    /// # Errors
    /// It is no archive, or is damaged.
    pub(crate) fn of_archive(file: File) -> anyhow::Result<Self> {
        let members = scan(&file)?;
        let has = |name: &str| members.contains_key(name.as_bytes());
        let kind = match () {
            () if has(layout::MARK) && has(layout::INDEX) => Kind::Layout,
            () if has(docker::MANIFEST) => Kind::Docker,
            () => Kind::RootFileSystem,
        };
        Ok(Self { kind, blobs: Blobs::Archive { file, members } })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The archive itself, and its length.
    ///
    /// # Errors
    /// It is a directory.
    pub(crate) fn archive(&self) -> anyhow::Result<(&File, u64)> {
        match &self.blobs {
            Blobs::Archive { file, .. } => Ok((file, file.metadata()?.len())),
            Blobs::Directory(path) => bail!("{} is no archive", path.display()),
        }
    }

    /// The blob `name`, and its length. A root file system is one, whatever the name.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(crate) fn open(&self, name: &str) -> anyhow::Result<(Box<dyn Read + '_>, u64)> {
        match &self.blobs {
            Blobs::Archive { file, .. } if self.kind == Kind::RootFileSystem => {
                let len = file.metadata()?.len();
                Ok((Box::new(FilePart::new(file, 0, len)), len))
            }
            Blobs::Directory(directory) => {
                let file = open_file(&directory.join(name))
                    .with_context(|| format!("open {}", shown(name.as_bytes())))?;
                let len = file.metadata()?.len();
                Ok((Box::new(file), len))
            }
            Blobs::Archive { file, members } => {
                let (position, len) = find(members, name.as_bytes())
                    .with_context(|| format!("'{}' is missing in it", shown(name.as_bytes())))?;
                Ok((Box::new(FilePart::new(file, position, len)), len))
            }
        }
    }

    /// All of the blob `name`.
    ///
    /// # Errors
    /// As [`Self::open`], and it is longer than `max_len`.
    pub(crate) fn read(&self, name: &str, max_len: u64) -> anyhow::Result<Vec<u8>> {
        let (blob, _) = self.open(name)?;
        let mut text = Vec::new();
        let read = blob.take(max_len + 1).read_to_end(&mut text);
        read.with_context(|| format!("read {}", shown(name.as_bytes())))?;
        ensure!(text.len() as u64 <= max_len, "'{}' has more than {max_len} bytes", shown(name.as_bytes()));
        Ok(text)
    }
}

/// A regular file: nothing that could be waited for.
fn open_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")),
    }
}

/// The members of an archive of images. Of a root file system, some or none.
fn scan(file: &File) -> anyhow::Result<BTreeMap<Vec<u8>, Place>> {
    let len = file.metadata()?.len();
    let mut head = Vec::new();
    FilePart::new(file, 0, len).take(HEAD_LEN).read_to_end(&mut head)?;
    ensure!(
        is_archive(&head),
        "neither a directory that holds a root file system, an ELF executable nor an archive of an image"
    );
    let mut archive = TarReader::new(FilePart::new(file, 0, len));
    let mut members = BTreeMap::new();
    let mut is_empty = true;
    while let Some(member) = archive.next_member()? {
        is_empty = false;
        let name = plain(&member.path);
        let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        if ROOT_DIRECTORIES.contains(&first) || members.len() == MAX_MEMBERS {
            return Ok(BTreeMap::new());
        }
        if let Some(place) = place(&member, &name) {
            members.insert(name, place);
        }
    }
    ensure!(!is_empty, "it is an archive without anything in it");
    Ok(members)
}

fn place(member: &Member, name: &[u8]) -> Option<Place> {
    match &member.kind {
        MemberKind::Regular if member.extents.is_none() => {
            Some(Place::At { position: member.position, len: member.size })
        }
        MemberKind::HardLink(target) => Some(Place::Link(plain(target))),
        MemberKind::Symlink(target) => {
            let directory = Path::new(std::ffi::OsStr::from_bytes(name)).parent().unwrap_or(Path::new(""));
            let target = directory.join(std::ffi::OsStr::from_bytes(target));
            Some(Place::Link(plain(target.as_os_str().as_bytes())))
        }
        _ => None,
    }
}

fn find(members: &BTreeMap<Vec<u8>, Place>, name: &[u8]) -> Option<(u64, u64)> {
    let mut name = plain(name);
    for _ in 0..MAX_LINKS {
        match members.get(&name)? {
            Place::At { position, len } => return Some((*position, *len)),
            Place::Link(target) => name.clone_from(target),
        }
    }
    None
}

/// A path without `.` and `..`, which both stay in the archive.
fn plain(path: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join(&b'/')
}
