//! What device nodes and FIFOs open: their file system only keeps the node.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::inode::{Inode, Viewer};
use super::metadata::{DeviceNumber, FileKind};
use super::pipe::Pipe;
use super::{File, OpenFiles, OpenFlags};
use crate::Errno;

/// What opens the devices with one major number.
pub trait DeviceDriver: Send + Sync {
    /// Opens `device` through the node `inode`, whose metadata the file reports.
    ///
    /// # Errors
    /// ENXIO if there is no such device.
    fn open(
        &self,
        device: DeviceNumber,
        inode: &Arc<dyn Inode>,
        flags: OpenFlags,
        viewer: &Viewer,
    ) -> Result<Arc<dyn File>, Errno>;
}

/// The drivers of a sandbox.
pub struct SpecialFiles {
    files: Arc<OpenFiles>,
    drivers: RwLock<HashMap<(FileKind, u32), Arc<dyn DeviceDriver>>>,
    /// Of single devices, which go before those of their major numbers.
    single: RwLock<HashMap<(FileKind, DeviceNumber), Arc<dyn DeviceDriver>>>,
}

impl SpecialFiles {
    /// No driver yet. FIFOs are pipes among `files`.
    pub fn new(files: &Arc<OpenFiles>) -> Arc<Self> {
        Arc::new(Self { files: files.clone(), drivers: RwLock::default(), single: RwLock::default() })
    }

    /// The open files that FIFOs are among.
    pub(super) fn open_files(&self) -> &OpenFiles {
        &self.files
    }

    /// Has `driver` open the devices of `kind` with the number `major`.
    pub fn register(&self, kind: FileKind, major: u32, driver: Arc<dyn DeviceDriver>) {
        self.drivers.write().insert((kind, major), driver);
    }

    /// Has `driver` open one device of `kind` alone.
    pub fn register_one(&self, kind: FileKind, device: DeviceNumber, driver: Arc<dyn DeviceDriver>) {
        self.single.write().insert((kind, device), driver);
    }

    /// Opens the FIFO, or the device of `kind` numbered `device`, that `inode` is.
    ///
    /// # Errors
    /// ENXIO if there is none, or nobody reads a FIFO that is opened for writing with O_NONBLOCK.
    pub fn open(
        &self,
        kind: FileKind,
        device: DeviceNumber,
        inode: &Arc<dyn Inode>,
        flags: OpenFlags,
        viewer: &Viewer,
    ) -> Result<Arc<dyn File>, Errno> {
        if kind == FileKind::Fifo {
            let pipe = inode.attachment().ok_or(Errno::ENXIO)?.get_or_attach(|| Pipe::new(&self.files))?;
            return Ok(pipe.open_fifo(inode.clone(), flags)?);
        }
        let single = self.single.read().get(&(kind, device)).cloned();
        let driver = single.or_else(|| self.drivers.read().get(&(kind, device.major)).cloned());
        let driver = driver.ok_or(Errno::ENXIO)?;
        driver.open(device, inode, flags, viewer)
    }
}
