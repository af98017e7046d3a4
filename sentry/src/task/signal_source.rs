//! What a signalfd reads: the signals of the task that reads, and of its process.

use std::sync::{Arc, Weak};

use super::{Task, ThreadGroup};
use crate::fs::signalfd::{PendingSignals, SIGNAL_RECORD_BYTES};
use crate::signal::{SignalDetail, SignalInfo, SignalSet};
use crate::wait::WaitQueue;

/// The signals of one task and of its process.
pub(crate) struct SignalSource {
    task: Weak<Task>,
    group: Weak<ThreadGroup>,
    arrivals: WaitQueue,
}

impl SignalSource {
    /// Those of `task`.
    pub(crate) fn new(task: &Arc<Task>) -> Arc<Self> {
        let group = task.thread_group();
        Arc::new(Self {
            task: Arc::downgrade(task),
            group: Arc::downgrade(group),
            arrivals: task.kernel().signal_arrivals().clone(),
        })
    }

    /// The task, or another of its process once it is gone.
    fn reader(&self) -> Option<Arc<Task>> {
        self.task.upgrade().or_else(|| self.group.upgrade()?.state.lock().tasks.first().cloned())
    }
}

impl PendingSignals for SignalSource {
    fn take(&self, mask: u64) -> Option<[u8; SIGNAL_RECORD_BYTES]> {
        self.reader()?.take_signal(SignalSet::from_bits(mask)).map(encode)
    }

    fn is_pending(&self, mask: u64) -> bool {
        self.reader().is_some_and(|task| {
            let pending = task.pending_signals() | task.thread_group().pending_signals();
            pending.intersects(SignalSet::from_bits(mask))
        })
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.arrivals
    }
}

/// `struct signalfd_siginfo` (`man 2 signalfd`).
fn encode(info: SignalInfo) -> [u8; SIGNAL_RECORD_BYTES] {
    const PID: usize = 12;
    const FD: usize = 20;
    const TID: usize = 24;
    const BAND: usize = 28;
    const OVERRUN: usize = 32;
    const STATUS: usize = 40;
    const INT: usize = 44;
    const POINTER: usize = 48;
    const USER_TIME: usize = 56;
    const SYSTEM_TIME: usize = 64;
    const ADDRESS: usize = 72;
    let mut record = [0; SIGNAL_RECORD_BYTES];
    let mut put = |offset: usize, bytes: &[u8]| record[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(0, &i32::from(info.signal.number()).to_ne_bytes());
    put(4, &info.errno.to_ne_bytes());
    put(8, &info.code.to_ne_bytes());
    if let Some((pid, uid)) = info.sender() {
        put(PID, &pid.to_ne_bytes());
        put(PID + 4, &uid.0.to_ne_bytes());
    }
    if let Some(value) = info.value() {
        put(INT, &(value as u32).to_ne_bytes());
        put(POINTER, &value.to_ne_bytes());
    }
    match info.detail {
        SignalDetail::Timer { id, overrun, .. } => {
            put(TID, &id.to_ne_bytes());
            put(OVERRUN, &overrun.to_ne_bytes());
        }
        SignalDetail::Child { status, user_ticks, system_ticks, .. } => {
            put(STATUS, &status.to_ne_bytes());
            put(USER_TIME, &user_ticks.to_ne_bytes());
            put(SYSTEM_TIME, &system_ticks.to_ne_bytes());
        }
        SignalDetail::Fault { address } => put(ADDRESS, &address.to_ne_bytes()),
        SignalDetail::Poll { band, fd } => {
            put(FD, &fd.to_ne_bytes());
            put(BAND, &(band as u32).to_ne_bytes());
        }
        _ => {}
    }
    record
}
