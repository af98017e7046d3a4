//! Sockets, and the network namespaces that they are in.
//!
//! A descriptor refers to a [`SocketFile`], which owns a [`Socket`] of one of the families in [`family`]'s table; other families
//! are EAFNOSUPPORT, as on a kernel that was built without them. System calls know that trait alone, with addresses and messages
//! that are no family's. What is the same for all families is said once: options of SOL_SOCKET in [`level`], memory in
//! [`SocketMemory`].
//!
//! Nothing here blocks: EAGAIN is returned before anything has changed, and the caller waits on the socket's queue. Lock order: a
//! socket's options come last; a family tells its own.

pub mod configuration;
pub mod device;
pub mod inet;
pub mod level;
pub mod netlink;
pub mod outside;
pub mod packet;
pub mod route;
pub mod tun;
pub mod unix;
pub mod wire;
pub mod xtables;

mod address;
mod attributes;
mod bridge_attributes;
mod counters;
mod credentials;
mod family;
mod file;
mod files;
mod filter;
mod ioctl;
mod memory;
mod message;
mod namespace;
mod options;
mod socket;
mod tables;

pub use address::SocketAddress;
pub use counters::{Counter, Counters};
pub use credentials::PeerCredentials;
pub use family::{Family, SocketRequest};
pub use file::SocketFile;
pub use filter::PacketFilter;
pub use memory::{SocketMemory, SocketMemoryCharge};
pub use message::{ControlMessage, Outgoing, Received, Receiving};
pub use namespace::{KernelSockets, NetworkNamespace};
pub use options::{SocketOptions, SocketTimeouts};
pub use socket::{Destination, Shutdown, Socket, SocketCaller, SocketCommon, SocketKind};
