//! Sockets. Unix sockets only: other families are EAFNOSUPPORT, which programs take for a host without a network.

pub mod configuration;
pub mod device;
pub mod route;
pub mod unix;

mod namespace;
mod options;

pub use namespace::NetworkNamespace;
pub use options::{SocketOptions, SocketTimeouts};
