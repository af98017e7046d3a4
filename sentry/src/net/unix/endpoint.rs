//! Endpoints: what arrives at a socket, and who waits for it or for room in it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use super::UnixAddress;
use super::in_flight::node_of;
use super::reach::Node;
use super::rights::Rights;
use crate::Errno;
use crate::heap::shrink_queue;
use crate::net::{PeerCredentials, SocketMemory, SocketMemoryCharge};
use crate::wait::{Events, WaitQueue};

/// What a message costs beside its bytes: Linux's `sk_buff` and its tail, so that as many fit as on Linux.
const MESSAGE_OVERHEAD_BYTES: usize = 576;
/// The granularity of that cost.
const COST_STEP_BYTES: usize = 64;

/// A message's part of its sender's send buffer, and of what may be queued; dropping it gives both back and announces the
/// sender's room. So it is dropped with no inbox locked.
struct QueueCharge {
    memory: SocketMemoryCharge,
    sender: Arc<Endpoint>,
}

impl QueueCharge {
    fn new(cost_bytes: usize, sender: &Arc<Endpoint>) -> Result<Self, Errno> {
        let memory = sender.memory.charge(cost_bytes)?;
        sender.in_flight_bytes.fetch_add(cost_bytes, Ordering::Relaxed);
        Ok(Self { memory, sender: sender.clone() })
    }
}

impl Drop for QueueCharge {
    fn drop(&mut self) {
        self.sender.in_flight_bytes.fetch_sub(self.memory.len_bytes(), Ordering::Relaxed);
        if self.sender.has_ample_room() {
            self.sender.queue.notify(WRITABLE);
        }
    }
}

/// One send, or for streams a part of one.
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    /// How much a stream has been read of it.
    pub(super) start: usize,
    /// Who sent it, if somebody wanted to know then.
    pub(super) credentials: Option<PeerCredentials>,
    pub(super) rights: Option<Rights>,
    pub(super) sender: UnixAddress,
    /// It is the one byte of MSG_OOB.
    pub(super) is_urgent: bool,
    _charge: QueueCharge,
}

impl Message {
    /// A message of `bytes` without files, paid for by `from`.
    ///
    /// # Errors
    /// ENOBUFS if too much is queued at all sockets together.
    pub(super) fn new(bytes: &[u8], from: &Arc<Endpoint>, sender: UnixAddress) -> Result<Self, Errno> {
        let cost_bytes = (bytes.len() + MESSAGE_OVERHEAD_BYTES).next_multiple_of(COST_STEP_BYTES);
        let charge = QueueCharge::new(cost_bytes, from)?;
        Ok(Self {
            bytes: bytes.to_vec(),
            start: 0,
            credentials: None,
            rights: None,
            sender,
            is_urgent: false,
            _charge: charge,
        })
    }

    pub(super) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// What has arrived, and what shutdown(2) here or at the peer has ended.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) messages: VecDeque<Message>,
    /// Nobody will read: senders get EPIPE, or ECONNREFUSED if the socket is gone.
    pub(super) is_receive_shut: bool,
    /// The socket sends nothing any more.
    pub(super) is_send_shut: bool,
    /// The socket is gone.
    pub(super) is_gone: bool,
    /// For SO_ERROR.
    pub(super) error: Option<Errno>,
    /// The datagram socket that this one is connected to: from no other does it take any.
    pub(super) peer: Option<Weak<Endpoint>>,
    /// It takes no more from those that it is not connected to once more messages than this are queued.
    max_messages: u32,
    /// Where the next peek begins, in bytes past what is read (SO_PEEK_OFF).
    pub(super) peek_offset: Option<usize>,
}

impl Inbox {
    /// Takes the first message out.
    pub(super) fn take_first(&mut self) -> Option<Message> {
        let first = self.messages.pop_front();
        shrink_queue(&mut self.messages);
        first
    }

    /// Bytes that FIONREAD tells: all of a connection, the first message otherwise.
    pub(super) fn unread_bytes(&self, counts_all: bool) -> usize {
        let count = if counts_all { usize::MAX } else { 1 };
        self.messages.iter().take(count).map(|message| message.unread().len()).sum()
    }

    /// Whether something is left that its sender would miss: a first message without bytes is none.
    fn has_unread(&self) -> bool {
        self.messages.front().is_some_and(|first| !first.unread().is_empty() || self.messages.len() > 1)
    }

    /// Whether a message of MSG_OOB waits.
    pub(super) fn has_urgent(&self) -> bool {
        self.messages.iter().any(|message| message.is_urgent)
    }

    /// Whether the reader is where the urgent byte is, or was (SIOCATMARK).
    pub(super) fn is_at_mark(&self) -> bool {
        let mut messages = self.messages.iter();
        let Some(first) = messages.next() else { return false };
        let is_next_urgent = messages.next().is_some_and(|next| next.is_urgent);
        first.is_urgent || first.unread().is_empty() && (is_next_urgent || !self.has_urgent())
    }

    /// Whether `sender` may send datagrams here.
    pub(super) fn accepts_from(&self, sender: &Arc<Endpoint>) -> bool {
        self.peer.as_ref().is_none_or(|peer| std::ptr::eq(peer.as_ptr(), Arc::as_ptr(sender)))
    }

    /// Whether `sender` has to wait until messages are taken out. Who is this one's peer pays for its own alone.
    pub(super) fn is_full_for(&self, sender: &Arc<Endpoint>) -> bool {
        let is_full = u32::try_from(self.messages.len()).map_or(true, |queued| queued > self.max_messages);
        is_full && !(self.peer.is_some() && self.accepts_from(sender))
    }

    /// The pending error, which is then no more.
    ///
    /// # Errors
    /// That error.
    pub(super) fn check_error(&mut self) -> Result<(), Errno> {
        self.error.take().map_or(Ok(()), Err)
    }
}

/// What tells a writer that there is room.
pub(super) const WRITABLE: Events = Events::OUT.union(Events::WRNORM).union(Events::WRBAND);

/// One end of a connection, or a datagram socket's address: shared with those who send to it.
pub(super) struct Endpoint {
    /// Its socket's inode number, which no other socket of the kernel ever has.
    id: u64,
    inbox: Mutex<Inbox>,
    /// What the messages that it has sent and nobody has read cost.
    in_flight_bytes: AtomicUsize,
    /// How much that may be (SO_SNDBUF).
    send_buffer_bytes: AtomicUsize,
    /// Whether its messages are to tell who sent them (SO_PASSCRED).
    pub(super) passes_credentials: AtomicBool,
    /// While it is in a backlog: the listener's, who holds it.
    listener: Mutex<Option<Weak<Self>>>,
    /// What its messages are charged to.
    memory: Arc<SocketMemory>,
    /// Announces to those who use the socket.
    pub(super) queue: WaitQueue,
    /// Announces to those who connect or send here that there is room again.
    pub(super) room: WaitQueue,
}

impl Endpoint {
    /// That of the socket with inode number `id`, which queues so many messages.
    pub(super) fn new(
        id: u64,
        send_buffer_bytes: u32,
        max_messages: u32,
        memory: &Arc<SocketMemory>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            inbox: Mutex::new(Inbox { max_messages, ..Inbox::default() }),
            in_flight_bytes: AtomicUsize::new(0),
            send_buffer_bytes: AtomicUsize::new(send_buffer_bytes as usize),
            passes_credentials: AtomicBool::new(false),
            listener: Mutex::default(),
            memory: memory.clone(),
            queue: WaitQueue::default(),
            room: WaitQueue::default(),
        })
    }

    /// Its id, which it keeps for life and nobody else ever has.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock()
    }

    /// It is in the backlog of `listener` from now on, or in none.
    pub(super) fn set_listener(&self, listener: Option<&Arc<Self>>) {
        *self.listener.lock() = listener.map(Arc::downgrade);
    }

    /// The socket that has to be reached for its messages to be read: its own, or the listener in whose backlog that is.
    pub(super) fn reader(&self) -> Node {
        let listener = self.listener.lock().as_ref().and_then(Weak::upgrade);
        listener.map_or_else(|| node_of(self), |listener| node_of(&listener))
    }

    /// SO_SNDBUF, in bytes.
    pub(super) fn send_buffer_bytes(&self) -> usize {
        self.send_buffer_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn set_send_buffer_bytes(&self, len_bytes: u32) {
        self.send_buffer_bytes.store(len_bytes as usize, Ordering::Relaxed);
    }

    /// What it has sent and nobody has read yet (SIOCOUTQ).
    pub(super) fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes.load(Ordering::Relaxed)
    }

    /// Whether one more message may be sent; as on Linux, the last may overrun.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight_bytes() < self.send_buffer_bytes()
    }

    /// Whether a quarter is used at most: a writer is woken when much fits, not when a byte does.
    pub(super) fn has_ample_room(&self) -> bool {
        self.in_flight_bytes().saturating_mul(4) <= self.send_buffer_bytes()
    }

    /// Something has arrived, or nothing will any more.
    pub(super) fn announce_arrival(&self) {
        self.queue.notify(Events::IN | Events::RDNORM);
    }

    /// Something has been read, or nobody will any more.
    pub(super) fn announce_room(&self) {
        self.room.notify(WRITABLE);
    }

    /// Gives up what is unread.
    pub(super) fn purge(&self) {
        let messages = std::mem::take(&mut self.inbox.lock().messages);
        // Unlocked: a message may hold the last reference to another socket.
        drop(messages);
        self.announce_room();
    }

    /// Ends all: nobody reads here any more. Returns whether something is left unread; [`Endpoint::purge`] follows.
    pub(super) fn close(&self) -> bool {
        let mut inbox = self.inbox.lock();
        (inbox.is_receive_shut, inbox.is_send_shut, inbox.is_gone) = (true, true, true);
        inbox.has_unread()
    }
}
