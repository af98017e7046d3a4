//! An image, made of another one and a layer over it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context, ensure};
use oci_spec::image::{HistoryBuilder, ImageConfiguration};
use sentry::fs::layers::format::MAX_LAYERS;

use super::allowance::{Allowance, Metered};
use super::digest::{Digest, DigestReader};
use super::manage::{self, Summary};
use super::source::looks_like_reference;
use super::store::{self, Record, Store};
use super::tar::{FilePart, TarReader, is_archive};
use super::{Request, chain, layer, open, opened, unpack};

/// What the history of an image says of a layer.
const CREATED_BY: &str = "vmm images commit";
/// How much of a file tells whether it is an archive.
const HEAD_LEN: u64 = 512;

/// What an image is to be made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The image below.
    pub below: Request,
    /// The path of the layer's archive, compressed or not; `-` is standard input.
    pub layer: OsString,
    /// What the new image is to be called.
    pub name: Option<String>,
}

/// Makes an image, and keeps it in the store. One of the same layers is the same image, whenever it is made.
///
/// # Errors
/// As for [`open`]. The image below is run as it is, so that it has no layers. The layer is damaged or hostile, or does not fit the
/// image. The name is none that an image can have. Nothing is kept then.
pub fn commit(request: &Commit) -> anyhow::Result<Summary> {
    let name = request.name.as_deref();
    ensure!(
        name.is_none_or(looks_like_reference),
        "'{}' is no name of an image: use NAME[:TAG], in lower case",
        name.unwrap_or_default().escape_debug()
    );
    let below = || format!("image {}", request.below.image.display());
    let opened = open(&request.below)?;
    let id = opened.id.with_context(|| format!("{}: it is run as it is, and has no layers", below()))?;
    let store = Store::open(request.below.store.as_deref())?;
    let _lock = store.lock_shared()?;
    let catalogue = store.catalogue()?;
    let (_, below) = manage::find(&catalogue, &id)?;
    let allowance = Allowance::new(request.below.limit_bytes);
    let made = add_layer(&store, below, request, &allowance);
    let (id, record) = made.with_context(|| format!("layer {}", request.layer.display()))?;
    store.change_catalogue(|catalogue| catalogue.enter(&id, record.clone(), None))?;
    let catalogue = store.catalogue()?;
    let (id, record) = manage::find(&catalogue, &id)?;
    Ok(manage::summary(&store, id, record))
}

/// Takes the layer into the store, and returns the image that it makes over `below`, with its id.
fn add_layer(
    store: &Store,
    below: &Record,
    request: &Commit,
    allowance: &Allowance,
) -> anyhow::Result<(String, Record)> {
    let digests: Option<Vec<Digest>> = below.layers.iter().map(|layer| Digest::from_hex(layer)).collect();
    let mut digests = digests.context("the image store is damaged")?;
    ensure!(digests.len() < MAX_LAYERS, "an image has no more than {MAX_LAYERS} layers");
    let files = store.open_image(&digests)?.context("the image store has been emptied meanwhile")?;
    let (_, mut layers) = files;
    let (digest, unpacked) = unpack_layer(store, &request.layer, allowance)?;
    digests.push(digest);
    layers.push(unpacked);
    store.tree(&chain::id(&digests), |file| unpack::write_tree(&layers, &digests, file))?;
    let configuration = with_layer(&below.configuration, &digest)?;
    let record = Record {
        names: request.name.iter().cloned().collect(),
        layers: digests.iter().map(Digest::hex).collect(),
        configuration,
    };
    Ok((store::id_of(&serde_json::to_vec(&record.configuration)?), record))
}

fn unpack_layer(store: &Store, path: &OsString, allowance: &Allowance) -> anyhow::Result<(Digest, File)> {
    let file = match path.to_str() {
        Some("-") => File::from(rustix::io::dup(io::stdin())?),
        _ => File::open(Path::new(path)).context("cannot be opened")?,
    };
    let is_regular = file.metadata()?.is_file();
    let archive = opened::plain_archive(store, file, is_regular, allowance)?;
    let len = archive.metadata()?.len();
    let mut head = Vec::new();
    io::copy(&mut FilePart::new(&archive, 0, len.min(HEAD_LEN)), &mut head)?;
    ensure!(is_archive(&head), "it is no archive of a layer");
    let (digest, len) = DigestReader::new(FilePart::new(&archive, 0, len)).finish()?;
    let layer = store.layer(&digest, |file| {
        let contents = Metered::new(FilePart::new(&archive, 0, len), allowance);
        let mut members = TarReader::new(contents);
        layer::unpack(&mut members, file, allowance)?;
        ensure!(members.has_end_mark(), "it is cut short: its end is not marked");
        Ok(())
    })?;
    Ok((digest, layer))
}

/// How an image is to be run that has one more layer.
fn with_layer(below: &ImageConfiguration, digest: &Digest) -> anyhow::Result<ImageConfiguration> {
    let mut configuration = below.clone();
    configuration.rootfs_mut().diff_ids_mut().push(digest.to_string());
    // It says when the image below was made.
    configuration.set_created(None);
    if let Some(history) = configuration.history_mut() {
        history.push(HistoryBuilder::default().created_by(CREATED_BY).build()?);
    }
    Ok(configuration)
}
