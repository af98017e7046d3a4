//! Who is told that an empty queue has a message (`man 3 mq_notify`).

use std::sync::{Arc, Weak};

use crate::cred::{KernelUid, UserNamespace};
use crate::process_identity::ProcessIdentity;
use crate::signal::{Signal, SignalDetail, SignalInfo, SignalTarget};

/// `SI_MESGQ`.
const MESSAGE_QUEUE_CODE: i32 = -3;

/// How the process is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationKind {
    /// Not at all: it only keeps others from registering (SIGEV_NONE).
    Silent,
    /// By a signal, if there is one, with this value (SIGEV_SIGNAL).
    Signal(Option<Signal>, u64),
    /// By a message to a socket, where a thread of its C library waits (SIGEV_THREAD).
    Thread,
}

/// Bytes of the message that a thread is told by (`NOTIFY_COOKIE_LEN`).
pub const COOKIE_BYTES: usize = 32;
/// What the last byte of the message says: there is a message in the queue, or the registration has ended without one.
const NOTIFY_WOKENUP: u8 = 1;
const NOTIFY_REMOVED: u8 = 2;

/// Where cookies go.
pub trait CookieReceiver: Send + Sync {
    /// Takes one.
    fn take(&self, cookie: [u8; COOKIE_BYTES]);
}

/// What the caller of mq_notify(3) is told by: its own bytes, but for the last. Once it counts, dropping it says that the
/// registration has ended.
pub struct Cookie {
    receiver: Weak<dyn CookieReceiver>,
    bytes: [u8; COOKIE_BYTES],
    is_registered: bool,
}

impl Cookie {
    /// `bytes` for `receiver`.
    pub fn new(receiver: Weak<dyn CookieReceiver>, bytes: [u8; COOKIE_BYTES]) -> Self {
        Self { receiver, bytes, is_registered: false }
    }

    fn tell(&mut self, what: u8) {
        self.is_registered = false;
        let [.., last] = &mut self.bytes;
        *last = what;
        if let Some(receiver) = self.receiver.upgrade() {
            receiver.take(self.bytes);
        }
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        if self.is_registered {
            self.tell(NOTIFY_REMOVED);
        }
    }
}

/// A registration: for one message.
pub struct Notification {
    /// How.
    pub kind: NotificationKind,
    /// Who called mq_notify(3).
    pub owner: ProcessIdentity,
    /// Where its signals go.
    pub target: Weak<dyn SignalTarget>,
    /// The serial number of its PID namespace.
    pub pid_namespace: u64,
    /// How it numbers users.
    pub user_namespace: Arc<UserNamespace>,
    /// Its descriptor table: closing the queue through it ends the registration.
    pub table: u64,
    /// For a thread: what it is told by.
    pub cookie: Option<Cookie>,
}

impl Notification {
    /// It counts from now on.
    pub(super) fn begin(&mut self) {
        if let Some(cookie) = &mut self.cookie {
            cookie.is_registered = true;
        }
    }

    /// Tells the process of a message by `sender` of user `uid`.
    pub(super) fn send(mut self, sender: &ProcessIdentity, uid: KernelUid) {
        if let Some(cookie) = &mut self.cookie {
            cookie.tell(NOTIFY_WOKENUP);
        }
        if let NotificationKind::Signal(Some(signal), value) = self.kind
            && let Some(target) = self.target.upgrade()
        {
            let pid = sender.number_in(self.pid_namespace);
            let uid = self.user_namespace.from_kernel_uid(uid);
            let detail = SignalDetail::Queue { pid, uid, value };
            target.deliver(SignalInfo { signal, errno: 0, code: MESSAGE_QUEUE_CODE, detail });
        }
    }
}
