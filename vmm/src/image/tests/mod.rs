//! Images from archive to open files, without a sandbox.

mod archives;
mod fuzz;
mod hostile;
mod layouts;

use std::sync::Arc;

use sentry::boot::Image;
use sentry::fs::layers::LayeredTree;
use sentry::fs::lower::{LowerFile, LowerStatus};

use super::{OpenImage, Request, open};

const MIB: u64 = 1 << 20;

/// A store, and a place for archives.
struct World {
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, contents: &[u8]) {
        std::fs::write(self.path(name), contents).unwrap();
    }

    fn open(&self, name: &str) -> anyhow::Result<OpenImage> {
        self.open_within(name, 64 * MIB)
    }

    fn open_within(&self, name: &str, limit_bytes: u64) -> anyhow::Result<OpenImage> {
        let image = self.path(name).into_os_string();
        open(&Request { image, store: Some(self.path("store")), limit_bytes })
    }

    /// What is wrong with the image `name`, and that nothing of it is kept.
    fn refusal(&self, name: &str) -> String {
        let error = self.open(name).err().unwrap_or_else(|| panic!("{name} is opened"));
        assert_eq!(self.kept(), Vec::<String>::new(), "{error:#}");
        let text = format!("{error:#}");
        assert!(text.len() < 700 && !text.contains('\n'), "one line: {text}");
        text
    }

    /// The layers of the store, and what is not whole in it.
    fn kept(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path("store/layers")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// The root directory of an image.
fn root(opened: OpenImage) -> Arc<dyn LowerFile> {
    let Image::Layers { index, contents } = opened.image else { panic!("no layers") };
    LayeredTree::new(index, contents).unwrap().root().unwrap().0
}

fn find(root: &Arc<dyn LowerFile>, path: &str) -> Option<(Arc<dyn LowerFile>, LowerStatus)> {
    let names = path.split('/').filter(|name| !name.is_empty());
    names.fold(None, |found: Option<(Arc<dyn LowerFile>, LowerStatus)>, name| {
        let directory = found.map_or(root.clone(), |(file, _)| file);
        directory.lookup(name.as_bytes()).ok()
    })
}

fn status(root: &Arc<dyn LowerFile>, path: &str) -> LowerStatus {
    let mut found = None;
    let mut directory = root.clone();
    for name in path.split('/') {
        let (file, status) =
            directory.lookup(name.as_bytes()).unwrap_or_else(|errno| panic!("{path}: {errno}"));
        (directory, found) = (file, Some(status));
    }
    found.unwrap()
}

fn contents(root: &Arc<dyn LowerFile>, path: &str) -> Vec<u8> {
    let (file, status) = find(root, path).unwrap_or_else(|| panic!("{path} is missing"));
    let mut contents = vec![0; usize::try_from(status.size_bytes).unwrap()];
    let mut done = 0;
    while done < contents.len() {
        done += file.read_at(&mut contents[done..], done as u64).unwrap();
    }
    contents
}

fn exists(root: &Arc<dyn LowerFile>, path: &str) -> bool {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let directory =
        if parent.is_empty() { Some(root.clone()) } else { find(root, parent).map(|found| found.0) };
    directory.is_some_and(|directory| directory.lookup(name.as_bytes()).is_ok())
}

/// An archive, member by member.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn header(path: &[u8], kind: u8, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000);
        header.set_cksum();
        header
    }

    fn add(mut self, header: &tar::Header, data: &[u8]) -> Self {
        self.0.extend(header.as_bytes());
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, data: &[u8]) -> Self {
        self.add(&Self::header(path.as_bytes(), b'0', data.len() as u64), data)
    }

    fn directory(self, path: &str) -> Self {
        self.add(&Self::header(path.as_bytes(), b'5', 0), &[])
    }

    fn linked(self, path: &str, kind: u8, target: &str) -> Self {
        let mut header = Self::header(path.as_bytes(), kind, 0);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.add(&header, &[])
    }

    /// pax records ahead of the next member.
    fn records(self, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
            let mut len = rest.len() + 1;
            while len != rest.len() + len.to_string().len() {
                len = rest.len() + len.to_string().len();
            }
            data.extend(len.to_string().as_bytes());
            data.extend(rest);
        }
        self.add(&Self::header(b"pax", b'x', data.len() as u64), &data)
    }

    fn long_name(self, name: &[u8]) -> Self {
        let data = [name, b"\0"].concat();
        self.add(&Self::header(b"././@LongLink", b'L', data.len() as u64), &data)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}
