//! Images as a fuzzer has them.

use std::fs::File;
use std::io::{self, Read, Write};

use oci_spec::image::ImageConfiguration;
use rustix::fs::{MemfdFlags, memfd_create};

use super::allowance::Allowance;
use super::compression::decompress;
use super::configuration::Configuration;
use super::layer;
use super::source::Container;
use super::tar::{FilePart, TarReader};
use super::tree;

/// What an image may have here, so that a run takes a moment.
const LIMIT_BYTES: u64 = 4 << 20;

/// An archive, compressed or not: of a root file system, a layout of the OCI, or what docker saves.
pub fn archive(bytes: &[u8]) {
    // Anything may be refused.
    let _ = unpack(bytes);
}

fn unpack(bytes: &[u8]) -> anyhow::Result<()> {
    let mut plain = new_file()?;
    let (_, reader) = decompress(bytes)?;
    io::copy(&mut reader.take(LIMIT_BYTES), &mut plain)?;
    let container = Container::of_archive(plain.try_clone()?)?;
    for candidate in container.candidates()? {
        let _ = container.parts(&candidate);
    }
    let len = plain.metadata()?.len();
    let layer = new_file()?;
    let allowance = Allowance::new(LIMIT_BYTES);
    layer::unpack(&mut TarReader::new(FilePart::new(&plain, 0, len)), &layer, &allowance)?;
    // What was taken can be read back.
    layer::read_tree(&layer).expect("a layer that was written");
    Ok(())
}

fn new_file() -> io::Result<File> {
    Ok(memfd_create("fuzzing", MemfdFlags::CLOEXEC)?.into())
}

/// The file of a layer of the store, with an index and a footer, and the index alone.
pub fn index(bytes: &[u8]) {
    // The records of an index are aligned.
    let mut words = vec![0_u64; bytes.len().div_ceil(8)];
    let aligned = zerocopy::IntoBytes::as_mut_bytes(&mut *words);
    if let Some(aligned) = aligned.get_mut(..bytes.len()) {
        aligned.copy_from_slice(bytes);
        let _ = tree::decode(aligned);
    }
    if let Ok(mut file) = new_file()
        && file.write_all(bytes).is_ok()
    {
        let _ = layer::read_tree(&file);
    }
}

/// The configuration of an image.
pub fn documents(bytes: &[u8]) {
    if let Ok(configuration) = serde_json::from_slice::<ImageConfiguration>(bytes) {
        let configuration = Configuration::new(configuration);
        let _ = (configuration.entrypoint().len(), configuration.user(), configuration.exposed_ports().len());
    }
}
