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
        self.check_receivable()?;
        let passes_credentials = self.options.lock().switch(SO_PASSCRED)?;
        let is_stream = self.kind == SocketKind::Stream;
        let (result, doomed) = {
            let mut inbox = self.own.inbox();
            if inbox.messages.is_empty() {
                return self.receive_nothing(&mut inbox, is_stream && buffer.is_empty());
            }
            match (is_stream, is_peek) {
                (true, _) => receive_stream(&mut inbox, buffer, is_peek, passes_credentials),
                (false, true) => (peek_message(&inbox, buffer), Vec::new()),
                (false, false) => take_message(&mut inbox, buffer),
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

/// Copies what fits. Returns how much.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let len = from.len().min(to.len());
    to[..len].copy_from_slice(&from[..len]);
    len
}

fn peeked_files(message: &Message) -> Vec<Arc<FileDescription>> {
    message.rights.as_ref().map_or_else(Vec::new, Rights::peek)
}

fn peek_message(inbox: &Inbox, buffer: &mut [u8]) -> Result<Received, Errno> {
    let message = inbox.messages.front().ok_or(Errno::EAGAIN)?;
    Ok(Received {
        len_bytes: copy(&message.bytes, buffer),
        message_bytes: message.bytes.len(),
        credentials: Some(message.credentials.clone()),
        files: peeked_files(message),
        sender: message.sender.clone(),
    })
}

fn take_message(inbox: &mut Inbox, buffer: &mut [u8]) -> (Result<Received, Errno>, Vec<Message>) {
    let Some(mut message) = inbox.pop() else { return (Err(Errno::EAGAIN), Vec::new()) };
    let received = Received {
        len_bytes: copy(&message.bytes, buffer),
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
    buffer: &mut [u8],
    is_peek: bool,
    passes_credentials: bool,
) -> (Result<Received, Errno>, Vec<Message>) {
    let mut received = Received::default();
    let mut doomed = Vec::new();
    let mut place = 0;
    while received.len_bytes < buffer.len()
        && let Some(message) = inbox.messages.get_mut(place)
    {
        let is_other_sender =
            received.credentials.as_ref().is_some_and(|sender| *sender != message.credentials);
        let brings_files = message.rights.is_some();
        if passes_credentials && is_other_sender {
            break;
        }
        received.credentials = Some(message.credentials.clone());
        let copied = copy(message.unread(), &mut buffer[received.len_bytes..]);
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
