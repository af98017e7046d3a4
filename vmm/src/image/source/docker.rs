//! What `docker save` and `podman save` write: manifest.json lists configurations, names and layers by their paths in the archive.

use anyhow::Context;
use serde::Deserialize;

use super::container::Container;
use super::{Blob, Candidate, MAX_DOCUMENT_LEN, Manifest, Parts};

/// The list.
pub(super) const MANIFEST: &str = "manifest.json";

/// An image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

pub(super) fn candidates(container: &Container) -> anyhow::Result<Vec<Candidate>> {
    let text = container.read(MANIFEST, MAX_DOCUMENT_LEN)?;
    let entries: Vec<Entry> =
        serde_json::from_slice(&text).with_context(|| format!("{MANIFEST} makes no sense"))?;
    let candidates = entries.into_iter().map(|entry| Candidate {
        names: entry.repo_tags.clone().unwrap_or_default(),
        manifest: Manifest::Docker(entry),
    });
    Ok(candidates.collect())
}

pub(super) fn parts(container: &Container, entry: &Entry) -> anyhow::Result<Parts> {
    let layers = entry.layers.clone().unwrap_or_default();
    Ok(Parts {
        configuration: container.read(&entry.config, MAX_DOCUMENT_LEN)?,
        layers: layers.into_iter().map(|name| Blob { name, announced: None }).collect(),
    })
}
