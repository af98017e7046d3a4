//! The devices with major number 1: null, zero, full, random, urandom (`man 4 null`, `full`, `random`), and kmsg.

mod entropy;

use std::any::Any;
use std::sync::Arc;

use rustix::rand::{GetRandomFlags, getrandom};

use super::kernel_log::KernelLog;
use super::log_device::LogFile;
use crate::Errno;
use crate::fs::special::DeviceDriver;
use crate::fs::{Caller, DeviceNumber, File, Inode, Metadata, OpenFlags, Splicing, Viewer};
use crate::memory::{FrameAllocator, PageCache};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// Which memory device; the values are the minor numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null = 3,
    Zero = 5,
    Full = 7,
    Random = 8,
    Urandom = 9,
}

/// The driver of the memory devices.
pub struct MemoryDevices {
    frames: Arc<FrameAllocator>,
    log: Arc<KernelLog>,
}

impl MemoryDevices {
    /// The driver; mappings of /dev/zero take their pages from `frames`, and /dev/kmsg is `log`.
    pub fn new(frames: Arc<FrameAllocator>, log: Arc<KernelLog>) -> Arc<Self> {
        Arc::new(Self { frames, log })
    }
}

impl DeviceDriver for MemoryDevices {
    fn open(
        &self,
        device: DeviceNumber,
        inode: &Arc<dyn Inode>,
        flags: OpenFlags,
        viewer: &Viewer,
    ) -> Result<Arc<dyn File>, Errno> {
        if device.minor == LogFile::MINOR {
            return LogFile::open(&self.log, inode, flags, viewer);
        }
        let kinds = [Kind::Null, Kind::Zero, Kind::Full, Kind::Random, Kind::Urandom];
        let kind = kinds.into_iter().find(|kind| *kind as u32 == device.minor).ok_or(Errno::ENXIO)?;
        let silence = (kind == Kind::Random).then(WaitQueue::default);
        Ok(Arc::new(MemoryDevice { kind, inode: inode.clone(), frames: self.frames.clone(), silence }))
    }
}

struct MemoryDevice {
    kind: Kind,
    inode: Arc<dyn Inode>,
    frames: Arc<FrameAllocator>,
    /// Where nothing is ever announced: /dev/random can be waited for, and is always ready.
    silence: Option<WaitQueue>,
}

impl File for MemoryDevice {
    fn takes_whole(&self, _len_bytes: u64) -> bool {
        true
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        match self.kind {
            Kind::Null => return Ok(0),
            Kind::Zero | Kind::Full => buffer.fill(0),
            Kind::Random | Kind::Urandom => fill_random(buffer)?,
        }
        Ok(buffer.len())
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        if self.kind == Kind::Full { Err(Errno::ENOSPC) } else { Ok(buffer.len()) }
    }

    fn splicing(&self) -> Splicing {
        match self.kind {
            Kind::Null => Splicing::IN,
            Kind::Full => Splicing::OUT,
            _ => Splicing::all(),
        }
    }

    fn write_unseen(&self, len_bytes: usize) -> Option<Result<usize, Errno>> {
        match self.kind {
            Kind::Null | Kind::Zero => Some(Ok(len_bytes)),
            Kind::Full => Some(Err(Errno::ENOSPC)),
            Kind::Random | Kind::Urandom => None,
        }
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        match self.kind {
            Kind::Random | Kind::Urandom => entropy::control(request, VirtualAddress(argument), caller),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn readiness(&self) -> Events {
        let all = Events::IN | Events::RDNORM | Events::OUT | Events::WRNORM;
        // Writing to /dev/random is waited for only until the pool is ready.
        if self.kind == Kind::Random { Events::IN | Events::RDNORM } else { all }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        self.silence.as_ref()
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn has_single_position(&self) -> bool {
        true
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        // Each mapping of /dev/zero is an object of its own (`man 4 zero`).
        if self.kind == Kind::Zero {
            Ok(PageCache::new(&self.frames, None, i64::MAX as u64))
        } else {
            Err(Errno::ENODEV)
        }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.inode.metadata()
    }

    fn offers_nowait(&self, _is_write: bool) -> bool {
        self.kind != Kind::Full
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Fills `buffer` with random bytes of the host.
fn fill_random(buffer: &mut [u8]) -> Result<(), Errno> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match getrandom(rest, GetRandomFlags::empty()) {
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
