//! From where an image is to files that are open.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use sentry::boot::Image;

use super::allowance::{Allowance, Metered};
use super::compression::{Compression, decompress};
use super::configuration::Configuration;
use super::digest::Digest;
use super::location::Location;
use super::source::{self, Container, Kind};
use super::store::{ArchiveKey, Record, SourceImage, Store};
use super::{OpenImage, store, unpack};

const ELF_MAGIC: &[u8] = b"\x7fELF";

/// Opens the image that is at `location`. The store is opened only for what goes into it.
///
/// # Errors
/// As for [`super::open`].
pub(super) fn open_location(
    location: Location,
    open_store: impl FnOnce() -> anyhow::Result<Store>,
    allowance: &Allowance,
) -> anyhow::Result<OpenImage> {
    match location {
        Location::StandardInput(reference) => {
            let input = File::from(rustix::io::dup(io::stdin())?);
            open_file(&open_store()?, input, reference.as_deref(), allowance)
        }
        Location::Path(path, reference) => match Found::at(&path)? {
            Found::Tree => {
                ensure!(reference.is_none(), "there is one image in it, without a name");
                let image = open_on_host(&path)?;
                Ok(OpenImage { image, configuration: None, id: None, path: Some(path) })
            }
            Found::Container(container) => {
                let store = open_store()?;
                let _lock = store.lock_shared()?;
                open_container(&store, &container, None, reference.as_deref(), allowance)
            }
            Found::File(file) => open_file(&open_store()?, file, reference.as_deref(), allowance),
        },
        Location::Name(name) => open_named(&name, open_store),
    }
}

/// What a path leads to.
enum Found {
    /// A root file system or an executable.
    Tree,
    Container(Container),
    File(File),
}

impl Found {
    fn at(path: &Path) -> anyhow::Result<Self> {
        let Ok(metadata) = std::fs::metadata(path) else { return Ok(Self::Tree) };
        if metadata.is_dir() {
            return Ok(Container::of_directory(path).map_or(Self::Tree, Self::Container));
        }
        if !metadata.is_file() && !metadata.file_type().is_fifo() {
            return Ok(Self::Tree);
        }
        let mut file = File::open(path).context("cannot be opened")?;
        if metadata.is_file() {
            let mut head = Vec::new();
            file.by_ref().take(ELF_MAGIC.len() as u64).read_to_end(&mut head)?;
            file.seek(SeekFrom::Start(0))?;
            if head == ELF_MAGIC {
                return Ok(Self::Tree);
            }
        }
        Ok(Self::File(file))
    }
}

fn open_on_host(path: &Path) -> anyhow::Result<Image> {
    Image::open(path).map_err(|error| {
        let text = error.to_string();
        match std::error::Error::source(&error) {
            Some(_) => anyhow::Error::from(error).context(text),
            None => anyhow::Error::msg(text),
        }
    })
}

fn open_named(name: &str, open_store: impl FnOnce() -> anyhow::Result<Store>) -> anyhow::Result<OpenImage> {
    if !source::looks_like_reference(name) && !name.starts_with("sha256:") {
        return open_on_host(Path::new(name)).map(|image| OpenImage {
            image,
            configuration: None,
            id: None,
            path: Some(PathBuf::from(name)),
        });
    }
    let store = open_store()?;
    let _lock = store.lock_shared()?;
    let catalogue = store.catalogue()?;
    let opened =
        catalogue.find(name).map(|(id, record)| open_record(&store, id, record)).transpose()?.flatten();
    opened.with_context(|| {
        let directory = name.rsplit('/').next().unwrap_or(name).split([':', '@']).next().unwrap_or(name);
        format!(
            "there is no such file, and none of that name in the image store; vmm fetches nothing: \
             `skopeo copy docker://{name} oci:{directory}` makes a directory that --image {directory} takes"
        )
    })
}

/// An archive, compressed or not, in a file that need not be one that can be read twice.
fn open_file(
    store: &Store,
    file: File,
    reference: Option<&str>,
    allowance: &Allowance,
) -> anyhow::Result<OpenImage> {
    let _lock = store.lock_shared()?;
    let metadata = file.metadata()?;
    let key = metadata.is_file().then(|| ArchiveKey::new(&metadata)).flatten();
    if let Some(opened) = open_known(store, key.as_ref(), reference)? {
        return Ok(opened);
    }
    let archive = plain_archive(store, file, metadata.is_file(), allowance)?;
    let container = Container::of_archive(archive)?;
    open_container(store, &container, key, reference, allowance)
}

/// An image of an archive that has been looked through before.
fn open_known(
    store: &Store,
    key: Option<&ArchiveKey>,
    reference: Option<&str>,
) -> anyhow::Result<Option<OpenImage>> {
    let catalogue = store.catalogue()?;
    let Some(images) = key.and_then(|key| catalogue.images_of(key)) else { return Ok(None) };
    let names: Vec<_> = images.iter().map(|image| image.names.clone()).collect();
    let chosen = source::choose(&names, reference)?;
    let id = images.get(chosen).and_then(|image| image.id.as_ref());
    let known = id.and_then(|id| catalogue.images.get_key_value(id));
    known.map_or(Ok(None), |(id, record)| open_record(store, id, record))
}

/// The archive in `file` as one that can be read at any place: itself, or a copy that is not compressed.
///
/// # Errors
/// It is damaged or unpacks to too much, or the store cannot be written.
pub(super) fn plain_archive(
    store: &Store,
    file: File,
    is_regular: bool,
    allowance: &Allowance,
) -> anyhow::Result<File> {
    if is_regular {
        let mut head = Vec::new();
        (&file).take(6).read_to_end(&mut head)?;
        (&file).seek(SeekFrom::Start(0))?;
        if Compression::of(&head) == Compression::None {
            return Ok(file);
        }
    }
    let mut copy = store.temporary_file()?;
    let (_, contents) = decompress(&file)?;
    io::copy(&mut Metered::new(contents, allowance), &mut copy).context("unpack it")?;
    Ok(copy)
}

fn open_container(
    store: &Store,
    container: &Container,
    key: Option<ArchiveKey>,
    reference: Option<&str>,
    allowance: &Allowance,
) -> anyhow::Result<OpenImage> {
    let (mut images, chosen, parts) = match container.kind() {
        Kind::RootFileSystem => {
            let alone = SourceImage { names: Vec::new(), id: None };
            source::choose(&[Vec::new()], reference)?;
            (vec![alone], 0, unpack::root_file_system(container)?)
        }
        Kind::Layout | Kind::Docker => {
            let candidates = container.candidates()?;
            let names: Vec<_> = candidates.iter().map(|candidate| candidate.names.clone()).collect();
            let chosen = source::choose(&names, reference)?;
            let candidate = candidates.get(chosen).context("it has no image")?;
            let parts = container.parts(candidate)?;
            (names.into_iter().map(|names| SourceImage { names, id: None }).collect(), chosen, parts)
        }
    };
    let record = unpack::unpack(store, container, &parts, allowance)?;
    let id = store::id_of(&parts.configuration);
    let known = store.catalogue()?;
    for (place, image) in images.iter_mut().enumerate() {
        image.id = if place == chosen { Some(id.clone()) } else { known_id(&known, key.as_ref(), place) };
    }
    enter(store, &id, record, images, chosen, key)
}

fn known_id(catalogue: &store::Catalogue, key: Option<&ArchiveKey>, place: usize) -> Option<String> {
    catalogue.images_of(key?)?.get(place)?.id.clone()
}

/// Enters an image that has been unpacked into the catalogue, and opens it.
fn enter(
    store: &Store,
    id: &str,
    record: Record,
    images: Vec<SourceImage>,
    chosen: usize,
    key: Option<ArchiveKey>,
) -> anyhow::Result<OpenImage> {
    let names = images.get(chosen).map(|image| image.names.clone()).unwrap_or_default();
    let archive = key.map(|key| (key, images));
    let record = Record { names, ..record };
    if !store.catalogue()?.has(id, &record.names, archive.as_ref()) {
        store.change_catalogue(|catalogue| catalogue.enter(id, record.clone(), archive))?;
    }
    open_record(store, id, &record)?.context("the image store has been emptied meanwhile")
}

/// Opens the files of an image in the store; `None` if they are not all there.
fn open_record(store: &Store, id: &str, record: &Record) -> anyhow::Result<Option<OpenImage>> {
    let digests: Option<Vec<Digest>> = record.layers.iter().map(|layer| Digest::from_hex(layer)).collect();
    let Some(digests) = digests else { return Ok(None) };
    let Some((tree, layers)) = store.open_image(&digests)? else { return Ok(None) };
    Store::note_use(&tree);
    let contents: Vec<OwnedFd> = layers.into_iter().map(OwnedFd::from).collect();
    Ok(Some(OpenImage {
        image: Image::Layers { index: tree.into(), contents },
        configuration: Some(Configuration::new(record.configuration.clone())),
        id: Some(id.to_owned()),
        path: None,
    }))
}
