//! The id of a chain of layers (image specification, "Layer ChainID").

use super::digest::Digest;

/// The id of these layers, one over the other.
pub(crate) fn id(layers: &[Digest]) -> Digest {
    let mut layers = layers.iter();
    let Some(first) = layers.next() else { return Digest::of(b"") };
    layers.fold(*first, |below, layer| Digest::of(format!("{below} {layer}").as_bytes()))
}

/// The same, where layers and id are in digits. What is no digest counts as none.
pub(crate) fn id_text(layers: &[String]) -> String {
    let digests: Vec<_> = layers.iter().filter_map(|layer| Digest::from_hex(layer)).collect();
    id(&digests).hex()
}
