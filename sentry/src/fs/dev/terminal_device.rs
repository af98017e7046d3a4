//! The device with major number 5 that stands for the caller's own terminal (`man 4 tty`).

use std::sync::Arc;

use crate::Errno;
use crate::fs::special::DeviceDriver;
use crate::fs::terminal::ControllingTerminals;
use crate::fs::{DeviceNumber, File, Inode, OpenFlags, Viewer};

/// The driver of /dev/tty.
pub struct TerminalDevices {
    terminals: Arc<ControllingTerminals>,
}

impl TerminalDevices {
    /// The driver; `terminals` says which terminal is whose.
    pub fn new(terminals: Arc<ControllingTerminals>) -> Arc<Self> {
        Arc::new(Self { terminals })
    }
}

impl DeviceDriver for TerminalDevices {
    fn open(
        &self,
        device: DeviceNumber,
        _inode: &Arc<dyn Inode>,
        _flags: OpenFlags,
        viewer: &Viewer,
    ) -> Result<Arc<dyn File>, Errno> {
        const TTY: u32 = 0;
        if device.minor == TTY { self.terminals.open(viewer.session_id) } else { Err(Errno::ENXIO) }
    }
}
