//! Files as a fuzzer has them.

use super::file_capabilities::FileCapabilities;

pub use super::ext::fuzzing::ext_image;

/// The attribute security.capability.
pub fn file_capabilities(bytes: &[u8]) {
    let _ = FileCapabilities::parse(bytes);
}
