//! A socket of the host's that leads to one peer.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use linux_raw_sys::ioctl::{SIOCATMARK, TIOCOUTQ};
use linux_raw_sys::net as uapi;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags};
use zerocopy::{FromBytes, IntoBytes};

use super::watcher::{Trigger, Watched, events_of};
use super::{Outside, Place};
use crate::Errno;
use crate::abi::{Linger, TcpInfo};
use crate::host::{HostCall, count_call};
use crate::net::Shutdown;
use crate::net::device::Traffic;
use crate::wait::Events;

/// The most that is received at a time.
const MAX_RECEIVE_BYTES: usize = 256 * 1024;

/// How bytes are sent.
#[derive(Clone, Copy, Default)]
pub(in crate::net) struct Sending {
    /// The last byte is urgent.
    pub(in crate::net) is_urgent: bool,
}

/// A socket that the door has handed over.
pub(in crate::net) struct HostSocket {
    socket: OwnedFd,
    watch: u64,
    /// Hears of it as long as the socket is there.
    _watched: Arc<dyn Watched>,
    /// One reads at a time, since what is read is looked at first and taken out then.
    reading: Mutex<()>,
    place: Place,
}

impl HostSocket {
    pub(super) fn stream(socket: OwnedFd, place: Place, watched: Arc<dyn Watched>) -> Result<Self, Errno> {
        Self::new(socket, place, Trigger::Edge, watched)
    }

    /// Datagrams to and from one peer.
    pub(super) fn flow(socket: OwnedFd, place: Place, watched: Arc<dyn Watched>) -> Result<Self, Errno> {
        Self::new(socket, place, Trigger::Level, watched)
    }

    fn new(
        socket: OwnedFd,
        place: Place,
        trigger: Trigger,
        watched: Arc<dyn Watched>,
    ) -> Result<Self, Errno> {
        let watch = place.outside.watcher.watch(socket.as_fd(), trigger, &watched)?;
        Ok(Self { socket, watch, _watched: watched, reading: Mutex::default(), place })
    }

    fn outside(&self) -> &Outside {
        &self.place.outside
    }

    /// Sends as much as there is room for.
    ///
    /// # Errors
    /// EAGAIN, EPIPE, and the host's.
    pub(in crate::net) fn send(&self, bytes: &[u8], how: Sending) -> Result<usize, Errno> {
        let mut flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        flags.set(SendFlags::OOB, how.is_urgent);
        count_call(HostCall::Send);
        let sent = retry(|| rustix::net::send(&self.socket, bytes, flags))?;
        self.outside().statistics.count_sent(Traffic { packets: 1, bytes: sent as u64 });
        Ok(sent)
    }

    /// Receives a part of a stream by handing it to `take`: it stays if that says that it has not taken it, or if `is_peek`.
    ///
    /// # Errors
    /// EAGAIN, EFAULT if it was not taken, and the host's.
    pub(in crate::net) fn receive(
        &self,
        max_bytes: usize,
        (is_peek, skipped_bytes): (bool, usize),
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<usize, Errno> {
        let _reading = self.reading.lock();
        let mut buffer = vec![0; max_bytes.saturating_add(skipped_bytes).min(MAX_RECEIVE_BYTES)];
        let found = self.receive_into(&mut buffer, RecvFlags::PEEK)?;
        let piece = buffer.get(..found).and_then(|found| found.get(skipped_bytes..)).unwrap_or_default();
        if piece.is_empty() && found > 0 {
            return Err(Errno::EAGAIN);
        }
        let taken = piece.len();
        let is_taken = taken == 0 || take(piece);
        if is_taken && taken > 0 && !is_peek {
            self.take_out(&mut buffer, taken);
        }
        if is_taken { Ok(taken) } else { Err(Errno::EFAULT) }
    }

    /// Takes bytes out that were looked at. TCP drops them; a socket that cannot copies them once more.
    fn take_out(&self, buffer: &mut [u8], len_bytes: usize) {
        let mut left = len_bytes;
        while left > 0 {
            let Some(place) = buffer.get_mut(..left) else { break };
            match self.receive_into(place, RecvFlags::TRUNC) {
                Ok(0) | Err(_) => break,
                Ok(gone) => left = left.saturating_sub(gone),
            }
        }
        self.outside().statistics.count_received(Traffic { packets: 1, bytes: len_bytes as u64 });
    }

    /// Receives one datagram, the first bytes of it; how many there were.
    ///
    /// # Errors
    /// EAGAIN, and the host's.
    pub(in crate::net) fn receive_datagram(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let received = self.receive_into(buffer, RecvFlags::empty())?;
        self.outside().statistics.count_received(Traffic { packets: 1, bytes: received as u64 });
        Ok(received)
    }

    /// Drops what has arrived, up to `max_bytes`.
    ///
    /// # Errors
    /// EAGAIN, and the host's.
    pub(in crate::net) fn discard(&self, max_bytes: usize) -> Result<usize, Errno> {
        let _reading = self.reading.lock();
        self.receive_into(&mut vec![0; max_bytes.min(MAX_RECEIVE_BYTES)], RecvFlags::TRUNC)
    }

    /// The urgent byte.
    ///
    /// # Errors
    /// EINVAL if there is none or it is read, EAGAIN if it is yet to come.
    pub(in crate::net) fn receive_urgent(&self, is_peek: bool) -> Result<Option<u8>, Errno> {
        let mut byte = [0];
        let mut flags = RecvFlags::OOB;
        flags.set(RecvFlags::PEEK, is_peek);
        Ok((self.receive_into(&mut byte, flags)? > 0).then_some(byte[0]))
    }

    fn receive_into(&self, buffer: &mut [u8], flags: RecvFlags) -> Result<usize, Errno> {
        let flags = flags | RecvFlags::DONTWAIT;
        count_call(HostCall::Receive);
        retry(|| rustix::net::recv(&self.socket, &mut *buffer, flags).map(|(received, _)| received))
    }

    /// Shuts one half down, or both.
    ///
    /// # Errors
    /// ENOTCONN.
    pub(in crate::net) fn shut_down(&self, halves: Shutdown) -> Result<(), Errno> {
        let how = match (halves.receiving, halves.sending) {
            (true, true) => rustix::net::Shutdown::Both,
            (true, false) => rustix::net::Shutdown::Read,
            (false, _) => rustix::net::Shutdown::Write,
        };
        count_call(HostCall::Control);
        Ok(rustix::net::shutdown(&self.socket, how)?)
    }

    /// What poll(2) tells.
    pub(in crate::net) fn readiness(&self) -> Events {
        let asked = PollFlags::IN | PollFlags::PRI | PollFlags::OUT | PollFlags::RDHUP;
        let mut polled = [PollFd::new(&self.socket, asked)];
        count_call(HostCall::Poll);
        match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(_) => events_of(polled[0].revents().bits().into()),
            Err(_) => Events::ERR,
        }
    }

    /// SO_ERROR: the pending error, which is then no more.
    pub(in crate::net) fn take_error(&self) -> Option<Errno> {
        match rustix::net::sockopt::socket_error(&self.socket) {
            Ok(result) => result.err().map(Errno::from),
            Err(error) => Some(error.into()),
        }
    }

    /// TCP_INFO; `None` of a socket that is not of TCP.
    pub(in crate::net) fn info(&self) -> Option<TcpInfo> {
        let mut bytes = [0_u8; size_of::<TcpInfo>()];
        let mut len = u32::try_from(bytes.len()).unwrap_or(0);
        // SAFETY: the host writes at most `len` bytes, which is how many there are.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                bytes.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        if result == 0 { TcpInfo::read_from_bytes(&bytes).ok() } else { None }
    }

    /// Sets an option that is a number. One that the host does not take is as good as not set: it changes how, not what.
    pub(in crate::net) fn set_number(&self, level: u32, option: u32, number: i32) {
        self.set(level, option, number.as_bytes());
    }

    /// Has a close break the connection off (SO_LINGER, on, with no time).
    pub(in crate::net) fn reset_on_close(&self) {
        self.set(uapi::SOL_SOCKET, uapi::SO_LINGER, Linger { l_onoff: 1, l_linger: 0 }.as_bytes());
    }

    fn set(&self, level: u32, option: u32, value: &[u8]) {
        // SAFETY: the host reads as many bytes as there are.
        let result = unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                level.cast_signed(),
                option.cast_signed(),
                value.as_ptr().cast(),
                u32::try_from(value.len()).unwrap_or(0),
            )
        };
        if result != 0 {
            log::debug!("option {option} of level {level}: {}", std::io::Error::last_os_error());
        }
    }

    /// Bytes that a read could get now.
    pub(in crate::net) fn unread_bytes(&self) -> usize {
        count_call(HostCall::Control);
        let unread = rustix::io::ioctl_fionread(&self.socket).unwrap_or(0);
        usize::try_from(unread).unwrap_or(usize::MAX)
    }

    /// Bytes that are on their way.
    pub(in crate::net) fn unsent_bytes(&self) -> usize {
        self.ask(TIOCOUTQ)
    }

    /// Whether the reader is where the urgent byte is.
    pub(in crate::net) fn is_at_mark(&self) -> bool {
        self.ask(SIOCATMARK) > 0
    }

    /// An ioctl(2) that tells a number; zero of a socket that has none.
    fn ask(&self, request: u32) -> usize {
        let mut number: libc::c_int = 0;
        // SAFETY: both requests write one `int`.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), request.into(), &raw mut number) };
        if result == 0 { usize::try_from(number).unwrap_or(0) } else { 0 }
    }
}

impl Drop for HostSocket {
    fn drop(&mut self) {
        self.outside().watcher.forget(self.socket.as_fd(), self.watch);
    }
}

/// Retries what a host signal interrupted; its handlers have nothing to tell us here.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> Result<T, Errno> {
    rustix::io::retry_on_intr(&mut call).map_err(Errno::from)
}
