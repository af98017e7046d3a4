//! An open socket as a file.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::{Outgoing, PeerCredentials, Receiving, Socket, SocketCaller, ioctl};
use crate::Errno;
use crate::fs::{AttributeChanges, Caller, Collector, File, FileDescription, Metadata, OpenFlags};
use crate::memory::PageCache;
use crate::wait::{Events, WaitQueue};

/// What a descriptor of a socket refers to: the one owner of the socket. Once it is closed, the socket is.
pub struct SocketFile(Arc<dyn Socket>);

impl SocketFile {
    /// An open file of `socket`; of `flags`, only O_NONBLOCK counts.
    pub fn open(socket: Arc<dyn Socket>, flags: OpenFlags) -> Arc<FileDescription> {
        let flags = OpenFlags::RDWR | flags & OpenFlags::NONBLOCK;
        FileDescription::new(Arc::new(Self(socket)), None, flags)
    }

    /// What the description stands for.
    pub fn socket(&self) -> &Arc<dyn Socket> {
        &self.0
    }

    /// Sends `bytes` as `caller`, which has waited for room before or has not.
    ///
    /// # Errors
    /// As [`Socket::send`].
    pub fn write_after(
        &self,
        bytes: &[u8],
        caller: &dyn SocketCaller,
        has_waited: bool,
    ) -> Result<usize, Errno> {
        let credentials = PeerCredentials::of_sender(caller);
        self.0.send(Outgoing { bytes, credentials, has_waited, ..Outgoing::default() }, None, caller)
    }
}

/// Copies pieces to `buffer`, one after the other.
pub(super) fn fill(buffer: &mut [u8]) -> impl FnMut(&[u8]) -> bool {
    let mut filled = 0;
    move |piece| {
        if let Some(place) = buffer.get_mut(filled..filled + piece.len()) {
            place.copy_from_slice(piece);
        }
        filled += piece.len();
        true
    }
}

impl File for SocketFile {
    fn takes_whole(&self, len_bytes: u64) -> bool {
        self.0.takes_whole(len_bytes)
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let received = self.0.receive(buffer.len(), Receiving::default(), &mut fill(buffer))?;
        Ok(received.len_bytes)
    }

    fn readiness(&self) -> Events {
        self.0.readiness()
    }

    fn signals_readiness(&self) -> bool {
        true
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.0.wait_queue())
    }

    fn raises_broken_pipe(&self, has_waited: bool) -> bool {
        self.0.raises_broken_pipe(has_waited)
    }

    fn timeout(&self, events: Events) -> Option<Duration> {
        let timeouts = self.0.common().options().timeouts;
        if events.contains(Events::OUT) { timeouts.send } else { timeouts.receive }
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        match self.0.ioctl(request, argument, caller) {
            Err(Errno::ENOTTY) => ioctl::serve(&*self.0, (request, argument), caller),
            result => result,
        }
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        self.0.page_cache()
    }

    fn collector(&self) -> Option<Arc<dyn Collector>> {
        self.0.collector()
    }

    fn set_attributes(&self, changes: &AttributeChanges) -> Result<(), Errno> {
        self.0.common().inode().change(changes);
        Ok(())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.0.common().inode().metadata())
    }

    fn protocol_name(&self) -> Option<&'static str> {
        Some(self.0.common().protocol_name())
    }

    fn anonymous_name(&self) -> String {
        format!("socket:[{}]", self.0.common().inode().ino())
    }

    fn offers_nowait(&self, _is_write: bool) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
