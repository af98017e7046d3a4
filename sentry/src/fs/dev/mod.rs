//! Devices: the memory devices, and the tree of /dev.

mod devtmpfs;
mod kernel_log;
mod log_device;
mod memory_device;
mod misc;
mod terminal_device;
mod tree;

pub(super) use devtmpfs::DEVTMPFS;
pub use devtmpfs::Devtmpfs;
pub use kernel_log::KernelLog;
pub use memory_device::MemoryDevices;
pub(super) use misc::MiscDevices;
pub use terminal_device::TerminalDevices;
