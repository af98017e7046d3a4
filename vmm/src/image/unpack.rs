//! What an image is made of, taken into the store.

use std::fs::File;
use std::io::BufWriter;
use std::io::Write;

use anyhow::{Context, ensure};
use oci_spec::image::{Arch, ImageConfiguration, ImageConfigurationBuilder, Os, RootFsBuilder};
use sentry::fs::layers::format::MAX_LAYERS;

use super::allowance::{Allowance, Metered};
use super::chain;
use super::compression::decompress;
use super::digest::{self, Digest, DigestReader};
use super::layer;
use super::progress::Progress;
use super::source::{Blob, Container, Kind, Parts, is_this_machine};
use super::store::{Record, Store};
use super::tar::{FilePart, TarReader};
use super::tree::{self, Tree};

/// What an archive of a root file system is made of: one layer, and a configuration that says nothing.
///
/// # Errors
/// The archive cannot be read.
pub(super) fn root_file_system(container: &Container) -> anyhow::Result<Parts> {
    let (file, len) = container.archive()?;
    let (digest, len) = DigestReader::new(FilePart::new(file, 0, len)).finish()?;
    let layers = RootFsBuilder::default().diff_ids(vec![digest.to_string()]).build()?;
    let configuration = ImageConfigurationBuilder::default().os(Os::Linux).architecture(Arch::default());
    let configuration = configuration.rootfs(layers).build()?;
    Ok(Parts {
        configuration: serde_json::to_vec(&configuration)?,
        layers: vec![Blob { name: String::new(), announced: Some((digest, len)) }],
    })
}

/// Takes an image into the store, as far as it is not there.
///
/// # Errors
/// It is damaged, hostile, or for another machine. The store cannot be written.
pub(super) fn unpack(
    store: &Store,
    container: &Container,
    parts: &Parts,
    allowance: &Allowance,
) -> anyhow::Result<Record> {
    let configuration: ImageConfiguration =
        serde_json::from_slice(&parts.configuration).context("its configuration makes no sense")?;
    let (os, architecture) = (configuration.os(), configuration.architecture());
    ensure!(
        is_this_machine(os, architecture),
        "it is for {os}/{architecture}, and this machine is linux/{}",
        Arch::default()
    );
    let digests = configuration.rootfs().diff_ids().iter().map(|text| text.parse());
    let digests: Vec<Digest> = digests.collect::<anyhow::Result<_>>()?;
    ensure!(
        digests.len() == parts.layers.len(),
        "its configuration has {} layers, and its manifest {}",
        digests.len(),
        parts.layers.len()
    );
    ensure!((1..=MAX_LAYERS).contains(&digests.len()), "it has {} layers", digests.len());
    let layers = unpack_layers(store, container, parts, &digests, allowance)?;
    store.tree(&chain::id(&digests), |file| write_tree(&layers, &digests, file))?;
    Ok(Record { names: Vec::new(), layers: digests.iter().map(Digest::hex).collect(), configuration })
}

fn unpack_layers(
    store: &Store,
    container: &Container,
    parts: &Parts,
    digests: &[Digest],
    allowance: &Allowance,
) -> anyhow::Result<Vec<File>> {
    let missing = parts.layers.iter().zip(digests).filter(|(_, digest)| !store.has_layer(digest));
    let lengths = missing.filter_map(|(blob, _)| container.open(&blob.name).ok()).map(|(_, len)| len);
    let progress = Progress::new(lengths.sum());
    let mut layers = Vec::new();
    for (place, (blob, digest)) in parts.layers.iter().zip(digests).enumerate() {
        let make = |file: &File| unpack_layer(container, blob, digest, file, allowance, &progress);
        let layer = store.layer(digest, make);
        layers.push(match container.kind() {
            Kind::RootFileSystem => layer?,
            Kind::Layout | Kind::Docker => {
                layer.with_context(|| format!("layer {} of {} ({digest})", place + 1, digests.len()))?
            }
        });
    }
    Ok(layers)
}

fn unpack_layer(
    container: &Container,
    blob: &Blob,
    digest: &Digest,
    file: &File,
    allowance: &Allowance,
    progress: &Progress,
) -> anyhow::Result<()> {
    let (input, _) = container.open(&blob.name)?;
    let mut packed = DigestReader::new(progress.count(input));
    let (_, contents) = decompress(&mut packed)?;
    let unpacked = DigestReader::new(Metered::new(contents, allowance));
    let mut archive = TarReader::new(unpacked);
    layer::unpack(&mut archive, file, allowance)?;
    let has_end_mark = archive.has_end_mark();
    let found = archive.into_inner().finish()?;
    // Of an image the digest tells, whether all of it is there.
    ensure!(
        has_end_mark || container.kind() != Kind::RootFileSystem,
        "it is cut short: its end is not marked"
    );
    digest::check(found, (*digest, None))?;
    match blob.announced {
        Some((announced, len)) => digest::check(packed.finish()?, (announced, Some(len))),
        None => Ok(()),
    }
}

/// Writes the index of the tree that `layers` make, one over the other.
///
/// # Errors
/// A layer has a link to what is not there, or the index cannot be written.
pub(super) fn write_tree(layers: &[File], digests: &[Digest], file: &File) -> anyhow::Result<()> {
    let mut tree = Tree::new();
    for (place, (layer, digest)) in layers.iter().zip(digests).enumerate() {
        let above = layer::read_tree(layer).with_context(|| format!("the store's layer {digest}"))?;
        tree.merge(above, u32::try_from(place)?)
            .with_context(|| format!("layer {} ({digest})", place + 1))?;
    }
    tree.settle();
    let mut out = BufWriter::new(file);
    tree::encode(&tree, digests, &mut out)?;
    out.flush().context("write to the store")
}
