//! What a signalfd reads: the signals of the task that reads, and of its process.

use std::sync::{Arc, Weak};

use super::{Task, ThreadGroup};
use crate::abi::SignalfdSiginfo;
use crate::cred::Uid;
use crate::fs::signalfd::{PendingSignals, SIGNAL_RECORD_BYTES};
use crate::signal::{SignalDetail, SignalInfo, SignalSet, TimerExpiration};
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

/// What a signalfd(2) tells of a signal.
fn encode(info: SignalInfo) -> [u8; SIGNAL_RECORD_BYTES] {
    let (ssi_pid, Uid(ssi_uid)) = info.sender().unwrap_or_default();
    let value = info.value().unwrap_or_default();
    let mut record = SignalfdSiginfo {
        ssi_signo: info.signal.number().into(),
        ssi_errno: info.errno,
        ssi_code: info.code,
        ssi_pid,
        ssi_uid,
        // The `int` of the union that the pointer is.
        ssi_int: value as u32,
        ssi_ptr: value,
        ..SignalfdSiginfo::default()
    };
    match info.detail {
        SignalDetail::Timer(TimerExpiration { id, overrun, .. }) => {
            (record.ssi_tid, record.ssi_overrun) = (id, overrun);
        }
        SignalDetail::Child { status, user_ticks, system_ticks, .. } => {
            record.ssi_status = status;
            (record.ssi_utime, record.ssi_stime) = (user_ticks, system_ticks);
        }
        SignalDetail::Fault { address } => record.ssi_addr = address,
        SignalDetail::Poll { band, fd } => (record.ssi_fd, record.ssi_band) = (fd, band as u32),
        SignalDetail::SystemCall { address, number, architecture } => {
            record.ssi_call_addr = address;
            (record.ssi_syscall, record.ssi_arch) = (number, architecture);
        }
        _ => {}
    }
    zerocopy::transmute!(record)
}
