//! The caller's side.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::finish;
use super::from_host::send_from_host;
use super::into_host::receive_into_host;
use crate::control::{Call, Reply, Request, Target};
use crate::image::tar::TarReader;
use crate::output::remove;

/// Copies `path` of the sandbox to `host`: under its own name there, if that is a directory.
///
/// # Errors
/// There is no such sandbox or path, a directory is where it is to go, or there is no room.
pub fn copy_out(target: &Target, path: &[u8], host: &Path) -> anyhow::Result<()> {
    let (directory, name) = place_on_host(path, host)?;
    let (received, sent) = pipe_with(PipeFlags::CLOEXEC)?;
    let request = Request::CopyOut { path: path.to_vec().into() };
    let call = Call::begin(target.clone(), &request, &[sent.as_fd()])?;
    drop(sent);
    let temporary = [b".", &*name, format!(".{}", std::process::id()).as_bytes()].concat();
    let mut archive = TarReader::new(File::from(received));
    let made = receive_into_host(&mut archive, directory.as_fd(), &temporary).and_then(|()| finish(archive));
    let made = match (told(&call), made) {
        // If nobody reads on, the host has the cause; else the sandbox.
        (Err(told), Err(made)) if told.to_string().ends_with(&Errno::PIPE.to_string()) => Err(made),
        (told, made) => told.and(made),
    };
    let made = made.and_then(|()| {
        let renamed = renameat_with(&directory, &*temporary, &directory, &*name, RenameFlags::empty());
        renamed.context("give it its name")
    });
    if made.is_err() {
        remove(directory.as_fd(), &temporary, 0);
    }
    made
}

/// Copies `host` to `path` of the sandbox: under its own name there, if that is a directory.
///
/// # Errors
/// There is no such sandbox or file, a directory is where it is to go, or there is no room.
pub fn copy_in(target: &Target, host: &Path, path: &[u8]) -> anyhow::Result<()> {
    let shown = || host.display().to_string();
    let name = host.canonicalize().with_context(shown)?;
    let name = name.file_name().with_context(|| format!("{} has no name", shown()))?.as_bytes().to_vec();
    let (received, sent) = pipe_with(PipeFlags::CLOEXEC)?;
    let request = Request::CopyIn { path: path.to_vec().into(), name: name.into() };
    let call = Call::begin(target.clone(), &request, &[received.as_fd()])?;
    drop(received);
    let sent = send_from_host(host, File::from(sent)).with_context(shown);
    match (told(&call), sent) {
        // A reader that has gone says itself why.
        (Err(told), Err(sent)) if is_broken_pipe(&sent) => Err(told),
        (told, sent) => sent.and(told),
    }
}

/// The directory that a copy goes to, and its name there.
fn place_on_host(path: &[u8], host: &Path) -> anyhow::Result<(OwnedFd, Vec<u8>)> {
    let shown = || host.display().to_string();
    let (directory, name) = if host.is_dir() {
        let name = path.split(|byte| *byte == b'/').rfind(|name| !name.is_empty()).unwrap_or_default();
        (host, name.to_vec())
    } else {
        ensure!(!host.as_os_str().as_bytes().ends_with(b"/"), "{}: it is no directory", shown());
        let parent = host.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (parent, host.file_name().with_context(|| format!("{} has no name", shown()))?.as_bytes().to_vec())
    };
    ensure!(!matches!(&*name, b"" | b"." | b".."), "name the copy: it has no name of its own");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, directory, flags, Mode::empty()).with_context(shown)?;
    let place = directory.join(Path::new(std::ffi::OsStr::from_bytes(&name)));
    let is_taken = place.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    ensure!(!is_taken, "{}: there is a directory already", place.display());
    Ok((opened, name))
}

fn told(call: &Call) -> anyhow::Result<()> {
    match call.next()? {
        Some(Reply::Done) => Ok(()),
        Some(other) => bail!("the sandbox answers {other:?}"),
        None => bail!("the sandbox has ended"),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
