//! An archive becomes a file or tree of the guest.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use anyhow::{Context, bail, ensure};
use sentry::Errno;
use sentry::fs::operations;
use sentry::fs::{
    CreationMode, FileKind, FsView, NewNode, OpenFlags, Path, RenameMode, ResolveFlags, Resolver, TimeChange,
    Timestamp, Viewer,
};

use super::{COPY_LEN, MAX_DEPTH, components, finish};
use crate::image::tar::{Member, MemberKind, TarReader, shown};

/// Makes what comes through `pipe` at `path` in `view`; under `name` there, if that is a directory. It belongs to the first user.
///
/// # Errors
/// There is no such directory, a directory is where it is to go, the archive is damaged or cut short, or there is no room.
pub(crate) fn receive_into_guest(
    view: &FsView,
    viewer: &Viewer,
    (path, name): (&[u8], &[u8]),
    pipe: OwnedFd,
) -> anyhow::Result<()> {
    let resolver = Resolver::new(view, viewer);
    let (directory, name) = place(&resolver, path, name)?;
    ensure!(!name.is_empty() && !matches!(&*name, b"." | b".."), "it has no name there");
    let temporary = [b".", &*name, format!(".{}", std::process::id()).as_bytes()].concat();
    let mut receiver = Receiver { resolver, directory, name: temporary };
    // What an earlier copy that was cut short has left.
    receiver.remove(&receiver.directory, &receiver.name, 0);
    let mut archive = TarReader::new(File::from(pipe));
    let made =
        receiver.make_all(&mut archive).and_then(|()| finish(archive)).and_then(|()| receiver.rename(&name));
    if made.is_err() {
        receiver.remove(&receiver.directory, &receiver.name, 0);
    }
    made
}

/// The directory that a copy goes to, and its name there.
fn place(resolver: &Resolver<'_>, path: &[u8], name: &[u8]) -> anyhow::Result<(Path, Vec<u8>)> {
    let root = &resolver.view.root;
    match resolver.resolve(root, path, true) {
        Ok(found) if found.is_directory() => Ok((found, name.to_vec())),
        Ok(_) | Err(Errno::ENOENT) if !path.ends_with(b"/") => {
            let slash = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            let (above, last) = path.split_at(slash);
            let above = if above.is_empty() { b"/" } else { above };
            let directory = resolver.resolve(root, above, true).map_err(anyhow::Error::msg)?;
            Ok((directory, last.to_vec()))
        }
        Ok(_) => Err(anyhow::Error::msg(Errno::ENOTDIR)),
        Err(error) => Err(anyhow::Error::msg(error)),
    }
}

struct Receiver<'a> {
    resolver: Resolver<'a>,
    directory: Path,
    /// What it is called until it is whole.
    name: Vec<u8>,
}

impl Receiver<'_> {
    fn make_all(&mut self, archive: &mut TarReader<File>) -> anyhow::Result<()> {
        self.resolver.flags |= ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
        let mut directories = Vec::new();
        let mut is_first = true;
        while let Some(member) = archive.next_member()? {
            let path = components(&member)?;
            ensure!(path.is_empty() == is_first, "'{}' is not where it belongs", shown(&member.path));
            is_first = false;
            let path = [&[&*self.name], &*path].concat().join(&b'/');
            let made = self.make(archive, &member, &path);
            let made = made.with_context(|| format!("'{}'", shown(&member.path)))?;
            if member.kind == MemberKind::Directory {
                directories.push((made, member));
            }
        }
        ensure!(!is_first, "it is empty");
        for (directory, member) in directories.into_iter().rev() {
            self.set_attributes(&directory, &member)?;
        }
        Ok(())
    }

    fn make(&self, archive: &mut TarReader<File>, member: &Member, path: &[u8]) -> anyhow::Result<Path> {
        let create = |node| {
            operations::create_node(&self.resolver, &self.directory, path, node, CreationMode::exact(0o700))
        };
        match &member.kind {
            MemberKind::Directory => Ok(create(NewNode::Directory)?),
            MemberKind::Symlink(text) => Ok(create(NewNode::Symlink(text))?),
            MemberKind::Regular if member.extents.is_none() => {
                let made = create(NewNode::Regular)?;
                self.fill(archive, member, &made)?;
                self.set_attributes(&made, member)?;
                Ok(made)
            }
            kind => bail!("it is nothing that is copied: {kind:?}"),
        }
    }

    fn fill(&self, archive: &mut TarReader<File>, member: &Member, made: &Path) -> anyhow::Result<()> {
        let request = OpenFlags::WRONLY;
        let opened = operations::open_path(made, request, self.resolver.viewer)?;
        let mut buffer = vec![0; COPY_LEN];
        let mut offset = 0;
        let mut contents = archive.by_ref().take(member.size);
        loop {
            let len = contents.read(&mut buffer)?;
            let Some(mut rest) = buffer.get(..len).filter(|rest| !rest.is_empty()) else { break };
            while !rest.is_empty() {
                let written = opened.file().write_at(rest, offset)?;
                ensure!(written > 0, "there is no room");
                offset += written as u64;
                rest = rest.get(written..).unwrap_or_default();
            }
        }
        ensure!(offset == member.size, "it breaks off in the middle");
        Ok(())
    }

    fn set_attributes(&self, made: &Path, member: &Member) -> anyhow::Result<()> {
        let credentials = &self.resolver.viewer.credentials;
        operations::change_mode(made, member.mode & 0o777, credentials)?;
        let (seconds, nanoseconds) = member.modified;
        let time = TimeChange::To(Timestamp { seconds, nanoseconds });
        Ok(operations::change_times(made, Some(time), Some(time), credentials)?)
    }

    /// Gives the copy its name.
    fn rename(&self, name: &[u8]) -> anyhow::Result<()> {
        let last = |name| self.resolver.resolve_parent(&self.directory, name);
        let rename =
            || operations::rename(&self.resolver, &last(&self.name)?, &last(name)?, RenameMode::Replace);
        rename().map_err(|error| match error {
            Errno::EISDIR | Errno::ENOTEMPTY | Errno::EEXIST => {
                anyhow::anyhow!("there is a directory already")
            }
            error => anyhow::Error::msg(error),
        })
    }

    /// Removes what there is of a copy that has failed.
    fn remove(&self, directory: &Path, name: &[u8], depth: usize) {
        if operations::unlink(&self.resolver, directory, name).is_ok() || depth > MAX_DEPTH {
            return;
        }
        let Ok(dentry) = directory.dentry.lookup(name) else { return };
        let found = Path::new(directory.mount.clone(), dentry);
        if found.kind() == FileKind::Directory
            && let Ok(opened) = operations::open_path(&found, OpenFlags::DIRECTORY, self.resolver.viewer)
        {
            let mut names = Vec::new();
            let listed = opened.file().read_directory(0, &mut |entry| {
                names.push(entry.name);
                true
            });
            names.retain(|name| listed.is_ok() && !matches!(&**name, b"." | b".."));
            names.iter().for_each(|child| self.remove(&found, child, depth + 1));
        }
        // What is left over then is the guest's to deal with.
        let _ = operations::remove_directory(&self.resolver, directory, name);
    }
}
