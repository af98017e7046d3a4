//! What the store has, for people and programs; and how it is emptied.

use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use serde::Serialize;

use super::configuration::Configuration;
use super::store::{Catalogue, Record, Store};
use super::{Request, open};

/// An image of the store.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The digest of its configuration.
    pub id: String,
    /// What it is called.
    pub names: Vec<String>,
    /// What it takes; layers that it shares are counted in full.
    pub size_bytes: u64,
    /// When it was opened last, in seconds since 1970.
    pub last_use: u64,
    /// The digests of its layers, uncompressed, from the lowest.
    pub layers: Vec<String>,
}

/// All that is known of an image.
#[derive(Clone, Debug, Serialize)]
pub struct Details {
    /// What the list has.
    #[serde(flatten)]
    pub summary: Summary,
    /// The program and the arguments that it always gets.
    pub entrypoint: Vec<String>,
    /// The arguments that it gets unless others are given.
    pub command: Vec<String>,
    /// `NAME=value` each.
    pub environment: Vec<String>,
    /// WorkingDir, an absolute path inside.
    pub working_directory: Option<String>,
    /// Who it runs as.
    pub user: Option<String>,
    /// Directories that stay writable.
    pub volumes: Vec<String>,
    /// The signal that asks it to end.
    pub stop_signal: Option<String>,
    /// The ports that it listens on.
    pub exposed_ports: Vec<String>,
}

/// The images of the store, those that were used last first.
///
/// # Errors
/// The store cannot be read.
pub fn list(store: Option<&Path>) -> anyhow::Result<Vec<Summary>> {
    let store = Store::open(store)?;
    let _lock = store.lock_shared()?;
    let catalogue = store.catalogue()?;
    let mut images: Vec<_> =
        catalogue.images.iter().map(|(id, record)| summary(&store, id, record)).collect();
    images.sort_by_key(|image| std::cmp::Reverse(image.last_use));
    Ok(images)
}

/// Takes an image into the store.
///
/// # Errors
/// As for [`open`]; and what is run as it is, as a directory, is not kept.
pub fn pull_in(request: &Request) -> anyhow::Result<Summary> {
    let kept = || format!("image {}: it is run as it is, and not kept in the store", request.image.display());
    let id = open(request)?.id.with_context(kept)?;
    let store = Store::open(request.store.as_deref())?;
    let _lock = store.lock_shared()?;
    let catalogue = store.catalogue()?;
    let (id, record) = find(&catalogue, &id)?;
    Ok(summary(&store, id, record))
}

/// What is known of the image `name`, or whose id begins with it.
///
/// # Errors
/// There is none, or the store cannot be read.
pub fn inspect(store: Option<&Path>, name: &str) -> anyhow::Result<Details> {
    let store = Store::open(store)?;
    let _lock = store.lock_shared()?;
    let catalogue = store.catalogue()?;
    let (id, record) = find(&catalogue, name)?;
    let configuration = Configuration::new(record.configuration.clone());
    Ok(Details {
        summary: summary(&store, id, record),
        entrypoint: configuration.entrypoint().to_vec(),
        command: configuration.command().to_vec(),
        environment: configuration.environment().to_vec(),
        working_directory: configuration.working_directory().map(str::to_owned),
        user: configuration.user().map(str::to_owned),
        volumes: configuration.volumes().to_vec(),
        stop_signal: configuration.stop_signal().map(str::to_owned),
        exposed_ports: configuration.exposed_ports().to_vec(),
    })
}

/// Removes images, and the layers that no other has. Sandboxes that run go on. Returns the ids.
///
/// # Errors
/// There is no such image: then none is removed. Or the store cannot be changed.
pub fn remove(store: Option<&Path>, names: &[String]) -> anyhow::Result<Vec<String>> {
    let store = Store::open(store)?;
    let lock = store.lock_exclusive()?;
    let catalogue = store.catalogue()?;
    let ids = names.iter().map(|name| find(&catalogue, name).map(|(id, _)| id.clone()));
    let ids: Vec<String> = ids.collect::<anyhow::Result<_>>()?;
    ids.iter().try_for_each(|id| store.remove(id, &lock))?;
    Ok(ids)
}

/// Removes images, those that were not used for longest first, until the store takes no more than `max_bytes`. Returns the ids.
///
/// # Errors
/// The store cannot be changed.
pub fn prune(store: Option<&Path>, max_bytes: u64) -> anyhow::Result<Vec<String>> {
    let store = Store::open(store)?;
    let lock = store.lock_exclusive()?;
    store.prune(max_bytes, &lock)
}

/// The image `name`, or whose id begins with it.
///
/// # Errors
/// There is none.
pub(super) fn find<'a>(catalogue: &'a Catalogue, name: &str) -> anyhow::Result<(&'a String, &'a Record)> {
    catalogue.find(name).with_context(|| format!("there is no image '{}' in the store", name.escape_debug()))
}

/// What a list has of an image.
pub(super) fn summary(store: &Store, id: &str, record: &Record) -> Summary {
    let last_use = store.last_use(record).duration_since(UNIX_EPOCH).unwrap_or_default();
    Summary {
        id: format!("sha256:{id}"),
        names: record.names.clone(),
        size_bytes: store.size_of(record),
        last_use: last_use.as_secs(),
        layers: record.layers.iter().map(|layer| format!("sha256:{layer}")).collect(),
    }
}
