//! Endpoints: what arrives at a socket, and who waits for it or for room in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::UnixAddress;
use super::rights::Rights;
use crate::Errno;
use crate::cred::UserNamespace;
use crate::fs::FileDescription;
use crate::process_identity::ProcessIdentity;
use crate::wait::{Events, WaitQueue};

/// What a message costs beside its bytes: Linux's `sk_buff` and its tail, so that as many fit as on Linux.
const MESSAGE_OVERHEAD_BYTES: usize = 576;
/// The granularity of that cost.
const COST_STEP_BYTES: usize = 64;
/// Messages that unconnected senders may have queued at one socket (net.unix.max_dgram_qlen).
pub(super) const MAX_QUEUED_MESSAGES: usize = 512;

/// Who sent something (`struct ucred`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PeerCredentials {
    /// The process.
    pub process: ProcessIdentity,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl PeerCredentials {
    /// The words of `struct ucred`, as a task in these namespaces sees them: of a PID namespace, its serial number.
    pub fn seen_from(&self, pid_namespace: u64, user_namespace: &UserNamespace) -> [u32; 3] {
        [
            self.process.number_in(pid_namespace).cast_unsigned(),
            user_namespace.from_kernel_uid(self.uid),
            user_namespace.from_kernel_gid(self.gid),
        ]
    }
}

/// Bytes that may be queued at all sockets together, overhead included.
const MAX_QUEUED_BYTES: usize = 128 << 20;
static QUEUED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A message's part of what may be queued; dropping it gives it back.
struct QueueCharge(usize);

impl QueueCharge {
    fn new(cost_bytes: usize) -> Result<Self, Errno> {
        let has_room = |queued: usize| queued.checked_add(cost_bytes).filter(|sum| *sum <= MAX_QUEUED_BYTES);
        let charged = QUEUED_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, has_room);
        charged.map(|_| Self(cost_bytes)).map_err(|_| Errno::ENOBUFS)
    }
}

impl Drop for QueueCharge {
    fn drop(&mut self) {
        QUEUED_BYTES.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// One send, or for streams a part of one.
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    /// How much a stream has been read of it.
    pub(super) start: usize,
    pub(super) credentials: PeerCredentials,
    pub(super) rights: Option<Rights>,
    pub(super) sender: UnixAddress,
    charge: QueueCharge,
}

impl Message {
    /// A message of `bytes` without files.
    ///
    /// # Errors
    /// ENOBUFS if too much is queued at all sockets together.
    pub(super) fn new(
        bytes: &[u8],
        credentials: PeerCredentials,
        sender: UnixAddress,
    ) -> Result<Self, Errno> {
        let cost_bytes = (bytes.len() + MESSAGE_OVERHEAD_BYTES).next_multiple_of(COST_STEP_BYTES);
        let charge = QueueCharge::new(cost_bytes)?;
        Ok(Self { bytes: bytes.to_vec(), start: 0, credentials, rights: None, sender, charge })
    }

    pub(super) fn cost_bytes(&self) -> usize {
        self.charge.0
    }

    pub(super) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// What has arrived.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) messages: VecDeque<Message>,
    /// The cost of all messages, in bytes.
    pub(super) cost_bytes: usize,
    /// Nobody will read: senders get EPIPE, or ECONNREFUSED if the socket is gone.
    pub(super) is_shut: bool,
    /// The socket is gone.
    pub(super) is_gone: bool,
    /// Nothing more will come.
    pub(super) is_finished: bool,
    /// The peer is gone.
    pub(super) is_hung_up: bool,
    /// For SO_ERROR.
    pub(super) error: Option<Errno>,
}

impl Inbox {
    pub(super) fn push(&mut self, message: Message) {
        self.cost_bytes += message.cost_bytes();
        self.messages.push_back(message);
    }

    pub(super) fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.cost_bytes = self.cost_bytes.saturating_sub(message.cost_bytes());
        Some(message)
    }

    /// Bytes that FIONREAD tells: all of a connection, the first message otherwise.
    pub(super) fn unread_bytes(&self, counts_all: bool) -> usize {
        let count = if counts_all { usize::MAX } else { 1 };
        self.messages.iter().take(count).map(|message| message.unread().len()).sum()
    }
}

/// One end of a connection, or a datagram socket's address: shared with those who send to it.
#[derive(Default)]
pub(super) struct Endpoint {
    inbox: Mutex<Inbox>,
    /// Announces to those who use the socket.
    pub(super) queue: WaitQueue,
    /// Announces to those who send here that there is room again.
    pub(super) room: WaitQueue,
}

impl Endpoint {
    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock()
    }

    /// Something has arrived, or nothing will any more.
    pub(super) fn announce_arrival(&self) {
        self.queue.notify(Events::IN | Events::RDNORM);
    }

    /// Something has been read, or nobody will any more.
    pub(super) fn announce_room(&self) {
        self.room.notify(Events::OUT | Events::WRNORM | Events::WRBAND);
    }

    /// Ends all: nobody reads here any more. Returns whether something was left unread.
    pub(super) fn close(&self) -> bool {
        let (messages, was_read) = {
            let mut inbox = self.inbox.lock();
            (inbox.is_shut, inbox.is_gone, inbox.cost_bytes) = (true, true, 0);
            let messages = std::mem::take(&mut inbox.messages);
            let was_read = messages.is_empty();
            (messages, was_read)
        };
        // Unlocked: a message may hold the last reference to another socket.
        drop(messages);
        self.announce_room();
        !was_read
    }
}

/// What a receive got.
#[derive(Default)]
pub struct Received {
    /// Bytes in the buffer.
    pub len_bytes: usize,
    /// Bytes of the whole message; more than `len_bytes` if it was cut (MSG_TRUNC).
    pub message_bytes: usize,
    /// Who sent it, if SO_PASSCRED asks.
    pub credentials: Option<PeerCredentials>,
    /// The files that came with it.
    pub files: Vec<Arc<FileDescription>>,
    /// The sender's address.
    pub sender: UnixAddress,
}
