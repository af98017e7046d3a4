//! /dev/loop-control: makes, removes and finds loop devices.

use std::any::Any;
use std::sync::Arc;

use linux_raw_sys::loop_device as uapi;

use crate::Errno;
use crate::fs::block::BlockDevices;
use crate::fs::special::DeviceDriver;
use crate::fs::{Caller, DeviceNumber, File, Inode, Metadata, OpenFlags, Splicing, Viewer};

/// The driver of devices without a major number of their own: there is one.
pub struct LoopControl {
    devices: Arc<BlockDevices>,
}

impl LoopControl {
    /// The minor number.
    pub const MINOR: u32 = 237;

    /// The driver, for the loop devices of `devices`.
    pub fn new(devices: &Arc<BlockDevices>) -> Arc<Self> {
        Arc::new(Self { devices: devices.clone() })
    }
}

impl DeviceDriver for LoopControl {
    fn open(
        &self,
        device: DeviceNumber,
        inode: &Arc<dyn Inode>,
        _flags: OpenFlags,
        _viewer: &Viewer,
    ) -> Result<Arc<dyn File>, Errno> {
        match device.minor {
            Self::MINOR => Ok(Arc::new(ControlFile { devices: self.devices.clone(), inode: inode.clone() })),
            _ => Err(Errno::ENXIO),
        }
    }
}

struct ControlFile {
    devices: Arc<BlockDevices>,
    inode: Arc<dyn Inode>,
}

impl File for ControlFile {
    fn ioctl(&self, request: u32, argument: u64, _caller: &dyn Caller) -> Result<usize, Errno> {
        // The argument is a C int.
        let index = (argument as u32).cast_signed();
        let done = match request {
            uapi::LOOP_CTL_ADD => self.devices.add_loop(u32::try_from(index).ok())?,
            uapi::LOOP_CTL_REMOVE => {
                let index = u32::try_from(index).map_err(|_| Errno::EINVAL)?;
                self.devices.remove_loop(index).map(|()| 0)?
            }
            uapi::LOOP_CTL_GET_FREE => self.devices.free_loop()?,
            _ => return Err(Errno::ENOSYS),
        };
        Ok(done as usize)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
