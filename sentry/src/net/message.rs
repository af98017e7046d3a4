//! What is sent and received, whatever the family.

use std::sync::Arc;

use super::unix::SentFiles;
use super::{PeerCredentials, SocketAddress};
use crate::fs::FileDescription;

/// What comes beside the bytes and is plain data (`man 3 cmsg`). Files and credentials are not: they are told by the receiver's
/// own numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlMessage {
    /// `cmsg_level`.
    pub level: u32,
    /// `cmsg_type`.
    pub kind: u32,
    /// What follows the header.
    pub data: Vec<u8>,
}

/// What is to be sent.
#[derive(Clone, Default)]
pub struct Outgoing<'a> {
    /// What the caller sends, in its pieces' order.
    pub bytes: &'a [u8],
    /// Who sends.
    pub credentials: PeerCredentials,
    /// Whether the receiver is told so in any case (SCM_CREDENTIALS), not only if it or the sender wants that.
    pub shows_credentials: bool,
    /// Files to go with it.
    pub files: SentFiles,
    /// Other control messages, which [`Socket::check_control`](super::Socket::check_control) let pass.
    pub control: &'a [ControlMessage],
    /// The last byte is urgent (MSG_OOB).
    pub is_urgent: bool,
    /// More belongs to it, and comes with the next send (MSG_MORE).
    pub has_more: bool,
    /// It has waited for room: then a pending error comes before what shutdown(2) has ended.
    pub has_waited: bool,
}

/// How to receive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Receiving {
    /// Leave it there (MSG_PEEK).
    pub is_peek: bool,
    /// The urgent byte alone (MSG_OOB).
    pub is_urgent: bool,
    /// What went wrong, instead of what arrived (MSG_ERRQUEUE).
    pub is_error_queue: bool,
    /// What is received goes nowhere, of a stream that lets it (MSG_TRUNC, `man 7 tcp`).
    pub discards: bool,
    /// The caller is going to wait if there is nothing: a datagram socket that is shut down tells only such a one.
    pub waits: bool,
}

/// What a receive got.
#[derive(Default)]
pub struct Received {
    /// Bytes that were taken.
    pub len_bytes: usize,
    /// Bytes of the whole message; more than `len_bytes` if it was cut (MSG_TRUNC).
    pub message_bytes: usize,
    /// Who sent it, if SO_PASSCRED asks.
    pub credentials: Option<PeerCredentials>,
    /// The files that came with it.
    pub files: Vec<Arc<FileDescription>>,
    /// Other control messages.
    pub control: Vec<ControlMessage>,
    /// The sender's address; `None` for connections, whose peer is known, and for a sender without one.
    pub sender: Option<SocketAddress>,
    /// It is the byte of MSG_OOB.
    pub is_urgent: bool,
}
