//! Devices: the memory devices, and the tree of /dev.

mod devtmpfs;
mod memory_device;
mod misc;
mod terminal_device;
mod tree;

pub(super) use devtmpfs::DEVTMPFS;
pub use devtmpfs::Devtmpfs;
pub use memory_device::MemoryDevices;
pub(super) use misc::MiscDevices;
pub use terminal_device::TerminalDevices;
