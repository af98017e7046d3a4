//! What is particular to a pipe of the host: looking at what it holds, and its capacity.

use std::os::fd::OwnedFd;

use parking_lot::Mutex;
use rustix::pipe::{PipeFlags, SpliceFlags};

use super::{HostFile, retry};
use crate::Errno;
use crate::fs::PipeEnd;

/// A pipe of vmm's own, into which what the host's holds is copied to be looked at: its read end and its write end.
pub(super) struct HostPipe(Mutex<(OwnedFd, OwnedFd)>);

impl HostPipe {
    /// Made at start, since no pipe can be made later.
    ///
    /// # Errors
    /// The host's.
    pub(super) fn new() -> Result<Self, Errno> {
        let ends = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self(Mutex::new(ends)))
    }
}

impl PipeEnd for HostFile {
    fn peek(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let pipe = self.pipe.as_ref().ok_or(Errno::EINVAL)?;
        let ends = pipe.0.lock();
        let (reader, writer) = &*ends;
        let copied =
            retry(|| rustix::pipe::tee(&self.descriptor, writer, buffer.len(), SpliceFlags::NONBLOCK))?;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..copied).filter(|rest| !rest.is_empty()) {
            match retry(|| rustix::io::read(reader, &mut *rest))? {
                0 => break,
                read => done += read,
            }
        }
        Ok(done)
    }

    fn capacity_bytes(&self) -> Result<usize, Errno> {
        Ok(rustix::pipe::fcntl_getpipe_size(&self.descriptor)?)
    }

    fn set_capacity(&self, len_bytes: u64, _is_privileged: bool) -> Result<usize, Errno> {
        let len_bytes = usize::try_from(len_bytes).map_err(|_| Errno::EINVAL)?;
        Ok(rustix::pipe::fcntl_setpipe_size(&self.descriptor, len_bytes)?)
    }
}
