//! Rings of submissions and completions (`man 7 io_uring`).
//!
//! A [`Ring`] shares [`memory`] with user code. What is submitted becomes a [`Request`], which the submitting task's own
//! thread does as far as it goes without sleeping, as Linux does ([`CurrentTask::attempt`]). A request that waits hears of changes by
//! its registrations; it is then work that is left to its task, which tries again. So there are no threads here, and a request
//! acts with the memory, the credentials and the descriptors of the task that it is of. What the operations are, the system calls
//! know ([`Server`]).
//!
//! Locks: a request's state; then a ring's requests, its completions, what is registered, each by itself and all leaves. None is
//! held where a registration is dropped, a file is used, or a queue is told.

mod completions;
mod file;
mod memory;
mod registered;
mod request;
#[cfg(test)]
mod tests;
mod timeout;
mod work;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use linux_raw_sys::io_uring as uapi;
use parking_lot::Mutex;

use self::completions::Completions;
pub(crate) use self::completions::EventCounter;
pub(crate) use self::file::RingFile;
pub(crate) use self::memory::{Layout, word};
pub(crate) use self::registered::{Buffer, Group, Picked, Registered, Restrictions};
pub(crate) use self::request::{CancelKey, Request, SqeFlags};
pub(crate) use self::timeout::{Timeout, When};
pub(crate) use self::work::Ending;
use self::work::{Requests, RingWork};
use crate::Errno;
use crate::abi::IoUringSqe;
use crate::heap::HeapCharge;
use crate::kernel::Kernel;
use crate::task::{CurrentTask, DeferredWork, TaskId};
use crate::time::TimerQueue;
use crate::wait::WaitQueue;

/// Submissions that a ring holds at most.
pub(crate) const MAX_ENTRIES: u32 = 32_768;
/// Completions that it holds at most.
pub(crate) const MAX_CQ_ENTRIES: u32 = 2 * MAX_ENTRIES;
/// What a ring takes beside what it shares.
const RING_BYTES: usize = 4096;

bitflags::bitflags! {
    /// The flags of io_uring_setup(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub(crate) struct SetupFlags: u32 {
        const IOPOLL = uapi::IORING_SETUP_IOPOLL;
        const SQPOLL = uapi::IORING_SETUP_SQPOLL;
        const SQ_AFF = uapi::IORING_SETUP_SQ_AFF;
        const CQSIZE = uapi::IORING_SETUP_CQSIZE;
        const CLAMP = uapi::IORING_SETUP_CLAMP;
        const ATTACH_WQ = uapi::IORING_SETUP_ATTACH_WQ;
        const R_DISABLED = uapi::IORING_SETUP_R_DISABLED;
        const SUBMIT_ALL = uapi::IORING_SETUP_SUBMIT_ALL;
        const COOP_TASKRUN = uapi::IORING_SETUP_COOP_TASKRUN;
        const TASKRUN_FLAG = uapi::IORING_SETUP_TASKRUN_FLAG;
        const SQE128 = uapi::IORING_SETUP_SQE128;
        const CQE32 = uapi::IORING_SETUP_CQE32;
        const SINGLE_ISSUER = uapi::IORING_SETUP_SINGLE_ISSUER;
        const DEFER_TASKRUN = uapi::IORING_SETUP_DEFER_TASKRUN;
        const NO_SQARRAY = uapi::IORING_SETUP_NO_SQARRAY;
    }
}

/// Does what requests ask for.
pub(crate) trait Server: Send + Sync {
    /// Does `request` of `ring`, as far as it goes without sleeping.
    fn serve(&self, task: &mut CurrentTask, ring: &Arc<Ring>, request: &Arc<Request>);
}

/// A ring.
pub(crate) struct Ring {
    this: Weak<Self>,
    flags: SetupFlags,
    memory: memory::RingMemory,
    server: &'static dyn Server,
    timers: Arc<TimerQueue>,
    /// Told of completions.
    queue: WaitQueue,
    completions: Mutex<Completions>,
    requests: Mutex<Requests>,
    /// What user code has registered.
    pub(crate) registered: Mutex<Registered>,
    /// Whether it takes nothing yet (IORING_SETUP_R_DISABLED).
    is_disabled: AtomicBool,
    /// Who may submit, if only one task may.
    issuer: OnceLock<TaskId>,
    /// Submissions that have been taken.
    sq_head: Mutex<u32>,
    work: OnceLock<Arc<dyn DeferredWork>>,
    _charge: HeapCharge,
}

impl Ring {
    /// An empty one, whose requests `server` does.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn new(
        kernel: &Kernel,
        flags: SetupFlags,
        layout: Layout,
        server: &'static dyn Server,
    ) -> Result<Arc<Self>, Errno> {
        let _charge = HeapCharge::new(RING_BYTES + layout.len_bytes())?;
        let memory = memory::RingMemory::new(kernel.frames(), layout)?;
        // A thread that polls for submissions is always found asleep: io_uring_enter(2) then takes them at once.
        if flags.contains(SetupFlags::SQPOLL) {
            memory.set_bits(word::SQ_FLAGS, uapi::IORING_SQ_NEED_WAKEUP, true);
        }
        let ring = Arc::new_cyclic(|this: &Weak<Self>| Self {
            this: this.clone(),
            flags,
            memory,
            server,
            timers: kernel.timers().clone(),
            queue: WaitQueue::default(),
            completions: Mutex::default(),
            requests: Mutex::default(),
            registered: Mutex::default(),
            is_disabled: AtomicBool::new(flags.contains(SetupFlags::R_DISABLED)),
            issuer: OnceLock::new(),
            sq_head: Mutex::default(),
            work: OnceLock::new(),
            _charge,
        });
        ring.work.get_or_init(|| Arc::new(RingWork::new(&ring)));
        Ok(ring)
    }

    /// How it was set up.
    pub(crate) fn flags(&self) -> SetupFlags {
        self.flags
    }

    /// How it is laid out.
    pub(crate) fn layout(&self) -> Layout {
        self.memory.layout()
    }

    /// Whether it takes nothing yet.
    pub(crate) fn is_disabled(&self) -> bool {
        self.is_disabled.load(Ordering::Acquire)
    }

    /// IORING_REGISTER_ENABLE_RINGS: `task` is the only one that may submit, if only one may.
    ///
    /// # Errors
    /// EBADFD: it is enabled already.
    pub(crate) fn enable(&self, task: &CurrentTask) -> Result<(), Errno> {
        if !self.is_disabled.swap(false, Ordering::AcqRel) {
            return Err(Errno::EBADFD);
        }
        self.bind_issuer(task);
        Ok(())
    }

    /// Has `task` be the only one that may submit, if only one may.
    pub(crate) fn bind_issuer(&self, task: &CurrentTask) {
        if self.flags.contains(SetupFlags::SINGLE_ISSUER) {
            self.issuer.get_or_init(|| task.task().id());
        }
    }

    /// Fails unless `task` may submit.
    ///
    /// # Errors
    /// EEXIST.
    pub(crate) fn check_issuer(&self, task: &CurrentTask) -> Result<(), Errno> {
        let is_other = self.issuer.get().is_some_and(|issuer| *issuer != task.task().id());
        if is_other { Err(Errno::EEXIST) } else { Ok(()) }
    }

    /// Submissions that wait to be taken.
    pub(crate) fn waiting_submissions(&self) -> u32 {
        let waiting = self.memory.load(word::SQ_TAIL).wrapping_sub(*self.sq_head.lock());
        waiting.min(self.layout().sq_entries)
    }

    /// Takes the next submission; `Some(None)` for one that the array of indices leaves out.
    pub(crate) fn take_submission(&self) -> Option<Option<IoUringSqe>> {
        let mut head = self.sq_head.lock();
        if self.memory.load(word::SQ_TAIL) == *head {
            return None;
        }
        let sqe = self.memory.submission(*head);
        *head = head.wrapping_add(1);
        self.memory.store(word::SQ_HEAD, *head);
        drop(head);
        if sqe.is_none() {
            self.memory.increment(word::SQ_DROPPED);
        }
        Some(sqe)
    }

    /// Where those who want completions wait.
    pub(crate) fn queue(&self) -> &WaitQueue {
        &self.queue
    }
}
