//! Files that leave the sandbox at its end: copied out of the guest's file systems under a name of their own, which becomes the
//! wanted one when all is there.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path as HostPath, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps, Uid, chownat, fchmod,
    fsync, futimens, mkdirat, openat2, renameat_with, symlinkat, unlinkat,
};
use rustix::io::Errno;
use sentry::fs::{
    DirectoryEntry, FileKind, Metadata, MountNamespace, OpenFlags, Path, Resolver, TaskFs, Timestamp, Viewer,
    operations,
};

use crate::jail::{Access, Jail};

/// Bytes that are copied at a time.
const COPY_LEN: usize = 256 * 1024;
/// How deep a tree may be: no deeper than a path that names its lowest directory.
const MAX_DEPTH: usize = 2048;

/// A file or tree to copy out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its absolute path in the guest.
    pub guest: String,
    /// What it is to be called on the host. A file there is replaced; a directory must not be there.
    pub host: PathBuf,
}

/// Where outputs go, opened before the jail is entered.
pub(crate) struct Outputs {
    places: Vec<(Output, HostPlace)>,
}

/// Where on the host something is to be that does not exist yet, or a file that is to be replaced.
pub(crate) struct HostPlace {
    directory: OwnedFd,
    name: Vec<u8>,
    owner: (Uid, Gid),
}

impl HostPlace {
    /// Opens the directory of `path`, and lets it be written from inside `jail`.
    ///
    /// # Errors
    /// There is no such directory, or a directory is at `path`.
    pub(crate) fn open(path: &HostPath, jail: &mut Jail) -> anyhow::Result<Self> {
        let owner = (jail.caller(), rustix::process::getgid());
        let name = path.file_name().context("it has no name")?.as_bytes().to_vec();
        ensure!(!path.is_dir(), "there is a directory already");
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, parent.unwrap_or(HostPath::new(".")), flags, Mode::empty())?;
        Ok(Self { directory: jail.admit(directory, Access::Write)?, name, owner })
    }

    /// Has `make` make something under a name of its own, which becomes the wanted one if that succeeds.
    ///
    /// # Errors
    /// What `make` fails with, and renaming. Nothing is left then.
    fn make(&self, make: impl FnOnce(BorrowedFd<'_>, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let shown = OsStr::from_bytes(&self.name).to_string_lossy();
        let temporary = format!(".{shown}.{}", std::process::id()).into_bytes();
        let directory = self.directory.as_fd();
        let made = make(directory, &temporary).and_then(|()| {
            renameat_with(directory, &*temporary, directory, &*self.name, RenameFlags::empty())
                .context("give it its name")
        });
        if made.is_err() {
            remove(directory, &temporary, 0);
        }
        made
    }

    /// Has `write` write a file, which is the caller's alone.
    ///
    /// # Errors
    /// What `write` fails with, and the host's. The file is as it was then.
    pub(crate) fn write(&self, write: impl FnOnce(&File) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.make(|directory, name| {
            let file = File::from(create(directory, name)?);
            let (uid, gid) = self.owner;
            chownat(&file, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH).context("give it to its owner")?;
            write(&file)?;
            Ok(file.sync_all()?)
        })
    }
}

impl Outputs {
    /// Opens the directories that `outputs` go to, and lets them be written from inside `jail`.
    ///
    /// # Errors
    /// There is no such directory, or a directory is where an output is to go.
    pub(crate) fn open(outputs: &[Output], jail: &mut Jail) -> anyhow::Result<Self> {
        let open = |output: &Output| {
            let place = HostPlace::open(&output.host, jail);
            Ok((output.clone(), place.with_context(|| format!("--output {}", output.host.display()))?))
        };
        Ok(Self { places: outputs.iter().map(open).collect::<anyhow::Result<_>>()? })
    }

    /// Copies everything out of `mounts`, as `viewer` sees it, and goes on after what fails.
    ///
    /// # Errors
    /// The first failure.
    pub(crate) fn copy(&self, mounts: &Arc<MountNamespace>, viewer: &Viewer) -> anyhow::Result<()> {
        let view = TaskFs::new(mounts.clone()).view();
        let resolver = Resolver::new(&view, viewer);
        let mut result = Ok(());
        for (Output { guest, host }, place) in &self.places {
            let found = resolver.resolve(&view.root, guest.as_bytes(), true).map_err(anyhow::Error::msg);
            let copier = Copier { viewer, owner: place.owner };
            let copied =
                found.and_then(|found| place.make(|directory, name| copier.copy(&found, directory, name, 0)));
            let copied = copied.with_context(|| format!("--output {guest}:{}", host.display()));
            result = result.and(copied);
        }
        result
    }
}

struct Copier<'a> {
    viewer: &'a Viewer,
    owner: (Uid, Gid),
}

impl Copier<'_> {
    /// Copies `source` to `name` in `directory`, which has nothing of that name.
    fn copy(
        &self,
        source: &Path,
        directory: BorrowedFd<'_>,
        name: &[u8],
        depth: usize,
    ) -> anyhow::Result<()> {
        ensure!(depth < MAX_DEPTH, "the tree is too deep");
        let metadata = source.inode().metadata()?;
        match source.kind() {
            FileKind::Regular => self.copy_file(source, &metadata, directory, name),
            FileKind::Directory => self.copy_directory(source, &metadata, directory, name, depth),
            FileKind::Symlink => {
                let text = source.inode().read_link(self.viewer)?;
                symlinkat(&*text, directory, name)?;
                let (uid, gid) = self.owner;
                Ok(chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
            }
            kind => {
                log::warn!("{}: left out: {kind:?}", name.escape_ascii());
                Ok(())
            }
        }
    }

    fn copy_file(
        &self,
        source: &Path,
        metadata: &Metadata,
        directory: BorrowedFd<'_>,
        name: &[u8],
    ) -> anyhow::Result<()> {
        let target = create(directory, name)?;
        let opened = operations::open_path(source, OpenFlags::NOATIME, self.viewer)?;
        let mut buffer = vec![0; COPY_LEN];
        let mut offset = 0;
        loop {
            let read = opened.file().read_at(&mut buffer, offset)?;
            let Some(mut rest) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            offset += read as u64;
            while !rest.is_empty() {
                let written = rustix::io::retry_on_intr(|| rustix::io::write(&target, rest))?;
                rest = rest.get(written..).unwrap_or_default();
            }
        }
        self.finish(&target, metadata)
    }

    fn copy_directory(
        &self,
        source: &Path,
        metadata: &Metadata,
        directory: BorrowedFd<'_>,
        name: &[u8],
        depth: usize,
    ) -> anyhow::Result<()> {
        mkdirat(directory, name, Mode::from_raw_mode(0o700))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = open_beneath(directory, name, flags, Mode::empty())?;
        for child in names_in(self.viewer, source)? {
            let found = source.dentry.lookup(&child).map_err(anyhow::Error::msg)?;
            let found = Path::new(source.mount.clone(), found).cross();
            self.copy(&found, target.as_fd(), &child, depth + 1)
                .with_context(|| child.escape_ascii().to_string())?;
        }
        self.finish(&target, metadata)
    }

    /// Gives a copy its mode and its times. It belongs to the caller.
    fn finish(&self, copy: &OwnedFd, metadata: &Metadata) -> anyhow::Result<()> {
        let (uid, gid) = self.owner;
        chownat(copy, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH).context("give it to its owner")?;
        fchmod(copy, Mode::from_raw_mode(metadata.permissions() & 0o777))?;
        let times = Timestamps {
            last_access: time_of(metadata.accessed),
            last_modification: time_of(metadata.modified),
        };
        futimens(copy, &times)?;
        Ok(fsync(copy)?)
    }
}

fn time_of(stamp: Timestamp) -> Timespec {
    Timespec { tv_sec: stamp.seconds, tv_nsec: stamp.nanoseconds.into() }
}

/// Makes the file `name`, for its owner alone.
fn create(directory: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open_beneath(directory, name, flags, Mode::from_raw_mode(0o600))
}

/// Opens `name` below `directory`, through no link.
///
/// # Errors
/// Those of openat2(2).
pub(crate) fn open_beneath(
    directory: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    let confined = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(directory, name, flags, mode, confined) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Removes what there is of a copy that has failed.
pub(crate) fn remove(directory: BorrowedFd<'_>, name: &[u8], depth: usize) {
    if unlinkat(directory, name, AtFlags::empty()).is_ok() || depth > MAX_DEPTH {
        return;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(opened) = open_beneath(directory, name, flags, Mode::empty()) {
        let mut buffer = vec![std::mem::MaybeUninit::uninit(); 8192];
        let mut names = Vec::new();
        let mut entries = rustix::fs::RawDir::new(&opened, &mut buffer);
        while let Some(Ok(entry)) = entries.next() {
            names.push(entry.file_name().to_bytes().to_vec());
        }
        names.retain(|name| !matches!(&**name, b"." | b".."));
        names.iter().for_each(|child| remove(opened.as_fd(), child, depth + 1));
    }
    if let Err(error) = unlinkat(directory, name, AtFlags::REMOVEDIR) {
        log::warn!("{} is left over: {error}", name.escape_ascii());
    }
}

impl std::str::FromStr for Output {
    type Err = anyhow::Error;

    /// `GUEST:HOST`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let Some((guest, host)) = text.split_once(':').filter(|(_, host)| !host.is_empty()) else {
            bail!("'{text}' names no place on the host: use GUEST:HOST")
        };
        ensure!(guest.starts_with('/'), "'{guest}' is no absolute path in the guest");
        Ok(Self { guest: guest.to_owned(), host: std::path::absolute(host)? })
    }
}

/// The names in a directory of the guest, without `.` and `..`.
///
/// # Errors
/// Those of opening and reading it as `viewer`.
pub(crate) fn names_in(viewer: &Viewer, directory: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let opened = operations::open_path(directory, OpenFlags::DIRECTORY, viewer)?;
    let (mut names, mut position) = (Vec::new(), 0);
    loop {
        let before = position;
        opened.file().read_directory(position, &mut |entry: DirectoryEntry| {
            position = entry.next_position;
            names.push(entry.name);
            true
        })?;
        if position == before {
            break;
        }
    }
    names.retain(|name| !matches!(&**name, b"." | b".."));
    Ok(names)
}
