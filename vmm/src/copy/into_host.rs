//! An archive becomes a file or tree of the host.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, bail, ensure};
use rustix::fs::{Mode, OFlags, Timespec, Timestamps, fchmod, futimens, mkdirat, symlinkat};

use super::components;
use crate::image::tar::{Member, MemberKind, TarReader, shown};
use crate::output::open_beneath;

/// Makes what `archive` holds below `directory`, under `name`.
///
/// # Errors
/// The archive is damaged or leads elsewhere, or the host refuses.
pub(super) fn receive_into_host(
    archive: &mut TarReader<File>,
    directory: BorrowedFd<'_>,
    name: &[u8],
) -> anyhow::Result<()> {
    let mut directories = Vec::new();
    let mut is_first = true;
    while let Some(member) = archive.next_member()? {
        let path = components(&member)?;
        ensure!(path.is_empty() == is_first, "'{}' is not where it belongs", shown(&member.path));
        is_first = false;
        let (last, above) = match path.split_last() {
            Some((last, above)) => (*last, [&[name], above].concat()),
            None => (name, Vec::new()),
        };
        let parent = open_directory(directory, &above)?;
        let made = make(archive, &member, parent.as_fd(), last);
        made.with_context(|| format!("'{}'", shown(&member.path)))?;
        if member.kind == MemberKind::Directory {
            directories.push((open_directory(parent.as_fd(), &[last])?, member));
        }
    }
    ensure!(!is_first, "it is empty");
    // What is made in a directory changes it; and one that its owner may not write to is made last.
    for (directory, member) in directories.into_iter().rev() {
        set_attributes(&directory, &member)?;
    }
    Ok(())
}

fn make(
    archive: &mut TarReader<File>,
    member: &Member,
    parent: BorrowedFd<'_>,
    name: &[u8],
) -> anyhow::Result<()> {
    match &member.kind {
        MemberKind::Directory => Ok(mkdirat(parent, name, Mode::from_raw_mode(0o700))?),
        MemberKind::Symlink(text) => Ok(symlinkat(&**text, parent, name)?),
        MemberKind::Regular if member.extents.is_none() => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = File::from(open_beneath(parent, name, flags, Mode::from_raw_mode(0o600))?);
            let copied = io::copy(&mut archive.by_ref().take(member.size), &mut &file)?;
            ensure!(copied == member.size, "it breaks off in the middle");
            set_attributes(&file, member)?;
            Ok(file.sync_all()?)
        }
        kind => bail!("it is nothing that is copied: {kind:?}"),
    }
}

fn open_directory(start: BorrowedFd<'_>, path: &[&[u8]]) -> anyhow::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = if path.is_empty() { b".".to_vec() } else { path.join(&b'/') };
    Ok(open_beneath(start, &path, flags, Mode::empty())?)
}

/// Gives a copy its mode, without set-ID bits, and its times. It belongs to the caller.
fn set_attributes(copy: impl AsFd, member: &Member) -> anyhow::Result<()> {
    fchmod(&copy, Mode::from_raw_mode(member.mode & 0o777))?;
    let (tv_sec, nanoseconds) = member.modified;
    let time = Timespec { tv_sec, tv_nsec: nanoseconds.into() };
    Ok(futimens(&copy, &Timestamps { last_access: time, last_modification: time })?)
}
