//! Frames on a stream socket: version and length, then JSON; descriptors travel with the frame's first byte.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, send, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The protocol's version: both sides have the same, or do not talk.
const VERSION: u32 = 1;
/// Bytes of a frame before its message: version and length, little-endian.
const HEADER_LEN: usize = 8;
/// The longest message: a command and an environment as long as Linux takes them, in JSON.
const MAX_MESSAGE_LEN: usize = 8 << 20;
/// Descriptors that may travel with a frame.
const MAX_DESCRIPTORS: usize = 4;

/// A message, and the descriptors that came with it.
pub(super) type Received<T> = (T, Vec<OwnedFd>);

/// One end of a connection.
pub(super) struct Channel(OwnedFd);

impl Channel {
    /// Talks through `socket`, which is a stream.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Sends `message`, and `descriptors` with it.
    ///
    /// # Errors
    /// The message is too long, or the peer has gone.
    pub(super) fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> anyhow::Result<()> {
        let message = serde_json::to_vec(message)?;
        ensure!(message.len() <= MAX_MESSAGE_LEN, "it is too long to be sent");
        let frame = Self::frame_of(&message);
        let mut rest = frame.get(self.send_first(&frame, descriptors)?..).unwrap_or_default();
        while !rest.is_empty() {
            let sent = retry_on_intr(|| send(&self.0, rest, SendFlags::NOSIGNAL))?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// `message` with what comes before it. Only what is no longer than a message may be is understood.
    pub(super) fn frame_of(message: &[u8]) -> Vec<u8> {
        let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
        [&VERSION.to_le_bytes()[..], &len.to_le_bytes(), message].concat()
    }

    /// Sends the beginning of `frame`, and the descriptors. Returns how much.
    fn send_first(&self, frame: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<usize, Errno> {
        if descriptors.is_empty() {
            // The jail has no use for the other call.
            return Ok(0);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        if !rights.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(Errno::INVAL);
        }
        retry_on_intr(|| sendmsg(&self.0, &[IoSlice::new(frame)], &mut rights, SendFlags::NOSIGNAL))
    }

    /// The next message; `None` if the peer has closed its end. Without `patience` it waits for as long as it takes.
    ///
    /// # Errors
    /// The peer takes too long, speaks another version, or says what is no message of this kind.
    pub(super) fn receive<T: DeserializeOwned>(
        &self,
        patience: Option<Duration>,
    ) -> anyhow::Result<Option<Received<T>>> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        let mut header = [0; HEADER_LEN];
        let (first, descriptors) = self.receive_first(&mut header, deadline)?;
        if first == 0 {
            return Ok(None);
        }
        self.receive_rest(header.get_mut(first..).unwrap_or_default(), deadline)?;
        let [version, len] = [0, 4].map(|start| {
            let word = header.get(start..start + 4).and_then(|bytes| bytes.try_into().ok());
            u32::from_le_bytes(word.unwrap_or_default())
        });
        ensure!(version == VERSION, "it speaks version {version} of the protocol, and not {VERSION}");
        let len = usize::try_from(len)?;
        ensure!(len <= MAX_MESSAGE_LEN, "what it says is too long");
        let mut message = vec![0; len];
        self.receive_rest(&mut message, deadline)?;
        let message = serde_json::from_slice(&message).context("what it says is not understood")?;
        Ok(Some((message, descriptors)))
    }

    fn receive_first(
        &self,
        buffer: &mut [u8],
        deadline: Option<Instant>,
    ) -> anyhow::Result<(usize, Vec<OwnedFd>)> {
        self.wait(deadline)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let received = retry_on_intr(|| {
            recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut rights, RecvFlags::CMSG_CLOEXEC)
        })?;
        let descriptors = rights.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        Ok((received.bytes, descriptors.flatten().collect()))
    }

    fn receive_rest(&self, mut rest: &mut [u8], deadline: Option<Instant>) -> anyhow::Result<()> {
        while !rest.is_empty() {
            self.wait(deadline)?;
            let (received, _) = retry_on_intr(|| rustix::net::recv(&self.0, &mut *rest, RecvFlags::empty()))?;
            ensure!(received > 0, "it breaks off in the middle of a message");
            rest = rest.get_mut(received..).unwrap_or_default();
        }
        Ok(())
    }

    /// Whether the peer has closed its end.
    pub(super) fn is_hung_up(&self) -> bool {
        let mut polled = [PollFd::new(&self.0, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&now)).is_ok_and(|count| count > 0)
    }

    /// Waits until there is something to receive.
    fn wait(&self, deadline: Option<Instant>) -> anyhow::Result<()> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.map(Timespec::try_from).transpose()?;
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], left.as_ref()) {
                Ok(0) => anyhow::bail!("it says nothing"),
                Err(Errno::INTR) => {}
                result => return Ok(result.map(drop)?),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
