//! Images: found, told apart by their content, unpacked once into a store, and opened for a sandbox.
//!
//! [`open`] takes what `--image` says to what the sentry's root file system is made from. A directory and an executable are opened as
//! they are. For the layers of an image:
//!
//! | step | where |
//! |---|---|
//! | gzip, xz, zstd or none | [`compression`] |
//! | which images there are, and what they are made of | [`source`] |
//! | the members of a layer's archive | [`tar`] |
//! | the tree that they make; trees, one over the other | [`tree`] |
//! | contents and index, in one file a layer | [`layer`] |
//! | where these files are kept | [`store`] |
//!
//! An archive is hostile, and all of this runs before the process is confined: it is Rust throughout, nothing of an archive becomes a
//! name on the host, and what it may take is [bounded](allowance).

mod allowance;
mod chain;
mod commit;
mod compression;
mod configuration;
mod digest;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod layer;
mod location;
pub mod manage;
mod opened;
mod progress;
mod source;
mod store;
pub(crate) mod tar;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;

pub use commit::{Commit, commit};
pub use configuration::Configuration;

use allowance::Allowance;
use location::Location;
use opened::open_location;
use store::Store;

/// How many bytes an image may unpack to unless it is said.
pub const DEFAULT_LIMIT_BYTES: u64 = 16 << 30;

/// Which image is meant, and how it is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The path of a directory, an executable or an archive, or the name of an image in the store; `-` is an archive on standard input. `#NAME`
    /// behind it says which of several images.
    pub image: OsString,
    /// The store, if not the caller's own.
    pub store: Option<PathBuf>,
    /// What it may unpack to, in bytes.
    pub limit_bytes: u64,
}

/// An image that is ready to be run.
pub struct OpenImage {
    /// What the root file system is made from.
    pub image: sentry::boot::Image,
    /// What it says of how it is to be run.
    pub configuration: Option<Configuration>,
    /// Its id in the store, if it is there: the digest of its configuration.
    pub id: Option<String>,
    /// Its place on the host, if it is a directory or an executable.
    pub path: Option<PathBuf>,
}

/// Opens an image. What is not in the store yet is unpacked.
///
/// # Errors
/// There is no such image, it is damaged or hostile, or the store cannot be written. The error names the image.
pub fn open(request: &Request) -> anyhow::Result<OpenImage> {
    let named = || format!("image {}", request.image.display());
    let location = Location::find(&request.image).with_context(named)?;
    let allowance = Allowance::new(request.limit_bytes);
    open_location(location, || Store::open(request.store.as_deref()), &allowance).with_context(named)
}
