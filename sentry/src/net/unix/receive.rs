//! Receiving.

use std::sync::Arc;

use linux_raw_sys::net::SO_PASSCRED;

use super::endpoint::{Inbox, Message};
use super::{Received, Rights, Role, SocketKind, UnixSocket};
use crate::Errno;
use crate::fs::FileDescription;

impl UnixSocket {
    /// Receives into `buffer`: a part of the stream, or one message. A peek leaves it there.
    ///
    /// # Errors
    /// EAGAIN, ECONNRESET, ENOTCONN, EINVAL for a stream that is not connected.
    pub fn receive(&self, buffer: &mut [u8], is_peek: bool) -> Result<Received, Errno> {
        let mut filled = 0;
        self.receive_pieces(buffer.len(), is_peek, &mut |piece| {
            if let Some(place) = buffer.get_mut(filled..filled + piece.len()) {
                place.copy_from_slice(piece);
            }
            filled += piece.len();
            true
        })
    }

    /// As [`Self::receive`], handing up to `max_bytes` to `take`, piece by piece, until that says that it has not taken all of
    /// a piece. A stream keeps the piece then; a message is lost.
    ///
    /// # Errors
    /// As there; EFAULT if `take` has not taken the first piece.
    pub fn receive_pieces(
        &self,
        max_bytes: usize,
        is_peek: bool,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        self.check_receivable()?;
        let passes_credentials = self.options.lock().switch(SO_PASSCRED)?;
        let is_stream = self.kind == SocketKind::Stream;
        let (result, doomed) = {
            let mut inbox = self.own.inbox();
            if inbox.messages.is_empty() {
                return self.receive_nothing(&mut inbox, is_stream && max_bytes == 0);
            }
            match (is_stream, is_peek) {
                (true, _) => receive_stream(&mut inbox, max_bytes, is_peek, passes_credentials, take),
                (false, true) => (peek_message(&inbox, max_bytes, take), Vec::new()),
                (false, false) => take_message(&mut inbox, max_bytes, take),
            }
        };
        // Unlocked: dropping a message may close another socket.
        drop(doomed);
        if !is_peek {
            self.own.announce_room();
        }
        let mut received = result?;
        if !passes_credentials {
            received.credentials = None;
        }
        Ok(received)
    }

    fn check_receivable(&self) -> Result<(), Errno> {
        let is_connected = matches!(self.state.lock().role, Role::Connected(_));
        match self.kind {
            SocketKind::Stream if !is_connected => Err(Errno::EINVAL),
            SocketKind::SequencedPacket if !is_connected => Err(Errno::ENOTCONN),
            _ => Ok(()),
        }
    }

    fn receive_nothing(&self, inbox: &mut Inbox, is_empty_read: bool) -> Result<Received, Errno> {
        if let Some(error) = inbox.error.take() {
            return Err(error);
        }
        if inbox.is_finished || is_empty_read { Ok(Received::default()) } else { Err(Errno::EAGAIN) }
    }
}

/// Takes pieces of what is received.
type Take<'a> = &'a mut dyn FnMut(&[u8]) -> bool;

/// Has what fits of a message taken. Returns how much.
fn deliver(message: &[u8], max_bytes: usize, take: Take<'_>) -> Result<usize, Errno> {
    let piece = message.get(..max_bytes).unwrap_or(message);
    if take(piece) { Ok(piece.len()) } else { Err(Errno::EFAULT) }
}

fn peeked_files(message: &Message) -> Vec<Arc<FileDescription>> {
    message.rights.as_ref().map_or_else(Vec::new, Rights::peek)
}

fn peek_message(inbox: &Inbox, max_bytes: usize, take: Take<'_>) -> Result<Received, Errno> {
    let message = inbox.messages.front().ok_or(Errno::EAGAIN)?;
    Ok(Received {
        len_bytes: deliver(&message.bytes, max_bytes, take)?,
        message_bytes: message.bytes.len(),
        credentials: Some(message.credentials.clone()),
        files: peeked_files(message),
        sender: message.sender.clone(),
    })
}

fn take_message(
    inbox: &mut Inbox,
    max_bytes: usize,
    take: Take<'_>,
) -> (Result<Received, Errno>, Vec<Message>) {
    let Some(mut message) = inbox.pop() else { return (Err(Errno::EAGAIN), Vec::new()) };
    let len_bytes = match deliver(&message.bytes, max_bytes, take) {
        Ok(len_bytes) => len_bytes,
        Err(error) => return (Err(error), vec![message]),
    };
    let received = Received {
        len_bytes,
        message_bytes: message.bytes.len(),
        credentials: Some(message.credentials.clone()),
        files: message.rights.take().map_or_else(Vec::new, Rights::into_files),
        sender: message.sender.clone(),
    };
    (Ok(received), vec![message])
}

/// Reads across messages, but not past one that brings files, nor, if the reader looks at them, into another
/// sender's (`man 7 unix`, SCM_RIGHTS and SCM_CREDENTIALS).
fn receive_stream(
    inbox: &mut Inbox,
    max_bytes: usize,
    is_peek: bool,
    passes_credentials: bool,
    take: Take<'_>,
) -> (Result<Received, Errno>, Vec<Message>) {
    let mut received = Received::default();
    let mut doomed = Vec::new();
    let mut place = 0;
    while received.len_bytes < max_bytes
        && let Some(message) = inbox.messages.get_mut(place)
    {
        let is_other_sender =
            received.credentials.as_ref().is_some_and(|sender| *sender != message.credentials);
        let brings_files = message.rights.is_some();
        if passes_credentials && is_other_sender {
            break;
        }
        let copied = match deliver(message.unread(), max_bytes - received.len_bytes, &mut *take) {
            Ok(copied) => copied,
            Err(error) if received.len_bytes == 0 => return (Err(error), doomed),
            Err(_) => break,
        };
        received.credentials = Some(message.credentials.clone());
        received.len_bytes += copied;
        if is_peek {
            received.files.extend(peeked_files(message));
            place += 1;
        } else {
            received.files.extend(message.rights.take().map_or_else(Vec::new, Rights::into_files));
            message.start += copied;
            if message.unread().is_empty() {
                doomed.extend(inbox.pop());
            }
        }
        if brings_files {
            break;
        }
    }
    received.message_bytes = received.len_bytes;
    (Ok(received), doomed)
}
