//! Requests: what was submitted, and how far it is.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use linux_raw_sys::io_uring as uapi;
use parking_lot::Mutex;

use super::timeout::Timeout;
use super::{Picked, Ring};
use crate::Errno;
use crate::abi::IoUringSqe;
use crate::cred::Credentials;
use crate::fs::FileDescription;
use crate::heap::HeapCharge;
use crate::task::{CurrentTask, Task};
use crate::time::TimerHandle;
use crate::wait::{Events, Observer, Registration};

/// What a request takes.
const REQUEST_BYTES: usize = 768;

bitflags::bitflags! {
    /// `IOSQE_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct SqeFlags: u8 {
        const FIXED_FILE = 1 << 0;
        const IO_DRAIN = 1 << 1;
        const IO_LINK = 1 << 2;
        const IO_HARDLINK = 1 << 3;
        const ASYNC = 1 << 4;
        const BUFFER_SELECT = 1 << 5;
        const CQE_SKIP_SUCCESS = 1 << 6;
    }
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not begun, or to be tried again.
    Ready,
    /// Its task is at it.
    Running,
    /// It hears of changes, or of the time.
    Waiting,
    /// Its completion is posted, or will never be.
    Done,
}

struct State {
    phase: Phase,
    registrations: Vec<Registration>,
    /// What it is done with, once it has begun.
    file: Option<Arc<FileDescription>>,
}

/// What was submitted.
pub(crate) struct Request {
    this: Weak<Self>,
    ring: Weak<Ring>,
    task: Weak<Task>,
    /// What was asked for.
    pub(crate) sqe: IoUringSqe,
    /// How.
    pub(crate) flags: SqeFlags,
    /// As whom it is done, if not as the task itself.
    pub(crate) credentials: Option<Arc<Credentials>>,
    /// Why it cannot even begin.
    pub(crate) refusal: Option<Errno>,
    user_data: AtomicU64,
    /// The events that it polls for, which may change.
    pub(crate) poll_events: Mutex<Option<Events>>,
    /// The buffer that it was given, until its completion tells of it.
    pub(crate) picked: Mutex<Option<Picked>>,
    /// Bytes that it has moved already, of those that it is to move as a whole.
    pub(crate) moved: AtomicU32,
    /// It is among the work of its task.
    pub(super) is_queued: AtomicBool,
    drains: AtomicBool,
    /// It was not over as soon as it was submitted.
    pub(super) is_late: AtomicBool,
    /// It failed without a completion of its own wanted: those behind it have none, either.
    pub(super) hides_links: AtomicBool,
    state: Mutex<State>,
    /// Its place among those that are under way.
    pub(super) place: OnceLock<u64>,
    pub(super) next: Mutex<Option<Arc<Request>>>,
    /// What ends when this timeout does.
    pub(super) limited: OnceLock<Weak<Request>>,
    /// When it is over, if it is a timeout.
    pub(crate) timeout: Mutex<Option<Timeout>>,
    pub(super) alarm: Mutex<Option<TimerHandle>>,
    _charge: HeapCharge,
}

/// What an ASYNC_CANCEL names.
#[derive(Clone)]
pub(crate) struct CancelKey {
    /// The `user_data`.
    pub(crate) user_data: Option<u64>,
    /// The file.
    pub(crate) file: Option<Arc<FileDescription>>,
    /// The operation.
    pub(crate) opcode: Option<u8>,
}

impl Request {
    /// What `task` submits by `sqe`, to be done as `credentials`; if there is a `refusal` it fails with that.
    ///
    /// # Errors
    /// EAGAIN: the task may have no more of the heap.
    pub(crate) fn new(
        ring: &Arc<Ring>,
        task: &CurrentTask,
        sqe: IoUringSqe,
        credentials: Option<Arc<Credentials>>,
        refusal: Option<Errno>,
    ) -> Result<Arc<Self>, Errno> {
        let _charge = HeapCharge::new(REQUEST_BYTES).map_err(|_| Errno::EAGAIN)?;
        Ok(Arc::new_cyclic(|this| Self {
            this: this.clone(),
            ring: Arc::downgrade(ring),
            task: Arc::downgrade(task.task()),
            sqe,
            flags: SqeFlags::from_bits_truncate(sqe.flags),
            credentials,
            refusal,
            user_data: AtomicU64::new(sqe.user_data),
            poll_events: Mutex::default(),
            picked: Mutex::default(),
            moved: AtomicU32::new(0),
            is_queued: AtomicBool::new(false),
            drains: AtomicBool::new(false),
            is_late: AtomicBool::new(false),
            hides_links: AtomicBool::new(false),
            state: Mutex::new(State { phase: Phase::Ready, registrations: Vec::new(), file: None }),
            place: OnceLock::new(),
            next: Mutex::default(),
            limited: OnceLock::new(),
            timeout: Mutex::default(),
            alarm: Mutex::default(),
            _charge,
        }))
    }

    /// What its completion says.
    pub(crate) fn user_data(&self) -> u64 {
        self.user_data.load(Ordering::Relaxed)
    }

    /// Has its completion say something else.
    pub(super) fn set_user_data(&self, user_data: u64) {
        self.user_data.store(user_data, Ordering::Relaxed);
    }

    /// Whether the one behind it begins once it is over.
    pub(crate) fn is_linked(&self) -> bool {
        self.flags.intersects(SqeFlags::IO_LINK | SqeFlags::IO_HARDLINK)
    }

    /// Whether nothing before it is under way when it begins, and nothing after it passes it (IOSQE_IO_DRAIN).
    pub(super) fn drains(&self) -> bool {
        self.flags.contains(SqeFlags::IO_DRAIN) || self.drains.load(Ordering::Relaxed)
    }

    /// Something that is linked to it drains: then it does, too.
    pub(crate) fn set_drains(&self) {
        self.drains.store(true, Ordering::Relaxed);
    }

    /// Has `next` begin once this is over.
    pub(crate) fn link(&self, next: Arc<Self>) {
        if next.sqe.is(uapi::io_uring_op::IORING_OP_LINK_TIMEOUT) {
            // It is the first time that it is linked.
            let _ = next.limited.set(self.this.clone());
        }
        *self.next.lock() = Some(next);
    }

    /// Whether `task` submitted it.
    pub(super) fn is_of(&self, task: &Task) -> bool {
        std::ptr::eq(self.task.as_ptr(), task)
    }

    /// Who submitted it, while it lives.
    pub(super) fn task(&self) -> Option<Arc<Task>> {
        self.task.upgrade()
    }

    pub(super) fn ring(&self) -> Option<Arc<Ring>> {
        self.ring.upgrade()
    }

    pub(super) fn weak(&self) -> Weak<Self> {
        self.this.clone()
    }

    /// Whether `key` names it.
    pub(super) fn is_named_by(&self, key: &CancelKey) -> bool {
        let has_file = |file: &Arc<FileDescription>| self.file().is_some_and(|own| Arc::ptr_eq(&own, file));
        key.user_data.is_none_or(|user_data| user_data == self.user_data())
            && key.opcode.is_none_or(|opcode| opcode == self.sqe.opcode)
            && key.file.as_ref().is_none_or(has_file)
    }

    /// What it is done with, once it has begun.
    pub(crate) fn file(&self) -> Option<Arc<FileDescription>> {
        self.state.lock().file.clone()
    }

    /// Keeps `file` open until it is over.
    pub(crate) fn set_file(&self, file: Arc<FileDescription>) {
        self.state.lock().file = Some(file);
    }

    /// Has its task be at it; false if it is over, or being done.
    pub(crate) fn begin(&self) -> bool {
        let registrations = {
            let mut state = self.state.lock();
            if !matches!(state.phase, Phase::Ready | Phase::Waiting) {
                return false;
            }
            state.phase = Phase::Running;
            std::mem::take(&mut state.registrations)
        };
        drop(registrations);
        true
    }

    /// Has it wait for what `registrations` tell of.
    pub(crate) fn wait(&self, registrations: Vec<Registration>) {
        let unused = {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Done => registrations,
                _ => {
                    state.phase = Phase::Waiting;
                    std::mem::replace(&mut state.registrations, registrations)
                }
            }
        };
        drop(unused);
    }

    /// It is over; false if it had been before, or its task is at it and `only_if_waiting`.
    pub(super) fn finish(&self, only_if_waiting: bool) -> bool {
        let (registrations, file) = {
            let mut state = self.state.lock();
            if state.phase == Phase::Done || only_if_waiting && state.phase != Phase::Waiting {
                return false;
            }
            state.phase = Phase::Done;
            (std::mem::take(&mut state.registrations), state.file.take())
        };
        let alarm = self.alarm.lock().take();
        drop((registrations, file, alarm));
        true
    }

    /// Whether it waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.state.lock().phase == Phase::Waiting
    }
}

/// `IORING_OP_LINK_TIMEOUT`.
pub(super) const OP_LINK_TIMEOUT: u8 = uapi::io_uring_op::IORING_OP_LINK_TIMEOUT as u8;

impl Observer for Request {
    fn notify(&self, _events: Events) {
        if let (Some(ring), Some(request)) = (self.ring(), self.this.upgrade()) {
            ring.push_work(request);
        }
    }
}

impl Drop for Request {
    /// Those behind it go one by one, however many they are.
    fn drop(&mut self) {
        let mut next = self.next.get_mut().take();
        while let Some(request) = next {
            next = Arc::into_inner(request).and_then(|mut request| request.next.get_mut().take());
        }
    }
}
