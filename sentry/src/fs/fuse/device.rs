//! /dev/fuse: where a server reads requests and writes answers.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::connection::Connection;
use crate::Errno;
use crate::fs::special::DeviceDriver;
use crate::fs::{Caller, DeviceNumber, Fd, File, Inode, Metadata, OpenFlags, TransferUnit, Viewer};
use crate::wait::{Events, WaitQueue};

/// The ioctl that has a further descriptor serve the connection of another (`FUSE_DEV_IOC_CLONE`).
const CLONE: u32 = 0x8004_e500;

/// The driver of /dev/fuse.
pub struct FuseDriver;

impl FuseDriver {
    /// The minor number, beside others without a major number of their own.
    pub const MINOR: u32 = 229;
}

impl DeviceDriver for FuseDriver {
    fn open(
        &self,
        _device: DeviceNumber,
        inode: &Arc<dyn Inode>,
        _flags: OpenFlags,
        _viewer: &Viewer,
    ) -> Result<Arc<dyn File>, Errno> {
        Ok(Arc::new(FuseDevice { inode: inode.clone(), server: OnceLock::new(), idle: WaitQueue::default() }))
    }
}

/// A connection as long as somebody serves it.
struct Server(Arc<Connection>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An open /dev/fuse, from the mount on that of one connection.
pub(super) struct FuseDevice {
    inode: Arc<dyn Inode>,
    server: OnceLock<Arc<Server>>,
    /// Where nothing is ever announced.
    idle: WaitQueue,
}

impl FuseDevice {
    /// Has it serve `connection`.
    ///
    /// # Errors
    /// EINVAL: it serves one already.
    pub(super) fn serve(&self, connection: &Arc<Connection>) -> Result<(), Errno> {
        self.serve_as(Arc::new(Server(connection.clone())))
    }

    fn serve_as(&self, server: Arc<Server>) -> Result<(), Errno> {
        self.server.set(server).map_err(|_| Errno::EINVAL)
    }

    fn connection(&self) -> Result<&Connection, Errno> {
        self.server.get().map(|server| &*server.0).ok_or(Errno::EPERM)
    }
}

impl File for FuseDevice {
    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        self.connection()?.read(buffer)
    }

    fn read_unit(&self) -> TransferUnit {
        TransferUnit::Whole
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        self.connection()?.write(buffer).map(|()| buffer.len())
    }

    fn readiness(&self) -> Events {
        self.connection().map_or(Events::ERR, Connection::readiness)
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.connection().map_or(&self.idle, Connection::readers))
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        if request != CLONE {
            return Err(Errno::ENOTTY);
        }
        let mut descriptor = [0; 4];
        caller.memory().read_bytes(crate::platform::VirtualAddress(argument), &mut descriptor)?;
        let other = caller.file(Fd(i32::from_ne_bytes(descriptor)))?;
        let other = other.downcast::<Self>().ok_or(Errno::EINVAL)?;
        let server = other.server.get().ok_or(Errno::EINVAL)?;
        self.serve_as(server.clone())?;
        Ok(0)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
