//! Devices: the memory devices, and the tree of /dev.

mod memory_device;
mod terminal_device;
mod tree;

pub use memory_device::MemoryDevices;
pub use terminal_device::TerminalDevices;
pub use tree::populate;
