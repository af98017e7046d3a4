//! A file or tree of the guest becomes an archive.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path as HostPath;
use std::sync::Arc;

use anyhow::{Context, ensure};
use sentry::fs::{
    FileDescription, FileKind, FsView, Metadata, OpenFlags, Path, Resolver, Viewer, operations,
};
use tar::{Builder, EntryType, Header};

use super::{Exactly, MAX_DEPTH};
use crate::output::names_in;

/// Sends what `path` leads to in `view` through `pipe`.
///
/// # Errors
/// There is nothing, or it is nothing that can be copied; the reader has gone.
pub(crate) fn send_from_guest(
    view: &FsView,
    viewer: &Viewer,
    path: &[u8],
    pipe: OwnedFd,
) -> anyhow::Result<()> {
    let found = Resolver::new(view, viewer).resolve(&view.root, path, true).map_err(anyhow::Error::msg)?;
    let kind = found.kind();
    ensure!(matches!(kind, FileKind::Regular | FileKind::Directory), "it is neither a file nor a directory");
    let mut sender = Sender { builder: Builder::new(File::from(pipe)), viewer };
    sender.add(&found, b"top", 0)?;
    sender.builder.into_inner()?;
    Ok(())
}

struct Sender<'a> {
    builder: Builder<File>,
    viewer: &'a Viewer,
}

impl Sender<'_> {
    fn add(&mut self, source: &Path, name: &[u8], depth: usize) -> anyhow::Result<()> {
        ensure!(depth < MAX_DEPTH, "the tree is too deep");
        let metadata = source.inode().metadata()?;
        let place = HostPath::new(OsStr::from_bytes(name));
        let mut header = header(&metadata);
        match source.kind() {
            FileKind::Regular => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(metadata.size_bytes);
                let file = operations::open_path(source, OpenFlags::NOATIME, self.viewer)?;
                let reader = Exactly { reader: Contents { file, offset: 0 }, left: metadata.size_bytes };
                self.builder.append_data(&mut header, place, reader)?;
            }
            FileKind::Symlink => {
                header.set_entry_type(EntryType::Symlink);
                let text = source.inode().read_link(self.viewer)?;
                self.builder.append_link(&mut header, place, HostPath::new(OsStr::from_bytes(&text)))?;
            }
            FileKind::Directory => {
                header.set_entry_type(EntryType::Directory);
                self.builder.append_data(&mut header, place, io::empty())?;
                for child in names_in(self.viewer, source)? {
                    let found = source.dentry.lookup(&child).map_err(anyhow::Error::msg)?;
                    let found = Path::new(source.mount.clone(), found).cross();
                    self.add(&found, &[name, b"/", &child].concat(), depth + 1)
                        .with_context(|| child.escape_ascii().to_string())?;
                }
            }
            kind => log::info!("{}: left out: {kind:?}", name.escape_ascii()),
        }
        Ok(())
    }
}

fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.permissions());
    header.set_uid(metadata.uid.0.into());
    header.set_gid(metadata.gid.0.into());
    header.set_mtime(u64::try_from(metadata.modified.seconds).unwrap_or(0));
    header.set_size(0);
    header
}

/// A file's contents, from a position on.
struct Contents {
    file: Arc<FileDescription>,
    offset: u64,
}

impl Read for Contents {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self
            .file
            .file()
            .read_at(buffer, self.offset)
            .map_err(|error| io::Error::other(error.to_string()))?;
        self.offset += len as u64;
        Ok(len)
    }
}
