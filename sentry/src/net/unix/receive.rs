//! Receiving.

use std::sync::Arc;

use linux_raw_sys::net::SO_OOBINLINE;

use super::endpoint::{Inbox, Message};
use super::rights::Rights;
use super::{Role, UnixAddress, UnixSocket};
use crate::Errno;
use crate::fs::FileDescription;
use crate::net::{PeerCredentials, Received, Receiving, SocketAddress, SocketKind};

impl UnixSocket {
    /// [`Socket::receive`](crate::net::Socket::receive); the urgent byte too is lost if it is not taken.
    ///
    /// # Errors
    /// EAGAIN, ECONNRESET, ENOTCONN, EINVAL for a stream that is not connected or has no urgent byte, EOPNOTSUPP, EFAULT.
    pub(super) fn receive_pieces(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        self.check_receivable()?;
        let options = self.common.options();
        let passes_credentials = self.passes_sender()?;
        let inlines_urgent = options.switch(SO_OOBINLINE)?;
        let mut doomed = Vec::new();
        let result = {
            let mut inbox = self.own.inbox();
            let wanted = Wanted { max_bytes, how, take };
            let found = match (self.common.kind(), how.is_urgent) {
                (SocketKind::Stream, true) if inlines_urgent => Err(Errno::EINVAL),
                (SocketKind::Stream, true) => receive_urgent(&mut inbox, wanted).map(Some),
                (_, true) => Err(Errno::EOPNOTSUPP),
                (SocketKind::Stream, false) => {
                    let is_inline = inlines_urgent;
                    StreamPart { inbox: &mut inbox, doomed: &mut doomed, place: 0, wanted, is_inline }
                        .receive(passes_credentials)
                }
                (_, false) => {
                    inbox.check_error().and_then(|()| receive_message(&mut inbox, wanted, &mut doomed))
                }
            };
            match found {
                Ok(None) => self.receive_nothing(&mut inbox, how),
                Ok(Some(received)) => Ok(received),
                Err(error) => Err(error),
            }
        };
        if !how.is_peek {
            self.own.announce_room();
        }
        // Unlocked: dropping a message may close another socket.
        drop(doomed);
        let received = result?;
        Ok(Received { credentials: received.credentials.filter(|_| passes_credentials), ..received })
    }

    fn check_receivable(&self) -> Result<(), Errno> {
        let is_connected = matches!(self.state.lock().role, Role::Connected(_));
        match self.common.kind() {
            SocketKind::Stream if !is_connected => Err(Errno::EINVAL),
            SocketKind::SequencedPacket if !is_connected => Err(Errno::ENOTCONN),
            _ => Ok(()),
        }
    }

    fn receive_nothing(&self, inbox: &mut Inbox, how: Receiving) -> Result<Received, Errno> {
        inbox.check_error()?;
        let tells_end = self.common.kind() != SocketKind::Datagram || how.waits;
        if !inbox.is_receive_shut || !tells_end {
            return Err(Errno::EAGAIN);
        }
        // Nobody has sent a stream's end, who is told of as the first number of each kind.
        let is_stream = self.common.kind() == SocketKind::Stream;
        Ok(Received { credentials: is_stream.then(PeerCredentials::default), ..Received::default() })
    }
}

/// What is to be received, and who takes it piece by piece.
struct Wanted<'a> {
    max_bytes: usize,
    how: Receiving,
    take: &'a mut dyn FnMut(&[u8]) -> bool,
}

impl Wanted<'_> {
    /// Has what fits of `bytes` taken, after `received_bytes` others. Returns how much.
    fn deliver(&mut self, bytes: &[u8], received_bytes: usize) -> Result<usize, Errno> {
        let piece = bytes.get(..self.max_bytes.saturating_sub(received_bytes)).unwrap_or(bytes);
        if (self.take)(piece) { Ok(piece.len()) } else { Err(Errno::EFAULT) }
    }
}

fn peeked_files(message: &Message) -> Vec<Arc<FileDescription>> {
    message.rights.as_ref().map_or_else(Vec::new, Rights::peek)
}

fn taken_files(message: &mut Message) -> Vec<Arc<FileDescription>> {
    message.rights.take().map_or_else(Vec::new, Rights::into_files)
}

/// Who sent a message, as its receiver is told: nobody, if nobody wanted to know when it was sent.
fn shown_sender(message: &Message) -> PeerCredentials {
    message.credentials.clone().unwrap_or_else(PeerCredentials::unknown)
}

/// Where a message came from, unless that is a socket without a name.
fn told_sender(message: &Message) -> Option<SocketAddress> {
    (message.sender != UnixAddress::Unnamed).then(|| (&message.sender).into())
}

/// Takes one message, or peeks at the one that the peek offset is in. `None` if there is none.
fn receive_message(
    inbox: &mut Inbox,
    mut wanted: Wanted<'_>,
    doomed: &mut Vec<Message>,
) -> Result<Option<Received>, Errno> {
    let is_peek = wanted.how.is_peek;
    let mut skipped = inbox.peek_offset.filter(|_| is_peek).unwrap_or(0);
    let place = inbox.messages.iter().position(|message| {
        let len = message.bytes.len();
        let is_passed = skipped > 0 && skipped >= len;
        skipped -= if is_passed { len } else { 0 };
        !is_passed
    });
    let Some(message) = place.and_then(|place| inbox.messages.get_mut(place)) else { return Ok(None) };
    let bytes = message.bytes.get(skipped..).unwrap_or_default();
    let (delivered, message_bytes) = (wanted.deliver(bytes, 0), bytes.len());
    let received = delivered.map(|len_bytes| Received {
        len_bytes,
        message_bytes,
        credentials: Some(shown_sender(message)),
        sender: told_sender(message),
        files: if is_peek { peeked_files(message) } else { taken_files(message) },
        ..Received::default()
    });
    if !is_peek {
        inbox.peek_offset = inbox.peek_offset.map(|offset| offset.saturating_sub(message_bytes));
        doomed.extend(inbox.take_first());
    } else if let Ok(len_bytes) = delivered {
        inbox.peek_offset = inbox.peek_offset.map(|offset| offset.saturating_add(len_bytes));
    }
    received.map(Some)
}

/// Receives the byte of MSG_OOB. Taken, it stays as an empty message: the mark.
fn receive_urgent(inbox: &mut Inbox, mut wanted: Wanted<'_>) -> Result<Received, Errno> {
    let message = inbox.messages.iter_mut().find(|message| message.is_urgent).ok_or(Errno::EINVAL)?;
    let delivered = wanted.deliver(message.unread(), 0);
    if !wanted.how.is_peek {
        message.is_urgent = false;
        message.start = message.bytes.len();
    }
    let len_bytes = delivered?;
    Ok(Received { len_bytes, message_bytes: len_bytes, is_urgent: true, ..Received::default() })
}

/// One receive from a stream: across messages, but not past one that brings files, nor past the urgent byte, nor, if the
/// reader looks at them, into another sender's (`man 7 unix`, SCM_RIGHTS and SCM_CREDENTIALS).
struct StreamPart<'a> {
    inbox: &'a mut Inbox,
    /// Messages that are used up, to be dropped unlocked.
    doomed: &'a mut Vec<Message>,
    /// The next message: always the first unless this is a peek.
    place: usize,
    wanted: Wanted<'a>,
    /// The urgent byte is one among the others (SO_OOBINLINE).
    is_inline: bool,
}

impl StreamPart<'_> {
    /// `None` if there is nothing to receive.
    fn receive(mut self, passes_credentials: bool) -> Result<Option<Received>, Errno> {
        let mut received = Received::default();
        let mut skipped = self.inbox.peek_offset.filter(|_| self.wanted.how.is_peek).unwrap_or(0);
        let mut is_found = false;
        while self.come_to_bytes(received.len_bytes > 0) {
            let Some(message) = self.inbox.messages.get_mut(self.place) else { break };
            let unread_bytes = message.unread().len();
            if skipped >= unread_bytes {
                (skipped, self.place) = (skipped - unread_bytes, self.place + 1);
                continue;
            }
            let sender = shown_sender(message);
            if passes_credentials && received.credentials.as_ref().is_some_and(|first| *first != sender) {
                break;
            }
            let bytes = message.unread().get(skipped..).unwrap_or_default();
            let copied = match self.wanted.deliver(bytes, received.len_bytes) {
                Ok(copied) => copied,
                Err(error) if received.len_bytes == 0 => return Err(error),
                Err(_) => break,
            };
            if !is_found {
                received.sender = told_sender(message);
            }
            is_found = true;
            received.credentials = Some(sender);
            (received.len_bytes, skipped) = (received.len_bytes + copied, 0);
            let files = if self.wanted.how.is_peek { peeked_files(message) } else { taken_files(message) };
            let brings_files = !files.is_empty();
            received.files.extend(files);
            self.pass(copied);
            if brings_files || received.len_bytes >= self.wanted.max_bytes {
                break;
            }
        }
        received.message_bytes = received.len_bytes;
        Ok(is_found.then_some(received))
    }

    /// `copied` bytes of the message at hand have been received.
    fn pass(&mut self, copied: usize) {
        let offset = self.inbox.peek_offset;
        if self.wanted.how.is_peek {
            self.inbox.peek_offset = offset.map(|offset| offset.saturating_add(copied));
            self.place += 1;
            return;
        }
        self.inbox.peek_offset = offset.map(|offset| offset.saturating_sub(copied));
        let Some(message) = self.inbox.messages.front_mut() else { return };
        message.start += copied;
        if message.unread().is_empty() {
            self.doomed.extend(self.inbox.take_first());
        }
    }

    /// Goes on to a message with bytes that this receive may have; false if there is none. Marks that are met first are
    /// passed over, and so is the urgent byte unless it is inline: once passed over it is lost.
    fn come_to_bytes(&mut self, has_received: bool) -> bool {
        loop {
            let Some(message) = self.inbox.messages.get(self.place) else { return false };
            let is_mark = message.unread().is_empty();
            if !is_mark && !message.is_urgent {
                return true;
            }
            if has_received && (message.is_urgent || !self.inbox.has_urgent()) {
                return false;
            }
            let is_inline = self.is_inline && !is_mark;
            match (self.wanted.how.is_peek, is_inline) {
                (true, true) => return true,
                (true, false) => self.place += 1,
                (false, true) => {
                    self.inbox.messages.iter_mut().for_each(|message| message.is_urgent = false);
                    return true;
                }
                (false, false) => self.doomed.extend(self.inbox.take_first()),
            }
        }
    }
}
