//! The devices without a major number of their own.

use std::sync::Arc;

use crate::Errno;
use crate::fs::block::{BlockDevices, LoopControl};
use crate::fs::fuse::FuseDriver;
use crate::fs::special::DeviceDriver;
use crate::fs::userfaultfd::UserfaultDriver;
use crate::fs::{DeviceNumber, File, Inode, OpenFlags, Viewer};

/// The driver that passes them on by their minor numbers.
pub(in crate::fs) struct MiscDevices {
    loop_control: Arc<LoopControl>,
}

impl MiscDevices {
    /// The major number of all.
    pub(in crate::fs) const MAJOR: u32 = 10;

    /// The driver; loop devices are those of `devices`.
    pub(in crate::fs) fn new(devices: &Arc<BlockDevices>) -> Arc<Self> {
        Arc::new(Self { loop_control: LoopControl::new(devices) })
    }
}

impl DeviceDriver for MiscDevices {
    fn open(
        &self,
        device: DeviceNumber,
        inode: &Arc<dyn Inode>,
        flags: OpenFlags,
        viewer: &Viewer,
    ) -> Result<Arc<dyn File>, Errno> {
        match device.minor {
            LoopControl::MINOR => self.loop_control.open(device, inode, flags, viewer),
            FuseDriver::MINOR => FuseDriver.open(device, inode, flags, viewer),
            UserfaultDriver::MINOR => UserfaultDriver.open(device, inode, flags, viewer),
            _ => Err(Errno::ENXIO),
        }
    }
}
