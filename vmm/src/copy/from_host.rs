//! A file or tree of the host becomes an archive.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, ensure};
use tar::{Builder, EntryType, Header};

use super::{Exactly, MAX_DEPTH};

/// Writes what is at `source` to `pipe`, and marks the end if all of it is there.
///
/// # Errors
/// It cannot be read, or the reader has gone.
pub(super) fn send_from_host(source: &Path, pipe: File) -> anyhow::Result<()> {
    let metadata = fs::metadata(source)?;
    ensure!(metadata.is_file() || metadata.is_dir(), "it is neither a file nor a directory");
    let is_cut = Rc::<Cell<bool>>::default();
    let mut builder = Builder::new(Pipe { pipe, is_cut: is_cut.clone() });
    let added = add(&mut builder, source, &metadata, "top".into(), 0);
    is_cut.set(added.is_err());
    builder.into_inner()?;
    added
}

/// A pipe into which nothing goes any more once it is cut: an archive's end neither.
struct Pipe {
    pipe: File,
    is_cut: Rc<Cell<bool>>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_cut.get() { Ok(bytes.len()) } else { self.pipe.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn add(
    builder: &mut Builder<Pipe>,
    source: &Path,
    metadata: &Metadata,
    name: PathBuf,
    depth: usize,
) -> anyhow::Result<()> {
    ensure!(depth < MAX_DEPTH, "the tree is too deep");
    let mut header = header(metadata);
    let kind = metadata.file_type();
    if kind.is_file() {
        header.set_entry_type(EntryType::Regular);
        header.set_size(metadata.len());
        let reader = Exactly { reader: File::open(source)?, left: metadata.len() };
        builder.append_data(&mut header, &name, reader)?;
    } else if kind.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        builder.append_link(&mut header, &name, fs::read_link(source)?)?;
    } else if kind.is_dir() {
        header.set_entry_type(EntryType::Directory);
        builder.append_data(&mut header, &name, io::empty())?;
        let mut children: Vec<OsString> =
            fs::read_dir(source)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        children.sort();
        for child in children {
            let path = source.join(&child);
            let added = fs::symlink_metadata(&path)
                .map_err(anyhow::Error::from)
                .and_then(|metadata| add(builder, &path, &metadata, name.join(&child), depth + 1));
            added.with_context(|| child.to_string_lossy().into_owned())?;
        }
    }
    Ok(())
}

fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header
}
