//! How much room images take, and how it is made.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;

use super::catalogue::{Catalogue, Record};
use super::partial::{Partial, SUFFIX};
use super::{ExclusiveLock, LAYERS, Store, TREES};
use crate::image::chain;

impl Store {
    /// What the image takes, in bytes; layers that it shares are counted in full.
    pub(crate) fn size_of(&self, record: &Record) -> u64 {
        let layers = record.layers.iter().map(|layer| self.path().join(LAYERS).join(layer));
        let tree = self.path().join(TREES).join(chain::id_text(&record.layers));
        layers.chain([tree]).map(|path| stored_bytes(&path)).sum()
    }

    /// When the image was opened last.
    pub(crate) fn last_use(&self, record: &Record) -> SystemTime {
        let tree = self.path().join(TREES).join(chain::id_text(&record.layers));
        fs::metadata(tree).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Notes that the image whose tree this is has been opened.
    pub(crate) fn note_use(tree: &File) {
        // It only decides what is pruned first.
        let _ = rustix::fs::futimens(
            tree,
            &rustix::fs::Timestamps {
                last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
                last_modification: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
            },
        );
    }

    /// Removes images, those that were not used for longest first, until the store takes no more than `max_bytes`; then
    /// whatever no image needs. Returns the ids of the images.
    ///
    /// # Errors
    /// The store cannot be changed.
    pub(crate) fn prune(&self, max_bytes: u64, lock: &ExclusiveLock) -> anyhow::Result<Vec<String>> {
        self.sweep(lock)?;
        let mut removed = Vec::new();
        while self.stored_bytes() > max_bytes {
            let catalogue = self.catalogue()?;
            let oldest = catalogue.images.iter().min_by_key(|(_, record)| self.last_use(record));
            let Some((id, _)) = oldest else { break };
            self.remove(id, lock)?;
            removed.push(id.clone());
        }
        Ok(removed)
    }

    /// Removes the image `id`, and what no other needs.
    ///
    /// # Errors
    /// The store cannot be changed.
    pub(crate) fn remove(&self, id: &str, lock: &ExclusiveLock) -> anyhow::Result<()> {
        self.change_catalogue(|catalogue| catalogue.remove(id))?;
        self.sweep(lock)
    }

    /// Removes the files that no image needs, and those that were not finished.
    fn sweep(&self, _lock: &ExclusiveLock) -> anyhow::Result<()> {
        let catalogue = self.catalogue()?;
        self.sweep_folder(LAYERS, &needed_layers(&catalogue))?;
        self.sweep_folder(TREES, &needed_trees(&catalogue))
    }

    fn sweep_folder(&self, folder: &str, needed: &BTreeSet<String>) -> anyhow::Result<()> {
        let directory = self.path().join(folder);
        let in_store = || format!("the image store {}", self.path().display());
        for entry in fs::read_dir(&directory).with_context(in_store)? {
            let name = entry.with_context(in_store)?.file_name();
            let path = directory.join(&name);
            match name.to_str() {
                Some(name) if name.ends_with(SUFFIX) => Partial::remove_left_behind(&path),
                Some(name) if needed.contains(name) => Ok(()),
                _ => fs::remove_file(&path),
            }
            .with_context(in_store)?;
        }
        Ok(())
    }

    /// What all layers and trees take, in bytes.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let files = [LAYERS, TREES].map(|folder| fs::read_dir(self.path().join(folder)));
        let entries = files.into_iter().flatten().flatten().flatten();
        entries.map(|entry| stored_bytes(&entry.path())).sum()
    }
}

fn needed_layers(catalogue: &Catalogue) -> BTreeSet<String> {
    catalogue.images.values().flat_map(|record| record.layers.iter().cloned()).collect()
}

fn needed_trees(catalogue: &Catalogue) -> BTreeSet<String> {
    catalogue.images.values().map(|record| chain::id_text(&record.layers)).collect()
}

fn stored_bytes(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.blocks() * 512)
}
