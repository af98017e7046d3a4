//! What is particular to a pipe of the host: looking at what it holds, and its capacity.

use std::os::fd::OwnedFd;

use linux_raw_sys::general::PIPE_BUF;
use parking_lot::Mutex;
use rustix::pipe::{PipeFlags, SpliceFlags};

use super::{HostFile, Manner, retry};
use crate::Errno;
use crate::fs::{File, PipeEnd};
use crate::host::{HostCall, count_call};
use crate::slices;
use crate::wait::Events;

/// A pipe of vmm's own, into which what the host's holds is copied to be looked at: its read end and its write end.
pub(super) struct HostPipe(Mutex<(OwnedFd, OwnedFd)>);

impl HostPipe {
    /// Made with the stream, so that looking takes no descriptor.
    ///
    /// # Errors
    /// The host's.
    pub(super) fn new() -> Result<Self, Errno> {
        let ends = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self(Mutex::new(ends)))
    }
}

impl HostFile {
    /// As [`PipeEnd::peek`], by copying to the pipe whose read and write ends are given, and then out of it.
    fn peek_through(&self, (reader, writer): &(OwnedFd, OwnedFd), buffer: &mut [u8]) -> Result<usize, Errno> {
        let copied =
            retry(|| rustix::pipe::tee(&self.descriptor, writer, buffer.len(), SpliceFlags::NONBLOCK))?;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..copied).filter(|rest| !rest.is_empty()) {
            count_call(HostCall::Read);
            match retry(|| rustix::io::read(reader, &mut *rest))? {
                0 => break,
                read => done += read,
            }
        }
        Ok(done)
    }

    /// How much goes into the pipe, which has room, for sure: all of its capacity if it is empty, else PIPE_BUF bytes.
    fn sure_room_bytes(&self) -> Result<usize, Errno> {
        count_call(HostCall::Control);
        let is_empty = rustix::io::ioctl_fionread(&self.descriptor)? == 0;
        let has_whole = is_empty && self.manner == Manner::NonBlocking;
        if has_whole { self.capacity_bytes() } else { Ok(PIPE_BUF as usize) }
    }
}

impl PipeEnd for HostFile {
    fn peek(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let pipe = self.pipe.as_ref().ok_or(Errno::EINVAL)?;
        self.peek_through(&pipe.0.lock(), buffer)
    }

    fn has_data(&self) -> Result<bool, Errno> {
        let events = self.readiness();
        match () {
            () if events.contains(Events::IN) => Ok(true),
            () if events.intersects(Events::HUP | Events::ERR) => Ok(false),
            () => Err(Errno::EAGAIN),
        }
    }

    fn check_room(&self) -> Result<(), Errno> {
        let events = self.readiness();
        match () {
            () if events.contains(Events::ERR) => Err(Errno::EPIPE),
            () if events.contains(Events::OUT) => Ok(()),
            () => Err(Errno::EAGAIN),
        }
    }

    fn take_with(
        &self,
        buffer: &mut [u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<usize, Errno>,
    ) -> Result<Option<usize>, Errno> {
        let pipe = self.pipe.as_ref().ok_or(Errno::EINVAL)?;
        let ends = pipe.0.lock();
        let copied = match self.peek_through(&ends, buffer) {
            Err(Errno::EAGAIN) => return Ok(None),
            Ok(0) => return Ok(Some(0)),
            copied => copied?,
        };
        let taken = sink(slices::first(buffer, copied)?)?.min(copied);
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..taken).filter(|rest| !rest.is_empty()) {
            match retry(|| self.host_read(&mut *rest)) {
                // Somebody outside has read it too.
                Ok(0) | Err(_) => break,
                Ok(read) => done += read,
            }
        }
        Ok(Some(taken))
    }

    fn fill_with(
        &self,
        buffer: &mut [u8],
        source: &mut dyn FnMut(&mut [u8]) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        self.check_room()?;
        let room = self.sure_room_bytes()?.min(buffer.len());
        let buffer = slices::first_mut(buffer, room)?;
        match source(buffer)?.min(room) {
            0 => Ok(0),
            filled => self.write_at(slices::first(buffer, filled)?, 0),
        }
    }

    fn capacity_bytes(&self) -> Result<usize, Errno> {
        Ok(rustix::pipe::fcntl_getpipe_size(&self.descriptor)?)
    }

    fn set_capacity(&self, len_bytes: u64, _is_privileged: bool) -> Result<usize, Errno> {
        let len_bytes = usize::try_from(len_bytes).map_err(|_| Errno::EINVAL)?;
        Ok(rustix::pipe::fcntl_setpipe_size(&self.descriptor, len_bytes)?)
    }
}
