//! Signals when a file becomes ready (`man 2 fcntl`, O_ASYNC, F_SETOWN, F_SETSIG).
//!
//! What becomes ready tells so with its queue locked, and often more. So a description that wants signals only notes
//! that it does, in the kernel's [`AsyncSignals`]; they are sent by the next task that comes out of a system call, the
//! one that made the file ready first of all, or by the timers' thread if no task does.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use super::{Fd, FileDescription};
use crate::cred::KernelUid;
use crate::time::{Expire, TimerHandle, TimerQueue};
use crate::wait::{Events, Observer, Registration};

/// Notes beyond this many are lost, as signals beyond RLIMIT_SIGPENDING are.
const MAX_NOTES: usize = 4096;

/// Why a file is ready (`si_code`, `POLL_*`), and for what (`si_band`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// A `POLL_*` code.
    pub code: i32,
    /// `POLLIN` and the like.
    pub band: i64,
    /// The descriptor for which O_ASYNC was set.
    pub fd: Fd,
}

/// Who hears of readiness by signals.
pub trait SignalTarget: Send + Sync {
    /// Sends `signal` with `readiness`, or SIGIO without if `signal` is 0. Called with no lock held.
    fn send(&self, signal: i32, readiness: Readiness);
    /// Sends SIGURG: a socket has urgent data. Called with no lock held.
    fn send_urgent(&self);
}

/// Who hears of readiness by a signal, as fcntl(2) sets it (F_SETOWN_EX, F_SETSIG).
#[derive(Clone, Default)]
pub struct SignalOwner {
    /// An `F_OWNER_*` value.
    pub kind: i32,
    /// A thread, process or process group; 0 for nobody.
    pub id: i32,
    /// The signal; 0 for SIGIO.
    pub signal: i32,
    /// Real and effective user of who set the owner.
    pub setter: Option<(KernelUid, KernelUid)>,
    /// Whom `kind` and `id` named when they were set.
    pub target: Option<Arc<dyn SignalTarget>>,
}

/// A description that became ready, or has urgent data (`None`).
struct Note {
    description: Weak<FileDescription>,
    readiness: Option<Readiness>,
}

/// The signals that are to be sent.
pub struct AsyncSignals {
    has_notes: AtomicBool,
    /// Held by whoever sends, before all else: another who finds notes waits until they are sent.
    sending: Mutex<()>,
    state: Mutex<State>,
    timers: Arc<TimerQueue>,
    this: Weak<Self>,
}

#[derive(Default)]
struct State {
    notes: VecDeque<Note>,
    /// Has the timers' thread send them.
    fallback: Option<TimerHandle>,
}

impl AsyncSignals {
    /// None yet. What no task sends, the thread of `timers` does.
    pub fn new(timers: &Arc<TimerQueue>) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            has_notes: AtomicBool::new(false),
            sending: Mutex::default(),
            state: Mutex::default(),
            timers: timers.clone(),
            this: this.clone(),
        })
    }

    /// Whether there is something to send.
    pub fn has_notes(&self) -> bool {
        self.has_notes.load(Ordering::Acquire)
    }

    /// Sends what is to be sent. Called with no lock held.
    pub fn send(&self) {
        let _turn = self.sending.lock();
        let state = std::mem::take(&mut *self.state.lock());
        for note in state.notes {
            if let Some(description) = note.description.upgrade() {
                let SignalOwner { signal, target, .. } = description.signal_owner().clone();
                match (target, note.readiness) {
                    (Some(target), Some(readiness)) => target.send(signal, readiness),
                    (Some(target), None) => target.send_urgent(),
                    (None, _) => {}
                }
            }
        }
        let state = self.state.lock();
        self.has_notes.store(!state.notes.is_empty(), Ordering::Release);
    }

    /// Tells the owner of `description` that a lease is broken which was taken, or a directory has changed which is watched, through
    /// `fd`.
    pub(super) fn told(&self, description: &Weak<FileDescription>, fd: Fd) {
        let band = uapi::POLLIN | uapi::POLLRDNORM | uapi::POLLMSG;
        let readiness = Readiness { code: uapi::POLL_MSG as i32, band: band.into(), fd };
        self.add(Note { description: description.clone(), readiness: Some(readiness) });
    }

    fn add(&self, note: Note) {
        let mut state = self.state.lock();
        if state.notes.len() >= MAX_NOTES {
            return;
        }
        state.notes.push_back(note);
        self.has_notes.store(true, Ordering::Release);
        if state.fallback.is_none() {
            // Without that thread a task sends them all the same.
            state.fallback = self.timers.schedule(self.timers.now(), self.this.clone()).ok();
        }
    }
}

impl Expire for AsyncSignals {
    fn expire(&self) {
        self.send();
    }
}

/// A description with O_ASYNC, in the queue of its file.
pub(super) struct AsyncObserver {
    description: Weak<FileDescription>,
    fd: Fd,
    signals: Arc<AsyncSignals>,
}

impl AsyncObserver {
    /// Has the owner of `description` hear of its readiness from now on, by `signals`. `None`: the file tells nobody.
    pub(super) fn register(
        description: &Arc<FileDescription>,
        fd: Fd,
        signals: &Arc<AsyncSignals>,
    ) -> Option<Registration> {
        let queue = description.file().wait_queue()?;
        let observer = Self { description: Arc::downgrade(description), fd, signals: signals.clone() };
        let interest = Events::IN | Events::RDNORM | Events::PRI | Events::OUT | Events::WRNORM;
        Some(queue.register(interest, Arc::new(observer)))
    }
}

impl Observer for AsyncObserver {
    fn notify(&self, events: Events) {
        let Some(description) = self.description.upgrade() else { return };
        let flags = description.flags();
        let reasons = reasons(events, flags.is_readable(), flags.is_writable());
        drop(description);
        for (code, band) in reasons.into_iter().flatten() {
            let readiness = Readiness { code: code as i32, band: band.into(), fd: self.fd };
            self.signals.add(Note { description: self.description.clone(), readiness: Some(readiness) });
        }
    }
}

/// A socket with an owner, in the queue of its file: O_ASYNC or not, the owner hears of urgent data (`man 7 socket`, SIGURG).
pub(super) struct UrgentObserver {
    description: Weak<FileDescription>,
    signals: Arc<AsyncSignals>,
}

impl UrgentObserver {
    /// Has the owner of `description` hear of urgent data from now on, by `signals`. `None`: the file tells nobody.
    pub(super) fn register(
        description: &Arc<FileDescription>,
        signals: &Arc<AsyncSignals>,
    ) -> Option<Registration> {
        let queue = description.file().wait_queue()?;
        let observer = Self { description: Arc::downgrade(description), signals: signals.clone() };
        Some(queue.register(Events::PRI, Arc::new(observer)))
    }
}

impl Observer for UrgentObserver {
    fn notify(&self, events: Events) {
        if events.contains(Events::PRI) {
            self.signals.add(Note { description: self.description.clone(), readiness: None });
        }
    }
}

/// The codes that stand for `events`, with their bands (`band_table` of fs/fcntl.c).
fn reasons(events: Events, is_readable: bool, is_writable: bool) -> [Option<(u32, u32)>; 3] {
    let is_over = events.intersects(Events::HUP | Events::ERR);
    let is_urgent = events.contains(Events::PRI);
    let has_input = is_readable && (is_over || events.intersects(Events::IN | Events::RDNORM));
    let has_room = is_writable && (is_over || events.intersects(Events::OUT | Events::WRNORM));
    let room = uapi::POLLOUT | uapi::POLLWRNORM | uapi::POLLWRBAND;
    [
        has_input.then_some((uapi::POLL_IN, uapi::POLLIN | uapi::POLLRDNORM)),
        has_room.then_some((uapi::POLL_OUT, room)),
        is_urgent.then_some((uapi::POLL_PRI, uapi::POLLPRI | uapi::POLLRDBAND)),
    ]
}
