//! The OCI image layout: index.json leads to manifests, and these to a configuration and layers, all by their digests.

use anyhow::{Context, bail, ensure};
use oci_spec::image::{Arch, Descriptor, ImageIndex, ImageManifest, MediaType, Os, Platform};

use super::container::Container;
use super::{Blob, Candidate, MAX_DOCUMENT_LEN, Manifest, Parts};
use crate::image::digest::{self, Digest};

pub(super) const INDEX: &str = "index.json";
pub(super) const MARK: &str = "oci-layout";

/// Where tools write an image's name: the specification's place, and containerd's, which has all of it.
const NAME_ANNOTATIONS: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIGURATION: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYERS: [&str; 4] = [
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];
/// How deep indexes may lie in indexes, and how many there may be.
const MAX_DEPTH: usize = 4;
const MAX_DOCUMENTS: usize = 256;

pub(super) fn candidates(container: &Container) -> anyhow::Result<Vec<Candidate>> {
    let text = container.read(INDEX, MAX_DOCUMENT_LEN)?;
    let index: ImageIndex =
        serde_json::from_slice(&text).with_context(|| format!("{INDEX} makes no sense"))?;
    let mut walk = Walk { container, found: Vec::new(), elsewhere: Vec::new(), documents: 0 };
    walk.index(&index, &[], 0)?;
    if walk.found.is_empty() && !walk.elsewhere.is_empty() {
        bail!("it has nothing for linux/{}, only for {}", Arch::default(), walk.elsewhere.join(", "));
    }
    Ok(walk.found)
}

/// Finds the manifests below an index.
struct Walk<'a> {
    container: &'a Container,
    found: Vec<Candidate>,
    /// Platforms that are not this machine's.
    elsewhere: Vec<String>,
    documents: usize,
}

impl Walk<'_> {
    fn index(&mut self, index: &ImageIndex, outer_names: &[String], depth: usize) -> anyhow::Result<()> {
        for descriptor in index.manifests() {
            self.documents += 1;
            ensure!(self.documents <= MAX_DOCUMENTS, "its index has more than {MAX_DOCUMENTS} entries");
            let names = names_of(descriptor, outer_names);
            match descriptor.media_type() {
                MediaType::ImageManifest => self.manifest(descriptor, names),
                MediaType::Other(other) if other == DOCKER_MANIFEST => self.manifest(descriptor, names),
                MediaType::ImageIndex => self.nested(descriptor, &names, depth)?,
                MediaType::Other(other) if other == DOCKER_INDEX => self.nested(descriptor, &names, depth)?,
                other => bail!("its index has an entry of the media type '{other}', which is unknown"),
            }
        }
        Ok(())
    }

    fn nested(&mut self, descriptor: &Descriptor, names: &[String], depth: usize) -> anyhow::Result<()> {
        ensure!(depth < MAX_DEPTH, "its indexes lie more than {MAX_DEPTH} deep in each other");
        let text = read(self.container, descriptor)?;
        let index: ImageIndex =
            serde_json::from_slice(&text).with_context(|| damaged("index", descriptor))?;
        self.index(&index, names, depth + 1)
    }

    fn manifest(&mut self, descriptor: &Descriptor, names: Vec<String>) {
        match descriptor.platform() {
            Some(platform) if !is_this_machine(platform.os(), platform.architecture()) => {
                self.elsewhere.extend(described(platform));
            }
            // One image, under the same names once for each variant of the machine: the first is the plainest.
            _ if !names.is_empty() && self.found.iter().any(|known| known.names == names) => {}
            _ => {
                self.found.push(Candidate { names, manifest: Manifest::Layout(Box::new(descriptor.clone())) })
            }
        }
    }
}

/// Whether something is for the machine that vmm runs on.
pub(crate) fn is_this_machine(os: &Os, architecture: &Arch) -> bool {
    *os == Os::Linux && *architecture == Arch::default()
}

/// A platform as people write it; `None` for what marks attestations.
fn described(platform: &Platform) -> Option<String> {
    let text = format!("{}/{}", platform.os(), platform.architecture());
    (text != "unknown/unknown").then_some(text)
}

fn names_of(descriptor: &Descriptor, outer: &[String]) -> Vec<String> {
    let annotations = descriptor.annotations().as_ref();
    let own = NAME_ANNOTATIONS.iter().filter_map(|name| annotations?.get(*name).cloned());
    let mut names: Vec<String> = own.collect();
    names.dedup();
    if names.is_empty() { outer.to_vec() } else { names }
}

pub(super) fn parts(container: &Container, descriptor: &Descriptor) -> anyhow::Result<Parts> {
    let text = read(container, descriptor)?;
    let manifest: ImageManifest =
        serde_json::from_slice(&text).with_context(|| damaged("manifest", descriptor))?;
    match manifest.config().media_type() {
        MediaType::ImageConfig => {}
        MediaType::Other(other) if other == DOCKER_CONFIGURATION => {}
        other => {
            bail!("it is no image of a root file system: its configuration is of the media type '{other}'")
        }
    }
    Ok(Parts {
        configuration: read(container, manifest.config())?,
        layers: manifest.layers().iter().map(layer).collect::<anyhow::Result<_>>()?,
    })
}

fn layer(descriptor: &Descriptor) -> anyhow::Result<Blob> {
    use MediaType as T;
    match descriptor.media_type() {
        T::ImageLayer | T::ImageLayerGzip | T::ImageLayerZstd => {}
        T::ImageLayerNonDistributable
        | T::ImageLayerNonDistributableGzip
        | T::ImageLayerNonDistributableZstd => {}
        T::Other(other) if DOCKER_LAYERS.contains(&other.as_str()) => {}
        other => bail!("it has a layer of the media type '{other}', which is unknown"),
    }
    let digest = digest_of(descriptor)?;
    Ok(Blob { name: path_of(&digest), announced: Some((digest, descriptor.size())) })
}

/// The document that `descriptor` tells of.
fn read(container: &Container, descriptor: &Descriptor) -> anyhow::Result<Vec<u8>> {
    let digest = digest_of(descriptor)?;
    let name = path_of(&digest);
    let text = container.read(&name, MAX_DOCUMENT_LEN)?;
    digest::check((Digest::of(&text), text.len() as u64), (digest, Some(descriptor.size())))
        .with_context(|| format!("{name} is damaged"))?;
    Ok(text)
}

fn digest_of(descriptor: &Descriptor) -> anyhow::Result<Digest> {
    descriptor.digest().as_ref().parse()
}

fn path_of(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn damaged(what: &str, descriptor: &Descriptor) -> String {
    format!("the {what} {} makes no sense", descriptor.digest())
}
