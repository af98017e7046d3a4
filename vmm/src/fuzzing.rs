//! What reads foreign bytes, for the fuzzers of `vmm/fuzz/`: each function takes any bytes, which may be refused, but nothing else may
//! happen.

pub use crate::control::fuzzing::control_request;
pub use crate::image::fuzzing::{archive, documents, index};
pub use crate::network::fuzzing::{broker_request, name_query};

#[cfg(test)]
mod tests;
