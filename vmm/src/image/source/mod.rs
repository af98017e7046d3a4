//! Where images come from: a directory or an archive, told by what is in it.
//!
//! A [`Container`] holds named blobs. A [`layout`] and a [docker archive](docker) list images, of which one is chosen; any other
//! archive is a root file system itself.

mod container;
mod docker;
mod layout;
mod reference;

pub(crate) use container::{Container, Kind};
pub(crate) use layout::is_this_machine;
pub(crate) use reference::{is_same, looks_like_reference};

use anyhow::{Context, bail};

use super::digest::Digest;

/// The most that a document (an index, a manifest, a configuration) may have.
const MAX_DOCUMENT_LEN: u64 = 8 << 20;

/// An image in a container, not opened yet.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// What it is called.
    pub(crate) names: Vec<String>,
    manifest: Manifest,
}

#[derive(Clone, Debug)]
enum Manifest {
    /// A blob that is an image manifest.
    Layout(Box<oci_spec::image::Descriptor>),
    /// An entry of docker's manifest.json.
    Docker(docker::Entry),
}

/// What an image is made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// The configuration's text.
    pub(crate) configuration: Vec<u8>,
    /// From the lowest.
    pub(crate) layers: Vec<Blob>,
}

/// A blob of a container.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) name: String,
    /// The digest and the length that it is to have, if these are told.
    pub(crate) announced: Option<(Digest, u64)>,
}

impl Container {
    /// The images that it lists; those for other machines are left out.
    ///
    /// # Errors
    /// The lists are damaged, or have nothing for this machine.
    pub(crate) fn candidates(&self) -> anyhow::Result<Vec<Candidate>> {
        match self.kind() {
            Kind::Layout => layout::candidates(self),
            Kind::Docker => docker::candidates(self),
            Kind::RootFileSystem => Ok(Vec::new()),
        }
    }

    /// What `candidate` is made of.
    ///
    /// # Errors
    /// A document is missing or damaged, or describes something else than an image.
    pub(crate) fn parts(&self, candidate: &Candidate) -> anyhow::Result<Parts> {
        match &candidate.manifest {
            Manifest::Layout(descriptor) => layout::parts(self, descriptor),
            Manifest::Docker(entry) => docker::parts(self, entry),
        }
    }
}

/// Which of several images is meant, by their names: the one called `reference`, or the only one.
///
/// # Errors
/// None is, or it is left open which; the error lists what there is.
pub(crate) fn choose(names: &[Vec<String>], reference: Option<&str>) -> anyhow::Result<usize> {
    let described = || {
        let of = |names: &Vec<String>| names.first().map_or("one without a name", String::as_str).to_owned();
        names.iter().map(of).collect::<Vec<_>>().join(", ")
    };
    let is_called =
        |reference: &str| names.iter().position(|own| own.iter().any(|name| is_same(name, reference)));
    match reference {
        Some(reference) => is_called(reference).with_context(|| {
            format!("there is no '{}' in it; it has {}", reference.escape_debug(), described())
        }),
        None if names.len() == 1 => Ok(0),
        None if names.is_empty() => bail!("it has no image"),
        None => bail!("it has several images; append #NAME to say which: {}", described()),
    }
}
