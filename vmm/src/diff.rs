//! `--diff`: what the sandbox has changed in its root file system, as a layer of an image (image specification, "Filesystem
//! changeset").
//!
//! What was mounted there is not part of it, nor what vmm itself has put there before the program started. A directory that leads to a
//! change is told of even if it has not changed itself: some tools would else make it anew, with other permissions.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use sentry::fs::layers::format::MAX_LINK_LEN;
use sentry::fs::overlay::{self, Change, ChangeKind};
use sentry::fs::{File, FileKind, Inode, Metadata, MountNamespace, OpenFlags, TaskFs, Viewer};

use crate::image::tar::{Extent, Member, MemberKind, OPAQUE_NAME, TarWriter, WHITEOUT_PREFIX};
use crate::jail::Jail;
use crate::output::HostPlace;

mod holes;

const BUFFER_LEN: usize = 256 * 1024;
/// Attributes by which overlayfs keeps its own accounts, and which would be taken for such.
const OVERLAY_XATTRS: &[u8] = b"trusted.overlay.";

/// Where the layer goes, opened before the jail is entered.
pub(crate) struct DiffPlace {
    place: HostPlace,
    file: PathBuf,
}

/// A tree whose changes are to be told.
pub(crate) struct Diff {
    target: DiffPlace,
    root: Arc<dyn Inode>,
    /// What has been changed before the program starts.
    before: HashMap<Vec<u8>, ChangeKind>,
    /// Directories that are not part of it.
    volumes: Vec<Vec<u8>>,
}

impl DiffPlace {
    /// Opens the directory of `file`, and lets it be written from inside `jail`.
    ///
    /// # Errors
    /// There is no such directory, or a directory is where the file is to go.
    pub(crate) fn open(file: &Path, jail: &mut Jail) -> anyhow::Result<Self> {
        let place = HostPlace::open(file, jail).with_context(|| shown(file))?;
        Ok(Self { place, file: file.to_owned() })
    }

    /// Notes how the root file system of `mounts` is before the program starts; `volumes` are directories in it.
    ///
    /// # Errors
    /// The image cannot be read.
    pub(crate) fn begin(self, mounts: &Arc<MountNamespace>, volumes: &[String]) -> anyhow::Result<Diff> {
        let root = TaskFs::new(mounts.clone()).view().root.inode().clone();
        let changes =
            overlay::changes(&root).map_err(anyhow::Error::msg).with_context(|| shown(&self.file))?;
        let before = changes.into_iter().map(|change| (change.path, change.kind)).collect();
        let volumes = volumes.iter().map(|path| path.trim_matches('/').as_bytes().to_vec()).collect();
        Ok(Diff { target: self, root, before, volumes })
    }
}

fn shown(file: &Path) -> String {
    format!("--diff {}", file.display())
}

impl Diff {
    /// Writes the layer, as `viewer` sees the files: all of it, or nothing.
    ///
    /// # Errors
    /// There is no room, or something cannot be told of in a layer.
    pub(crate) fn write(&self, viewer: &Viewer) -> anyhow::Result<()> {
        let changes = overlay::changes(&self.root).map_err(anyhow::Error::msg);
        let write = |file: &std::fs::File| {
            let out = BufWriter::with_capacity(BUFFER_LEN, file);
            let mut writer = LayerWriter::new(TarWriter::new(out), viewer);
            for change in changes?.iter().filter(|change| self.is_told(change)) {
                writer.add(change).with_context(|| format!("'/{}'", change.path.escape_ascii()))?;
            }
            Ok(writer.archive.finish().map(drop)?)
        };
        self.target.place.write(write).with_context(|| shown(&self.target.file))
    }

    fn is_told(&self, change: &Change) -> bool {
        let is_in = |volume: &Vec<u8>| {
            let rest = change.path.strip_prefix(volume.as_slice());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        self.before.get(&change.path) != Some(&change.kind) && !self.volumes.iter().any(is_in)
    }
}

struct LayerWriter<'a, W> {
    archive: TarWriter<W>,
    viewer: &'a Viewer,
    /// Directories that have been told of.
    directories: BTreeSet<Vec<u8>>,
    /// The first name of each file that has several, by its number.
    linked: HashMap<u64, Vec<u8>>,
}

impl<'a, W: Write> LayerWriter<'a, W> {
    fn new(archive: TarWriter<W>, viewer: &'a Viewer) -> Self {
        Self { archive, viewer, directories: BTreeSet::new(), linked: HashMap::new() }
    }

    fn add(&mut self, change: &Change) -> anyhow::Result<()> {
        ensure!(change.path.len() <= MAX_LINK_LEN, "its path is too long for an image");
        let mut names = change.path.split(|byte| *byte == b'/');
        ensure!(
            !names.any(|name| name.starts_with(WHITEOUT_PREFIX)),
            "an image cannot hold a name that begins with '{}'",
            WHITEOUT_PREFIX.escape_ascii()
        );
        for (path, inode) in change.directories() {
            self.add_directory(path, &*inode)?;
        }
        let (directory, name) = match change.path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => change.path.split_at(slash + 1),
            None => (&[][..], &*change.path),
        };
        match change.kind {
            ChangeKind::Present(..) => self.add_inode(&change.path, &change.inode()?),
            ChangeKind::Absent => self.add_mark(&[directory, WHITEOUT_PREFIX, name].concat()),
            ChangeKind::Opaque => self.add_mark(&[&*change.path, b"/", OPAQUE_NAME].concat()),
        }
    }

    /// Tells of a directory, once.
    fn add_directory(&mut self, path: &[u8], inode: &dyn Inode) -> anyhow::Result<()> {
        if !self.directories.insert(path.to_vec()) {
            return Ok(());
        }
        let path = if path.is_empty() { b"./".to_vec() } else { [path, b"/"].concat() };
        let member = described(&path, inode, &inode.metadata()?, MemberKind::Directory)?;
        Ok(self.archive.add(&member, &mut io::empty())?)
    }

    fn add_inode(&mut self, path: &[u8], inode: &Arc<dyn Inode>) -> anyhow::Result<()> {
        let metadata = inode.metadata()?;
        let device = metadata.special_device;
        let kind = match inode.kind() {
            FileKind::Directory => return self.add_directory(path, &**inode),
            FileKind::Regular => MemberKind::Regular,
            FileKind::Symlink => MemberKind::Symlink(inode.read_link(self.viewer)?),
            FileKind::CharacterDevice => MemberKind::CharacterDevice(device.major, device.minor),
            FileKind::BlockDevice => MemberKind::BlockDevice(device.major, device.minor),
            FileKind::Fifo => MemberKind::Fifo,
            FileKind::Socket => {
                log::info!("/{}: left out: a socket", path.escape_ascii());
                return Ok(());
            }
        };
        if metadata.links > 1 {
            match self.linked.get(&metadata.inode) {
                Some(first) => {
                    let kind = MemberKind::HardLink(first.clone());
                    let member = Member { xattrs: Vec::new(), ..described(path, &**inode, &metadata, kind)? };
                    return Ok(self.archive.add(&member, &mut io::empty())?);
                }
                None => drop(self.linked.insert(metadata.inode, path.to_vec())),
            }
        }
        let mut member = described(path, &**inode, &metadata, kind)?;
        if member.kind != MemberKind::Regular {
            return Ok(self.archive.add(&member, &mut io::empty())?);
        }
        let file = inode.clone().open(OpenFlags::NOATIME, self.viewer)?;
        (member.size, member.extents) = (metadata.size_bytes, holes::extents(&*file, &metadata)?);
        let whole = vec![Extent { offset: 0, len: member.size }];
        let extents = member.extents.clone().unwrap_or(whole);
        Ok(self.archive.add(&member, &mut Contents::new(file, extents))?)
    }

    /// Tells that something is hidden.
    fn add_mark(&mut self, path: &[u8]) -> anyhow::Result<()> {
        let member = Member {
            path: path.to_vec(),
            kind: MemberKind::Regular,
            mode: 0,
            uid: 0,
            gid: 0,
            modified: (0, 0),
            xattrs: Vec::new(),
            size: 0,
            extents: None,
            position: 0,
        };
        Ok(self.archive.add(&member, &mut io::empty())?)
    }
}

/// What an archive says of `inode` besides its contents.
fn described(
    path: &[u8],
    inode: &dyn Inode,
    metadata: &Metadata,
    kind: MemberKind,
) -> anyhow::Result<Member> {
    Ok(Member {
        path: path.to_vec(),
        kind,
        mode: metadata.permissions(),
        uid: metadata.uid.0,
        gid: metadata.gid.0,
        modified: (metadata.modified.seconds, metadata.modified.nanoseconds),
        xattrs: xattrs(inode)?,
        size: 0,
        extents: None,
        position: 0,
    })
}

fn xattrs(inode: &dyn Inode) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut xattrs = Vec::new();
    for name in inode.list_xattrs().unwrap_or_default() {
        if name.starts_with(OVERLAY_XATTRS) {
            continue;
        }
        if name.contains(&b'=') {
            bail!("an archive cannot hold the extended attribute '{}'", name.escape_ascii());
        }
        let value = inode.get_xattr(&name)?;
        xattrs.push((name, value));
    }
    Ok(xattrs)
}

/// The parts of a file, one after the other.
struct Contents {
    file: Arc<dyn File>,
    /// What is left, the next part last.
    extents: Vec<Extent>,
}

impl Contents {
    fn new(file: Arc<dyn File>, mut extents: Vec<Extent>) -> Self {
        extents.reverse();
        Self { file, extents }
    }
}

impl Read for Contents {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.extents.pop_if(|extent| extent.len == 0).is_some() {}
        let Some(extent) = self.extents.last_mut() else { return Ok(0) };
        let len = usize::try_from(extent.len).unwrap_or(usize::MAX).min(buffer.len());
        let wanted = buffer.get_mut(..len).unwrap_or_default();
        let read =
            self.file.read_at(wanted, extent.offset).map_err(|error| io::Error::other(error.to_string()))?;
        extent.offset += read as u64;
        extent.len -= read as u64;
        Ok(read)
    }
}
