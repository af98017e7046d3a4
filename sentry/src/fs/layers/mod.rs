//! A root file system made of an image's layers.
//!
//! Whoever unpacks an image leaves, for each layer, one file with the *contents* of all its regular files, each at a multiple
//! of the page size; and for each chain of layers one *index*: the names and attributes of the tree that the layers make
//! together, and for each file where in which layer its contents are. So nothing of a file but its bytes is a file of
//! the host's: owners, modes, device nodes and attributes are what the archive says, whoever unpacked it; contents are
//! there once for all images that share a layer; and a lookup costs the same however many layers there are.
//!
//! Both are open when the sandbox starts, and are only read, with pread(2): no path of the host is ever looked up, and
//! what is read stays as it is when the files lose their names. [`mod@format`] says how an index is written. An index that makes no sense
//! is EIO where it is met.

mod file;
pub mod format;
#[cfg(test)]
mod tests;
mod tree;

pub use tree::LayeredTree;
