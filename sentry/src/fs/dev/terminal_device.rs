//! The devices with major number 5 that stand for a process's own terminal and for the sandbox's (`man 4 tty`, `console`).

use std::sync::Arc;

use crate::Errno;
use crate::fs::special::DeviceDriver;
use crate::fs::terminal::ControllingTerminals;
use crate::fs::{DeviceNumber, File, Inode, OpenFlags, Viewer};

/// The session of the first process, which the caller's terminal controls.
const FIRST_SESSION: i32 = 1;

/// The driver of /dev/tty and /dev/console.
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
        const CONSOLE: u32 = 1;
        match device.minor {
            TTY => self.terminals.open_of(viewer.session_member()),
            CONSOLE => self.terminals.open(FIRST_SESSION),
            _ => Err(Errno::ENXIO),
        }
    }
}
