//! Which images there are, and which archives they came from.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

use super::Store;
use super::partial::Partial;
use crate::image::digest::Digest;

const FILE: &str = "catalogue.json";
/// How long a file must not have changed before it was read, for its time of change to tell one state of it from the next.
const SETTLED: Duration = Duration::from_secs(1);

/// Everything that the store knows besides the files themselves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Catalogue {
    /// By id.
    pub(crate) images: BTreeMap<String, Record>,
    /// By the archive's device and inode number.
    archives: BTreeMap<String, Archive>,
}

/// An image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// What it is called. A name is the image's that had it last.
    pub(crate) names: Vec<String>,
    /// Digests of its layers, uncompressed, from the lowest.
    pub(crate) layers: Vec<String>,
    pub(crate) configuration: ImageConfiguration,
}

/// An archive that has been looked through.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Archive {
    state: String,
    images: Vec<SourceImage>,
}

/// An image in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceImage {
    pub(crate) names: Vec<String>,
    /// Its id, if it has been unpacked.
    pub(crate) id: Option<String>,
}

/// What tells a state of an archive from every other.
#[derive(Clone, Debug)]
pub(crate) struct ArchiveKey {
    file: String,
    state: String,
}

impl ArchiveKey {
    /// The state that `metadata` shows; `None` if it has changed so lately that it could change again without showing.
    pub(crate) fn new(metadata: &Metadata) -> Option<Self> {
        let nanoseconds = u32::try_from(metadata.ctime_nsec()).ok()?;
        let changed = UNIX_EPOCH + Duration::new(u64::try_from(metadata.ctime()).ok()?, nanoseconds);
        let is_settled = SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED);
        is_settled.then(|| Self {
            file: format!("{:x}:{:x}", metadata.dev(), metadata.ino()),
            state: format!(
                "{} {}.{} {}.{}",
                metadata.size(),
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.ctime(),
                metadata.ctime_nsec()
            ),
        })
    }
}

impl Catalogue {
    /// The images of an archive that has been looked through in this state.
    pub(crate) fn images_of(&self, key: &ArchiveKey) -> Option<&[SourceImage]> {
        let archive = self.archives.get(&key.file)?;
        (archive.state == key.state).then_some(&archive.images)
    }

    /// The image that is called `name`, or whose id begins with it if no other's does.
    pub(crate) fn find(&self, name: &str) -> Option<(&String, &Record)> {
        let is_named =
            |record: &Record| record.names.iter().any(|own| super::super::source::is_same(own, name));
        let named = self.images.iter().find(|(_, record)| is_named(record));
        named.or_else(|| {
            let digits = name.strip_prefix("sha256:").unwrap_or(name);
            let is_id = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let mut matching = self.images.iter().filter(|(id, _)| is_id && id.starts_with(digits));
            matching.next().filter(|_| matching.next().is_none())
        })
    }

    /// Enters an image, and the archive that it came from.
    pub(crate) fn enter(
        &mut self,
        id: &str,
        mut record: Record,
        archive: Option<(ArchiveKey, Vec<SourceImage>)>,
    ) {
        for (other, known) in &mut self.images {
            if other == id {
                record.names.splice(..0, known.names.iter().cloned());
            } else {
                known.names.retain(|name| !record.names.contains(name));
            }
        }
        record.names.sort();
        record.names.dedup();
        self.images.insert(id.to_owned(), record);
        if let Some((key, images)) = archive {
            self.archives.insert(key.file, Archive { state: key.state, images });
        }
    }

    /// Whether `record` and the archive are there already, so that nothing is to be written.
    pub(crate) fn has(
        &self,
        id: &str,
        names: &[String],
        archive: Option<&(ArchiveKey, Vec<SourceImage>)>,
    ) -> bool {
        let has_names =
            self.images.get(id).is_some_and(|known| names.iter().all(|name| known.names.contains(name)));
        let has_archive = archive.is_none_or(|(key, images)| self.images_of(key) == Some(images));
        has_names && has_archive
    }

    /// Forgets an image, and archives of which no image is left.
    pub(crate) fn remove(&mut self, id: &str) {
        self.images.remove(id);
        let images = &self.images;
        let is_there = |image: &SourceImage| image.id.as_ref().is_some_and(|id| images.contains_key(id));
        self.archives.retain(|_, archive| archive.images.iter().any(is_there));
    }
}

impl Store {
    /// The catalogue as it stands.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn catalogue(&self) -> anyhow::Result<Catalogue> {
        let path = self.path().join(FILE);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged; remove it to begin anew", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Catalogue::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Changes the catalogue. Others wait.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub(crate) fn change_catalogue(&self, change: impl FnOnce(&mut Catalogue)) -> anyhow::Result<()> {
        let path = self.path().join(FILE);
        let write = |partial: &mut Partial, catalogue: &Catalogue| -> io::Result<()> {
            let mut file: &File = partial.file();
            file.write_all(&serde_json::to_vec(catalogue)?)
        };
        let mut partial = Partial::lock(&path).with_context(|| format!("write {}", path.display()))?;
        let mut catalogue = self.catalogue()?;
        change(&mut catalogue);
        write(&mut partial, &catalogue)
            .and_then(|()| partial.commit())
            .with_context(|| format!("write {}", path.display()))
    }
}

/// The id of an image: the digest of its configuration, in digits.
pub(crate) fn id_of(configuration: &[u8]) -> String {
    Digest::of(configuration).hex()
}
