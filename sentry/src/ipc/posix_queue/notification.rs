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
}

impl Notification {
    /// Tells the process of a message by `sender` of user `uid`.
    pub(super) fn send(self, sender: &ProcessIdentity, uid: KernelUid) {
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
